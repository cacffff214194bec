"""Judges of conditional policies: thresholds chosen on development questions, kept as JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.errors import ConfigError
from potstill.guide.learned import Classifier
from potstill.guide.policies import Policy
from potstill.guide.signals import Judge, Signals

JUDGE_FILE = "guide.json"
"""The file's name in a run's folder."""

VERSION = 1

Scorer = Callable[[Signals], float]
"""How much signals call for the teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """What a run knows of when the teacher is worth asking."""

    thresholds: Mapping[str, float]
    """By policy; infinite where the teacher is never asked."""

    classifier: Classifier | None = None
    """Of the policy ``learned``, where it was followed."""

    def scorer(self, policy: Policy) -> Scorer:
        """What a policy compares with its threshold.

        Raises:
            ConfigError: It is learned, and nothing was.
        """
        if policy.when == "when_unsure":
            return lambda signals: float(getattr(signals, policy.signal))
        if self.classifier is None:
            raise ConfigError(
                "the policy learned needs the classifier that potstill guide writes to "
                f"{JUDGE_FILE} where it is among guide.policies; there is none."
            )
        return self.classifier.probability

    def judge(self, policy: Policy) -> Judge | None:
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
        path = folder / JUDGE_FILE
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2))
        draft.replace(path)
        return path


def read_judging(file: Path) -> Judging:
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
        return Judging(thresholds=thresholds, classifier=_classifier(values["classifier"]))
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
