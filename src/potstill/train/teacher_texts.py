"""The teacher's texts with their token probabilities, and the part of a target that repeats one.

:class:`TeacherTexts` looks up completions in the store; :func:`teacher_span` finds the stretch of a
target that is the teacher's own text.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from potstill.models.settings import ModelSettings
from potstill.records import Rationale, TeacherSpan, TokenLogprobs
from potstill.store import Store
from potstill.text.common_prefix import common_prefix_bytes

if TYPE_CHECKING:
    from potstill.train.alignment import Vocabulary

Texts = Callable[[int], tuple[str, TokenLogprobs] | None]
"""A completion's id to its text and its token probabilities, the tokens named by bytes."""


class Writers:
    """The teachers that wrote the rationales, by the completion's row, in nine bytes each.

    Args:
        rationales: Looked at once.
    """

    def __init__(self, rationales: Iterable[Rationale]) -> None:
        names: dict[str, int] = {}
        rows, numbers = array("q"), array("B")
        for rationale in rationales:
            rows.append(rationale.completion_id)
            numbers.append(names.setdefault(rationale.teacher, len(names)))
        order = np.argsort(np.asarray(rows), kind="stable")
        self._rows, self._numbers = np.asarray(rows)[order], np.asarray(numbers)[order]
        self._names: list[str] = list(names)

    def __getitem__(self, completion_id: int) -> str:
        """Returns the name of the teacher that wrote a completion.

        Raises:
            KeyError: No rationale comes from the completion.
        """
        place = int(np.searchsorted(self._rows, completion_id))
        if place == len(self._rows) or self._rows[place] != completion_id:
            raise KeyError(completion_id)
        name: str = self._names[int(self._numbers[place])]
        return name


def teacher_span(
    target: str, at: int, rationale: str, written: tuple[str, TokenLogprobs] | None
) -> TeacherSpan | None:
    """Returns the stretch of a target that the teacher wrote, around its rationale.

    It reaches beyond the rationale as far as the teacher's text goes on like the target, which is
    often up to the answer, but takes no part of a teacher's token there: a teacher that wrote 180
    says nothing of 18.

    Args:
        target: The text that the student learns to write.
        at: The place where the rationale begins in it, in characters.
        rationale: The rationale, as it stands in the target.
        written: The completion's text and token probabilities.

    Returns:
        None where the completion is unknown or does not hold the rationale.
    """
    if written is None or not rationale:
        return None
    text, tokens = written
    place = text.find(rationale)
    if place < 0 or tokens.lengths is None:
        return None
    # The rationale in bytes: it begins at ``start`` in the target and at ``begin`` in the text.
    whole, full = target.encode(), text.encode()
    start, begin = len(target[:at].encode()), len(text[:place].encode())
    size = len(rationale.encode())
    shift = begin - start
    # How far both go on alike after it, and how far back before it.
    after = size + common_prefix_bytes(whole[start + size :], full[begin + size :])
    before = common_prefix_bytes(whole[:start][::-1], full[:begin][::-1])
    # Shrink to whole tokens of the teacher, but never into the rationale.
    edges = np.append(0, tokens.lengths[:, 0].cumsum(dtype=np.int64))
    first = edges[np.searchsorted(edges, begin - before)]
    last = edges[np.searchsorted(edges, begin + after, side="right") - 1]
    return TeacherSpan(
        tokens=tokens,
        start=min(int(first), begin) - shift,
        end=max(int(last), begin + size) - shift,
        shift=shift,
    )


class TeacherTexts:
    """Looks up completions by their row in the store.

    Args:
        store: The run's store, which holds them.
        teachers: The teachers by their names in the recipe. A local one's tokens are stored by id,
            and its tokenizer is read to name them by their bytes.
        writers: The name of the teacher that wrote each completion, by the completion's row.
    """

    def __init__(
        self,
        store: Store,
        teachers: Mapping[str, ModelSettings],
        writers: Writers | Mapping[int, str],
    ) -> None:
        self._store, self._teachers, self._writers = store, teachers, writers
        self._vocabulary = cache(self._read_vocabulary)

    def __call__(self, completion_id: int) -> tuple[str, TokenLogprobs] | None:
        """Returns the text that a completion's tokens spell, and their probabilities by bytes.

        None where the teacher gave no probabilities, or where its tokens spell no text: a server
        may cut a character in two.
        """
        tokens = self._store.logprobs(completion_id)
        if tokens is None or tokens.logprobs.shape[1] < 2:
            return None
        if tokens.ids is not None:
            from potstill.train.alignment import named_by_bytes

            tokens = named_by_bytes(tokens, self._vocabulary(self._writers[completion_id]))
        assert tokens.lengths is not None
        # ``token_bytes`` holds, token by token, the chosen one's bytes and then its alternatives'.
        row_ends = tokens.lengths.sum(axis=1, dtype=int).cumsum()
        starts = row_ends - tokens.lengths.sum(axis=1, dtype=int)
        written = b"".join(
            tokens.token_bytes[start : start + length]
            for start, length in zip(starts, tokens.lengths[:, 0].astype(int), strict=True)
        )
        try:
            return written.decode(), tokens
        except UnicodeDecodeError:
            return None

    def thinking_of(self, rationales: Iterable[Rationale]) -> dict[int, str]:
        """Returns the thinking before rationales, by the completion's row, where they have any."""
        return self._store.thinking_of(rationale.completion_id for rationale in rationales)

    def _read_vocabulary(self, name: str) -> "Vocabulary":
        from potstill.models.local.loading import load_tokenizer
        from potstill.train.alignment import Vocabulary

        tokenizer = self._teachers[name].tokenizer
        assert tokenizer is not None, "only local models name tokens by id"
        return Vocabulary(load_tokenizer(tokenizer))
