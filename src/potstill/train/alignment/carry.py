"""Teacher probabilities → soft targets over a student's tokens, in one pass over the text.

Both tokenizations are grouped where they cover the same bytes. Within a group the probability of
a student token is the summed probability of the teacher's texts that the student begins to write
with this token; what the teacher's alternatives leave open stays in the tail.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import SoftTargets, TeacherSpan
from potstill.train.alignment.groups import align
from potstill.train.alignment.time_warping import warped_targets
from potstill.train.alignment.vocabulary import Vocabulary

UNKNOWN_SHARE = 0.05
"""The later tokens of a teacher's token are hard where more than this share of their mass is open:
the teacher said nothing of what follows an alternative that ends there."""

SPACES = b" \t\n\r\v\f"

Row = dict[int, float]
"""The probabilities of a position's candidates; what they leave to 1 is its tail."""


class Alternatives(NamedTuple):
    """One position of the teacher: the chosen token first, every text with its probability."""

    texts: list[bytes]
    probabilities: list[float]


def soft_targets(
    target: str,
    target_ids: Sequence[int],
    teacher: TeacherSpan,
    student: Vocabulary,
    *,
    time_warping: bool = False,
) -> SoftTargets:
    """The teacher's probabilities at each of the student's tokens.

    Args:
        target: What the student learns to write.
        target_ids: The target in the student's tokens, without the end-of-sequence token.
        teacher: Which part of the target the teacher wrote, and with which probabilities.
        student: The student's tokens.
        time_warping: Align as published instead of by bytes; see ``time_warping``.

    Raises:
        ValueError: The teacher's tokens do not spell the part of the target that they should.
    """
    ids = [int(token) for token in target_ids]
    rows: list[Row | None] = [None] * len(ids)
    if ids:
        data = target.encode()
        edges, positions = _inside(data, teacher)
        if time_warping:
            return packed(ids, warped_targets(data, ids, edges, positions, student))
        spans = student.spans(target, ids)
        ends = np.append(edges, len(data)) if edges[-1] < len(data) else edges
        before = int(ends[0] > 0)
        ends = ends[1 - before :]
        for t0, t1, s0, s1 in align(ends, spans[:, 1]).tolist():
            group = positions[t0 - before : t1 - before] if t0 >= before else []
            if len(group) != t1 - t0 or not group or None in group:
                continue
            known = [position for position in group if position is not None]
            lead = _lead(data, int(spans[s0, 0]), ids[s0], student)
            if s1 - s0 == 1:
                rows[s0] = _many_to_one(known, ids[s0], student, lead)
            elif len(known) == 1 and s1 > s0:
                rows[s0:s1] = _one_to_many(known[0], ids[s0:s1], student, lead)
    return packed(ids, rows)


def _inside(
    data: bytes, teacher: TeacherSpan
) -> tuple[NDArray[np.int64], list[Alternatives | None]]:
    """The teacher's tokens that lie wholly in its part of the target, those of no bytes left out.

    Returns:
        Their T + 1 edges in the target, and their alternatives; None where they are unknown.
    """
    tokens = teacher.tokens
    assert tokens.lengths is not None, "tokens are named by bytes"
    lengths = tokens.lengths.astype(np.int64)
    ends = lengths[:, 0].cumsum() - teacher.shift
    starts = ends - lengths[:, 0]
    held = np.flatnonzero((starts >= teacher.start) & (ends <= teacher.end) & (ends > starts))
    if not held.size:
        return np.zeros(1, np.int64), []
    edges = np.append(starts[held[0]], ends[held])
    probabilities = np.nan_to_num(np.exp(tokens.logprobs[held].astype(np.float64)))
    stops = lengths.cumsum().reshape(lengths.shape)[held]
    begins = stops - lengths[held]
    names = tokens.token_bytes
    positions: list[Alternatives | None] = []
    said: list[bytes] = []
    for first, last, row in zip(
        begins.tolist(), stops.tolist(), probabilities.tolist(), strict=True
    ):
        texts = [names[start:stop] for start, stop in zip(first, last, strict=True)]
        said.append(texts[0])
        positions.append(_alternatives(texts, row) if row[0] > 0 else None)
    if b"".join(said) != data[edges[0] : edges[-1]]:
        raise ValueError(
            f"the teacher's tokens spell {b''.join(said)[:60]!r} where the target has "
            f"{data[edges[0] : edges[-1]][:60]!r}; is the span's shift right?"
        )
    return edges, positions


