"""Facts about a run that its store does not hold: its folder, and results out of date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class ChangedSetting(NamedTuple):
    """A setting that is not as it is by default."""

    name: str
    """The setting's name in a recipe with its sections, such as ``train.steps``."""

    value: str
    default: str
    """The default value; empty where there is none, as a recipe has to give the setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Facts that the caller who opens a run tells its report; each may be unknown."""

    folder: str = ""
    """The run's folder as commands name it; empty where it is not known."""

    has_model: bool = False
    """Whether the chosen student stands in the folder, under ``model``."""

    is_at_work: bool = False
    """Whether another process writes the run now."""

    stale: Sequence[str] = ()
    """The results that are not, or perhaps not, of today's recipe, such as ``the scores``."""

    unpriced: Sequence[str] = ()
    """Models that are paid for and whose prices are not known."""

    changed: Sequence[ChangedSetting] = ()
    """The recipe as a difference from the defaults; empty: not known."""

    used_at: float | None = None
    """The time when a command last went on with the run, in seconds since 1970; None: not known."""
