"""Probabilities token by token → arrays of candidates, likeliest first."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import SoftTargets

Row = dict[int, float]
"""The probabilities of a position's candidates; what they leave to 1 is its tail."""


class Entries(NamedTuple):
    """Probability that belongs to a token at a position; what stands there twice is summed."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    masses: NDArray[np.float64]


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
