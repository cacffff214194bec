"""Baselines of guidance: routing of whole questions, several samples, and controls.

Routing sends a share of the questions to the teacher, at random or where the student doubts most,
and needs no further answer of either model. pass@k is the student alone with k samples. A control
puts something else in the place of the teacher's first step, and the student goes on from there: if
a step about another problem helped as much, it would not be the step's content that helps.
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


def expect_routed(
    student: Graded, teacher: Graded, weights: Mapping[str, float]
) -> dict[str, Expected]:
    """The expected outcome by question where whole questions go to the teacher.

    Args:
        student: The student's own answers, by question.
        teacher: The teacher's own answers, by question.
        weights: The chance that a question goes to the teacher. The student's words that show its
            doubt are not counted.
    """
    expected = {}
    for id_, weight in weights.items():
        own, other = student[id_], teacher[id_]
        expected[id_] = Expected(
            correct=weight * other.correct + (1 - weight) * own.correct,
            guided=weight,
            student_tokens=(1 - weight) * own.student_tokens,
            teacher_tokens=weight * other.teacher_tokens,
            cost=weight * other.cost + (1 - weight) * own.cost,
        )
    return expected


def route_by_doubt(doubts: Mapping[str, float], share: float) -> dict[str, float]:
    """Send the most doubtful share of the questions to the teacher; equals by lot.

    This ranks the questions that are answered, so that every share is a point of a curve and none
    is a choice.

    Args:
        doubts: The student's doubt by question; the greater, the less sure it is.
        share: The share of the questions, between 0 and 1.

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


def signal_values(signals: Mapping[str, Signals | None], name: str) -> dict[str, float]:
    """One signal by question; a student that did not answer is in the greatest doubt."""
    return {
        id_: float("inf") if seen is None else float(getattr(seen, name))
        for id_, seen in signals.items()
    }


