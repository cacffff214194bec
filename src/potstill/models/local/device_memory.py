"""The memory of this machine's processor and devices, in bytes."""

import os
from pathlib import Path

import torch

CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says how much memory a container may take; version 2 of its groups, then 1."""

NO_BOUND = 1 << 62
"""Bytes where nothing is known."""


def total_memory(device: str) -> int:
    """Returns the bytes of a device's memory; without a bound where that is not known.

    Args:
        device: A torch device, such as ``cpu`` or ``cuda:1``.
    """
    if device.startswith("cuda"):
        try:
            return int(torch.cuda.get_device_properties(device).total_memory)
        except (RuntimeError, AssertionError, ValueError):  # it is not there, which others say
            return NO_BOUND
    limits = [_read_limit(path) for path in CONTAINER_LIMITS]
    return min([_system_memory("SC_PHYS_PAGES"), *limits])


def free_memory(device: str) -> int:
    """Returns the bytes that are free on a device; without a bound where that is not known."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return min(free << 10, total_memory(device))
    except (OSError, ValueError, StopIteration):
        return min(_system_memory("SC_AVPHYS_PAGES"), total_memory(device))


def _system_memory(pages: str) -> int:
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return NO_BOUND


def _read_limit(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
        return int(text) if text.isdecimal() else NO_BOUND  # "max" is no limit
    except OSError:
        return NO_BOUND
