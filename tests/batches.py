"""A loopback server that has a batch endpoint as well, with its own kinds of faults.

It counts every sample that it was made to draw, so that a test can see whether any was bought
twice.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from aiohttp import web
from loopback import Body, Loopback, prompt_of

Refusal = tuple[int, str]
"""Status and message of a line that gets no answer."""


@dataclass
class Trouble:
    """A fault of one call in place of its answer."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    """The call does its work, and the connection breaks before the answer."""

    hang: bool = False
    """The call does its work, and its answer never comes; ``BatchServer.hanging`` is set."""

    hang_first: bool = False
    """The same, before the work is done."""


@dataclass
class Made:
    """One batch."""

    shown: Body
    lines: list[Body]
    polls: int = 0


class BatchServer(Loopback):
    """Batches end once they were polled ``polls`` times."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = 2
        self.page_size = 100
        self.token_limit: int | None = None
        """Most lines in all batches under way; a batch above it fails."""

        self.expires_after: list[int] = []
        """Taken one by one by the batches that end: so many lines are answered, then it expires."""

        self.refuse: Callable[[Body, int], Refusal | None] = lambda body, tried: None
        """Whether a body is refused, which came so often before."""

        self.silent: set[str] = set()
        """Prompts whose lines are in neither file."""

        self.troubles: dict[str, list[Trouble]] = {}
        """The troubles of each call (list, upload, create, poll, content), taken one by one."""

        self.hanging = Event()
        self.keeps_metadata = True
        self.files: dict[str, bytes] = {}
        self.made: dict[str, Made] = {}
        self.calls: Counter[str] = Counter()
        self.headers: list[str | None] = []
        self.bought: Counter[tuple[str, int]] = Counter()
        """The number of samples drawn for each prompt and seed + choice."""

        self.tried: Counter[str] = Counter()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        super().add_routes(router)
        calls = [
            ("GET", "/v1/batches", "list", self._list),
            ("POST", "/v1/files", "upload", self._upload),
            ("POST", "/v1/batches", "create", self._create),
            ("GET", "/v1/batches/{id}", "poll", self._poll),
            ("GET", "/v1/files/{id}/content", "content", self._content),
        ]
        for method, path, name, handler in calls:
            router.add_route(method, path, self._troubled(name, handler))

    def _troubled(self, name: str, handler: Callable[[web.Request], Any]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls[name] += 1
            self.headers.append(request.headers.get("Authorization"))
            queue = self.troubles.get(name)
            trouble = queue.pop(0) if queue else None
            if trouble is not None and not (trouble.lost or trouble.hang or trouble.hang_first):
                told = {"error": {"message": f"scripted; sent {self.headers[-1]}"}}
                return web.json_response(told, status=trouble.status, headers=trouble.headers)
            if trouble is not None and trouble.hang_first:
                await self._hang(request)
            answer = await handler(request)
            if trouble is not None and trouble.hang:
                await self._hang(request)
            if trouble is not None and trouble.lost:
                assert request.transport is not None
                request.transport.abort()
            return answer  # type: ignore[no-any-return]

        return handle

    async def _hang(self, request: web.Request) -> None:
        if request.can_read_body:
            await request.read()
        self.hanging.set()
        await asyncio.sleep(3600)

    async def _list(self, request: web.Request) -> web.Response:
        newest = list(reversed(self.made.values()))
        after = request.query.get("after")
        start = 1 + next((n for n, each in enumerate(newest) if each.shown["id"] == after), -1)
        page = newest[start : start + min(self.page_size, int(request.query["limit"]))]
        return web.json_response(
            {
                "object": "list",
                "data": [each.shown for each in page],
                "last_id": page[-1].shown["id"] if page else None,
                "has_more": start + len(page) < len(newest),
            }
        )

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        part = form["file"]
        assert isinstance(part, web.FileField)
        assert part.filename.endswith(".jsonl")
        with part.file as file:
            content = file.read()
        return web.json_response({"id": self._keep(content), "object": "file"})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert {line["url"] for line in lines} == {body["endpoint"]}
        under_way = sum(
            len(each.lines) for each in self.made.values() if each.shown["status"] == "in_progress"
        )
        shown = {
            "id": f"batch-{len(self.made)}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "output_file_id": None,
            "error_file_id": None,
            "status": "validating",
            "errors": None,
            "metadata": body["metadata"] if self.keeps_metadata else None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        answer = web.json_response(shown)
        shown["status"] = "in_progress"
        if self.token_limit is not None and under_way + len(lines) > self.token_limit:
            error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
            shown |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        self.made[shown["id"]] = Made(shown, lines)
        return answer

    async def _poll(self, request: web.Request) -> web.Response:
        made = self.made[request.match_info["id"]]
        made.polls += 1
        if made.polls >= self.polls:
            await self.finish(made)
        return web.json_response(made.shown)

    async def _content(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["id"])
        if content is None:
            return web.json_response({"error": {"message": "No such File object"}}, status=404)
        return web.Response(body=content, content_type="application/octet-stream")

    async def finish(self, made: Made) -> None:
        """Answer the lines of a batch, in an order of the server's own."""
        if made.shown["status"] != "in_progress":
            return
        limit = self.expires_after.pop(0) if self.expires_after else len(made.lines)
        output: list[Body] = []
        errors: list[Body] = []
        for place, line in enumerate(reversed(made.lines)):
            entry: Body = {"id": f"req-{place}", "custom_id": line["custom_id"], "error": None}
            if prompt_of(line["body"]) in self.silent:
                continue
            if place >= limit:
                error = {"code": "batch_expired", "message": "This request could not be executed"}
                errors.append({**entry, "response": None, "error": error})
                continue
            status, body = await self._line(made.shown["endpoint"], line["body"])
            entry["response"] = {"status_code": status, "request_id": "r", "body": body}
            (output if status == 200 else errors).append(entry)
        made.shown["status"] = "expired" if limit < len(made.lines) else "completed"
        made.shown["output_file_id"] = self._lines(output)
        made.shown["error_file_id"] = self._lines(errors)
        made.shown["request_counts"] |= {"completed": len(output), "failed": len(errors)}

    async def _line(self, path: str, body: Body) -> tuple[int, Body]:
        tried = self.tried[prompt_of(body)]
        self.tried[prompt_of(body)] += 1
        refusal = self.refuse(body, tried)
        if refusal is not None:
            return refusal[0], {"error": {"message": refusal[1]}}
        reply = await self._reply(path, body)
        for choice in reply["choices"]:
            self.bought[prompt_of(body), body.get("seed", 0) + choice["index"]] += 1
        return 200, reply

    def _lines(self, entries: Iterable[Body]) -> str | None:
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        return self._keep(text.encode()) if text else None

    def finish_all(self) -> None:
        """Let all batches end, as hours do."""
        for made in list(self.made.values()):
            asyncio.run_coroutine_threadsafe(self.finish(made), self._loop).result()

    def forget_file(self, name: str) -> None:
        """Delete a file, as providers do after a month."""
        del self.files[name]


def main() -> None:
    """``python tests/batches.py BASE_URL STORE QUESTIONS``: ask and store, then say how many."""
    import sys

    from potstill.models.openai.model import OpenAIModel
    from potstill.models.settings import OpenAISettings
    from potstill.runtime import Runtime
    from potstill.runtime.budget import Budget
    from potstill.runtime.context import RunContext
    from potstill.runtime.progress import Meter
    from potstill.sampling.ask import complete_missing
    from potstill.store import Store

    url, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    settings = OpenAISettings(
        model="openai:tiny", base_url=url, mode="batch", poll_seconds=0.02, api_key_env=None
    )
    control = Runtime(budget=Budget(journal=folder / "spending.jsonl"))
    with Store(folder / "run.sqlite") as store:
        model = OpenAIModel(settings, control)
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        counts = complete_missing(model, requests(count), context, label="asking", stage="generate")
    sys.stdout.write(f"{counts.there} {counts.stored} {counts.failed}")


def requests(count: int) -> list[Any]:
    """Questions of two samples each."""
    from potstill.records import Request

    return [
        Request(prompt=f"What is {n} + 1?", samples=(0, 1), temperature=0.7, max_tokens=64)
        for n in range(count)
    ]


if __name__ == "__main__":
    main()
