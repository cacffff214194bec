"""Turns the bytes of a file into its text: packing, files that are no text, encodings."""

import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError, DataError, shortened, unread_file


class FileLayout(NamedTuple):
    """How a file is written, where its user says so."""

    encoding: str | None = None
    """Python's name of its encoding; None: UTF-8, or what a byte order mark says."""

    separator: str | None = None
    """The sign between the columns of separated text; None: found from the file."""


MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Byte order marks and the encodings that they stand for; the longer ones first."""

_KINDS = [
    (b"PK\x03\x04", "an Excel or OpenDocument workbook, or another ZIP archive. Save the sheet as "
     "CSV UTF-8, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV UTF-8"),
    (b"SQLite format 3\0", "an SQLite database. Write its table to a CSV file"),
    (b"ARROW1", "an Arrow file. Save it as Parquet"),
    (b"BZh", "packed by bzip2. Unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\0", "packed by xz. Unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard. Unpack it, or pack it with gzip"),
    (b"%PDF", "a PDF. Give the questions as CSV or JSON lines"),
    (b"\x80\x04\x95", "a Python pickle, which potstill never loads. Save it as Parquet"),
    (b"\x80\x05\x95", "a Python pickle, which potstill never loads. Save it as Parquet"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file. Fetch it with: git lfs pull"),
]  # fmt: skip
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE)
_RARE_LETTERS = frozenset(b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f")
"""Windows-1252's letters outside Latin-1, Š Œ Ž š œ ž Ÿ; other encodings have é or ü there."""

_AROUND = 12
"""Characters shown on each side of the one that cannot be read."""


def file_bytes(path: Path) -> bytes:
    """Returns the content of a file, unpacked where it is gzipped.

    Raises:
        DataError: The file cannot be read or unpacked, or is of a kind that holds no text.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip data: {error}.") from error
    except OSError as error:
        raise DataError(unread_file(path, error)) from error
    refuse_kinds(data[:4096], path)
    return data


def refuse_kinds(head: bytes, path: Path) -> None:
    """Refuses what is no text, by the first bytes of a file.

    Raises:
        DataError: It is of a kind that is known and not read; the message says what to do.
    """
    for beginning, words in _KINDS:
        if head.startswith(beginning):
            raise DataError(f"{path} is {words}.")
    if _WEB_PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise DataError(f"{path} is a web page, not data. Fetch the file itself.")


def mark_of(head: bytes) -> str | None:
    """Returns the encoding that a byte order mark at the beginning says; None without one."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), None)


def decoded(data: bytes, path: Path, encoding: str | None = None) -> str:
    """Returns the text of a file's bytes, without a byte order mark.

    Args:
        data: The bytes.
        path: The file, for messages.
        encoding: The encoding that the user names; by default UTF-8, or what a mark says.

    Raises:
        DataError: The bytes are no text of that encoding. The message names the line, and the
            encoding that they look like.
        ConfigError: There is no such encoding.
    """
    name = encoding or mark_of(data) or "utf-8"
    if name == "utf-8" and encoding is None and _is_wide(data):
        zero = UnicodeDecodeError("utf-8", b"\0", data.index(b"\0"), data.index(b"\0") + 1, "zero")
        raise DataError(_undecodable(data, path, name, zero))
    try:
        return data.decode(name).removeprefix("\ufeff")
    except LookupError as error:
        raise ConfigError(
            f"{path}: there is no encoding {name!r}; usual ones are utf-8, cp1252 and utf-16."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(_undecodable(data, path, name, error)) from error


def is_utf8(data: bytes) -> bool:
    """Says whether bytes are UTF-8; UTF-16 of ASCII letters is not, though it could be read so."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not _is_wide(data)


def _is_wide(data: bytes) -> bool:
    """Says whether bytes look like text of two or four bytes a letter."""
    return b"\0" in data and str(looks_like(data)).startswith(("utf-16", "utf-32"))


def looks_like(data: bytes) -> str | None:
    """Returns the encoding of bytes that are no UTF-8, as far as they show it; None if not.

    UTF-16 without a mark has a zero in every other byte of ASCII text, UTF-32 in three of four.
    Text of one byte a letter, most of them ASCII, is taken for Windows-1252, of which Latin-1's
    letters are a part.
    """
    sample = data[:65536]
    if b"\0" in sample:
        quarters = [sample[place::4].count(0) * 8 > len(sample) for place in range(4)]
        if sum(quarters) == 3 and not (quarters[0] and quarters[3]):
            return "utf-32-be" if quarters[0] else "utf-32-le"
        zeros = sample[0::2].count(0), sample[1::2].count(0)
        if max(zeros) < len(sample) // 8:
            return None
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    rare = sum(1 for byte in sample if byte in _RARE_LETTERS)
    usual = sum(1 for byte in sample if byte >= 0xC0)
    plain = sum(1 for byte in sample if byte < 0x80 and chr(byte).isalpha())
    # Cyrillic or Greek in one byte a letter would be words of nothing but such letters.
    return "cp1252" if rare <= usual <= plain / 2 else None


def _undecodable(data: bytes, path: Path, name: str, error: UnicodeDecodeError) -> str:
    """Returns what is told of bytes that are no text of an encoding."""
    line = data.count(b"\n", 0, error.start) + 1
    begin = max(data.rfind(b"\n", 0, error.start) + 1, error.start - _AROUND)
    there = data[begin : error.start + _AROUND].split(b"\n")[0].rstrip(b"\r")
    known = name.removesuffix("-sig").upper() if name.startswith("utf") else name
    told = f"{path}, line {line}: not {known}: {shortened(there)}."
    like = looks_like(data)
    if like is None or like == name:
        return (
            f"{told} Save the file as UTF-8, or name its encoding as task.encoding, "
            "e.g. cp1251 or shift_jis."
        )
    shown = data[begin : error.start + _AROUND].decode(like, "replace").split("\n")[0].rstrip("\r")
    if like.startswith(("utf-16", "utf-32")):  # cut at single bytes, so shown from the beginning
        shown = data[:60].decode(like, "replace").split("\n")[0].rstrip("\r")
    return (
        f"{told} It looks like {like}, in which this reads {shortened(shown)}: say "
        f"task.encoding: {like} in the recipe, or save the file as UTF-8, e.g. by: "
        f"iconv -f {like} -t utf-8 {path.name} > new{path.suffix}"
    )
