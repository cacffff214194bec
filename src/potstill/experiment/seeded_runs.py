"""Runs a recipe and its variants once for each seed, each in a process and a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.pipeline.recipe import load_recipe
from potstill.runtime.signals import Terminated, terminating
from potstill.store import Store


class SeededRun(NamedTuple):
    """One run of one recipe, with one seed."""

    recipe: Path
    variant: str
    """The variant's name; empty for the recipe as it is."""

    seed: int
    changes: tuple[str, ...]
    """Settings beside the recipe's, as ``--set`` takes them."""

    folder: Path

    @property
    def seconds(self) -> float:
        """Seconds that the stages of the run took in all."""
        with Store(self.folder / "run.sqlite", read_only=True) as store:
            return sum(stage.seconds for stage in store.stages())


def seeded_runs(
    recipes: Sequence[Path],
    seeds: Sequence[int],
    *,
    changes: Sequence[str] = (),
    per_seed: Sequence[str] = (),
    variants: Sequence[Sequence[str]] = (),
) -> list[SeededRun]:
    """Returns every run that is wanted, the seeds of one recipe after those of another.

    Args:
        recipes: Their files.
        seeds: The value of the setting ``seed`` in each run.
        changes: Settings of all runs, as ``--set`` takes them.
        per_seed: Further settings that get the seed's number, such as ``task.split_seed``.
        variants: Each a name, then the settings that make it another than the recipe.

    Raises:
        ConfigError: A recipe cannot be loaded so, or two runs would share a folder.
    """
    wanted: dict[Path, SeededRun] = {}
    for recipe in recipes:
        for variant, *varied in [("",), *variants]:
            for seed in seeds:
                seeded = [f"{name}={seed}" for name in ("seed", *per_seed)]
                settings = [*changes, *varied, *seeded]
                name = load_recipe(recipe, settings).run + (f"-{variant}" if variant else "")
                folder = Path(f"{name}-seed{seed}")
                if folder in wanted:
                    raise ConfigError(
                        f"{recipe}: {folder} would take the runs of two variants or recipes; "
                        "give each a name of its own"
                    )
                wanted[folder] = SeededRun(
                    recipe, variant, seed, (*settings, f"run={folder}"), folder
                )
    return list(wanted.values())


class RunProcesses:
    """The runs at work, each in a process, which end together. Thread-safe."""

    def __init__(self) -> None:
        self._lock, self._is_ended = Lock(), False
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Run a command to its end, its output in a file.

        Returns:
            Its exit status; that of SIGTERM, and nothing was started, after :meth:`end`.
        """
        with log.open("w", encoding="utf-8") as output:
            with self._lock:
                if self._is_ended:
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    command, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
                self._started.append(process)
            return process.wait()

    def end(self) -> None:
        """Send SIGTERM to all, on which they end in good order; no further one starts."""
        with self._lock:
            self._is_ended = True
            for process in self._started:
                process.terminate()


def run_all(runs: Sequence[SeededRun], jobs: int, tell: Callable[[str], None]) -> int:
    """Do all runs, some at once; what is done already is not done again.

    SIGTERM ends those at work, too. Ctrl-C reaches them from the terminal.

    Args:
        runs: Each becomes ``potstill run`` in a process of its own.
        jobs: Runs at once. Several get an even share of the machine's threads each: on small
            models two jobs of one thread beat one of two.
        tell: Takes a line for each run that has ended.

    Returns:
        The number of runs that failed.
    """
    threads = max((os.cpu_count() or 1) // jobs, 1) if jobs > 1 else None
    failed, processes = 0, RunProcesses()
    with terminating(), ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run_one, run, threads, processes) for run in runs]
        try:
            for run, one in zip(runs, waiting, strict=True):
                failure = one.result()
                tell(failure or f"{run.folder}: {run.seconds:.0f} s")
                failed += failure is not None
        except BaseException as ending:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(ending, KeyboardInterrupt) or isinstance(ending, Terminated):
                processes.end()
            raise
    return failed


def run_one(run: SeededRun, threads: int | None, processes: RunProcesses) -> str | None:
    """Do one run, its output in ``log.txt`` of its folder.

    Returns:
        A line that says what went wrong; None where nothing did.
    """
    words = [word for change in run.changes for word in ("--set", change)]
    command = [sys.executable, "-m", "potstill", "run", str(run.recipe), *words]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    run.folder.mkdir(parents=True, exist_ok=True)
    log = run.folder / "log.txt"
    status = processes.run(command, environment, log)
    if not status:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or ["(no output)"]
    return f"{run.folder}: ended with {status}: {lines[-1]}"