def pass_at(samples: int, right: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples is right (arXiv 2107.03374).

    Args:
        samples: How many were drawn, at least ``k``.
        right: How many of them are right.
        k: Samples that a user would draw.
    """
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def expect_sampled(
    task: Task,
    questions: Sequence[Question],
    drawn: Mapping[str, Sequence[Completion]],
    samples: int,
    k: int,
) -> dict[str, Expected]:
    """pass@k of every question; samples that failed are wrong.

    Args:
        task: The questions' task, which grades the samples.
        questions: The questions that were asked.
        drawn: The samples, by question.
        samples: How many were asked for.
        k: Samples that a user would draw.
    """
    expected = {}
    for question in questions:
        completions = drawn[question.id]
        right = sum(grade(task, sample.text, question).correct for sample in completions)
        expected[question.id] = Expected(
            correct=pass_at(samples, right, k),
            student_tokens=k * sum(sample.completion_tokens for sample in completions) / samples,
            cost=k * sum(sample.cost for sample in completions) / samples,
        )
    return expected


class FirstStep(NamedTuple):
    """A step that an answer is to begin with, and the teacher's tokens in it."""

    step: str
    tokens: int = 0
    cost: float = 0.0
    """US dollars."""

    own: bool = False
    """Whether it is the student's own, and no guidance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierAnswers:
    """Answers to the same questions that controls are made from."""

    alone: Mapping[str, GuidedAnswer]
    """The student's own answers, by question."""

    first: Mapping[str, GuidedAnswer]
    """The answers whose first step the teacher wrote, by question."""

    chains: Mapping[str, list[Answer]]
    """The teacher's own answers, greedy, by question."""


def answer_control(
    name: ControlName,
    experiment: SplitExperiment,
    earlier: EarlierAnswers,
    settings: GuideSettings,
) -> dict[str, GuidedAnswer]:
    """Have questions answered under a control.

    Args:
        name: The control's name.
        experiment: The questions, with both models.
        earlier: Answers to them that are there already.
        settings: The guide stage's.

    Returns:
        By question; those for which the control has no step are missing.
    """
    if name == "hint" or name == "question":
        return experiment.answer_by_kind(name)
    steps = _FIRST_STEPS[name](experiment, earlier, settings)
    layout = experiment.config.steps
    answered = experiment.drive(
        {
            question.id: continue_step(experiment.student(question), steps[question.id], layout)
            for question in experiment.questions
            if question.id in steps
        }
    )
    if name == "own_first":  # an answer of one step has no place to cut it at
        answered |= {id_: own for id_, own in earlier.alone.items() if id_ not in steps}
    return {
        question.id: answered[question.id]
        for question in experiment.questions
        if question.id in answered
    }


def continue_step(student: Participant, first: FirstStep, layout: StepKind) -> GuidedDecoder:
    """Have the student go on from a step that is given."""
    prefix, usage = joined([first.step], layout), Usage()
    endings = yield ModelCall("student", student.continue_from(prefix), last=True)
    usage.add(endings)
    return GuidedAnswer(
        prefix=prefix,
        endings=tuple(endings),
        guidance=() if first.own else (first.step,),
        silent=False,
        signals=None,
        student=usage,
        teacher=Usage(completion_tokens=first.tokens, cost=first.cost),
    )


def _own_first(
    experiment: SplitExperiment, earlier: EarlierAnswers, settings: GuideSettings
) -> dict[str, FirstStep]:
    """The student's first step, cut off and put back."""
    first_steps = {}
    for question in experiment.questions:
        answer = next(iter(earlier.alone[question.id].texts), "")
        text = experiment.student(question).without_lead(answer)
        steps = split_steps(text, experiment.config.steps)
        if len(steps) > 1:
            first_steps[question.id] = FirstStep(steps[0], own=True)
    return first_steps


def _other_problem(
    experiment: SplitExperiment, earlier: EarlierAnswers, settings: GuideSettings
) -> dict[str, FirstStep]:
    """The teacher's first step for another question."""
    first_steps = {}
    for id_, other in experiment.other_questions().items():
        answer = earlier.first[other.id]
        if answer.guidance:
            usage = answer.teacher
            first_steps[id_] = FirstStep(answer.guidance[0], usage.completion_tokens, usage.cost)
    return first_steps


def _random_step(
    experiment: SplitExperiment, earlier: EarlierAnswers, settings: GuideSettings
) -> dict[str, FirstStep]:
    """Any one of the steps of the teacher's own chain."""
    first_steps = {}
    for question in experiment.questions:
        for chain in earlier.chains[question.id]:
            steps = experiment.steps(question, chain)
            if steps:
                step = Random(f"random step {experiment.seed} {question.id}").choice(steps)
                first_steps[question.id] = _part_of(chain, step)
    return first_steps


def _wrong_chain(
    experiment: SplitExperiment, earlier: EarlierAnswers, settings: GuideSettings
) -> dict[str, FirstStep]:
    """The first step of a chain that reached a wrong answer."""
    sampling = SamplingParams(
        samples=settings.chains,
        temperature=settings.temperature,
        max_tokens=experiment.models.teacher_asking.sampling.max_tokens,
        seed=experiment.seed,
    )
    chains, first_steps = experiment.chains(sampling), {}
    for question in experiment.questions:
        for chain in chains[question.id]:
            steps = experiment.steps(question, chain)
            if steps and _is_wrong(experiment, question, chain):
                first_steps[question.id] = _part_of(chain, steps[0])
                break
    return first_steps


def _is_wrong(experiment: SplitExperiment, question: Question, chain: Answer) -> bool:
    """Whether a chain has come to an answer, and to a wrong one."""
    verdict = grade(experiment.task, chain.text, question)
    return chain.finish_reason == "stop" and verdict.answer is not None and not verdict.correct


def _part_of(chain: Answer, step: str) -> FirstStep:
    """A step of a chain, with its share of the chain's tokens and cost."""
    share = min(1.0, len(step) / max(1, len(chain.text)))
    return FirstStep(step, round(chain.completion_tokens * share), chain.cost * share)


_FIRST_STEPS: Mapping[
    ControlName,
    Callable[[SplitExperiment, EarlierAnswers, GuideSettings], dict[str, FirstStep]],
] = {
    "own_first": _own_first,
    "wrong_chain": _wrong_chain,
    "other_problem": _other_problem,
    "random_step": _random_step,
}
