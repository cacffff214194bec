"""Freed memory that a process keeps while it trains on a processor.

A training step takes and frees the same large blocks again and again: gradients, logits, weights
rounded for products. glibc gives every freed block of more than 32 MiB back to the system, which
fills its pages with zeros when they are taken again. For SmolLM2-135M with 480 tokens a step that
was a quarter of the processor time. Kept, they are taken as they are.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""glibc's numbers of what is set, from ``malloc.h``."""

_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
"""Never give back the heap's end, and take no block from the system by itself."""

_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}
"""Those of glibc."""

_OWN_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
"""Variables by which users choose how memory is kept, or another allocator."""


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Keep what is freed while the block runs; then give it back.

    Nothing changes where other devices than processors train, on systems without glibc, and where
    the user has set how memory is kept.
    """
    library = ctypes.CDLL(None)
    glibc = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")
    if device.type != "cpu" or not glibc or any(os.environ.get(name) for name in _OWN_SETTINGS):
        yield
        return
    for setting, value in _KEEP.items():
        library.mallopt(setting, value)
    try:
        yield
    finally:
        for setting, value in _DEFAULTS.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)
