"""Adaptive sampling: asking on only where right rationales are still lacking."""

import math
from collections import Counter
from collections.abc import Container
from dataclasses import replace
from typing import NamedTuple

from potstill.asking import AskCounts, Asking, answers, ask_requests
from potstill.models.base import Model
from potstill.progress import Meter
from potstill.records import Question, Task
from potstill.store import Store
from potstill.tasks.grading import grade


class Drawn(NamedTuple):
    """What the generate stage drew."""

    counts: AskCounts
    """Of the rationales, second steps aside."""

    enough: int | None = None
    """Questions that have as many right rationales as wanted; None where no number was."""


def draw_until_enough(
    task: Task,
    teacher: Model,
    store: Store,
    asking: Asking,
    meter: Meter,
    *,
    enough: int,
    label: str,
) -> Drawn:
    """Ask round by round, each time only about the questions that lack right rationales.

    The budget goes where rationales are hard to come by: a question that the teacher solves every
    time costs ``enough`` samples, one that it seldom solves up to ``asking.sampling.samples``.
    Right rationales that repeat each other count: a teacher so sure would be asked on in vain.

    What a round asks for follows from the graded answers of the rounds before, and sample i is the
    same draw in every run, so a repeated command goes the same way and pays only for what is
    missing.

    Args:
        task: Its training questions are asked; its grader tells which answers are right.
        teacher: Whom to ask.
        store: Where the answers go.
        asking: How to ask; ``asking.sampling.samples`` is the most samples of a question.
        meter: Shown the progress of each round.
        enough: Right rationales wanted of each question.
        label: What the meter calls them.
    """
    questions, limit = task.splits["train"], asking.sampling.samples
    asked, right = Counter[str](), Counter[str]()
    rounds = [AskCounts(0, 0, 0, 0)]
    while wanted := {
        question: range(asked[question.id], asked[question.id] + more)
        for question in questions
        if (more := further_samples(asked[question.id], right[question.id], enough, limit))
    }:
        requests = [
            replace(asking.request(question), samples=tuple(samples))
            for question, samples in wanted.items()
        ]
        round_ = f"{label}, round {len(rounds)}"
        counts = ask_requests(
            teacher, store, requests, asking, meter, label=round_, stage="generate"
        )
        rounds.append(counts)
        for question, samples in wanted.items():
            asked[question.id] = samples.stop
            right[question.id] += _right(task, teacher.name, store, question, asking, samples)
    in_all = AskCounts(*(sum(column) for column in zip(*rounds, strict=True)))
    return Drawn(in_all, sum(right[question.id] >= enough for question in questions))


def further_samples(asked: int, right: int, enough: int, limit: int) -> int:
    """How many more samples to ask for of a question, ``right`` of whose ``asked`` are right.

    First as many as are wanted in the end. Then as many as should fill the gap at the question's
    own rate of success, taken as (right + 1) / (asked + 2) (Laplace's rule of succession), but no
    more than it has been asked for so far: a few failures say little. At most ``limit`` in all.
    """
    if right >= enough:
        return 0
    expected = math.ceil((enough - right) * (asked + 2) / (right + 1))
    return min(expected, asked or enough, limit - asked)


def _right(
    task: Task,
    teacher_name: str,
    store: Store,
    question: Question,
    asking: Asking,
    samples: Container[int],
) -> int:
    """How many of these samples are right; one that was cut off is not, whatever it says."""
    return sum(
        grade(task, answer.text, question).correct
        for answer in answers(teacher_name, store, question, asking)
        if answer.sample in samples and answer.finish_reason == "stop"
    )
