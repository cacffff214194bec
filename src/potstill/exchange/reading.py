"""Files read row by row, whoever wrote them: Parquet, JSON lines, JSON or CSV.

A broken row raises nothing: it comes with its place and its fault, so that the others can be used.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import orjson

from potstill.errors import DataError, extra
from potstill.tasks.files import rows as whole_rows

Row = Mapping[str, object]

_BATCH_ROWS = 100
"""Rows of a Parquet file that are held at once."""


class NumberedRow(NamedTuple):
    """One row of a file and where it stands."""

    at: str
    """``line 3`` or ``row 3``, counted from 1."""

    row: Row | None
    fault: str = ""
    """The reason for which there is no row."""


def numbered_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a Parquet, JSONL, JSON or CSV file; all but Parquet may be gzipped.

    JSON lines and Parquet are read a few rows at a time.

    Raises:
        DataError: The file cannot be read as a whole: it is missing, damaged or of another kind.
        MissingExtraError: Parquet is to be read without the package for it.
    """
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if not path.is_file():
        raise DataError(f"cannot read {path}: there is no such file.")
    if plain.suffix == ".jsonl":
        yield from _lines(path)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        for at, row in whole_rows(path):
            yield NumberedRow(at.rpartition(", ")[2], row)


def first_row(path: Path) -> Row:
    """The first row of a file that can be read, by which its columns are known.

    Raises:
        DataError: The file cannot be read, or has no such row.
    """
    for _, row, _ in numbered_rows(path):
        if row is not None:
            return row
    raise DataError(f"{path} has no row that can be read.")


def row_count(path: Path) -> int:
    """The number of rows to be read, for the progress."""
    if path.suffix != ".parquet":
        with _opened(path) as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))
    from pyarrow import parquet

    return int(parquet.read_metadata(path).num_rows)


def _lines(path: Path) -> Iterator[NumberedRow]:
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield _parse_line(text, f"line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip data: {error}.") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _parse_line(line: bytes, at: str) -> NumberedRow:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return NumberedRow(at, None, f"broken JSON ({error.msg})")
    if not isinstance(row, dict):
        return NumberedRow(at, None, f"a {type(row).__name__} where an object should be")
    return NumberedRow(at, row)


def _parquet(path: Path) -> Iterator[NumberedRow]:
    with extra("parquet", needed_for=f"reading {path.name}"):
        import pyarrow
        from pyarrow import parquet
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield NumberedRow(f"row {number}", row)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
