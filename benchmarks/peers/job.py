"""A driver's task and its report of what it kept; needs the standard library alone.

A driver is run in its system's own environment, as ``ask_NAME.py JOB`` to ask and as
``ask_NAME.py JOB --read`` to tell what the system kept. A job is asked again after a kill, and
with larger numbers, on the same folder.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

NUMBER = re.compile(r"\[q(\d+)\]")


class Job(NamedTuple):
    """Questions to be asked, and how."""

    url: str
    questions: str
    """JSONL with the columns ``q`` and ``a``."""

    folder: str
    """The folder in which the system keeps its answers."""

    samples: int = 1
    max_tokens: int = 256
    top_logprobs: int = 0
    in_flight: int = 256
    temperature: float = 1.0
    resumable: bool = False
    """It is going to be repeated: a system that has to be told to keep its answers is told so."""

    @classmethod
    def load(cls, path: str) -> "Job":
        """Read a job."""
        return cls(**json.loads(Path(path).read_text()))

    def save(self) -> Path:
        """Write the job beside its folder."""
        path = Path(f"{self.folder}.job.json")
        path.write_text(json.dumps(self._asdict()))
        return path

    def rows(self) -> list[dict[str, str]]:
        """The questions."""
        return [json.loads(line) for line in Path(self.questions).read_text().splitlines()]


class Kept(NamedTuple):
    """One answer that a system kept."""

    question: str
    """Text that names the question."""

    named: int = 0
    """Alternatives that can be told from the others at their position."""


def distinct(positions: Iterable[Iterable[Any]]) -> int:
    """Alternatives that can be told apart, by what names them at each position."""
    return sum(len(set(names)) for names in positions)


def size(folder: Path, pattern: str = "**/*") -> int:
    """Bytes of the files under a folder."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def told(job: Job, read: Callable[[Job], Iterable[Kept]], files: str) -> dict[str, float]:
    """Counts what was kept: answers, those missing and those too many, alternatives, bytes."""
    begun = time.perf_counter()
    rows = list(read(job))
    seconds = time.perf_counter() - begun
    found: Counter[int] = Counter()
    for row in rows:
        match = NUMBER.search(row.question)
        found[int(match[1]) if match else -1] += 1
    numbers = range(len(job.rows()))
    return {
        "rows": len(rows),
        "missing": sum(max(job.samples - found[number], 0) for number in numbers),
        "duplicates": len(rows) - sum(min(found[number], job.samples) for number in numbers),
        "named": sum(row.named for row in rows),
        "bytes": size(Path(job.folder), files),
        "seconds_to_open": seconds,
    }


def drive(
    ask: Callable[[Job], None], read: Callable[[Job], Iterable[Kept]], *, files: str = "**/*"
) -> None:
    """The command line of a driver.

    Args:
        ask: Asks what is missing.
        read: Yields what is kept.
        files: Those of the folder that hold what is kept.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("--read", action="store_true")
    arguments = parser.parse_args()
    job = Job.load(arguments.job)
    if arguments.read:
        print(json.dumps(told(job, read, files)))
    else:
        ask(job)
