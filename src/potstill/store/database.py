"""The file under the store: one SQLite file, opened for its one writer or for reading.

A file of an older schema is brought up to date when it is opened. Rows are records: the columns of
a table are named like a record's fields, and a record inside a record takes columns of its own::

    Score(system=System("rationales", step=400), task="gsm8k", ...)
        -> model, start, variant, step, taken, task, ...
    Comparison(first=System("rationales"), second=System("start"), ...)
        -> first_model, first_start, ..., second_model, second_start, ...
"""

import fcntl
import os
import re
import shutil
import sqlite3
import time
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self, TypeVar, cast

from potstill.errors import StoreError
from potstill.store.schema import MIGRATIONS
from potstill.store.stored_rows import held_or_stored

Connection = sqlite3.Connection

_LATER_FILES = ("spending.jsonl", "checkpoints", "model")
"""Names that stand beside a store only once something was stored."""

_DAMAGED = re.compile(
    r"no such (table|column)|has no column|already exists|duplicate column|malformed"
)
"""Messages of SQLite about a statement, which mean here that the tables are damaged."""


class Database:
    """One SQLite file of the newest schema, locked against a second writer."""

    def __init__(self, path: Path, *, read_only: bool = False, untouched: bool = False) -> None:
        self.path, self.read_only = path, read_only
        self._stays = untouched or not os.access(path.parent, os.W_OK)
        if read_only and not path.exists():
            raise StoreError(f"there is no run at {path.parent}; start one with: potstill run")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = None if read_only else take_lock(path)
        except OSError as error:
            raise StoreError(f"cannot write {path.parent}: {error.strerror}.") from error
        try:
            _refuse_emptied(path, read_only=read_only)
            self._db = self._open(read_only)
        except StoreError:
            self._release()
            raise

    def _open(self, read_only: bool) -> Connection:
        with explained(self.path):
            db = connect_to_read(self.path) if read_only else sqlite3.connect(self.path, timeout=30)
            db.isolation_level = None
            db.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL")
                # FULL flushes at every commit: what was paid for outlives a power cut.
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA wal_autocheckpoint = 8000")
            return self._migrate(db, read_only)

    def _migrate(self, db: Connection, read_only: bool) -> Connection:
        """Bring the file up to date; returns the connection to go on with."""
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} is of schema {version}; this potstill knows up to "
                f"{len(MIGRATIONS)}. Use the newer potstill that wrote it."
            )
        if version < len(MIGRATIONS) and read_only and not self._stays:
            self._migrate_as_writer(version)
            return db
        if version < len(MIGRATIONS) and read_only:
            db = _in_memory(db)  # it cannot be written, or is not to be
        for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
            if isinstance(step, str):
                db.executescript(f"BEGIN;{step};PRAGMA user_version = {number};COMMIT;")
                continue
            db.execute("BEGIN IMMEDIATE")
            try:
                step(db, self.path.parent)
                db.execute(f"PRAGMA user_version = {number}")
            except BaseException:
                db.rollback()
                raise
            db.execute("COMMIT")
        return db

    def _migrate_as_writer(self, version: int) -> None:
        """Bring the file up to date before it is read, unless somebody writes it."""
        try:
            Database(self.path).close()
        except StoreError as error:
            raise StoreError(
                f"{self.path} is of schema {version}, older than this potstill's "
                f"{len(MIGRATIONS)}, and cannot be brought up to date: {error}"
            ) from error

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
    def unchanging(self) -> Iterator[None]:
        """Within the block, a reader sees the file as it was at its first look at it."""
        if not self.read_only or self._db.in_transaction:
            yield
            return
        with explained(self.path):
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()


def _refuse_emptied(path: Path, *, read_only: bool) -> None:
    """Refuse a file that has lost all that it held.

    A writer that was killed at its start leaves an empty file too, but nothing else that a run has.

    Raises:
        StoreError: It is empty, and is to be read, or answers were bought or students trained.
    """
    left = path.with_name(f"{path.name}-wal")
    if not path.is_file() or path.stat().st_size or (left.is_file() and left.stat().st_size):
        return
    others = [name for name in _LATER_FILES if (path.parent / name).exists()]
    if read_only or others:
        beside = f", though it was not: {', '.join(others)} beside it came later" if others else ""
        raise StoreError(
            f"{path} is empty{beside}. Restore it from a copy; or remove it, to begin the run "
            "anew and ask for everything again."
        )


