"""A file without a name, for what is too much to be held: it is gone once nobody has it."""

import os
import tempfile
import weakref
from array import array
from pathlib import Path

_WRITTEN_AT_ONCE = 1 << 20
"""Bytes that are gathered before they are written."""


class UnnamedFile:
    """Takes entries of bytes at its end, and gives back any of them by its number.

    Args:
        folder: On whose disk it lies, made where it is missing; None: that of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._number, name = tempfile.mkstemp(prefix=".potstill-", dir=folder)
        os.unlink(name)
        weakref.finalize(self, os.close, self._number)
        self._waiting = bytearray()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, data: bytes) -> None:
        """Add an entry.

        Raises:
            OSError: The disk is full.
        """
        self._waiting += data
        self._ends.append(self._ends[-1] + len(data))
        if len(self._waiting) >= _WRITTEN_AT_ONCE:
            self._write()

    def read(self, number: int) -> bytes:
        """Returns the entry of a number, counted from 0."""
        begin, end = self._ends[number], self._ends[number + 1]
        if end > self._ends[-1] - len(self._waiting):
            self._write()
        data = b""
        while begin + len(data) < end:
            data += os.pread(self._number, end - begin - len(data), begin + len(data))
        return data

    def _write(self) -> None:
        left = memoryview(bytes(self._waiting))
        while left:
            left = left[os.write(self._number, left) :]
        self._waiting.clear()
