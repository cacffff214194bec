"""A server's batch endpoint over HTTP: files of requests, and batches made of them.

Format: https://platform.openai.com/docs/api-reference/batch
"""

import asyncio
import io
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import IO, TypeVar

import aiohttp
import orjson

from potstill.errors import ModelError, ServerError
from potstill.models.openai.client import Client, Tries, read_content
from potstill.models.openai.http_errors import Fault, connection_faults
from potstill.models.openai.lenient_json import read_json
from potstill.models.openai.requests import Json

T = TypeVar("T")

PAGE = 100
"""Batches listed at once; the most that servers give."""

SHORT_TIMEOUT = 60.0
"""Longest wait in seconds for an answer that is no file's content."""

CHUNK = 2**20
"""Bytes of a file that are taken at once."""

UNKNOWN_ROUTE = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


class _NotThere(Exception):
    """The server has no such route, file or batch."""


class AsyncBatchEndpoint(Client):
    """The calls of a batch endpoint. Belongs to the event loop in which it is made.

    Every call is repeated while it fails for reasons that may pass, at most for
    ``settings.deadline``.
    """

    def clean(self, text: str) -> str:
        """Returns a server's words on one line, short and without the key."""
        return self._clean(text)

    async def page(self, after: str | None) -> Json:
        """Returns one page of the account's batches, the newest first.

        Args:
            after: The id of the last batch of the page before.
        """
        query = {"limit": str(PAGE)} | ({} if after is None else {"after": after})
        page = await self.call("GET", "/batches", query=query)
        if not isinstance(page.get("data"), list):
            raise ServerError(f"{self._base_url}/batches lists no batches; set mode: live.")
        page["data"] = [batch for shown in page["data"] if (batch := batch_of(shown)) is not None]
        return page

    async def batch(self, id_: str) -> Json:
        """Returns a batch as it stands now."""
        return self._known(await self.call("GET", f"/batches/{id_}"), id_)

    async def create(self, lines: bytes, route: str, metadata: dict[str, str]) -> Json:
        """Uploads lines and makes a batch of them; see :class:`BatchEndpoint`."""
        # An upload that is repeated leaves a file that nobody uses, and costs nothing.
        uploaded = await self.call("POST", "/files", lines=lines)
        if not isinstance(uploaded.get("id"), str):
            raise ServerError(f"{self._base_url}/files names no file; set mode: live.")
        body = {
            "input_file_id": uploaded["id"],
            "endpoint": route,
            "completion_window": "24h",
            "metadata": metadata,
        }

        async def made() -> Json | None:
            newest = (await self.page(None))["data"]
            return next((batch for batch in newest if batch["metadata"] == metadata), None)

        return self._known(await self.call("POST", "/batches", body=body, made=made))

    def _known(self, reply: Json, id_: str | None = None) -> Json:
        """Returns the batch in an answer, which has the id that was asked for."""
        batch = batch_of(reply)
        if batch is None or id_ not in (None, batch["id"]):
            raise ServerError(
                f"{self._base_url}/batches answers with what is not the batch. What was answered "
                "is kept; batches run on; repeat the command later."
            )
        return batch

    async def download(self, file_id: str, file: IO[bytes]) -> bool:
        """Writes a file's content to disk; returns False where the server has it not."""

        async def try_() -> bool:
            file.seek(0)
            file.truncate()
            async with self._request("GET", f"/files/{file_id}/content") as response:
                async for chunk in response.content.iter_chunked(CHUNK):
                    _write(file, chunk)
            return True

        try:
            return await self._persist(try_)
        except _NotThere:
            return False

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        lines: bytes | None = None,
        made: Callable[[], Awaitable[Json | None]] | None = None,
    ) -> Json:
        """Makes one call and returns its answer, which is a JSON object.

        Args:
            method: ``GET`` or ``POST``.
            path: The part of the URL after the base URL.
            query: The URL's query.
            body: Sent as JSON.
            lines: Sent as an input file.
            made: Finds what a lost call made, so that it is not made twice.
        """

        async def try_() -> Json:
            data = None if body is None else orjson.dumps(body)
            async with self._request(method, path, query, data, lines) as response:
                content = self.masked(await read_content(response))
            try:
                reply = read_json(content)
            except ValueError:
                raise Fault("the server's answer is not valid JSON", retry=True) from None
            if not isinstance(reply, dict):
                raise Fault("the server's answer is no object", retry=True)
            return reply

        try:
            return await self._persist(try_, made)
        except _NotThere as error:
            raise ServerError(
                f"{self._base_url}{path} is not there ({error}): the server may have no batch "
                "endpoint. Set mode: live, or check base_url."
            ) from None

    async def _persist(
        self,
        try_: Callable[[], Awaitable[T]],
        made: Callable[[], Awaitable[T | None]] | None = None,
    ) -> T:
        """Tries until it succeeds, fails for good, or the deadline has passed."""
        tries = Tries(deadline=asyncio.get_running_loop().time() + self._settings.deadline)
        while True:
            try:
                result = await try_()
            except Fault as caught:
                fault = caught
            else:
                self._successes += 1
                return result
            pause = self._pause_after(fault, tries, paused=self._limiter.paused)
            if pause is None:
                self._events.failed(fault.kind, message=str(fault))
                hint = "batches run on; repeat the command later"
                if self._is_lost(fault, tries):
                    hint = "check base_url"
                raise ServerError(f"{self._base_url} does not answer ({fault}); {hint}.")
            await asyncio.sleep(pause)
            if made is not None and (there := await made()) is not None:
                return there

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        lines: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends one try, and gives its answer once its head is found good; the caller reads on."""
        is_file = lines is not None or path.endswith("/content")
        seconds = self._settings.timeout if is_file else min(self._settings.timeout, SHORT_TIMEOUT)
        timeout = aiohttp.ClientTimeout(
            total=None if is_file else seconds, sock_connect=30.0, sock_read=seconds
        )
        headers, data = (None, body) if lines is None else _form(lines)
        with connection_faults(seconds, self._clean):
            async with self._session.request(
                method,
                self._base_url + path,
                params=query,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                self._reached = True
                if response.status >= 300:
                    await self._not_ok(response)
                yield response

    async def _not_ok(self, response: aiohttp.ClientResponse) -> None:
        """Raises what an answer other than 200 means."""
        content = await read_content(response)
        if response.status in UNKNOWN_ROUTE:
            raise _NotThere(f"HTTP {response.status}")
        self._refuse(response.status, response.headers, content)


def batch_of(shown: object) -> Json | None:
    """Returns the batch in a server's answer, without what is not as documented; None if none.

    Its id and its status are texts, its files' ids texts or None, its metadata and errors are
    there, and its counts are numbers of lines.
    """
    if not isinstance(shown, dict):
        return None
    if not (isinstance(shown.get("id"), str) and isinstance(shown.get("status"), str)):
        return None
    metadata, counts, errors = (
        value if isinstance(value := shown.get(name), dict) else {}
        for name in ("metadata", "request_counts", "errors")
    )
    listed = errors.get("data")
    files = ("input_file_id", "output_file_id", "error_file_id")
    return {
        "id": shown["id"],
        "status": shown["status"],
        "metadata": {name: value for name, value in metadata.items() if isinstance(value, str)},
        "request_counts": {
            name: value if type(value := counts.get(name)) is int and value >= 0 else 0
            for name in ("completed", "failed")
        },
        "errors": [error for error in listed if isinstance(error, dict)]
        if isinstance(listed, list)
        else [],
        **{name: id_ if isinstance(id_ := shown.get(name), str) else None for name in files},
    }


def _write(file: IO[bytes], chunk: bytes) -> None:
    """Writes to a temporary file; a full disk is no fault of the connection."""
    try:
        file.write(chunk)
    except OSError as error:
        folder = tempfile.gettempdir()
        raise ModelError(
            f"a batch's answers cannot be written to {folder}: {error.strerror}. Make room, or "
            "set TMPDIR."
        ) from error


def _form(lines: bytes) -> tuple[dict[str, str], io.BytesIO]:
    """Returns an input file as a form's parts, with their header."""
    mark = secrets.token_hex(16)
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="potstill.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    data = b"".join([head.encode(), lines, f"\r\n--{mark}--\r\n".encode()])
    return {"Content-Type": f"multipart/form-data; boundary={mark}"}, io.BytesIO(data)
