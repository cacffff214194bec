"""Promises of a threshold: the teacher's share at most x, the accuracy at least y, at 95%.

A threshold that looks good on development questions may look better than it is, the more so the
more thresholds were looked at. Here one is taken only where tests say so that are corrected for all
of them (Learn then Test, arXiv 2110.01052): over draws of the development questions, the chance
that any threshold which passes breaks its promise is at most :data:`CHANCE`.

- The share is tested from the highest threshold down, and at the first failure no further: each
  test takes the whole chance, since none comes after an error (fixed sequence testing).
- The accuracy need not grow as the threshold falls, so all thresholds are tested, by Holm's method.
- Where both are promised each has half of the chance.

Counts are tested by the exact binomial test. Shares within an answer lie between 0 and 1, and their
mean is tested by the Hoeffding-Bentkus bound of the same paper. The thresholds themselves are set
by other questions (guide/gate_choice.py), and a promise holds for questions that are drawn as the
development questions are.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

CHANCE = 0.05
"""The most that the chance of a broken promise may be."""

MOST_QUESTIONS = 1_000_000
"""Development questions beyond which it is not said how many would be enough."""


class Promise(NamedTuple):
    """What a threshold has to keep to; None where it has not to."""

    share: float | None = None
    """The teacher's mean share, at most."""

    accuracy: float | None = None
    """Of the answers, at least."""


class TriedThreshold(NamedTuple):
    """Development questions as they are answered at one threshold."""

    threshold: float
    """Infinite where the teacher is never asked."""

    total: int
    right: float
    """Questions answered rightly."""

    shares: float
    """The sum of the teacher's shares of each answer, which lie between 0 and 1."""

    tokens: float
    """Teacher tokens of all answers."""

    counted: bool = True
    """Whether each answer's share is 0 or 1."""

    @property
    def asks_teacher(self) -> bool:
        """Whether there are signals that call for the teacher."""
        return not math.isinf(self.threshold)


def p_share_above(tried: TriedThreshold, most: float) -> float:
    """The chance of so small a mean share, or a smaller one, if it were above ``most`` in truth."""
    from scipy.special import bdtr  # loaded here: it takes longer than the rest of the program

    total, mean = tried.total, tried.shares / tried.total
    if tried.counted:
        return float(bdtr(round(tried.shares), total, most))
    if mean >= most:
        return 1.0
    # Hoeffding's bound by the Kullback-Leibler divergence, and Bentkus' by the binomial.
    divergence = (1 - mean) * math.log((1 - mean) / (1 - most))
    divergence += mean * math.log(mean / most) if mean > 0 else 0.0
    bentkus = math.e * float(bdtr(math.ceil(tried.shares - 1e-9), total, most))
    return min(1.0, math.exp(-total * divergence), bentkus)


def p_accuracy_below(tried: TriedThreshold, least: float) -> float:
    """The chance of so many right answers, or more, if the accuracy were below ``least``."""
    from scipy.special import bdtrc

    right = round(tried.right)
    return float(bdtrc(right - 1, tried.total, least)) if right else 1.0


def keeping(tried: Sequence[TriedThreshold], promise: Promise) -> list[TriedThreshold]:
    """The thresholds that keep a promise, whichever of them is taken, but for a chance of 5%.

    Args:
        tried: All of them on the same questions.
        promise: What is promised.
    """
    chance = CHANCE if None in promise else CHANCE / 2
    kept = list(tried)
    if promise.share is not None:
        within = _keeping_share(tried, promise.share, chance)
        kept = [one for one in kept if one in within]
    if promise.accuracy is not None:
        reaching = _reaching(tried, promise.accuracy, chance)
        kept = [one for one in kept if one in reaching]
    return kept


def _keeping_share(
    tried: Sequence[TriedThreshold], most: float, chance: float
) -> list[TriedThreshold]:
    """By fixed sequence testing; never asking the teacher keeps within any share untested."""
    kept = []
    for one in sorted(tried, key=lambda one: -one.threshold):
        if one.asks_teacher and p_share_above(one, most) > chance:
            break
        kept.append(one)
    return kept


def _reaching(tried: Sequence[TriedThreshold], least: float, chance: float) -> list[TriedThreshold]:
    """By Holm's method: the likeliest to reach it is tested at a chance shared by all of them."""
    tests = sorted(((p_accuracy_below(one, least), one) for one in tried), key=lambda test: test[0])
    reaching = []
    for place, (p_value, one) in enumerate(tests):
        if p_value > chance / (len(tests) - place):
            break
        reaching.append(one)
    return reaching


def choose_keeping(tried: Sequence[TriedThreshold], promise: Promise) -> TriedThreshold | None:
    """The best threshold that keeps a promise; None where no threshold is shown to.

    With an accuracy promised it is the one of the fewest teacher tokens, else the one of the most
    right answers, of equals that of the fewest tokens.
    """
    kept = keeping(tried, promise)
    if promise.accuracy is not None:
        return min(kept, key=lambda one: (one.tokens, -one.right), default=None)
    return max(kept, key=lambda one: (one.right, -one.tokens), default=None)


def attainable_accuracy(tried: Sequence[TriedThreshold], promise: Promise) -> float:
    """The highest accuracy that could have been promised, to three digits, rounded down."""
    thousandths = _last(lambda n: bool(keeping(tried, promise._replace(accuracy=n / 1000))), 999)
    return thousandths / 1000


def attainable_share(tried: Sequence[TriedThreshold], promise: Promise) -> float | None:
    """The lowest share that could have been promised, were the teacher asked at all.

    Returns:
        To three digits, rounded up; None where there is none below 1.
    """

    def is_kept(share: float) -> bool:
        return any(one.asks_teacher for one in keeping(tried, promise._replace(share=share)))

    below = _last(lambda thousandths: not is_kept(thousandths / 1000), 999)
    return None if below == 999 else (below + 1) / 1000


def _last(holds: Callable[[int], bool], most: int) -> int:
    """The last number up to ``most`` for which something holds that holds from 0 on up to one."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def questions_needed(tried: Sequence[TriedThreshold], promise: Promise) -> int | None:
    """About how many development questions would do, were they answered as these are.

    Returns:
        None where no number would: the rates themselves do not keep the promise.
    """
    total, factor = tried[0].total, 1.0
    while total * factor <= MOST_QUESTIONS:
        factor *= 1.2
        kept = keeping([_grown(one, factor) for one in tried], promise)
        if any(one.asks_teacher or promise.accuracy is not None for one in kept):
            return math.ceil(total * factor)
    return None


def _grown(one: TriedThreshold, factor: float) -> TriedThreshold:
    """The same rates on so many times as many questions."""
    return one._replace(
        total=math.ceil(one.total * factor), right=one.right * factor, shares=one.shares * factor
    )
