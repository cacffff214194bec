"""An event loop in a thread of its own, to which requests go and from which answers come."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from potstill.control import Control
from potstill.models.openai.asker import Asker, Known
from potstill.models.openai.faults import Halted
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request

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


class Session:
    """Asks one server until it is left; use as a context manager.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        control: Of the run.
        known: What the server has shown so far.
    """

    def __init__(
        self, settings: OpenAISettings, key: str | None, control: Control, known: Known
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
