"""Requests of the caller's thread, asked by an event loop in a thread of its own.

:class:`Session` carries requests over to the loop and completions back. :class:`Asker` lives in the
loop: it puts the samples of a request together, learns how many the server gives at once, and asks
again for those that it leaves out.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, NamedTuple

from potstill.errors import ModelError
from potstill.models.openai.client import Client
from potstill.models.openai.cost import Sizes, prices_of
from potstill.models.openai.first_answers import FirstAnswers, Vanguard
from potstill.models.openai.given_asker import GivenAsker, ScoreFacts
from potstill.models.openai.http_errors import Fault, Halted
from potstill.models.openai.logprobs import TokenNames, no_probabilities
from potstill.models.openai.oddities import Oddities
from potstill.models.openai.repeated_prefix import PROBE, PrefixHabit
from potstill.models.openai.requests import failure, given_beginning, request_body, runs
from potstill.models.openai.responses import read_reply
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import TokenRequest
from potstill.records import Completion, Request
from potstill.runtime import Runtime

logger = logging.getLogger(__name__)

STOP_POLL_SECONDS = 0.1
"""How often the loop looks whether the run is to stop."""

GROUP_SECONDS = 0.02
"""How long answers are gathered at most: a group is flushed to the disk once."""

GROUP_SECONDS_EACH = 0.0001
"""Seconds that answers are gathered for each try in flight: of many, more come soon."""

STORING_SECONDS = 0.01
"""How long the loop waits at most for a group to be stored."""

FIRST_SECONDS = 30.0
"""How long the others wait for a first request that goes alone."""

SHORT_ANSWERS = 3
"""Answers in a row with fewer choices than asked for, after which no more are asked for at once."""

REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_IMPLEMENTED}
"""Statuses by which a server says that it cannot do what it was asked."""


class Arrived(NamedTuple):
    """A group of completions that the event loop's thread hands over to the caller's."""

    completions: list[Completion]

    answers: int
    """How many of the server's answers they are from."""

    ended: int
    """How many runs of samples have ended, of which nothing more comes."""


@dataclass(slots=True)
class ServerFacts:
    """The abilities that a server has shown; kept from one session to the next."""

    several: bool = False
    """Whether it has given several samples at once."""

    largest_n: int | None = None
    """The most samples that it gives at once; None: as many as asked for so far."""

    short: int = 0
    """Answers in a row with fewer choices than asked for."""

    probabilities: bool = False
    """Whether it has given token probabilities."""

    prefix: PrefixHabit = field(default_factory=PrefixHabit)
    """Whether it repeats the beginning of an answer that it is given."""

    token_names: TokenNames | None = None
    """The bytes of its tokens by id, where it was asked to name them so."""

    first: FirstAnswers = field(default_factory=FirstAnswers)
    """Whether it has answered at all."""

    scores: ScoreFacts = field(default_factory=ScoreFacts)
    """How it scores given texts."""

    def can(self, request: Request) -> bool:
        """Whether nothing in the request is new to the server."""
        knows_n = len(request.samples) == 1 or self.several or self.largest_n is not None
        return knows_n and (self.probabilities or not request.top_logprobs)


