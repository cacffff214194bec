"""The sockets that our servers listen on, and their longest waits for a client."""

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from potstill.errors import ConfigError
from potstill.serve.settings import is_loopback

logger = logging.getLogger(__name__)

BACKLOG = 2048
"""Connections that wait to be accepted."""

HEAD_SECONDS = 10.0
"""Longest wait for the whole head of the next request, however slowly it comes."""

STALLED_SECONDS = 30.0
"""Longest wait for a client that takes none of what was sent to it."""


def listen(host: str, port: int, *, open_to: str) -> socket.socket:
    """Returns a socket that is said to be TCP, so that asyncio sends its answers without delay.

    ``socket.create_server`` leaves the protocol open, and every answer then waits 40 ms. Where
    other machines reach the address, a line says so.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 takes any that is free.
        open_to: The words that end this line, on what whoever reaches the address can do.

    Raises:
        ConfigError: The address is taken, or is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Set host and port."
        ) from error
    if not is_loopback(host):
        logger.warning("host is %s, which other machines reach: %s.", host, open_to)
    return listening


def server_config(app: Any) -> uvicorn.Config:
    """Returns how our servers run: quiet, and with connections that do not wait for ever.

    Args:
        app: The ASGI application.
    """
    return uvicorn.Config(
        app,
        http=Connection,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def address_of(listening: socket.socket) -> str:
    """Returns where a socket is reached, as ``http://127.0.0.1:8321``."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Connection(H11Protocol):
    """A client's connection, broken off where the client keeps us waiting.

    uvicorn's own waits for ever for the head of a request, and for a client to read its answer.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._wait(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop waiting once a request is there."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.flow.write_paused:
            self._wait(None)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to take the end of the answer."""
        self._wait(STALLED_SECONDS if self.flow.write_paused else HEAD_SECONDS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._wait(STALLED_SECONDS)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        answering = self.cycle is not None and not self.cycle.response_complete
        self._wait(None if answering else HEAD_SECONDS)

    def _wait(self, seconds: float | None) -> None:
        """Break off after so long; None: stay."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort) if seconds else None
