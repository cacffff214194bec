"""The words for figures of a checkpoint that was chosen on the very test questions.

Only published figures are recomputed so, and no figure stands anywhere without these words.
"""

from collections.abc import Iterable
from typing import Final, Protocol

BEST_ON_TEST: Final = "best_on_test"
"""The selection rule of the code of Fine-tune-CoT (arXiv 2212.10071), notebooks/results.ipynb."""

CHOSEN_ON_TEST = (
    "Checkpoints were chosen by their accuracy on these very test questions (evaluate.select: "
    "best_on_test), as Fine-tune-CoT's published code does. So the figures of students are too "
    "high: they are for recomputing published figures, and compare with nothing whose checkpoint "
    "was not chosen so."
)

SHORT = "checkpoint chosen on these test questions, so too high"
"""The same where there is room for a few words."""


class _Choice(Protocol):
    """A :class:`potstill.records.Choice`, as far as it matters here."""

    @property
    def rule(self) -> str: ...

    @property
    def used(self) -> bool: ...


def is_chosen_on_test(choices: Iterable[_Choice]) -> bool:
    """Whether the students of a run are checkpoints that were chosen on test questions."""
    return any(choice.used and choice.rule == BEST_ON_TEST for choice in choices)
