"""The server of ``chaos.py``: sends answers whole, late, piece by piece, or not at all."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos_faults import FAULTS, REFUSALS, Answer, Asked, answer, draw, http, refusal, usage


@dataclass(frozen=True, kw_only=True)
class Habits:
    """The behaviour of a server."""

    seed: int = 0
    share: float = 0.3
    """The share of the tries that go wrong."""

    kinds: dict[str, float] = field(default_factory=lambda: dict(FAULTS))
    """The kinds of faults, by weight."""

    calm_after: int = 1000
    """Tries of one request after which nothing goes wrong with it any more."""

    steady: int = 0
    """Requests at first of which none is led astray (404, or a redirect), as a run would end."""

    refused: float = 0.0
    """The share of the prompts that are answered 400 at every try."""

    latency: float = 0.0
    """Seconds before an answer, on average; drawn evenly between nothing and twice as much."""

    capacity: int | None = None
    """The number of requests in flight above which others are answered 429 at once."""

    one_choice: bool = False
    """Whether n above 1 is answered 400."""

    words: str = "no luck today with {key}"
    """The text of every error; ``{key}`` stands for the key that was sent."""

    prices: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """US dollars a million tokens of prompts, of prompts that were cached, and of answers."""


Note = Callable[..., None]
"""Told ``what`` happened to a request, with further fields."""

HEADERS = {
    "wrong_type": {"Content-Type": "image/png"},
    "html": {"Content-Type": "text/html"},
    "wrong_encoding": {"Content-Encoding": "gzip"},
}
"""The headers of answers that go out whole, by kind of fault."""


class Exchange:
    """One request and what it gets; every method says whether the connection stays open."""

    def __init__(
        self,
        asked: Asked,
        habits: Habits,
        note: Note,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._asked, self._habits, self._note = asked, habits, note
        self._reader, self._writer = reader, writer

    async def run(self, kind: str | None) -> bool:
        """Do what the kind of fault says; None is no fault."""
        match kind:
            case "stall":
                return await self._hung_up()
            case "late":
                await self._generate(kind)
                return await self._hung_up()
            case "reset_before":
                return self._reset()
            case "504_billed":
                await self._generate(kind)
        if kind in REFUSALS:
            await self._send(refusal(kind, self._asked.key, self._habits.words))
            return True
        made = await self._generate(kind)
        stays = await self._deliver(kind, made)
        if made.seeds:
            self._note("delivered", seeds=made.seeds)
        return stays

    async def _generate(self, kind: str | None) -> Answer:
        """Make an answer and bill it: from then on it is owed for, whether it arrives or not."""
        asked, habits = self._asked, self._habits
        about = (asked.prompt, asked.seeds, asked.attempt)
        await asyncio.sleep(2 * habits.latency * draw("latency", habits.seed, *about))
        used = usage(asked, habits.seed)
        read, written = used["prompt_tokens"], used["completion_tokens"]
        cached = used["prompt_tokens_details"]["cached_tokens"]
        for_prompt, for_cached, for_answer = habits.prices
        usd = for_prompt * (read - cached) + for_cached * cached + for_answer * written
        if kind != "html":  # a page to log in on stands before the model
            self._note("billed", tokens=read + written, usd=usd / 1e6)
        return answer(asked, kind, used)

    async def _deliver(self, kind: str | None, made: Answer) -> bool:
        content, length = made.content, len(made.content)
        match kind:
            case "garbage" | "bad_header":
                await self._send(content)
                return False
            case "reset_within":
                await self._send(http(200, content, {})[: -(length // 2)])
                return self._reset()
            case "long_length":
                await self._send(http(200, content, {"Content-Length": str(length + 100)}))
                return False
            case "short_length":
                await self._send(http(200, content, {"Content-Length": str(length - 20)}))
            case "drip_for_ever":
                whole = http(200, content, {"Content-Length": "1000000"})
                await self._send(whole, *[b" "] * 1_000_000)
            case "drip":
                whole = http(200, content, {})
                await self._send(*(whole[n : n + 80] for n in range(0, len(whole), 80)))
            case "blanks":
                head = http(200, b"", {"Content-Length": str(length + 5)})
                await self._send(head, *[b"\n"] * 5, content)
            case _:
                await self._send(http(200, content, HEADERS.get(kind or "", {})))
        return True

    async def _send(self, *parts: bytes) -> None:
        """Send the parts, with a pause between them."""
        for place, part in enumerate(parts):
            if place:
                await asyncio.sleep(0.005)
            self._writer.write(part)
            await self._writer.drain()

    async def _hung_up(self) -> bool:
        """Wait until the client has closed the connection."""
        await self._reader.read()
        return False

    def _reset(self) -> bool:
        """End the connection by a reset in place of the usual farewell."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._writer.transport.abort()
        return False
