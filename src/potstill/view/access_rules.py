"""The rules on who may ask the page's server, and what a browser may do with its answers.

A page of any site can ask a server on this machine by a name that it has pointed here (DNS
rebinding); the browser then sends that name as ``Host``. So a request must name an IP address,
``localhost``, or the host that the settings name.
"""

import ipaddress

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""The headers sent with every answer."""

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The CSP header of answers that are no page; a page names its scripts and styles by hashes."""


class LocalAccess:
    """An application that answers requests to this machine's own names alone.

    Args:
        app: The application that answers.
        host: The host that the settings name, which requests may name, too.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        names = [value for name, value in scope["headers"] if name == b"host"]
        named = names[0].decode("latin-1") if len(names) == 1 else ""
        if not is_own_name(named, self._host):
            refused = PlainTextResponse(
                f"{named[:100]!r} is no name of this server; ask it by its address.", 421
            )
            return await refused(scope, receive, send_with_headers)
        return await self._app(scope, receive, send_with_headers)


def is_own_name(host: str, own: str) -> bool:
    """Whether a ``Host`` header names a server by address, as localhost or by its own name."""
    name = host.lower()
    if name.startswith("["):
        name, closed, port = name[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            return False
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in ("localhost", own):
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
