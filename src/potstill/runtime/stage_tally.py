"""Counts of one stage of a run, put together from its pieces of work, and of the stages of a run.

A stage that knows how much it will do says so by ``expect``, and does it in parts of known sizes.
The pieces of work in a part fill it, however many they are, and its end makes it whole, unless it
was stopped::

    expect(300)     part(100): 80 of 100 answers asked, 20 there     part(200): ...
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from potstill.runtime.tally import Pace, Tally, clock, rate_words


class StageTally:
    """The work of one stage.

    Args:
        name: The stage's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = ""
        self.total: int | None = None
        """How much there is to do in all; None where the stage does not say."""

        self.ended = False
        self._begun = time.monotonic()
        self._closed = 0
        self._there = 0
        self._part: int | None = None
        self._open: list[Tally] = []
        self._worked = 0.0
        self._all_done = 0

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    @property
    def done(self) -> int:
        """How much is done, what was there before included."""
        if self.total is None:
            return self._all_done + sum(tally.done for tally in self._open)
        inside = sum(tally.done for tally in self._open)
        return self._closed + min(inside, self._part or 0)

    @property
    def share(self) -> float:
        """The share that is done, from 0 to 1; that of its piece if the stage states no total."""
        if self.ended:
            return 1.0
        if self.total is not None:
            return min(self.done / self.total, 1.0) if self.total else 1.0
        newest = self._open[-1] if self._open else None
        return newest.done / newest.total if newest is not None and newest.total else 0.0

    def expect(self, total: int, unit: str) -> None:
        """Say how much there is to do, and in which unit."""
        self.total, self.unit = total, unit

    @contextmanager
    def part(self, size: int) -> Iterator[None]:
        """Count the pieces of work in the block as so much of what is expected."""
        # A part in a part is the outer one's; of an unknown whole there are none.
        if self._part is not None or self.total is None:
            yield
            return
        self._part, reached = size, size
        try:
            yield
        except BaseException:  # of work that was stopped, no more is done than was
            reached = min(sum(tally.done for tally in self._open), size)
            raise
        finally:
            self._worked += sum(tally.seconds for tally in self._open if tally.new)
            self._there += min(sum(tally.done - tally.new for tally in self._open), size)
            self._open.clear()
            self._closed += reached
            self._part = None

    def add(self, tally: Tally) -> None:
        """Count a piece of work that is in no other."""
        if self.total is None:
            self._all_done += sum(former.done for former in self._open)
            self._open.clear()
        if self.total is None or self._part is not None:
            self._open.append(tally)

    def left_with(self, tally: Tally) -> int | None:
        """Returns how much the stage still does, counted as a piece of its work counts.

        Args:
            tally: The piece.

        Returns:
            None where the stage does not say how much it does, or counts other things.
        """
        if self.total is None or tally not in self._open:
            return None
        return max(self.total - self.done, 0)

    def pace(self) -> Pace:
        """Returns how far the stage is, how fast and how long still; at its end, how long it took.

        What is left goes by what was done a second over all pieces that counted so far.
        """
        if self.ended:
            return self._ended()
        newest = self._open[-1].pace() if self._open else None
        if self.total is None:
            return newest or Pace("", "", "", f"{clock(self.seconds)} so far")
        worked = self._worked + sum(tally.seconds for tally in self._open if tally.new)
        there = self._there + sum(tally.done - tally.new for tally in self._open)
        rate = max(self.done - there, 0) / worked if worked else 0.0
        left = self.total - self.done
        words = f"{clock(self.seconds)} so far"
        if self._open and self._open[-1].left == left and newest is not None:
            words = newest.time
        elif rate:
            words = f"{clock(max(left, 0) / rate)} left"
        counts = f"{self.done:,}/{self.total:,} {self.unit}".rstrip()
        return Pace(
            counts, rate_words(rate) if rate else "", newest.token_rate if newest else "", words
        )

    def _ended(self) -> Pace:
        took = f"in {clock(self.seconds)}"
        if self.total is not None:
            return Pace(f"{self.done:,}/{self.total:,} {self.unit}".rstrip(), "", "", took)
        return Pace(f"{self.done:,} answers" if self.done else "", "", "", took)


class StageOrder:
    """The stages of a run, of which one is at work.

    Args:
        names: The stages, in their order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._begun = time.monotonic()

    def share(self, stage: StageTally) -> float:
        """Returns how much of the run is done, from 0 to 1; every stage counts as much."""
        return (self.names.index(stage.name) + stage.share) / len(self.names)

    def place(self, stage: StageTally) -> str:
        """Returns which stage of how many it is."""
        return f"stage {self.names.index(stage.name) + 1} of {len(self.names)}"

    def time(self, stage: StageTally) -> str:
        """Returns how long the run took so far and has left, at least where stages follow.

        A stage that has not begun has no pace yet.
        """
        took = f"{clock(time.monotonic() - self._begun)} so far"
        words = stage.pace().time
        if not words.endswith(" left"):
            return took
        follows = self.names.index(stage.name) + 1 < len(self.names)
        return f"{took}, {'over ' if follows else ''}{words}"
