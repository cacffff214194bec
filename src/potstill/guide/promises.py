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
mean is tested by betting (arXiv 2010.09686), which needs no more than that. The thresholds are set
by other questions (guide/gate_choice.py), and a promise holds for questions that are drawn as the
development questions are.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANCE = 0.05
"""The most that the chance of a broken promise may be."""

MOST_QUESTIONS = 100_000
"""Development questions beyond which it is not said how many would be enough."""


class Promise(NamedTuple):
    """The bounds that a threshold has to keep to; None for no bound."""

    share: float | None = None
    """The upper bound on the teacher's mean share, from 0 to 1."""

    accuracy: float | None = None
    """The lower bound on the accuracy of the answers, from 0 to 1."""


class TriedThreshold(NamedTuple):
    """Development questions as they are answered at one threshold."""

    threshold: float
    """The threshold; infinite where only a student that does not answer calls the teacher."""

    total: int
    right: float
    """Questions answered rightly."""

    shares: NDArray[np.float64]
    """The teacher's share of each answer, between 0 and 1, in an order that it does not settle."""

    tokens: float
    """Teacher tokens of all answers."""

    whole: bool = True
    """Whether the teacher has its part in an answer once or not at all: shares are 0 or 1."""

    @property
    def share(self) -> float:
        """The teacher's mean share."""
        return float(self.shares.mean())

    @property
    def asks_teacher(self) -> bool:
        """Whether there are signals that call for the teacher."""
        return not math.isinf(self.threshold)


def p_share_above(tried: TriedThreshold, most: float) -> float:
    """The chance of so small a mean share, or a smaller one, if it were above ``most`` in truth."""
    from scipy.special import bdtr  # loaded here: it takes longer than the rest of the program

    if tried.whole:
        return float(bdtr(round(tried.shares.sum()), tried.total, most))
    return _p_by_betting(tried.shares, most)


def _p_by_betting(shares: NDArray[np.float64], most: float) -> float:
    """The chance that a gambler gets so rich who bets on shares below ``most``.

    Before each share a part of the capital is staked, by the mean and the variance of the shares
    before it; if the mean share were ``most`` or more in truth no stake would pay on average, and
    the capital would ever grow by a factor of 1 / p with a chance of p at most (Ville 1939).
    """
    seen = np.arange(1, len(shares) + 1)
    mean = (0.5 + np.cumsum(shares)) / (seen + 1)
    variance = (0.25 + np.cumsum((shares - mean) ** 2)) / (seen + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.sqrt(2 * math.log(1 / CHANCE) / (len(shares) * before))
    stake = np.minimum(stake, 0.75 / (1 - most))  # never all of it
    capital = np.cumsum(np.log1p(stake * (most - shares)))
    return float(min(1.0, math.exp(-max(0.0, capital.max()))))


def p_accuracy_below(tried: TriedThreshold, least: float) -> float:
    """The chance of so many right answers, or more, if the accuracy were below ``least``."""
    from scipy.special import bdtrc

    right = round(tried.right)
    return float(bdtrc(right - 1, tried.total, least)) if right else 1.0


def keeping(tried: Sequence[TriedThreshold], promise: Promise) -> list[TriedThreshold]:
    """The thresholds that keep a promise, whichever of them is taken, but for a chance of 5%.

    Args:
        tried: All thresholds, on the same questions.
        promise: The promise.
    """
    chance = CHANCE if None in promise else CHANCE / 2
    kept = list(tried)
    if promise.share is not None:
        within = {one.threshold for one in _keeping_share(tried, promise.share, chance)}
        kept = [one for one in kept if one.threshold in within]
    if promise.accuracy is not None:
        reaching = {one.threshold for one in _reaching(tried, promise.accuracy, chance)}
        kept = [one for one in kept if one.threshold in reaching]
    return kept


def _keeping_share(
    tried: Sequence[TriedThreshold], most: float, chance: float
) -> list[TriedThreshold]:
    """Returns the thresholds that keep the share, by fixed sequence testing.

    The infinite threshold is tested as well: there the teacher is asked where a student does not
    answer, and a few development questions without such a case show little about others.
    """
    kept = []
    for one in sorted(tried, key=lambda one: -one.threshold):
        if p_share_above(one, most) > chance:
            break
        kept.append(one)
    return kept


def _reaching(tried: Sequence[TriedThreshold], least: float, chance: float) -> list[TriedThreshold]:
    """Returns the thresholds that reach the accuracy, by Holm's method over all of them."""
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
    """The lowest share that a threshold would keep which does not keep the promise as it is.

    Returns:
        To three digits, rounded up; None where there is none below 1.
    """
    before = {one.threshold for one in keeping(tried, promise)}

    def is_kept(share: float) -> bool:
        kept = keeping(tried, promise._replace(share=share))
        return any(one.threshold not in before for one in kept)

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
    """How many development questions, answered as these are, would show another threshold to do.

    Returns:
        About; None where no number would: the rates themselves do not keep the promise.
    """
    before = {one.threshold for one in keeping(tried, promise)}
    total, factor = tried[0].total, 1.0
    while total * factor <= MOST_QUESTIONS:
        factor *= 1.2
        kept = keeping([_grown(one, factor) for one in tried], promise)
        if any(one.threshold not in before for one in kept):
            return math.ceil(total * factor)
    return None


def _grown(one: TriedThreshold, factor: float) -> TriedThreshold:
    """Returns the same rates on so many times as many questions."""
    total = math.ceil(one.total * factor)
    return one._replace(
        total=total, right=one.right * total / one.total, shares=np.resize(one.shares, total)
    )
