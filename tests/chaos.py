"""A server on 127.0.0.1 that fails in every way servers were seen to, and the same way every time.

What goes wrong with a request is drawn from the server's seed, what is asked, and how often it has
come before; an answer depends on the prompt and on seed + choice alone, as ``loopback.scripted``
has it. Every error repeats the key that it was sent. What is sent is in ``chaos_faults.py``, how it
is sent in ``chaos_wire.py``.

As a script, ``python tests/chaos.py --port-file F --log F [--habits JSON]`` serves until killed.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import orjson
from chaos_faults import ASTRAY, Asked, draw, http, pick, read_asked
from chaos_wire import Exchange, Habits

Event = dict[str, Any]
"""One line of the log: ``asked``, ``billed`` or ``delivered``, by its field ``what``."""


class Chaos:
    """The server, in a daemon thread with a loop of its own; use as a context manager."""

    def __init__(
        self, habits: Habits | None = None, *, log: Path | None = None, port: int = 0
    ) -> None:
        self.habits = habits or Habits()
        self.port = port
        self.events: list[Event] = []
        """The events, in order."""

        self._log = log.open("ab", buffering=0) if log else None
        self._attempts: Counter[object] = Counter()
        self._in_flight = 0
        self._ports: SimpleQueue[int] = SimpleQueue()
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Chaos":
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self.port = self._ports.get()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._log:
            self._log.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self._ports.put(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with suppress(*gone):
            while await self._exchange(reader, writer):
                pass
            await writer.drain()
        self._connections.discard(task)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and what it gets; whether the connection stays open."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if first.startswith("GET "):  # a list of models, which this server has not
            writer.write(http(404, b"{}", {}))
            return True
        body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
        key = headers.get("authorization", "none").removeprefix("Bearer ")
        asked = read_asked(first.split()[1], body, key, self._attempts)
        note = partial(self._note, asked)
        self._in_flight += 1
        try:
            kind = self._kind(asked)
            note("asked", kind=kind, in_flight=self._in_flight)
            return await Exchange(asked, self.habits, note, reader, writer).run(kind)
        finally:
            self._in_flight -= 1

    def _kind(self, asked: Asked) -> str | None:
        """Returns the kind of fault; None where nothing goes wrong."""
        habits = self.habits
        if habits.capacity is not None and self._in_flight > habits.capacity:
            return "over"
        if draw("refused", habits.seed, asked.prompt) < habits.refused:
            return "refused"
        if habits.one_choice and len(asked.seeds) > 1:
            return "one_choice"
        about = (habits.seed, asked.prompt, asked.seeds, asked.attempt)
        if asked.attempt >= habits.calm_after or draw("share", *about) >= habits.share:
            return None
        kind = pick(habits.kinds, draw("kind", *about))
        astray = kind in ASTRAY and self._attempts.total() <= habits.steady
        return "500" if astray else kind

    def _note(self, asked: Asked, what: str, **fields: object) -> None:
        event = {"what": what, "time": time.monotonic(), "prompt": asked.prompt,
                 "seeds": asked.seeds, **fields}  # fmt: skip
        self.events.append(event)
        if self._log:
            self._log.write(orjson.dumps(event) + b"\n")


def read_events(log: Path) -> list[Event]:
    """Returns the events that a server has logged so far."""
    return [orjson.loads(line) for line in log.read_bytes().splitlines()]


def sent_after_success(events: Iterable[Event]) -> list[Event]:
    """Requests for a sample of which a good answer had been delivered whole."""
    answered, again = set[tuple[str, int]](), []
    for event in events:
        samples = {(event["prompt"], seed) for seed in event["seeds"]}
        if event["what"] == "delivered":
            answered |= samples
        elif event["what"] == "asked" and samples & answered:
            again.append(event)
    return again


def bought_again(events: Iterable[Event]) -> int:
    """Good answers that hold a sample which had been delivered before."""
    delivered, again = set[tuple[str, int]](), 0
    for event in events:
        if event["what"] == "delivered":
            samples = {(event["prompt"], seed) for seed in event["seeds"]}
            again += bool(samples & delivered)
            delivered |= samples
    return again


@contextmanager
def chaos_process(
    folder: Path, habits: Habits, *, name: str = "chaos", port: int = 0
) -> Iterator[tuple[str, Path]]:
    """A server in a process of its own: its address and its log."""
    port_file, log = folder / f"{name}.port", folder / f"{name}.jsonl"
    command = [sys.executable, __file__, "--port-file", str(port_file), "--log", str(log),
               "--habits", orjson.dumps(asdict(habits)).decode(), "--port", str(port)]  # fmt: skip
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            while not port_file.exists():
                assert process.poll() is None
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text()}/v1", log
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--habits", default="{}", help="fields of Habits, as JSON")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    habits = Habits(**orjson.loads(options.habits))
    with Chaos(habits, log=options.log, port=options.port) as server:
        partial_file = options.port_file.with_suffix(".partial")
        partial_file.write_text(str(server.port))
        os.replace(partial_file, options.port_file)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
