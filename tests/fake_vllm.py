"""Stands in for the command ``vllm`` in tests: a loopback server that is ready after a while.

``FAKE_VLLM`` in the environment says how it behaves, as JSON: ``delay`` seconds before it answers,
``dies`` with a message, ``dies_after`` so many requests, ``deaf`` to SIGTERM, ``notes``: a file
that takes one JSON line a start, with the process ids of the server and of a worker of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aiohttp import web
from loopback import Loopback


class Served(Loopback):
    """A loopback server with ``/health``."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        super().add_routes(router)
        router.add_get("/health", self._health)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()


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
    with Served(port=port) as server:
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