class Session:
    """Asks one server until it is left; use as a context manager.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        runtime: The run's budget, log and stop signal.
        known: The server's abilities shown so far.
    """

    def __init__(
        self, settings: OpenAISettings, key: str | None, runtime: Runtime, known: ServerFacts
    ) -> None:
        self._settings, self._key, self._runtime, self._known = settings, key, runtime, known
        self._completions: list[Completion] = []
        self._answers = self._ended = 0
        """These three are what has come and is not handed over."""

        self._arrived: SimpleQueue[Arrived] = SimpleQueue()
        self._handing: asyncio.TimerHandle | None = None
        self._some_stored = Event()
        self._stored = self._freed = 0
        """Answers so far: the caller's thread counts the first, the loop's the second."""

        self._started: SimpleQueue[asyncio.AbstractEventLoop | BaseException] = SimpleQueue()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="potstill-openai", daemon=True)
        self.halted = False
        """Whether nothing is sent any more."""

    # The caller's thread.

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

    def start(self, requests: Sequence[Request]) -> int:
        """Have requests asked, each run of samples by a task of the loop.

        Returns:
            How many runs there are.
        """
        coroutines = [
            self._asker.ask(request, samples)
            for request in requests
            for samples in runs(request.samples)
        ]
        if coroutines:
            self._loop.call_soon_threadsafe(self._create_tasks, coroutines)
        return len(coroutines)

    def take(self) -> Arrived:
        """Returns what has arrived since it was last asked for, once there is something."""
        arrived = [self._arrived.get()]
        while not self._arrived.empty():
            arrived.append(self._arrived.get())
        completions, answers, ended = zip(*arrived, strict=True)
        return Arrived(list(chain.from_iterable(completions)), sum(answers), sum(ended))

    def stored(self, answers: int) -> None:
        """Count so many answers as stored."""
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

    # The loop's thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._started.put(error)

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._asker = Asker(self._settings, self._key, self._runtime, self._known, self._keep)
        try:
            self._started.put(asyncio.get_running_loop())
            await self._wait_for_end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._asker.oddities.record()
            await self._asker.client.close()

    async def _wait_for_end(self) -> None:
        """Wait until the session is left; let nothing be sent once the run is to stop."""
        while not self._end.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), STOP_POLL_SECONDS)
            if self._runtime.stop.is_set() and not self.halted:
                self._halt()

    def _halt(self) -> None:
        self.halted = True
        self._asker.halt()

    def _create_tasks(self, coroutines: Sequence[Coroutine[Any, Any, bool]]) -> None:
        for coroutine in coroutines:
            task = self._loop.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: "asyncio.Task[bool]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Halted):
            self._error = self._error or error  # raised in the caller's thread
            self._halt()
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
        self._some_stored.wait(STORING_SECONDS)
        self._free_places()

    def _free_places(self) -> None:
        count = self._stored - self._freed
        self._freed += count
        self._asker.client.stored(count)


