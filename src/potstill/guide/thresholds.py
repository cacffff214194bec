"""Thresholds of conditional policies: chosen on development questions, kept in ``guide.json``.

A conditional policy asks the teacher where a number read from the student's own first step is at
least its threshold. A question that is guided is answered as under ``first``, any other as under
``never``; so the answers under these two tell what every threshold would come to, and the one is
taken that keeps a share of the gain of always guiding for the fewest teacher tokens::

    doubt        4.0   3.0   2.0   1.0
    gain          +1     0    +1     0     always guiding: 2 for 120 tokens
    tokens        30    30    30    30     threshold 2.0:  2 for  90 tokens
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.errors import ConfigError
from potstill.guide.experiment import SplitExperiment, by_policy
from potstill.guide.scoring import Graded, Grader, Scorer
from potstill.guide.settings import GuideSettings
from potstill.guide.types import PolicySettings, own_gate
from potstill.guide.uncertainty import Classifier, Gate, LearnedClassifier, Signals, learn
from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.records.policy import ALONE
from potstill.sampling.rounds import drive_in_batches
from potstill.text.points import signed
from potstill.whole_files import write_whole

GATES_FILE = "guide.json"
"""The file's name in a run's folder."""

VERSION = 1

NEVER, FIRST = PolicySettings(when="never"), PolicySettings(when="first")

HelpScore = Callable[[Signals], float]
"""How much signals call for the teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedGates:
    """When the teacher is worth asking, as a run has learned it."""

    thresholds: Mapping[str, float]
    """By the policy's label; infinite where the teacher is never asked."""

    classifier: Classifier | None = None
    """The classifier of the policy ``learned``, where it was followed."""

    def help_score(self, policy: PolicySettings) -> HelpScore:
        """The number that a policy compares with its threshold.

        Raises:
            ConfigError: It is learned, and nothing was.
        """
        if policy.when == "when_unsure":
            return lambda signals: float(getattr(signals, policy.signal))
        if self.classifier is None:
            raise ConfigError(
                "the policy learned needs the classifier that potstill guide writes to "
                f"{GATES_FILE} where it is among guide.policies; there is none."
            )
        return self.classifier.probability

    def gate(self, policy: PolicySettings) -> Gate | None:
        """The gate of a policy, whose own threshold goes first; None for one that needs none.

        Raises:
            ConfigError: The policy has no threshold, or nothing was learned.
        """
        if policy.is_own:
            return own_gate(policy.when)
        if not policy.has_threshold:
            return None
        threshold = policy.threshold
        if threshold is None:
            threshold = self.thresholds.get(policy.label)
        if threshold is None:
            raise ConfigError(
                f"the policy {policy.label} has no threshold. Give one, or have potstill guide "
                "choose it on development questions."
            )
        score, least = self.help_score(policy), threshold
        return lambda signals: score(signals) >= least

    def write(self, folder: Path) -> Path:
        """Write it into a run's folder, in the place of what was there."""
        values = {
            "version": VERSION,
            "thresholds": {
                name: None if math.isinf(value) else value
                for name, value in self.thresholds.items()
            },
            "classifier": asdict(self.classifier) if self.classifier else None,
        }
        path = folder / GATES_FILE
        write_whole(path, orjson.dumps(values, option=orjson.OPT_INDENT_2))
        return path


