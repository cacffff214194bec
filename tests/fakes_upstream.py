"""Scripted OpenAI-compatible upstreams that stream, and the guided server in front of them.

Tokens are words: a prompt has as many as its turns, the answer prefix included.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread
from types import ModuleType
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import openai
import uvicorn.server
from aiohttp import web

from potstill.guide.thresholds import FittedGates
from potstill.guide.uncertainty import Classifier
from potstill.serve.server import Server, make_server
from potstill.serve.settings import ServeSettings

Body = dict[str, Any]
Script = Callable[[Body], str]

QUESTION: Any = [{"role": "user", "content": "What is 20 + 22?"}]
STEP = "First add the tens."
REST = " Then the ones. The answer is 42."
ALONE = "We guess. The answer is 7."


def prefix_of(body: Body) -> str:
    """The answer so far."""
    return str(body["messages"][-1]["content"]) if body.get("continue_final_message") else ""


def student_says(body: Body) -> str:
    """Returns the right solution behind a step of the teacher, and a wrong one without it."""
    prompt = str(body["prompt"]) if "prompt" in body else prefix_of(body)
    return REST if STEP in prompt else ALONE


def teacher_says(body: Body) -> str:
    return " Then add the ones. And more." if STEP in prefix_of(body) else f"{STEP} And so on."


def words_in(body: Body) -> int:
    """Tokens of a body's prompt."""
    text = " ".join(turn["content"] for turn in body.get("messages", [])) or body["prompt"]
    return len(text if isinstance(text, list) else text.split())


