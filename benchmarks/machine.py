"""The machine that a benchmark ran on, to stand beside its figures."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path


def facts(*packages: str) -> dict[str, str | int]:
    """Processor, cores, versions and the command that was run."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "command": f"python {' '.join(sys.argv)}",
    }


def write_results(path: Path, results: object) -> None:
    """Write figures as indented JSON, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