class Asker:
    """Asks one server for runs of samples. Belongs to the event loop in which it is made.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        runtime: The run's budget, log and stop signal.
        known: The server's abilities shown so far; new ones are added.
        keep: Takes completions as they come, and how many of the server's answers they are from.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        key: str | None,
        runtime: Runtime,
        known: ServerFacts,
        keep: Callable[[list[Completion], int], None],
    ) -> None:
        self.client = Client(settings, key, runtime, known.first)
        self._settings, self._events, self._known = settings, runtime.events, known
        self._vanguard = Vanguard(known.first)
        self._keep = keep
        self._sizes = Sizes(prices_of(settings))
        self._first: Request | None = None
        """The request that goes alone."""

        self._first_ended = asyncio.Event()
        self._probing = asyncio.Lock()
        self.oddities = Oddities(settings.base_url, runtime.events)
        self._given = GivenAsker(
            settings,
            key,
            runtime,
            client=self.client,
            known=known.scores,
            vanguard=self._vanguard,
            keep=keep,
            watch=self._watch,
        )

    def halt(self) -> None:
        """Send nothing any more."""
        self.client.halt()
        self._given.halt()
        self._vanguard.open()

    async def ask(self, request: Request, samples: Sequence[int]) -> bool:
        """Ask for one run of a request's samples, and again for those that the server leaves out.

        Completions that come before an error are kept too.

        Returns:
            Whether the server answered any.

        Raises:
            ModelError: No request can succeed.
            BudgetError: It could cost more than there is left.
            Halted: The asking was stopped.
        """
        if request.given is not None:
            return await self._given.ask(request, samples)
        goes_first = await self._wait_for_first(request)
        try:
            most = self._known.largest_n
            if most is not None and len(samples) > most:
                return await self._ask_each(request, _parts(samples, most))
            body = request_body(self._settings, request, samples)
            try:
                async with self._vanguard.place():
                    reply = await self.client.post(body, self._sizes.size(request, body))
                    await self._find_prefix_habit(given_beginning(request, body), reply)
                    answered = read_reply(
                        self._settings,
                        request,
                        samples,
                        reply,
                        self._known.prefix,
                        self._known.token_names,
                    )
                    self.oddities.count(reply, answered)
                    self._keep(answered, 1)
                    self._watch(answered)
            except Fault as fault:
                await self._refused(request, samples, fault)
                return False
            await self._ask_left_out(request, samples, answered)
            return any(completion.error is None for completion in answered)
        finally:
            if goes_first:
                self._first_ended.set()

    async def _wait_for_first(self, request: Request) -> bool:
        """Let the first request that asks for what the server may not have go alone.

        What is wrong with all of them is then paid for once.

        Returns:
            Whether this one is the first.
        """
        if self._first is None and not self._known.can(request):
            self._first = request
            return True
        others_wait = self._first is not None and not self._first_ended.is_set()
        if others_wait and request is not self._first:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._first_ended.wait(), FIRST_SECONDS)
        return False

    async def _find_prefix_habit(self, given: str, reply: dict[str, Any]) -> None:
        """Have a probe tell whether the server repeats beginnings, where an answer leaves it open.

        Where the probe fails, what an answer repeats is taken off.
        """
        habit = self._known.prefix
        habit.learn(given, reply)
        if not (given and habit.is_unclear(given, reply)):
            return
        async with self._probing:
            if habit.repeats is not None:
                return
            self.client.stored(1)  # else the probe might wait for this answer's own place
            body = request_body(self._settings, PROBE, PROBE.samples)
            try:
                answer = await self.client.post(body, self._sizes.size(PROBE, body))
                habit.learn_from_probe(given_beginning(PROBE, body), answer)
            except Fault:
                self.client.stored(-1)
            if habit.repeats is None:
                habit.repeats = True
            self._events.record("prefix_repeated", repeats=habit.repeats)

    def _watch(self, answered: Sequence[Completion]) -> None:
        """Note whether an answer was a good one.

        Raises:
            ServerError: None was so far, and they fail alike.
        """
        written = [completion for completion in answered if completion.text]
        if any(completion.finish_reason != "content_filter" for completion in written):
            self._known.first.succeeded()
            return
        if written:
            refusal = f"a refusal in the place of an answer, {written[0].text[:80]!r}"
            self._known.first.failed(refusal, refused=True)
            return
        failures = [completion.error for completion in answered if completion.error is not None]
        if failures:
            self._known.first.failed(failures[0])
        elif isinstance(answered[0].request, TokenRequest) or answered[0].request.given:
            self._known.first.succeeded()  # a student, or a given text, may well be nothing
        elif not answered[0].request.stop:  # before a stop string there may be nothing
            self._known.first.failed("an answer without any text")

    async def _ask_left_out(
        self, request: Request, samples: Sequence[int], answered: Sequence[Completion]
    ) -> None:
        """Learn from an answer, and ask for the samples that it lacks."""
        self._known.probabilities |= any(completion.logprobs is not None for completion in answered)
        present = {completion.sample for completion in answered}
        missing = [sample for sample in samples if sample not in present]
        if len(samples) > 1:
            self._count_choices(len(answered), short=bool(missing))
        if missing:
            groups = [part for run in runs(missing) for part in _parts(run, len(answered))]
            await self._ask_each(request, groups)

    async def _ask_each(self, request: Request, groups: Sequence[Sequence[int]]) -> bool:
        """Ask for several runs, each to its end before the first error is raised.

        Returns:
            Whether any was answered.
        """
        coroutines = (self.ask(request, group) for group in groups)
        outcomes = await asyncio.gather(*coroutines, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(outcomes)

    async def _refused(self, request: Request, samples: Sequence[int], fault: Fault) -> None:
        """Find out what a request that was given up means for its samples."""
        if fault.status in REFUSALS and request.top_logprobs and "logprob" in str(fault):
            raise ModelError(no_probabilities(self._settings, str(fault)))
        if fault.status not in REFUSALS or len(samples) == 1 or self._known.several:
            self._keep([failure(request, sample, str(fault)) for sample in samples], 0)
            return
        # It may be the number of samples that the server cannot do: the first one alone tells.
        if await self.ask(request, samples[:1]):
            self._limit_n(1)
            await self.ask(request, samples[1:])
        else:
            self._keep([failure(request, sample, str(fault)) for sample in samples[1:]], 0)

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
            self._events.record("samples_at_once", most=count)
            logger.warning(
                "%s gives %d of several samples in one answer (n): the others are asked for one "
                "by one, and each pays for its prompt again.",
                self._settings.base_url,
                count,
            )


def _parts(samples: Sequence[int], size: int) -> list[Sequence[int]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]
