"""Freed memory that a process keeps while it trains on a processor.

A training step takes and frees the same large blocks again and again: gradients, logits, weights
rounded for products. glibc gives every freed block of more than 32 MiB back to the system, which
fills its pages with zeros when they are taken again. For SmolLM2-135M with 480 tokens a step that
was a quarter of the processor time. Kept, they are taken as they are.

Steps differ in length, so kept blocks are split and fit the next step less and less: 8.6 GB were
resident after 100 steps of a training that needs 3.7. So they are all given back once more than
:data:`MOST_GROWTH` of what a step needs is resident, and taken anew.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from potstill.models.local.device_memory import give_back_freed, resident_bytes

MOST_GROWTH = 1.25
"""Resident memory, as a multiple of what a step leaves after all was given back, that is kept."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""glibc's numbers of the settings, from ``malloc.h``."""

_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
"""Values that never give the heap's end back, and take no block from the system by itself."""

_AFTERWARDS = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""The values that glibc adapts to by itself once blocks of 32 MiB have been freed. Setting any of
them ends the adapting, and the initial values would take every tensor of more than 128 KiB from the
system: one of 4 MB took 1.7 ms in place of 0.09."""

_OWN_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
"""Variables by which users choose how memory is kept, or another allocator."""


class FreedMemory(TrainerCallback):
    """Gives freed memory back after a step, where more is kept than steps need.

    Args:
        resident: Returns the bytes of this process that are in memory.
        give_back: Gives all freed memory back to the system.
    """

    def __init__(self, resident: Callable[[], int], give_back: Callable[[], object]) -> None:
        self._resident, self._give_back = resident, give_back
        self._needed = 0
        self._given_back = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Measure what is resident, and give back where it is too much."""
        self.after_step()

    def after_step(self) -> None:
        """Do so without a trainer.

        What the first step leaves is given back, too: it is of loading, and has no optimiser state.
        """
        resident = self._resident()
        if self._given_back:
            self._needed = max(self._needed, resident)
            self._given_back = False
        elif resident > MOST_GROWTH * self._needed:
            self._give_back()
            self._given_back = True


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[TrainerCallback]:
    """Keep what is freed while the block runs; then give it back.

    Nothing changes where other devices than processors train, on systems without glibc, and where
    the user has set how memory is kept.

    Returns:
        The trainer's callback that bounds what is kept.
    """
    library = ctypes.CDLL(None)
    glibc = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")
    if device.type != "cpu" or not glibc or any(os.environ.get(name) for name in _OWN_SETTINGS):
        yield TrainerCallback()
        return
    for setting, value in _KEEP.items():
        library.mallopt(setting, value)
    try:
        yield FreedMemory(resident_bytes, give_back_freed)
    finally:
        for setting, value in _AFTERWARDS.items():
            library.mallopt(setting, value)
        give_back_freed()
