"""``openai:`` models: any OpenAI-compatible server, by its chat or its completions route."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Thread
from urllib.parse import SplitResult, urlsplit

from potstill.control import Control
from potstill.errors import AuthError, ConfigError
from potstill.keys import settings_hash
from potstill.models.base import Model
from potstill.models.openai.client import Client, Fault
from potstill.models.openai.wire import failure, read_reply, request_body, runs
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request

LOOPBACK = ("localhost", "127.0.0.1", "::1")

AHEAD = 2
"""Requests taken ahead of their answers, as a multiple of the concurrency."""


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
        url = _checked_url(settings)
        self._settings = settings
        self._control = control or Control()
        self._key = server_key(settings)
        self.chat = settings.chat
        route = "" if settings.chat else "/completions"
        self.name = f"openai:{settings.where}@{url.netloc}{url.path.rstrip('/')}{route}"
        if settings.body:
            self.name += f"#{settings_hash(settings.body)}"

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.base.Model`.

        Requests are taken in the caller's thread, at most ``AHEAD`` times the concurrency before
        their answers. Closing the iterator gives up what is in flight.
        """
        ahead = AHEAD * self._settings.concurrency
        with _Session(self._settings, self._key) as session:
            asked = 0
            for request in requests:
                session.submit(request)
                asked += 1
                while asked and (asked == ahead or session.ready()):
                    asked -= 1
                    yield from session.take()
            for _ in range(asked):
                yield from session.take()


class _Session:
    """An event loop in a thread of its own, to which requests go and from which answers come."""

    def __init__(self, settings: OpenAISettings, key: str | None) -> None:
        self._settings = settings
        self._key = key
        self._answers: SimpleQueue[list[Completion] | BaseException] = SimpleQueue()
        self._started: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._run, name="potstill-openai", daemon=True)

    def __enter__(self) -> "_Session":
        self._thread.start()
        self._loop = self._started.get()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def submit(self, request: Request) -> None:
        """Have a request asked."""
        self._loop.call_soon_threadsafe(self._begin, request)

    def ready(self) -> bool:
        """Whether an answer waits to be taken."""
        return not self._answers.empty()

    def take(self) -> list[Completion]:
        """The next request's completions.

        Raises:
            ModelError: No request can succeed.
        """
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._client = Client(self._settings, self._key)
        try:
            self._started.put(asyncio.get_running_loop())
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self._client.close()

    def _begin(self, request: Request) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            groups = await asyncio.gather(
                *(self._ask(request, run) for run in runs(request.samples))
            )
            self._answers.put([completion for group in groups for completion in group])
        except Exception as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._answers.put(error)

    async def _ask(self, request: Request, samples: list[int]) -> list[Completion]:
        """One run of samples; those that the server leaves out are asked for one by one."""
        body = request_body(self._settings, request, samples)
        try:
            reply = await self._client.post(body)
        except Fault as fault:
            return [failure(request, sample, str(fault)) for sample in samples]
        try:
            found = read_reply(self._settings, request, samples, reply)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            message = f"the server's answer is not understood: {type(error).__name__}: {error}"
            return [failure(request, sample, message) for sample in samples]
        missing = samples[len(found) :]
        rest = await asyncio.gather(*(self._ask(request, [sample]) for sample in missing))
        return [*found, *(completion for group in rest for completion in group)]


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
