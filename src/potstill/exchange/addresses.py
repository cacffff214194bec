"""Addresses of files of rows: a folder of this machine, or any address that fsspec knows.

An address is ``s3://bucket/runs/``, ``gs://...``, ``memory://...`` and the like; keys come from
where the file system looks for them, such as ``AWS_ACCESS_KEY_ID``, never from the address. Files
go out whole: each is written on this machine first, and sent once it is done.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from potstill.errors import ConfigError, MissingExtraError, PotstillError, extra
from potstill.tables.source_rows import ENDINGS

_CREDENTIALS = re.compile(r"://[^/@]*:[^/@]*@")

_INSTALLS = {"s3": "'potstill[s3]'", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""The package that brings the file system of an address, by its scheme."""


class Shelf(Protocol):
    """A place that holds files by name."""

    def names(self) -> list[str]:
        """Returns the names of its files, sorted; none where it is not there."""

    def put(self, file: Path, name: str) -> None:
        """Take a file of this machine, in the place of one of the same name."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    @contextmanager
    def file(self, name: str, scratch: Path) -> Iterator[Path]:
        """Gives a file of it as one of this machine, for the block; ``scratch`` takes a copy."""


class LocalShelf:
    """A folder of this machine.

    Args:
        folder: Made once something is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def names(self) -> list[str]:
        """See :class:`Shelf`."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(file.name for file in found if file.is_file())

    def put(self, file: Path, name: str) -> None:
        """See :class:`Shelf`; the file is moved."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file.replace(self._folder / name)

    def remove(self, name: str) -> None:
        """See :class:`Shelf`."""
        (self._folder / name).unlink()

    @contextmanager
    def file(self, name: str, scratch: Path) -> Iterator[Path]:
        """See :class:`Shelf`; it is there already."""
        del scratch
        yield self._folder / name


class RemoteShelf:
    """A folder of a file system that fsspec opens.

    Args:
        address: The folder's.

    Raises:
        PotstillError: It cannot be opened.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._system, self._folder = _opened(self._address)

    def __str__(self) -> str:
        return self._address

    def names(self) -> list[str]:
        """See :class:`Shelf`."""
        with _told(self._address, "read"):
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._folder, detail=True)
            except FileNotFoundError:
                return []
        files = [entry["name"] for entry in found if entry["type"] == "file"]
        return sorted(name.rpartition("/")[2] for name in files)

    def put(self, file: Path, name: str) -> None:
        """See :class:`Shelf`."""
        with _told(f"{self._address}/{name}", "written"):
            self._system.put_file(str(file), f"{self._folder}/{name}")
        file.unlink()

    def remove(self, name: str) -> None:
        """See :class:`Shelf`."""
        with _told(f"{self._address}/{name}", "removed"):
            self._system.rm_file(f"{self._folder}/{name}")

    @contextmanager
    def file(self, name: str, scratch: Path) -> Iterator[Path]:
        """See :class:`Shelf`.

        Raises:
            PotstillError: It cannot be read; or what the block raises, with the address in the
                place of the copy's path.
        """
        copy, address = scratch / name, f"{self._address}/{name}"
        with _told(address, "read"):
            self._system.get_file(f"{self._folder}/{name}", str(copy))
        try:
            yield copy
        except PotstillError as error:
            raise type(error)(str(error).replace(str(copy), address)) from error
        finally:
            copy.unlink(missing_ok=True)


def is_address(place: str) -> bool:
    """Returns whether a place is an address, and no path of this machine."""
    return "://" in place


def is_folder_name(place: str) -> bool:
    """Returns whether a place is named as a folder: by a slash at its end."""
    return place.endswith("/")


def shelf_at(folder: str) -> Shelf:
    """Returns a folder by its path or address.

    Raises:
        PotstillError: The address cannot be opened.
    """
    return RemoteShelf(folder) if is_address(folder) else LocalShelf(Path(folder))


def folder_and_name(place: str) -> tuple[str, str]:
    """Returns the folder of a file, and its name there."""
    folder, _, name = place.rpartition("/")
    return folder or ".", name


def files_at(place: str) -> tuple[Shelf, Sequence[str]]:
    """Returns the files of rows that a place names: one, all of a folder, or those of a pattern.

    Args:
        place: A file; a folder, with a slash at its end; or a folder and a pattern for names, as in
            ``s3://bucket/run/rationales-*.parquet``.

    Raises:
        PotstillError: There are none.
    """
    folder, name = folder_and_name(place)
    shelf = shelf_at(folder)
    if name and not any(sign in name for sign in "*?["):
        return shelf, [name]
    names = [found for found in shelf.names() if fnmatch(found, name or "*")]
    readable = [found for found in names if found.removesuffix(".gz").endswith(ENDINGS)]
    if not readable:
        raise ConfigError(f"{place} holds no file that ends in {', '.join(ENDINGS)}.")
    return shelf, readable


def _opened(address: str) -> tuple[Any, str]:
    """Returns the file system of an address, and the place there."""
    if _CREDENTIALS.search(address):
        raise ConfigError(
            f"{address.partition('://')[0]}://...: an address with a password in it would be "
            "shown and logged. Give the password by the file system's environment or its "
            "configuration (https://filesystem-spec.readthedocs.io, Configuration)."
        )
    with extra("s3", needed_for=address):
        from fsspec.core import url_to_fs
    protocol = address.partition("://")[0]
    try:
        system, folder = url_to_fs(address)
    except ImportError as error:
        brings = _INSTALLS.get(protocol)
        install = f"Install it with: pip install {brings}" if brings else str(error)
        raise MissingExtraError(
            f"{address} needs a file system that is not installed. {install}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{address}: {error}. Give an address that fsspec knows.") from error
    return system, str(folder).rstrip("/")


@contextmanager
def _told(address: str, done: str) -> Iterator[None]:
    """Turn what a file system raises, each of its own kinds, into one line."""
    try:
        yield
    except PotstillError:
        raise
    except Exception as error:  # each file system has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{address} cannot be {done}: {reason}. See whether it is there, and whether the keys "
            "in the environment allow it."
        ) from error
