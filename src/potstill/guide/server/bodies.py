"""Reading a request's body up to a limit, and noticing that the client has left."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus

from potstill.errors import extra
from potstill.guide.server.faults import ApiError, Gone

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Receive, Scope

DRAINED = 8
"""How many times the limit is read and thrown away of a body that is too large: a client that is
still sending would otherwise see a broken connection and not our answer."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """A JSON request's body, whether or not its length is told beforehand.

    Raises:
        ApiError: It is too large, or is not said to be JSON.
        Gone: The client left before its end.
    """
    headers = dict[bytes, bytes](scope["headers"])
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > DRAINED * limit:
        raise _too_large(limit)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":  # what a page may send elsewhere without asking first is not
        told = "send JSON, with the header Content-Type: application/json."
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, told, close=True)
    body = bytearray()
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > DRAINED * limit:
            raise _too_large(limit)
        if size <= limit:
            body += chunk
    if size > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> ApiError:
    message = f"the body is larger than {limit} bytes."
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, close=True)


async def attended(work: Coroutine[None, None, None], receive: Receive) -> None:
    """Do work for as long as the client is there.

    Args:
        work: Cancelled when the client leaves, or when this is cancelled.
        receive: Of a request whose body was read.

    Raises:
        Gone: The client has left.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
