"""Posting to an OpenAI-compatible server: rate limits, the run's budget, retries and deadlines.

:meth:`Client.post` is one request with all its tries. Every try waits for a place among those in
flight, is set aside in the budget at its most, is sent by :meth:`Client._try`, and is settled by
what the server says it was.
"""

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from potstill.errors import AuthError, ConfigError, ModelError, ServerError
from potstill.models.openai.cost import Size
from potstill.models.openai.first_answers import FirstAnswers
from potstill.models.openai.http_errors import (
    LONGEST_COOLDOWN,
    RETRIED,
    Fault,
    Halted,
    code_of,
    connection_faults,
    message_of,
    phrase,
    retry_after,
)
from potstill.models.openai.key_mask import KeyMask
from potstill.models.openai.masked_pieces import mask_reply
from potstill.models.openai.rate_limit import RateLimiter
from potstill.models.openai.reply_json import reply_of
from potstill.models.openai.requests import url_of
from potstill.models.settings import OpenAISettings
from potstill.records import Amount
from potstill.runtime import Runtime
from potstill.runtime.tally import clock

FIRST_BACKOFF = 0.5
"""Seconds of the first wait at most; the limit doubles with every try."""

LONGEST_BACKOFF = 60.0
"""Seconds that the limit grows to."""

FIRST_RETRIES = 2
"""Retries while the server was never reached: its address is probably wrong."""

FAILURES_IN_A_ROW = 32
"""Requests given up without a success in between, after which the server counts as failed."""

SHORTEST_TRY = 0.001
"""Seconds; aiohttp takes none or fewer for no limit."""

LARGEST_ANSWER = 64 * 2**20
"""The most bytes of an answer that is read."""

LONG_ANSWER = 2 * 2**20
"""Bytes from which on an answer is a long one."""

LONG_AT_ONCE = 4
"""Long answers that a client reads at once: with 256 in flight their bodies then take at most
LONG_AT_ONCE times LARGEST_ANSWER and 256 times LONG_ANSWER, 768 MiB, and not 16 GiB."""

THIS_MACHINE = ("localhost", "::1", "0.0.0.0")

READ_BYTES = 2**20
"""Bytes of an answer that may wait to be read; most answers then come without a pause."""


@dataclass(slots=True)
class Tries:
    """The tries of one call so far, be it for a completion or to a batch endpoint."""

    deadline: float = math.inf
    """The time at which the call is given up, by the loop's clock, in seconds."""

    count: int = 0
    """Tries that failed."""

    late: bool = False
    """Whether there is no time for another try."""

    fault: Fault | None = None
    """The last try's fault."""

    successes: int = 0
    """Answers that the server had given before the first try."""


