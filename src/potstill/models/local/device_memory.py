"""The memory of this machine's processor and devices, in bytes."""

import ctypes
import gc
import os
from pathlib import Path

import torch

from potstill.runtime.processor_memory import NO_BOUND, system_memory, total_processor_memory

MUCH_RESIDENT = 1 << 30
"""Bytes of this process from which on it is looked for what nobody uses; that takes 0.1 s."""


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
    return total_processor_memory()


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
        return min(system_memory("SC_AVPHYS_PAGES"), total_memory(device))


def resident_bytes() -> int:
    """Returns the bytes of this process that are in memory, on Linux; 0 elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back_unused() -> None:
    """Give the memory of models that were let go back to the system, where it is much.

    A trained model is part of reference cycles, and glibc keeps what is freed: of 4.4 GB that a
    training of 135 million weights took, 2.3 GB were resident behind it, and 0.6 GB after this.
    """
    if resident_bytes() < MUCH_RESIDENT:
        return
    gc.collect()
    give_back_freed()


def give_back_freed() -> None:
    """Give what was freed back to the system, where the allocator is glibc's."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
