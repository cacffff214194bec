"""Tokens' names in bytes as numbers, by which equal names are found without looking at each.

Shape suffixes: T tokens of a completion, C columns: the own token and the K likeliest.
"""

import numpy as np
from numpy.typing import NDArray

_SHORT = 7
"""Bytes of a name that a number has room for, beside their count."""

_MASKS = np.array([2 ** (8 * count) - 1 for count in range(_SHORT + 1)], np.uint64)
"""Masks that keep the first bytes of a little-endian word, by their number."""

_LONG = 0xFF << 56
"""Added to the numbers of longer names, which are numbered as they come."""


def name_keys(token_bytes: bytes, lengths_TC: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """Returns numbers ``(T, C)`` that are equal where names are; that of an empty name is 0.

    Args:
        token_bytes: The names one after the other, row by row.
        lengths_TC: How many bytes each has.
    """
    lengths = lengths_TC.ravel()
    starts = lengths.cumsum(dtype=np.int64) - lengths
    # A word begins at every byte.
    words = np.ndarray(len(token_bytes) + 1, "<u8", token_bytes + b"\0" * 8, 0, (1,))
    keys = words[starts] & _MASKS[np.minimum(lengths, _SHORT)]
    keys |= lengths.astype(np.uint64) << np.uint64(56)
    numbers: dict[bytes, int] = {}
    for place in np.flatnonzero(lengths > _SHORT).tolist():
        name = token_bytes[starts[place] : starts[place] + lengths[place]]
        keys[place] = _LONG + numbers.setdefault(name, len(numbers))
    return keys.reshape(lengths_TC.shape)