class Client:
    """One HTTP session with a server. Belongs to the event loop in which it is made.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        runtime: The run's budget, log and stop signal.
        first: Told of failures, and ends the asking where there is nothing else.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        key: str | None,
        runtime: Runtime,
        first: FirstAnswers | None = None,
    ) -> None:
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._key = key
        self._mask = KeyMask(key)
        self._long_answers = asyncio.Semaphore(LONG_AT_ONCE)
        self._events, self._budget, self._first = runtime.events, runtime.budget, first
        self._limiter = RateLimiter(settings, runtime.events, runtime.sharing)
        self._halt = asyncio.Event()
        self._settled = asyncio.Event()
        self._reached = False
        self._successes = self._failures_in_a_row = 0
        self._session = open_session(settings, key)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def halt(self) -> None:
        """Send nothing any more; what is in flight is waited for."""
        self._halt.set()

    @property
    def in_flight(self) -> int:
        """How many tries are under way."""
        return self._limiter.concurrency.in_flight

    def stored(self, count: int) -> None:
        """Count so many answers as stored, which leaves room for others."""
        self._limiter.concurrency.stored(count)

    async def post(self, body: Mapping[str, object], size: Size) -> dict[str, Any]:
        """Returns the server's answer to one body; :meth:`stored` is to be told of it.

        Args:
            body: The request's JSON.
            size: The most that it may cost, and its likely tokens.

        Raises:
            Fault: This request is given up; others may go on.
            Halted: It was not answered, because :meth:`halt` was called.
            ModelError: No request can succeed.
            BudgetError: It could cost more than there is left.
        """
        data, url = orjson.dumps(body), url_of(self._base_url, body)
        tries = Tries()
        while True:
            async with self._limiter.concurrency:
                await self._wait_for_turn(size, tries)
                try:
                    reply = await self._try(url, data, size, tries.deadline)
                except Fault as caught:
                    fault = caught
                    self._watch(fault)
                else:
                    self._successes += 1
                    self._failures_in_a_row = 0
                    self._limiter.concurrency.unstored += 1
                    return reply
            pause = self._pause_after(fault, tries, retries=self._settings.retries)
            if pause is None:
                raise self._too_late(tries) if tries.late else self._given_up(fault, tries)
            await self._sleep(pause)

    def _watch(self, fault: Fault) -> None:
        """Count a fault that asking again does not mend, as a refusal or a page does not pass.

        Raises:
            ServerError: Nothing was answered so far, and all fail alike.
        """
        if self._first is None or fault.may_pass:
            return
        self._first.failed(self._clean(str(fault)), refused=fault.paid == Amount())

    async def _wait_for_turn(self, size: Size, tries: Tries) -> None:
        """Wait until this try may be sent.

        Raises:
            Fault: Its request would be too late then.
            Halted: Nothing is sent any more.
        """
        while True:
            wait = self._limiter.wait(size.likely_tokens)
            if _now() + wait >= tries.deadline:
                raise self._too_late(tries)
            await self._sleep(wait)
            if not self._limiter.paused:
                break
        if not tries.count:
            tries.deadline = _now() + self._settings.deadline
            tries.successes = self._successes

    async def _try(self, url: str, data: bytes, size: Size, deadline: float) -> dict[str, Any]:
        """One try, set aside in the budget before it is sent and settled by what came of it."""
        number = await self._set_aside(size)
        seconds = min(max(deadline - _now(), SHORTEST_TRY), self._settings.timeout)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=30.0)
        paid: Amount | None = None
        content = b""
        self._events.in_flight += 1
        try:
            with connection_faults(seconds, self._clean):
                async with self._session.post(
                    url, data=data, allow_redirects=False, timeout=timeout
                ) as response:
                    self._reached = True
                    content = self.masked(await read_content(response, self._long_answers))
            reply = self._read(response, content)
            paid = size.paid(reply)
            if paid is not None:
                self._limiter.tokens.correct(paid.tokens - size.likely_tokens)
        except Fault as fault:
            stated = size.stated(content)
            paid = fault.paid if stated is None else stated
            self._limiter.concurrency.outcome(refused=fault.refused)
            raise
        except ModelError:
            paid = size.stated(content) or Amount()
            raise
        finally:
            self._events.in_flight -= 1
            self._budget.end(number, paid)
            self._settled.set()
        self._limiter.concurrency.outcome(refused=False)
        return reply

    async def _set_aside(self, size: Size) -> int:
        """Returns the try's number in the budget, once what is in flight leaves room for it."""
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, self._settled.set)
        while (number := self._budget.begin(size.most, wake=wake)) is None:
            self._settled.clear()
            with suppress(TimeoutError):  # another model of the run may settle instead
                await asyncio.wait_for(self._settled.wait(), 0.5)
            if self._halt.is_set():
                raise Halted
        return number

    def _read(self, response: aiohttp.ClientResponse, content: bytes) -> dict[str, Any]:
        """Returns the JSON of an answer that has a choice; raises what another one means."""
        if response.status != HTTPStatus.OK:
            self._refuse(response.status, response.headers, content)
        return self.masked_reply(reply_of(content, response.content_type, self._clean))

    def _pause_after(
        self, fault: Fault, tries: Tries, *, retries: float = math.inf, paused: float = 0.0
    ) -> float | None:
        """Counts a failed try, and returns how long to wait before the next, in seconds.

        The wait is an exponential backoff with full jitter, on top of what the server asks for.

        Args:
            fault: Why it failed.
            tries: The tries of the call.
            retries: How often a call is repeated at most.
            paused: Seconds for which the server wants to be left alone by everybody.

        Returns:
            None where it was the last try.
        """
        tries.count += 1
        tries.fault = fault
        limit = min(FIRST_BACKOFF * 2 ** (tries.count - 1), LONGEST_BACKOFF)
        pause = fault.wait + random.uniform(0, limit) + paused
        if not fault.retry or tries.count > retries or self._is_lost(fault, tries):
            return None
        tries.late = _now() + pause >= tries.deadline
        if tries.late:
            return None
        self._events.retried(fault.kind, wait=pause, message=str(fault))
        return pause

    def _is_lost(self, fault: Fault, tries: Tries) -> bool:
        """Whether the server was never reached, and is probably not where it should be."""
        return not (self._reached or fault.reached) and tries.count > FIRST_RETRIES

    def _too_late(self, tries: Tries) -> Fault:
        """Returns the request's fault, once there is no time for another try."""
        assert tries.fault is not None
        last = self._given_up(tries.fault, tries)
        message = f"given up after {self._settings.deadline:g} seconds, last: {last}"
        return Fault(message, retry=last.retry, kind=last.kind)

    def _given_up(self, fault: Fault, tries: Tries) -> Fault:
        """Notes and returns the fault of a request that is given up.

        Raises:
            ServerError: The server as a whole has failed.
        """
        self._events.failed(fault.kind, message=str(fault))
        self._check_server(fault, died=self._successes == tries.successes)
        return fault

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the asking is stopped meanwhile."""
        if seconds > 0 and not self._halt.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._halt.wait(), seconds)
        if self._halt.is_set():
            raise Halted

    def _check_server(self, fault: Fault, *, died: bool) -> None:
        """Raise an error in place of the fault where the server as a whole has failed."""
        if not fault.retry:
            return
        self._failures_in_a_row += 1
        if not fault.reached and not self._reached:
            raise ServerError(f"cannot reach {self._base_url} ({fault}); check base_url.") from None
        if not fault.reached and died:
            raise ServerError(
                f"{self._base_url} is not reached any more ({fault}). What was answered is kept; "
                "start the server and repeat the command."
            ) from None
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            raise ServerError(
                f"{self._base_url} failed {self._failures_in_a_row} requests in a row, the last "
                f"with: {fault}. What was answered is kept; repeat the command later."
            ) from None

    def _refuse(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raises what an answer other than 200 means."""
        url = self._base_url + ("/chat/completions" if self._settings.chat else "/completions")
        message = f"HTTP {status}: {self._clean(message_of(content)) or phrase(status)}"
        answers = self._successes > 0
        if status == 401 or (status == 403 and not answers):
            raise AuthError(self._refused_key(message))
        if status == HTTPStatus.PAYMENT_REQUIRED or code_of(content) == "insufficient_quota":
            raise ServerError(f"{self._base_url} wants to be paid first ({message}).")
        if status == HTTPStatus.NOT_FOUND and not answers:
            raise ServerError(
                f"{url} does not know the model {self._settings.where!r}, or is not "
                f"the right address ({message}); check the model's name and base_url."
            )
        if 300 <= status < 400 and not answers:
            where = self._clean(headers.get("Location", "another address"))
            raise ServerError(
                f"{url} redirects to {where!r}, which is not followed; set base_url to the "
                "server itself."
            )
        wait = retry_after(headers)
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            self._check_wait(wait, message)
        if status == HTTPStatus.TOO_MANY_REQUESTS and wait:
            self._limiter.pause(wait)
            wait = 0.0  # the pause has it, for all requests
        # One of several machines behind an address may be wrong where the others have answered.
        astray = 300 <= status < 400 or status in (403, 404)
        retry = status in RETRIED or astray
        raise Fault(message, retry=retry, kind=str(status), wait=wait, status=status)

    def _check_wait(self, wait: float, message: str) -> None:
        """Raise where the server wants to be left alone for longer than anybody would wait."""
        batch, deadline = self._settings.in_batches, self._settings.deadline
        longest = LONGEST_COOLDOWN if batch else min(deadline, LONGEST_COOLDOWN)
        if wait > longest:
            raise ServerError(
                f"{self._base_url} asks to be left alone for {clock(wait)} ({message}), longer "
                f"than the {clock(longest)} that are waited at most. What was answered is kept; "
                "repeat the command then."
            )

    def _refused_key(self, message: str) -> str:
        variable = self._settings.api_key_env
        if self._key is None:
            return (
                f"{self._base_url} wants a key ({message}); name the environment variable that "
                "holds it with api_key_env" + (f", and set {variable}." if variable else ".")
            )
        return f"{self._base_url} refused the key in {variable} ({message})."

    def masked(self, content: bytes) -> bytes:
        """Returns an answer without the key, which must not come into the store by a repetition."""
        return self._mask.bytes(content)

    def masked_reply(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Returns an answer's JSON without the key, should it be cut into parts or tokens."""
        return mask_reply(self._mask, reply)

    def _clean(self, text: str) -> str:
        """Returns a server's words on one line, short, and without the key should it repeat it."""
        text = self._mask.text(text)
        printable = "".join(char if char.isprintable() else " " for char in text)
        text = " ".join(printable.split())
        return text if len(text) <= 300 else text[:299] + "…"


def _now() -> float:
    return asyncio.get_running_loop().time()


def open_session(
    settings: OpenAISettings, key: str | None, traces: Sequence[aiohttp.TraceConfig] = ()
) -> aiohttp.ClientSession:
    """Opens a session with the key in its headers, no cookies and no limit of connections.

    Args:
        settings: The server's.
        key: Its key; None: it wants none.
        traces: Told what becomes of each request.
    """
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=30.0),
        connector=aiohttp.TCPConnector(limit=0),
        proxy=proxy_for(settings.base_url),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=READ_BYTES,
        trace_configs=[*traces],
    )


