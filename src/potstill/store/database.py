"""The file under the store: SQLite opened for one writer or for reading, transactions, errors.

Rows that are records: columns named like a record's fields.

The lock that keeps a run to one writer.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Self, TypeVar

from potstill.errors import StoreError
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


R = TypeVar("R")


class Rows(Database):
    """A database whose tables hold records."""

    def _records(self, cls: type[R], table: str) -> list[R]:
        """All rows of a table whose columns are named like the record's fields."""
        kinds = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        with explained(self.path):
            rows = self._db.execute(f"SELECT {', '.join(kinds)} FROM {table} ORDER BY rowid")
            return [
                cls(
                    **{
                        n: bool(v) if kinds[n] is bool else v
                        for n, v in zip(kinds, row, strict=True)
                    }
                )
                for row in rows
            ]


def insert(db: Connection, table: str, records: Sequence[object], **columns: str) -> None:
    """Insert records into the columns named like their fields, and one value into others."""
    for record in records:
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]
        values = [getattr(record, name) for name in names]
        marks = ", ".join("?" * (len(names) + len(columns)))
        db.execute(
            f"INSERT INTO {table} ({', '.join([*names, *columns])}) VALUES ({marks})",
            (*values, *columns.values()),
        )


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
