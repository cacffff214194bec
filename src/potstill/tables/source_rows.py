"""The rows of a file, whoever wrote it, each with its place, and with its fault if it has one.

What a file holds is told by how it begins, not by its name alone: ``{`` or ``[`` is JSON, ``PAR1``
is Parquet, and anything else is separated text where the name allows it. A fault of one row leaves
the others readable.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeGuard, cast

import orjson

from potstill.errors import DataError, extra, unread_file
from potstill.tables.encodings import FileLayout, decoded, file_bytes, mark_of, refuse_kinds
from potstill.tables.faults import listed_faults
from potstill.tables.separated import separated_rows

Row = Mapping[str, object]

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""Endings by which files are asked for; others are read as well where their content is clear."""

_LINES = {".jsonl", ".ndjson", ".jsonlines"}
_SEPARATED = {".csv", ".tsv", ".tab", ".txt", ".psv"}
_BATCH_ROWS = 100
"""Rows of a Parquet file that are held at once."""

_HEAD = 65536
"""Bytes by which a file is known."""

# Digits that a 64-bit float would round; orjson reads longer whole numbers as floats.
_LONG_NUMBER = re.compile(rb"(?<![.\d])\d{17}")


HALF_A_CHARACTER = "holds half a character (a lone \\ud... escape); write it anew"
"""The fault of a row with a lone surrogate, which no UTF-8 can hold."""


class SourceRow(NamedTuple):
    """One row of a file and where it stands."""

    at: str
    """``line 3``, the file's own, or ``row 3`` where the file has no lines; counted from 1."""

    row: Row | None
    fault: str = ""
    """The reason for which there is no row."""


def source_rows(path: Path, layout: FileLayout | None = None) -> Iterator[SourceRow]:
    """Yields the rows of a file: JSON lines, JSON, separated text or Parquet.

    All but Parquet may be gzipped. JSON lines and Parquet are read a few rows at a time. A JSON
    file holds an array of objects, an object with one such array in it, an object that names each
    of them, or a list or mapping of values for each column.

    Args:
        path: The file.
        layout: Its encoding and its separator, where the user names them.

    Raises:
        DataError: The file cannot be read as a whole: it is missing, damaged or of another kind.
        MissingExtraError: Parquet is to be read without the package for it.
    """
    layout = layout or FileLayout()
    head = _head(path)
    suffix = _suffix(path)
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if suffix in (".parquet", ".pq"):
        raise DataError(f"{path} cannot be read as Parquet: it does not begin with PAR1.")
    plain = mark_of(head) in (None, "utf-8-sig") and layout.encoding is None
    if suffix in _LINES and plain and _is_object(head.split(b"\n", 1)[0]):
        return _streamed_lines(path)
    text = decoded(file_bytes(path), path, layout.encoding)
    begins = text.lstrip()[:1]
    if begins in ("{", "["):
        return _json(text, path)
    if suffix in _SEPARATED or layout.separator is not None:
        return _separated(text, path, layout.separator)
    if suffix in _LINES or suffix == ".json":
        return _json(text, path)
    if suffix in ("", ".gz") and not begins:
        return iter(())
    raise DataError(
        f"{path}: its ending does not say what it is. Give a {', '.join(ENDINGS[:-1])} or "
        f"{ENDINGS[-1]} file."
    )


def rows(path: Path, layout: FileLayout | None = None) -> list[tuple[str, Row]]:
    """Returns the rows of a file, each with its place for messages, as ``f.csv, line 3``.

    Raises:
        DataError: The file cannot be read, or some of its rows cannot; all those are told.
        MissingExtraError: Parquet is to be read without the package for it.
    """
    read, faults = [], []
    for at, row, fault in source_rows(path, layout):
        if row is None:
            faults.append(f"{path}, {at}: {fault}.")
        else:
            read.append((f"{path}, {at}", row))
    if faults:
        raise listed_faults(path, faults)
    return read


def first_row(path: Path) -> Row:
    """Returns the first row of a file that can be read, by which its columns are known.

    Raises:
        DataError: The file cannot be read, or has no such row.
    """
    for _, row, _ in source_rows(path):
        if row is not None:
            return row
    raise DataError(f"{path} has no row that can be read.")


def row_count(path: Path) -> int:
    """Returns the number of rows to be read, for the progress; of text, the number of lines."""
    if _head(path).startswith(b"PAR1"):
        from pyarrow import parquet

        return int(parquet.read_metadata(path).num_rows)
    with _opened(path) as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))


def _suffix(path: Path) -> str:
    """Returns a file's ending in small letters, the one before ``.gz`` where it is gzipped."""
    return (path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix).lower()


def _head(path: Path) -> bytes:
    """Returns the first bytes of a file's content, of a kind that can be read."""
    try:
        with _opened(path) as file:
            head = file.read(_HEAD)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip data: {error}.") from error
    except OSError as error:
        raise DataError(unread_file(path, error)) from error
    refuse_kinds(head, path)
    return head


def _opened(path: Path) -> BinaryIO:
    """Opens a file to be read; what is gzipped, whatever its name, is unpacked."""
    file = path.open("rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not packed and path.suffix.lower() != ".gz":
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path))


# JSON --------------------------------------------------------------------------------------------


