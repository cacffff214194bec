"""The file under the store: SQLite opened for one writer or for reading, transactions, errors."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from potstill.errors import StoreError
from potstill.store.lock import take_lock
from potstill.store.schema import MIGRATIONS

Connection = sqlite3.Connection


class Database:
    """One SQLite file of the newest schema, locked against a second writer."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self.read_only = path, read_only
        if read_only and not path.exists():
            raise StoreError(f"there is no run at {path.parent}; start one with: potstill run")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = None if read_only else take_lock(path)
        except OSError as error:
            raise StoreError(f"cannot write {path.parent}: {error.strerror}.") from error
        try:
            self._db = self._open(read_only)
        except StoreError:
            self._release()
            raise

    def _open(self, read_only: bool) -> Connection:
        with explained(self.path):
            mode = "ro" if read_only else "rwc"
            db = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30
            )
            db.isolation_level = None
            db.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL")
                # FULL flushes at every commit: what was paid for outlives a power cut.
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA wal_autocheckpoint = 8000")
            self._migrate(db, read_only)
        return db

    def _migrate(self, db: Connection, read_only: bool) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} is of schema {version}; this potstill knows up to "
                f"{len(MIGRATIONS)}. Use the newer potstill that wrote it."
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            if read_only:
                raise StoreError(
                    f"{self.path} is of schema {version}, older than this potstill's "
                    f"{len(MIGRATIONS)}. Run any writing command on it once to bring it up."
                )
            db.executescript(f"BEGIN;{script};PRAGMA user_version = {number};COMMIT;")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """All of the block, or none of it, on the disk when the block ends."""
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.rollback()
                raise
            self._db.execute("COMMIT")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors that the user can mend into ours; the others are bugs and pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{path}: {error}. What was stored before is safe; "
            "free some space or check the folder's permissions, then repeat the command."
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise StoreError(f"{path} is damaged or is not a potstill store: {error}.") from error
