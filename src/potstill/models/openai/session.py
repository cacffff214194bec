"""An event loop in a thread of its own, to which requests go and from which answers come.

From a request to its completions: how samples are put together, and what a refusal means.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from potstill.errors import ModelError
from potstill.models.openai.client import Client
from potstill.models.openai.cost import Sizes, prices_of
from potstill.models.openai.http_errors import Fault, Halted
from potstill.models.openai.logprobs import no_probabilities
from potstill.models.openai.requests import failure, request_body, runs
from potstill.models.openai.responses import read_reply
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime

BRAKE_SECONDS = 0.1
"""How often the run's brake is looked at."""


GROUP_SECONDS = 0.02
"""How long answers are gathered at most: what is handed over together is flushed to disk once."""


GROUP_SECONDS_EACH = 0.0001
"""For each try in flight, how long answers are gathered: of many in flight, more come soon."""


PATIENCE_SECONDS = 0.01
"""How long nothing else is done, at most, while what was handed over is stored."""


class Arrived(NamedTuple):
    """What the event loop's thread hands over to the caller's."""

    completions: list[Completion]

    answers: int
    """Answers of the server that they are from."""

    ended: int
    """Requests of which nothing more comes."""


@dataclass(slots=True)
class ServerFacts:
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


class Session:
    """Asks one server until it is left; use as a context manager.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        control: Of the run.
        known: What the server has shown so far.
    """

    def __init__(
        self, settings: OpenAISettings, key: str | None, control: Runtime, known: ServerFacts
    ) -> None:
        self._settings, self._key, self._control, self._known = settings, key, control, known
        self._completions: list[Completion] = []
        self._answers = self._ended = 0
        """These three are what has come and is not handed over."""

        self._arrived: SimpleQueue[Arrived] = SimpleQueue()
        self._handing: asyncio.TimerHandle | None = None
        self._some_stored = Event()
        self._stored = self._freed = 0
        """Answers so far: the caller's thread counts the first, the loop's the second."""

        self._started: SimpleQueue[asyncio.AbstractEventLoop | BaseException] = SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="potstill-openai", daemon=True)
        self.halted = False
        """Nothing is sent any more."""

    def __enter__(self) -> "Session":
        self._thread.start()
        started = self._started.get()
        if isinstance(started, BaseException):
            raise started
        self._loop = started
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def submit(self, requests: Sequence[Request]) -> int:
        """Have requests asked; how many they are."""
        if requests:
            self._loop.call_soon_threadsafe(self._begin, requests)
        return len(requests)

    def take(self) -> Arrived:
        """What has arrived since it was last asked for, once there is something."""
        found = [self._arrived.get()]
        while not self._arrived.empty():
            found.append(self._arrived.get())
        completions, answers, ended = zip(*found, strict=True)
        return Arrived(list(chain.from_iterable(completions)), sum(answers), sum(ended))

    def stored(self, answers: int) -> None:
        """So many answers are stored."""
        self._stored += answers
        self._some_stored.set()
        self._loop.call_soon_threadsafe(self._free_places)

    def check(self) -> None:
        """Raise what ended the asking.

        Raises:
            ModelError: No request can succeed.
            BudgetError: The next could cost more than there is left.
        """
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._started.put(error)

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._asker = Asker(self._settings, self._key, self._control, self._known)
        try:
            self._started.put(asyncio.get_running_loop())
            await self._watch_the_brake()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self._asker.client.close()

    async def _watch_the_brake(self) -> None:
        """Wait for the end; on the way there, let nothing be sent once the run is to stop."""
        while not self._end.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), BRAKE_SECONDS)
            if self._control.stop.is_set() and not self.halted:
                self._halt()

    def _halt(self) -> None:
        self.halted = True
        self._asker.client.halt()

    def _begin(self, requests: Sequence[Request]) -> None:
        for request in requests:
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            await self._asker.answer(request, self._keep)
        except Halted:
            pass
        except Exception as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._error = self._error or error
            self._halt()
        finally:
            self._ended += 1
            self._hand_over_soon()

    def _keep(self, completions: list[Completion], answers: int) -> None:
        self._completions += completions
        self._answers += answers
        self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        """Hand over what came in a moment; or now, where the loop has been busy for longer."""
        now = self._loop.time()
        if self._handing is None:
            moment = min(GROUP_SECONDS_EACH * self._asker.client.in_flight, GROUP_SECONDS)
            self._handing = self._loop.call_at(now + moment, self._hand_over)
        elif now >= self._handing.when():
            self._handing.cancel()
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the caller's thread what came, and let it be stored.

        Of two threads at work each gets Python's lock for 5 ms at a time, and storing gives it up
        at every statement; places would be free long after answers were read.
        """
        self._handing = None
        self._some_stored.clear()
        self._arrived.put(Arrived(self._completions, self._answers, self._ended))
        self._completions, self._answers, self._ended = [], 0, 0
        self._some_stored.wait(PATIENCE_SECONDS)
        self._free_places()

    def _free_places(self) -> None:
        count = self._stored - self._freed
        self._freed += count
        self._asker.client.stored(count)


Keep = Callable[[list[Completion], int], None]
"""Takes completions as they come, and how many of the server's answers they are from."""


SHORT_ANSWERS = 3
"""Answers in a row with fewer choices than asked for, after which no more are asked for at once."""


FIRST_SECONDS = 30.0
"""How long the others wait for a first request that goes alone."""


REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_IMPLEMENTED}
"""Statuses by which a server says that it cannot do what it was asked."""


class Asker:
    """Asks one server. Belongs to the event loop in which it is made."""

    def __init__(
        self, settings: OpenAISettings, key: str | None, control: Runtime, known: "ServerFacts"
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
            self._control.events.record("samples_at_once", most=count)


def _parts(samples: Sequence[int], size: int) -> list[Sequence[int]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]
