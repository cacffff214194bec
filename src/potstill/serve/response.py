"""Answers and errors in the shape of OpenAI's API: objects, the events of a stream, error bodies.

Beside OpenAI's own fields an answer has ``potstill``: who took how many tokens, and where the
teacher stepped in. Messages of errors are the server's own words. An upstream's are never passed
on: they may repeat a key or another client's prompt.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import orjson

from potstill.errors import extra
from potstill.guide.types import GuidedAnswer, Usage
from potstill.records import FinishReason
from potstill.serve.metrics import Account
from potstill.serve.settings import Route

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Send

Json = dict[str, Any]

EXTENSION = "potstill"
"""The field of ours in an answer; other clients pass it by."""

DONE = b"data: [DONE]\n\n"


def event(content: Json) -> bytes:
    """An event of a stream."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def usage(student: Usage, teacher: Usage) -> Json:
    """The tokens read and written for an answer, by both, drafts that were dropped included."""
    prompt = student.prompt_tokens + teacher.prompt_tokens
    completion = student.completion_tokens + teacher.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def extension(student: Usage, teacher: Usage, answer: GuidedAnswer, policy: str) -> Json:
    """The tokens of each of the two, their cost, and where the teacher stepped in."""
    return {
        "student_tokens": _tokens(student),
        "teacher_tokens": _tokens(teacher),
        "cost": student.cost + teacher.cost,
        "guidance": {
            "policy": policy,
            "guided": bool(answer.guidance),
            "silent": answer.silent,
            "steps": len(answer.guidance),
        },
    }


def _tokens(usage: Usage) -> Json:
    return {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}


class ResponseWriter:
    """One answer in the objects and events of its route.

    Args:
        route: The chat or the text route.
        model: The model's name for clients.
        usage_field: Whether every event has the field ``usage``, as clients expect who asked for
            it.
    """

    def __init__(self, route: Route, model: str, *, usage_field: bool = False) -> None:
        self._chat = route == "chat"
        self._object = "chat.completion" if self._chat else "text_completion"
        kind = "chatcmpl" if self._chat else "cmpl"
        self._head: Json = {
            "id": f"{kind}-{secrets.token_hex(12)}",
            "object": self._object,
            "created": int(time.time()),
            "model": model,
        }
        self._usage_field: Json = {"usage": None} if usage_field else {}

    def whole(
        self,
        texts: Sequence[str],
        reasons: Sequence[FinishReason],
        thinking: Sequence[str | None],
        further: Json,
    ) -> bytes:
        """The answer in one object.

        Args:
            texts: By sample.
            reasons: Why each ends.
            thinking: The thinking before each, where its server tells it apart.
            further: Fields that stand beside the choices.
        """
        choices = [
            {"index": place, **self._content(text, thought), "logprobs": None, "finish_reason": why}
            for place, (text, why, thought) in enumerate(zip(texts, reasons, thinking, strict=True))
        ]
        return orjson.dumps({**self._head, "choices": choices, **further})

    def first(self, place: int) -> bytes:
        """The event with which a sample of a chat begins; empty for plain text."""
        if not self._chat:
            return b""
        return self._event(place, {"role": "assistant", "content": ""}, None)

    def piece(self, place: int, text: str) -> bytes:
        """The event of a piece of text."""
        return self._event(place, {"content": text} if self._chat else text, None)

    def end(self, place: int, reason: FinishReason, further: Json | None = None) -> bytes:
        """The event with which a sample ends."""
        return self._event(place, {} if self._chat else "", reason, further)

    def totals(self, further: Json) -> bytes:
        """The event after the last choice."""
        return event({**self._chunk_head(), "choices": [], **further})

    def _content(self, text: str, thought: str | None) -> Json:
        if not self._chat:
            return {"text": text}
        thinking = {} if thought is None else {"reasoning_content": thought}
        return {"message": {"role": "assistant", "content": text, "refusal": None, **thinking}}

    def _event(
        self,
        place: int,
        content: Json | str,
        reason: FinishReason | None,
        further: Json | None = None,
    ) -> bytes:
        choice = {
            "index": place,
            ("delta" if self._chat else "text"): content,
            "logprobs": None,
            "finish_reason": reason,
        }
        head = {**self._chunk_head(), "choices": [choice]}
        return event({**head, **self._usage_field, **(further or {})})

    def _chunk_head(self) -> Json:
        return {**self._head, "object": "chat.completion.chunk"} if self._chat else self._head


