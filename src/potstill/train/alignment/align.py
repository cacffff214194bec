"""Teacher probabilities → soft targets over a student's tokens, in one pass over the text.

Both tokenizations are grouped where they cover the same bytes. Within a group the probability of
a student token is the summed probability of the teacher's texts that the student begins to write
with this token; what the teacher's alternatives leave open stays in the tail.

Which tokens of two tokenizations of one text cover the same bytes.

Probabilities token by token → arrays of candidates, likeliest first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potstill.records import SoftTargets, TeacherSpan
from potstill.train.alignment.normalizer import SPACES
from potstill.train.alignment.teacher_tokens import Positions, positions_of
from potstill.train.alignment.time_warping import warped_targets
from potstill.train.alignment.vocabulary import Vocabulary

UNKNOWN_SHARE = 0.05
"""The later tokens of a teacher's token are hard where more than this share of their mass is open:
the teacher said nothing of what follows an alternative that ends there."""


SPACE = np.isin(np.arange(256), list(SPACES))
"""Whether a byte is one."""


class Groups(NamedTuple):
    """Groups with one token on one side at least, all of their teacher's probabilities known."""

    t0: NDArray[np.int64]
    t1: NDArray[np.int64]
    s0: NDArray[np.int64]
    s1: NDArray[np.int64]
    lead: NDArray[np.bool_]
    """Whether the student's first token begins with a space that is not in the text."""


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
    ids = np.array(target_ids, np.int64)
    if not ids.size:
        return packed(ids, [])
    data = target.encode()
    said = positions_of(data, teacher)
    if time_warping:
        rows = warped_targets(ids.tolist(), said, student)
        return packed(ids, [entries_of(rows)])
    groups = _groups(data, student.spans(target, ids.tolist()), ids, said, student)
    reached, whole = _prefixed(groups, said)
    firsts = student.firsts_of(said.others).reshape(said.masses.shape)
    return packed(
        ids,
        [
            Entries(groups.s0, ids[groups.s0], whole),
            _first_tokens(groups, said, firsts, reached),
            *_later_tokens(groups, said, firsts, ids, student),
        ],
    )


def _groups(
    data: bytes,
    spans: NDArray[np.int64],
    ids: NDArray[np.int64],
    said: Positions,
    student: Vocabulary,
) -> Groups:
    """The groups through which probabilities can be carried."""
    filled = (spans[:, 1] > spans[:, 0]).nonzero()[0]
    edges = said.edges
    ends = np.append(edges, len(data)) if edges[-1] < len(data) else edges
    before = int(edges[0] > 0)
    t0, t1, s0, s1 = align(ends[1 - before :], spans[filled, 1]).T
    s0, s1 = filled[s0], filled[s1 - 1] + 1
    t0, t1 = t0 - before, t1 - before
    known = np.append(0, (said.probabilities > 0).cumsum())
    size = t1 - t0
    inside = (known.take(t1, mode="clip") - known.take(t0, mode="clip") == size) & (t0 >= 0)
    held = (inside & ((size == 1) | (s1 - s0 == 1))).nonzero()[0]
    t0, t1, s0, s1 = t0[held], t1[held], s0[held], s1[held]
    begun = np.frombuffer(data, np.uint8)[spans[s0, 0]]
    return Groups(t0, t1, s0, s1, student.spaced(ids[s0]) & ~SPACE[begun])


