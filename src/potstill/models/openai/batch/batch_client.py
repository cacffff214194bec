"""A server's batch endpoint, for one thread."""

import asyncio
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import wait
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

import orjson

from potstill.models.openai.batch.routes import Routes
from potstill.models.openai.http_errors import Halted
from potstill.models.openai.requests import Json
from potstill.models.settings import OpenAISettings
from potstill.runtime import Runtime

T = TypeVar("T")

BRAKE_SECONDS = 0.1
"""How often the run's brake is looked at while a server is waited for."""


class BatchClient:
    """A batch endpoint, for one thread; use as a context manager.

    Every call is repeated while it fails for reasons that may pass, at most for
    ``settings.deadline``.

    Args:
        settings: Where it is.
        key: The server's key.
        control: Once it says stop, whatever is being waited for raises :class:`Halted`.
    """

    def __init__(self, settings: OpenAISettings, key: str | None, control: Runtime) -> None:
        self._settings, self._key, self._control = settings, key, control
        self._loop = asyncio.new_event_loop()
        # A loop in a thread of its own, since the caller's may run one, as notebooks do.
        self._thread = Thread(target=self._loop.run_forever, name="potstill-batches", daemon=True)

    def __enter__(self) -> "BatchClient":
        self._thread.start()
        self._routes = self._run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._routes.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> Routes:
        return Routes(self._settings, self._key, self._control)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._control.stop.is_set():
            work.close()
            raise Halted
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not wait([future], BRAKE_SECONDS).done:
                if self._control.stop.is_set():
                    raise Halted
            return future.result()
        finally:
            future.cancel()

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            Halted: The run is to stop.
        """
        if self._control.stop.wait(seconds):
            raise Halted

    def batches(self) -> Iterator[Json]:
        """All batches of the account, the newest first.

        Raises:
            ServerError: The server has no batch endpoint, or does not answer.
            AuthError: It refuses the key.
        """
        after: str | None = None
        seen: set[str] = set()
        while True:
            page = self._run(self._routes.page(after))
            fresh = {batch["id"]: batch for batch in page["data"] if batch["id"] not in seen}
            yield from fresh.values()
            if not page.get("has_more") or not fresh:
                return
            seen |= fresh.keys()
            after = page["data"][-1]["id"]

    def batch(self, id_: str) -> Json:
        """A batch as it stands now."""
        return self._run(self._routes.batch(id_))

    def create(self, lines: bytes, *, route: str, metadata: dict[str, str]) -> Json:
        """Upload lines and make a batch of them, once only.

        Args:
            lines: The input file, JSONL.
            route: To which its bodies go, such as ``/v1/chat/completions``.
            metadata: Kept with the batch. Where the answer of the server is lost on the way, the
                batch is found by it.
        """
        return self._run(self._routes.create(lines, route, metadata))

    def clean(self, text: str) -> str:
        """A server's words on one line, short and without the key."""
        return self._routes.clean(text)

    def lines(self, file_id: str | None) -> Iterator[Json]:
        """The lines of a file as JSON; none of a file that is not there, or not any more."""
        if file_id is None:
            return
        with tempfile.TemporaryFile() as file:
            if not self._run(self._routes.download(file_id, file)):
                return
            file.seek(0)
            for line in file:
                try:
                    entry = orjson.loads(self._routes.masked(line))
                except orjson.JSONDecodeError:
                    continue  # its request counts as not answered
                if isinstance(entry, dict):
                    yield entry
