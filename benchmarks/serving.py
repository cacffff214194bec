"""The guided server under load, and the milliseconds that it adds to a bare student.

Student and teacher are scripted servers in one process of their own, the guided server runs in
another as ``potstill serve`` does, and this one asks. Under load, as many clients as are said ask
one request after another; the teacher answers two in ten with an error and lets one in ten hang.
Every answer is held against what it says of itself: with the teacher's step it has to be the one
text, without it the other. The resident memory of the server is read every second, and its growth
is taken from the end of the warm-up to the end of the load, each as the median of five readings.

The added latency is that of one client that asks the bare student and the guided server in turns,
without guidance: the time to a whole answer, and to the first word of a stream.

    python benchmarks/serving.py               # 200 clients for 60 seconds; --help shows the rest
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
from aiohttp import web
from machine import facts, write_results

STEP, REST, ALONE = "First add the tens.", " Then the ones. The answer is 42.", "The answer is 7."
QUESTION = {"messages": [{"role": "user", "content": "What is 20 + 22?"}], "temperature": 0}
FAILS, HANGS = 0.2, 0.1
"""Shares of the teacher's requests."""

TEACHER_SECONDS = 1.0
WARM_UP = 0.2
"""The share of the load's seconds that warms up and is not counted."""

SERVE = """
import json, sys
from potstill.serve.server import serve
from potstill.serve.settings import ServeSettings
serve(ServeSettings.model_validate(json.loads(sys.argv[1])))
"""


def stub() -> None:
    """Serve the scripted student and teacher until killed; the port goes to standard output."""
    turn = 0

    async def student(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        guided = body["messages"][-1]["role"] == "assistant"
        text = REST if guided else ALONE
        return await _stream(request, text) if body.get("stream") else _reply(text)

    async def teacher(_: web.Request) -> web.StreamResponse:
        nonlocal turn
        turn += 1
        place = (turn * 7919) % 1000 / 1000  # spread evenly, and the same in every run
        if place < FAILS:
            return web.Response(status=500)
        if place < FAILS + HANGS:
            await asyncio.sleep(30)
        return _reply(STEP)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/student/chat/completions", student)
        app.router.add_post("/teacher/chat/completions", teacher)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def _reply(text: str) -> web.Response:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 7}
    return web.json_response(body=orjson.dumps({"choices": [choice], "usage": usage}))


