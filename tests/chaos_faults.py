"""The bodies that ``chaos.py`` sends: answers, spoilt answers, refusals, and their weights."""

import hashlib
import html
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import orjson
from loopback import Body, prompt_of, scripted
from made_up_scores import made_up_id_mappings, made_up_mappings

OVERHEAD = 16
"""Tokens that a prompt has beyond its bytes at most, for its template."""

WORDS = 16
"""Words of a scripted text."""

HUGE = 10 * 2**20
"""Bytes of the largest answers."""

FAULTS = {
    "429": 2.0, "429_after": 0.5, "429_date": 0.5, "500": 2.0, "503": 2.0, "503_after": 0.5,
    "504": 1.0, "504_billed": 1.0, "redirect": 1.0, "404": 0.5, "html_502": 1.0,
    "reset_before": 2.0, "reset_within": 2.0, "stall": 0.2, "late": 0.2,
    "truncated": 2.0, "not_json": 1.0, "html": 1.0, "not_utf8": 1.0, "no_choices": 1.0,
    "null_choices": 1.0, "error_in_200": 1.0, "null": 1.0, "long_length": 1.0,
    "short_length": 1.0, "wrong_encoding": 0.5, "garbage": 0.5, "bad_header": 0.5,
    "fewer": 2.0, "more": 1.0, "repeated": 1.0, "same_index": 1.0, "shuffled": 1.0,
    "no_usage": 1.0, "odd_usage": 1.0, "wrong_type": 1.0, "drip": 1.0, "blanks": 1.0,
    "huge": 0.1,
}  # fmt: skip
"""The weight of each kind in draws. The kinds from ``fewer`` on hold a good answer."""

ASTRAY = ("redirect", "404")
"""Kinds that say the address is wrong, unless answers have come from it before."""

