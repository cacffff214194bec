"""Checksums of a folder's files, kept beside them in the form that sha256sum reads.

    checkpoint-000100/
      model.safetensors, config.json, ...
      checksums.sha256          a line for each file beside it: its SHA-256 and its name
      removed.txt               only where ``potstill clean`` took the files themselves away

A folder without ``checksums.sha256`` was written by an older potstill or by somebody else; nothing
is known of it, and nothing is said.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from potstill.whole_files import write_whole

CHECKSUMS = "checksums.sha256"
REMOVED = "removed.txt"


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in a folder, but for a card, which is there to be edited.

    Folders inside it are left out.
    """
    left_out = (CHECKSUMS, "README.md")
    files = sorted(
        path for path in folder.iterdir() if path.is_file() and path.name not in left_out
    )
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in files]
    write_whole(folder / CHECKSUMS, "".join(lines))


def read_checksums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file by its name, as written; empty where nothing was written.

    A line that cannot be read stands for a file that is not there.
    """
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    pairs = (line.partition("  ") for line in text.splitlines())
    return {name or digest: digest for digest, _, name in pairs}


def is_removed(folder: Path) -> bool:
    """Whether ``potstill clean`` took the folder's files away, and only their checksums stand."""
    return (folder / REMOVED).is_file() and (folder / CHECKSUMS).is_file()


def damage(folder: Path) -> list[str]:
    """Returns what is wrong with a folder, a phrase for each file; nothing where it is whole.

    Files that came to the folder later are not looked at.
    """
    if not folder.is_dir():
        return ["the folder is missing"]
    if is_removed(folder):
        return []
    faults = []
    for name, digest in read_checksums(folder).items():
        path = folder / Path(name).name
        try:
            differs = sha256_of(path) != digest
        except OSError as error:
            faults.append(f"{name} is missing" if not path.exists() else f"{name}: {error}")
        else:
            if differs:
                faults.append(f"{name} is not what was written ({path.stat().st_size:,} bytes)")
    return faults


def sha256_of(path: Path) -> str:
    """Returns a file's SHA-256; a file that has not changed is read once in a process.

    Raises:
        OSError: It cannot be read.
    """
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