async def _stream(request: web.Request, text: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in [*re.findall(r"\s*\S+", text), ""]:
        reason = None if word else "stop"
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": reason}
        await response.write(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


class Running(NamedTuple):
    """The servers that run."""

    upstream: str
    """The address of the scripted servers."""

    server: str
    """The address of the guided server."""

    pid: int
    """The guided server's process id."""


@contextmanager
def running() -> Iterator[Running]:
    """Start the scripted servers and the guided one."""
    stubs = subprocess.Popen([sys.executable, __file__, "--stub"], stdout=subprocess.PIPE)
    assert stubs.stdout is not None
    upstream = f"http://127.0.0.1:{int(stubs.stdout.readline())}"
    settings = {
        "student": _model(f"{upstream}/student"),
        "teacher": _model(f"{upstream}/teacher"),
        # Waits that end together can be enough failures in a row for a rest, by default of 10
        # seconds: a short measurement would then be of the student alone.
        "teacher_limits": {"seconds": TEACHER_SECONDS, "rest": 1.0},
        "port": 0,
    }
    command = [sys.executable, "-c", SERVE, json.dumps(settings)]
    log = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert log.stderr is not None
    server = log.stderr.readline().decode().split()[-1]
    # The lines of the requests are read by nobody; a full pipe would stop the server.
    drain = subprocess.Popen(["cat"], stdin=log.stderr, stdout=subprocess.DEVNULL)
    try:
        yield Running(upstream, server, log.pid)
    finally:
        for process in (log, stubs, drain):
            process.terminate()
            process.wait()
        stubs.stdout.close()
        log.stderr.close()


def _model(url: str) -> dict[str, object]:
    own: dict[str, object] = {"model": "openai:tiny", "base_url": url, "api_key_env": None}
    return own | {"prefill": "continue_final_message"}  # the stub goes on from what is begun


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections without a limit of their number."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as opened:
        yield opened


def resident(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert memory is not None
    return int(memory[1]) / 1024


class Load:
    """Clients that ask at once, and what they saw."""

    def __init__(self, place: Running, clients: int, seconds: float) -> None:
        self._place, self._clients, self._seconds = place, clients, seconds
        self.seconds_each: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.memory: list[float] = []

    async def run(self) -> dict[str, Any]:
        """Ask, and sum up."""
        async with session() as asking:
            watching = asyncio.create_task(self._events())
            until = time.monotonic() + self._seconds
            workers = [self._client(asking, until) for _ in range(self._clients)]
            await asyncio.gather(*workers)
            watching.cancel()
        return self._summary()

    async def _client(self, asking: aiohttp.ClientSession, until: float) -> None:
        while time.monotonic() < until:
            begun = time.perf_counter()
            try:
                url = f"{self._place.server}/chat/completions"
                async with asking.post(url, json=QUESTION) as response:
                    outcome = _outcome(response.status, await response.read())
            except aiohttp.ClientError as error:
                outcome = f"lost: {type(error).__name__}"
            self.seconds_each.append(time.perf_counter() - begun)
            self.outcomes[outcome] += 1

    async def _events(self) -> None:
        while True:
            self.memory.append(resident(self._place.pid))
            await asyncio.sleep(self._seconds / 60)

    def _summary(self) -> dict[str, Any]:
        taken = sorted(self.seconds_each)
        warm = round(len(self.memory) * WARM_UP)
        before, after = self.memory[warm : warm + 5], self.memory[-5:]
        return {
            "clients": self._clients,
            "seconds": self._seconds,
            "requests": len(taken),
            "requests_per_second": len(taken) / self._seconds,
            "outcomes": dict(self.outcomes),
            "lost": sum(count for name, count in self.outcomes.items() if name.startswith("lost")),
            "median_seconds": statistics.median(taken),
            "p99_seconds": taken[int(0.99 * len(taken))],
            "longest_seconds": taken[-1],
            "memory_mib": statistics.median(after),
            "memory_growth_mib": statistics.median(after) - statistics.median(before),
        }


def _outcome(status: int, content: bytes) -> str:
    """``guided`` or ``silent``, where the text is the one that goes with it."""
    if status != 200:
        return f"lost: status {status}"
    answer = orjson.loads(content)
    guidance = answer["potstill"]["guidance"]
    text = answer["choices"][0]["message"]["content"]
    if guidance["guided"] and not guidance["silent"] and text == STEP + REST:
        return "guided"
    return "silent" if guidance["silent"] and text == ALONE else "lost: wrong text"


async def _whole(asking: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> float:
    """Milliseconds to a whole answer."""
    begun = time.perf_counter()
    async with asking.post(f"{url}/chat/completions", json=body) as response:
        await response.read()
    return 1000 * (time.perf_counter() - begun)


async def _first_word(asking: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> float:
    """Milliseconds to the first word of a stream, which is then read to its end."""
    begun, first = time.perf_counter(), 0.0
    async with asking.post(f"{url}/chat/completions", json={**body, "stream": True}) as response:
        async for line in response.content:
            if not first and b'"content":"The"' in line:
                first = 1000 * (time.perf_counter() - begun)
    return first


async def latency(place: Running, rounds: int) -> dict[str, Any]:
    """Medians of the bare student and of the guided server without guidance, asked in turns."""
    bare_url = f"{place.upstream}/student"
    unguided = {**QUESTION, "guidance": "never"}
    results = {}
    async with session() as asking:
        for name, ask in (("whole", _whole), ("first_word", _first_word)):
            bare, ours = [], []
            for _ in range(rounds):
                bare.append(await ask(asking, bare_url, QUESTION))
                ours.append(await ask(asking, place.server, unguided))
            results[name] = _medians(bare, ours)
    return results


def _medians(bare: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    medians = statistics.median(bare), statistics.median(ours)
    added = medians[1] - medians[0]
    return {"bare_ms": medians[0], "served_ms": medians[1], "added_ms": added}


def measure(clients: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Both measurements, with one server."""
    with running() as place:
        added = asyncio.run(latency(place, rounds))
        load = asyncio.run(Load(place, clients, seconds).run())
    return {"latency": added, "load": load}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stub:
        stub()
        return
    results = measure(arguments.clients, arguments.seconds, arguments.rounds)
    print(json.dumps(results, indent=2))
    if arguments.json:
        machine = facts("aiohttp", "fastapi", "uvicorn")
        write_results(arguments.json, {"machine": machine, **results})


if __name__ == "__main__":
    main()
