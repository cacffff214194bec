"""A copy of a store for another machine than that of its writer."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path


def copy_store(path: Path, folder: Path) -> Path:
    """Returns a copy of a store to read on another machine than its writer's.

    SQLite lets a writer and its readers share a file on one machine alone.

    Args:
        path: The store; nobody writes to it meanwhile.
        folder: Takes the copy.
    """
    copy = folder / path.name
    for ending in ("", "-wal"):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copy(source, folder / source.name)
    with closing(sqlite3.connect(copy)) as db:  # takes in what stands beside it
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return copy