ERROR_SECONDS = 1.0
"""Longest wait, in seconds, for a client to take an error."""

RETRY_AFTER = 1
"""Seconds after which a client that was turned away may come again."""


class ApiError(Exception):
    """A request that gets no answer.

    Args:
        status: The HTTP status.
        message: The fault, and the way out.
        param: The field of the request that is at fault.
        code: A name for programs.
        close: Whether the connection cannot be used again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.close = close

    @property
    def content(self) -> dict[str, Any]:
        """The error as a JSON object."""
        fields = {"message": self.message, "type": _kind(self.status)}
        return {"error": {**fields, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it, as ASGI has them."""
        headers = [(b"content-type", b"application/json")]
        if self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers.append((b"retry-after", str(RETRY_AFTER).encode()))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers

    @property
    def body(self) -> bytes:
        """:attr:`content` in bytes."""
        return orjson.dumps(self.content)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that cannot be understood or served as it is."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)


def too_late(seconds: float) -> ApiError:
    """A request whose time ran out."""
    message = f"there was no answer within {seconds:g} seconds; ask for a shorter one."
    return ApiError(HTTPStatus.GATEWAY_TIMEOUT, message, code="timeout")


def _kind(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


class Gone(Exception):
    """The client has left."""


async def send_error(send: Send, error: ApiError) -> None:
    """Send an error as the whole answer."""
    message: dict[str, Any] = {"type": "http.response.start", "status": int(error.status)}
    await send({**message, "headers": error.headers})
    await send({"type": "http.response.body", "body": error.body})


class ResponseSender:
    """The ASGI messages of one response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def begin(self, *headers: tuple[bytes, bytes]) -> None:
        """Send status 200 and the headers."""
        self.started = True
        all_headers = [*headers, (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def body(self, content: bytes, *, more: bool = True) -> None:
        """Send a part of the body, the last one where there is no more."""
        await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def fail(self, error: ApiError, account: Account) -> None:
        """Send an error, as the answer or at the end of what was sent of it."""
        with suppress(TimeoutError):  # a client that does not read would hold us for ever
            async with asyncio.timeout(ERROR_SECONDS):
                if not self.started:
                    await send_error(self._send, error)
                    return
                account.status = error.status
                await self.body(event(error.content), more=False)


class WholeOutput:
    """An answer that is sent as one JSON object."""

    def __init__(self, sender: ResponseSender, writer: ResponseWriter, samples: int) -> None:
        self._sender, self._writer = sender, writer
        self._texts = [""] * samples

    async def piece(self, place: int, text: str) -> None:
        """Keep a piece of one sample's text."""
        self._texts[place] += text

    async def finish(
        self, reasons: Sequence[FinishReason], answer: GuidedAnswer, usage_field: Json, own: Json
    ) -> None:
        """Send the whole."""
        thinking = [ending.thinking for ending in answer.endings]
        content = self._writer.whole(self._texts, reasons, thinking, {**usage_field, **own})
        await self._sender.begin(
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        )
        await self._sender.body(content, more=False)


class StreamOutput:
    """An answer that is sent as events while it is written."""

    def __init__(
        self, sender: ResponseSender, writer: ResponseWriter, samples: int, *, include_usage: bool
    ) -> None:
        self._sender, self._writer = sender, writer
        self._samples, self._include_usage = samples, include_usage

    async def piece(self, place: int, text: str) -> None:
        """Send a piece of one sample's text."""
        await self._begin()
        await self._sender.body(self._writer.piece(place, text))

    async def finish(
        self, reasons: Sequence[FinishReason], answer: GuidedAnswer, usage_field: Json, own: Json
    ) -> None:
        """Send why each sample ends, and the usage where it was asked for."""
        await self._begin()
        writer, last = self._writer, self._samples - 1
        ends = [writer.end(place, reason) for place, reason in enumerate(reasons[:-1])]
        if self._include_usage:
            ends.append(writer.end(last, reasons[-1]))
            ends.append(writer.totals({**usage_field, **own}))
        else:
            ends.append(writer.end(last, reasons[-1], own))
        await self._sender.body(b"".join(ends) + DONE, more=False)

    async def _begin(self) -> None:
        """Send the head of the stream, once its first words are there."""
        if self._sender.started:
            return
        await self._sender.begin((b"content-type", b"text/event-stream; charset=utf-8"))
        if first := b"".join(self._writer.first(place) for place in range(self._samples)):
            await self._sender.body(first)
