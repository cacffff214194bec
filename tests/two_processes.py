"""A program in two processes that train together on processors (gloo)."""

import os
import subprocess
import sys
from pathlib import Path


def by_torchrun(program: str, folder: Path, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    """Returns what came of a program that torchrun starts twice; it may import tests' helpers.

    Args:
        program: Its text.
        folder: Where it is written to, before it is run.
        arguments: What it is given.
    """
    script = folder / "program.py"
    script.write_text(program, encoding="utf-8")
    helpers = str(Path(__file__).parent)
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(script), *map(str, arguments)),
        ],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([*sys.path, helpers]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
