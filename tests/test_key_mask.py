"""A key in a server's words is taken out in every spelling; words that are no secret stay."""

import asyncio
import base64
import html
import json
import random
import string
from typing import Any
from urllib.parse import quote

import pytest
from loopback import Loopback

from potstill.models.openai import client
from potstill.models.openai.key_mask import KeyMask
from potstill.models.openai.masked_pieces import StreamMask, mask_reply
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Request
from potstill.serve.http_upstream import HttpUpstream

KEY = "sk-potstill/Qx7+marked-key-Zw93/Lk02+end="


def spelled(char: str, way: int) -> str:
    number = ord(char)
    ways = [char, f"\\u{number:04x}", f"\\u{number:04X}", f"%{number:02x}", f"%{number:02X}",
            f"&#{number};", f"&#x{number:x};", f"&#0{number};", f"\\x{number:02x}",
            char if char.isalnum() else f"\\{char}"]  # fmt: skip
    return ways[way % len(ways)]


@pytest.mark.parametrize("way", range(10))
def test_every_character_may_be_spelled_otherwise(way: int) -> None:
    text = "".join(spelled(char, way) for char in KEY)
    assert KeyMask(KEY).text(f"Bearer {text}, é") == "Bearer ***, é"


def test_each_character_may_be_spelled_in_a_way_of_its_own() -> None:
    draw, mask = random.Random(0), KeyMask(KEY)
    for _ in range(200):
        text = "".join(spelled(char, draw.randrange(10)) for char in KEY)
        assert mask.bytes(b"<" + text.encode() + b">") == b"<***>"


