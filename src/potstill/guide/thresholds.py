"""Gates of conditional policies: their thresholds, kept in ``guide.json``, and how one is chosen.

A conditional policy asks the teacher where a number read from what the student writes is at least
its threshold. Where nothing is promised (guide/promises.py) the threshold is taken that keeps a
share of the gain of always asking for the fewest teacher tokens::

    doubt        4.0   3.0   2.0   1.0
    gain          +1     0    +1     0     always asking: 2 for 120 tokens
    tokens        30    30    30    30     threshold 2.0:  2 for  90 tokens
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.errors import ConfigError
from potstill.guide.types import LOOKING, PolicySettings, own_gate
from potstill.guide.uncertainty import Classifier, Gate, Signals
from potstill.whole_files import write_whole

GATES_FILE = "guide.json"
"""The file's name in a run's folder."""

VERSION = 1

HelpScore = Callable[[Signals], float]
"""How much signals call for the teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedGates:
    """The thresholds and the classifier by which a run decides when to ask the teacher."""

    thresholds: Mapping[str, float]
    """The threshold by the policy's label; infinite where the teacher is never asked."""

    classifier: Classifier | None = None
    """The classifier of the policy ``learned``, where it was followed."""

    def help_score(self, policy: PolicySettings) -> HelpScore:
        """The number that a policy compares with its threshold.

        Raises:
            ConfigError: It is learned, and nothing was.
        """
        if policy.when in LOOKING:
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
            known = (
                f" Chosen were those of {', '.join(self.thresholds)}." if self.thresholds else ""
            )
            raise ConfigError(
                f"the policy {policy.label} has no threshold. Give one, or have potstill guide "
                "choose it on development questions; where it says that no threshold keeps what "
                f"is promised, promise less.{known}"
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
    """1 where the teacher turns it right, -1 where it turns it wrong, else 0."""

    tokens: int
    """Teacher tokens that this takes."""


def choose_threshold(outcomes: Sequence[DevOutcome], keep: float) -> float:
    """The threshold that keeps a share of the gain of always asking, for the fewest tokens.

    Args:
        outcomes: Development questions.
        keep: The share of the gain, above 0.

    Returns:
        Infinite, for never, where always asking gains nothing; of equals the highest.
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
