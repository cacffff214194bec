"""Answers in the shape of OpenAI's API: objects, and the events of a stream.

Beside OpenAI's own fields an answer has ``potstill``: who took how many tokens, and where the
teacher stepped in.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from potstill.errors import extra
from potstill.guide.types import GuidedAnswer, Usage
from potstill.records import Completion, FinishReason
from potstill.serve.api_error import ApiError, send_error
from potstill.serve.metrics import Account
from potstill.serve.upstreams import DetailedCompletion

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Send

Json = dict[str, Any]

EXTENSION = "potstill"
"""The field of ours in an answer; other clients pass it by."""

DONE = b"data: [DONE]\n\n"


def event(content: Json) -> bytes:
    """An event of a stream."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def usage(student: Usage, teacher: Usage) -> Json | None:
    """The tokens read and written for an answer, by both, drafts that were dropped included.

    None where one of the two does not tell all of its own.
    """
    for side in (student, teacher):
        if not (side.prompts_known and side.completions_known):
            return None
    prompt = student.prompt_tokens + teacher.prompt_tokens
    completion = student.completion_tokens + teacher.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def extension(student: Usage, teacher: Usage, answers: Sequence[GuidedAnswer], policy: str) -> Json:
    """The tokens of each of the two, their cost, and where the teacher stepped in.

    Tokens that are not known are null.

    Where several prompts are answered, ``guided`` and ``silent`` say whether any of them is, and
    ``steps`` is their sum. An answer that is the teacher's as a whole has no steps of its.
    """
    return {
        "student_tokens": _tokens(student),
        "teacher_tokens": _tokens(teacher),
        "cost": student.cost + teacher.cost,
        "guidance": {
            "policy": policy,
            "guided": any(answer.guidance for answer in answers),
            "silent": any(answer.silent for answer in answers),
            "steps": sum(len(answer.guidance) for answer in answers if not answer.routed),
        },
    }