def read_gates(file: Path) -> FittedGates:
    """Read ``guide.json`` of a run.

    Raises:
        ConfigError: It is missing, is of another version, or was damaged.
    """
    try:
        values: Any = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}. Run potstill guide.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file} is not JSON: {error}.") from error
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise ConfigError(f"{file} is no judge of version {VERSION}; run potstill guide anew.")
    try:
        thresholds = {
            str(name): math.inf if value is None else float(value)
            for name, value in values["thresholds"].items()
        }
        return FittedGates(thresholds=thresholds, classifier=_classifier(values["classifier"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{file} is damaged ({error}); run potstill guide anew.") from error


def _classifier(values: dict[str, Any] | None) -> Classifier | None:
    if values is None:
        return None
    mean, scale, weights = (
        tuple(float(value) for value in values[name]) for name in ("mean", "scale", "weights")
    )
    if {len(mean), len(scale), len(weights)} != {len(Signals._fields)}:
        raise ValueError(f"it has not {len(Signals._fields)} signals")
    bias, slope, offset = (float(values[name]) for name in ("bias", "slope", "offset"))
    return Classifier(
        mean=mean, scale=scale, weights=weights, bias=bias, slope=slope, offset=offset
    )


class DevOutcome(NamedTuple):
    """One development question, as a threshold is chosen by it."""

    score: float
    """How much its signals call for the teacher."""

    gain: int
    """1 where guiding it turns it right, -1 where it turns it wrong, else 0."""

    tokens: int
    """Teacher tokens that guiding it takes."""


def choose_threshold(outcomes: Sequence[DevOutcome], keep: float) -> float:
    """The threshold that keeps a share of the gain of always guiding, for the fewest tokens.

    Args:
        outcomes: Development questions.
        keep: The share of the gain, above 0.

    Returns:
        Infinite, for never, where always guiding gains nothing; of equals the highest.
    """
    wanted = keep * sum(outcome.gain for outcome in outcomes)
    best, fewest = math.inf, math.inf
    if wanted <= 0:
        return best
    for threshold in sorted({outcome.score for outcome in outcomes}, reverse=True):
        guided = [outcome for outcome in outcomes if outcome.score >= threshold]
        tokens = sum(outcome.tokens for outcome in guided)
        if sum(outcome.gain for outcome in guided) >= wanted - 1e-9 and tokens < fewest:
            best, fewest = threshold, tokens
    return best


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSelection:
    """The gates that development questions have settled, and the scores there."""

    gates: FittedGates
    scores: list[GuidedScore] = field(default_factory=list)
    """On development questions."""

    predictions: list[GuidedPrediction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """How each threshold was chosen, one sentence each."""


class _DevAnswers(NamedTuple):
    """Development questions, answered without and with the teacher's first step."""

    alone: Graded
    first: Graded
    signals: Mapping[str, Signals | None]

    @property
    def known_signals(self) -> dict[str, Signals]:
        """The signals by question, without those that the student did not answer."""
        return {id_: signals for id_, signals in self.signals.items() if signals is not None}


def choose_gates(dev: SplitExperiment, settings: GuideSettings) -> GateSelection:
    """Learn when the teacher is worth asking, and choose the thresholds that are not given.

    Args:
        dev: The development questions, with both models.
        settings: The guide stage's.
    """
    undecided = [
        policy
        for policy in settings.followed
        if policy.has_threshold and (policy.threshold is None or policy.when == "learned")
    ]
    if not undecided:
        return GateSelection(gates=FittedGates(thresholds={}))
    answered = _answer(dev)
    scorer = Scorer(
        task=dev.task.name,
        split="dev",
        alone=answered.alone,
        resamples=settings.bootstrap,
        seed=dev.seed,
    )
    learned = None
    if any(policy.when == "learned" for policy in undecided):
        learned = _learn(answered, dev.seed)
    gates = FittedGates(thresholds={}, classifier=learned and learned.classifier)
    thresholds, notes = dict[str, float](), list[str]()
    scores = [scorer.score(ALONE, answered.alone), scorer.score(FIRST.policy, answered.first)]
    predictions = [*answered.alone.values(), *answered.first.values()]
    for policy in undecided:
        doubt = _doubts(policy, answered, gates, learned)
        threshold = policy.threshold
        if threshold is None:
            threshold = choose_threshold(_outcomes(answered, doubt), settings.keep_gain)
            notes.append(_explain(policy, threshold, answered, settings))
        thresholds[policy.label] = threshold
        graded = _select(policy.policy, answered, doubt, threshold)
        scores.append(scorer.score(policy.policy, graded))
        predictions += graded.values()
    return GateSelection(
        gates=replace(gates, thresholds=thresholds),
        scores=scores,
        predictions=predictions,
        notes=notes,
    )


def _answer(dev: SplitExperiment) -> _DevAnswers:
    """Answer the development questions under ``never`` and ``first``, and read the signals."""
    decoders = dev.decoders([(NEVER, None), (FIRST, None)])
    answered = by_policy(drive_in_batches(decoders, dev.answer))
    grader = Grader(task=dev.task, split="dev")
    graded = {
        policy: {q.id: grader.grade_guided(policy, q, answers[q.id]) for q in dev.questions}
        for policy, answers in answered.items()
    }
    return _DevAnswers(graded[ALONE], graded[FIRST.policy], dev.signals())


def _learn(answered: _DevAnswers, seed: int) -> LearnedClassifier:
    """A classifier of the questions that the teacher's first step turns right."""
    known = answered.known_signals
    turned = [answered.first[id_].correct and not answered.alone[id_].correct for id_ in known]
    return learn(list(known.values()), turned, seed=seed)


def _doubts(
    policy: PolicySettings,
    answered: _DevAnswers,
    gates: FittedGates,
    learned: LearnedClassifier | None,
) -> dict[str, float]:
    """The number that a policy compares with its threshold, by question.

    A student that is silent is always guided. The learned probability of a question is that of
    the fit to the folds without it.
    """
    known = answered.known_signals
    if policy.when == "learned" and learned is not None:
        doubts = dict(zip(known, learned.held_out, strict=True))
    else:
        score = gates.help_score(policy)
        doubts = {id_: score(signals) for id_, signals in known.items()}
    return {id_: doubts.get(id_, math.inf) for id_ in answered.signals}


def _outcomes(answered: _DevAnswers, doubts: Mapping[str, float]) -> list[DevOutcome]:
    return [
        DevOutcome(doubts[id_], first.correct - answered.alone[id_].correct, first.teacher_tokens)
        for id_, first in answered.first.items()
    ]


def _select(
    policy: Policy, answered: _DevAnswers, doubts: Mapping[str, float], threshold: float
) -> dict[str, GuidedPrediction]:
    """The answers under a conditional policy; the draft that it looks at is not counted."""
    return {
        id_: replace(
            answered.first[id_] if doubt >= threshold else answered.alone[id_], policy=policy
        )
        for id_, doubt in doubts.items()
    }


def _explain(
    policy: PolicySettings, threshold: float, answered: _DevAnswers, settings: GuideSettings
) -> str:
    """A sentence on the threshold that was chosen, and on the questions behind it."""
    total = len(answered.first)
    gain = sum(first.correct - answered.alone[id_].correct for id_, first in answered.first.items())
    if gain <= 0:
        return (
            f"{policy.label} never asks the teacher: always guiding the first step turned "
            f"{signed(gain)} of {total:,} development questions right, so there is no gain to keep."
        )
    if math.isinf(threshold):
        return f"{policy.label} asks the teacher only where the student does not answer."
    return (
        f"{policy.label} asks the teacher from {threshold:.4g} on: of the thresholds that keep "
        f"{settings.keep_gain:.0%} of the {gain:,} of {total:,} development questions gained by "
        "always guiding the first step, the one with the fewest teacher tokens."
    )
