"""Routing of whole questions by a threshold: the student's own answers, or the teacher's.

Both answer every question by themselves anyway, so what a threshold comes to takes no further
asking. Where the teacher has no answer the student's stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from potstill.guide.experiment import SplitExperiment
from potstill.guide.scoring import Graded, Grader
from potstill.guide.types import Usage
from potstill.guide.uncertainty import Signals
from potstill.records import GuidedPrediction, Policy
from potstill.records.policy import TEACHER_ALONE
from potstill.sampling.ask import Answer

DraftedSignals = Mapping[str, tuple[Signals | None, Usage]]
"""The student's signals by question, and what its drafts for them have taken."""


def grade_teacher(
    experiment: SplitExperiment, chains: Mapping[str, Sequence[Answer]], grader: Grader
) -> dict[str, GuidedPrediction]:
    """The teacher's own answers, graded; a question that it did not answer is wrong.

    Args:
        experiment: The questions.
        chains: The answers, by question.
        grader: Grades them.
    """
    return {
        question.id: grader.grade_whole(
            TEACHER_ALONE, question, chains[question.id], writer="teacher"
        )
        for question in experiment.questions
    }


def answer_routed(
    policy: Policy,
    asks: Mapping[str, bool],
    alone: Graded,
    teacher: Graded,
    drafts: DraftedSignals,
) -> dict[str, GuidedPrediction]:
    """The answers where some questions go to the teacher as a whole.

    Args:
        policy: The policy.
        asks: Whether the teacher is asked, by question.
        alone: The student's own answers.
        teacher: The teacher's own answers.
        drafts: The drafts that signals are read from, which are paid for besides.
    """
    answers = {}
    for id_, asked in asks.items():
        routed = asked and has_answer(teacher[id_])
        answer = teacher[id_] if routed else alone[id_]
        _, draft = drafts[id_]
        answers[id_] = replace(
            answer,
            policy=policy,
            guidance=answer.text if routed else "",
            student_tokens=answer.student_tokens + draft.completion_tokens,
            cost=answer.cost + draft.cost,
        )
    return answers


def has_answer(prediction: GuidedPrediction) -> bool:
    """Whether a model has written anything."""
    return bool(prediction.text.strip())
