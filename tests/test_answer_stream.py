"""Streams of every make: what is shown of them, and the whole that is read at the end."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import aiohttp
import pytest

from potstill.guide.types import Usage
from potstill.models.openai.key_mask import KeyMask
from potstill.models.openai.repeated_prefix import PrefixHabit
from potstill.models.openai.responses import read_reply
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.serve.answer_stream import AnswerStream, StreamedText
from potstill.serve.response import usage as response_usage
from potstill.serve.upstreams import UpstreamError

END = "data: [DONE]\n\n"


class Lines:
    """A response whose body has these lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines

    @property
    def content(self) -> AsyncIterator[bytes]:
        async def lines() -> AsyncIterator[bytes]:
            for line in self._lines:
                yield line.encode()

        return lines()


def event(*choices: Any, **fields: Any) -> str:
    return f"data: {json.dumps({'choices': choices, **fields})}\n\n"


def piece(content: Any = None, reason: Any = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    if content is not None:
        delta["content"] = content
    return {"index": index, "delta": delta, "finish_reason": reason}


async def _no() -> bool:
    return False


def read(
    *lines: str,
    samples: tuple[int, ...] = (0,),
    stop: tuple[str, ...] = (),
    key: str | None = None,
) -> tuple[list[str], list[Completion]]:
    """Returns the text that is shown of each sample, and the completions."""
    shown = dict.fromkeys(samples, "")

    async def emit(sample: int, text: str) -> None:
        shown[sample] += text

    async def scenario() -> Any:
        texts = [StreamedText("", stop, _no) for _ in samples]
        stream = AnswerStream(samples, texts, emit, KeyMask(key))
        return await stream.read(cast(aiohttp.ClientResponse, Lines(lines)))

    reply = asyncio.run(scenario())
    request = Request(prompt="?", samples=samples, stop=stop, max_tokens=9)
    settings = OpenAISettings(model="openai:m")
    return [*shown.values()], read_reply(settings, request, samples, reply, PrefixHabit())


@pytest.mark.parametrize(
    ("lines", "text", "thinking", "reason"),
    [
        ([event(piece("It is ")), event(piece("5.", "stop"))], "It is 5.", None, "stop"),
        ([event(piece("It is")), event(piece(reason="MAX_TOKENS"))], "It is", None, "length"),
        ([event(piece("It is")), event(piece(reason="pondered"))], "It is", None, "pondered"),
        ([event(piece("It is")), event({**piece(reason="stop"), "native_finish_reason": "length"})],
         "It is", None, "length"),
        ([event({**piece("It is 5."), "native_finish_reason": "stop", "error": {"code": 0}}),
          event(piece(reason="stop"), error={})], "It is 5.", None, "stop"),
        ([event(piece("It is 5.")), END], "It is 5.", None, "stop"),
        ([event(piece([{"type": "thinking", "thinking": [{"type": "text", "text": "2, 3"}]}])),
          event(piece([{"type": "text", "text": "It is 5."}], "stop"))],
         "It is 5.", "2, 3", "stop"),
        ([event(piece(reasoning_content="2, ")), event(piece(reasoning="3")),
          event(piece("It is 5.", "stop"))], "It is 5.", "2, 3", "stop"),
        ([event(piece("<thi")), event(piece("nk>2, 3</think>It is 5.", "stop"))],
         "It is 5.", "2, 3", "stop"),
        ([": waiting\n", event(piece("")), event(piece("5", "eos_token")), "data: 7\n",
          'data: {"choices": null}\n', event(usage={"prompt_tokens": 3})], "5", None, "stop"),
        ([event({"index": 0, "text": "5", "finish_reason": "stop"})], "5", None, "stop"),
        ([event({"message": {"content": "5"}, "finish_reason": "stop"})], "5", None, "stop"),
        ([event(piece("caf\ud83d", "stop"))], "caf\ufffd", None, "stop"),
    ],
)  # fmt: skip
def test_streams_are_shown_as_they_are_read(
    lines: list[str], text: str, thinking: str | None, reason: str
) -> None:
    [shown], [found] = read(*lines)
    assert shown == text == found.text
    assert (found.thinking, found.finish_reason) == (thinking, reason)


def test_a_stop_string_that_the_server_leaves_in_ends_what_is_shown() -> None:
    pieces = [event(piece(word)) for word in ("It is", " 5.", "\n", "Q", ": 6")]
    [shown], [found] = read(*pieces, event(piece(reason="length")), stop=("\nQ",))
    assert (shown, found.text, found.finish_reason) == ("It is 5.", "It is 5.", "stop")


def test_samples_are_kept_apart() -> None:
    lines = [event(piece("a", index=1), piece("b", index=0)), event(piece("c", "stop", index=1)),
             event(piece("d", "LENGTH", index=0))]  # fmt: skip
    shown, found = read(*lines, samples=(4, 5))
    assert shown == ["bd", "ac"]
    assert [completion.finish_reason for completion in found] == ["length", "stop"]


def test_the_tokens_of_a_stream_without_usage_are_about_its_pieces() -> None:
    _, [found] = read(*[event(piece("so ")) for _ in range(7)], event(piece(reason="stop")))
    assert (found.prompt_tokens, found.completion_tokens) == (0, 7)


@pytest.mark.parametrize(
    "lines",
    [
        [event(piece("It is"))],
        [event(piece("It is")), 'data: {"error": {"message": "busy"}}\n'],
        [event({"index": 0, "error": {"message": "busy"}, "finish_reason": "error"})],
    ],
)
def test_a_stream_that_is_broken_off_is_a_failure(lines: list[str]) -> None:
    with pytest.raises(UpstreamError):
        read(*lines)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_a_key_is_taken_out_wherever_pieces_of_a_stream_cut_it(size: int) -> None:
    key = "sk-potstill/Qx7+marked-key"
    text = f"You sent {key}, and s, sk and sk-pots are none. %73k-p is none. So 5."
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    shown, (completion,) = read(
        *(event(piece(part)) for part in cut), event(piece("", "stop")), END, key=key
    )
    expected = "You sent ***, and s, sk and sk-pots are none. %73k-p is none. So 5."
    assert shown == [expected] and completion.text == expected


def test_a_text_that_ends_like_the_beginning_of_a_key_is_shown_whole() -> None:
    shown, (completion,) = read(
        event(piece("It is sk-")), event(piece("pot")), event(piece("", "stop")), END,
        key="sk-potstill-key",
    )  # fmt: skip
    assert shown == ["It is sk-pot"] and completion.text == "It is sk-pot"


def test_a_key_is_taken_out_of_streamed_thinking() -> None:
    _, (completion,) = read(
        event(piece(reasoning_content="sent sk-po")), event(piece(reasoning_content="tstill-key.")),
        event(piece("5", "stop")), END, key="sk-potstill-key",
    )  # fmt: skip
    assert completion.thinking == "sent ***."


STATED = {"usage": {"prompt_tokens": 7, "completion_tokens": 5}}


@pytest.mark.parametrize(
    ("lines", "tokens"),
    [
        # what was written before the fault is about a token a piece; stated counts hold
        ([event(piece("It")), event(piece(" is")), event(piece(5))], 2),
        ([event(**STATED), event(piece(5))], 12),
        # nothing could be read, and nothing is stated
        ([event(piece(5))], None),
        ([event({"index": 0, "delta": "no object"})], None),
        ([event({"index": "first", "delta": {"content": "x"}})], None),
        ([event("no choice")], None),
        (["data: {broken\n\n"], None),
        ([event(piece(reason=None))], None),
    ],
)
def test_the_tokens_of_an_answer_that_is_not_understood_are_not_said_to_be_none(
    lines: list[str], tokens: int | None
) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(*lines)
    assert caught.value.tokens == tokens


def test_what_a_server_neither_counts_nor_writes_readably_is_not_known() -> None:
    usage = Usage()
    _, completions = read(event({"index": 0, "delta": {"words": "It is 5."}}),
                          event(piece(reason="stop")), END)  # fmt: skip
    usage.add(completions)
    assert (usage.prompts_known, usage.completions_known) == (False, False)
    counted = Usage()
    _, completions = read(event(piece(reason="stop"), **{"usage": {"prompt_tokens": 7}}), END)
    counted.add(completions)  # it read seven tokens, and wrote none
    assert (counted.prompts_known, counted.completions_known) == (True, True)
    assert response_usage(counted, Usage()) == {
        "prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7,
    }  # fmt: skip
    assert response_usage(usage, Usage()) is response_usage(counted, usage) is None
