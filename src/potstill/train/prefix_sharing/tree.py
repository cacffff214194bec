"""Token sequences → a forest in which what they begin alike stands once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.uint32]


class Node(NamedTuple):
    """Tokens in a row that the same sequences hold; read by one another and all below."""

    start: int
    end: int
    """Its own tokens are ``[start, end)``."""

    subtree_end: int
    """``[end, subtree_end)`` are the tokens of all its descendants."""

    parent: int | None
    """The node that its sequences pass through before; None at a root."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """Sequences as one row of tokens, its trees in depth-first order.

    A node's tokens come first, then its children's subtrees one after the other. So those that
    read a token stand together: from the token itself to the end of its node's subtree.
    """

    ids: list[int]
    positions: list[int]
    """How many tokens stand before each in its own sequence."""

    nodes: list[Node]
    """In the order of their tokens."""

    places: list[list[int]]
    """Where in ``ids`` the tokens of each sequence stand."""


class _Span(NamedTuple):
    """The tokens of a node: those of one of its leaves from ``first`` up to ``end``."""

    leaf: int
    first: int
    end: int
    parent: int | None


def forest(sequences: Sequence[Sequence[int]], *, least_shared: int = 1) -> Forest:
    """Put what sequences begin alike in one place.

    A sequence that another one begins with takes no token of its own. Where sequences part, what
    they share since their last common node becomes a node of its own if it is long enough, and
    the beginning of each branch if not.

    Args:
        sequences: Token ids, none of them empty.
        least_shared: Fewest tokens that make a node with branches; at 1 nothing stands twice.
    """
    rows = [np.asarray(sequence, dtype=np.uint32) for sequence in sequences]
    if least_shared < 1 or not all(row.size for row in rows):
        raise ValueError("a forest takes sequences of a token or more, and shares one or more")
    groups = _groups(rows)
    leaves = [rows[group[-1]] for group in groups]
    spans = _grow(leaves, least_shared)
    nodes = _nodes(spans)
    places: list[list[int]] = [[] for _ in rows]
    ends = {
        span.leaf: number for number, span in enumerate(spans) if span.end == leaves[span.leaf].size
    }
    for leaf, group in enumerate(groups):
        path = _path(nodes, ends[leaf])
        for member in group:
            places[member] = path[: rows[member].size]
    tokens = [leaves[span.leaf][span.first : span.end] for span in spans]
    return Forest(
        ids=np.concatenate(tokens).tolist() if tokens else [],
        positions=[place for span in spans for place in range(span.first, span.end)],
        nodes=nodes,
        places=places,
    )


def _groups(rows: list[Row]) -> list[list[int]]:
    """Sequences each of which begins the next, so that only the last of a group needs tokens.

    Ordered by their bytes, sequences that begin alike stand together, the shorter before those
    that go on; and so do the groups.
    """
    keys = [row.tobytes() for row in rows]
    groups: list[list[int]] = []
    for number in sorted(range(len(rows)), key=keys.__getitem__):
        if groups and keys[number].startswith(keys[groups[-1][-1]]):
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _grow(leaves: list[Row], least_shared: int) -> list[_Span]:
    """The nodes of the forest, depth first."""
    common = np.array([0, *(_common(one, other) for one, other in pairwise(leaves))])
    spans: list[_Span] = []
    waiting: list[tuple[int, int, int, int | None]] = [(0, len(leaves), 0, None)] if leaves else []
    while waiting:  # not recursive: a chain of ever longer beginnings is as deep as it is long
        first, end, depth, parent = waiting.pop()
        if end - first == 1:
            spans.append(_Span(first, depth, leaves[first].size, parent))
            continue
        shared = int(common[first + 1 : end].min())
        if shared - depth >= least_shared:
            spans.append(_Span(first, depth, shared, parent))
            depth, parent = shared, len(spans) - 1
        cuts = first + 1 + np.flatnonzero(common[first + 1 : end] == shared)
        branches = list(pairwise([first, *cuts.tolist(), end]))
        waiting += [(*branch, depth, parent) for branch in reversed(branches)]
    return spans


def _common(one: Row, other: Row) -> int:
    """How many tokens two sequences begin alike; neither begins the other."""
    length = min(one.size, other.size)
    return int(np.argmax(one[:length] != other[:length]))


def _nodes(spans: list[_Span]) -> list[Node]:
    nodes: list[Node] = []
    for span in spans:
        start = nodes[-1].end if nodes else 0
        end = start + span.end - span.first
        nodes.append(Node(start, end, end, span.parent))
    for number in reversed(range(len(nodes))):  # children before their parents
        _, _, end, parent = nodes[number]
        if parent is not None and nodes[parent].subtree_end < end:
            nodes[parent] = nodes[parent]._replace(subtree_end=end)
    return nodes


def _path(nodes: list[Node], leaf: int) -> list[int]:
    """The tokens of a leaf's sequence, in order."""
    ranges: list[range] = []
    number: int | None = leaf
    while number is not None:
        ranges.append(range(nodes[number].start, nodes[number].end))
        number = nodes[number].parent
    return [place for tokens in reversed(ranges) for place in tokens]
