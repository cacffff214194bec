"""The watch of a training: an object that is told how far it is, part by part of each step."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class LogLine(NamedTuple):
    """The state of a training after some optimiser steps."""

    step: int
    loss: float
    """Mean over the trained tokens since the last line, in nats a token."""

    tokens: int
    """Tokens trained on so far, prompts left out."""

    seconds: float
    """Time spent so far."""

    learning_rate: float | None = None
    """The step's learning rate; None where an older potstill kept none."""


class Watch(Protocol):
    """Told how far a training is, part by part of each step."""

    def begins(self, *, steps: int, step: int, tokens: int, log: Sequence[LogLine]) -> None:
        """Training begins, or goes on.

        Args:
            steps: Optimiser steps in all.
            step: Optimiser steps that were taken before.
            tokens: Tokens to be trained on from here, prompts left out.
            log: The lines that were logged before.
        """

    def advances(self, steps: int, tokens: int) -> None:
        """So many more optimiser steps were taken, and so many more tokens trained on."""


class Unwatched:
    """A watch that does nothing with what it is told."""

    def begins(self, *, steps: int, step: int, tokens: int, log: Sequence[LogLine]) -> None:
        """See :class:`Watch`."""

    def advances(self, steps: int, tokens: int) -> None:
        """See :class:`Watch`."""
