"""The teacher's tokens in its part of a target, with their alternatives, as flat arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import TeacherSpan, TokenLogprobs


class Positions(NamedTuple):
    """T tokens of the teacher one after the other, with K alternatives each."""

    edges: NDArray[np.int64]
    """``(T + 1,)``: token i covers the bytes ``[edges[i], edges[i + 1])`` of the target."""

    chosen: list[bytes]
    """The tokens' texts."""

    probabilities: NDArray[np.float64]
    """``(T,)``: the tokens' probabilities; 0 where one is unknown."""

    others: list[bytes]
    """The ``T * K`` alternatives' texts, row by row."""

    masses: NDArray[np.float64]
    """``(T, K)``: the alternatives' probabilities; 0 for padding, special tokens, and the chosen
    one. Where ends are read, an alternative without a text ends the answer."""

    end: "EndOfAnswer | None" = None
    """The teacher's probabilities behind the last token; None where it gives none."""

    def alternatives(self, at: int) -> list[tuple[bytes, float]]:
        """Returns one position's alternatives that have a probability, likeliest first."""
        width = self.masses.shape[1]
        texts, masses = self.others[at * width : (at + 1) * width], self.masses[at].tolist()
        return [(text, mass) for text, mass in zip(texts, masses, strict=True) if mass > 0]


class EndOfAnswer(NamedTuple):
    """The teacher's probabilities at the place where an answer ends."""

    ends: float
    """The probability that the answer ends there."""

    others: list[bytes]
    """The K texts that the teacher might write there in place of the end."""

    masses: NDArray[np.float64]
    """``(K,)``: the probabilities of ``others``; 0 for padding and for ends."""


def positions_of(data: bytes, teacher: TeacherSpan, *, reads_ends: bool = False) -> Positions:
    """Returns the tokens that lie wholly in the teacher's part of the target, empty ones left out.

    Args:
        data: The target in UTF-8.
        teacher: The part of it that the teacher wrote, with its probabilities.
        reads_ends: Whether a token of no bytes that has a probability ends the answer, and a row of
            such a token behind the last one is the end of the answer itself.

    Raises:
        ValueError: The teacher's tokens do not spell the part of the target that they should.
    """
    tokens = teacher.tokens
    assert tokens.lengths is not None, "tokens are named by bytes"
    # (T, 1 + K) lengths, the chosen token's in column 0. Its running sum, moved by the span's
    # shift, is where each token ends in the target.
    lengths = tokens.lengths.astype(np.int64)
    ends = lengths[:, 0].cumsum() - teacher.shift
    starts = ends - lengths[:, 0]
    held = ((starts >= teacher.start) & (ends <= teacher.end) & (ends > starts)).nonzero()[0]
    if not held.size:
        end = _end_of(tokens) if reads_ends and not data else None
        return Positions(np.zeros(1, np.int64), [], np.zeros(0), [], np.zeros((0, 0)), end)
    edges = np.append(starts[held[0]], ends[held])
    # Texts lie in ``token_bytes`` row by row, so the running sum over all columns finds each one.
    stops = lengths.cumsum().reshape(lengths.shape)[held]
    lengths = lengths[held]
    begins = stops - lengths
    chosen = _cut(tokens.token_bytes, begins[:, 0], stops[:, 0])
    spelled = b"".join(chosen)
    if spelled != data[edges[0] : edges[-1]]:
        raise ValueError(
            f"the teacher's tokens spell {spelled[:60]!r} where the target has "
            f"{data[edges[0] : edges[-1]][:60]!r}; is the span's shift right?"
        )
    others = _cut(tokens.token_bytes, begins[:, 1:], stops[:, 1:])
    probabilities = np.fmax(np.exp(tokens.logprobs[held].astype(np.float64)), 0.0)  # NaN: unknown
    probabilities[:, 1:].flat[_repeated(chosen, others)] = 0.0
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities /= np.maximum(total, 1.0)  # published probabilities are rounded
    masses = np.where(reads_ends | (lengths[:, 1:] > 0), probabilities[:, 1:], 0.0)
    end = _end_of(tokens) if reads_ends and edges[-1] == len(data) else None
    return Positions(edges, chosen, probabilities[:, 0], others, masses, end)


def _end_of(tokens: TokenLogprobs) -> EndOfAnswer | None:
    """Returns what stands in the row behind the last token of a text, where there is such a row."""
    assert tokens.lengths is not None
    if not len(tokens.lengths) or tokens.lengths[-1, 0] or not np.isfinite(tokens.logprobs[-1, 0]):
        return None
    probabilities = np.exp(tokens.logprobs[-1].astype(np.float64))
    lengths = tokens.lengths[-1, 1:].astype(np.int64)
    stops = len(tokens.token_bytes) - lengths.sum() + lengths.cumsum()
    others = _cut(tokens.token_bytes, stops - lengths, stops)
    # The chosen end is mostly listed again; a model may have several.
    ends = max(probabilities[0], probabilities[1:][lengths == 0].sum())
    masses = np.where(lengths > 0, probabilities[1:], 0.0)
    total = max(ends + masses.sum(), 1.0)  # published probabilities are rounded
    return EndOfAnswer(ends / total, others, masses / total)


def _cut(text: bytes, begins: NDArray[np.int64], stops: NDArray[np.int64]) -> list[bytes]:
    """Returns the pieces of a text between these places."""
    places = zip(begins.ravel().tolist(), stops.ravel().tolist(), strict=True)
    return [text[begin:stop] for begin, stop in places]


def _repeated(chosen: list[bytes], others: list[bytes]) -> list[int]:
    """Returns the places of alternatives that repeat the chosen token.

    Only the first such one of a row: another token may have the same text.
    """
    width = len(others) // len(chosen)
    places: list[int] = []
    for row, text in enumerate(chosen):
        alternatives = others[row * width : (row + 1) * width]
        if text in alternatives:
            places.append(row * width + alternatives.index(text))
    return places
