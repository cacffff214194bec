"""The length of the beginning that sequences of tokens or bytes have in common.

Prompts, training examples and a teacher's text are all compared this way. In rows that are sorted,
those that begin alike stand together, and what any two of them share is the least of what their
neighbours in between share (the LCP array of Manber & Myers, 1993)::

    rows       [1 2 3]  [1 2 4 5]  [1 2 4 6]  [7]
    neighbours        2          3          0
    rows 0 and 2 share min(2, 3) = 2 tokens
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def common_prefix(one: NDArray[Any], other: NDArray[Any]) -> int:
    """The number of items that two rows begin with alike."""
    length = min(one.size, other.size)
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length


def common_prefix_bytes(one: bytes, other: bytes) -> int:
    """The number of bytes that two byte strings begin with alike."""
    return common_prefix(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8))


def common_prefix_items(one: Sequence[object], other: Sequence[object]) -> int:
    """The number of items, such as characters of texts, that two sequences begin with alike."""
    pairs = zip(one, other, strict=False)
    return next(
        (place for place, (left, right) in enumerate(pairs) if left != right),
        min(len(one), len(other)),
    )


def neighbour_prefixes(rows: Sequence[NDArray[Any]]) -> list[int]:
    """The common prefix of each row and the next one; one number fewer than there are rows."""
    return [common_prefix(one, other) for one, other in pairwise(rows)]


def rest_after(given: str, text: str) -> str | None:
    """Returns what follows the given beginning; None where the text does not begin with it.

    White space at both its ends may be missing, since some servers and chat templates trim it.
    """
    solid = given.rstrip()
    if not text.startswith(solid):
        solid = solid.lstrip()
    if not solid or not text.startswith(solid):
        return None
    rest = text[len(solid) :]
    for space in given[len(given.rstrip()) :]:
        if not rest.startswith(space):
            break
        rest = rest[1:]
    return rest
