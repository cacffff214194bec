"""The learning rate along training, as its schedule says; the store keeps no rate of a step."""

import math
from typing import NamedTuple

POINTS = 60
"""Steps at which a schedule is drawn."""


class RateSchedule(NamedTuple):
    """How the learning rate of one student goes."""

    student: str
    """Its label."""

    rate: float
    """The highest."""

    warmup: float
    """Share of the steps in which it rises from 0."""

    schedule: str
    """``constant``, ``linear`` or ``cosine`` after that."""

    steps: int

    def at(self, step: int) -> float:
        """Returns the rate of a step, as ``transformers`` computes it.

        Raises:
            ValueError: The schedule is none of these.
        """
        rising = math.ceil(self.warmup * self.steps)
        if step < rising:
            return self.rate * step / max(1, rising)
        done = (step - rising) / max(1, self.steps - rising)
        match self.schedule:
            case "constant":
                return self.rate
            case "linear":
                return self.rate * max(0.0, 1 - done)
            case "cosine":
                return self.rate * max(0.0, 0.5 * (1 + math.cos(math.pi * done)))
            case other:
                raise ValueError(f"there is no schedule {other!r}")

    @property
    def points(self) -> list[tuple[int, float]]:
        """Steps with their rates, from 0 to the last."""
        every = max(1, self.steps // POINTS)
        rising = math.ceil(self.warmup * self.steps)
        steps = sorted({*range(0, self.steps + 1, every), rising, self.steps})
        return [(step, self.at(step)) for step in steps]
