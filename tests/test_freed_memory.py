"""Memory that a training keeps between its steps."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import build_tiny_causal

import potstill.models.local.device_memory
from potstill.models.local.device_memory import resident_bytes
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.train.freed_memory import FreedMemory, freed_memory_kept

CPU = torch.device("cpu")
BLOCK = 256 * 2**20
"""Bytes, far more than glibc keeps by itself."""

glibc_alone = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or bool(os.environ.get("LD_PRELOAD")),
    reason="another allocator than glibc's",
)


def take_and_free() -> int:
    """Returns the bytes that a block leaves in memory once it is freed."""
    before = resident_bytes()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    assert resident_bytes() - before > BLOCK / 2
    del block
    return resident_bytes() - before


@glibc_alone
def test_a_freed_block_stays_until_the_end_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    assert take_and_free() < BLOCK / 2
    with freed_memory_kept(CPU):
        assert take_and_free() > BLOCK / 2
        within = resident_bytes()
    assert within - resident_bytes() > BLOCK / 2
    assert take_and_free() < BLOCK / 2


FAULTS = """
import resource, torch
from potstill.train.freed_memory import freed_memory_kept

with freed_memory_kept(torch.device("cpu")):
    pass
torch.ones(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Counts the pages that 30 tensors of 4 MB take from the system, in a process without others."""


@glibc_alone
def test_afterwards_tensors_of_some_megabytes_are_taken_from_the_heap() -> None:
    """Taken from the system each time, their 30,000 pages would be filled with zeros anew."""
    source = Path(__file__).parents[1] / "src"
    counted = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(counted.stdout) < 5_000


@glibc_alone
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    with freed_memory_kept(CPU):
        assert take_and_free() < BLOCK / 2


@glibc_alone
def test_nothing_is_kept_where_another_device_trains() -> None:
    with freed_memory_kept(torch.device("meta")):
        assert take_and_free() < BLOCK / 2


def test_memory_that_grows_beyond_what_a_step_needs_is_given_back() -> None:
    """Steps need 40 of 100 bytes in use; each leaves 10 more in pieces that fit no later step."""
    in_use, needed = 100, 40
    freed, pieces, most, returns = 0, 0, 0, 0

    def give_back() -> None:
        nonlocal pieces, returns, freed
        pieces, freed, returns = 0, 0, returns + 1

    memory = FreedMemory(lambda: in_use + freed + pieces, give_back)
    for _ in range(100):
        freed, pieces = needed, pieces + 10
        memory.after_step()
        most = max(most, in_use + freed + pieces)
    assert most <= 1.25 * (in_use + needed + 2 * 10)
    assert 1 < returns < 40
    assert pieces < 50


@glibc_alone
def test_a_model_that_was_let_go_is_gone_before_another_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(potstill.models.local.device_memory, "MUCH_RESIDENT", 0)
    folder = str(build_tiny_causal(tmp_path, "llama"))
    load_model_and_tokenizer(folder, device="cpu")  # which loads code, too
    with freed_memory_kept(CPU):
        model = torch.nn.Linear(BLOCK // 4, 1)
        model.itself = [model]  # type: ignore[assignment]  # as a trainer and its callbacks do
        before = resident_bytes()
        del model
    assert before - resident_bytes() < BLOCK / 2, "a cycle is not found by itself"
    load_model_and_tokenizer(folder, device="cpu")
    assert before - resident_bytes() > BLOCK / 2
