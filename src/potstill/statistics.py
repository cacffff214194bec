"""Intervals and paired tests for counts of right answers.

Every accuracy comes with its count and a 95% interval (Wilson), every comparison of two systems is
question by question (McNemar's exact test, paired bootstrap): two systems on the same questions
differ far less by chance than on two sets of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


class PairedResult(NamedTuple):
    """The comparison of two systems on the same questions."""

    only_first: int
    """Questions that only the first system answered rightly."""

    only_second: int
    """Questions that only the second system answered rightly."""

    total: int
    difference: float
    """The first system's accuracy less the second's."""

    interval: Interval
    """The 95% interval of the difference."""

    p_value: float
    """The chance of so unequal counts, or more unequal ones, if both were equally good."""


def accuracy_interval(correct: int, total: int) -> Interval:
    """Returns the 95% Wilson score interval of correct / total (Wilson 1927, by scipy).

    Raises:
        ValueError: ``total`` is 0: an accuracy of nothing is no number.
    """
    from scipy.stats import binomtest  # loaded here: it takes longer than the rest of the program

    if total == 0:
        raise ValueError("there is no accuracy of 0 questions")
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def paired_comparison(
    first: Sequence[bool], second: Sequence[bool], *, resamples: int, seed: int
) -> PairedResult:
    """Compare two systems question by question.

    The p-value is the exact two-sided McNemar test (McNemar 1947): a binomial test on the
    questions that only one of the two answered rightly. The interval of the difference in accuracy
    is the percentile interval of the paired bootstrap (Efron & Tibshirani 1993, chapter 13).

    Args:
        first: Whether the first system was right, question by question.
        second: The same for the second system, in the same order.
        resamples: Bootstrap resamples.
        seed: Fixes the bootstrap's resamples.

    Raises:
        ValueError: The lengths differ, or are 0.
    """
    from scipy.stats import binomtest

    total = len(first)
    if total == 0 or total != len(second):
        raise ValueError(f"cannot pair {total} answers with {len(second)}")
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    # Resampling questions draws these three counts from a multinomial; no need to draw questions.
    shares = np.array([only_first, only_second, total - discordant]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, size=resamples)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / total, [0.025, 0.975])
    difference = (only_first - only_second) / total
    return PairedResult(
        only_first, only_second, total, difference, Interval(float(low), float(high)), p_value
    )


def mean_interval(values: Sequence[float], *, resamples: int, seed: int) -> Interval:
    """Returns the 95% interval of a mean, by the bootstrap's percentiles.

    Args:
        values: One number for each question, such as its chance of a right answer, or the
            difference of two chances.
        resamples: Bootstrap resamples.
        seed: Fixes the bootstrap's resamples.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("there is no mean of 0 values")
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    # As above: how often each value is drawn is all that a mean depends on.
    drawn = np.random.default_rng(seed).multinomial(
        len(values), counts / len(values), size=resamples
    )
    low, high = np.quantile(drawn @ distinct / len(values), [0.025, 0.975])
    return Interval(float(low), float(high))
