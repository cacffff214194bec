"""Teacher probabilities → soft targets over a student's tokens, in one pass over the text.

Both tokenizations are cut at every byte where both have a boundary (:func:`align`). Within a group
the probability of a student token is the summed probability of the teacher's texts that the student
begins to write with this token; what the teacher's alternatives leave open stays in the tail::

    text        " apples = 17."
    teacher     " apples" | " =" | " 1" | "7" | "."
    student     " app" | "les" | " =" | " 17" | "."
    groups      [ apples ]  1 : 2    [ =] 1 : 1    [ 17] 2 : 1    [.] 1 : 1

- One to one: the teacher's candidates, each under the student token that begins to write it.
- One teacher token, several of the student's: the first has the summed mass of the alternatives
  that begin as it does; the later ones follow by the chain rule, p(les | app) = p(apples) / the
  mass of all alternatives that the student writes with " app" first.
- Several teacher tokens, one of the student's: p( 17) = p( 1) p(7 | 1); an alternative at "7",
  such as "8", stands for the text " 18" with mass p( 1) p(8 | 1).
- Several to several: the teacher's probabilities do not determine the student's, so these tokens
  are hard: the label with probability 1.

Soft targets are arrays of candidates, likeliest first, and a tail (:func:`packed`).

Shape legend: T teacher tokens and S student tokens of the text, G groups, K alternatives of a
teacher token. ``t0``, ``t1``, ``s0``, ``s1`` are ``(G,)``: a group's first token and the one after
its last, on either side.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potstill.errors import ConfigError, shortened
from potstill.records import SoftTargets, TeacherSpan
from potstill.train.alignment.normalizer import SPACES
from potstill.train.alignment.teacher_tokens import Positions, positions_of
from potstill.train.alignment.vocabulary import Vocabulary

Alignment = Callable[[Sequence[int], Positions, Vocabulary], Sequence[tuple[int, dict[int, float]]]]
"""Another way to carry probabilities: ``alignment(ids, teacher_tokens, vocabulary)`` returns the
position of each student token that is soft, with its candidates' probabilities by token. It gets
the student's tokens of the whole target, the teacher's tokens of its part, and the student's
vocabulary."""

UNKNOWN_SHARE = 0.05
"""The student's later tokens within a teacher's token are hard where more than this share of their
mass is open: the teacher says nothing of what follows an alternative that ends there."""

SPACE = np.isin(np.arange(256), list(SPACES))
"""Whether each of the 256 bytes is white space."""


class Groups(NamedTuple):
    """G groups with one token on one side at least, and all teacher probabilities known."""

    t0: NDArray[np.int64]
    t1: NDArray[np.int64]
    """The teacher's tokens of a group are ``[t0, t1)``, counted from its part of the target."""

    s0: NDArray[np.int64]
    s1: NDArray[np.int64]
    """The student's are ``[s0, s1)``."""

    lead: NDArray[np.bool_]
    """Whether the student's first token begins with a space that is not in the text."""


def soft_targets(
    target: str,
    target_ids: Sequence[int],
    teacher: TeacherSpan,
    student: Vocabulary,
    *,
    aligned_by: Alignment | None = None,
    end: int | None = None,
) -> SoftTargets:
    """Returns the teacher's probabilities at each of the student's tokens.

    Args:
        target: The text that the student learns to write.
        target_ids: The target in the student's tokens, without the end-of-sequence token.
        teacher: The part of the target that the teacher wrote, with its probabilities.
        student: The student's tokens by their bytes.
        aligned_by: Aligns in place of this function's own way, which is by bytes.
        end: The student's token that ends an answer, where the teacher's record says of its own
            tokens without bytes that they do: it gets their probability, and a place of its own
            behind the target's tokens, which is hard where the record does not reach there.

    Raises:
        ValueError: The teacher's tokens do not spell the part of the target that they should.
        ConfigError: ``aligned_by`` returned something else than an alignment has to.
    """
    ids = np.array(target_ids, np.int64)
    data = target.encode()
    spoken = positions_of(data, teacher, reads_ends=end is not None)
    parts = [] if end is None else _end_entries(spoken, ids.size, end, student)
    whole_ids = ids if end is None else np.append(ids, end)
    if not ids.size:
        return packed(whole_ids, parts)
    if aligned_by is not None:
        rows = _checked(aligned_by(ids.tolist(), spoken, student), ids.size)
        return packed(whole_ids, [entries_of(rows), *parts])
    groups = _carried_groups(data, student.spans(target, ids.tolist()), ids, spoken, student)
    reached, whole = _spell_out(groups, spoken)
    # (T, K): the student token with which it begins to write each alternative; -1: none can.
    firsts = student.firsts_of(spoken.others)
    if end is not None:
        firsts[[not text for text in spoken.others]] = end
    firsts = firsts.reshape(spoken.masses.shape)
    parts += [
        Entries(groups.s0, ids[groups.s0], whole),  # the teacher's own path
        _first_tokens(groups, spoken, firsts, reached),
        *_later_tokens(groups, spoken, firsts, ids, student),
    ]
    return packed(whole_ids, parts)


