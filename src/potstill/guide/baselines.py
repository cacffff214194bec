"""What guidance is held against: whole questions routed to the teacher, and several samples."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import comb

from potstill.guide.scoring import Expected, Graded
from potstill.guide.signals import Signals
from potstill.records import Completion, Question, Task
from potstill.tasks.grading import grade

SHARES = (0.25, 0.5, 0.75)
"""Shares of the questions that are routed to the teacher."""


def routed(student: Graded, teacher: Graded, weights: Mapping[str, float]) -> dict[str, Expected]:
    """What is expected where whole questions go to the teacher.

    Args:
        student: Its own answers, by question.
        teacher: Likewise.
        weights: The chance that a question goes to the teacher. What the student wrote to show its
            doubt is not counted.
    """
    found = {}
    for id_, weight in weights.items():
        own, other = student[id_], teacher[id_]
        found[id_] = Expected(
            correct=weight * other.correct + (1 - weight) * own.correct,
            guided=weight,
            student_tokens=(1 - weight) * own.student_tokens,
            teacher_tokens=weight * other.teacher_tokens,
            cost=weight * other.cost + (1 - weight) * own.cost,
        )
    return found


def by_doubt(doubts: Mapping[str, float], share: float) -> dict[str, float]:
    """Send the most doubtful share of the questions to the teacher; equals by lot.

    This ranks the questions that are answered, so that every share is a point of a curve and none
    is a choice.

    Args:
        doubts: By question, the greater the less sure the student is.
        share: Of the questions, between 0 and 1.

    Returns:
        The chance that each goes to the teacher; their sum is the share of the questions.
    """
    left, weights = share * len(doubts), dict[str, float]()
    ranked = sorted(doubts, key=lambda id_: -doubts[id_])
    for _, group in groupby(ranked, key=lambda id_: doubts[id_]):
        ids = list(group)
        weight = min(1.0, max(0.0, left / len(ids)))
        weights |= dict.fromkeys(ids, weight)
        left -= len(ids)
    return weights


def doubts(signals: Mapping[str, Signals | None], name: str) -> dict[str, float]:
    """One signal of every question; a student that did not answer is in the greatest doubt."""
    return {
        id_: float("inf") if each is None else float(getattr(each, name))
        for id_, each in signals.items()
    }


def pass_at(samples: int, right: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples is right (arXiv 2107.03374).

    Args:
        samples: How many were drawn, at least ``k``.
        right: How many of them are right.
        k: Samples that a user would draw.
    """
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def sampled(
    task: Task,
    questions: Sequence[Question],
    drawn: Mapping[str, Sequence[Completion]],
    samples: int,
    k: int,
) -> dict[str, Expected]:
    """pass@k of every question; samples that failed are wrong.

    Args:
        task: Says what is right.
        questions: What was asked.
        drawn: The samples, by question.
        samples: How many were asked for.
        k: As in pass@k.
    """
    found = {}
    for question in questions:
        answers = drawn[question.id]
        right = sum(grade(task, each.text, question).correct for each in answers)
        found[question.id] = Expected(
            correct=pass_at(samples, right, k),
            student_tokens=k * sum(each.completion_tokens for each in answers) / samples,
            cost=k * sum(each.cost for each in answers) / samples,
        )
    return found
