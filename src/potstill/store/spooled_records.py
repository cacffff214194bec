"""Records of one kind in their order: the first ones are held, the others lie in a file."""

from collections.abc import Iterator
from typing import Generic, TypeVar

import orjson

from potstill.store.database import record_of, row_of
from potstill.store.stored_rows import HELD
from potstill.store.unnamed_file import UnnamedFile

R = TypeVar("R")


class SpooledRecords(Generic[R]):
    """Takes records one at a time, and gives them back in their order.

    Args:
        kind: Their class, all of whose values JSON can hold.
    """

    def __init__(self, kind: type[R]) -> None:
        self._kind, self._held = kind, list[R]()
        self._file: UnnamedFile | None = None

    def append(self, record: R) -> None:
        """Take the next."""
        if len(self._held) < HELD:
            self._held.append(record)
            return
        self._file = self._file or UnnamedFile()
        self._file.append(orjson.dumps(list(row_of(record).values())))

    def __iter__(self) -> Iterator[R]:
        yield from self._held
        if self._file is not None:
            for number in range(len(self._file)):
                yield record_of(self._kind, iter(orjson.loads(self._file.read(number))))