def _prefixed(groups: Groups, said: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put before every alternative what the student's token has said when the teacher reaches it.

    Returns:
        The probability of reaching each position within its group, and that of each whole group.
    """
    others, width = said.others, said.masses.shape[1]
    reached, whole = np.ones(len(said.chosen)), said.probabilities[groups.t0]
    for at in (groups.lead | (groups.t1 - groups.t0 > 1)).nonzero()[0].tolist():
        so_far, product = b" " if groups.lead[at] else b"", 1.0
        for position in range(groups.t0[at], groups.t1[at]):
            if so_far:
                row = slice(position * width, (position + 1) * width)
                others[row] = [so_far + text for text in others[row]]
            reached[position] = product
            so_far += said.chosen[position]
            product *= float(said.probabilities[position])
        whole[at] = product
    return reached, whole


class Entries(NamedTuple):
    """Probability that belongs to a token at a position; what stands there twice is summed."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    masses: NDArray[np.float64]


def _first_tokens(
    groups: Groups, said: Positions, firsts: NDArray[np.int64], reached: NDArray[np.float64]
) -> Entries:
    """Every way in which the teacher could have left its path, up to the end of one token."""
    size = groups.t1 - groups.t0
    begins = (groups.t0 - (size.cumsum() - size)).repeat(size)
    positions = np.arange(begins.size) + begins
    masses = said.masses[positions] * reached[positions, None]
    tokens = firsts[positions]
    held = (masses > 0) & (tokens >= 0)
    return Entries(groups.s0.repeat(size)[held.nonzero()[0]], tokens[held], masses[held])


def _later_tokens(
    groups: Groups,
    said: Positions,
    firsts: NDArray[np.int64],
    ids: NDArray[np.int64],
    student: Vocabulary,
) -> list[Entries]:
    """The chain rule, where one token of the teacher is several of the student."""
    split = (groups.s1 - groups.s0 > 1).nonzero()[0]
    t0, s0, s1 = groups.t0[split], groups.s0[split], groups.s1[split]
    masses, tokens, own = said.masses[t0], firsts[t0], said.probabilities[t0]
    unread = np.maximum(1.0 - own - (masses * (tokens >= 0)).sum(axis=1), 0.0)
    together = ((tokens == ids[s0, None]) & (masses > 0)).any(axis=1)
    # Where no alternative begins as the chosen token does, all its later tokens are as likely.
    alone = (~together & (unread <= UNKNOWN_SHARE * (own + unread))).nonzero()[0]
    size = s1[alone] - s0[alone] - 1
    begins = (s0[alone] + 1 - (size.cumsum() - size)).repeat(size)
    rows = np.arange(begins.size) + begins
    likely = (own[alone] / (own + unread)[alone]).repeat(size)
    chains: list[tuple[int, Row]] = []
    for at in together.nonzero()[0].tolist():
        chosen = ids[s0[at] : s1[at]].tolist()
        paths: list[tuple[Sequence[int], float]] = [(chosen, float(own[at]))]
        paths += [(student.tokens_of(text), mass) for text, mass in said.alternatives(t0[at])]
        chains += _chain(int(s0[at]), chosen, paths, float(unread[at]))
    return [Entries(rows, ids[rows], likely), entries_of(chains)]


Row = dict[int, float]
"""The probabilities of a position's candidates; what they leave to 1 is its tail."""


def _chain(
    start: int, chosen: list[int], paths: list[tuple[Sequence[int], float]], unread: float
) -> list[tuple[int, Row]]:
    """The candidates after the first token, given the alternatives as the student writes them."""
    found: list[tuple[int, Row]] = []
    for at in range(1, len(chosen)):
        before, token = chosen[at - 1], chosen[at]
        paths = [path for path in paths if len(path[0]) >= at and path[0][at - 1] == before]
        total = sum([mass for _, mass in paths]) + unread
        row: Row = {token: 0.0}
        for ids, mass in paths:
            if len(ids) > at:
                row[ids[at]] = row.get(ids[at], 0.0) + mass / total
        if 1.0 - sum(row.values()) <= UNKNOWN_SHARE:
            found.append((start + at, row))
    return found


def align(teacher_ends: ArrayLike, student_ends: ArrayLike) -> NDArray[np.int64]:
    """Split both tokenizations at every byte where both have a boundary.

    Two tokens are a group of their own exactly if they span the same bytes. Tokens of no bytes
    cover nothing that could be grouped: the caller leaves them out.

    Args:
        teacher_ends: Where each token of the teacher ends, in bytes from a common beginning;
            each end is beyond the one before.
        student_ends: The same for the student.

    Returns:
        ``(G, 4)``: first token and the one after the last, of the teacher, then of the student.

    Raises:
        ValueError: The tokenizations do not end at the same byte.
    """
    teacher = np.asarray(teacher_ends, dtype=np.int64)
    student = np.asarray(student_ends, dtype=np.int64)
    ends = [int(side[-1]) if side.size else 0 for side in (teacher, student)]
    if ends[0] != ends[1]:
        raise ValueError(f"the teacher's tokens end at byte {ends[0]}, the student's at {ends[1]}")
    at = teacher.searchsorted(student)
    last = (teacher[at] == student).nonzero()[0]
    groups = np.empty((last.size, 4), np.int64)
    groups[:1, ::2] = 0
    groups[:, 1] = at[last] + 1
    groups[:, 3] = last + 1
    groups[1:, ::2] = groups[:-1, 1::2]
    return groups


def entries_of(rows: Sequence[tuple[int, Row]]) -> Entries:
    """The same from the candidates of single positions."""
    sizes = [len(row) for _, row in rows]
    tokens = [token for _, row in rows for token in row]
    masses = [mass for _, row in rows for mass in row.values()]
    positions = np.array([position for position, _ in rows], np.int64)
    return Entries(positions.repeat(sizes), np.array(tokens, np.int64), np.array(masses))


def packed(ids: NDArray[np.int64], parts: Sequence[Entries]) -> SoftTargets:
    """The candidates of all positions; a position without any is hard.

    Args:
        ids: The target's tokens.
        parts: What is known of them.
    """
    soft = np.zeros(ids.size, np.bool_)
    for part in parts:
        soft[part.rows] = True
    hard = (~soft).nonzero()[0]
    rows, tokens, masses = _summed([*parts, Entries(hard, ids[hard], np.ones(hard.size))])
    counts = np.bincount(rows, minlength=ids.size)
    columns = np.arange(rows.size) - (counts.cumsum() - counts).repeat(counts)
    shape = ids.size, int(counts.max(initial=1))
    candidates, probabilities = np.full(shape, -1, np.int32), np.full(shape, -1.0)
    candidates[rows, columns], probabilities[rows, columns] = tokens, masses
    # Padding stands behind a candidate of probability 0.
    order = (-probabilities).argsort(axis=1, kind="stable")
    order += (np.arange(ids.size) * shape[1])[:, None]
    probabilities = np.maximum(probabilities.ravel()[order], 0.0)
    tail = np.maximum(1.0 - probabilities.sum(axis=1), 0.0)
    tail[tail < 1e-9] = 0.0  # nothing but the rounding of the sum
    return SoftTargets(
        ids=candidates.ravel()[order],
        probabilities=probabilities.astype(np.float32),
        tail=tail.astype(np.float32),
        soft=soft,
    )


def _summed(parts: Sequence[Entries]) -> Entries:
    """Every token once at a position, in the order of positions."""
    rows, tokens, masses = (np.concatenate(column) for column in zip(*parts, strict=True))
    keys = rows << 32 | tokens
    order = keys.argsort()
    keys = keys[order]
    starts = np.append(True, keys[1:] != keys[:-1])[: keys.size].nonzero()[0]
    found = keys[starts]
    sums = np.add.reduceat(masses[order], starts) if starts.size else masses
    return Entries(found >> 32, found & 0xFFFFFFFF, sums)
