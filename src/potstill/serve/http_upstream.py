"""An OpenAI-compatible server as the student or the teacher, streamed where it streams.

Unlike the client that asks teachers for rationales (models/openai), it neither retries nor limits
its rate: a user is waiting, and without the teacher's step the student answers alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from potstill.errors import ConfigError, ModelError, PotstillError
from potstill.models import open_model
from potstill.models.openai.client import LARGEST_ANSWER, open_session, read_content
from potstill.models.openai.http_errors import Fault
from potstill.models.openai.model import server_key
from potstill.models.openai.requests import request_body, route_of, runs
from potstill.models.openai.responses import read_reply
from potstill.models.openai.server_probes import NO_WAY, probe_server
from potstill.models.settings import ModelSettings, OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.serve.upstreams import Emit, LocalUpstream, Upstream, UpstreamError
from potstill.text.thinking import may_close, may_open, separate

REFUSALS = {400, 413, 422}
"""Statuses that say that the request itself cannot be answered."""

UNKNOWN_ROUTE = {404, 405, 501}
"""Statuses of a server that is there and does not list its models."""

PROBE_SECONDS = 2.0
"""Longest wait for a server to say that it is there."""

PROBE_VALID_SECONDS = 5.0
"""Seconds for which the outcome of a probe stands."""

Json = dict[str, Any]


class HttpUpstream:
    """A server that speaks ``/chat/completions`` or ``/completions``.

    Nothing is tried twice, except what a connection lost that was kept open from before: the server
    had closed it, and has not seen the request.

    Args:
        settings: Where it is; ``retries`` and ``concurrency`` do not count here.
        stop_server: Ends the server when the upstream is closed, if it runs for this process alone.

    Raises:
        ConfigError: ``base_url`` cannot be used.
        AuthError: The key is missing.
    """

    encoder_decoder = False

    def __init__(
        self, settings: OpenAISettings, stop_server: Callable[[], None] = lambda: None
    ) -> None:
        self._settings, self._stop_server = settings, stop_server
        self._key = server_key(settings)
        self.chat = settings.chat
        self._base_url = settings.base_url.rstrip("/")
        self._continues: bool | None = None
        self._trying = asyncio.Lock()
        self._probe = (-PROBE_VALID_SECONDS, False)
        self._probing = asyncio.Lock()

    async def start(self) -> None:
        """Open the session."""
        self._session = open_session(self._settings, self._key)

    async def close(self) -> None:
        """Close every connection, and end the server that runs for this process alone."""
        await self._session.close()
        await asyncio.to_thread(self._stop_server)

    async def ready(self) -> bool:
        """Whether the server answers and takes the key; asked at most every few seconds."""
        async with self._probing:  # who comes meanwhile waits for the same probe
            now = asyncio.get_running_loop().time()
            if now - self._probe[0] >= PROBE_VALID_SECONDS:
                self._probe = (now, await self._reached())
            return self._probe[1]

    async def _reached(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with self._session.get(
                f"{self._base_url}/models", timeout=timeout, allow_redirects=False
            ) as response:
                return response.status == HTTPStatus.OK or response.status in UNKNOWN_ROUTE
        except (aiohttp.ClientError, OSError):
            return False

    async def can_continue(self) -> bool:
        """Whether it goes on from a begun answer; tried once, where ``prefill`` does not say."""
        async with self._trying:
            if self._continues is None:
                self._continues = await self._find_way()
        return self._continues

    async def _find_way(self) -> bool:
        settings = self._settings
        if not settings.chat or settings.prefill is not None:
            return settings.prefill != NO_WAY
        try:
            found = await probe_server(settings, self._key, Runtime(), ["continuing"])
        except PotstillError as error:
            raise UpstreamError(f"it could not be tried ({type(error).__name__})") from None
        self._settings = settings.model_copy(update={"prefill": found["continuing"]})
        return found["continuing"] != NO_WAY

    async def answer(self, request: Request, emit: Emit | None = None) -> list[Completion]:
        """All samples; see :class:`potstill.serve.upstreams.Upstream`."""
        groups = await asyncio.gather(
            *(self._ask_samples(request, samples, emit) for samples in runs(request.samples))
        )
        return [completion for group in groups for completion in group]

    async def _ask_samples(
        self, request: Request, samples: Sequence[int], emit: Emit | None
    ) -> list[Completion]:
        """A run of samples; those that the server leaves out are asked for one by one."""
        try:
            body = request_body(self._settings, request, samples)
        except ConfigError as error:
            raise UpstreamError(f"it cannot be asked this ({error})", refused=True) from None
        if emit is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            reply = await self._reply(body, samples, emit)
            completions = read_reply(self._settings, request, samples, reply)
        except (aiohttp.ClientError, OSError, Fault) as error:
            raise UpstreamError(f"the connection failed ({type(error).__name__})") from None
        except ModelError:
            raise UpstreamError("it gives no token probabilities") from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UpstreamError(f"its answer is not understood ({type(error).__name__})") from None
        if any(completion.finish_reason == "error" for completion in completions):
            raise UpstreamError("it gave no text")
        answered = {completion.sample for completion in completions}
        missing = [sample for sample in samples if sample not in answered]
        rest = await asyncio.gather(
            *(self._ask_samples(request, [sample], emit) for sample in missing)
        )
        return [*completions, *(completion for group in rest for completion in group)]

    async def _reply(self, body: Json, samples: Sequence[int], emit: Emit | None) -> Json:
        """The server's answer to one body, passed on while it comes where it streams."""
        async with await self._open(body) as response:
            if emit is not None and response.content_type == "text/event-stream":
                return await _Stream(samples, emit).read(response)
            reply: Json = orjson.loads(await read_content(response))
        if emit is not None:
            for sample, choice in zip(samples, reply["choices"], strict=False):
                visible = _VisibleText()
                text = visible.feed(_text(choice.get("message") or choice))
                await emit(sample, text + visible.release())
        return reply

    async def _open(self, body: Json) -> aiohttp.ClientResponse:
        """Send a body; the answer is a good one, and its content still to be read."""
        data, url = orjson.dumps(body), self._base_url + route_of(body)
        try:
            response = await self._session.post(url, data=data, allow_redirects=False)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            response = await self._session.post(url, data=data, allow_redirects=False)
        if response.status != HTTPStatus.OK:
            response.close()
            message = f"it answered with HTTP status {response.status}"
            raise UpstreamError(message, refused=response.status in REFUSALS)
        return response


