"""Memory that a training keeps between its steps."""

import ctypes
import os
from pathlib import Path

import pytest
import torch

from potstill.train.freed_memory import freed_memory_kept

CPU = torch.device("cpu")
BLOCK = 256 * 2**20
"""Bytes, far more than glibc keeps by itself."""

glibc_alone = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or bool(os.environ.get("LD_PRELOAD")),
    reason="another allocator than glibc's",
)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def take_and_free() -> int:
    """Returns the bytes that a block leaves in memory once it is freed."""
    before = resident()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    assert resident() - before > BLOCK / 2
    del block
    return resident() - before


@glibc_alone
def test_a_freed_block_stays_until_the_end_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    assert take_and_free() < BLOCK / 2
    with freed_memory_kept(CPU):
        assert take_and_free() > BLOCK / 2
        within = resident()
    assert within - resident() > BLOCK / 2
    assert take_and_free() < BLOCK / 2


@glibc_alone
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    with freed_memory_kept(CPU):
        assert take_and_free() < BLOCK / 2


@glibc_alone
def test_nothing_is_kept_where_another_device_trains() -> None:
    with freed_memory_kept(torch.device("meta")):
        assert take_and_free() < BLOCK / 2