def _end_entries(spoken: Positions, row: int, end: int, student: Vocabulary) -> list["Entries"]:
    """Returns what the teacher says of the end of an answer, at the place behind its tokens."""
    found = spoken.end
    if found is None:
        return []
    tokens = np.append(end, student.firsts_of(found.others))
    masses = np.append(found.ends, found.masses)
    held = (tokens >= 0) & (masses > 0)
    return [Entries(np.full(int(held.sum()), row, np.int64), tokens[held], masses[held])]


def _carried_groups(
    data: bytes,
    spans: NDArray[np.int64],
    ids: NDArray[np.int64],
    spoken: Positions,
    student: Vocabulary,
) -> Groups:
    """Returns the groups through which probabilities can be carried."""
    # The teacher wrote a part of the target only: what stands before and after it counts as one
    # token each, so that both sides cover the whole. Student tokens of no bytes are left out.
    filled = (spans[:, 1] > spans[:, 0]).nonzero()[0]
    edges = spoken.edges
    ends = np.append(edges, len(data)) if edges[-1] < len(data) else edges
    before = int(edges[0] > 0)
    t0, t1, s0, s1 = align(ends[1 - before :], spans[filled, 1]).T
    s0, s1 = filled[s0], filled[s1 - 1] + 1
    t0, t1 = t0 - before, t1 - before
    # Keep a group if the teacher's tokens in it all have a probability (their running count tells),
    # and it is 1 : n or n : 1.
    known = np.append(0, (spoken.probabilities > 0).cumsum())
    size = t1 - t0
    inside = (known.take(t1, mode="clip") - known.take(t0, mode="clip") == size) & (t0 >= 0)
    held = (inside & ((size == 1) | (s1 - s0 == 1))).nonzero()[0]
    t0, t1, s0, s1 = t0[held], t1[held], s0[held], s1[held]
    begun = np.frombuffer(data, np.uint8)[spans[s0, 0]]
    return Groups(t0, t1, s0, s1, student.spaced(ids[s0]) & ~SPACE[begun])


