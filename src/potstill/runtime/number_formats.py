"""The number formats that were chosen for a run's models, by a trial of each on its machine.

A choice is made once and kept in the run's folder, so that what is repeated, resumed or measured
later is computed as what came before. A run of before such choices goes on in float32, as it began.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from potstill.whole_files import write_whole

NumberFormat = Literal["float32", "bfloat16"]

FLOAT32_STATES = "bfloat16 with float32 states"
"""The format of a model whose matrix products are in bfloat16 and all else in float32."""

LEAST_GAIN = 1.1
"""bfloat16, which rounds more, is taken where it is so many times as fast."""


def served_format(number_format: str) -> str:
    """Returns the number format of servers in which answers are nearest to those of another."""
    return "float32" if number_format == FLOAT32_STATES else number_format


class Trial(NamedTuple):
    """The seconds that the same work took in each number format."""

    float32: float
    bfloat16: float

    @property
    def chosen(self) -> NumberFormat:
        """The faster of the two; float32 where bfloat16 gains little."""
        return "bfloat16" if self.float32 >= LEAST_GAIN * self.bfloat16 else "float32"

    def describe(self, work: str) -> str:
        """Returns the choice with its figures.

        Args:
            work: The work that was tried, e.g. ``training``.
        """
        return (
            f"{work} computes in {self.chosen}: a trial took {self.float32:.2f} s in float32 and "
            f"{self.bfloat16:.2f} s in bfloat16"
        )


class NumberFormats:
    """The choices of one run.

    Args:
        path: The file that keeps them; None keeps them for this process alone.
        former: Whether the run was begun before choices were kept: all of it stays float32.
        choices: Choices that were made elsewhere, as :attr:`choices` has them.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        former: bool = False,
        choices: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self._path = path
        self.former = former and not (path and path.is_file())
        """Whether all of the run stays float32."""

        self._kept: dict[str, Mapping[str, object]] = dict(choices or {})
        if path is not None and path.is_file():
            self._kept = json.loads(path.read_text(encoding="utf-8"))

    def known(self, model: str) -> NumberFormat | None:
        """Returns the choice that was made for a model before; None where none was.

        Args:
            model: The name of the model's shape, so that a start and its students are computed
                alike.
        """
        if self.former:
            return "float32"
        kept = self._kept.get(model)
        return None if kept is None else "bfloat16" if kept["chosen"] == "bfloat16" else "float32"

    def keep(self, model: str, trial: Trial) -> None:
        """Keep a choice with its figures."""
        self.take_over({model: {"chosen": trial.chosen, **trial._asdict()}})

    @property
    def choices(self) -> dict[str, Mapping[str, object]]:
        """The choices with their figures, by model."""
        return dict(self._kept)

    def take_over(self, choices: Mapping[str, Mapping[str, object]]) -> None:
        """Keep choices that are not kept yet."""
        new = {model: figures for model, figures in choices.items() if model not in self._kept}
        self._kept |= new
        if new and self._path is not None:
            write_whole(self._path, json.dumps(self._kept, indent=2) + "\n")