class _Stream:
    """The answer to a streamed request, put together as one that was not streamed."""

    def __init__(self, samples: Sequence[int], emit: Emit) -> None:
        self._samples, self._emit = samples, emit
        self._parts: list[list[str]] = [[] for _ in samples]
        self._visible = [_VisibleText() for _ in samples]
        self._reasons: list[str | None] = [None for _ in samples]
        self._usage: Json | None = None
        self._pieces = 0

    async def read(self, response: aiohttp.ClientResponse) -> Json:
        """Pass every piece on, and return the whole."""
        async for event in _events(response):
            if "error" in event:
                raise UpstreamError("it broke off its answer")
            self._usage = event.get("usage") or self._usage
            for choice in event.get("choices") or ():
                await self._take(choice)
        for sample, visible in zip(self._samples, self._visible, strict=True):
            if rest := visible.release():
                await self._emit(sample, rest)
        choices = [
            {"text": "".join(parts), "finish_reason": reason}
            for parts, reason in zip(self._parts, self._reasons, strict=True)
            if parts or reason
        ]
        if not all(choice["finish_reason"] for choice in choices):
            raise UpstreamError("its answer has no end")
        # A server that sends no usage sends about a token in each piece.
        return {"choices": choices, "usage": self._usage or {"completion_tokens": self._pieces}}

    async def _take(self, choice: Json) -> None:
        place = choice.get("index") or 0
        if place >= len(self._samples):
            return
        self._reasons[place] = choice.get("finish_reason") or self._reasons[place]
        text = _text(choice.get("delta") or choice)
        if text:
            self._pieces += 1
            self._parts[place].append(text)
            if visible := self._visible[place].feed(text):
                await self._emit(self._samples[place], visible)


class _VisibleText:
    """A text without the thinking that it may begin with, as it comes piece by piece.

    What a lone closing mark ends has been passed on before the mark comes; the whole reply, which
    is read at the end, has it apart.
    """

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._thinks = False

    def feed(self, piece: str) -> str:
        """Returns the part that is certain not to be thinking."""
        if self._begun:
            return piece
        self._held += piece
        if self._thinks and not may_close(piece):
            return ""
        separated = separate(self._held)
        self._thinks = not separated.closed
        if separated.thinking is None and may_open(self._held):
            return ""
        return self._begin(separated.answer(self._held))

    def release(self) -> str:
        """Returns the part that was held back for nothing, at the end of the text."""
        return "" if self._begun else self._begin(separate(self._held).answer(self._held))

    def _begin(self, text: str) -> str:
        self._begun = bool(text)
        return text


def _text(message: Json) -> str:
    """The text of a chat's message or delta, or of a plain choice."""
    text = message.get("content") or message.get("text") or ""
    if not isinstance(text, str):
        raise TypeError("the content is not text")
    return text


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    """The events of a stream, up to its end."""
    size = 0
    async for line in response.content:
        size += len(line)
        if size > LARGEST_ANSWER:
            raise UpstreamError("its answer is too long")
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        event = orjson.loads(data)
        if isinstance(event, dict):
            yield event


def open_upstream(settings: ModelSettings) -> Upstream:
    """The upstream of a model's settings; a model on this machine is loaded, or its server started.

    Raises:
        PotstillError: The model cannot be opened.
    """
    endpoint = settings.endpoint()
    if endpoint is None:
        return LocalUpstream(open_model(settings))
    return HttpUpstream(endpoint.settings, stop_server=endpoint.stop)
