"""What is told how far a training is, part by part of each step."""

from typing import Protocol


class Watch(Protocol):
    """Told how far a training is, part by part of each step."""

    def begins(self, *, steps: int, step: int, tokens: int) -> None:
        """Training begins, or goes on.

        Args:
            steps: Optimiser steps in all.
            step: Those that were taken before.
            tokens: Tokens to be trained on from here, prompts left out.
        """

    def advances(self, steps: int, tokens: int) -> None:
        """So many more optimiser steps were taken, and so many more tokens trained on."""


class Unwatched:
    """A watch that does nothing with what it is told."""

    def begins(self, *, steps: int, step: int, tokens: int) -> None:
        """See :class:`Watch`."""

    def advances(self, steps: int, tokens: int) -> None:
        """See :class:`Watch`."""
