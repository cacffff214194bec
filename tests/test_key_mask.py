"""A key in a server's words is taken out in every spelling; words that are no secret stay."""

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
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Request

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
    # What is left of it can tell two characters of the key at each end at most.
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
