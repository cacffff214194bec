"""Intervals and paired tests for counts of right answers, over questions and over trainings.

Every accuracy comes with its count and a 95% interval (Wilson), every comparison of two systems is
question by question (McNemar's exact test, paired bootstrap): two systems on the same questions
differ far less by chance than on two sets of them.

These are over questions. They say how far the same trained student would move on other questions
of the kind, and nothing of another training, which draws other samples and another order: what is
said of a method rests on several trainings, with intervals over runs (Student's t).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

SHOWN = 0.05
"""The p-value, adjusted for all that is tested together, below which a difference is shown."""

ROUNDING = 1e-12
"""Standard errors of accuracies below this are those of binary fractions, not of runs."""


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


class RunsComparison(NamedTuple):
    """The comparison of two systems over several runs, each with a seed that both share."""

    runs: int
    difference: float
    """The first system's mean accuracy less the second's."""

    interval: Interval | None
    """The 95% interval of the difference over runs; None where it is the same in all of them."""

    p_value: float | None
    """The chance of so large a mean difference, or a larger one, if there were none.

    None where the interval is.
    """


class ClusterSums(NamedTuple):
    """The parts that the samples of one question add to a ratio of two sums."""

    numerator: float
    denominator: float


class RatioEstimate(NamedTuple):
    """A ratio of sums, or the difference of two."""

    value: float
    interval: Interval | None
    """The 95% interval; None where there are fewer than two questions, or all are the same."""


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
    is the percentile interval of the paired bootstrap (Efron & Tibshirani 1993, chapter 13). Where
    all pairs are of one kind, both right or both wrong for instance, no resample differs from them;
    then the interval is that of all shares of the other kinds which none in so many questions
    leaves possible (Clopper & Pearson 1934).

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
    if total in (only_first, only_second, total - discordant):
        unseen = 1 - 0.025 ** (1 / total)
        low, high = max(difference - unseen, -1.0), min(difference + unseen, 1.0)
    return PairedResult(
        only_first, only_second, total, difference, Interval(float(low), float(high)), p_value
    )


CHANCES = Interval(0.0, 1.0)
DIFFERENCES = Interval(-1.0, 1.0)


def mean_interval(
    values: Sequence[float], *, within: Interval, resamples: int, seed: int
) -> Interval:
    """Returns the 95% interval of a mean, by the bootstrap's percentiles.

    Where all values are equal, no resample differs from them; then the interval reaches as far as
    other values which none in so many questions leaves possible, as in :func:`paired_comparison`.

    Args:
        values: One number for each question, such as its chance of a right answer, or the
            difference of two chances.
        within: Where a mean may lie: :data:`CHANCES` or :data:`DIFFERENCES`.
        resamples: Bootstrap resamples.
        seed: Fixes the bootstrap's resamples.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("there is no mean of 0 values")
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if len(distinct) == 1:
        value, unseen = float(distinct[0]), 1 - 0.025 ** (1 / len(values))
        return Interval(max(value - unseen, within.low), min(value + unseen, within.high))
    # A mean depends only on how often each value is drawn.
    drawn = np.random.default_rng(seed).multinomial(
        len(values), counts / len(values), size=resamples
    )
    low, high = np.quantile(drawn @ distinct / len(values), [0.025, 0.975])
    return Interval(float(low), float(high))


def ratio_of_sums(sums: Mapping[str, ClusterSums]) -> RatioEstimate:
    """Returns the ratio of two sums over questions, with its 95% interval by Student's t.

    The variance is that of the residuals of the first by the second (Cochran 1977, Sampling
    Techniques, 6.3). With counts as denominators it is a mean, whose samples of one question count
    together.

    Args:
        sums: By question.

    Raises:
        ValueError: The denominators come to 0.
    """
    value, influence = _influences(sums)
    return RatioEstimate(value, _t_interval(value, list(influence.values()), len(influence)))


def difference_of_ratios(
    first: Mapping[str, ClusterSums], second: Mapping[str, ClusterSums]
) -> RatioEstimate:
    """Returns the first ratio less the second, paired on the questions that both have.

    The residuals of a question that both have are subtracted from one another before they are
    squared; those of other questions stand alone. The degrees of freedom are those of the smaller.

    Args:
        first: By question.
        second: Likewise.

    Raises:
        ValueError: The denominators of one come to 0.
    """
    one, ours = _influences(first)
    other, theirs = _influences(second)
    questions = dict.fromkeys([*ours, *theirs])
    residuals = [ours.get(question, 0.0) - theirs.get(question, 0.0) for question in questions]
    return RatioEstimate(
        one - other, _t_interval(one - other, residuals, min(len(ours), len(theirs)))
    )


def _influences(sums: Mapping[str, ClusterSums]) -> tuple[float, dict[str, float]]:
    """Returns a ratio, and by question the share of its residual in the sum of denominators."""
    whole = sum(one.denominator for one in sums.values())
    if not whole:
        raise ValueError("there is no ratio to 0")
    value = sum(one.numerator for one in sums.values()) / whole
    return value, {
        question: (one.numerator - value * one.denominator) / whole
        for question, one in sums.items()
    }


def _t_interval(value: float, residuals: Sequence[float], clusters: int) -> Interval | None:
    """Returns a 95% interval by residuals; None of fewer than two clusters, or without variance."""
    if clusters < 2:
        return None
    count = len(residuals)
    error = (sum(one * one for one in residuals) * count / (count - 1)) ** 0.5
    if error <= ROUNDING:
        return None
    half = error * _t_bound(clusters)
    return Interval(value - half, value + half)


def adjusted_p_values(p_values: Sequence[float]) -> list[float]:
    """Returns p-values that hold for all comparisons together (Holm 1979), in the same order.

    The smallest is taken times their number, the next one times one less, and so on; none is below
    one that was smaller, or above 1.

    Args:
        p_values: One for each comparison.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def runs_interval(accuracies: Sequence[float]) -> Interval | None:
    """Returns the 95% interval of a mean over runs (Student 1908), within 0 and 1.

    It takes the runs for draws of one normal distribution.

    Args:
        accuracies: One for each run, 0 to 1.

    Returns:
        None where all runs are equal: of their variance nothing is known then.

    Raises:
        ValueError: There are fewer than two runs.
    """
    mean, error = _mean_and_error(accuracies)
    if not error:
        return None
    half = error * _t_bound(len(accuracies))
    return Interval(max(mean - half, 0.0), min(mean + half, 1.0))


def compare_runs(first: Sequence[float], second: Sequence[float]) -> RunsComparison:
    """Compare two systems over runs by the paired t test (Student 1908).

    Args:
        first: The first system's accuracy in each run.
        second: The second system's, in the same order: the runs of a pair share their seed, and so
            their questions and samples.

    Raises:
        ValueError: The lengths differ, or there are fewer than two runs.
    """
    from scipy.stats import t

    differences = [ours - theirs for ours, theirs in zip(first, second, strict=True)]
    runs = len(differences)
    mean, error = _mean_and_error(differences)
    if not error:
        return RunsComparison(runs, mean, None, None)
    half = error * _t_bound(runs)
    p_value = 2 * float(t.sf(abs(mean) / error, runs - 1))
    return RunsComparison(runs, mean, Interval(mean - half, mean + half), p_value)


def _t_bound(runs: int) -> float:
    """Returns how many standard errors a 95% interval over some runs reaches to either side."""
    from scipy.stats import t

    return float(t.ppf(0.975, runs - 1))


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean of some runs and its standard error, 0 where they are equal."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} run has no variance between runs; run another seed")
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)), error if error > ROUNDING else 0.0
