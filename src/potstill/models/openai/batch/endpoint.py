"""A server's batch endpoint, for code that is not asynchronous.

:class:`BatchEndpoint` has the calls of
:class:`~potstill.models.openai.batch.async_endpoint.AsyncBatchEndpoint`, run by an event loop in a
thread of its own, and ends whatever it waits for once the run is to stop.
"""

import asyncio
import tempfile
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import wait
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

from potstill.models.openai.batch.async_endpoint import AsyncBatchEndpoint
from potstill.models.openai.client import LARGEST_ANSWER
from potstill.models.openai.http_errors import Halted
from potstill.models.openai.lenient_json import read_json
from potstill.models.openai.requests import Json
from potstill.models.settings import OpenAISettings
from potstill.runtime import Runtime

T = TypeVar("T")

STOP_POLL_SECONDS = 0.1
"""How often it is looked, while a server is waited for, whether the run is to stop."""


class BatchEndpoint:
    """A batch endpoint, for one thread; use as a context manager.

    Args:
        settings: The server's address and how it is asked.
        key: The server's key.
        runtime: Once its ``stop`` is set, whatever is being waited for raises :class:`Halted`.
    """

    def __init__(self, settings: OpenAISettings, key: str | None, runtime: Runtime) -> None:
        self._settings, self._key, self._runtime = settings, key, runtime
        self._loop = asyncio.new_event_loop()
        # A loop in a thread of its own, since the caller's may run one, as notebooks do.
        self._thread = Thread(target=self._loop.run_forever, name="potstill-batches", daemon=True)

    def __enter__(self) -> "BatchEndpoint":
        self._thread.start()
        self._endpoint = self._run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._endpoint.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> AsyncBatchEndpoint:
        return AsyncBatchEndpoint(self._settings, self._key, self._runtime)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._runtime.stop.is_set():
            work.close()
            raise Halted
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not wait([future], STOP_POLL_SECONDS).done:
                if self._runtime.stop.is_set():
                    raise Halted
            return future.result()
        finally:
            future.cancel()

    def wait(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            Halted: The run is to stop.
        """
        if self._runtime.stop.wait(seconds):
            raise Halted

    def batches(self) -> Iterator[Json]:
        """Yields all batches of the account, the newest first.

        Raises:
            ServerError: The server has no batch endpoint, or does not answer.
            AuthError: It refuses the key.
        """
        after: str | None = None
        seen: set[str] = set()
        while True:
            page = self._run(self._endpoint.page(after))
            fresh = {batch["id"]: batch for batch in page["data"] if batch["id"] not in seen}
            yield from fresh.values()
            if not page.get("has_more") or not fresh:
                return
            seen |= fresh.keys()
            after = page["data"][-1]["id"]

    def batch(self, id_: str) -> Json:
        """Returns a batch as it stands now."""
        return self._run(self._endpoint.batch(id_))

    def create(self, lines: bytes, *, route: str, metadata: dict[str, str]) -> Json:
        """Uploads lines and makes a batch of them, once only; returns the batch.

        Args:
            lines: The input file, JSONL.
            route: The route that its bodies go to, such as ``/v1/chat/completions``.
            metadata: Kept with the batch. Where the answer of the server is lost on the way, the
                batch is found by it.
        """
        return self._run(self._endpoint.create(lines, route, metadata))

    def clean(self, text: str) -> str:
        """Returns a server's words on one line, short and without the key."""
        return self._endpoint.clean(text)

    def lines(self, file_id: str | None) -> Iterator[Json]:
        """Yields the lines of a file as JSON; none where the file is not there, or not any more."""
        if file_id is None:
            return
        with tempfile.TemporaryFile() as file:
            if not self._run(self._endpoint.download(file_id, file)):
                return
            file.seek(0)
            for entry in entries_in(map(self._endpoint.masked, file)):
                response = entry.get("response")
                if isinstance(response, dict) and isinstance(response.get("body"), dict):
                    self._endpoint.masked_reply(response["body"])
                yield entry


def entries_in(lines: Iterable[bytes]) -> Iterator[Json]:
    """Yields the objects in lines of JSON, of which a raw line break may have cut one in several.

    Lines that are none are left out: their requests count as not answered.
    """
    held = b""
    for line in lines:
        for content in (line, held + line) if held else (line,):
            try:
                entry = read_json(content)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
            held = b""
            break
        else:
            held = (held + line)[-LARGEST_ANSWER:]
