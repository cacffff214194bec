"""The alignment of model specialization: dynamic time warping over edit distances of tokens.

Fu and others, arXiv 2301.12726; code FranxYao/FlanT5-CoT-Specialization @ a8ffd51a,
dev_align_codex_to_flan_t5_dtw.ipynb and ``dtw`` in src/utils.py. A recipe asks for it with
``matching: {alignment: time_warping}``; potstill's own alignment goes by bytes. Without any, token
by token, it is ``by_position``.

Published: 58 minutes for 207,619 generations, and 34 of 40 and 32 of 51 tokens soft in the worked
examples.

Kept as published: ``O(n m)`` in pure Python, soft only where one teacher token reads the same as
the student's, candidates that are not one student token dropped, and the mass left as it was.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from potstill.train.alignment.teacher_tokens import Positions
    from potstill.train.alignment.vocabulary import Vocabulary

TOP = 5
"""Alternatives taken at each position, besides the chosen token."""


def edit_distance(one: str | bytes, two: str | bytes) -> int:
    """Levenshtein's distance of two texts, in single characters put in, left out or changed."""
    previous = list(range(len(two) + 1))
    for row, letter in enumerate(one, start=1):
        # Row by row of the table: the distances of the first ``row`` characters to all beginnings.
        current = [row]
        for column, other in enumerate(two):
            # A character exchanged (or kept, at no cost), left out, or put in.
            change = previous[column] + (letter != other)
            current.append(min(previous[column + 1] + 1, current[column] + 1, change))
        previous = current
    return previous[-1]


def warp(student: Sequence[str | bytes], teacher: Sequence[str | bytes]) -> list[list[int]]:
    """For each of n student tokens, the places of the teacher tokens it is aligned with, in order.

    Args:
        student: The student's token texts, without spaces.
        teacher: The teacher's m token texts, without spaces.
    """
    n, m = len(student), len(teacher)
    if not n or not m:
        return [[] for _ in student]
    # Cheapest ways to align the first i with the first j tokens: (n + 1) x (m + 1).
    cost = [[0.0] + [float("inf")] * m] + [[float("inf")] * (m + 1) for _ in student]
    for i in range(1, n + 1):
        above, row = cost[i - 1], cost[i]
        for j in range(1, m + 1):
            least = min(above[j], row[j - 1], above[j - 1])
            row[j] = edit_distance(student[i - 1], teacher[j - 1]) + least
    # Back from the ends along the cheapest way; ties prefer both, then the student's, alone.
    aligned: list[list[int]] = [[] for _ in student]
    i, j = n, m
    while i and j:
        aligned[i - 1].append(j - 1)
        diagonal, up, left = cost[i - 1][j - 1], cost[i - 1][j], cost[i][j - 1]
        least = min(diagonal, up, left)
        if diagonal == least:
            i, j = i - 1, j - 1
        elif up == least:
            i -= 1
        else:
            j -= 1
    return [positions[::-1] for positions in aligned]


def warped_targets(
    ids: Sequence[int], written: "Positions", vocabulary: "Vocabulary"
) -> list[tuple[int, dict[int, float]]]:
    """The places of the student tokens that are not hard, with their candidates' probabilities.

    Args:
        ids: The student's tokens of the whole target.
        written: The teacher's tokens of its part of the target.
        vocabulary: The student's vocabulary.
    """
    # Spaces are no part of the comparison: tokenizers put them before words or leave them out.
    teacher = written.chosen
    texts = [vocabulary.bytes_of(token) or b"" for token in ids]
    aligned = warp(
        [text.replace(b" ", b"") for text in texts], [text.replace(b" ", b"") for text in teacher]
    )
    rows: list[tuple[int, dict[int, float]]] = []
    for at, (token, text, places) in enumerate(zip(ids, texts, aligned, strict=True)):
        # Soft only where one teacher token reads the same, spaces and all, and has a probability.
        if len(places) != 1 or teacher[places[0]] != text or not written.probabilities[places[0]]:
            continue
        # The chosen token, then the alternatives that are one token of the student's; of several
        # that read the same, the likelier one counts.
        row = {token: float(written.probabilities[places[0]])}
        for other, probability in written.alternatives(places[0])[:TOP]:
            known = vocabulary.token_of(other)
            if known is not None:
                row.setdefault(known, probability)
        rows.append((at, row))
    return rows


def positional_targets(
    ids: Sequence[int], written: "Positions", vocabulary: "Vocabulary"
) -> list[tuple[int, dict[int, float]]]:
    """The i-th student token gets what the i-th teacher token was chosen from: no alignment at all.

    Nothing is published of it; it is there to measure what an alignment is worth. After the first
    place where the tokenizers differ the student learns what the teacher wrote elsewhere. Texts
    that are not one token of the student's are dropped; a token left without any is hard.

    Args:
        ids: The student's tokens of the whole target.
        written: The teacher's tokens of its part of the target.
        vocabulary: The student's vocabulary.
    """
    rows: list[tuple[int, dict[int, float]]] = []
    for at, chosen in enumerate(written.chosen[: len(ids)]):
        if not written.probabilities[at]:
            continue
        row: dict[int, float] = {}
        offered = [(chosen, float(written.probabilities[at])), *written.alternatives(at)[:TOP]]
        for text, probability in offered:
            known = vocabulary.token_of(text)
            if known is not None:
                row.setdefault(known, probability)
        if row:
            rows.append((at, row))
    return rows
