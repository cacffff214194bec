"""The layer that every request passes first, and the reading of its body.

A request gets an id, has its Host header and bearer token checked, is counted in and out of the
server, and leaves one line in the log. Its body is read up to a limit, and its work is given up
when its client leaves.
"""

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from potstill.errors import extra
from potstill.serve.api_error import ApiError, Gone, send_error
from potstill.serve.metrics import Account, Metrics
from potstill.serve.settings import is_loopback

with extra("serve", needed_for="potstill serve"):
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCOUNT = "potstill.account"
"""The key of a request's account in its ASGI scope."""

ROUTES = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
    "/v1/models": "models",
    "/healthz": "healthz",
    "/readyz": "readyz",
    "/metrics": "metrics",
}
"""Paths by their label; any other is ``other``."""

OPEN = ("healthz", "readyz")
"""Routes that ask for no token: an orchestrator has none."""

ANSWERED = ("chat", "completions", "responses")
"""Routes that are refused while the server stops."""


class AdmissionLimit:
    """Counts requests in and out.

    Args:
        in_flight: Most requests that are answered at once.
        queue: Most requests that wait beside those.
    """

    def __init__(self, *, in_flight: int, queue: int) -> None:
        self.slots = asyncio.Semaphore(in_flight)
        """Held while a request is answered."""

        self.inside = 0
        """Requests that are answered or waiting."""

        self.closing = False
        """Whether new ones are refused, because the server stops."""

        self._most = in_flight + queue

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as inside for the length of the block.

        Raises:
            ApiError: There is no room, or the server stops.
        """
        self.check_open()
        if self.inside >= self._most:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._most} requests are being answered; ask again in a moment.",
                code="rate_limit_exceeded",
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def check_open(self) -> None:
        """Check that the server is not stopping.

        Raises:
            ApiError: It is.
        """
        if self.closing:
            message = "the server is stopping; ask again in a moment."
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE, message, code="server_stopping", close=True
            )


class Access:
    """A layer around the application.

    Args:
        app: The application.
        admission: Refuses requests while the server stops.
        metrics: Counts requests.
        tokens: Bearer tokens that are let in; none: everybody on this machine is.
    """

    def __init__(
        self, app: ASGIApp, *, admission: AdmissionLimit, metrics: Metrics, tokens: Sequence[str]
    ) -> None:
        self._app, self._admission, self._metrics = app, admission, metrics
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _plainly(scope)
        id_ = f"req_{secrets.token_hex(12)}"
        account = Account(id_, ROUTES.get(scope["path"], "other"))
        scope[ACCOUNT] = account

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                account.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id_.encode())]
            await send(message)

        start = time.perf_counter()
        try:
            self._check(scope, account.route)
        except ApiError as error:
            await send_error(sending, error)
        else:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.note(account, time.perf_counter() - start)

    def _check(self, scope: Scope, route: str) -> None:
        """Check that a request may come in.

        Raises:
            ApiError: It may not.
        """
        headers = dict[bytes, bytes](scope["headers"])
        if b"transfer-encoding" in headers and b"content-length" in headers:
            # A proxy before us may go by the other one, and take its end for another request.
            message = "give Content-Length or Transfer-Encoding, not both."
            raise ApiError(HTTPStatus.BAD_REQUEST, message, close=True)
        if not self._tokens and not is_loopback(_host(headers.get(b"host", b""))):
            # A page that points a name of its own at this machine has a browser ask for it here.
            message = "without a token this server answers to its own address alone."
            raise ApiError(HTTPStatus.FORBIDDEN, message, code="host_not_allowed")
        if self._tokens and route not in OPEN and not self._has_token(scope):
            message = "the bearer token is missing or wrong."
            raise ApiError(HTTPStatus.UNAUTHORIZED, message, code="invalid_api_key")
        if route in ANSWERED:
            self._admission.check_open()

    def _has_token(self, scope: Scope) -> bool:
        """Whether the token is one of ours, found out in the same time for any wrong one."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = b",".join(values).partition(b" ")  # of two, none counts
        matches = [hmac.compare_digest(token.strip(), known) for known in self._tokens]
        return scheme.lower() == b"bearer" and any(matches)


def _plainly(scope: Scope) -> Scope:
    """A request as clients and proxies mean it.

    A path is read without the server's address, which proxies put before it, and without a slash at
    its end or two where one is due, as an address that ends in one leaves it. HEAD asks for what
    GET does, whose content the server leaves out.
    """
    path = re.sub("^https?://[^/]*", "", scope["path"])
    path = re.sub("/{2,}", "/", path).rstrip("/") or "/"
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": path, "raw_path": path.encode(), "method": method}


def _host(header: bytes) -> str:
    """The host of a Host header, its port left out."""
    text = header.decode("latin-1")
    return text.partition("]")[0] if text.startswith("[") else text.partition(":")[0]


DRAIN_FACTOR = 8
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
    if length.isdigit() and int(length) > DRAIN_FACTOR * limit:
        raise _too_large(limit)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":  # what a page may send elsewhere without asking first is not
        message = "send JSON, with the header Content-Type: application/json."
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, close=True)
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        message = "send the body as it is, without Content-Encoding."
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, close=True)
    body = bytearray()
    size, more = 0, True
    while more:
        part = await receive()
        if part["type"] == "http.disconnect":
            raise Gone
        chunk, more = part.get("body", b""), part.get("more_body", False)
        size += len(chunk)
        if size > DRAIN_FACTOR * limit:
            raise _too_large(limit)
        if size <= limit:
            body += chunk
    if size > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> ApiError:
    message = f"the body is larger than {limit} bytes."
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, close=True)


async def while_connected(work: Coroutine[None, None, None], receive: Receive) -> None:
    """Do work for as long as the client is there.

    Args:
        work: Cancelled when the client leaves, or when this is cancelled.
        receive: The ASGI channel of a request whose body was read.

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
