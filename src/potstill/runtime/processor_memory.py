"""The memory of this machine's processor, in bytes; nothing heavy is loaded to look at it."""

import os
from pathlib import Path

CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files in which Linux states a container's memory limit: cgroups version 2, then version 1."""

NO_BOUND = 1 << 62
"""The bytes that stand for an unknown limit."""


def total_processor_memory() -> int:
    """Returns the bytes that this process may take; :data:`NO_BOUND` where that is not known."""
    limits = [_read_limit(path) for path in CONTAINER_LIMITS]
    return min([system_memory("SC_PHYS_PAGES"), *limits])


def system_memory(pages: str) -> int:
    """Returns the bytes of the pages that a name of ``sysconf`` counts."""
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # this system has no such name
        return NO_BOUND


def _read_limit(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
        return int(text) if text.isdecimal() else NO_BOUND  # "max" is no limit
    except OSError:
        return NO_BOUND
