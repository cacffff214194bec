"""A server that speaks the chat and completions routes at next to no cost, for measuring clients.

Answers are made once and sent again as the bytes they are; what a prompt asks decides only which.
A prompt names its question as ``[q17]``: the answers to one question go through the texts in turn,
however many come with a request, and one question in ten (those that end in 7) is answered at
twice the length, so that a small ``max_tokens`` cuts it off. Of the probabilities one position in
twenty has two alternatives of the same text that differ in their bytes, as tokenizers with byte
tokens give them.

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
from pathlib import Path
from typing import NamedTuple

import orjson
from mock_answers import DRAWS, Wanted, answer, choice, http

QUESTION = re.compile(rb"\[q(\d+)\]")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Counts:
    """Counts of requests and answers."""

    def __init__(self) -> None:
        self.received = self.answered = self.samples = self.tokens = 0
        self.received_samples = 0
        self.first = self.last = 0.0
        self.times: list[float] = []
        """The time at which each sample was sent, in seconds."""

        self.turns: dict[bytes, int] = {}
        """Samples that were asked for, by question."""

        self.ready = time.process_time()
        """Processor time that was spent before the first request."""

    def as_json(self) -> bytes:
        """Returns the counts as JSON."""
        cpu = time.process_time() - self.ready
        counts = {"turns": len(self.turns), "cpu": cpu, "sustained": self.sustained, "times": None}
        return orjson.dumps({**vars(self), **counts})

    @property
    def sustained(self) -> float:
        """Samples a second between the first and the last quarter of all: neither start nor end."""
        quarter = len(self.times) // 4
        seconds = self.times[3 * quarter - 1] - self.times[quarter - 1] if quarter else 0.0
        return 2 * quarter / seconds if seconds else 0.0


class Connection(asyncio.Protocol):
    """One client's connection; asyncio's streams would cost more than all the rest."""

    def __init__(self, options: argparse.Namespace, counts: Counts) -> None:
        self._options, self._counts = options, counts
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()

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
            self._transport.write(http(self._counts.as_json()))
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
        number = (QUESTION.findall(body) or [b"0"])[-1]  # curator first asks something of its own
        n = asked.get("n") or 1
        before = self._counts.turns.get(number, 0)
        self._counts.turns[number] = before + n
        chat = b"/chat/" in head.partition(b"\r\n")[0]
        top = asked.get("top_logprobs") if chat else asked.get("logprobs")
        tokens = self._options.tokens * (2 if number.endswith(b"7") else 1)
        most = asked.get("max_tokens") or asked.get("max_completion_tokens") or tokens
        first = (17 * int(number) + before) % DRAWS
        return Wanted(chat, n, top or 0, first, min(tokens, most), most < tokens)

    def _answer(self, wanted: Wanted) -> None:
        if self._transport.is_closing():
            return
        counts = self._counts
        self._transport.write(answer(wanted))
        counts.answered += 1
        counts.samples += wanted.n
        counts.tokens += wanted.n * wanted.tokens
        counts.last = time.time()
        counts.times += [counts.last] * wanted.n


async def serve(options: argparse.Namespace) -> None:
    """Serve until killed; the port goes to standard output."""
    if options.top:
        for draw in range(DRAWS):
            choice(Wanted(True, 0, options.top, 0, options.tokens, False), draw)
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
    """The address that its routes begin with."""

    def stats(self) -> dict[str, float]:
        """Returns the counts of requests and answers so far."""
        with urllib.request.urlopen(self.url.replace("/v1", "/stats"), timeout=30) as reply:
            counts: dict[str, float] = json.load(reply)
        return counts


@cache
def cores() -> tuple[int, int]:
    """The client's core and the server's, of those that the first caller might use.

    They are the same where there is only one.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def serving(
    *, latency: float = 0.0, jitter: float = 0.0, tokens: int = 100, top: int = 0
) -> Iterator[Server]:
    """Run the server on its own core.

    Args:
        latency: Seconds before every answer.
        jitter: Share of the latency by which single answers are earlier or later, at most.
        tokens: Length of nine answers in ten; the tenth is twice as long.
        top: Probabilities that are going to be asked for, so that they are ready.
    """
    options = {"--latency": latency, "--jitter": jitter, "--tokens": tokens, "--top": top}
    flags = [str(word) for pair in options.items() for word in pair]
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
    parser.add_argument("--top", type=int, default=0, help="probabilities made beforehand")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
