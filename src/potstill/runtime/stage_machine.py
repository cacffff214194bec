"""The machine that a stage works on: what stands beside its results and times."""

import importlib.metadata
import os
import platform
import sys
from collections import Counter
from pathlib import Path

from potstill.records import StageMachine
from potstill.runtime.processor_memory import NO_BOUND, total_processor_memory

COMPUTING = ("torch", "transformers", "tokenizers", "accelerate", "peft", "vllm", "ray")
"""The packages whose versions may change a result; those that a stage has loaded are kept."""


def stage_machine(stage: str) -> StageMachine:
    """Returns the machine at the end of a stage, when what the stage needs is loaded.

    Nothing is loaded for it, and the machine's name in its network is left out.
    """
    return StageMachine(
        stage=stage,
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        processor=_processor(),
        cores=_cores(),
        memory_bytes=_memory(),
        accelerators=_accelerators(),
        versions=", ".join(_versions()),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


def _memory() -> int:
    total = total_processor_memory()
    return 0 if total == NO_BOUND else total


def _accelerators() -> str:
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    if torch.cuda.is_available():
        devices = range(torch.cuda.device_count())
        if not torch.cuda.is_initialized():  # asking for names would take memory of each
            return f"{len(devices)} CUDA devices, not used by this process itself"
        names = Counter(torch.cuda.get_device_name(device) for device in devices)
        return ", ".join(f"{count} x {name}" for name, count in names.items())
    return "Apple GPU" if torch.backends.mps.is_available() else ""


def _versions() -> list[str]:
    loaded = [name for name in ("potstill", *COMPUTING) if name in sys.modules]
    found = [f"Python {platform.python_version()}"]
    for name in loaded:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:  # run out of a folder
            found.append(f"{name} of an unknown version")
    return found
