"""Files and folders that are written whole or not at all.

A reader sees the former content or the new one, never a part: the new content goes to a hidden
file beside the old one, reaches the disk (``fsync``), and takes the old one's name in one step
(``os.replace``). When writing fails, the hidden file is removed; one that a killed process left is
removed by the next write to the same path::

    write_whole(Path("report.html"), page.encode())

    with whole_file(Path("rows.jsonl")) as file:
        for row in rows:
            file.write(row)

A folder is filled the same way, under a hidden name beside its own::

    with whole_folder(Path("model")) as unfinished:
        shutil.copy2(weights, unfinished)
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from potstill.errors import ConfigError

OPEN_FILES = "/proc/self/fd"
"""The folder in which Linux shows a process's open files."""

ENDING = "unfinished"
"""Hidden files are called ``.NAME.PROCESS.unfinished``, with the writing process's number; hidden
folders ``.NAME.unfinished``, since several processes may fill one together."""


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; text is encoded as UTF-8.

    Raises:
        ConfigError: The path cannot be written to.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to fill, which becomes ``path`` when the block ends without an error.

    Folders that are missing are made.

    Raises:
        ConfigError: The path cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{ENDING}")
    with _refused(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        opened = _nameless(path.parent)
        is_nameless = opened is not None
        opened = opened or unfinished.open("wb")
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if is_nameless:
                with _refused(path):
                    unfinished.unlink(missing_ok=True)
                    # By a folder's descriptor, or Python links the link itself.
                    own = f"{OPEN_FILES}/{file.fileno()}"
                    os.link(own, unfinished, src_dir_fd=file.fileno(), follow_symlinks=True)
        with _refused(path):
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    flush_to_disk(path.parent)


def _nameless(folder: Path) -> BinaryIO | None:
    """Opens a file that has no name yet, so that a killed process leaves nothing of it.

    Returns:
        None where the system or the disk has none (Linux has them on most).
    """
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir(OPEN_FILES):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return None
        raise
    return os.fdopen(descriptor, "wb")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when the block ends without an error.

    All of it is on the disk by then. The former folder goes only once the new one is whole. What a
    killed process left of the same folder is removed first.

    Raises:
        ConfigError: The folder cannot be written.
    """
    unfinished = unfinished_folder(folder)
    former = unfinished_folder(folder.with_name(f"{folder.name}.former"))
    with _refused(folder):
        for leftover in (unfinished, former):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished.mkdir(parents=True)
    try:
        yield unfinished
        give_ordinary_modes(unfinished)
        for path in [*unfinished.rglob("*"), unfinished]:
            flush_to_disk(path)
        with _refused(folder):
            if folder.exists():
                folder.rename(former)
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    flush_to_disk(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def give_ordinary_modes(folder: Path) -> None:
    """Give the files below a folder the mode that new files have here.

    Libraries that write by way of a temporary file leave it readable to its owner alone.
    """
    mode = folder.stat().st_mode & 0o666  # the folder was made with what the umask allows
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


@contextmanager
def library_faults(path: Path) -> Iterator[None]:
    """Turn what safetensors and torch raise when they cannot write into the OSError that it is.

    Args:
        path: The file that is being written, for the message.

    Raises:
        OSError: The block could not write.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        told = _OS_ERROR.search(str(error))
        if told is None and not any(word in str(error) for word in _WRITERS):
            raise
        # torch's own writer does not say why; mostly there is no space left.
        code = int(told[1]) if told else errno.ENOSPC
        raise OSError(code, os.strerror(code), str(path)) from error


_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""The end of a Rust library's message for an error of the system."""

_WRITERS = ("PytorchStreamWriter", "inline_container", "unexpected pos")
"""Words in the messages of torch's writer of files."""


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name once all of it is there.

    Raises:
        ConfigError: It is there already, and not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; give a folder that is new or empty.")
    with whole_folder(folder.resolve()) as unfinished:
        yield unfinished


def unfinished_folder(folder: Path) -> Path:
    """Returns the place where a folder is filled before it takes its name."""
    return folder.with_name(f".{folder.name}.{ENDING}")


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Name the path that cannot be written; a full disk is no fault of the path and stays."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        is_file = isinstance(error, FileExistsError)  # in the place of a folder
        reason = f"{path.parent} is no folder" if is_file else error.strerror
        raise ConfigError(f"cannot write {path}: {reason}.") from error


def flush_to_disk(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes of this machine left of the same file."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*.{ENDING}"):
        process = leftover.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    with suppress(PermissionError):  # somebody else's, so it runs
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
