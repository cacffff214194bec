"""Exporting: what a run has, as one file that other tools read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.exchange.columns import What
from potstill.exchange.questions import TaskQuestions
from potstill.exchange.rows import STAGES, Table, completion_rows, rationale_rows, trained_rows
from potstill.exchange.writing import check_target, write_rows
from potstill.progress import Advance
from potstill.run import Run


class Exported(NamedTuple):
    """What an export wrote."""

    rows: int
    without_question: int
    """Completions that ask no question of the task; their question columns are empty."""


def export_run(
    run: Run,
    path: Path,
    what: What,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write completions, rationales or training rows of a run to a file.

    A run that is being written to can be exported at the same time: the file has what was stored
    when the export began. Memory does not grow with the run's size.

    Args:
        run: Opened read-only, or not.
        path: Ends in ``.parquet``, ``.jsonl`` or ``.jsonl.gz``.
        what: What to write.
        stages: Whose completions; by default those that training learns from.
        logprobs: Whether the completions' token probabilities come along.
        data_format: How ``chat`` and ``prompt_completion`` are worded.
        overwrite: Whether a file may be there already.

    Raises:
        PotstillError: The file cannot be written, there is nothing to export, or a setting does
            not fit what is exported.
    """
    check_target(path, overwrite=overwrite)
    found = rows_of(run, what, stages=stages, logprobs=logprobs, data_format=data_format)
    seen = _Seen()
    with run.meter.stage(f"exporting {what}", total=found.total) as advance:
        rows = seen.counted(found.rows, advance)
        written = write_rows(path, found.columns, rows, overwrite=overwrite)
    return Exported(written, seen.without_question)


def rows_of(
    run: Run,
    what: What,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
) -> Table:
    """The rows that :func:`export_run` writes; arguments as there.

    Raises:
        PotstillError: As there.
    """
    if what != "completions" and (logprobs or stages):
        raise ConfigError(f"stages and token probabilities are of completions, not of {what}.")
    if what in ("completions", "rationales") and data_format is not None:
        raise ConfigError(f"a data format words chat and prompt_completion, not {what}.")
    questions = questions_of(run)
    if what == "completions":
        chosen = tuple(stages) or STAGES
        return completion_rows(run.store, questions, stages=chosen, logprobs=logprobs)
    if what == "rationales":
        return rationale_rows(run.store, questions)
    return trained_rows(run.store, questions, what, data_format)


def questions_of(run: Run) -> TaskQuestions:
    """The questions of a run's task, and how its teachers are asked them."""
    return TaskQuestions(run.task, [run.few_shot.style] if run.few_shot else [])


class _Seen:
    """Counts rows as they pass."""

    def __init__(self) -> None:
        self.without_question = 0

    def counted(
        self, rows: Iterable[Mapping[str, object]], advance: Advance
    ) -> Iterator[Mapping[str, object]]:
        for row in rows:
            self.without_question += row.get("question_id", "") is None
            yield row
            advance(1, 0, 0.0)
