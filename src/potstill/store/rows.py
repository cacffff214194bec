"""Rows that are records: columns named like a record's fields."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

from potstill.store.database import Connection, Database, explained

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
