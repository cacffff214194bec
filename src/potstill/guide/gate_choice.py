"""The gates of conditional policies, settled on development questions.

What a threshold comes to is known for every threshold at once where it decides once an answer: a
question above it is answered with the teacher's first step (``when_unsure``, ``learned``) or by the
teacher (``route``), any other by the student. Under ``any_step`` each threshold leads to answers of
its own, so only a few are tried: those that a share of the steps of the student's own answers
reaches. Where something is promised, a fifth of the questions tells the thresholds, the others test
them (guide/promises.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

import numpy as np

from potstill.guide.choice_notes import explain_broken, explain_choice, explain_promise
from potstill.guide.experiment import SplitExperiment
from potstill.guide.promises import Promise, TriedThreshold, choose_keeping
from potstill.guide.routing import DraftedSignals, answer_routed, grade_teacher
from potstill.guide.scoring import Graded, Grader, Scorer
from potstill.guide.settings import GuideSettings
from potstill.guide.thresholds import DevOutcome, FittedGates, choose_threshold
from potstill.guide.types import GuidedAnswer, PolicySettings
from potstill.guide.uncertainty import Gate, LearnedClassifier, Signals, learn
from potstill.records import GuidedPrediction, GuidedScore, Policy, Question
from potstill.records.policy import ALONE, ANY_STEP, ROUTE, TEACHER_ALONE
from potstill.text.steps import split_steps

NEVER, FIRST = PolicySettings(when="never"), PolicySettings(when="first")

ALWAYS = 0.0
"""A threshold that every signal reaches."""

ASKING_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
"""The shares of steps, or of questions, that thresholds are tried for, beside all and none."""

SCALE_SHARE = 0.2
"""The share of the development questions that tells which thresholds are tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSelection:
    """The gates that development questions have settled, and the scores there."""

    gates: FittedGates
    scores: list[GuidedScore] = field(default_factory=list)
    """The scores on development questions."""

    predictions: list[GuidedPrediction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """How each threshold was chosen, one sentence each."""

    broken: frozenset[Policy] = frozenset()
    """The policies for which no threshold is shown to keep what was promised."""


class _DevAnswers(NamedTuple):
    """Development questions, answered in the ways that are always at hand."""

    alone: Graded
    first: Graded
    """The answers with the teacher's first step."""

    drafts: DraftedSignals
    teacher: Graded
    """The teacher's own answers; empty where no policy hands over more than the first step."""

    @property
    def known_signals(self) -> dict[str, Signals]:
        """The signals by question, without those that the student did not answer."""
        return {id_: seen for id_, (seen, _) in self.drafts.items() if seen is not None}


class _Tried(NamedTuple):
    """Development questions as they are answered at one threshold."""

    threshold: float
    graded: Graded
    shares: Mapping[str, float]
    """The teacher's share of each answer, between 0 and 1."""


class _SettledGate(NamedTuple):
    """The threshold settled for one policy."""

    threshold: float | None
    """The threshold; None: none is shown to keep the promise."""

    graded: Graded
    note: str


def choose_gates(dev: SplitExperiment, settings: GuideSettings) -> GateSelection:
    """Learn when the teacher is worth asking, and choose the thresholds that are not given.

    Args:
        dev: The development questions, with both models.
        settings: The guide stage's settings.
    """
    undecided = settings.undecided
    if not undecided:
        return GateSelection(gates=FittedGates(thresholds={}))
    answered = _answer(dev, hands_over=any(p.when in (ANY_STEP, ROUTE) for p in undecided))
    scorer = Scorer(
        task=dev.task.name,
        split="dev",
        alone=answered.alone,
        resamples=settings.bootstrap,
        seed=dev.seed,
    )
    scores = [scorer.score(ALONE, answered.alone), scorer.score(FIRST.policy, answered.first)]
    predictions = [*answered.alone.values(), *answered.first.values()]
    if answered.teacher:
        score = scorer.score(TEACHER_ALONE, answered.teacher)
        scores.append(replace(score, guided=score.total))
        predictions += answered.teacher.values()
    chooser = _Chooser(dev, settings, answered)
    choices = {policy: chooser.choose(policy) for policy in undecided}
    for policy, choice in choices.items():
        if choice.threshold is not None:
            scores.append(scorer.score(policy.policy, choice.graded))
            predictions += choice.graded.values()
    thresholds = {policy.label: choice.threshold for policy, choice in choices.items()}
    return GateSelection(
        gates=replace(
            chooser.gates,
            thresholds={name: least for name, least in thresholds.items() if least is not None},
        ),
        scores=scores,
        predictions=predictions,
        notes=[choice.note for choice in choices.values() if choice.note],
        broken=frozenset(p.policy for p, choice in choices.items() if choice.threshold is None),
    )


def _answer(dev: SplitExperiment, *, hands_over: bool) -> _DevAnswers:
    """Answer the development questions in the ways that are always at hand.

    Args:
        dev: The questions.
        hands_over: Whether the teacher's own answers are wanted.
    """
    answered = dev.answer_under({NEVER.policy: (NEVER, None), FIRST.policy: (FIRST, None)})
    grader = Grader(task=dev.task, split="dev")
    graded = {
        policy: {q.id: grader.grade_guided(policy, q, answers[q.id]) for q in dev.questions}
        for policy, answers in answered.items()
    }
    teacher: Graded = grade_teacher(dev, dev.chains(), grader) if hands_over else {}
    return _DevAnswers(graded[ALONE], graded[FIRST.policy], dev.drafts(), teacher)


class _Chooser:
    """Chooses thresholds on development questions.

    Args:
        dev: The questions, with both models.
        settings: The guide stage's settings.
        answered: The questions as they are answered anyway.
    """

    def __init__(
        self, dev: SplitExperiment, settings: GuideSettings, answered: _DevAnswers
    ) -> None:
        self._dev, self._settings, self._answered = dev, settings, answered
        self._learned: LearnedClassifier | None = None
        if any(policy.when == "learned" for policy in settings.followed):
            self._learned = _learn(answered, dev.seed)
        self.gates = FittedGates(
            thresholds={}, classifier=self._learned and self._learned.classifier
        )

    def choose(self, policy: PolicySettings) -> _SettledGate:
        """Settle the threshold of one policy."""
        if policy.when == ANY_STEP:
            return self._choose_any_step(policy)
        doubts = self._doubts(policy)
        if policy.has_promise:
            scale = self._scale_questions()
            thresholds = thresholds_at([doubts[question.id] for question in scale])
            tried = [self._try_once(policy, doubts, threshold) for threshold in thresholds]
            return self._keep_promise(policy, tried, {question.id for question in scale})
        threshold, note = policy.threshold, ""
        if threshold is None:
            outcomes = self._outcomes(policy, doubts)
            threshold = choose_threshold(outcomes, self._settings.keep_gain)
            note = explain_choice(policy, threshold, outcomes, self._settings.keep_gain)
        return _SettledGate(threshold, self._try_once(policy, doubts, threshold).graded, note)

    def _choose_any_step(self, policy: PolicySettings) -> _SettledGate:
        scale = self._scale_questions() if policy.has_promise else self._dev.questions
        tried = self._try_any_step(policy, thresholds_at(self._step_doubts(policy, scale)))
        if policy.has_promise:
            return self._keep_promise(policy, tried, {question.id for question in scale})
        always = tried[-1].graded
        alone = self._answered.alone
        gains = {id_: one.correct - alone[id_].correct for id_, one in always.items()}
        wanted = self._settings.keep_gain * sum(gains.values())
        enough = [
            one
            for one in tried
            if wanted > 0 and self._gain(one) >= wanted - 1e-9 and not math.isinf(one.threshold)
        ]
        chosen = min(enough, key=_tokens, default=tried[0])
        outcomes = [
            DevOutcome(ALWAYS, gain, always[id_].teacher_tokens) for id_, gain in gains.items()
        ]
        note = explain_choice(policy, chosen.threshold, outcomes, self._settings.keep_gain)
        return _SettledGate(chosen.threshold, chosen.graded, note)

    def _gain(self, tried: _Tried) -> int:
        alone = self._answered.alone
        return sum(one.correct - alone[id_].correct for id_, one in tried.graded.items())

    def _keep_promise(
        self, policy: PolicySettings, tried: Sequence[_Tried], scale: set[str]
    ) -> _SettledGate:
        """Choose a threshold that keeps what a policy promises, if any is shown to.

        Args:
            policy: The policy.
            tried: Thresholds, on all questions.
            scale: The questions that tell which to try, and test none.
        """
        promise = Promise(policy.teacher_share_at_most, policy.accuracy_at_least)
        counts = [_counted(one, scale, whole=policy.when != ANY_STEP) for one in tried]
        chosen = choose_keeping(counts, promise)
        if chosen is None:
            accuracy = self._teacher_accuracy(scale)
            return _SettledGate(None, {}, explain_broken(policy, promise, counts, accuracy))
        (one,) = (one for one in tried if one.threshold == chosen.threshold)
        return _SettledGate(
            chosen.threshold, one.graded, explain_promise(policy, promise, chosen, counts)
        )

    def _teacher_accuracy(self, scale: set[str]) -> float | None:
        """Returns the teacher's accuracy on the questions that test thresholds; None: unknown."""
        right = [one.correct for id_, one in self._answered.teacher.items() if id_ not in scale]
        return sum(right) / len(right) if right else None

    def _scale_questions(self) -> list[Question]:
        """The questions that tell which thresholds are tried."""
        shuffled = list(self._dev.questions)
        Random(f"thresholds {self._dev.seed}").shuffle(shuffled)
        return shuffled[: math.ceil(SCALE_SHARE * len(shuffled))]

    def _step_doubts(self, policy: PolicySettings, questions: Sequence[Question]) -> list[float]:
        """The signal of each first token of the steps of the student's own answers."""
        doubts, score = list[float](), self.gates.help_score(policy)

        def note(signals: Signals) -> bool:
            doubts.append(score(signals))
            return False

        self._dev.answer_under({policy.policy: (policy, note)}, questions)
        return doubts

    def _try_any_step(self, policy: PolicySettings, thresholds: Sequence[float]) -> list[_Tried]:
        """Have every question answered at each threshold."""
        score, dev = self.gates.help_score(policy), self._dev

        def gate_at(threshold: float) -> Gate:
            return lambda signals: score(signals) >= threshold

        answered = dev.answer_under({at: (policy, gate_at(at)) for at in thresholds})
        grader = Grader(task=dev.task, split="dev")
        return [
            _Tried(
                threshold,
                {
                    question.id: grader.grade_guided(policy.policy, question, answers[question.id])
                    for question in dev.questions
                },
                {id_: self._share_of_steps(answer) for id_, answer in answers.items()},
            )
            for threshold, answers in answered.items()
        ]

    def _share_of_steps(self, answer: GuidedAnswer) -> float:
        """The share of an answer's steps that are the teacher's."""
        text = next(iter(answer.texts), "")
        steps = max(len(split_steps(text, self._dev.config.steps)), len(answer.guidance), 1)
        return len(answer.guidance) / steps

    def _try_once(
        self, policy: PolicySettings, doubts: Mapping[str, float], threshold: float
    ) -> _Tried:
        """Every question as it is answered at a threshold that decides once an answer."""
        answered = self._answered
        asks = {id_: doubt >= threshold for id_, doubt in doubts.items()}
        if policy.when == ROUTE:
            graded = answer_routed(
                policy.policy, asks, answered.alone, answered.teacher, answered.drafts
            )
        else:  # the draft that is looked at is not counted
            graded = {
                id_: replace(
                    answered.first[id_] if asked else answered.alone[id_], policy=policy.policy
                )
                for id_, asked in asks.items()
            }
        return _Tried(threshold, graded, {id_: float(asked) for id_, asked in asks.items()})

    def _doubts(self, policy: PolicySettings) -> dict[str, float]:
        """The number that a policy compares with its threshold, by question.

        A student that is silent always has the teacher asked. The learned probability of a question
        is that of the fit to the folds without it.
        """
        known = self._answered.known_signals
        if policy.when == "learned" and self._learned is not None:
            doubts = dict(zip(known, self._learned.held_out, strict=True))
        else:
            score = self.gates.help_score(policy)
            doubts = {id_: score(signals) for id_, signals in known.items()}
        return {id_: doubts.get(id_, math.inf) for id_ in self._answered.drafts}

    def _outcomes(self, policy: PolicySettings, doubts: Mapping[str, float]) -> list[DevOutcome]:
        answered = self._answered
        helped = answered.teacher if policy.when == ROUTE else answered.first
        return [
            DevOutcome(doubts[id_], one.correct - answered.alone[id_].correct, one.teacher_tokens)
            for id_, one in helped.items()
        ]


def thresholds_at(doubts: Sequence[float]) -> list[float]:
    """The thresholds that are tried: those that some shares of the doubts reach, never and always.

    Returns:
        Each once, the highest first.
    """
    ranked = sorted((doubt for doubt in doubts if math.isfinite(doubt)), reverse=True)
    reached = [ranked[math.ceil(share * len(ranked)) - 1] for share in ASKING_SHARES if ranked]
    return sorted({math.inf, ALWAYS, *reached}, reverse=True)


def _counted(tried: _Tried, scale: set[str], *, whole: bool) -> TriedThreshold:
    """The counts of one threshold on the questions that test it."""
    graded = [one for id_, one in tried.graded.items() if id_ not in scale]
    shares = [tried.shares[one.question_id] for one in graded]
    return TriedThreshold(
        threshold=tried.threshold,
        total=len(graded),
        right=sum(one.correct for one in graded),
        shares=np.array(shares, dtype=np.float64),
        tokens=sum(one.teacher_tokens for one in graded),
        whole=whole,
    )


def _tokens(tried: _Tried) -> int:
    """The teacher tokens of all answers."""
    return sum(one.teacher_tokens for one in tried.graded.values())


def _learn(answered: _DevAnswers, seed: int) -> LearnedClassifier:
    """A classifier of the questions that the teacher's first step turns right."""
    known = answered.known_signals
    turned = [answered.first[id_].correct and not answered.alone[id_].correct for id_ in known]
    return learn(list(known.values()), turned, seed=seed)
