"""The places of one question's records in a sequence, found without keeping the records."""

from array import array
from collections.abc import Hashable, Iterable

import numpy as np


class PlacesByKey:
    """The places of records in a sequence, by the key that they belong to; eight bytes a record.

    Args:
        keys: The key that each record belongs to, such as its question, in the order of places.
    """

    def __init__(self, keys: Iterable[Hashable]) -> None:
        self._numbers: dict[Hashable, int] = {}
        own = array("i", (self._numbers.setdefault(key, len(self._numbers)) for key in keys))
        numbers = np.asarray(own, np.int32)
        self._places = np.argsort(numbers, kind="stable").astype(np.int32)
        self._ends = np.bincount(numbers, minlength=len(self._numbers)).cumsum()

    def of(self, key: Hashable) -> list[int]:
        """Returns the places of the records that belong to a key, in ascending order."""
        number = self._numbers.get(key)
        if number is None:
            return []
        begin = 0 if number == 0 else int(self._ends[number - 1])
        found: list[int] = self._places[begin : int(self._ends[number])].tolist()
        return found
