"""What guidance is held against: whole questions routed to the teacher, and several samples.

Controls: something else in the place of the teacher's first step, to see what it is that helps.

Each control gives a step for every question that it can; the student goes on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import comb
from random import Random
from typing import NamedTuple

from potstill.grading.grade import grade
from potstill.guide.experiment import SplitExperiment
from potstill.guide.scoring import Expected, Graded
from potstill.guide.settings import ControlName, GuideSettings
from potstill.guide.types import GuidedAnswer, GuidedDecoder, ModelCall, Participant, Usage
from potstill.guide.uncertainty import Signals
from potstill.records import Completion, Question, Task
from potstill.sampling.ask import Answer, SamplingParams
from potstill.text.steps import StepKind, joined, split_steps

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


class Told(NamedTuple):
    """A step to begin with, and what it took of the teacher."""

    step: str
    tokens: int = 0
    cost: float = 0.0
    own: bool = False
    """Whether it is the student's own, and no guidance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierAnswers:
    """What was measured on the same questions before."""

    alone: Mapping[str, GuidedAnswer]
    """The student's own answers, by question."""

    first: Mapping[str, GuidedAnswer]
    """Those whose first step the teacher wrote."""

    chains: Mapping[str, list[Answer]]
    """The teacher's own, greedy."""


def controlled(
    name: ControlName, field: SplitExperiment, known: EarlierAnswers, settings: GuideSettings
) -> dict[str, GuidedAnswer]:
    """Have questions answered under a control.

    Args:
        name: Which control.
        field: The questions.
        known: What was measured on them before.
        settings: Of the stage.

    Returns:
        By question; those for which the control has no step are missing.
    """
    if name == "hint" or name == "question":
        return field.of_kind(name)
    told = _STEPS[name](field, known, settings)
    layout = field.manner.steps
    found = field.each(
        lambda question: begun(field.student(question), told[question.id], layout), among=[*told]
    )
    if name == "own_first":  # an answer of one step has no place to cut it at
        found |= {id_: each for id_, each in known.alone.items() if id_ not in told}
    return {each.id: found[each.id] for each in field.questions if each.id in found}


def begun(student: Participant, told: Told, layout: StepKind) -> GuidedDecoder:
    """Have the student go on from a step that is given."""
    prefix, spent = joined([told.step], layout), Usage()
    endings = yield ModelCall("student", student.at(prefix), last=True)
    spent.add(endings)
    return GuidedAnswer(
        prefix=prefix,
        endings=tuple(endings),
        guidance=() if told.own else (told.step,),
        silent=False,
        signals=None,
        student=spent,
        teacher=Usage(completion_tokens=told.tokens, cost=told.cost),
    )


def _own_first(
    field: SplitExperiment, known: EarlierAnswers, settings: GuideSettings
) -> dict[str, Told]:
    """The student's first step, cut off and put back."""
    found = {}
    for question in field.questions:
        text = next(iter(known.alone[question.id].texts), "")
        steps = split_steps(field.student(question).own(text), field.manner.steps)
        if len(steps) > 1:
            found[question.id] = Told(steps[0], own=True)
    return found


def _other_problem(
    field: SplitExperiment, known: EarlierAnswers, settings: GuideSettings
) -> dict[str, Told]:
    """What the teacher wrote first for another question."""
    found = {}
    for id_, other in field.others().items():
        guided = known.first[other.id]
        if guided.guidance:
            spent = guided.teacher
            found[id_] = Told(guided.guidance[0], spent.completion_tokens, spent.cost)
    return found


def _random_step(
    field: SplitExperiment, known: EarlierAnswers, settings: GuideSettings
) -> dict[str, Told]:
    """Any one of the steps of the teacher's own chain."""
    found = {}
    for question in field.questions:
        for chain in known.chains[question.id]:
            steps = field.steps(question, chain)
            if steps:
                step = Random(f"random step {field.seed} {question.id}").choice(steps)
                found[question.id] = _part(chain, step)
    return found


def _wrong_chain(
    field: SplitExperiment, known: EarlierAnswers, settings: GuideSettings
) -> dict[str, Told]:
    """The first step of a chain that reached a wrong answer."""
    sampling = SamplingParams(
        samples=settings.chains,
        temperature=settings.temperature,
        max_tokens=field.parties.teacher_asking.sampling.max_tokens,
        seed=field.seed,
    )
    drawn, found = field.chains(sampling), {}
    for question in field.questions:
        for chain in drawn[question.id]:
            steps = field.steps(question, chain)
            if steps and _is_wrong(field, question, chain):
                found[question.id] = _part(chain, steps[0])
                break
    return found


def _is_wrong(field: SplitExperiment, question: Question, chain: Answer) -> bool:
    """Whether a chain has come to an answer, and to a wrong one."""
    verdict = grade(field.task, chain.text, question)
    return chain.finish_reason == "stop" and verdict.answer is not None and not verdict.correct


def _part(chain: Answer, step: str) -> Told:
    """A step of a chain, with its share of what the chain took."""
    share = min(1.0, len(step) / max(1, len(chain.text)))
    return Told(step, round(chain.completion_tokens * share), chain.cost * share)


_STEPS: Mapping[
    ControlName, Callable[[SplitExperiment, EarlierAnswers, GuideSettings], dict[str, Told]]
] = {
    "own_first": _own_first,
    "wrong_chain": _wrong_chain,
    "other_problem": _other_problem,
    "random_step": _random_step,
}
