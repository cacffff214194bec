"""The answers of ``mock_server.py``, made once: texts, probabilities that collide, JSON, HTTP."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson

TEXTS = 16
"""Different texts; also the samples after which a question's texts begin again."""

DRAWS = 512
"""Different answers, by text or probabilities: too many for a file to profit from repeats."""

RIGHT = 10
"""The number of texts that give the answer 42; each of the others gives one of its own."""

COLLIDES = 20
"""Every so manyth position has two alternatives of the same text."""

PROMPT_TOKENS = 50

WORDS = 20_000
"""Made-up tokens that alternatives are drawn from, of five letters as real ones are on average."""

Choice = dict[str, Any]


class Wanted(NamedTuple):
    """The parts of a request that decide an answer's bytes."""

    chat: bool
    n: int
    top: int
    first: int
    """Draw of the first choice."""

    tokens: int
    cut: bool
    """Whether ``max_tokens`` ended it."""


def answer_text(draw: int, tokens: int) -> list[str]:
    """The tokens of one answer."""
    text = draw % TEXTS
    number = 42 if text * 7 % TEXTS < RIGHT else 43 + text
    closing = ["\n", "The", " answer", " is", f" {number}", "."]
    words = [f" w{text}{place % 10}" for place in range(max(tokens - len(closing), 0))]
    return [*words, *closing][:tokens]


def word(number: int) -> str:
    """A token: a space and four letters that no other number has."""
    letters = (chr(ord("a") + number // 26**place % 26) for place in range(4))
    return " " + "".join(letters)


def alternatives(token: str, place: int, top: int, rng: np.random.Generator) -> list[Choice]:
    """The likeliest tokens of one position, the one written first, as the chat route lists them."""
    logprobs = np.log(np.sort(rng.dirichlet(np.ones(top + 1)))[:0:-1]).round(6)
    texts = [token, *(word(number) for number in rng.choice(WORDS, size=top - 1, replace=False))]
    entries = [
        {"token": text, "logprob": float(logprob), "bytes": list(text.encode())}
        for text, logprob in zip(texts, logprobs, strict=True)
    ]
    if place % COLLIDES == 0 and top > 2:
        for entry, byte in zip(entries[-2:], (0xE2, 0xF0), strict=True):
            entry |= {"token": "\ufffd", "bytes": [byte]}
    return entries


def chat_choice(tokens: list[str], top: int, seed: int) -> Choice:
    """One choice of the chat route."""
    rng = np.random.default_rng(seed)
    listed = [
        {**likeliest[0], "top_logprobs": likeliest}
        for place, token in enumerate(tokens if top else [])
        for likeliest in [alternatives(token, place, top, rng)]
    ]
    message = {"role": "assistant", "content": "".join(tokens)}
    return {"message": message, "logprobs": {"content": listed} if top else None}


def plain_choice(tokens: list[str], top: int, seed: int) -> Choice:
    """One choice of the completions route, whose alternatives are keyed by their texts."""
    listed = chat_choice(tokens, top, seed)["logprobs"]
    logprobs = listed and {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in listed["content"]],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in entry["top_logprobs"]}
            for entry in listed["content"]
        ],
    }
    return {"text": "".join(tokens), "logprobs": logprobs}


@cache
def choice(wanted: Wanted, draw: int) -> bytes:
    """One choice in JSON, without the brace and the index that it begins with."""
    made = chat_choice if wanted.chat else plain_choice
    content = made(answer_text(draw, wanted.tokens), wanted.top, draw)
    return orjson.dumps({"finish_reason": "length" if wanted.cut else "stop", **content})[1:]


def answer(wanted: Wanted) -> bytes:
    """A whole HTTP answer."""
    kind = wanted._replace(n=0, first=0)
    choices = b",".join(
        b'{"index":%d,' % index + choice(kind, (wanted.first + index) % DRAWS)
        for index in range(wanted.n)
    )
    written = wanted.n * wanted.tokens
    usage = b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}'
    name = b"chat.completion" if wanted.chat else b"text_completion"
    return http(
        b'{"id":"mock","object":"%s","created":0,"model":"mock","choices":[' % name
        + choices
        + b"],"
        + usage % (PROMPT_TOKENS, written, PROMPT_TOKENS + written)
        + b"}"
    )


def http(body: bytes) -> bytes:
    """Bytes with a head before them."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
