"""The limits of asking the teacher: seconds a step, tokens an hour, and a rest after failures.

Past any of them there is no step, nor a whole answer, and the student answers alone. The rest is a
circuit breaker: the teacher that has failed several times in a row is left alone for a while, then
one request tries it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal

from potstill.records import Completion, Request
from potstill.serve.settings import TeacherLimits
from potstill.serve.upstreams import Upstream, UpstreamError

TEACHER_SHARE = 0.5
"""The share of the time that is left which the teacher may take; the rest is the student's."""

MINUTES = 60

TOKEN_CHARACTERS = 4
"""Mean length of a token, in characters."""

Absence = Literal["failed", "timeout", "resting", "budget"]
"""The reasons why there is no step of the teacher."""

Clock = Callable[[], float]
"""Seconds that only grow."""


class Breaker:
    """Says when to leave an upstream alone that has failed several times in a row.

    Args:
        failures: How many in a row.
        rest: How long to leave it alone, in seconds.
        clock: Seconds that only grow.
    """

    def __init__(self, failures: int, rest: float, clock: Clock = time.monotonic) -> None:
        self._limit, self._rest, self._clock = failures, rest, clock
        self._failures = 0
        self._until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it is left alone now."""
        return self._failures >= self._limit and self._clock() < self._until

    def allows(self) -> bool:
        """Whether it may be asked; after a rest one asker may, and the others wait for another."""
        if self._failures < self._limit:
            return True
        if self.resting:
            return False
        self._until = self._clock() + self._rest
        return True

    def succeeded(self) -> None:
        """It has answered."""
        self._failures = 0

    def failed(self) -> None:
        """It has not answered."""
        self._failures += 1
        if self._failures >= self._limit:
            self._until = self._clock() + self._rest


class HourlyBudget:
    """Tokens of the last 60 minutes, counted by the minute."""

    def __init__(self, limit: int | None, clock: Clock = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self.under_way = 0
        """The guessed tokens of requests that are not answered yet."""

        self._tokens = [0] * MINUTES
        self._minutes = [-MINUTES] * MINUTES
        """The minute that each place of ``_tokens`` counts."""

    @property
    def spent(self) -> int:
        """Tokens of the last hour."""
        first = self._minute() - MINUTES + 1
        counted = zip(self._minutes, self._tokens, strict=True)
        return sum(tokens for minute, tokens in counted if minute >= first)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left, if requests under way take the tokens guessed."""
        return self._limit is not None and self.spent + self.under_way >= self._limit

    def spend(self, tokens: int) -> None:
        """Count tokens."""
        minute = self._minute()
        place = minute % MINUTES
        if self._minutes[place] != minute:
            self._minutes[place], self._tokens[place] = minute, 0
        self._tokens[place] += tokens

    def _minute(self) -> int:
        return int(self._clock() // 60)


class TeacherGuard:
    """Asks the teacher within its limits.

    Args:
        upstream: The teacher.
        limits: The most that it may take.
        absent: Called with the reason whenever there is no answer.
    """

    def __init__(
        self, upstream: Upstream, limits: TeacherLimits, absent: Callable[[Absence], None]
    ) -> None:
        self.upstream = upstream
        self._limits = limits
        self._breaker = Breaker(limits.failures, limits.rest)
        self._budget = HourlyBudget(limits.tokens_per_hour)
        self._absent = absent

    async def ask(
        self, request: Request, deadline: float, *, whole: bool = False
    ) -> list[Completion]:
        """The teacher's completions; none where it is not to be had.

        Args:
            request: The step, or the whole answer, that it is asked for.
            deadline: When the whole answer is due, by the event loop's clock.
            whole: Whether it is asked for a whole answer.
        """
        if self._budget.is_over:
            self._absent("budget")
            return []
        if not self._breaker.allows():
            self._absent("resting")
            return []
        left = deadline - asyncio.get_running_loop().time()
        guess = tokens = sum(_guess_tokens(request))
        self._budget.under_way += guess
        try:
            longest = self._limits.answer_seconds if whole else self._limits.seconds
            async with asyncio.timeout(min(longest, TEACHER_SHARE * left)):
                completions = await self.upstream.answer(request)
            self._breaker.succeeded()
            tokens = _tokens_of(request, completions)
        except UpstreamError as error:
            tokens = guess if error.tokens is None else error.tokens
            if not error.refused:  # else one client could have it rest for all
                self._breaker.failed()
            self._absent("failed")
            return []
        except TimeoutError:
            self._breaker.failed()
            self._absent("timeout")
            return []
        finally:  # what is given up half-way is paid for
            self._budget.under_way -= guess
            self._budget.spend(tokens)
        return completions

    async def state(self) -> str:
        """``ready``, or why it is not asked: ``over budget``, ``resting`` or ``unreachable``."""
        if self._budget.is_over:
            return "over budget"
        if self._breaker.resting:
            return "resting"
        return "ready" if await self.upstream.ready() else "unreachable"


def _tokens_of(request: Request, completions: Sequence[Completion]) -> int:
    """Returns the tokens of an answer; those that are not counted are taken as guessed."""
    prompt, answer = _guess_tokens(request)
    read = max(completion.prompt_tokens for completion in completions)
    written = sum(completion.completion_tokens for completion in completions)
    wrote = any(completion.text or completion.thinking for completion in completions)
    return (read or prompt) + (written or answer * wrote)


def _guess_tokens(request: Request) -> tuple[int, int]:
    """Returns about how many tokens a prompt has, and how many its answer has at most."""
    prompt = request.prompt
    texts = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]
    characters = sum(map(len, texts)) + len(request.answer_prefix)
    return characters // TOKEN_CHARACTERS, request.max_tokens * len(request.samples)