def connect_to_read(path: Path) -> Connection:
    """Opens a file for reading, also on a medium that cannot be written.

    A reader of a file in WAL mode writes beside it. Where it cannot, the file is read as one that
    does not change; with what a killed writer left beside it, as a copy.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    uri = path.resolve().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=30)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if not any(words in str(error) for words in ("unable to open", "readonly")):
            raise
        left = path.with_name(f"{path.name}-wal")
        if left.exists() and left.stat().st_size:
            return _with_what_was_left(path, left)
        db = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    return db


def _with_what_was_left(path: Path, left: Path) -> Connection:
    with TemporaryDirectory() as folder:
        shutil.copy(left, folder)
        return _in_memory(sqlite3.connect(shutil.copy(path, folder)))


def _in_memory(db: Connection) -> Connection:
    """Returns a copy of a database; the one that was copied is closed."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    db.backup(copy)
    db.close()
    return copy


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors that the user can mend into ours; the others are bugs and pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if _DAMAGED.search(str(error)):
            raise StoreError(_damaged(path, error)) from error
        raise StoreError(
            f"{path}: {error}. What was stored before is safe; "
            "free some space or check the folder's permissions, then repeat the command."
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise StoreError(_damaged(path, error)) from error


def _damaged(path: Path, error: sqlite3.Error) -> str:
    return (
        f"{path} is damaged or is not a potstill store: {error}. Restore it from a copy, or begin "
        f"a new run; potstill check {path.parent} says what is wrong with it."
    )


R = TypeVar("R")


class Rows(Database):
    """A database whose tables hold records."""

    def _records(self, cls: type[R], table: str) -> list[R]:
        """Returns all rows of a table, in the order they were added, as records."""
        columns = columns_of(cls)
        with explained(self.path):
            rows = self._db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid")
            return [record_of(cls, iter(row)) for row in rows]

    def _many(self, cls: type[R], table: str, rows: "array[int] | None" = None) -> Sequence[R]:
        """Returns rows of a table that may be large, in the order they were added.

        Args:
            cls: Their records.
            table: Its name.
            rows: Their numbers; None: all.
        """
        if rows is None:
            with explained(self.path):
                found = self._db.execute(f"SELECT rowid FROM {table} ORDER BY rowid")
                rows = array("q", (number for (number,) in found))
        return held_or_stored(rows, partial(self._read_rows, cls, table))

    def _read_rows(self, cls: type[R], table: str, rows: Sequence[int]) -> list[R]:
        """Returns the rows of these numbers, which ascend."""
        columns = columns_of(cls)
        selected = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid "
        wanted = {*rows}
        with explained(self.path):
            if len(rows) > 1 and rows[-1] - rows[0] < 2 * len(rows):  # neighbours, for the most
                found = self._db.execute(f"{selected} BETWEEN ? AND ?", (rows[0], rows[-1]))
            else:
                marks = ", ".join("?" * len(rows))
                found = self._db.execute(f"{selected} IN ({marks}) ORDER BY rowid", [*rows])
            records = [
                record_of(cls, iter(values)) for number, *values in found if number in wanted
            ]
        if len(records) != len(rows):
            raise StoreError(
                f"{self.path} was written to while it was read: {table} has others by now. Repeat "
                "the command."
            )
        return records


def columns_of(cls: type) -> tuple[str, ...]:
    """Returns the columns that records of a dataclass take, in the order of its fields.

    A field that is itself a dataclass takes the columns of its own fields. They begin with the
    field's name where two fields are of one kind, as a comparison's two systems are.
    """
    return _columns_of(cls)


@cache
def _columns_of(cls: Hashable) -> tuple[str, ...]:
    assert isinstance(cls, type)
    columns: list[str] = []
    for field in fields(cls):
        if not is_dataclass(field.type):
            columns.append(field.name)
            continue
        assert isinstance(field.type, type)
        several = sum(other.type is field.type for other in fields(cls)) > 1
        prefix = f"{field.name}_" if several else ""
        columns += [prefix + column for column in columns_of(field.type)]
    return tuple(columns)


def row_of(record: object) -> dict[str, object]:
    """Returns a record as a row: its values, and those of records inside it, by column."""
    return dict(zip(columns_of(type(record)), _values(record), strict=True))


def _values(record: object) -> Iterator[object]:
    """Yields a record's values in the order of :func:`columns_of`."""
    for field in fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if is_dataclass(field.type):
            yield from _values(value)
        else:
            yield value


def record_of(cls: type[R], values: Iterator[Any]) -> R:
    """Returns a record made of a row, from as many values as it has columns."""
    arguments: dict[str, Any] = {}
    for name, inner, truth, nullable in _fields_of(cast("type", cls)):
        if inner is not None:
            arguments[name] = record_of(inner, values)
            continue
        value = next(values)
        if truth and not (nullable and value is None):
            value = bool(value)
        arguments[name] = value
    return cls(**arguments)


class _Field(NamedTuple):
    """How a field of a record is read from a row."""

    name: str
    inner: type | None
    """The record that stands in it; None: a value."""

    truth: bool
    """Whether the value is a truth value."""

    nullable: bool


@cache
def _fields_of(cls: type) -> tuple[_Field, ...]:
    """Returns how the fields of a record are read, found out once for its thousands of rows."""
    return tuple(
        _Field(
            field.name,
            cast("type", field.type) if is_dataclass(field.type) else None,
            field.type in (bool, bool | None),
            field.type is not bool,
        )
        for field in fields(cls)
    )


def insert(db: Connection, table: str, records: Iterable[object], **columns: str) -> None:
    """Insert records into the columns named like their fields, and one value into others."""
    for record in records:
        row = row_of(record) | columns
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def take_lock(path: Path) -> int:
    """Hold the run's lock until the process ends, however it ends.

    Raises:
        StoreError: Another process holds it.
    """
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock_soon(lock)
    except OSError as error:
        holder = _holder(lock)
        os.close(lock)
        raise StoreError(
            f"{path.parent} is being written by {holder}. Wait for it, or stop it; "
            "reading commands such as potstill report work meanwhile."
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
    return lock


LOCK_TRIES = 5
"""How often a lock is tried for; between two tries lie ten milliseconds."""


def _lock_soon(lock: int) -> None:
    """Take a lock, also where somebody who asks for its holder has it for an instant.

    Raises:
        OSError: Another process holds it.
    """
    for further in reversed(range(LOCK_TRIES)):
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not further:
                raise
            time.sleep(0.01)
    return None


def lock_holder(path: Path) -> str | None:
    """Returns who writes a run, such as ``process 1234``; None where nobody does.

    Nothing is written, and no file is made.

    Args:
        path: The run's ``run.sqlite``.
    """
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(lock)
    finally:
        os.close(lock)
    return None


def _holder(lock: int) -> str:
    """Returns what the holder of a lock has written into its file."""
    return os.pread(lock, 100, 0).decode(errors="replace").strip() or "another process"
