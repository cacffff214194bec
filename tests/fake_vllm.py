"""Stands in for the command ``vllm`` in tests: a loopback server that is ready after a while.

``FAKE_VLLM`` in the environment says how it behaves, as JSON: ``delay`` seconds before it answers,
``goes_on`` from a begun answer, ``lists`` so many likeliest tokens, ``dies`` with a message,
``dies_after`` so many requests, ``deaf`` to SIGTERM, ``notes``: a file that takes one JSON line a
start, with the process ids of the server and of a worker of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from loopback import Body, Loopback, scripted


class Served(Loopback):
    """A loopback server with ``/health`` and ``/v1/models``."""

    def __init__(self, habits: Body, port: int) -> None:
        super().__init__(self.choices, port=port)
        self.habits = habits

    def choices(self, body: Body) -> list[Any]:
        begun = body["messages"][-1]["role"] == "assistant"
        if begun and self.habits.get("goes_on", True):
            return [{"message": {"content": "inary."}, "finish_reason": "stop"}]
        listed = self.habits.get("lists", 0) and body.get("top_logprobs", 0)
        return [
            {"message": {"content": text}, "finish_reason": "stop", **_logprobs(text, listed)}
            for text in scripted(body)
        ]

    def add_routes(self, router: web.UrlDispatcher) -> None:
        super().add_routes(router)
        router.add_get("/health", self._health)
        router.add_get("/v1/models", self._models)

    async def _models(self, _: web.Request) -> web.Response:
        options = sys.argv[sys.argv.index("serve") :]
        place = "--max-model-len" in options and options.index("--max-model-len") + 1
        model = {"id": options[1], **({"max_model_len": int(options[place])} if place else {})}
        return web.json_response({"data": [model]})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()


def _logprobs(text: str, top: int) -> Body:
    """One position with the whole text."""
    if not top:
        return {}
    likeliest = [{"token": f" {n}", "logprob": -1.0 - n} for n in range(top)]
    return {"logprobs": {"content": [
        {"token": text, "logprob": -0.5, "top_logprobs": likeliest}
    ]}}  # fmt: skip


def main() -> None:
    habits = json.loads(os.environ.get("FAKE_VLLM", "{}"))
    if habits.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = subprocess.Popen(["sleep", "3600"])
    port = int(sys.argv[sys.argv.index("--port") + 1])
    if "notes" in habits:
        note = {"pids": [os.getpid(), worker.pid], "arguments": sys.argv[1:], "port": port}
        note["key"] = os.environ.get("VLLM_API_KEY")
        with Path(habits["notes"]).open("a") as file:
            file.write(json.dumps(note) + "\n")
    sys.stderr.write("INFO loading weights\n")
    sys.stderr.flush()
    time.sleep(habits.get("delay", 0.0))
    if "dies" in habits:
        sys.exit(habits["dies"])
    with Served(habits, port) as server:
        if "dies_after" in habits:
            while len(server.bodies) < habits["dies_after"]:
                time.sleep(0.01)
            sys.stderr.write("CUDA out of memory\n")
            sys.stderr.flush()
            os._exit(1)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
