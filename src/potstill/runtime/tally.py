"""Counts of long work and their pace: how many are done, how fast, how long still."""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

RATE_SECONDS = 60.0
"""How far back the rate looks; a server is asked faster and slower as it allows."""


class Pace(NamedTuple):
    """How far work is, in pieces of text of which a narrow view leaves some out."""

    counts: str
    """How many are done, of how many."""

    rate: str
    """How many a second; empty before the first."""

    token_rate: str
    """Tokens a second; empty where none are counted."""

    time: str
    """How long still; how long so far where that is not known; how long it took at the end."""

    def words(self) -> str:
        """Returns all of it."""
        return "  ".join(filter(None, self))


class Tally:
    """Counts of one stage, and their description.

    Args:
        label: The work being done, in a few words.
        total: How many there are; None where that is not known.
        done: How many were there before; they do not count for the rate.
        unit: The thing counted.
        tokens: The tokens of all that is not done, where that is known.
        writing: Returns the tokens of what has begun and is not done.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        done: int,
        unit: str,
        *,
        tokens: int | None = None,
        writing: Callable[[], int] = lambda: 0,
    ) -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self.tokens, self.cost = 0, 0.0
        self._all_tokens, self._writing = tokens, writing
        self._start = _Point(time.monotonic(), done, 0)
        self._points = deque([self._start])

    @property
    def new(self) -> int:
        """How many were done since it began."""
        return self.done - self._start.done

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._start.time

    @property
    def written(self) -> int:
        """Tokens so far, those of what is not done among them."""
        return self.tokens + self._writing()

    @property
    def left(self) -> int | None:
        """How many are not done; None where that is not known."""
        return None if self.total is None else self.total - self.done

    @property
    def ended(self) -> bool:
        """Whether all of it is done."""
        return self.total is not None and self.done >= self.total

    def add(self, count: int, tokens: int, cost: float) -> None:
        """Count more."""
        self.done += count
        self.tokens += tokens
        self.cost += cost

    def pace(self) -> Pace:
        """Returns how far, how fast and how long still; at the end how long it took."""
        if self.total is None:
            return Pace("", "", "", f"{clock(self.seconds)} so far")
        unit = f" {self.unit}" if self.unit else ""
        counts = f"{self.done:,}/{self.total:,}{unit}"
        now = _Point(time.monotonic(), self.done, self.written)
        since = self._start if self.ended else self._earlier(now)
        seconds = max(now.time - since.time, 1e-6)
        rate = (now.done - since.done) / seconds
        token_rate = max(now.tokens - since.tokens, 0) / seconds
        return Pace(
            counts,
            rate_words(rate) if rate else "",
            f"{token_rate:,.0f} tokens/s" if token_rate else "",
            self._time(rate, token_rate, now.tokens),
        )

    def _time(self, rate: float, token_rate: float, tokens: int) -> str:
        """Returns how long it took, has left by these rates, or has taken so far."""
        assert self.total is not None
        if self.ended:
            return f"in {clock(self.seconds)}"
        if token_rate and self._all_tokens is not None:
            return f"{clock(max(self._all_tokens - tokens, 0) / token_rate)} left"
        if rate:
            return f"{clock((self.total - self.done) / rate)} left"
        return f"{clock(self.seconds)} so far"

    def describe(self) -> str:
        """Returns the same as one text."""
        return self.pace().words()

    def _earlier(self, now: "_Point") -> "_Point":
        """Returns the state of the work a while ago, and remembers the state now."""
        if now.time - self._points[-1].time >= 1:
            self._points.append(now)
        while now.time - self._points[0].time > RATE_SECONDS and len(self._points) > 2:
            self._points.popleft()
        return self._points[0]


class _Point(NamedTuple):
    time: float
    done: int
    tokens: int


def rate_words(rate: float) -> str:
    """How many a second; where they are few, how many a minute."""
    return f"{rate:,.1f}/s" if rate >= 0.1 else f"{60 * rate:,.1f}/min"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
