"""A real HTTP server on 127.0.0.1 that speaks both routes, with faults on demand.

As a script, ``python tests/loopback.py --port-file F [--log F] [--bundled]`` serves until killed
and logs every answered request as one JSON line.
"""

import argparse
import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from aiohttp import web

Body = dict[str, Any]
Answerer = Callable[[Body], list[Any]]
"""Returns the choices for a request's body: texts, or choices as JSON objects."""


CHOICE_TOKENS = 20
"""Tokens of each choice, unless a test says otherwise; a scripted text has 16 words."""

EVEN_USAGE: Body = {"prompt_tokens": 7}
"""Usage in which each choice has :data:`CHOICE_TOKENS` tokens, and the prompt has 7."""


def prompt_of(body: Body) -> str:
    """The prompt, or the last user message, with the answer prefix."""
    if "prompt" in body:
        return str(body["prompt"])
    last_user = next(turn for turn in reversed(body["messages"]) if turn["role"] == "user")
    return str(last_user["content"])


def scripted(body: Body) -> list[str]:
    """A made-up sum for every choice, which depends on the prompt and on seed + choice alone."""
    return [_sum(prompt_of(body), body.get("seed", 0) + n) for n in range(body.get("n", 1))]


def _sum(prompt: str, seed: int) -> str:
    digest = hashlib.sha256(f"{seed}\0{prompt}".encode()).digest()
    a, b = digest[0] % 90 + 10, digest[1] % 90 + 10
    return f"We begin with {a} and add {b}. {a} + {b} = {a + b}.\nThe answer is {a + b}."


def bundled() -> Answerer:
    """Answers of the bundled teacher."""
    from potstill.models import model_settings, open_model
    from potstill.records import Message, Request

    teacher = open_model(model_settings("bundled:teacher", at="loopback"))

    def answer(body: Body) -> list[str]:
        turns = tuple(Message(**turn) for turn in body.get("messages", []))
        request = Request(
            prompt=turns if turns and teacher.chat else prompt_of(body),
            samples=tuple(range(body.get("n", 1))),
            temperature=body.get("temperature", 1.0),
            top_p=body.get("top_p", 1.0),
            max_tokens=body.get("max_tokens", 128),
            stop=tuple(body.get("stop", ())),
            seed=body.get("seed", 0),
        )
        completions = sorted(teacher.complete([request]), key=lambda found: found.sample)
        return [completion.text for completion in completions]

    return answer


@dataclass
class Fault:
    """A fault of one request in place of an answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted fault"
    delay: float = 0.0
    reset: bool = False
    truncate: bool = False
    payload: bytes | None = None
    """Sent with status 200 in place of an answer."""


class Loopback:
    """The server, in a daemon thread with a loop of its own; use as a context manager."""

    def __init__(
        self, answerer: Answerer = scripted, *, log: Path | None = None, port: int = 0
    ) -> None:
        self.answerer = answerer
        self._port = port
        self.log = log
        self.delay = 0.0
        self.key: str | None = None
        self.largest_n: int | None = None
        self.usage: Body | None = EVEN_USAGE
        self.faults: list[Fault] = []
        """Taken one by one by the requests that come; answers afterwards."""

        self.bodies: list[Body] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = self.cancelled = 0
        self._answers_left: int | None = None
        """The number of requests that are still answered; None where all are."""

        self._ports: SimpleQueue[int] = SimpleQueue()

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self.port = self._ports.get()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def hold(self) -> None:
        """Answer nothing that comes until :meth:`release`."""
        self._answers_left = 0

    def release(self, count: int | None = None) -> None:
        """Answer so many requests, or all, of those that are held or come."""
        self._answers_left = count

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**26)
        self.add_routes(app.router)
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._ports.put(runner.addresses[0][1])
        await self._stop.wait()
        await runner.cleanup()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/chat/completions", self._handle)
        router.add_post("/v1/completions", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.times.append(time.monotonic())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._respond(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.paths.append(request.path)
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            told = f"wrong key: {request.headers.get('Authorization')}"
            return web.json_response({"error": {"message": told}}, status=401)
        fault = self.faults.pop(0) if self.faults else Fault()
        await asyncio.sleep(self.delay + fault.delay)
        while self._answers_left == 0:
            await asyncio.sleep(0.005)
        if self._answers_left is not None:
            self._answers_left -= 1
        if fault.reset:
            assert request.transport is not None
            request.transport.abort()
        if fault.status != 200:
            error = {"error": {"message": fault.message}}
            return web.json_response(error, status=fault.status, headers=fault.headers)
        if fault.payload is not None:
            return web.Response(body=fault.payload, content_type="application/json")
        content = json.dumps(await self._reply(request.path, body)).encode()
        if fault.truncate:
            content = content[: len(content) // 2]
        self._write_log(body)
        return web.Response(body=content, content_type="application/json")

    async def _reply(self, path: str, body: Body) -> Body:
        if self.largest_n is not None:
            body = {**body, "n": min(body.get("n", 1), self.largest_n)}
        if self.answerer is scripted:
            answers = self.answerer(body)
        else:
            answers = await asyncio.to_thread(self.answerer, body)
        choices = [
            answer if isinstance(answer, dict) else _choice(path, answer) for answer in answers
        ]
        reply: Body = {"choices": [{"index": n, **choice} for n, choice in enumerate(choices)]}
        usage = self.usage
        if usage is EVEN_USAGE:
            usage = {**usage, "completion_tokens": CHOICE_TOKENS * len(choices)}
        return reply if usage is None else {**reply, "usage": usage}

    def _write_log(self, body: Body) -> None:
        if self.log is None:
            return
        entry = {"prompt": prompt_of(body), "seed": body.get("seed"), "n": body.get("n", 1)}
        with self.log.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _choice(path: str, text: str) -> Body:
    if "chat" in path:
        message = {"role": "assistant", "content": text}
        return {"message": message, "finish_reason": "stop"}
    return {"text": text, "finish_reason": "stop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--bundled", action="store_true")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before every answer")
    options = parser.parse_args()
    if options.log:
        options.log.touch()
    with Loopback(bundled() if options.bundled else scripted, log=options.log) as server:
        server.delay = options.delay
        partial = options.port_file.with_suffix(".partial")
        partial.write_text(str(server.port))
        os.replace(partial, options.port_file)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
