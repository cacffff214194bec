"""Limits how fast a server is asked: adaptive concurrency, limits a minute, asked-for pauses."""

import asyncio
import math
import time
from collections import deque
from datetime import datetime

from potstill.models.settings import OpenAISettings
from potstill.runtime import LimitSharing
from potstill.runtime.events import EventLog

START = 128
"""Tries in flight at first; few servers refuse so many, and one that does says so at once."""

CLEAN_ROUNDS = 4
"""Round trips without a refusal after which the limit grows by a share of itself again."""

GROWTH_SHARE = 0.25
"""The share of itself by which the limit then grows in a round trip."""

LEAST_KEPT = 0.9
"""Share of the limit that one refusal leaves at least."""


class Concurrency:
    """How many tries may be in flight: grows until the server pushes back, then follows it.

    Use as an asynchronous context manager around each try.

    At first every answer adds one, which doubles the limit in each round trip. A try that is
    refused tells how many the server takes: the others that are in flight. From then on the limit
    grows by one a round trip to feel for room, and faster again after some without a refusal.

    An answer that is not stored yet leaves the server room for another request, but counts toward
    the ceiling: that many answers at most are lost with the process.

    Args:
        ceiling: Most tries in flight and answers not stored, together.
        events: Takes changes of the limit.
        sharing: Among how many processes the ceiling is shared.
    """

    def __init__(self, ceiling: int, events: EventLog, sharing: LimitSharing | None = None) -> None:
        self._whole, self._events = ceiling, events
        self._sharing = sharing or LimitSharing()
        self.limit = float(min(START, ceiling))
        self.in_flight = 0
        self.unstored = 0
        """Answers that came and are not stored."""

        self._doubling = True
        self._answered = 0
        """Tries answered since the last refusal."""

        self._recorded = self.limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(self, *exception: object) -> None:
        self.leave()

    async def enter(self) -> None:
        """Wait for a place."""
        if self._free and not self._waiting:
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place  # whoever leaves hands the place over
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._admit()

    def stored(self, count: int) -> None:
        """Count so many answers as stored."""
        self.unstored -= count
        self._admit()

    @property
    def _ceiling(self) -> int:
        """This process's part of the ceiling."""
        return max(self._whole // self._sharing.among, 1)

    @property
    def _free(self) -> bool:
        room = self.in_flight + self.unstored < self._ceiling
        return room and self.in_flight < int(self.limit)

    def _admit(self) -> None:
        while self._waiting and self._free:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def outcome(self, *, refused: bool) -> None:
        """Count what became of a try, before it leaves.

        Args:
            refused: The server had too much to do: 429, 503, or no answer in time.
        """
        if refused:
            self._doubling, self._answered = False, 0
            # Few in flight, as at the end of a run, do not say that the server takes no more.
            self._set(min(self.limit, max(self.in_flight - 1.0, LEAST_KEPT * self.limit)))
            return
        self._answered += 1
        clean = self._answered > CLEAN_ROUNDS * self.limit
        more = 1 / self.limit if not clean else max(1 / self.limit, GROWTH_SHARE)
        self._set(self.limit + (1.0 if self._doubling else more))

    def _set(self, limit: float) -> None:
        self.limit = min(max(limit, 1.0), float(self._ceiling))
        self._events.limit = int(self.limit)
        if not self._recorded / 2 < self.limit < self._recorded * 2:
            self._recorded = self.limit
            self._events.record("concurrency", limit=int(self.limit))
        self._admit()


class Rate:
    """Admits at most so much in any minute, evenly spread.

    Args:
        per_minute: How much; None sets no limit.
        sharing: Among how many processes the limit is shared.
    """

    def __init__(self, per_minute: float | None, sharing: LimitSharing | None = None) -> None:
        self._alone = 60.0 / per_minute if per_minute else 0.0
        self._sharing = sharing or LimitSharing()
        self._free_at = -math.inf

    @property
    def _seconds_each(self) -> float:
        """How far apart two are, in this process's part of the limit."""
        return self._alone * self._sharing.among

    def take(self, amount: float, *, at: float) -> float:
        """Take a share of the minute.

        Args:
            amount: How much.
            at: When it could be used at the earliest, by the loop's clock.

        Returns:
            When it may be used.
        """
        if not self._seconds_each:
            return at
        start = max(at, self._free_at)
        self._free_at = start + amount * self._seconds_each
        return start

    def correct(self, amount: float) -> None:
        """Take so much more, or give it back where it is negative: more was known afterwards."""
        self._free_at += amount * self._seconds_each


class RateLimiter:
    """Concurrency, requests and tokens a minute, and the pauses that a server asks of everybody."""

    def __init__(
        self, settings: OpenAISettings, events: EventLog, sharing: LimitSharing | None = None
    ) -> None:
        self.concurrency = Concurrency(settings.concurrency, events, sharing)
        self.tokens = Rate(settings.tokens_per_minute, sharing)
        self._requests = Rate(settings.requests_per_minute, sharing)
        self._pause_until = -math.inf
        self._events, self._server = events, settings.base_url

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long; the view says so meanwhile."""
        loop = asyncio.get_running_loop()
        self._pause_until = max(self._pause_until, loop.time() + seconds)
        ends = datetime.fromtimestamp(time.time() + self.paused).strftime("%H:%M:%S")
        note = f"paused until {ends}, as {self._server} asks (Retry-After)"
        self._events.notes[self._server] = note
        loop.call_later(self.paused, self._end_pause)

    def _end_pause(self) -> None:
        if not self.paused:
            self._events.notes.pop(self._server, None)

    def wait(self, tokens: float) -> float:
        """Returns the seconds that a try of so many tokens waits; the limits count it from now.

        A pause that begins meanwhile makes the wait void: what was taken of the limits is not made
        up for at its end, and the try has to ask again.
        """
        now = asyncio.get_running_loop().time()
        at = max(now, self._pause_until)
        return max(self._requests.take(1, at=at), self.tokens.take(tokens, at=at)) - now

    @property
    def paused(self) -> float:
        """Seconds that are left of a pause."""
        return max(self._pause_until - asyncio.get_running_loop().time(), 0.0)
