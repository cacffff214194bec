"""``potstill export`` of scores and samples: a folder of logs that other programs' viewers open."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from potstill.exchange.every_eval_ever import write_every_eval_ever
from potstill.exchange.inspect_logs import write_inspect_logs
from potstill.exchange.lm_eval_results import write_lm_eval_results
from potstill.exchange.measured_systems import MeasuredRun, SystemOnTask, last_evaluation
from potstill.pipeline.run import Run
from potstill.whole_files import new_folder

LogKind = Literal["inspect", "lm_eval", "every_eval_ever"]
"""The programs whose form the logs have."""

WRITERS: Mapping[LogKind, Callable[[MeasuredRun, Path], Iterator[SystemOnTask]]] = MappingProxyType(
    {
        "inspect": write_inspect_logs,
        "lm_eval": write_lm_eval_results,
        "every_eval_ever": write_every_eval_ever,
    }
)


class LogResult(NamedTuple):
    """The numbers of things that an export of logs wrote or left out."""

    systems: int
    tasks: int
    samples: int
    """Answers, of all systems on all tasks."""

    left_out: Mapping[str, int]
    """Numbers of what was left out of the logs, by a phrase that says what it is."""


def export_logs(run: Run, folder: Path, kind: LogKind) -> LogResult:
    """Write what a run's last evaluation scored and answered, in the form of another program.

    Args:
        run: Opened read-only, or not.
        folder: New or empty; it is there once all of it is written.
        kind: The program.

    Raises:
        DataError: Nothing has been measured yet.
        ConfigError: The folder is in use, or cannot be written.
    """
    evaluation = last_evaluation(run)
    total = len(evaluation.measured)
    with (
        new_folder(folder) as unfinished,
        run.meter.stage(f"writing {kind} logs", total=total) as advance,
    ):
        for _ in WRITERS[kind](evaluation, unfinished):
            advance(1, 0, 0.0)
    return LogResult(
        systems=len({measured.system for measured in evaluation.measured}),
        tasks=len({measured.task.name for measured in evaluation.measured}),
        samples=sum(len(measured.answers) for measured in evaluation.measured),
        left_out=dict(evaluation.left_out),
    )
