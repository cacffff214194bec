"""Separated text: CSV, and the same with semicolons, tabs or bars between the columns.

    Frage;Antwort
    "Was ist 1,5 + 1; und warum?";2,5

is read by its semicolon, since that divides every row into as many values as there are columns.
"""

import csv
import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from potstill.errors import DataError, shortened

SEPARATORS = (",", ";", "\t", "|")
"""The signs that are looked for, the one that is taken where nothing tells first."""

NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_SAMPLE_ROWS = 200
"""Rows at the beginning by which the separator is found."""


class SeparatedRow(NamedTuple):
    """One row of separated text."""

    line: int
    """The line of the file on which it begins, from 1."""

    values: list[str]
    fault: str = ""
    """The reason for which there are no values."""


def separator_of(text: str) -> str:
    """Returns the sign that divides the rows of a text into as many values as there are columns.

    Of several that do so for equally many rows, the one that makes the most columns is taken; a
    text that none divides is one column of comma-separated text. A first line ``sep=;``, as Excel
    writes and reads it, says so itself.
    """
    announced = _announced(text)
    if announced:
        return announced
    ranks = {}
    for place, separator in enumerate(SEPARATORS):
        rows = [row.values for row in islice(_records(text, separator), _SAMPLE_ROWS)]
        columns = len(rows[0]) if rows else 0
        if columns > 1:
            ragged = sum(1 for row in rows if len(row) != columns) / len(rows)
            ranks[separator] = (ragged, -columns, place)
    return min(ranks, key=ranks.__getitem__, default=SEPARATORS[0])


def separated_rows(
    text: str, path: Path, separator: str | None = None
) -> Iterator[tuple[int, dict[str, object] | None, str]]:
    """Yields the rows below the header: the line each begins on, its values by column, its fault.

    Rows without any value are skipped, as empty lines are. Values that a short row lacks are None.

    Raises:
        DataError: The header cannot be read, or names a column twice.
    """
    separator = separator or separator_of(text)
    records = _records(text, separator)
    header = next(records, None)
    if header is None:
        return
    if header.fault:
        raise DataError(f"{path}, line {header.line}: {header.fault}.")
    names = [name.strip() for name in header.values]
    if len(names) == 1 and (columns := _columns_below(text)):
        raise DataError(
            f"{path}, line {header.line}: the first line has to name the columns, and is "
            f"{shortened(names[0], longest=40)}; the lines below it have {columns} values each. "
            "Remove what stands above the names of the columns."
        )
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise DataError(
            f"{path}, line {header.line}: the column {twice[0]!r} stands twice. Name each "
            "differently."
        )
    for record in records:
        if record.fault:
            yield record.line, None, record.fault
        elif len(record.values) > len(names):
            yield record.line, None, _too_many(record.values, names, separator)
        else:
            padded = [*record.values, *[None] * (len(names) - len(record.values))]
            named = zip(names, padded, strict=True)
            yield record.line, {name: value for name, value in named if name}, ""


def _columns_below(text: str) -> int:
    """Returns into how many values one sign divides all rows below a first one of one value.

    0 where none divides them alike: a text of one column, with commas here and there.
    """
    for separator in SEPARATORS:
        rows = [row.values for row in islice(_records(text, separator), _SAMPLE_ROWS)]
        counts = {len(row) for row in rows[1:]}
        if len(rows) > 2 and len(rows[0]) == 1 and len(counts) == 1 and max(counts) > 1:
            return max(counts)
    return 0


def _too_many(values: list[str], names: list[str], separator: str) -> str:
    """Returns what is told of a row with more values than columns."""
    return (
        f"{len(values)} values for {len(names)} columns; a value that holds a {NAMES[separator]} "
        f"stands in quotes (the last is {shortened(values[-1], longest=40)})"
        if separator in NAMES
        else f"{len(values)} values for {len(names)} columns"
    )


def _announced(text: str) -> str:
    """Returns the separator that a first line ``sep=;`` says; empty without one."""
    first = text[:8].splitlines()[0] if text else ""
    return first[4] if first.startswith("sep=") and len(first) == 5 else ""


def _records(text: str, separator: str) -> Iterator[SeparatedRow]:
    """Yields the rows that hold a value, the header among them, each with its line."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    skipped = 1 if _announced(text) else 0
    longest = csv.field_size_limit()
    while True:
        line = reader.line_num + 1
        csv.field_size_limit(sys.maxsize)  # of the whole process, so it is put back at once
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield SeparatedRow(line, [], _csv_fault(str(error)))
            continue
        finally:
            csv.field_size_limit(longest)
        if skipped:
            skipped -= 1
        elif any(value.strip() for value in values):
            yield SeparatedRow(line, values)


def _csv_fault(message: str) -> str:
    """Returns a fault of the csv module in words."""
    if "unexpected end of data" in message:
        return "a quotation mark opens a value here and none closes it"
    if "expected after" in message:
        return 'text stands behind a closing quotation mark; one inside a value is written ""'
    return f"not CSV ({message})"
