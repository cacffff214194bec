"""Judges of conditional policies: thresholds chosen on development questions, kept as JSON.

Thresholds of conditional policies, chosen on development questions alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.errors import ConfigError
from potstill.guide.experiment import SplitExperiment
from potstill.guide.scoring import Graded, Grader, Scorer
from potstill.guide.settings import GuideSettings
from potstill.guide.types import Policy
from potstill.guide.uncertainty import Classifier, Gate, LearnedClassifier, Signals, learn
from potstill.records import GuidedPrediction, GuidedScore

GATES_FILE = "guide.json"
"""The file's name in a run's folder."""

VERSION = 1

HelpScore = Callable[[Signals], float]
"""How much signals call for the teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedGates:
    """What a run knows of when the teacher is worth asking."""

    thresholds: Mapping[str, float]
    """By policy; infinite where the teacher is never asked."""

    classifier: Classifier | None = None
    """Of the policy ``learned``, where it was followed."""

    def scorer(self, policy: Policy) -> HelpScore:
        """What a policy compares with its threshold.

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

    def judge(self, policy: Policy) -> Gate | None:
        """The judge of a policy, whose own threshold goes first; None for one that needs none.

        Raises:
            ConfigError: The policy has no threshold, or nothing was learned.
        """
        if not policy.conditional:
            return None
        threshold = policy.threshold
        if threshold is None:
            threshold = self.thresholds.get(policy.name)
        if threshold is None:
            raise ConfigError(
                f"the policy {policy.name} has no threshold. Give one, or have potstill guide "
                "choose it on development questions."
            )
        score, least = self.scorer(policy), threshold
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
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2))
        draft.replace(path)
        return path


def read_judging(file: Path) -> FittedGates:
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
        tuple(float(each) for each in values[name]) for name in ("mean", "scale", "weights")
    )
    if {len(mean), len(scale), len(weights)} != {len(Signals._fields)}:
        raise ValueError(f"it has not {len(Signals._fields)} signals")
    bias, slope, offset = (float(values[name]) for name in ("bias", "slope", "offset"))
    return Classifier(
        mean=mean, scale=scale, weights=weights, bias=bias, slope=slope, offset=offset
    )


class Tried(NamedTuple):
    """One development question, as a threshold is chosen by it."""

    score: float
    """How much its signals call for the teacher."""

    gain: int
    """1 where guiding it turns it right, -1 where it turns it wrong, else 0."""

    tokens: int
    """Teacher tokens that guiding it takes."""


def choose_threshold(tried: Sequence[Tried], keep: float) -> float:
    """The threshold that keeps a share of the gain of always guiding, for the fewest tokens.

    Args:
        tried: Development questions.
        keep: The share, above 0.

    Returns:
        Infinite, for never, where always guiding gains nothing; of equals the highest.
    """
    wanted = keep * sum(each.gain for each in tried)
    best, least = math.inf, math.inf
    if wanted <= 0:
        return best
    for threshold in sorted({each.score for each in tried}, reverse=True):
        guided = [each for each in tried if each.score >= threshold]
        tokens = sum(each.tokens for each in guided)
        if sum(each.gain for each in guided) >= wanted - 1e-9 and tokens < least:
            best, least = threshold, tokens
    return best


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSelection:
    """What development questions have settled."""

    judging: FittedGates
    scores: list[GuidedScore] = field(default_factory=list)
    """On development questions."""

    predictions: list[GuidedPrediction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def judge(self, policy: Policy) -> Gate | None:
        """The judge of a policy; None for one that needs none."""
        return self.judging.judge(policy)


class _Measured(NamedTuple):
    """Development questions, answered without and with the teacher's first step."""

    alone: Graded
    first: Graded
    signals: Mapping[str, Signals | None]


def choose(dev: SplitExperiment, settings: GuideSettings) -> GateSelection:
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
        return GateSelection(judging=FittedGates(thresholds={}))
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
    judging = FittedGates(thresholds={}, classifier=learned and learned.classifier)
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
    return GateSelection(
        judging=replace(judging, thresholds=thresholds),
        scores=scores,
        predictions=predictions,
        notes=notes,
    )


def _measure(dev: SplitExperiment) -> _Measured:
    policies = [Policy(when="never"), Policy(when="first")]
    answered = dev.followed([(each, None) for each in policies])
    grader = Grader(task=dev.task, split="dev")
    graded = {
        name: {each.id: grader.guided(name, each, answers[each.id]) for each in dev.questions}
        for name, answers in answered.items()
    }
    return _Measured(graded["never"], graded["first"], dev.signals())


def _learned(measured: _Measured, seed: int) -> LearnedClassifier:
    """A classifier of the questions that the teacher's first step turns right."""
    known = {id_: each for id_, each in measured.signals.items() if each is not None}
    turned = [measured.first[id_].correct and not measured.alone[id_].correct for id_ in known]
    return learn(list(known.values()), turned, seed=seed)


def _doubt(
    policy: Policy, measured: _Measured, judging: FittedGates, learned: LearnedClassifier | None
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
