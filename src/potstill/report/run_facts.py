"""What is known of a run beyond its store: its folder, and how its results stand to its recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class ChangedSetting(NamedTuple):
    """A setting that is not as it is by default."""

    name: str
    """As a recipe names it, sections before it, such as ``train.steps``."""

    value: str
    default: str
    """Empty where there is none: a recipe has to give it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What whoever opens a run tells its report; all of it may be unknown."""

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
    """When a command last went on with the run, in seconds since 1970; None: not known."""
