"""A hub on 127.0.0.1: the routes that huggingface_hub calls to push a folder, and what came."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Any

from aiohttp import web

TOKEN = "hf_a-token-that-nobody-may-see"


@dataclass
class Repository:
    """The files that were pushed to one name."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class FakeHub:
    """The server, in a daemon thread with a loop of its own; use as a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        """The repositories by kind and name, such as ``datasets/me/sums``."""

        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Path with query, headers and body of every request."""

        self.broken = False
        """Whether it answers every commit with 500."""

        self._ports: SimpleQueue[int] = SimpleQueue()

    def __enter__(self) -> "FakeHub":
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._ports.get()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**26, middlewares=[self._checked])
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/validate-yaml", self._validate)
        app.router.add_get("/api/{kind}/{owner}/{name}", self._info)
        app.router.add_get("/api/{kind}/{owner}/{name}/tree/{revision}", self._tree)
        app.router.add_post("/api/{kind}/{owner}/{name}/preupload/{revision}", self._preupload)
        app.router.add_post("/api/{kind}/{owner}/{name}/commit/{revision}", self._commit)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._ports.put(runner.addresses[0][1])
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.path_qs, dict(request.headers), await request.read()))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "Invalid credentials"}, status=401)
        found: web.StreamResponse = await handler(request)
        return found

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        kind, name = f"{body['type']}s", f"{body['organization']}/{body['name']}"
        url = f"{self.url}/{kind}/{name}" if kind == "datasets" else f"{self.url}/{name}"
        there = f"{kind}/{name}" in self.repositories
        if not there:
            private = body.get("visibility") == "private"
            self.repositories[f"{kind}/{name}"] = Repository(private)
        return web.json_response({"url": url}, status=409 if there else 200)

    async def _validate(self, request: web.Request) -> web.Response:
        assert (await request.json())["content"].startswith("---\n")
        return web.json_response({"errors": [], "warnings": []})

    def _repository(self, request: web.Request) -> Repository:
        return self.repositories["{kind}/{owner}/{name}".format(**request.match_info)]

    async def _info(self, request: web.Request) -> web.Response:
        private = self._repository(request).private
        name = "{owner}/{name}".format(**request.match_info)
        return web.json_response({"id": name, "private": private, "sha": "0" * 40})

    async def _tree(self, request: web.Request) -> web.Response:
        files = self._repository(request).files
        return web.json_response(
            [
                {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
                for path, data in files.items()
            ]
        )

    async def _preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        modes = [
            {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files
        ]
        return web.json_response({"files": modes})

    async def _commit(self, request: web.Request) -> web.Response:
        if self.broken:
            sent = request.headers["Authorization"]
            return web.json_response({"error": f"out of order for {sent}"}, status=400)
        repository = self._repository(request)
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                repository.messages.append(value["summary"])
            elif entry["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "deletedFile":
                del repository.files[value["path"]]
        place = "{kind}/{owner}/{name}".format(**request.match_info).removeprefix("models/")
        commit = "0" * 40
        return web.json_response(
            {"commitUrl": f"{self.url}/{place}/commit/{commit}", "commitOid": commit}
        )
