"""Posting to an OpenAI-compatible server: retries, a shared cooldown, and faults by class."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from potstill.errors import AuthError, ServerError
from potstill.models.settings import OpenAISettings

logger = logging.getLogger(__name__)

BACKOFF = 0.5
"""Seconds of the first wait at most; the limit doubles with every try."""

LONGEST_BACKOFF = 60.0
LONGEST_COOLDOWN = 600.0
"""Seconds that a server's Retry-After is obeyed at most."""

FIRST_RETRIES = 2
"""Retries while the server was never reached: its address is probably wrong."""

FAILURES_IN_A_ROW = 32
"""Requests given up without a success in between, after which the server counts as failed."""

LARGEST_ANSWER = 64 * 2**20
"""Bytes."""

RETRIED = {408, 409, 429, 500, 502, 503, 504}


class Fault(Exception):
    """What went wrong with one request, in a sentence."""

    def __init__(self, message: str, *, retry: bool, reached: bool = True, wait: float = 0.0):
        super().__init__(message)
        self.retry = retry
        self.reached = reached
        """Whether a server answered at all."""

        self.wait = wait
        """Seconds the server wants to be left alone; 0 where it does not say."""


class Client:
    """One session with a server. Belongs to the event loop in which it is made."""

    def __init__(self, settings: OpenAISettings, key: str | None) -> None:
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._url = self._base_url + ("/chat/completions" if settings.chat else "/completions")
        self._key = key
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._cooldown_until = 0.0
        self._reached = False
        self._successes = self._failures_in_a_row = 0
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=30.0),
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def post(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The server's answer to one body, as JSON.

        Raises:
            Fault: This request is given up; others may go on.
            ModelError: No request can succeed.
        """
        data = orjson.dumps(body)
        successes, tries = self._successes, 0
        while True:
            try:
                reply = await self._try(data)
            except Fault as fault:
                tries += 1
                retries = self._settings.retries
                if not (self._reached or fault.reached):
                    retries = min(retries, FIRST_RETRIES)
                if fault.retry and tries <= retries:
                    await self._back_off(fault, tries)
                    continue
                self._give_up(fault, died=self._successes == successes)
                raise
            self._successes += 1
            self._failures_in_a_row = 0
            return reply

    async def _back_off(self, fault: Fault, tries: int) -> None:
        """Exponential backoff with full jitter, on top of what the server asks for."""
        limit = min(BACKOFF * 2 ** (tries - 1), LONGEST_BACKOFF)
        pause = random.uniform(0, limit)
        logger.debug("try %d failed: %s", tries, fault)
        await asyncio.sleep(fault.wait + pause)

    def _give_up(self, fault: Fault, *, died: bool) -> None:
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

    async def _try(self, data: bytes) -> dict[str, Any]:
        async with self._slots:
            while (wait := self._cooldown_until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            try:
                async with self._session.post(
                    self._url, data=data, allow_redirects=False
                ) as response:
                    self._reached = True
                    content = await read_content(response)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise Fault(self._clean(str(error)), retry=True, reached=False) from None
            except TimeoutError:
                message = f"no answer in {self._settings.timeout:g} seconds"
                raise Fault(message, retry=True) from None
            except (aiohttp.ClientError, OSError) as error:
                message = self._clean(f"{type(error).__name__}: {error}")
                raise Fault(f"connection lost ({message})", retry=True) from None
        if response.status != HTTPStatus.OK:
            self._refuse(response.status, response.headers, content)
        try:
            reply = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise Fault("the server's answer is not valid JSON", retry=True) from None
        if not isinstance(reply, dict) or "choices" not in reply:
            message = self._clean(_message(content)) or "the server's answer has no choices"
            raise Fault(message, retry=True)
        return reply

    def _refuse(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise what an answer other than 200 means."""
        told = f"HTTP {status}: {self._clean(_message(content)) or _phrase(status)}"
        if status in (401, 403):
            raise AuthError(self._refused_key(told))
        if status == HTTPStatus.NOT_FOUND:
            raise ServerError(
                f"{self._url} does not know the model {self._settings.where!r}, or is not "
                f"the right address ({told}); check the model's name and base_url."
            )
        if status == HTTPStatus.PAYMENT_REQUIRED or b"insufficient_quota" in content:
            raise ServerError(f"{self._base_url} wants to be paid first ({told}).")
        if 300 <= status < 400:
            raise ServerError(
                f"{self._url} redirects to {headers.get('Location', 'another address')!r}, which "
                "is not followed; set base_url to the server itself."
            )
        wait = retry_after(headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS and wait:
            until = time.monotonic() + wait
            if until > self._cooldown_until:
                logger.info("%s asks for a pause of %.1f seconds", self._base_url, wait)
            self._cooldown_until = max(self._cooldown_until, until)
            wait = 0.0  # the cooldown has it, for all requests
        raise Fault(told, retry=status in RETRIED, wait=wait)

    def _refused_key(self, told: str) -> str:
        variable = self._settings.api_key_env
        if self._key is None:
            return (
                f"{self._base_url} wants a key ({told}); name the environment variable that "
                "holds it with api_key_env" + (f", and set {variable}." if variable else ".")
            )
        return f"{self._base_url} refused the key in {variable} ({told})."

    def _clean(self, text: str) -> str:
        """A server's words on one line, short, and without the key should it repeat it."""
        text = " ".join(text.split())
        if self._key:
            text = text.replace(self._key, "***")
        return text if len(text) <= 300 else text[:299] + "…"


async def read_content(response: aiohttp.ClientResponse) -> bytes:
    """An answer's body.

    Raises:
        Fault: It is longer than :data:`LARGEST_ANSWER`.
    """
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise Fault(f"the answer is longer than {LARGEST_ANSWER} bytes", retry=False)
    return bytes(content)


def _message(content: bytes) -> str:
    """The message in an error's body: ``{"error": {"message": ...}}`` and its variants."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content[:2000].decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds a server asks to be left alone for, by any of its headers; 0 if by none."""
    seconds = 0.0
    given = headers.get("Retry-After", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif given.replace(".", "", 1).isdigit():
            seconds = float(given)
        elif given:
            seconds = parsedate_to_datetime(given).timestamp() - time.time()
    except ValueError:
        logger.debug("cannot read the header Retry-After: %r", given)
    return min(max(seconds, 0.0), LONGEST_COOLDOWN)
