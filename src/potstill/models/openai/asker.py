"""From a request to its completions: how samples are put together, and what a refusal means."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from potstill.control import Control
from potstill.errors import ModelError
from potstill.models.openai.client import Client
from potstill.models.openai.faults import Fault
from potstill.models.openai.replies import read_reply
from potstill.models.openai.sizes import Sizes
from potstill.models.openai.top_tokens import no_probabilities
from potstill.models.openai.wire import failure, request_body, runs
from potstill.models.prices import prices_of
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request

Keep = Callable[[list[Completion], int], None]
"""Takes completions as they come, and how many of the server's answers they are from."""

SHORT_ANSWERS = 3
"""Answers in a row with fewer choices than asked for, after which no more are asked for at once."""

FIRST_SECONDS = 30.0
"""How long the others wait for a first request that goes alone."""

REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_IMPLEMENTED}
"""Statuses by which a server says that it cannot do what it was asked."""


@dataclass(slots=True)
class Known:
    """What a server has shown that it can do; kept from one asking to the next."""

    several: bool = False
    """Give several samples at once."""

    largest_n: int | None = None
    """The most samples that it gives at once; None: as many as asked for so far."""

    short: int = 0
    """Answers in a row with fewer choices than asked for."""

    probabilities: bool = False
    """Give token probabilities."""

    def can(self, request: Request) -> bool:
        """Whether nothing in the request is new."""
        told_n = len(request.samples) == 1 or self.several or self.largest_n is not None
        return told_n and (self.probabilities or not request.top_logprobs)


class Asker:
    """Asks one server. Belongs to the event loop in which it is made."""

    def __init__(
        self, settings: OpenAISettings, key: str | None, control: Control, known: "Known"
    ) -> None:
        self.client = Client(settings, key, control)
        self._settings, self._control, self._known = settings, control, known
        self._sizes = Sizes(prices_of(settings))
        self._first: asyncio.Future[None] | None = None

    async def answer(self, request: Request, keep: Keep) -> None:
        """All samples of a request.

        Where it asks for what the server may not have, the first request goes alone: what is wrong
        with all of them is then paid for once.

        Args:
            request: What is asked.
            keep: Takes the completions as they come, those too that come before an error.

        Raises:
            ModelError: No request can succeed.
            BudgetError: It could cost more than there is left.
            Halted: The asking was stopped.
        """
        groups = runs(request.samples)
        if self._first is None and not self._known.can(request):
            self._first = asyncio.get_running_loop().create_future()
            try:
                await self._ask_runs(request, groups, keep)
            finally:
                self._first.set_result(None)
            return
        if self._first is not None and not self._first.done():
            await asyncio.wait([self._first], timeout=FIRST_SECONDS)
        await self._ask_runs(request, groups, keep)

    async def _ask_runs(
        self, request: Request, groups: Sequence[Sequence[int]], keep: Keep
    ) -> bool:
        """Every group to its end before the first error is raised; whether any was answered."""
        if len(groups) == 1:
            return await self._ask(request, groups[0], keep)
        asked = (self._ask(request, group, keep) for group in groups)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(outcomes)

    async def _ask(self, request: Request, samples: Sequence[int], keep: Keep) -> bool:
        """One run of samples, those that the server leaves out again; whether it answered any."""
        most = self._known.largest_n
        if most is not None and len(samples) > most:
            return await self._ask_runs(request, _parts(samples, most), keep)
        body = request_body(self._settings, request, samples)
        try:
            reply = await self.client.post(body, self._sizes.size(request, body))
        except Fault as fault:
            await self._refused(request, samples, fault, keep)
            return False
        answered = read_reply(self._settings, request, samples, reply)
        keep(answered, 1)
        self._known.probabilities |= any(each.logprobs is not None for each in answered)
        there = {completion.sample for completion in answered}
        missing = [sample for sample in samples if sample not in there]
        if len(samples) > 1:
            self._count_choices(len(answered), short=bool(missing))
        if missing:
            groups = [part for run in runs(missing) for part in _parts(run, len(answered))]
            await self._ask_runs(request, groups, keep)
        return any(each.error is None for each in answered)

    async def _refused(
        self, request: Request, samples: Sequence[int], fault: Fault, keep: Keep
    ) -> None:
        """What a request that was given up means for its samples."""
        if fault.status in REFUSALS and request.top_logprobs and "logprob" in str(fault):
            raise ModelError(no_probabilities(self._settings, str(fault)))
        if fault.status not in REFUSALS or len(samples) == 1 or self._known.several:
            keep([failure(request, sample, str(fault)) for sample in samples], 0)
            return
        # It may be the number of samples that the server cannot do: the first one alone tells.
        if await self._ask(request, samples[:1], keep):
            self._limit_n(1)
            await self._ask(request, samples[1:], keep)
        else:
            keep([failure(request, sample, str(fault)) for sample in samples[1:]], 0)

    def _count_choices(self, count: int, *, short: bool) -> None:
        """Learn from the answers how many samples the server gives at once."""
        known = self._known
        if not short:
            known.several, known.short = True, 0
            return
        known.short += 1
        if known.short >= SHORT_ANSWERS and not known.several:
            self._limit_n(count)

    def _limit_n(self, count: int) -> None:
        known = self._known
        if known.largest_n is None or count < known.largest_n:
            known.largest_n = count
            self._control.watch.event("samples_at_once", most=count)


def _parts(samples: Sequence[int], size: int) -> list[Sequence[int]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]