@pytest.mark.parametrize("before", ["", "B", "Be", "Bearer ", "user:", "Basic x "])
@pytest.mark.parametrize("after", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_an_encoded_key_leaves_at_most_its_edges(before: str, after: str, encode) -> None:  # type: ignore[no-untyped-def]
    text = encode(f"{before}{KEY}{after}".encode())
    masked = KeyMask(KEY).bytes(b"said: " + text)
    assert b"***" in masked
    # The rest of it can tell two characters of the key at each end at most.
    assert len(masked) - len(b"said: ***") <= len(encode(f"{before}{after}".encode())) + 8


@pytest.mark.parametrize(
    "shape",
    [quote(KEY, safe=""), html.escape(KEY), KEY.encode().hex(), KEY.encode().hex().upper(),
     KEY[::-1], json.dumps(KEY), json.dumps(KEY).replace("/", "\\/")],
)  # fmt: skip
def test_whole_encodings_are_taken_out(shape: str) -> None:
    assert KEY[4:20] not in KeyMask(KEY).text(shape)
    assert "***" in KeyMask(KEY).text(shape)


@pytest.mark.parametrize("key", [None, "EMPTY", "none", "x", "token"])
def test_words_that_servers_without_keys_are_given_stay_in_answers(key: str | None) -> None:
    text = "EMPTY boxes: none. x = 5, a token."
    assert KeyMask(key).text(text) == text


def test_other_texts_stay_as_they_are() -> None:
    draw, mask = random.Random(1), KeyMask(KEY)
    letters = string.printable + "é中\\u0073%73&#115;" + KEY
    for _ in range(300):
        text = "".join(draw.choice(letters) for _ in range(60))
        assert mask.text(text) == text
    assert mask.text("half a pair \ud83d stays") == "half a pair \ud83d stays"


@pytest.mark.parametrize("way", [1, 2])
def test_a_key_that_json_escapes_does_not_reach_an_answer(
    way: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped = "".join(spelled(char, way) for char in KEY)
    read = client.read_content

    async def echoing(*of: Any) -> bytes:
        content = await read(*of)
        return content.replace(b"We begin", f"I was sent {escaped}. We begin".encode())

    monkeypatch.setattr(client, "read_content", echoing)
    monkeypatch.setenv("POTSTILL_TEST_KEY", KEY)
    with Loopback() as server:
        settings = {"model": "openai:m", "base_url": server.url, "api_key_env": "POTSTILL_TEST_KEY"}
        model = OpenAIModel(OpenAISettings.model_validate(settings))
        (completion,) = model.complete([Request(prompt="2 + 3?")])
    assert "I was sent ***. We begin" in completion.text


@pytest.mark.parametrize("way", range(10))
def test_a_key_is_taken_out_of_a_stream_however_it_is_spelled_and_cut(way: int) -> None:
    draw = random.Random(way)
    for _ in range(30):
        text = "a " + "".join(spelled(char, way) for char in KEY) + " b sk-pot %7 &am \\u00"
        stream, shown = StreamMask(KeyMask(KEY)), ""
        while text:
            size = draw.randint(1, 9)
            shown += stream.feed(text[:size])
            text = text[size:]
        assert shown + stream.release() == "a *** b sk-pot %7 &am \\u00"


def test_of_a_stream_only_what_may_begin_the_key_is_held_back() -> None:
    stream = StreamMask(KeyMask(KEY))
    assert [stream.feed(piece) for piece in ("So ", "it is", " s", "k-", "ipped. ")] == [
        "So ", "it i", "s ", "", "sk-ipped. "
    ]  # fmt: skip


def position(token: str) -> dict[str, Any]:
    likeliest = [{"token": token, "bytes": [*token.encode()], "logprob": -0.5}]
    return {"token": token, "bytes": [*token.encode()], "logprob": -0.5, "top_logprobs": likeliest}


def test_a_key_in_several_tokens_is_taken_out_of_their_probabilities() -> None:
    tokens = ["I", " sent <", KEY[:5], KEY[5:20], KEY[20:] + ">", " 5", KEY, "."]
    listed = {"content": [position(token) for token in tokens]}
    chat = {"choices": [{"message": {"content": f"I sent <{KEY}> 5{KEY}."}, "logprobs": listed}]}
    (choice,) = mask_reply(KeyMask(KEY), chat)["choices"]
    assert choice["message"]["content"] == "I sent <***> 5***."
    names = [entry["token"] for entry in choice["logprobs"]["content"]]
    assert names == ["I", " sent <", "***", "", ">", " 5", "***", "."]
    assert [bytes(entry["bytes"]).decode() for entry in choice["logprobs"]["content"]] == names
    assert [len(entry["top_logprobs"]) for entry in choice["logprobs"]["content"]] == [
        1, 1, 0, 0, 0, 1, 0, 1
    ]  # fmt: skip
    text = {"choices": [{"text": "", "logprobs": {
        "tokens": tokens, "top_logprobs": [{token: -0.5} for token in tokens]}}]}  # fmt: skip
    (choice,) = mask_reply(KeyMask(KEY), text)["choices"]
    assert choice["logprobs"]["tokens"] == names
    assert [*map(len, choice["logprobs"]["top_logprobs"])] == [1, 1, 0, 0, 0, 1, 0, 1]


def test_a_key_in_several_parts_or_in_a_call_is_taken_out() -> None:
    parts = [{"type": "text", "text": f"sent {KEY[:9]}"}, {"type": "text", "text": f"{KEY[9:]}."}]
    call = {"function": {"name": "f", "arguments": json.dumps({"key": KEY})}}
    message = {"content": parts, "tool_calls": [call]}
    mask_reply(KeyMask(KEY), {"choices": [{"message": message}]})
    assert [part["text"] for part in parts] == ["sent ***", "."]
    assert call["function"]["arguments"] == '{"key": "***"}'


@pytest.mark.parametrize("stream", [False, True])
def test_a_served_answer_holds_no_key_of_the_server_behind(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTSTILL_TEST_KEY", KEY)
    shown = []

    async def emit(_: int, text: str) -> None:
        shown.append(text)

    async def asked(url: str) -> str:
        settings = {"model": "openai:m", "base_url": url, "api_key_env": "POTSTILL_TEST_KEY"}
        upstream = HttpUpstream(OpenAISettings.model_validate(settings))
        await upstream.start()
        try:
            (answer,) = await upstream.answer(Request(prompt="2 + 3?"), emit if stream else None)
        finally:
            await upstream.close()
        return answer.text

    with Loopback(lambda _: [f"Your key is {KEY}. The answer is 5."]) as server:
        text = asyncio.run(asked(server.url))
    assert text == "Your key is ***. The answer is 5."
    assert "".join(shown) == (text if stream else "")