class FakeUpstream:
    """A server in a daemon thread, with faults on demand; use as a context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.delay = 0.0
        """Seconds before an answer."""

        self.status = 200
        self.models_status: int | None = None
        """The status of the list of models, where it is another."""

        self.further: Body = {}
        """Fields of every choice that is not streamed, over its own."""

        self.beside_error: Body = {}
        """Further fields of the body of an error."""

        self.echo = False
        """Whether errors repeat the Authorization header and the prompt."""

        self.gate = Event()
        """While it is cleared, a stream stops after its first piece and waits."""

        self.largest_n = 99
        self.streams = True
        self.bodies: list[Body] = []
        self.keys: list[str | None] = []
        self.cancelled = 0
        self.gate.set()
        self._ports: SimpleQueue[int] = SimpleQueue()

    def __enter__(self) -> "FakeUpstream":
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self.port = self._ports.get()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/v1/completions", self._handle)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._ports.put(runner.addresses[0][1])
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": []}, status=self.models_status or self.status)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        try:
            await asyncio.sleep(self.delay)
            if self.status != 200:
                told = f"{request.headers} {body}" if self.echo else "scripted fault"
                error = {"error": {"message": told}, **self.beside_error}
                return web.json_response(error, status=self.status)
            if body.get("stream") and self.streams:
                return await self._stream(request, body)
            return web.json_response(self._whole(body))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _answers(self, body: Body) -> list[tuple[str, str]]:
        """Text and finish reason of each choice, cut at stop strings and the longest answer."""
        found = []
        for _ in range(min(body.get("n", 1), self.largest_n)):
            text, reason = self.script(body), "stop"
            ends = [at for stop in body.get("stop", []) if (at := text.find(stop)) >= 0]
            text = text[: min(ends, default=len(text))]
            if len(text.split()) > body["max_tokens"]:
                text, reason = " ".join(text.split()[: body["max_tokens"]]), "length"
            found.append((text, reason))
        return found

    def _usage(self, body: Body, answers: list[tuple[str, str]]) -> Body:
        written = sum(len(text.split()) for text, _ in answers)
        return {"prompt_tokens": words_in(body), "completion_tokens": written}

    def _whole(self, body: Body) -> Body:
        answers, choices = self._answers(body), []
        for place, (text, reason) in enumerate(answers):
            said = {"message": {"content": text}} if "messages" in body else {"text": text}
            choice: Body = {"index": place, **said, "finish_reason": reason}
            if body.get("logprobs"):
                top = [{"token": "a", "bytes": [97], "logprob": -0.5}]
                entry = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": top}
                choice["logprobs"] = {"content": [entry] * len(text.split())}
            choices.append(choice | self.further)
        return {"choices": choices, "usage": self._usage(body, answers)}

    async def _stream(self, request: web.Request, body: Body) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        answers = self._answers(body)
        for place, (text, reason) in enumerate(answers):
            for word in re.findall(r"\s*\S+|\s+$", text):
                await self._event(response, body, place, word, None)
                while not self.gate.is_set():
                    await asyncio.sleep(0.005)
            await self._event(response, body, place, "", reason)
        await _send(response, {"choices": [], "usage": self._usage(body, answers)})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _event(
        self,
        response: web.StreamResponse,
        body: Body,
        place: int,
        text: str,
        reason: str | None,
    ) -> None:
        said = {"delta": {"content": text}} if "messages" in body else {"text": text}
        choice = {"index": place, **said, "finish_reason": reason}
        await _send(response, {"choices": [choice]})


async def _send(response: web.StreamResponse, content: Body) -> None:
    await response.write(f"data: {json.dumps(content)}\n\n".encode())


def settings_for(
    student: FakeUpstream, teacher: FakeUpstream | None = None, /, **changes: Any
) -> ServeSettings:
    """Settings of a server in front of these two, on any free port."""

    def side(upstream: FakeUpstream) -> Body:
        return {
            "model": "openai:tiny",
            "base_url": upstream.url,
            "api_key_env": None,
            "prefill": "continue_final_message",  # else it would be found out by further requests
        }

    values: Body = {"student": side(student), "port": 0, "temperature": 0.0}
    if teacher is not None:
        values["teacher"] = side(teacher)
    for name, change in changes.items():
        values[name] = {**values[name], **change} if name in ("student", "teacher") else change
    return ServeSettings.model_validate(values)


def client_of(url: str, key: str = "unused") -> openai.OpenAI:
    """A client that tries once; it reads no certificates, which takes longer than most tests."""
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=False),
    )  # fmt: skip


def hasty_asyncio() -> ModuleType:
    """The module asyncio, but for waits that take a twentieth of their time."""
    module = ModuleType("asyncio")
    module.__dict__.update(vars(asyncio))
    module.__dict__["sleep"] = lambda seconds: asyncio.sleep(seconds / 20)
    return module


class Served:
    """A running server."""

    def __init__(self, server: Server, listening: socket.socket) -> None:
        self.server = server
        self.port: int = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = client_of(self.url)
        self.thread = Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)


def even_at(surprise: float) -> FittedGates:
    """A judge that looks at the least likely token, and is undecided where its surprise is this."""
    classifier = Classifier(
        mean=(0.0,) * 5,
        scale=(1.0,) * 5,
        weights=(0.0, 1.0, 0.0, 0.0, 0.0),
        bias=-surprise,
        slope=10.0,
        offset=0.0,
    )
    return FittedGates(thresholds={"learned": 0.4}, classifier=classifier)


@contextmanager
def served(settings: ServeSettings) -> Iterator[Served]:
    """Serve in a thread; uvicorn looks oftener than it would whether it shall stop."""
    server, listening = make_server(settings)
    running = Served(server, listening)
    with patch.object(uvicorn.server, "asyncio", hasty_asyncio()):
        running.thread.start()
        try:
            while not server.started:
                assert running.thread.is_alive()
                time.sleep(0.001)
            yield running
        finally:
            running.client.close()
            server.handle_exit(15, None)
            running.thread.join(10)
            listening.close()


def chat(running: Served, **fields: Any) -> Any:
    fields = {"model": "openai:tiny", "messages": QUESTION} | fields
    return running.client.chat.completions.create(**fields)


def get(running: Served, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"{running.url}{path}") as response:
            return response.status, response.read().decode()
    except OSError as error:
        return getattr(error, "code", 0), error.read().decode()  # type: ignore[attr-defined]


def own(answer: Any) -> Body:
    """The server's extension of an answer."""
    return dict(answer.model_extra["potstill"])


def raw(running: Served, content: bytes) -> bytes:
    """Returns the bytes that the server sends on one connection until it closes it."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def post_head(*headers: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.005)