def _streamed_lines(path: Path) -> Iterator[SourceRow]:
    """Yields the objects of UTF-8 JSON lines, one line in memory at a time."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield _parsed_line(text, f"line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip data: {error}.") from error
    except OSError as error:
        raise DataError(unread_file(path, error)) from error


def _is_object(line: bytes) -> bool:
    row = _parsed_line(line.removeprefix(b"\xef\xbb\xbf"), "")
    return row.row is not None or row.fault == HALF_A_CHARACTER


def _parsed_line(line: bytes, at: str) -> SourceRow:
    """Returns the object on a line of JSON."""
    try:
        value = _loaded(line)
    except UnicodeDecodeError as error:
        return SourceRow(at, None, f"not UTF-8 ({error.reason} at byte {error.start} of the line)")
    except ValueError as error:
        return SourceRow(at, None, f"broken JSON ({error})")
    if not isinstance(value, dict):
        return SourceRow(at, None, f"a {type(value).__name__} where an object should be")
    if b"\\ud" in line.lower() and not _is_whole(value):
        return SourceRow(at, None, HALF_A_CHARACTER)
    return SourceRow(at, value)


def _loaded(text: bytes) -> object:
    """Returns a JSON value; NaN, escaped halves of characters and long whole numbers are read too.

    Raises:
        ValueError: It is no JSON.
    """
    if not _LONG_NUMBER.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(text.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _is_whole(value: object) -> bool:
    """Says whether all characters of a JSON value can be written as UTF-8."""
    try:
        orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError) as error:
        return "surrogate" not in str(error)
    return True


def _json(text: str, path: Path) -> Iterator[SourceRow]:
    """Yields the rows of one JSON value, or of JSON lines."""
    data = text.encode("utf-8", "surrogatepass")
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in enumerate(data.split(b"\n"), start=1) if line[1].strip()]
        if _suffix(path) in _LINES or (lines and _is_object(lines[0][1])):
            return (_parsed_line(line, f"line {number}") for number, line in lines)
        raise DataError(f"{path}, line {error.lineno}: broken JSON: {error.msg}.") from error
    except RecursionError as error:
        raise DataError(f"{path}: broken JSON: nested too deep.") from error
    holds_rows = _are_rows(whole) or (isinstance(whole, dict) and _holds_rows(whole))
    if _suffix(path) in _LINES and not holds_rows:
        return iter([_parsed_line(data, "line 1")])
    halves = "\\ud" in text.lower()  # escapes of characters beyond 16 bits, or halves of them
    return (
        SourceRow(f"row {number}", None, HALF_A_CHARACTER)
        if halves and not _is_whole(row)
        else SourceRow(f"row {number}", row)
        for number, row in enumerate(_rows_of_value(whole, path), start=1)
    )


def _rows_of_value(whole: object, path: Path) -> list[Row]:
    """Returns the rows that one JSON value holds."""
    if _are_rows(whole):
        return whole
    if isinstance(whole, dict):
        lists = {name: part for name, part in whole.items() if part and _are_rows(part)}
        if len(lists) > 1:
            raise DataError(
                f"{path} holds several arrays of objects: {', '.join(map(repr, lists))}. "
                "Keep the one that is meant."
            )
        if lists:
            return next(iter(lists.values()))
        columns = _columns(whole)
        if columns:
            values = zip(*columns.values(), strict=True)
            return [dict(zip(columns, row, strict=True)) for row in values]
        named = list(whole.values())
        if named and _are_rows(named):
            return named
        if whole and not any(isinstance(value, list | dict) for value in named):
            return [whole]
    raise DataError(f"{path} must hold one JSON array of objects.")


def _columns(whole: Mapping[str, object]) -> dict[str, list[object]]:
    """Returns columns that stand one after the other, as pandas writes them; else nothing.

    Each is a list, or a mapping of row numbers as text.
    """
    values = list(whole.values())
    if len(values) > 1 and all(isinstance(value, list) for value in values):
        lists = cast(dict[str, list[object]], dict(whole))
        return lists if len({len(column) for column in lists.values()}) == 1 else {}
    if not values or not all(isinstance(value, dict) and value for value in values):
        return {}
    mappings = cast(dict[str, dict[str, object]], whole)
    keys = [list(column) for column in mappings.values()]
    if any(other != keys[0] for other in keys) or not all(key.isdecimal() for key in keys[0]):
        return {}
    return {name: list(column.values()) for name, column in mappings.items()}


def _holds_rows(whole: Mapping[str, object]) -> bool:
    return any(part and _are_rows(part) for part in whole.values())


def _are_rows(value: object) -> TypeGuard[list[Row]]:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


# separated text and Parquet ----------------------------------------------------------------------


def _separated(text: str, path: Path, separator: str | None) -> Iterator[SourceRow]:
    for line, row, fault in separated_rows(text, path, separator):
        yield SourceRow(f"line {line}", row, fault)


def _parquet(path: Path) -> Iterator[SourceRow]:
    with extra("parquet", needed_for=f"reading {path.name}"):
        import pyarrow
        from pyarrow import parquet
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            for row in chain.from_iterable(batch.to_pylist() for batch in batches):
                number += 1
                yield SourceRow(f"row {number}", row)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
