"""A file without a name, for what is too much to be held: it is gone once nobody has it."""

import os
import tempfile
import weakref
from pathlib import Path

_WRITTEN_AT_ONCE = 1 << 20
"""Bytes that are gathered before they are written."""


class UnnamedFile:
    """Takes bytes at its end, and gives back any of them.

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
        self.size = 0
        """Bytes that it has taken."""

    def append(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: The disk is full.
        """
        self._waiting += data
        self.size += len(data)
        if len(self._waiting) >= _WRITTEN_AT_ONCE:
            self._write()

    def read(self, begin: int, end: int) -> bytes:
        """Returns the bytes from one place to another."""
        if end > self.size - len(self._waiting):
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
