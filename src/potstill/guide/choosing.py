"""Thresholds of conditional policies, chosen on development questions alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from potstill.guide.field import Field
from potstill.guide.judging import Judging, Tried, choose_threshold
from potstill.guide.learned import Learned, learn
from potstill.guide.policies import Policy
from potstill.guide.scoring import Graded, Grader, Scorer
from potstill.guide.settings import GuideSettings
from potstill.guide.signals import Judge, Signals
from potstill.records import GuidedPrediction, GuidedScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What development questions have settled."""

    judging: Judging
    scores: list[GuidedScore] = field(default_factory=list)
    """On development questions."""

    predictions: list[GuidedPrediction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def judge(self, policy: Policy) -> Judge | None:
        """The judge of a policy; None for one that needs none."""
        return self.judging.judge(policy)


class _Measured(NamedTuple):
    """Development questions, answered without and with the teacher's first step."""

    alone: Graded
    first: Graded
    signals: Mapping[str, Signals | None]


def choose(dev: Field, settings: GuideSettings) -> Chosen:
    """Learn when the teacher is worth asking, and choose the thresholds that are not given.

    Where the teacher is asked, a conditional policy's answer is that of ``first``, elsewhere that
    of ``never``; so these two and the student's signals tell what any threshold would come to.

    Args:
        dev: The development questions.
        settings: Of the stage.
    """
    open_ = [
        each
        for each in settings.followed
        if each.conditional and (each.threshold is None or each.when == "learned")
    ]
    if not open_:
        return Chosen(judging=Judging(thresholds={}))
    measured = _measure(dev)
    scorer = Scorer(
        task=dev.task.name,
        split="dev",
        alone=measured.alone,
        resamples=settings.bootstrap,
        seed=dev.seed,
    )
    learned = None
    if any(each.when == "learned" for each in open_):
        learned = _learned(measured, dev.seed)
    judging = Judging(thresholds={}, classifier=learned and learned.classifier)
    thresholds, notes = dict[str, float](), list[str]()
    scores = [
        scorer.of("never", "alone", measured.alone),
        scorer.of("first", "policy", measured.first),
    ]
    predictions = [*measured.alone.values(), *measured.first.values()]
    for policy in open_:
        doubt = _doubt(policy, measured, judging, learned)
        threshold = policy.threshold
        if threshold is None:
            threshold = choose_threshold(_tried(measured, doubt), settings.keep_gain)
            notes.append(_told(policy, threshold, measured, settings))
        thresholds[policy.name] = threshold
        answers = _followed(policy.name, measured, doubt, threshold)
        scores.append(scorer.of(policy.name, "policy", answers))
        predictions += answers.values()
    return Chosen(
        judging=replace(judging, thresholds=thresholds),
        scores=scores,
        predictions=predictions,
        notes=notes,
    )


def _measure(dev: Field) -> _Measured:
    policies = [Policy(when="never"), Policy(when="first")]
    answered = dev.followed([(each, None) for each in policies])
    grader = Grader(task=dev.task, split="dev")
    graded = {
        name: {each.id: grader.guided(name, each, answers[each.id]) for each in dev.questions}
        for name, answers in answered.items()
    }
    return _Measured(graded["never"], graded["first"], dev.signals())


def _learned(measured: _Measured, seed: int) -> Learned:
    """A classifier of the questions that the teacher's first step turns right."""
    known = {id_: each for id_, each in measured.signals.items() if each is not None}
    turned = [measured.first[id_].correct and not measured.alone[id_].correct for id_ in known]
    return learn(list(known.values()), turned, seed=seed)


def _doubt(
    policy: Policy, measured: _Measured, judging: Judging, learned: Learned | None
) -> dict[str, float]:
    """What a policy compares with its threshold; a student that is silent is always guided.

    Of what was learned, that is the probability by those who had not seen the question.
    """
    known = {id_: each for id_, each in measured.signals.items() if each is not None}
    if policy.when == "learned" and learned is not None:
        found = dict(zip(known, learned.held_out, strict=True))
    else:
        score = judging.scorer(policy)
        found = {id_: score(each) for id_, each in known.items()}
    return {id_: found.get(id_, math.inf) for id_ in measured.signals}


def _tried(measured: _Measured, doubt: Mapping[str, float]) -> list[Tried]:
    return [
        Tried(
            doubt[id_],
            first.correct - measured.alone[id_].correct,
            first.teacher_tokens,
        )
        for id_, first in measured.first.items()
    ]


def _followed(
    name: str, measured: _Measured, doubt: Mapping[str, float], threshold: float
) -> dict[str, GuidedPrediction]:
    """The answers under a conditional policy; the draft that it looks at is not counted."""
    return {
        id_: replace(
            measured.first[id_] if value >= threshold else measured.alone[id_], policy=name
        )
        for id_, value in doubt.items()
    }


def _told(policy: Policy, threshold: float, measured: _Measured, settings: GuideSettings) -> str:
    """What was chosen, and by how many questions."""
    total = len(measured.first)
    gain = sum(each.correct - measured.alone[id_].correct for id_, each in measured.first.items())
    if gain <= 0:
        return (
            f"{policy.name} never asks the teacher: always guiding the first step turned "
            f"{gain:+,} of {total:,} development questions right, so there is no gain to keep."
        )
    if math.isinf(threshold):
        return f"{policy.name} asks the teacher only where the student does not answer."
    return (
        f"{policy.name} asks the teacher from {threshold:.4g} on: of the thresholds that keep "
        f"{settings.keep_gain:.0%} of the {gain:,} of {total:,} development questions gained by "
        "always guiding the first step, the one with the fewest teacher tokens."
    )
