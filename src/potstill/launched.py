"""This process's rank among several, as the launcher that started them states it.

torchrun, ``accelerate launch`` and mpirun put it into the environment, each by names of its own.
The main process writes the run and shows what is done; the others compute.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from potstill.errors import ConfigError

NUMBERS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
LOCAL_NUMBERS = (
    "LOCAL_RANK",
    "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
)
LOCAL_COUNTS = (
    "LOCAL_WORLD_SIZE",
    "MPI_LOCALNRANKS",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
)
"""The names that accelerate looks for, too; the first that is set counts."""

SECONDS_TOGETHER = 60.0
"""Processes that end within so many seconds end of the same cause."""


def process_count() -> int:
    """Returns the number of processes that work together; 1: this one works alone."""
    return max(_number(COUNTS, 1), 1)


def process_number() -> int:
    """Returns this process's number among them, from 0."""
    return _number(NUMBERS, 0) if process_count() > 1 else 0


def local_process_number() -> int:
    """Returns this process's number among those of its machine, from 0."""
    return _number(LOCAL_NUMBERS, 0) if process_count() > 1 else 0


def is_main_process() -> bool:
    """Whether this process is the one that writes the run and shows what is done."""
    return process_number() == 0


def on_main_machine() -> bool:
    """Whether the main process works on this machine, so that its open files can be shared."""
    return process_number() < _number(LOCAL_COUNTS, process_count())


def asked_of_accelerate(flag: str) -> bool:
    """Whether accelerate's configuration asks for something, by the variable that it sets."""
    return os.environ.get(flag, "").lower() in ("1", "true", "yes")


def refuse_several(command: str) -> None:
    """Refuse a command that works in one process.

    Raises:
        ConfigError: A launcher has started several.
    """
    count = process_count()
    if count > 1:
        raise ConfigError(
            f"potstill {command} works in one process, and a launcher has started {count}. Start "
            "it without accelerate launch, torchrun or mpirun; in several processes there is "
            "potstill train."
        )


def one_in_place_of_several() -> str | None:
    """Returns a sentence, where accelerate has started one process though several were asked for.

    ``accelerate launch --cpu`` does so, and hands on an address to meet at that nobody else knows.
    """
    by_accelerate = asked_of_accelerate("ACCELERATE_USE_CPU")
    if process_count() > 1 or not by_accelerate or "MASTER_ADDR" not in os.environ:
        return None
    return (
        "accelerate launch --cpu starts a single process, however many are asked for, so one "
        "trains alone. For several: torchrun --nproc-per-node 2 -m potstill ..., or accelerate "
        "launch with a configuration file that says use_cpu: true (examples/accelerate/cpu.yaml)"
    )


def tells_ending() -> bool:
    """Whether this process is to tell why it ends: of those of a launcher the first on a machine.

    The others end by the same cause, or since that one is gone.
    """
    if process_count() == 1:
        return True
    # Processes of one launcher have one parent. A leftover of another is an old one.
    place = Path(tempfile.gettempdir()) / f"potstill-{os.getuid()}-{os.getppid()}-ended"
    for _ in range(2):
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            if _age(place) < SECONDS_TOGETHER:
                return False
            place.unlink(missing_ok=True)
        except OSError:  # a folder for temporary files that cannot be written
            return True
        else:
            return True
    return True


def _age(place: Path) -> float:
    """Returns the seconds since a file was written; those of one that is gone are without end."""
    try:
        return time.time() - place.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _number(names: Sequence[str], otherwise: int) -> int:
    """Returns the number in the first of these variables that is set, as launchers write it."""
    for name in names:
        if (value := os.environ.get(name, "")).isdecimal():
            return int(value)
    return otherwise
