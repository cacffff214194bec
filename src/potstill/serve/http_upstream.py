"""An OpenAI-compatible server as the student or the teacher, streamed where it streams.

Unlike the client that asks teachers for rationales (models/openai), it neither retries nor limits
its rate: a user is waiting, and without the teacher's step the student answers alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from potstill.errors import ConfigError, ModelError, PotstillError
from potstill.models import open_model
from potstill.models.openai.choice_text import MALFORMED
from potstill.models.openai.client import open_session, read_content
from potstill.models.openai.http_errors import Fault
from potstill.models.openai.key_mask import KeyMask
from potstill.models.openai.masked_pieces import mask_reply
from potstill.models.openai.model import server_key
from potstill.models.openai.repeated_prefix import PROBE, PrefixHabit
from potstill.models.openai.reply_json import reply_of
from potstill.models.openai.requests import given_beginning, request_body, route_of, runs
from potstill.models.openai.responses import read_reply
from potstill.models.openai.server_probes import NO_WAY, probe_server
from potstill.models.openai.stated_usage import stated_usage, usage_in_body
from potstill.models.openai.usage import stated_tokens
from potstill.models.settings import ModelSettings, OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.serve.answer_stream import AnswerStream, StreamedText
from potstill.serve.client_fields import FORWARDED
from potstill.serve.ended_thinking import answer_within
from potstill.serve.student_details import (
    further_fields,
    refusal_of,
    with_details,
    without_tool_calls,
)
from potstill.serve.upstreams import (
    PLAIN,
    Emit,
    LocalUpstream,
    Refusal,
    StudentOptions,
    Upstream,
    UpstreamError,
)

REFUSALS = {400, 413, 422}
"""Statuses that say that the request itself cannot be answered."""

UNKNOWN_ROUTE = {404, 405, 501}
"""Statuses of a server that is there and does not list its models."""

PROBE_SECONDS = 2.0
"""Longest wait for a server to say that it is there."""

ANSWER_SECONDS = 10.0
"""Longest wait for one token of a server that cannot list its models."""

ANSWER_VALID_SECONDS = 60.0
"""Seconds for which an answer shows that such a server answers."""

PROBE_VALID_SECONDS = 5.0
"""Seconds for which the outcome of a probe stands."""

ERROR_SECONDS = 1.0
"""Longest wait for the body of an error, which may state what was billed."""

CLOSED_SECONDS = 0.25
"""Longest wait for the news that a connection had been closed before it was used again."""

Json = dict[str, Any]


class RequestConnection:
    """The connection of one request, as aiohttp tells of it."""

    was_open = False
    """Whether it was kept open from a request before."""


def tracing_connections() -> aiohttp.TraceConfig:
    """Returns a trace that tells each :class:`RequestConnection` whether it was open."""

    async def reused(session: aiohttp.ClientSession, context: Any, _: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.was_open = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return trace


class HttpUpstream:
    """A server that speaks ``/chat/completions`` or ``/completions``.

    Nothing is tried twice, except what a connection lost at once that was kept open from before:
    the server had closed it, and has not seen the request.

    Args:
        settings: The server's settings; ``retries`` and ``concurrency`` do not count here.
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
        self._mask = KeyMask(self._key)
        self.chat = settings.chat
        self._base_url = settings.base_url.rstrip("/")
        self._continues: bool | None = None
        self._trying = asyncio.Lock()
        self._probe = (-PROBE_VALID_SECONDS, False)
        self._answered_at = -ANSWER_VALID_SECONDS
        self._probing = asyncio.Lock()
        self._prefix_habits = {streamed: PrefixHabit() for streamed in (False, True)}
        self._probing_prefix = asyncio.Lock()

    async def start(self) -> None:
        """Open the session."""
        self._session = open_session(self._settings, self._key, [tracing_connections()])

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
                if response.status == HTTPStatus.OK or response.status in UNKNOWN_ROUTE:
                    return True
        except (aiohttp.ClientError, OSError):
            return False
        return await self._answers()

    async def _answers(self) -> bool:
        """Whether a server answers that fails to list its models; a token a minute finds out."""
        if asyncio.get_running_loop().time() - self._answered_at < ANSWER_VALID_SECONDS:
            return True
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.answer(Request(prompt="1 + 1 =", max_tokens=1))
                return True
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

    def refusal(self, options: StudentOptions) -> Refusal | None:
        """Returns the first option that the route does not take; None: it takes all."""
        return refusal_of(options, chat=self.chat)

    async def answer(
        self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
    ) -> list[Completion]:
        """All samples; see :class:`potstill.serve.upstreams.Upstream`."""
        budget = request.thinking_tokens
        if budget is None or budget >= request.max_tokens:
            return await self._all_samples(request, emit, options)
        if options.logprobs is not None:
            raise UpstreamError("it lists no probabilities beside thinking_tokens", refused=True)
        if not await self.can_continue():
            message = "it cannot go on from an answer that is begun, so thinking_tokens cannot be"
            raise UpstreamError(f"{message} kept", refused=True)
        return await answer_within(request, lambda part: self._all_samples(part, emit, options))

    async def _all_samples(
        self, request: Request, emit: Emit | None, options: StudentOptions
    ) -> list[Completion]:
        if options.echo:  # its stop strings are for what is written, not for the prompt
            fields = {**options.fields, **({"stop": list(request.stop)} if request.stop else {})}
            request, options = replace(request, stop=()), replace(options, fields=fields)
        groups = await asyncio.gather(
            *(
                self._ask_samples(request, samples, emit, options)
                for samples in runs(request.samples)
            )
        )
        return [completion for group in groups for completion in group]

    async def _ask_samples(
        self, request: Request, samples: Sequence[int], emit: Emit | None, options: StudentOptions
    ) -> list[Completion]:
        """A run of samples; those that the server leaves out are asked for one by one."""
        try:
            body = request_body(self._settings, request, samples)
        except ConfigError as error:
            raise UpstreamError(f"it cannot be asked this ({error})", refused=True) from None
        body |= further_fields(options)
        body |= {name: value for name, value in self._settings.body.items() if value is not None}
        if emit is not None and not options.echo:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            completions = await self._completions(request, samples, body, emit, options)
        except (aiohttp.ClientError, OSError) as error:
            # A request that did not get there costs nothing; any other may have been answered.
            tokens = 0 if isinstance(error, aiohttp.ClientConnectorError) else None
            message = f"the connection failed ({type(error).__name__})"
            raise UpstreamError(message, tokens=tokens) from None
        except (*MALFORMED, Fault) as error:
            message = f"its answer is not understood ({type(error).__name__})"
            raise UpstreamError(message, tokens=None) from None
        self._answered_at = asyncio.get_running_loop().time()
        answered = {completion.sample for completion in completions}
        missing = [sample for sample in samples if sample not in answered]
        rest = await asyncio.gather(
            *(self._ask_samples(request, [sample], emit, options) for sample in missing)
        )
        return [*completions, *(completion for group in rest for completion in group)]

    async def _completions(
        self,
        request: Request,
        samples: Sequence[int],
        body: Json,
        emit: Emit | None,
        options: StudentOptions,
    ) -> list[Completion]:
        """The completions in the server's answer to one body, passed on while it comes."""
        given = given_beginning(request, body)
        async with await self._open(body) as response:
            streamed = response.content_type == "text/event-stream"
            habit = self._prefix_habits[streamed]
            if options.echo:  # the prompt is repeated since it was asked for, which is no habit
                habit = PrefixHabit(repeats=True)
            if streamed:
                texts = [
                    StreamedText(given, request.stop, lambda: self._repeats(habit, streamed=True))
                    for _ in samples
                ]
                reply = await AnswerStream(samples, texts, emit, self._mask).read(response)
            else:
                reply = await self._whole(response)
        if not streamed:
            habit.learn(given, reply)
            if given and habit.is_unclear(given, reply):
                await self._repeats(habit, streamed=False)
        plain = without_tool_calls(reply)
        try:
            completions = read_reply(self._settings, request, samples, plain, habit)
            completions = with_details(completions, samples, reply, options)
        except ModelError:
            tokens = stated_tokens(stated_usage(reply)) or None
            raise UpstreamError("it gives no token probabilities", tokens=tokens) from None
        if any(completion.finish_reason == "error" for completion in completions):
            tokens = stated_tokens(stated_usage(reply)) or None
            raise UpstreamError("it gave no text", tokens=tokens)
        if emit is not None and not streamed:
            for completion in completions:
                await emit(completion.sample, completion.text)
        return completions

    async def _whole(self, response: aiohttp.ClientResponse) -> Json:
        """The reply to a request that is not streamed, without the key.

        Raises:
            UpstreamError: It is none.
        """
        content = self._mask.bytes(await read_content(response))
        try:
            reply = reply_of(content, response.content_type, self._mask.text)
        except Fault as fault:
            message = f"its answer is not understood ({type(fault).__name__})"
            tokens = stated_tokens(usage_in_body(content)) or None
            raise UpstreamError(message, tokens=tokens) from None
        return mask_reply(self._mask, reply)

    async def _repeats(self, habit: PrefixHabit, *, streamed: bool) -> bool:
        """Whether the server repeats the beginning of an answer that it is given.

        A probe tells where nothing has so far. Where it fails, what is repeated is taken off.
        """
        async with self._probing_prefix:
            if habit.repeats is None:
                body = request_body(self._settings, PROBE, PROBE.samples)
                with suppress(*MALFORMED, aiohttp.ClientError, OSError, Fault, UpstreamError):
                    if streamed:
                        body |= {"stream": True}
                    async with await self._open(body) as response:
                        if response.content_type == "text/event-stream":
                            plain = [StreamedText("", (), _never)]
                            reply = await AnswerStream([0], plain, None, self._mask).read(response)
                        else:
                            reply = await self._whole(response)
                    habit.learn_from_probe(given_beginning(PROBE, body), reply)
            if habit.repeats is None:
                habit.repeats = True
        return habit.repeats

    async def _open(self, body: Json) -> aiohttp.ClientResponse:
        """Send a body; the answer is a good one, and its content still to be read."""
        data, url = orjson.dumps(body), self._base_url + route_of(body)
        post = partial(self._session.post, url, data=data, allow_redirects=False)
        connection, loop = RequestConnection(), asyncio.get_running_loop()
        began = loop.time()
        try:
            response = await post(trace_request_ctx=connection)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            if not connection.was_open or loop.time() - began > CLOSED_SECONDS:
                raise  # the server may have read it, and bill it
            response = await post()
        if response.status != HTTPStatus.OK:
            tokens = await self._stated_by(response)
            if response.status not in REFUSALS:
                self._answered_at = -ANSWER_VALID_SECONDS
            message = f"it answered with HTTP status {response.status}"
            if response.status in REFUSALS:
                message += ", most often for the length of a request"
            if passed_on := sorted(body.keys() & FORWARDED.keys()):
                message += f"; {', '.join(passed_on)} was passed on to it"
            raise UpstreamError(message, refused=response.status in REFUSALS, tokens=tokens)
        return response

    async def _stated_by(self, response: aiohttp.ClientResponse) -> int:
        """The tokens that an error states; 0 where it states none, or does not come at once."""
        try:
            with suppress(TimeoutError, aiohttp.ClientError, OSError, Fault):
                async with asyncio.timeout(ERROR_SECONDS):
                    return stated_tokens(usage_in_body(await read_content(response)))
            return 0
        finally:
            response.close()


async def _never() -> bool:
    return False


def open_upstream(settings: ModelSettings) -> Upstream:
    """The upstream of a model's settings; a model on this machine is loaded, or its server started.

    Raises:
        PotstillError: The model cannot be opened.
    """
    endpoint = settings.endpoint()
    if endpoint is None:
        return LocalUpstream(open_model(settings))
    return HttpUpstream(endpoint.settings, stop_server=endpoint.stop)
