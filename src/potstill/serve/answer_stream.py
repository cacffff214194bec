"""The answer to a streamed request: shown while it comes, and put together for reading."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp

from potstill.models.openai.choice_text import MALFORMED, OTHER_REASONS, content_of, error_in
from potstill.models.openai.client import LARGEST_ANSWER
from potstill.models.openai.key_mask import KeyMask
from potstill.models.openai.lenient_json import read_json
from potstill.models.openai.masked_pieces import StreamMask, mask_reply
from potstill.models.openai.stated_usage import stated_usage
from potstill.models.openai.usage import stated_tokens
from potstill.serve.answering import Cutter
from potstill.serve.student_details import StreamedDetails
from potstill.serve.upstreams import Emit, UpstreamError
from potstill.text.common_prefix import rest_after
from potstill.text.thinking import may_close, may_open, separate

Json = dict[str, Any]

USAGE_EVENTS = ("usage", "usageMetadata", "usage_metadata", "x_groq")
"""The fields of a stream's events that hold a usage."""


class AnswerStream:
    """The answer to a streamed request, put together as one that was not streamed.

    Args:
        samples: The samples that were asked for, one to each index of a choice.
        texts: The shown part of each sample.
        emit: Takes each sample's pieces; None: nobody watches.
        mask: Takes the server's key out, should it repeat it.
    """

    def __init__(
        self,
        samples: Sequence[int],
        texts: Sequence["StreamedText"],
        emit: Emit | None,
        mask: KeyMask,
    ) -> None:
        self._samples, self._texts, self._emit = samples, texts, emit
        self._mask, self._masks = mask, [StreamMask(mask) for _ in samples]
        self._parts: list[list[str]] = [[] for _ in samples]
        self._thinking: list[list[str]] = [[] for _ in samples]
        self._reasons: list[Json] = [{} for _ in samples]
        self._details = [StreamedDetails() for _ in samples]
        self._usage: Json = {}
        """The fields of the events that hold a usage, as the last of them has each."""

        self._pieces = 0
        self._ended = False
        """Whether the server has said that nothing more comes."""

    async def read(self, response: aiohttp.ClientResponse) -> Json:
        """Pass every piece on, and return the whole.

        Raises:
            UpstreamError: The answer was broken off, or is not understood.
        """
        try:
            return await self._whole(response)
        except MALFORMED as error:
            raise self._broken(f"its answer is not understood ({type(error).__name__})") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(f"the connection failed ({type(error).__name__})") from None

    async def _whole(self, response: aiohttp.ClientResponse) -> Json:
        async for event in self._events(response):
            self._usage |= {
                name: value for name in USAGE_EVENTS if (value := event.get(name)) is not None
            }
            if error_in(event):
                raise self._broken("it broke off its answer")
            for choice in event.get("choices") or ():
                await self._take(choice)
        for place, (sample, text) in enumerate(zip(self._samples, self._texts, strict=True)):
            await self._add(place, self._masks[place].release())
            await self._show(sample, await text.release())
        choices = [
            {
                "index": place,
                "message": {
                    "content": "".join(parts),
                    "reasoning_content": "".join(thinking) or None,
                    "tool_calls": details.tool_calls,
                },
                "logprobs": details.logprobs,
                "finish_reason": None,
                **reasons,
            }
            for place, (parts, thinking, reasons, details) in enumerate(
                zip(self._parts, self._thinking, self._reasons, self._details, strict=True)
            )
            if parts or reasons.get("finish_reason")
        ]
        if not self._ended and not all(choice["finish_reason"] for choice in choices):
            raise self._broken("its answer has no end")
        if not choices:
            raise self._broken("it gave no text")
        reply = {"choices": choices, **self._usage}
        if self._pieces and not stated_tokens(stated_usage(reply)):
            # A server that sends no usage sends about a token in each piece. Where none could be
            # read, there is no telling what it wrote.
            reply["usage"] = {"completion_tokens": self._pieces}
        return mask_reply(self._mask, reply)

    def _broken(self, message: str) -> UpstreamError:
        """Returns the fault of an answer that broke off, with the tokens that were paid for."""
        stated = stated_tokens(stated_usage(self._usage))
        return UpstreamError(message, tokens=max(stated, self._pieces) or None)

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
        """The events of a stream, up to its end."""
        size = 0
        async for line in response.content:
            size += len(line)
            if size > LARGEST_ANSWER:
                raise self._broken("its answer is too long")
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self._ended = True
                return
            event = read_json(self._mask.bytes(data))
            if isinstance(event, dict):
                yield event

    async def _take(self, choice: Json) -> None:
        place = choice.get("index") or 0
        if place >= len(self._samples):
            return
        if error_in(choice):
            raise self._broken("it broke off its answer")
        for name in ("finish_reason", *OTHER_REASONS):
            if choice.get(name):
                self._reasons[place][name] = choice[name]
        delta = choice.get("delta") or choice.get("message") or choice
        self._details[place].add(choice, delta)
        content = content_of(delta.get("content") or delta.get("text"))
        apart = delta.get("reasoning_content") or delta.get("reasoning")
        thinking = [apart] if isinstance(apart, str) else content.thinking
        self._thinking[place] += thinking
        self._pieces += bool(content.text or thinking)
        if content.text:
            await self._add(place, self._masks[place].feed(content.text))

    async def _add(self, place: int, text: str) -> None:
        """Add a piece of one sample's text, and show what is certain of it."""
        if text:
            self._parts[place].append(text)
            await self._show(self._samples[place], await self._texts[place].feed(text))

    async def _show(self, sample: int, text: str) -> None:
        if text and self._emit is not None:
            await self._emit(sample, text)


class StreamedText:
    """The shown part of a text that comes piece by piece.

    It is shown without the beginning that the server was given and repeats, without the thinking
    that it may begin with, and up to the first stop string.

    Args:
        given: The beginning that the server was given.
        stops: Strings that end the text; a server may leave them in it.
        repeats: Finds out whether the server repeats what it was given.
    """

    def __init__(
        self, given: str, stops: Sequence[str], repeats: Callable[[], Awaitable[bool]]
    ) -> None:
        self._given, self._repeats = given, repeats
        self._held = ""
        self._visible = _VisibleText()
        self._cutter = Cutter([stop for stop in stops if stop])

    async def feed(self, piece: str) -> str:
        """Returns the part that is certain."""
        if self._given.strip():
            if not self._held and not piece[:1].isspace():
                self._given = self._given.lstrip()
            self._held += piece
            if len(self._held) < len(self._given) and self._given.startswith(self._held):
                return ""
            piece = await self._without_given()
        return self._cutter.feed(self._visible.feed(piece))

    async def release(self) -> str:
        """Returns the part that was held back for nothing, at the end of the text."""
        held = await self._without_given()
        text = self._visible.feed(held) + self._visible.release()
        return self._cutter.feed(text) + self._cutter.release()

    async def _without_given(self) -> str:
        """Returns what was held back, without what was given."""
        held, given = self._held, self._given
        self._held = self._given = ""
        rest = rest_after(given, held)
        return rest if rest is not None and await self._repeats() else held


class _VisibleText:
    """A text without the thinking that it may begin with, as it comes piece by piece.

    Thinking that only a closing mark tells apart has been passed on before the mark comes; the
    whole reply, which is read at the end, keeps it apart.
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
