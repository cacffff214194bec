"""Looks up what completions say, by their rows: their texts and the thinking before them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from potstill.store.database import Rows, explained
from potstill.text.thinking import answer_and_thinking


class CompletionText(NamedTuple):
    """The text of a completion, apart from its thinking."""

    text: str
    """The text as the model wrote it, with the white space around it."""

    thinking: str | None
    """None where there is none."""


class CompletionTexts(Rows):
    """Reads texts of completions that rationales were taken from."""

    def texts_of(self, completion_ids: Iterable[int]) -> Iterator[tuple[int, CompletionText]]:
        """Yields each row with its text; what an older potstill stored holds thinking in the text.

        Args:
            completion_ids: Rows that are there.
        """
        with explained(self.path):
            for id_ in completion_ids:
                text, thinking = self._db.execute(
                    "SELECT text, thinking FROM completions WHERE id = ?", (id_,)
                ).fetchone()
                if thinking is None:
                    text, thinking = answer_and_thinking(text)
                yield id_, CompletionText(text, thinking)

    def thinking_of(self, completion_ids: Iterable[int]) -> dict[int, str]:
        """Returns the thinking of completions, by their rows; those without any are left out."""
        return {
            id_: found.thinking.strip()
            for id_, found in self.texts_of(completion_ids)
            if found.thinking and found.thinking.strip()
        }
