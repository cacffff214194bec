"""The lock that keeps a run to one writer."""

import fcntl
import os
from pathlib import Path

from potstill.errors import StoreError


def take_lock(path: Path) -> int:
    """Hold the run's lock until the process ends, however it ends.

    Raises:
        StoreError: Another process holds it.
    """
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 100).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise StoreError(
            f"{path.parent} is being written by {holder}. Wait for it, or stop it; "
            "reading commands such as potstill report work meanwhile."
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
    return lock