REFUSALS: dict[str, tuple[int, dict[str, str]]] = {
    "over": (429, {}),
    "429": (429, {}),
    "429_after": (429, {"Retry-After": "0.02"}),
    "429_long": (429, {"Retry-After": "300"}),
    "429_date": (429, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    "500": (500, {}),
    "503": (503, {}),
    "503_after": (503, {"retry-after-ms": "30"}),
    "504": (504, {}),
    "504_billed": (504, {}),
    "404": (404, {}),
    "redirect": (307, {"Location": "/elsewhere?key={quoted}"}),
    "html_502": (502, {"Content-Type": "text/html"}),
    "refused": (400, {}),
    "401": (401, {}),
    "402": (402, {}),
    "one_choice": (400, {}),
}
"""The status and the headers of each kind. ``{quoted}`` stands for the key that was sent."""


class Asked(NamedTuple):
    """One request as the server reads it."""

    path: str
    body: Body
    prompt: str
    seeds: tuple[int, ...]
    """The seed of each choice, from which it is drawn together with the prompt."""

    key: str
    """The value of its Authorization header."""

    attempt: int
    """The number of equal requests that came before."""


def read_asked(path: str, body: Body, key: str, attempts: Counter[object]) -> Asked:
    """Read a request, and count it."""
    prompt, first = prompt_of(body), int(body.get("seed", 0))
    seeds = tuple(range(first, first + body.get("n", 1)))
    attempts[prompt, seeds] += 1
    return Asked(path, body, prompt, seeds, key, attempts[prompt, seeds] - 1)


def draw(*parts: object) -> float:
    """A number from 0 to 1, the same for the same parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def pick(kinds: dict[str, float], number: float) -> str:
    """The kind at a number from 0 to 1."""
    left = number * sum(kinds.values())
    for kind, weight in kinds.items():
        left -= weight
        if left < 0:
            return kind
    return kind


def usage(asked: Asked, seed: int) -> Body:
    """Returns an answer's tokens: at most one a byte and the template's, and the limit asked for.

    The tokens of a choice depend on the prompt and its own seed alone.
    """
    prompt, body = asked.prompt, asked.body
    own = draw("prompt", seed, prompt)
    read = 1 + int(own * (len(prompt.encode()) + OVERHEAD - 1))
    limit = body.get("max_tokens") or body["max_completion_tokens"]
    least = min(WORDS, limit)  # a scripted text has so many words
    written = sum(
        least + int(draw("written", seed, prompt, each) * (limit - least + 1))
        for each in asked.seeds
    )  # up to the limit: draw() is below 1
    cached = int(draw("cached", seed, prompt, asked.attempt) * read)
    return {
        "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


class Answer(NamedTuple):
    """The parts of an answer."""

    content: bytes
    seeds: tuple[int, ...]
    """The samples of the choices that can be read in it."""


def answer(asked: Asked, kind: str | None, used: Body) -> Answer:
    """An answer, spoilt where the kind of fault says so."""
    choices = [
        {"index": place, "finish_reason": "stop", **_said(asked.path, text)}
        for place, text in enumerate(scripted(asked.body))
    ]
    if asked.body.get("prompt_logprobs") is not None:  # a given text is scored
        sent, k = asked.body.get("prompt"), asked.body["prompt_logprobs"]
        if isinstance(sent, list):  # in token ids
            listed = made_up_id_mappings(sent, k)
        else:
            listed = made_up_mappings(asked.prompt, k)
        choices[0]["prompt_logprobs"] = listed
    reply: Body = {"id": "cmpl-1", "choices": choices, "usage": used}
    seeds = asked.seeds
    if kind in EDITS:
        kept = EDITS[kind](reply)
        seeds = tuple(seeds[place] for place in kept)
    content = orjson.dumps(reply)
    if kind in SPOILT:
        return Answer(SPOILT[kind](content, asked.key.encode()), ())
    return Answer(content, seeds)


def _said(path: str, text: str) -> Body:
    return {"message": {"role": "assistant", "content": text}} if "chat" in path else {"text": text}


def _fewer(reply: Body) -> Sequence[int]:
    """One choice is left out, the first or the last; a lone one stays."""
    choices = reply["choices"]
    if len(choices) > 1:
        choices.pop(0 if reply["usage"]["total_tokens"] % 2 else -1)
    return [each["index"] for each in choices]


def _more(reply: Body) -> Sequence[int]:
    choices = reply["choices"]
    choices.append({**choices[0], "index": len(choices)})
    return range(len(choices) - 1)


def _repeated(reply: Body) -> Sequence[int]:
    """The first choice stands in the place of the last as well."""
    choices = reply["choices"]
    choices[-1] = choices[0]
    return sorted({each["index"] for each in choices})


def _same_index(reply: Body) -> Sequence[int]:
    for each in reply["choices"]:
        each["index"] = 0
    return range(len(reply["choices"]))


def _shuffled(reply: Body) -> Sequence[int]:
    reply["choices"].reverse()
    return range(len(reply["choices"]))


def _no_usage(reply: Body) -> Sequence[int]:
    del reply["usage"]
    return range(len(reply["choices"]))


def _odd_usage(reply: Body) -> Sequence[int]:
    reply["usage"] = {"prompt_tokens": -5, "completion_tokens": 1e30, "total_tokens": "many"}
    return range(len(reply["choices"]))


def _huge(reply: Body) -> Sequence[int]:
    reply["padding"] = "x" * HUGE
    return range(len(reply["choices"]))


def _no_choices(reply: Body) -> Sequence[int]:
    reply["choices"] = []
    return ()


def _null_choices(reply: Body) -> Sequence[int]:
    reply["choices"] = None
    return ()


def _error_in_200(reply: Body) -> Sequence[int]:
    del reply["choices"]
    reply["error"] = {"message": "the upstream is busy", "code": 502}
    return ()


def _null(reply: Body) -> Sequence[int]:
    for each in reply["choices"]:
        if "message" in each:
            each["message"]["content"] = None
        else:
            each["text"] = None
    return ()


EDITS: dict[str, Callable[[Body], Sequence[int]]] = {
    "fewer": _fewer, "more": _more, "repeated": _repeated, "same_index": _same_index,
    "shuffled": _shuffled, "no_usage": _no_usage, "odd_usage": _odd_usage, "huge": _huge,
    "no_choices": _no_choices, "null_choices": _null_choices, "error_in_200": _error_in_200,
    "null": _null,
}  # fmt: skip
"""The change that each kind makes to an answer; it returns the choices that can still be read."""

SPOILT: dict[str, Callable[[bytes, bytes], bytes]] = {
    "truncated": lambda content, key: content[: len(content) // 2],
    "not_json": lambda content, key: b"upstream of " + key + b": " + content,
    "html": lambda content, key: b"<html><title>Log in again, " + key + b"</title></html>",
    "not_utf8": lambda content, key: content.replace(b"We begin", b"We \xff" + key + b"\xfe begin"),
    "reset_within": lambda content, key: content,
    "long_length": lambda content, key: content,
    "short_length": lambda content, key: content,
    "wrong_encoding": lambda content, key: content,
    "garbage": lambda content, key: b"NOT/HTTP \x00\x16\x03" + key + b"\r\n" + content[:40],
    "bad_header": lambda content, key: (
        b"HTTP/1.1 200 OK\r\nX-\x00" + key + b": 1\r\n\r\n" + content
    ),
}
"""The bytes that each kind sends in place of an answer; nothing in them can be read."""


def refusal(kind: str, key: str, words: str) -> bytes:
    """An answer other than 200, as it is sent; ``{key}`` in its words stands for the key."""
    status, headers = REFUSALS[kind]
    quoted = quote(key, safe="")
    headers = {name: value.replace("{quoted}", quoted) for name, value in headers.items()}
    told = words.replace("{key}", key)
    if kind == "html_502":
        page = f"<html><h1>Bad gateway</h1>{html.escape(told)}</html>"
        return http(status, page.encode(), headers)
    return http(status, orjson.dumps({"error": {"message": told, "code": kind}}), headers)


def http(status: int, content: bytes, headers: dict[str, str]) -> bytes:
    """A whole answer of HTTP/1.1."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} So it is\r\n{head}\r\n".encode() + content
