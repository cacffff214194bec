"""Sentences on thresholds: how each was chosen, and what keeps a promise from being kept."""

import math
from collections.abc import Sequence

from potstill.guide.promises import (
    Promise,
    TriedThreshold,
    attainable_accuracy,
    attainable_share,
    keeping,
    questions_needed,
)
from potstill.guide.thresholds import DevOutcome
from potstill.guide.types import PolicySettings
from potstill.records.policy import ANY_STEP, ROUTE
from potstill.text.points import signed

_ALWAYS = {ANY_STEP: "handing every step over", ROUTE: "asking the teacher for every answer"}
"""The reference of each policy's gain; that of the others is the teacher's first step."""


def explain_choice(
    policy: PolicySettings, threshold: float, outcomes: Sequence[DevOutcome], keep: float
) -> str:
    """A sentence on a threshold that was chosen without a promise, and on the questions behind it.

    Args:
        policy: The policy.
        threshold: The threshold that was chosen.
        outcomes: The questions, with the gain of always asking the teacher.
        keep: The share of that gain that was to be kept.
    """
    total, gain = len(outcomes), sum(outcome.gain for outcome in outcomes)
    always = _ALWAYS.get(policy.when, "always guiding the first step")
    if gain <= 0:
        return (
            f"{policy.label} never asks the teacher: {always} turned {signed(gain)} of {total:,} "
            "development questions right, so there is no gain to keep."
        )
    if math.isinf(threshold):
        return f"{policy.label} asks the teacher only where the student does not answer."
    return (
        f"{policy.label} asks the teacher from {threshold:.4g} on: of the thresholds that keep "
        f"{keep:.0%} of the {gain:,} of {total:,} development questions gained by {always}, the "
        "one with the fewest teacher tokens."
    )


def explain_promise(
    policy: PolicySettings,
    promise: Promise,
    chosen: TriedThreshold,
    tried: Sequence[TriedThreshold],
) -> str:
    """A sentence on a threshold that keeps a promise, or on never asking where no other does.

    Args:
        policy: The policy.
        promise: The promise that is kept.
        chosen: The threshold.
        tried: All thresholds, on the questions that tested them.
    """
    total = chosen.total
    kept = f"{_words(policy, promise)} with 95% confidence"
    if not chosen.asks_teacher:
        begin = f"{policy.label} asks the teacher only where the student does not answer"
        if promise.accuracy is not None:
            return f"{begin}: by itself it keeps {kept} ({_figures(policy, chosen)})."
        if any(one.asks_teacher for one in keeping(tried, promise)):
            return (
                f"{begin}: of the thresholds that keep {kept} no other has more of {total:,} "
                "development questions right."
            )
        return f"{begin}: no other threshold keeps {kept}. {_way_out(promise, tried)}"
    aim = "the fewest teacher tokens" if promise.accuracy is not None else "the most right answers"
    return (
        f"{policy.label} asks the teacher from {chosen.threshold:.4g} on: of {len(tried)} "
        f"thresholds that were tried, the one with {aim} among those that keep {kept} "
        f"({_figures(policy, chosen)})."
    )


def explain_broken(
    policy: PolicySettings,
    promise: Promise,
    tried: Sequence[TriedThreshold],
    teacher_accuracy: float | None = None,
) -> str:
    """Sentences on a promise that no threshold is shown to keep, and on what would be kept.

    Args:
        policy: The policy.
        promise: The promise that is not kept.
        tried: All thresholds, on the questions that tested them.
        teacher_accuracy: The teacher's own accuracy on these questions; None where not known.
    """
    return (
        f"{policy.label} is not followed: none of {len(tried)} thresholds is shown to keep "
        f"{_words(policy, promise)} with 95% confidence. "
        f"{_way_out(promise, tried, teacher_accuracy)}"
    )


def _way_out(
    promise: Promise, tried: Sequence[TriedThreshold], teacher_accuracy: float | None = None
) -> str:
    """Returns other promises that would hold, and how many development questions this one needs."""
    total = tried[0].total
    ways = []
    if promise.accuracy is not None:
        best = max(tried, key=lambda one: one.right)
        reached = attainable_accuracy(tried, promise)
        could = f"by which accuracy_at_least: {reached:g}" if reached else "but no accuracy"
        ways.append(
            f"the best of them has {best.right:,.0f} of {total:,} development questions right, "
            f"{could} could be promised"
        )
    if promise.share is not None:
        share = attainable_share(tried, promise)
        if share is not None:
            ways.append(f"teacher_share_at_most: {share:g} could be")
        elif promise.accuracy is not None:
            ways.append("no teacher's share could be promised beside it")
        else:
            ways.append("no share below 1 would change that")
    needed = questions_needed(tried, promise)
    if needed is not None:
        ways.append(f"at these rates about {needed:,} development questions would do (task.dev)")
    elif promise.accuracy is not None:
        stronger = teacher_accuracy is not None and teacher_accuracy < promise.accuracy
        might = ", a stronger teacher might" if stronger else ""
        ways.append(f"more questions of the kind would not do{might}")
    words = "; ".join(ways)
    return f"{words[:1].upper()}{words[1:]}."


def _words(policy: PolicySettings, promise: Promise) -> str:
    """Returns a promise in words, such as ``an accuracy of 0.8 or more``."""
    parts = []
    if promise.share is not None:
        of = "the steps of an answer" if policy.when == ANY_STEP else "the questions"
        parts.append(f"the teacher's share of {of} at {promise.share:.4g} or less")
    if promise.accuracy is not None:
        parts.append(f"an accuracy of {promise.accuracy:.4g} or more")
    return " and ".join(parts)


def _figures(policy: PolicySettings, chosen: TriedThreshold) -> str:
    of = "steps" if policy.when == ANY_STEP else "questions"
    return (
        f"{chosen.right:,.0f} of {chosen.total:,} right, teacher's share of the {of} "
        f"{chosen.share:.1%}"
    )
