"""The teacher's tokens in its part of a target, with their alternatives, as flat arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import TeacherSpan


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
    one."""

    def alternatives(self, at: int) -> list[tuple[bytes, float]]:
        """Returns one position's alternatives that have a probability, likeliest first."""
        width = self.masses.shape[1]
        texts, masses = self.others[at * width : (at + 1) * width], self.masses[at].tolist()
        return [(text, mass) for text, mass in zip(texts, masses, strict=True) if mass > 0]


def positions_of(data: bytes, teacher: TeacherSpan) -> Positions:
    """Returns the tokens that lie wholly in the teacher's part of the target, empty ones left out.

    Args:
        data: The target in UTF-8.
        teacher: The part of it that the teacher wrote, with its probabilities.

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
        return Positions(np.zeros(1, np.int64), [], np.zeros(0), [], np.zeros((0, 0)))
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
    masses = np.where(lengths[:, 1:] > 0, probabilities[:, 1:], 0.0)
    return Positions(edges, chosen, probabilities[:, 0], others, masses)


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
