"""Requests that get no answer: errors in the shape of OpenAI's API, in the server's own words.

An upstream's words are never passed on: they may repeat a key or another client's prompt.
"""

from http import HTTPStatus
from typing import Any

import orjson

from potstill.errors import extra

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Send

RETRY_AFTER = 1
"""Seconds after which a client that was turned away may come again."""


class ApiError(Exception):
    """A request that gets no answer.

    Args:
        status: The HTTP status.
        message: The fault, and the way out.
        param: The field of the request that is at fault.
        code: A name for programs.
        close: Whether the connection cannot be used again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.close = close

    @property
    def content(self) -> dict[str, Any]:
        """The error as a JSON object."""
        fields = {"message": self.message, "type": _kind(self.status)}
        return {"error": {**fields, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it, as ASGI has them."""
        headers = [(b"content-type", b"application/json")]
        if self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers.append((b"retry-after", str(RETRY_AFTER).encode()))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers

    @property
    def body(self) -> bytes:
        """:attr:`content` in bytes."""
        return orjson.dumps(self.content)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that cannot be understood or served as it is."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)


def too_late(seconds: float) -> ApiError:
    """A request whose time ran out."""
    message = f"there was no answer within {seconds:g} seconds; ask for a shorter one."
    return ApiError(HTTPStatus.GATEWAY_TIMEOUT, message, code="timeout")


def _kind(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


class Gone(Exception):
    """The client has left."""


async def send_error(send: Send, error: ApiError) -> None:
    """Send an error as the whole answer."""
    message: dict[str, Any] = {"type": "http.response.start", "status": int(error.status)}
    await send({**message, "headers": error.headers})
    await send({"type": "http.response.body", "body": error.body})
