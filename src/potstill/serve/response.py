"""How answers are worded for clients: OpenAI's objects and events, and our own extension.

What a client is told where there is no answer, in the shape of OpenAI's errors.

Messages are the server's own words. What an upstream said is never passed on: it may repeat a key
or another client's prompt.
"""

import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson

from potstill.guide.types import GuidedAnswer, Usage
from potstill.records import FinishReason
from potstill.serve.settings import Route

Json = dict[str, Any]

EXTENSION = "potstill"
"""The field of ours in an answer; other clients pass it by."""

DONE = b"data: [DONE]\n\n"


def event(content: Json) -> bytes:
    """An event of a stream."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def usage(student: Usage, teacher: Usage) -> Json:
    """What was read and written for an answer, by both, drafts that were dropped included."""
    prompt = student.prompt_tokens + teacher.prompt_tokens
    written = student.completion_tokens + teacher.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }


def extension(student: Usage, teacher: Usage, guided: GuidedAnswer, policy: str) -> Json:
    """Who took what, and where the teacher stepped in."""
    return {
        "student_tokens": _tokens(student),
        "teacher_tokens": _tokens(teacher),
        "cost": student.cost + teacher.cost,
        "guidance": {
            "policy": policy,
            "guided": bool(guided.guidance),
            "silent": guided.silent,
            "steps": len(guided.guidance),
        },
    }


def _tokens(spent: Usage) -> Json:
    return {"prompt": spent.prompt_tokens, "completion": spent.completion_tokens}


class ResponseWriter:
    """One answer in the words of its route.

    Args:
        route: Which one.
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
            thinking: What was thought before each, where its server tells it apart.
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
        told = {} if thought is None else {"reasoning_content": thought}
        return {"message": {"role": "assistant", "content": text, "refusal": None, **told}}

    def _event(
        self, place: int, said: Json | str, reason: FinishReason | None, further: Json | None = None
    ) -> bytes:
        choice = {
            "index": place,
            ("delta" if self._chat else "text"): said,
            "logprobs": None,
            "finish_reason": reason,
        }
        head = {**self._chunk_head(), "choices": [choice]}
        return event({**head, **self._usage_field, **(further or {})})

    def _chunk_head(self) -> Json:
        return {**self._head, "object": "chat.completion.chunk"} if self._chat else self._head


RETRY_AFTER = 1
"""Seconds after which a client that was turned away may come again."""


class ApiError(Exception):
    """A request that gets no answer.

    Args:
        status: Of HTTP.
        message: What is wrong, and the way out.
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
