"""A server that speaks the chat and completions routes at next to no cost, for measuring clients.

Answers are made once and sent again as the bytes they are; what a prompt asks decides only which.
A prompt names its question as ``[q17]``: the answers to one question go through the variants in
turn, however many come with a request, and one question in ten (those that end in 7) is answered
at twice the length, so that a small ``max_tokens`` cuts it off. Of the probabilities one position
in twenty has two alternatives of the same text that differ in their bytes, as tokenizers with
byte tokens give them.

As a script it serves until killed; ``GET /stats`` tells what it was asked for. :func:`serving`
starts it in a process and on a core of its own.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

VARIANTS = 16
"""Different answers; also the samples after which a question's answers begin again."""

RIGHT = 10
"""Of the variants that many give the answer 42; each of the others gives one of its own."""

COLLIDES = 20
"""Every so manyth position has two alternatives of the same text."""

PROMPT_TOKENS = 50

WORDS = 20_000
"""Made-up tokens that alternatives are drawn from, of five letters as real ones are on average."""

QUESTION = re.compile(rb"\[q(\d+)\]")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

Choice = dict[str, Any]


class Wanted(NamedTuple):
    """What decides an answer's bytes."""

    chat: bool
    n: int
    top: int
    first: int
    """Variant of the first choice."""

    tokens: int
    cut: bool
    """Whether ``max_tokens`` ended it."""


def answer_text(variant: int, tokens: int) -> list[str]:
    """The tokens of one answer."""
    number = 42 if variant * 7 % VARIANTS < RIGHT else 43 + variant
    closing = ["\n", "The", " answer", " is", f" {number}", "."]
    words = [f" w{variant}{place % 10}" for place in range(max(tokens - len(closing), 0))]
    return [*words, *closing][:tokens]


def word(number: int) -> str:
    """A token: a space and four letters that no other number has."""
    letters = (chr(ord("a") + number // 26**place % 26) for place in range(4))
    return " " + "".join(letters)


def alternatives(token: str, place: int, top: int, rng: np.random.Generator) -> list[Choice]:
    """The likeliest tokens of one position, the one written first, as the chat route lists them."""
    logprobs = -np.sort(rng.gamma(2.0, 2.0, size=top)).round(6)
    texts = [token, *(word(number) for number in rng.choice(WORDS, size=top - 1, replace=False))]
    found = [
        {"token": text, "logprob": float(logprob), "bytes": list(text.encode())}
        for text, logprob in zip(texts, logprobs, strict=True)
    ]
    if place % COLLIDES == 0 and top > 2:
        for entry, byte in zip(found[-2:], (0xE2, 0xF0), strict=True):
            entry |= {"token": "\ufffd", "bytes": [byte]}
    return found


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
            {each["token"]: each["logprob"] for each in entry["top_logprobs"]}
            for entry in listed["content"]
        ],
    }
    return {"text": "".join(tokens), "logprobs": logprobs}


@cache
def answer(wanted: Wanted) -> bytes:
    """A whole HTTP answer."""
    made = chat_choice if wanted.chat else plain_choice
    choices = []
    for index in range(wanted.n):
        variant = (wanted.first + index) % VARIANTS
        choice = made(answer_text(variant, wanted.tokens), wanted.top, variant + wanted.tokens)
        reason = "length" if wanted.cut else "stop"
        choices.append({"index": index, "finish_reason": reason, **choice})
    written = wanted.n * wanted.tokens
    usage = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": written,
        "total_tokens": PROMPT_TOKENS + written,
    }
    kind = "chat.completion" if wanted.chat else "text_completion"
    reply = {"id": "mock", "object": kind, "created": 0, "model": "mock"}
    return http(orjson.dumps({**reply, "choices": choices, "usage": usage}))


def http(body: bytes) -> bytes:
    """Bytes with a head before them."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class Counts:
    """What was asked for and served."""

    def __init__(self) -> None:
        self.received = self.answered = self.samples = self.tokens = 0
        self.received_samples = 0
        self.first = self.last = 0.0
        self.turns: dict[bytes, int] = {}
        """Samples that were asked for, by question."""

    def told(self) -> bytes:
        """As JSON."""
        kept = {name: value for name, value in vars(self).items() if name != "turns"}
        return orjson.dumps({**kept, "questions": len(self.turns), "cpu": time.process_time()})


class Connection(asyncio.Protocol):
    """One client's connection; asyncio's streams would cost more than all the rest."""

    def __init__(self, options: argparse.Namespace, counts: Counts) -> None:
        self._options, self._counts = options, counts
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._numbers = count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = LENGTH.search(head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            body = bytes(self._received[end + 4 : size])
            del self._received[:size]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._transport.write(http(self._counts.told()))
            return
        wanted, counts = self._wanted(head, body), self._counts
        counts.received += 1
        counts.received_samples += wanted.n
        counts.first = counts.first or time.time()
        delay = self._options.latency
        if self._options.jitter:
            delay *= 1 + self._options.jitter * (counts.received * 7919 % 1000 / 500 - 1)
        if delay:
            self._loop.call_later(delay, self._answer, wanted)
        else:
            self._answer(wanted)

    def _wanted(self, head: bytes, body: bytes) -> Wanted:
        asked = orjson.loads(body)
        number = (QUESTION.findall(body) or [b""])[-1]  # curator first asks something of its own
        n = asked.get("n") or 1
        before = self._counts.turns.get(number, 0)
        self._counts.turns[number] = before + n
        chat = b"/chat/" in head.partition(b"\r\n")[0]
        top = asked.get("top_logprobs") if chat else asked.get("logprobs")
        tokens = self._options.tokens * (2 if number.endswith(b"7") else 1)
        most = asked.get("max_tokens") or asked.get("max_completion_tokens") or tokens
        return Wanted(chat, n, top or 0, before % VARIANTS, min(tokens, most), most < tokens)

    def _answer(self, wanted: Wanted) -> None:
        if self._transport.is_closing():
            return
        counts = self._counts
        self._transport.write(answer(wanted))
        counts.answered += 1
        counts.samples += wanted.n
        counts.tokens += wanted.n * wanted.tokens
        counts.last = time.time()


async def serve(options: argparse.Namespace) -> None:
    """Serve until killed; the port goes to standard output."""
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(options, counts), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Server(NamedTuple):
    """A server in a process of its own."""

    url: str
    """Where its routes begin."""

    def stats(self) -> dict[str, float]:
        """What it was asked for and served so far."""
        with urllib.request.urlopen(self.url.replace("/v1", "/stats"), timeout=30) as reply:
            told: dict[str, float] = json.load(reply)
        return told


def cores() -> tuple[int, int]:
    """The client's core and the server's; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def serving(*, latency: float = 0.0, jitter: float = 0.0, tokens: int = 100) -> Iterator[Server]:
    """Run the server on its own core.

    Args:
        latency: Seconds before every answer.
        jitter: Share of the latency by which single answers are earlier or later, at most.
        tokens: Length of nine answers in ten; the tenth is twice as long.
    """
    options = {"--latency": latency, "--jitter": jitter, "--tokens": tokens}
    flags = [str(each) for pair in options.items() for each in pair]
    command = [sys.executable, str(Path(__file__).resolve()), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    os.sched_setaffinity(process.pid, {cores()[1]})
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--jitter", type=float, default=0.0, help="share of the latency")
    parser.add_argument("--tokens", type=int, default=100, help="length of an answer")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
