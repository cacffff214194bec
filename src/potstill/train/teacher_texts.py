"""What the teacher wrote, with its token probabilities, for distribution matching."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from potstill.models.settings import LocalSettings, ModelSettings
from potstill.records import TokenLogprobs
from potstill.store import Store

if TYPE_CHECKING:
    from potstill.train.alignment import Vocabulary


class TeacherTexts:
    """Looks up completions by their row in the store.

    Args:
        store: Holds them.
        teachers: The teachers by their names in the recipe. A local one's tokens are stored by id,
            and its tokenizer is read to name them by their bytes.
        writers: By completion, the name of the teacher that wrote it.
    """

    def __init__(
        self, store: Store, teachers: Mapping[str, ModelSettings], writers: Mapping[int, str]
    ) -> None:
        self._store, self._teachers, self._writers = store, teachers, writers
        self._vocabulary = cache(self._read_vocabulary)

    def __call__(self, completion_id: int) -> tuple[str, TokenLogprobs] | None:
        """The text that a completion's tokens spell, and their probabilities named by bytes.

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

    def _read_vocabulary(self, name: str) -> "Vocabulary":
        from potstill.models.loading import load_tokenizer
        from potstill.train.alignment import Vocabulary

        teacher = self._teachers[name]
        assert isinstance(teacher, LocalSettings), "only local models name tokens by id"
        return Vocabulary(load_tokenizer(teacher))