def proxy_for(base_url: str) -> str | None:
    """Returns the proxy that the environment names for a server; None where it is asked directly.

    ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are read as other programs read
    them; a server on this machine is asked directly.

    Raises:
        ConfigError: The proxy is none for HTTP.
    """
    url = urlsplit(base_url)
    host = url.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or host in THIS_MACHINE or host.startswith("127.") or proxy_bypass(host):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError(
            f"the environment names the proxy {urlsplit(proxy).scheme}://... for {host}, and only "
            "HTTP proxies can be used. Set HTTPS_PROXY to one, or NO_PROXY to the server's name."
        )
    return proxy


async def read_content(
    response: aiohttp.ClientResponse, large: asyncio.Semaphore | None = None
) -> bytes:
    """Returns an answer's body.

    Args:
        response: The answer.
        large: Lets so many long answers be read at once; the others wait, unread.

    Raises:
        Fault: It is longer than :data:`LARGEST_ANSWER`.
    """
    chunks: list[bytes] = []
    length = 0
    async with AsyncExitStack() as held:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            if large is not None and length <= LONG_ANSWER < length + len(chunk):
                await held.enter_async_context(large)
            length += len(chunk)
            if length > LARGEST_ANSWER:
                raise Fault(f"the answer is longer than {LARGEST_ANSWER} bytes", retry=False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
