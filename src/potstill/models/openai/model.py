"""``openai:`` models: any OpenAI-compatible server, by its chat or its completions route."""

import asyncio
import gc
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain, islice
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from potstill.control import Control
from potstill.errors import AuthError, ConfigError
from potstill.keys import settings_hash
from potstill.models.arrivals import arrivals
from potstill.models.base import Model
from potstill.models.openai.asker import Asker, Known
from potstill.models.openai.batch.batches import Batches
from potstill.models.openai.faults import Halted
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request

LOOPBACK = ("localhost", "127.0.0.1", "::1")

AHEAD = 2
"""Requests taken ahead of their answers, as a multiple of the concurrency."""

HANDOVER_SECONDS = 0.01
"""How long an answer waits for others that are stored with it, by one flush of the disk."""

COLLECTED_AFTER = 50_000
"""New objects between two runs of the garbage collector."""

BRAKE_SECONDS = 0.1
"""How often the run's brake is looked at."""


class OpenAIModel(Model):
    """A server that speaks ``/chat/completions`` or ``/completions``.

    The samples of a request are asked for together, with ``n``, so its prompt is paid for once; a
    server that returns fewer is asked again for the rest. A request that fails for good becomes a
    completion with ``finish_reason="error"`` for each of its samples; when the server as a whole
    fails, the error is raised.

    The name holds the server's address and a digest of ``settings.body``, because both determine
    what is answered; it never holds a key.
    """

    def __init__(self, settings: OpenAISettings, control: Control | None = None) -> None:
        self._settings = settings
        self._control = control or Control()
        self._known = Known()
        self._key = server_key(settings)
        self.chat = settings.chat
        self.name = server_name(settings)
        batch = settings.mode == "batch"
        self._batches = Batches(settings, self._key, self.name, self._control) if batch else None

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :meth:`complete_in_groups`."""
        if self._batches is not None:
            yield from self._batches.complete(requests)
            return
        with closing(self.complete_in_groups(requests)) as groups:
            for group in groups:
                yield from group

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answer requests; see :class:`potstill.models.base.Grouping`.

        Requests are taken in the caller's thread, at most ``AHEAD`` times the concurrency before
        their answers. Once the run's control says stop, or no request can succeed any more, nothing
        is sent, and what is in flight is still yielded. Closing the iterator gives it up.
        """
        if self._batches is not None:
            yield from arrivals(self._batches.complete(requests))
            return
        ahead = AHEAD * self._settings.concurrency
        waiting = iter(requests)
        with (
            rare_collections(),
            _Session(self._settings, self._key, self._control, self._known) as session,
        ):
            asked = session.submit(list(islice(waiting, ahead)))
            while asked:
                arrived = session.take()
                if arrived.completions:
                    yield arrived.completions
                session.stored(arrived.answers)
                asked -= arrived.ended
                if not session.halted:
                    asked += session.submit(list(islice(waiting, ahead - asked)))
            session.check()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector run seldom.

    An answer with probabilities is thousands of small objects that live for a millisecond; at the
    usual thresholds the collector walks all that is alive several times an answer, and takes half
    of the processor's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], COLLECTED_AFTER), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Arrived(NamedTuple):
    """What the event loop's thread hands over to the caller's."""

    completions: list[Completion]

    answers: int
    """Answers of the server that they are from."""

    ended: int
    """Requests of which nothing more comes."""


class _Session:
    """An event loop in a thread of its own, to which requests go and from which answers come."""

    def __init__(
        self, settings: OpenAISettings, key: str | None, control: Control, known: Known
    ) -> None:
        self._settings, self._key, self._control, self._known = settings, key, control, known
        self._arrived: SimpleQueue[_Arrived] = SimpleQueue()
        self._awaited = False
        self._completions: list[Completion] = []
        self._answers = self._ended = 0
        self._started: SimpleQueue[asyncio.AbstractEventLoop | BaseException] = SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="potstill-openai", daemon=True)
        self.halted = False
        """Nothing is sent any more."""

    def __enter__(self) -> "_Session":
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

    def take(self) -> _Arrived:
        """What has arrived since it was last asked for, once there is something."""
        found = [self._arrived.get()]
        while not self._arrived.empty():
            found.append(self._arrived.get())
        completions, answers, ended = zip(*found, strict=True)
        return _Arrived(list(chain.from_iterable(completions)), sum(answers), sum(ended))

    def stored(self, answers: int) -> None:
        """So many answers are stored."""
        self._loop.call_soon_threadsafe(self._asker.client.stored, answers)

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
            self._hand_over()

    def _keep(self, completions: list[Completion], answers: int) -> None:
        self._completions += completions
        self._answers += answers
        self._hand_over()

    def _hand_over(self) -> None:
        """Have all that came handed over, with what comes in the next moment if something can."""
        if not self._awaited:
            self._awaited = True
            soon = HANDOVER_SECONDS if self._asker.client.in_flight else 0.0
            self._loop.call_later(soon, self._put)

    def _put(self) -> None:
        self._arrived.put(_Arrived(self._completions, self._answers, self._ended))
        self._completions, self._answers, self._ended = [], 0, 0
        self._awaited = False


def server_name(settings: OpenAISettings) -> str:
    """The name that a server's answers are stored under; it takes no key to tell.

    Raises:
        ConfigError: ``base_url`` cannot be used.
    """
    url = _checked_url(settings)
    route = "" if settings.chat else "/completions"
    name = f"openai:{settings.where}@{url.netloc}{url.path.rstrip('/')}{route}"
    return f"{name}#{settings_hash(settings.body)}" if settings.body else name


def _checked_url(settings: OpenAISettings) -> SplitResult:
    url = urlsplit(settings.base_url)
    if url.username is not None or url.password is not None:
        raise ConfigError(
            f"base_url of {settings.model} holds a user name or a password, which would be stored; "
            "put the key in an environment variable and name it with api_key_env."
        )
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError(
            f"base_url of {settings.model} is {settings.base_url!r}: give the address at which "
            "the routes begin, e.g. http://127.0.0.1:8000/v1."
        )
    return url


def server_key(settings: OpenAISettings) -> str | None:
    """The key, from the environment; a server on this machine may do without.

    Raises:
        ConfigError: ``base_url`` cannot be used.
        AuthError: The key is missing, or no key at all.
    """
    url, variable = _checked_url(settings), settings.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key and url.hostname in LOOPBACK:
        return None
    if not key:
        raise AuthError(
            f"{settings.model} needs a key: set the environment variable {variable}, or "
            "api_key_env to the one that holds it (null for a server without keys)."
        )
    if not (key.isascii() and key.isprintable()):
        raise AuthError(f"{variable} holds characters that no key has; set it again.")
    return key
