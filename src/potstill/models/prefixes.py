"""What several prompts begin with: an instruction, exemplars, the head of a chat template.

Prompts that wait together are looked through for beginnings that are worth running by themselves
once, so that each prompt that begins so runs only its own rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint32]

LEAST_SHARED = 32
"""Fewest tokens of a prefix that a prompt takes over: below, running them again is as cheap."""

LEAST_SAVED = 512
"""Fewest tokens that a prefix has to save in all: it takes a forward pass of its own."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Prefix:
    """Tokens that are run once; what a model computed of them is kept as long as this object."""

    ids: Ids


class Share(NamedTuple):
    """What a prompt takes over from a prefix."""

    prefix: Prefix
    tokens: int
    """How many of the prefix's tokens, from the first, the prompt begins with."""

    apart: bool = False
    """Whether these tokens stand once beside all rows, or each row has a copy."""


class Prefixes:
    """The prefixes in use, found anew in each lot of prompts and kept while prompts use them.

    Args:
        room: Most tokens of all prefixes together; what they take memory for.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: list[Prefix] = []

    @property
    def tokens(self) -> int:
        """Of all prefixes in use together."""
        return sum(len(prefix.ids) for prefix in self._kept)

    def shares(self, prompts: Sequence[Sequence[int]]) -> list[Share | None]:
        """What each prompt takes over; prefixes that none of them uses are given up.

        Args:
            prompts: Token ids; the last token is always a prompt's own.
        """
        rows = [np.asarray(ids[:-1], dtype=np.uint32) for ids in prompts]
        self._kept = _used(rows, self._kept)
        found = _worthwhile(rows, self._kept, self._room - self.tokens)
        self._kept = _used(rows, _longest([*self._kept, *found]))
        return [_share(row, self._kept) for row in rows]


class _Beginning(NamedTuple):
    """Tokens that neighbouring rows, in the order of their bytes, begin with."""

    length: int
    first: int
    end: int
    """The rows are ``[first, end)``."""


def _worthwhile(rows: Sequence[Ids], known: Sequence[Prefix], room: int) -> list[Prefix]:
    """New prefixes, each time the one that saves most beside those chosen before."""
    rows = sorted(rows, key=lambda row: row.tobytes())
    beginnings = [each for each in _beginnings(rows) if each.length >= LEAST_SHARED]
    if not beginnings:
        return []
    covered = np.array([max((common(row, each.ids) for each in known), default=0) for row in rows])
    length, first, end = np.array(beginnings).T
    chosen: list[Prefix] = []
    while room >= LEAST_SHARED:
        within = np.minimum(length, room)
        saved = (end - first - 1) * (within - covered[first])
        best = int(saved.argmax())
        if saved[best] < LEAST_SAVED:
            break
        prefix = Prefix(rows[first[best]][: within[best]])
        chosen.append(prefix)
        room -= len(prefix.ids)
        covered = np.maximum(covered, [common(row, prefix.ids) for row in rows])
    return chosen


def _beginnings(rows: Sequence[Ids]) -> Iterator[_Beginning]:
    """Every longest beginning of two or more rows, which have to be sorted."""
    open_: list[tuple[int, int]] = []
    alike = [common(one, other) for one, other in pairwise(rows)]
    for place, length in enumerate([*alike, 0] if rows else []):
        first = place
        while open_ and open_[-1][0] > length:
            longer, first = open_.pop()
            yield _Beginning(longer, first, place + 1)
        if length and (not open_ or open_[-1][0] < length):
            open_.append((length, first))


def _longest(prefixes: Sequence[Prefix]) -> list[Prefix]:
    """Without those that another one begins with."""
    longest: list[Prefix] = []
    for prefix in sorted(prefixes, key=lambda each: -len(each.ids)):
        if all(common(prefix.ids, each.ids) < len(prefix.ids) for each in longest):
            longest.append(prefix)
    return longest


def _used(rows: Sequence[Ids], prefixes: Sequence[Prefix]) -> list[Prefix]:
    """Those that a row takes something over from."""
    shares = [_share(row, prefixes) for row in rows] if prefixes else []
    used = {share.prefix for share in shares if share is not None}
    return [prefix for prefix in prefixes if prefix in used]


def _share(row: Ids, prefixes: Sequence[Prefix]) -> Share | None:
    shares = [Share(prefix, common(row, prefix.ids)) for prefix in prefixes]
    best = max(shares, key=lambda share: share.tokens, default=None)
    return best if best is not None and best.tokens >= LEAST_SHARED else None


def common(one: Ids, other: Ids) -> int:
    """How many tokens two rows begin with alike."""
    length = min(one.size, other.size)
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length
