"""Grading a file: a user's completions with their gold answers, whoever wrote them."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from potstill.errors import ConfigError, DataError
from potstill.grading.grade import GRADER_VERSION
from potstill.records import Grade, Task
from potstill.runtime.progress import Meter, printable
from potstill.statistics import Interval, accuracy_interval
from potstill.tasks import grade
from potstill.tasks.fields import Fields, Item, items

BAD_GOLD = "bad_gold"
"""The rule of a completion whose gold answer does not fit the task: nothing can be right there."""


class Disagreement(NamedTuple):
    """A completion on which the two verdicts differ."""

    at: str
    gold: str
    grade: Grade
    excerpt: str
    """The text around the answer that was read, or its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradedFile:
    """What was found in a file."""

    total: int
    """Completions graded."""

    correct: int
    no_answer: int
    rules: Mapping[str, int]
    """How many answers each rule found."""

    bad_golds: Sequence[str]
    """Why golds could not be used, each with its place."""

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
    path: Path, task: Task, fields: Fields, meter: Meter, *, out: Path | None = None
) -> GradedFile:
    """Grade every completion of a file.

    Args:
        path: JSONL, JSON, CSV or Parquet.
        task: Says what counts as an answer, and by which rule it is read.
        fields: Where things stand in a row.
        meter: Shown the progress.
        out: Takes one JSON line for each row, in order, with ``answer``, ``correct`` and ``rule``;
            for a row with a list of completions, these are lists. It appears when all is graded.

    Raises:
        ConfigError: ``out`` is the file that is read, or cannot be written.
        DataError: The file cannot be read, has no rows, lacks a field, or no gold answer fits.
    """
    if out and out.exists() and path.exists() and out.samefile(path):
        raise ConfigError(f"{out} is the file to be graded; write to another one.")
    tally, found = _Tally(), list(items(path, task, fields))
    partial = out.with_name(f".{out.name}.{os.getpid()}") if out else Path(os.devnull)
    try:
        with _opened(partial) as lines, meter.stage("grading", total=len(found)) as advance:
            for item in found:
                lines.write(tally.add(item, task) + b"\n")
                advance(1, 0, 0.0)
            graded = tally.result(path)
        if out:
            partial.replace(out)
    finally:
        if out:
            partial.unlink(missing_ok=True)
    return graded


def described(graded: GradedFile) -> Iterator[str]:
    """What was found, in lines; the text of models cannot steer the terminal it is shown on."""
    total, low, high = graded.total, *graded.interval
    yield f"graded       {total:,} completions, grader version {GRADER_VERSION}"
    yield (
        f"accuracy     {graded.correct / total:.1%} ({graded.correct:,} of {total:,}; "
        f"95% interval {low:.1%} to {high:.1%})"
    )
    yield f"no answer    {graded.no_answer / total:.1%} ({graded.no_answer:,})"
    yield "read by      " + ", ".join(f"{rule} {count:,}" for rule, count in graded.rules.items())
    if graded.bad_golds:
        yield f"bad gold     {len(graded.bad_golds):,}, counted as wrong; {graded.bad_golds[0]}"
    if graded.compared:
        low, high = graded.agreement
        same = graded.compared - len(graded.disagreements)
        yield (
            f"agreement    {same / graded.compared:.1%} ({same:,} of {graded.compared:,}; "
            f"95% interval {low:.1%} to {high:.1%})"
        )
    for each in graded.disagreements:
        ours, theirs = ("right", "wrong") if each.grade.correct else ("wrong", "right")
        yield f"\n{each.at.rpartition(', ')[2]}: {ours} here, {theirs} there"
        yield f"  gold  {printable(each.gold)}"
        yield f"  read  {printable(each.grade.answer or 'nothing')} (rule {each.grade.rule})"
        yield f"  text  {printable(each.excerpt)}"


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be written to: {error.strerror}.") from error


class _Tally:
    """Counts what has been graded so far."""

    def __init__(self) -> None:
        self.rules: Counter[str] = Counter()
        self.correct = self.no_answer = self.compared = 0
        self.bad_golds: list[str] = []
        self.disagreements: list[Disagreement] = []

    def add(self, item: Item, task: Task) -> bytes:
        """Grade a row; its line for the output."""
        graded = [self._graded(item, task, text) for text in item.texts]
        for text, ours, theirs in zip(item.texts, graded, item.verdicts, strict=True):
            self.compared += theirs is not None
            if theirs is not None and ours.correct != theirs:
                gold, excerpt = item.question.answer, _excerpt(text, ours)
                self.disagreements.append(Disagreement(item.at, gold, ours, excerpt))
        each = [{"answer": g.answer, "correct": g.correct, "rule": g.rule} for g in graded]
        if item.many:
            return orjson.dumps({name: [one[name] for one in each] for name in _OUT})
        return orjson.dumps(each[0])

    def _graded(self, item: Item, task: Task, text: str) -> Grade:
        try:
            found = grade(task, text, item.question)
        except DataError as error:
            self.bad_golds.append(str(error).removeprefix("question "))  # its id is the place
            found = Grade(answer=None, correct=False, rule=BAD_GOLD)
        self.rules[found.rule] += 1
        self.correct += found.correct
        self.no_answer += found.answer is None and found.rule != BAD_GOLD
        return found

    def result(self, path: Path) -> GradedFile:
        """All of it."""
        total = self.rules.total()
        if total == 0:
            raise DataError(f"{path} holds no completions.")
        if len(self.bad_golds) == total:
            raise DataError(f"no gold answer fits the task. {self.bad_golds[0]}")
        return GradedFile(
            total=total,
            correct=self.correct,
            no_answer=self.no_answer,
            rules=dict(self.rules.most_common()),
            bad_golds=self.bad_golds,
            compared=self.compared,
            disagreements=self.disagreements,
        )


_OUT = ("answer", "correct", "rule")


def _excerpt(text: str, graded: Grade, around: int = 40) -> str:
    """The text around what was read, or its end."""
    start, end = graded.span or (len(text), len(text))
    shown = text[max(0, start - 2 * around) : end + around]
    return ("…" if start > 2 * around else "") + shown + ("…" if end + around < len(text) else "")