def _alternatives(texts: list[bytes], probabilities: list[float]) -> Alternatives:
    """The chosen token once, then the others; never above 1 in all."""
    if texts[0] in texts[1:]:
        again = texts.index(texts[0], 1)
        del texts[again], probabilities[again]
    total = sum(probabilities)
    if total > 1.0:  # published probabilities are rounded
        probabilities = [probability / total for probability in probabilities]
    return Alternatives(texts, probabilities)


def _lead(data: bytes, start: int, token: int, student: Vocabulary) -> bytes:
    """A space, where the student's token begins with one that is not in the text."""
    said = student.bytes_of(token) or b""
    bare = said.startswith(b" ") and data[start : start + 1] not in (b" ", b"\n", b"\t", b"\r")
    return b" " if bare else b""


def _many_to_one(
    positions: list[Alternatives], token: int, student: Vocabulary, lead: bytes
) -> Row:
    """Every way in which the teacher could have left its path, up to the end of one token."""
    row: Row = {token: 0.0}
    so_far, reached, first_of = lead, 1.0, student.first_of
    for texts, probabilities in positions:
        for text, probability in zip(texts[1:], probabilities[1:], strict=True):
            if not probability or not text:  # padding, or a special token
                continue
            first = first_of(so_far + text)
            if first >= 0:
                row[first] = row.get(first, 0.0) + reached * probability
        so_far += texts[0]
        reached *= probabilities[0]
    row[token] += reached
    return row


def _one_to_many(
    position: Alternatives, chosen: list[int], student: Vocabulary, lead: bytes
) -> list[Row | None]:
    """The chain rule over the alternatives as the student writes them."""
    paths: list[tuple[Sequence[int], float]] = [(chosen, position.probabilities[0])]
    for text, probability in zip(position.texts[1:], position.probabilities[1:], strict=True):
        if not probability or not text:  # padding, or a special token
            continue
        ids = student.tokens_of(lead + text)
        token = student.token_of(lead + text)
        paths.append(((token,) if token is not None else ids, probability))
    paths = [path for path in paths if path[0]]
    open_mass = max(1.0 - sum([mass for _, mass in paths]), 0.0)
    rows: list[Row | None] = []
    for at, token in enumerate(chosen):
        mass = sum([probability for _, probability in paths]) + open_mass
        row: Row = {token: 0.0}
        for ids, probability in paths:
            if len(ids) > at:
                row[ids[at]] = row.get(ids[at], 0.0) + probability / mass
        unknown = 1.0 - sum(row.values())
        rows.append(row if at == 0 or unknown <= UNKNOWN_SHARE else None)
        paths = [path for path in paths if path[0][at : at + 1] and path[0][at] == token]
    return rows


def packed(ids: Sequence[int], rows: Sequence[Row | None]) -> SoftTargets:
    """Rows as arrays, likeliest first; a position without one is hard."""
    width = max((len(row) for row in rows if row), default=1)
    shape = (len(ids), max(width, 1))
    tokens: list[int] = []
    masses: list[float] = []
    for token, row in zip(ids, rows, strict=True):
        found = row or {token: 1.0}
        padding = shape[1] - len(found)
        tokens += found
        masses += found.values()
        tokens += [-1] * padding
        masses += [0.0] * padding
    ids_TK = np.array(tokens, np.int32).reshape(shape)
    probabilities = np.array(masses, np.float64).reshape(shape)
    tail = np.maximum(1.0 - probabilities.sum(axis=1), 0.0)
    tail[tail < 1e-9] = 0.0  # nothing but the rounding of the sum
    # Padding keeps its place behind a candidate of probability 0.
    order = np.lexsort((ids_TK < 0, -probabilities), axis=1)
    return SoftTargets(
        ids=np.take_along_axis(ids_TK, order, axis=1),
        probabilities=np.take_along_axis(probabilities, order, axis=1).astype(np.float32),
        tail=tail.astype(np.float32),
        soft=np.array([row is not None for row in rows], np.bool_),
    )
