"""``potstill grade``: a file of completions, graded against the gold answers beside them.

A row such as ``{"completion": "3 + 4 = 7. The answer is 7.", "answer": "7"}`` is read and compared
by the grader that curation and evaluation share, or by the rule of published code. Where rows carry
somebody else's verdict, the two graders' agreement is counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from potstill.errors import ConfigError, DataError
from potstill.grading.grade import GRADER_VERSION
from potstill.records import Grade, Task
from potstill.runtime.progress import Meter, printable
from potstill.statistics import Interval, accuracy_interval
from potstill.tasks import grade
from potstill.tasks.fields import Fields, Item, items
from potstill.whole_files import whole_file

BAD_GOLD = "bad_gold"
"""The rule of a completion whose gold answer does not fit the task: nothing can be right there."""

_SHOWN_FAULTS = 10
"""Rows with a fault that are named; the others are counted."""


class Disagreement(NamedTuple):
    """A completion on which the two verdicts differ."""

    at: str
    gold: str
    grade: Grade
    excerpt: str
    """The text around the answer that was read, or its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradedFile:
    """The counts of a graded file."""

    total: int
    """Completions graded."""

    correct: int
    no_answer: int
    rules: Mapping[str, int]
    """How many answers were found by each rule, the most frequent rule first."""

    bad_golds: Sequence[str]
    """Why golds could not be used, each with its place."""

    missing: Sequence[str]
    """The places of rows without a completion, once for each that is missing."""

    compared: int
    """Completions with somebody else's verdict."""

    disagreements: Sequence[Disagreement]

    @property
    def interval(self) -> Interval:
        """The 95% interval of correct / total."""
        return accuracy_interval(self.correct, self.total)

    @property
    def agreement(self) -> Interval:
        """The 95% interval of the share of equal verdicts."""
        return accuracy_interval(self.compared - len(self.disagreements), self.compared)


def grade_file(
    path: Path,
    task: Task,
    fields: Fields,
    meter: Meter,
    *,
    out: Path | None = None,
    overwrite: bool = False,
) -> GradedFile:
    """Grade every completion of a file.

    Args:
        path: JSONL, JSON, CSV or Parquet.
        task: The type of the answers, and the rule that reads them.
        fields: The names of a row's fields.
        meter: Shows how many rows are graded.
        out: Takes one JSON line for each row, in order, with ``answer``, ``correct`` and ``rule``;
            for a row with a list of completions, these are lists. It appears when all is graded.
        overwrite: Replace ``out`` if it is there.

    Raises:
        ConfigError: ``out`` is the file that is read, is there already, or cannot be written.
        DataError: The file cannot be read, has no rows, lacks a field, or no gold answer fits.
    """
    if out and out.exists() and path.exists() and out.samefile(path):
        raise ConfigError(f"{out} is the file to be graded; write to another one.")
    if out and out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; name another file, or give --overwrite.")
    tally, rows = _Tally(), list(items(path, task, fields))
    with (
        whole_file(out) if out else nullcontext() as lines,
        meter.stage("grading", total=len(rows)) as advance,
    ):
        for row in rows:
            grades = tally.add(row, task)
            if lines is not None:
                lines.write(_output_line(grades, listed=row.many))
            advance(1, 0, 0.0)
        return tally.result(path)


