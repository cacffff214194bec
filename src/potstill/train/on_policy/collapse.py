"""Whether a student collapses: the figures of its rounds, held against the limits.

A figure that passes its limit in several rounds in a row ends the training. Three are looked at in
the first round as well, where a teacher that cannot read the student shows at once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from potstill.records import TrainingRound
from potstill.statistics import accuracy_interval
from potstill.train.on_policy.limit_settings import LimitSettings
from potstill.train.on_policy.settings import OnPolicySettings

LEAST_NATS = 0.25
"""Entropies below this, in nats a token, are those of a settled task: none of them is too low."""

AT_ONCE = ("mass", "end", "unlearned")
"""Limits that end a training in its first round."""


class Breach(NamedTuple):
    """A figure beyond its limit."""

    value: float
    bound: float
    """The figure at which the limit lies."""


class Verdict(NamedTuple):
    """A limit that ends a training."""

    sign: str
    """The limit's name."""

    breach: Breach
    """The last round's."""

    limit: float
    """The limit's setting."""


Look = Callable[[TrainingRound, TrainingRound, float], Breach | None]
"""Holds a round against a limit, by the first round."""


def _mass(_first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    return Breach(own.mass, limit) if own.mass is not None and own.mass < limit else None


def _mass_loss(first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if first.mass is None or own.mass is None or own.mass >= first.mass - limit:
        return None
    return Breach(own.mass, first.mass - limit)


def _end(_first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if own.end_probability is None or own.end_probability >= limit:
        return None
    return Breach(own.end_probability, limit)


def _ended(first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if not (first.answers and own.answers):
        return None
    bound = limit * first.ended / first.answers
    if accuracy_interval(own.ended, own.answers).high >= bound:  # it may be chance
        return None
    return Breach(own.ended / own.answers, bound)


def _repeated(first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if own.repeated is None or own.repeated <= (first.repeated or 0.0) + limit:
        return None
    return Breach(own.repeated, (first.repeated or 0.0) + limit)


def _entropy(first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if own.entropy is None or first.entropy is None or own.teacher_entropy is None:
        return None
    reference = min(first.entropy, own.teacher_entropy)
    if reference < LEAST_NATS or own.entropy >= limit * reference:
        return None
    return Breach(own.entropy, limit * reference)


def _unlearned(_first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    if own.unlearned is None or own.unlearned <= limit * own.answers:
        return None
    return Breach(own.unlearned / own.answers, limit)


def _staleness(_first: TrainingRound, own: TrainingRound, limit: float) -> Breach | None:
    return Breach(own.oldest, limit) if own.oldest > limit else None


LOOKS: dict[str, Look] = {
    "staleness": _staleness,
    "unlearned": _unlearned,
    "mass": _mass,
    "end": _end,
    "mass_loss": _mass_loss,
    "ended": _ended,
    "repeated": _repeated,
    "entropy": _entropy,
}
"""The limits; where several are passed at once, the first one here is told."""


def breaches(
    first: TrainingRound, own: TrainingRound, limits: LimitSettings, settings: OnPolicySettings
) -> dict[str, Breach]:
    """Returns what of a round lies beyond its limit, by the limit's name.

    Args:
        first: The training's first round.
        own: The round itself, whose teacher's figures are None before the teacher is asked.
        limits: The limits.
        settings: The training's, by which some limits are not looked at.
    """
    cut = settings.score.first_tokens is not None
    found: dict[str, Breach] = {}
    for name, look in LOOKS.items():
        limit = getattr(limits, name)
        if limit is None or (cut and name == "ended"):
            continue
        breach = look(first, own, limit)
        if breach is not None:
            found[name] = breach
    return found


def verdict(
    rounds: Sequence[TrainingRound], limits: LimitSettings, settings: OnPolicySettings
) -> Verdict | None:
    """Returns the limit that ends a training at its last round; None where it goes on.

    Args:
        rounds: All rounds so far, oldest first.
        limits: The limits.
        settings: The training's.
    """
    last = breaches(rounds[0], rounds[-1], limits, settings)
    if "staleness" in last:  # a plan, and no figure that may recover
        return Verdict("staleness", last["staleness"], limits.staleness or 0)
    recent = rounds[-limits.patience :]
    for name, breach in last.items():
        lasting = len(recent) == limits.patience and all(
            name in breaches(rounds[0], one, limits, settings) for one in recent
        )
        if lasting or (len(rounds) == 1 and name in AT_ONCE):
            return Verdict(name, breach, getattr(limits, name))
    return None
