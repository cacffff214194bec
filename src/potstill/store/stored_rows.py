"""Records that stay in the store: a sequence of row numbers, each read when it is looked at.

A run may have a million rationales and answers. Who goes through them holds a page of them at a
time, and who needs a few of them reads those.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

R = TypeVar("R")

PAGE = 500
"""Records read at once."""

HELD = 20_000
"""Records of one kind that are held together, which is faster; more of them are read anew."""

ReadRows = Callable[[Sequence[int]], list[R]]
"""Reads the records of row numbers, in the same order."""


class StoredRecords(Sequence[R], Generic[R]):
    """Records by their row numbers, as long as nobody replaces them and the store is open.

    Args:
        rows: Their row numbers, eight bytes each.
        read: Reads some of them.
    """

    def __init__(self, rows: "array[int]", read: ReadRows[R]) -> None:
        self._rows, self._read = rows, read

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> "StoredRecords[R]": ...

    def __getitem__(self, place: int | slice) -> "R | StoredRecords[R]":
        if isinstance(place, slice):
            return StoredRecords(self._rows[place], self._read)
        return self._read([self._rows[place]])[0]

    def at(self, places: Sequence[int]) -> list[R]:
        """Returns the records at some places, which ascend, by one query."""
        return self._read([self._rows[place] for place in places]) if places else []

    def __iter__(self) -> Iterator[R]:
        for start in range(0, len(self._rows), PAGE):
            yield from self._read(self._rows[start : start + PAGE])


def held_or_stored(rows: "array[int]", read: ReadRows[R]) -> Sequence[R]:
    """Returns records: all of them where they are few, else a sequence that reads them."""
    stored = StoredRecords(rows, read)
    return stored if len(rows) > HELD else list(stored)


def records_at(records: Sequence[R], places: Sequence[int]) -> list[R]:
    """Returns the records at some places, which ascend; of stored ones by one query."""
    if isinstance(records, StoredRecords):
        return records.at(places)
    return [records[place] for place in places]