def _spell_out(
    groups: Groups, spoken: Positions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put before every alternative what the student's token holds before it; changes ``others``.

    Where several teacher tokens are one of the student's, an alternative at a later one stands for
    the text from the group's beginning: "8" after " 1" becomes " 18".

    Returns:
        ``(T,)`` the probability of reaching each position within its group, and ``(G,)`` that of
        each whole group.
    """
    others, width = spoken.others, spoken.masses.shape[1]
    # Most groups begin at their one teacher token, which is reached for certain.
    reached, whole = np.ones(len(spoken.chosen)), spoken.probabilities[groups.t0]
    for at in (groups.lead | (groups.t1 - groups.t0 > 1)).nonzero()[0].tolist():
        so_far, product = b" " if groups.lead[at] else b"", 1.0
        for position in range(groups.t0[at], groups.t1[at]):
            if so_far:
                row = slice(position * width, (position + 1) * width)
                # An end of the answer at the group's first token has no space before it either.
                begun = position > groups.t0[at]
                others[row] = [so_far + text if text or begun else text for text in others[row]]
            reached[position] = product
            so_far += spoken.chosen[position]
            product *= float(spoken.probabilities[position])
        whole[at] = product
    return reached, whole


class Entries(NamedTuple):
    """Probabilities of tokens at positions of the target; those of one token there are summed."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    masses: NDArray[np.float64]


def _first_tokens(
    groups: Groups, spoken: Positions, firsts: NDArray[np.int64], reached: NDArray[np.float64]
) -> Entries:
    """Returns every way in which the teacher could have left its path within a group."""
    # All teacher positions of all groups, one after the other: t0, t0 + 1, .. t1 - 1, next group.
    size = groups.t1 - groups.t0
    begins = (groups.t0 - (size.cumsum() - size)).repeat(size)
    positions = np.arange(begins.size) + begins
    # An alternative weighs its own probability times that of getting there.
    masses = spoken.masses[positions] * reached[positions, None]
    tokens = firsts[positions]
    held = (masses > 0) & (tokens >= 0)
    return Entries(groups.s0.repeat(size)[held.nonzero()[0]], tokens[held], masses[held])


def _later_tokens(
    groups: Groups,
    spoken: Positions,
    firsts: NDArray[np.int64],
    ids: NDArray[np.int64],
    student: Vocabulary,
) -> list[Entries]:
    """Returns the student's tokens after the first, where several write one of the teacher's."""
    split = (groups.s1 - groups.s0 > 1).nonzero()[0]
    t0, s0, s1 = groups.t0[split], groups.s0[split], groups.s1[split]
    # (G', K) alternatives of the split groups, and the mass of texts that no student token begins.
    masses, tokens, own = spoken.masses[t0], firsts[t0], spoken.probabilities[t0]
    unread = np.maximum(1.0 - own - (masses * (tokens >= 0)).sum(axis=1), 0.0)
    together = ((tokens == ids[s0, None]) & (masses > 0)).any(axis=1)
    # Where no alternative begins as the chosen token does, the first student token decides: all
    # later ones have the probability own / (own + unread).
    alone = (~together & (unread <= UNKNOWN_SHARE * (own + unread))).nonzero()[0]
    size = s1[alone] - s0[alone] - 1
    begins = (s0[alone] + 1 - (size.cumsum() - size)).repeat(size)
    rows = np.arange(begins.size) + begins
    likely = (own[alone] / (own + unread)[alone]).repeat(size)
    # Elsewhere the alternatives are written out in the student's tokens and compared step by step.
    chains: list[tuple[int, Candidates]] = []
    for at in together.nonzero()[0].tolist():
        chosen = ids[s0[at] : s1[at]].tolist()
        paths: list[tuple[Sequence[int], float]] = [(chosen, float(own[at]))]
        paths += [(student.tokens_of(text), mass) for text, mass in spoken.alternatives(t0[at])]
        chains += _chain(int(s0[at]), chosen, paths, float(unread[at]))
    return [Entries(rows, ids[rows], likely), entries_of(chains)]


Candidates = dict[int, float]
"""The probabilities of a position's candidates; what they leave to 1 is its tail."""


def _chain(
    start: int, chosen: list[int], paths: list[tuple[Sequence[int], float]], unread: float
) -> list[tuple[int, Candidates]]:
    """Returns the candidates after the first token, by the chain rule over written-out paths.

    Args:
        start: The position of the first token.
        chosen: The tokens that the target has here.
        paths: Every text of the teacher in the student's tokens, with its probability.
        unread: The mass of texts that are not known.
    """
    rows: list[tuple[int, Candidates]] = []
    for at in range(1, len(chosen)):
        before, token = chosen[at - 1], chosen[at]
        # Only the paths that have gone along so far; their mass is what the next token shares out.
        paths = [path for path in paths if len(path[0]) >= at and path[0][at - 1] == before]
        total = sum([mass for _, mass in paths]) + unread
        row: Candidates = {token: 0.0}
        for ids, mass in paths:
            if len(ids) > at:
                row[ids[at]] = row.get(ids[at], 0.0) + mass / total
        if 1.0 - sum(row.values()) <= UNKNOWN_SHARE:
            rows.append((start + at, row))
    return rows


def align(teacher_ends: ArrayLike, student_ends: ArrayLike) -> NDArray[np.int64]:
    """Split both tokenizations at every byte where both have a boundary.

    Two tokens are a group of their own exactly if they span the same bytes. Tokens of no bytes
    cover nothing that could be grouped: the caller leaves them out.

    Args:
        teacher_ends: The end of each token of the teacher, in bytes from a common beginning;
            each end is beyond the one before.
        student_ends: The same for the student.

    Returns:
        ``(G, 4)``: first token and the one after the last, of the teacher, then of the student. For
        ends ``[7, 9, 11, 12]`` and ``[4, 7, 9, 12]`` the rows are ``[0, 1, 0, 2]``,
        ``[1, 2, 2, 3]`` and ``[2, 4, 3, 4]``.

    Raises:
        ValueError: The tokenizations do not end at the same byte.
    """
    teacher = np.asarray(teacher_ends, dtype=np.int64)
    student = np.asarray(student_ends, dtype=np.int64)
    ends = [int(side[-1]) if side.size else 0 for side in (teacher, student)]
    if ends[0] != ends[1]:
        raise ValueError(f"the teacher's tokens end at byte {ends[0]}, the student's at {ends[1]}")
    # A student token closes a group if a teacher token ends at the same byte; a group begins where
    # the one before is closed.
    at = teacher.searchsorted(student)
    last = (teacher[at] == student).nonzero()[0]
    groups = np.empty((last.size, 4), np.int64)
    groups[:1, ::2] = 0
    groups[:, 1] = at[last] + 1
    groups[:, 3] = last + 1
    groups[1:, ::2] = groups[:-1, 1::2]
    return groups


def _checked(rows: object, tokens: int) -> Sequence[tuple[int, Candidates]]:
    """Returns what an alignment returned, be it one of a user's own.

    Raises:
        ConfigError: It is no list of positions among the tokens with their candidates.
    """
    match rows:
        case [*_] if all(_is_row(row, tokens) for row in rows):
            return cast(Sequence[tuple[int, Candidates]], rows)
    raise ConfigError(
        f"the alignment returned {shortened(rows)}. It has to return a list of pairs: a position "
        f"below {tokens}, and the probabilities of its candidates by token."
    )


def _is_row(row: object, tokens: int) -> bool:
    """Whether a row is the position of one of the tokens, with a mapping of candidates."""
    match row:
        case (int() | np.integer() as position, dict() as candidates):
            return bool(0 <= position < tokens) and all(
                math.isfinite(mass) and mass >= 0 for mass in candidates.values()
            )
    return False


def entries_of(rows: Sequence[tuple[int, Candidates]]) -> Entries:
    """Returns the candidates of single positions as entries."""
    sizes = [len(row) for _, row in rows]
    tokens = [token for _, row in rows for token in row]
    masses = [mass for _, row in rows for mass in row.values()]
    positions = np.array([position for position, _ in rows], np.int64)
    return Entries(positions.repeat(sizes), np.array(tokens, np.int64), np.array(masses))


def packed(ids: NDArray[np.int64], parts: Sequence[Entries]) -> SoftTargets:
    """Returns the candidates of all positions as soft targets; a position without any is hard.

    Args:
        ids: ``(S,)`` the target's tokens.
        parts: All that is known of their probabilities.
    """
    soft = np.zeros(ids.size, np.bool_)
    for part in parts:
        soft[part.rows] = True
    hard = (~soft).nonzero()[0]
    rows, tokens, masses = _summed([*parts, Entries(hard, ids[hard], np.ones(hard.size))])
    # Lay the entries, sorted by position, into a table: the n-th entry of a row in column n.
    counts = np.bincount(rows, minlength=ids.size)
    columns = np.arange(rows.size) - (counts.cumsum() - counts).repeat(counts)
    shape = ids.size, int(counts.max(initial=1))
    candidates, probabilities = np.full(shape, -1, np.int32), np.full(shape, -1.0)
    candidates[rows, columns], probabilities[rows, columns] = tokens, masses
    # Sort each row, likeliest first; padding (-1) stands behind a candidate of probability 0.
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
    """Returns every token once at a position, in the order of positions."""
    rows, tokens, masses = (np.concatenate(column) for column in zip(*parts, strict=True))
    # One integer for position and token, so that one sort brings equal ones together.
    keys = rows << 32 | tokens
    order = keys.argsort()
    keys = keys[order]
    starts = np.append(True, keys[1:] != keys[:-1])[: keys.size].nonzero()[0]
    distinct = keys[starts]
    sums = np.add.reduceat(masses[order], starts) if starts.size else masses
    return Entries(distinct >> 32, distinct & 0xFFFFFFFF, sums)
