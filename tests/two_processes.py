"""A program in two processes that train together on processors (gloo)."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def by_torchrun(
    program: str,
    folder: Path,
    *arguments: Path,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = ("--standalone",),
    most_seconds: float = 240,
) -> "subprocess.CompletedProcess[str]":
    """Returns what came of a program that torchrun starts twice; it may import tests' helpers.

    Args:
        program: Its text.
        folder: Where it is written to, before it is run.
        arguments: What it is given.
        environment: Further variables.
        options: Of torchrun, beside the number of processes.
        most_seconds: How long it may take.
    """
    script = folder / "program.py"
    script.write_text(program, encoding="utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", *options),
            *("--nproc-per-node", "2", str(script), *map(str, arguments)),
        ],
        env=several_processes_environment(folder) | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=most_seconds,
        check=False,
    )


def several_processes_environment(folder: Path) -> dict[str, str]:
    """Returns an environment in which the package and tests' helpers are found.

    Args:
        folder: Takes temporary files.
    """
    helpers = str(Path(__file__).parent)
    path = os.pathsep.join([*sys.path, helpers])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "TMPDIR": str(folder)}
