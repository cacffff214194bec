"""Amounts that are known, expected within an interval, or bounded only."""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from potstill.statistics import Interval


class Spread(NamedTuple):
    """An amount that is expected, within an interval, and at most; sums add all of them."""

    expected: float | None = 0.0
    """None where nothing is known that it could be expected by."""

    low: float = 0.0
    """With ``high`` the 95% interval of what is expected."""

    high: float = 0.0
    most: float = 0.0

    def plus(self, other: "Spread") -> "Spread":
        """The sum; ends of intervals are added, as if all were off in the same direction."""
        known = self.expected is not None and other.expected is not None
        return Spread(
            (self.expected or 0.0) + (other.expected or 0.0) if known else None,
            self.low + other.low,
            self.high + other.high,
            self.most + other.most,
        )

    def times(self, factor: float) -> "Spread":
        """So many of it."""
        if not factor:
            return Spread()
        expected = None if self.expected is None else self.expected * factor
        return Spread(expected, self.low * factor, self.high * factor, self.most * factor)

    @property
    def likely(self) -> float:
        """What is expected; the most where nothing is."""
        return self.most if self.expected is None else self.expected


def exactly(amount: float) -> Spread:
    """An amount that is known."""
    return Spread(amount, amount, amount, amount)


def total(spreads: Iterable[Spread]) -> Spread:
    """The sum of all."""
    found = Spread()
    for each in spreads:
        found = found.plus(each)
    return found


class Lengths:
    """How long stored answers are, in tokens; those to one request resemble each other.

    Args:
        groups: The lengths of the answers to each request.
    """

    def __init__(self, groups: Sequence[Sequence[int]] = ()) -> None:
        self._groups = [group for group in groups if group]
        self.count = sum(map(len, self._groups))

    def one(self, most: int) -> Spread:
        """The length of one more answer, at most so long."""
        if not self.count:
            return Spread(None, 0.0, most, most)
        low, high = self._interval
        return Spread(min(self._mean, most), min(max(low, 0.0), most), min(high, most), most)

    @cached_property
    def _mean(self) -> float:
        return sum(map(sum, self._groups)) / self.count

    @cached_property
    def _interval(self) -> Interval:
        """The mean's 95% interval by Student's t over requests.

        The mean is a ratio of two sums over requests, of tokens and of answers; its variance is
        that of the residuals of the first by the second (Cochran 1977, Sampling Techniques, 6.3).
        """
        n = len(self._groups)
        if n < 2:
            return Interval(0.0, math.inf)
        from scipy.stats import t  # loaded here: it takes longer than the rest of the program

        residuals = [sum(group) - self._mean * len(group) for group in self._groups]
        variance = sum(each * each for each in residuals) / (n - 1)
        error = math.sqrt(variance / n) / (self.count / n)
        reach = float(t.ppf(0.975, n - 1)) * error
        return Interval(self._mean - reach, self._mean + reach)
