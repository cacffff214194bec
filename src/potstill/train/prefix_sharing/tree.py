"""Token sequences → a forest in which what they begin alike stands once.

Three sequences that share beginnings become one row of tokens. Each token's position is its place
in its own sequence, and what may read a token stands behind it in one stretch::

    sequences   a b c d      nodes   [a b]            ids         a b c d e f
                a b c e                 ├── [c]       positions   0 1 2 3 3 2
                a b f                   │    ├── [d]
                                        │    └── [e]  a is read by [0, 6), c by [2, 5),
                                        └── [f]       d by [3, 4)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.text.common_prefix import neighbour_prefixes

Row = NDArray[np.uint32]


class Node(NamedTuple):
    """A run of tokens that the same sequences hold; read by one another and by all tokens below."""

    start: int
    end: int
    """Its own tokens are ``[start, end)``."""

    subtree_end: int
    """The tokens of all its descendants are ``[end, subtree_end)``."""

    parent: int | None
    """The number of the node that its sequences pass through before; None at a root."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """Sequences as one row of tokens, its trees in depth-first order.

    A node's tokens come first, then its children's subtrees one after the other. So those that
    read a token stand together: from the token itself to the end of its node's subtree.
    """

    ids: list[int]
    positions: list[int]
    """The number of tokens before each one in its own sequence."""

    nodes: list[Node]
    """The nodes in the order of their tokens."""

    places: list[list[int]]
    """The places in ``ids`` of the tokens of each sequence."""


class _NodeSpan(NamedTuple):
    """A node's tokens: those of one of its leaves from ``first`` up to ``end``."""

    leaf: int
    first: int
    end: int
    parent: int | None


def forest(sequences: Sequence[Sequence[int]], *, least_shared: int = 1) -> Forest:
    """Returns a forest of sequences, in which what they begin alike stands once.

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
    # Leaves are the sequences that no other one goes on from, sorted; spans cut them into nodes.
    groups = _nested_groups(rows)
    leaves = [rows[group[-1]] for group in groups]
    spans = _grow(leaves, least_shared)
    nodes = _nodes(spans)
    # Each leaf's path from the root gives the places of its tokens, and of those it begins with.
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


def _nested_groups(rows: list[Row]) -> list[list[int]]:
    """Returns groups of sequences each of which begins the next; only the last needs tokens.

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


def _grow(leaves: list[Row], least_shared: int) -> list[_NodeSpan]:
    """Returns the nodes of the forest, depth first."""
    common = np.array([0, *neighbour_prefixes(leaves)])
    spans: list[_NodeSpan] = []
    waiting: list[tuple[int, int, int, int | None]] = [(0, len(leaves), 0, None)] if leaves else []
    while waiting:  # not recursive: a chain of ever longer beginnings is as deep as it is long
        first, end, depth, parent = waiting.pop()
        if end - first == 1:
            spans.append(_NodeSpan(first, depth, leaves[first].size, parent))
            continue
        # The tokens that all leaves of this range share beyond their ancestors' become a node.
        shared = int(common[first + 1 : end].min())
        if shared - depth >= least_shared:
            spans.append(_NodeSpan(first, depth, shared, parent))
            depth, parent = shared, len(spans) - 1
        # They part between neighbours that share no more than that: one branch for each piece.
        cuts = first + 1 + np.flatnonzero(common[first + 1 : end] == shared)
        branches = list(pairwise([first, *cuts.tolist(), end]))
        waiting += [(*branch, depth, parent) for branch in reversed(branches)]
    return spans


def _nodes(spans: list[_NodeSpan]) -> list[Node]:
    """Returns the spans as nodes, laid one after the other."""
    nodes: list[Node] = []
    for span in spans:
        start = nodes[-1].end if nodes else 0
        end = start + span.end - span.first
        nodes.append(Node(start, end, end, span.parent))
    # A subtree ends where its last child's does. Children come before their parents.
    for number in reversed(range(len(nodes))):
        _, _, end, parent = nodes[number]
        if parent is not None and nodes[parent].subtree_end < end:
            nodes[parent] = nodes[parent]._replace(subtree_end=end)
    return nodes


def _path(nodes: list[Node], leaf: int) -> list[int]:
    """Returns the places of the tokens of a leaf's sequence, in order."""
    # From the leaf up to the root; its tokens are read from the root down.
    ranges: list[range] = []
    number: int | None = leaf
    while number is not None:
        ranges.append(range(nodes[number].start, nodes[number].end))
        number = nodes[number].parent
    return [place for tokens in reversed(ranges) for place in tokens]
