"""The facts that a run keeps about the machine that a stage worked on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from potstill.runtime.stage_machine import stage_machine
from potstill.store import Store


def test_the_machine_is_this_one_and_keeps_no_name_of_it() -> None:
    import platform

    found = stage_machine("train")
    assert found.stage == "train" and found.cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 100_000_000
    assert platform.node() not in (found.system, found.processor)
    assert f"Python {platform.python_version()}" in found.versions and "potstill" in found.versions


def test_nothing_is_loaded_to_look_at_it() -> None:
    program = (
        "import sys; from potstill.runtime.stage_machine import stage_machine;"
        "found = stage_machine('generate'); assert 'torch' not in sys.modules;"
        "print(repr(found.accelerators), 'torch' in found.versions)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["''", "False"]


def test_what_the_system_does_not_tell_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("potstill.runtime.processor_memory.CONTAINER_LIMITS", ())
    monkeypatch.setattr(os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError))
    assert stage_machine("train").memory_bytes == 0


def test_a_machine_is_kept_once_for_each_stage(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        for stage in ("train", "evaluate", "train"):
            store.keep_machine(stage_machine(stage))
        assert [one.stage for one in store.machines()] == ["train", "evaluate"]