def describe_graded(graded: GradedFile) -> Iterator[str]:
    """A graded file's counts, line by line; model text cannot steer the terminal that shows it."""
    total, low, high = graded.total, *graded.interval
    yield f"graded       {total:,} completions, grader version {GRADER_VERSION}"
    yield (
        f"accuracy     {graded.correct / total:.1%} ({graded.correct:,} of {total:,}; "
        f"95% interval {low:.1%} to {high:.1%})"
    )
    yield f"no answer    {graded.no_answer / total:.1%} ({graded.no_answer:,})"
    yield "read by      " + ", ".join(f"{rule} {count:,}" for rule, count in graded.rules.items())
    if graded.bad_golds:
        count, which = len(graded.bad_golds), _first_few(graded.bad_golds)
        yield f"bad gold     {count:,}, counted as wrong; {which}"
    if graded.missing:
        places = [at.rpartition(", ")[2] for at in graded.missing]
        yield (
            f"missing      {len(places):,} without a completion, counted as no answer; "
            f"{_first_few(places)}"
        )
    if graded.compared:
        low, high = graded.agreement
        same = graded.compared - len(graded.disagreements)
        yield (
            f"agreement    {same / graded.compared:.1%} ({same:,} of {graded.compared:,}; "
            f"95% interval {low:.1%} to {high:.1%})"
        )
    for at, gold, ours, excerpt in graded.disagreements:
        here, there = ("right", "wrong") if ours.correct else ("wrong", "right")
        yield f"\n{at.rpartition(', ')[2]}: {here} here, {there} there"
        yield f"  gold  {printable(gold)}"
        yield f"  read  {printable(ours.answer or 'nothing')} (rule {ours.rule})"
        yield f"  text  {printable(excerpt)}"


def _first_few(faults: Sequence[str]) -> str:
    """The first of some faults, each once; how many more there are."""
    once = list(dict.fromkeys(faults))
    shown = "; ".join(fault.rstrip(".") for fault in once[:_SHOWN_FAULTS])
    more = len(once) - _SHOWN_FAULTS
    return printable(f"{shown}; and {more:,} more" if more > 0 else shown)


def _output_line(grades: Sequence[Grade], *, listed: bool) -> bytes:
    """A row's grades as a JSON line; lists of values for a row with a list of completions."""
    columns: dict[str, list[object]] = {
        "answer": [grade.answer for grade in grades],
        "correct": [grade.correct for grade in grades],
        "rule": [grade.rule for grade in grades],
    }
    values = columns if listed else {name: column[0] for name, column in columns.items()}
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


class _Tally:
    """Grades rows and counts the outcomes."""

    def __init__(self) -> None:
        self.rules: Counter[str] = Counter()
        self.correct = self.no_answer = self.compared = 0
        self.bad_golds: list[str] = []
        self.missing: list[str] = []
        self.disagreements: list[Disagreement] = []

    def add(self, row: Item, task: Task) -> list[Grade]:
        """Grade and count the completions of a row."""
        grades = [self._grade(row, task, text) for text in row.texts]
        self.missing += [row.at] * row.missing
        for text, ours, theirs in zip(row.texts, grades, row.verdicts, strict=True):
            self.compared += theirs is not None
            if theirs is not None and ours.correct != theirs:
                gold, excerpt = row.question.answer, _excerpt(text, ours)
                self.disagreements.append(Disagreement(row.at, gold, ours, excerpt))
        return grades

    def _grade(self, row: Item, task: Task, text: str) -> Grade:
        try:
            graded = grade(task, text, row.question)
        except DataError as error:
            self.bad_golds.append(str(error).removeprefix("question "))  # its id is the place
            graded = Grade(answer=None, correct=False, rule=BAD_GOLD)
        self.rules[graded.rule] += 1
        self.correct += graded.correct
        self.no_answer += graded.answer is None and graded.rule != BAD_GOLD
        return graded

    def result(self, path: Path) -> GradedFile:
        """Everything counted.

        Raises:
            DataError: There was no completion, or no gold answer fits the task.
        """
        total = self.rules.total()
        if total == 0:
            raise DataError(f"{path} holds no completions.")
        if len(self.bad_golds) == total:
            raise DataError(f"no gold answer fits the task. {_first_few(self.bad_golds)}.")
        return GradedFile(
            total=total,
            correct=self.correct,
            no_answer=self.no_answer,
            rules=dict(self.rules.most_common()),
            bad_golds=self.bad_golds,
            missing=self.missing,
            compared=self.compared,
            disagreements=self.disagreements,
        )


def _excerpt(text: str, graded: Grade, around: int = 40) -> str:
    """The text around the answer that was read, or the text's end where none was."""
    start, end = graded.span or (len(text), len(text))
    shown = text[max(0, start - 2 * around) : end + around]
    return ("…" if start > 2 * around else "") + shown + ("…" if end + around < len(text) else "")