def _tokens(usage: Usage) -> Json:
    return {
        "prompt": usage.prompt_tokens if usage.prompts_known else None,
        "completion": usage.completion_tokens if usage.completions_known else None,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedSample:
    """One finished text of an answer."""

    text: str
    reason: FinishReason
    thinking: str | None = None
    """The thinking before it, where its server tells it apart."""

    logprobs: Any = None
    """The answer's probabilities, in the shape of the route."""

    tool_calls: tuple[Any, ...] = ()

    @classmethod
    def of(cls, text: str, reason: FinishReason, ending: Completion) -> "ServedSample":
        """Returns a text with what the student's last words have beside it."""
        details: Json = {}
        if isinstance(ending, DetailedCompletion):
            details = {"logprobs": ending.logprobs_shown, "tool_calls": ending.tool_calls}
        return cls(text=text, reason=reason, thinking=ending.thinking, **details)


class AnswerWriter(Protocol):
    """Writes one answer in the objects and events of its route."""

    def whole(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """The answer in one object."""
        ...

    def begin(self, samples: int) -> bytes:
        """The events with which a stream of so many samples begins."""
        ...

    def piece(self, place: int, text: str) -> bytes:
        """The event of a piece of one sample's text."""
        ...

    def end(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """The events with which a stream ends, its texts having been passed on."""
        ...

    def failure(self, error: ApiError) -> bytes:
        """The event of a fault in the midst of a stream."""
        ...


class CompletionWriter:
    """The answer of the chat or the text route.

    Args:
        by_chat: Whether it is the chat route's.
        model: The model's name for clients.
        include_usage: Whether a stream ends with the usage, and has the field in every event, as
            clients expect who asked for it.
    """

    def __init__(self, model: str, *, by_chat: bool, include_usage: bool = False) -> None:
        self._chat, self._include_usage = by_chat, include_usage
        kind = "chatcmpl" if by_chat else "cmpl"
        self._head: Json = {
            "id": f"{kind}-{secrets.token_hex(12)}",
            "object": "chat.completion" if by_chat else "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._usage_field: Json = {"usage": None} if include_usage else {}

    def whole(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """See :class:`AnswerWriter`."""
        choices = [
            {
                "index": place,
                **self._content(sample),
                "logprobs": sample.logprobs,
                "finish_reason": sample.reason,
            }
            for place, sample in enumerate(samples)
        ]
        return orjson.dumps({**self._head, "choices": choices, **usage_field, **own})

    def begin(self, samples: int) -> bytes:
        """See :class:`AnswerWriter`; a text's stream has no beginning of its own."""
        if not self._chat:
            return b""
        delta = {"role": "assistant", "content": ""}
        return b"".join(self._event(place, delta) for place in range(samples))

    def piece(self, place: int, text: str) -> bytes:
        """See :class:`AnswerWriter`."""
        return self._event(place, {"content": text} if self._chat else text)

    def end(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """See :class:`AnswerWriter`; calls of tools and probabilities come whole, at the end."""
        events, last = [], len(samples) - 1
        for place, sample in enumerate(samples):
            if sample.tool_calls:
                calls = [{"index": n, **call} for n, call in enumerate(sample.tool_calls)]
                events.append(self._event(place, {"tool_calls": calls}))
            further = own if place == last and not self._include_usage else {}
            content: Json | str = {} if self._chat else ""
            events.append(
                self._event(place, content, sample.reason, sample.logprobs, further=further)
            )
        if self._include_usage:
            events.append(event({**self._chunk_head(), "choices": [], **usage_field, **own}))
        return b"".join(events) + DONE

    def failure(self, error: ApiError) -> bytes:
        """See :class:`AnswerWriter`."""
        return event(error.content)

    def _content(self, sample: ServedSample) -> Json:
        if not self._chat:
            return {"text": sample.text}
        text = None if sample.tool_calls and not sample.text else sample.text
        message: Json = {"role": "assistant", "content": text, "refusal": None}
        if sample.thinking is not None:
            message["reasoning_content"] = sample.thinking
        if sample.tool_calls:
            message["tool_calls"] = list(sample.tool_calls)
        return {"message": message}

    def _event(
        self,
        place: int,
        content: Json | str,
        reason: FinishReason | None = None,
        logprobs: object = None,
        *,
        further: Json | None = None,
    ) -> bytes:
        choice = {
            "index": place,
            ("delta" if self._chat else "text"): content,
            "logprobs": logprobs,
            "finish_reason": reason,
        }
        head = {**self._chunk_head(), "choices": [choice]}
        return event({**head, **self._usage_field, **(further or {})})

    def _chunk_head(self) -> Json:
        return {**self._head, "object": "chat.completion.chunk"} if self._chat else self._head


ERROR_SECONDS = 1.0
"""Longest wait, in seconds, for a client to take an error."""


class ResponseSender:
    """The ASGI messages of one response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.writer: AnswerWriter | None = None
        """Words a fault in the midst of a stream."""

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
                assert self.writer is not None, "it was there before the first event"
                await self.body(self.writer.failure(error), more=False)


class WholeOutput:
    """An answer that is sent as one JSON object."""

    def __init__(self, sender: ResponseSender, writer: AnswerWriter, samples: int) -> None:
        self._sender, self._writer = sender, writer
        self.texts = [""] * samples

    async def piece(self, place: int, text: str) -> None:
        """Keep a piece of one sample's text."""
        self.texts[place] += text

    async def finish(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> None:
        """Send the whole."""
        content = self._writer.whole(samples, usage_field, own)
        await self._sender.begin(
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        )
        await self._sender.body(content, more=False)


class StreamOutput:
    """An answer that is sent as events while it is written."""

    def __init__(self, sender: ResponseSender, writer: AnswerWriter, samples: int) -> None:
        self._sender, self._writer = sender, writer
        sender.writer = writer
        self._sending = asyncio.Lock()  # several prompts are answered at once
        self.texts = [""] * samples

    async def piece(self, place: int, text: str) -> None:
        """Send a piece of one sample's text."""
        self.texts[place] += text
        async with self._sending:
            await self._begin()
            await self._sender.body(self._writer.piece(place, text))

    async def finish(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> None:
        """Send why each sample ends, and the usage where it was asked for."""
        await self._begin()
        await self._sender.body(self._writer.end(samples, usage_field, own), more=False)

    async def _begin(self) -> None:
        """Send the head of the stream, once its first words are there."""
        if self._sender.started:
            return
        await self._sender.begin((b"content-type", b"text/event-stream; charset=utf-8"))
        if first := self._writer.begin(len(self.texts)):
            await self._sender.body(first)
