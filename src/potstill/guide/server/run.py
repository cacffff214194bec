"""``potstill serve``: from settings to a server that runs until it is stopped."""

import asyncio
import logging
import os
import socket
import time
from types import FrameType

from potstill.errors import AuthError, ConfigError, PotstillError, extra
from potstill.guide.server.opening import open_upstream
from potstill.guide.server.settings import ServeSettings

with extra("serve", needed_for="potstill serve"):
    import uvicorn

    from potstill.guide.server.access import Gate
    from potstill.guide.server.app import make_app
    from potstill.guide.server.connection import Connection
    from potstill.guide.server.metrics import logger
    from potstill.guide.server.service import Service

BACKLOG = 2048
"""Connections that wait to be accepted."""

SHORTEST_TOKEN = 16
"""Characters; a shorter token can be guessed."""


class Server(uvicorn.Server):
    """A server that, told to stop, refuses what is new and finishes what it has begun.

    Args:
        config: Of uvicorn.
        gate: Through which requests go in and out.
        grace: Seconds to finish in.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, grace: float) -> None:
        super().__init__(config)
        self._gate, self._grace = gate, grace
        self._stop_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told again, stop at once."""
        if self._gate.closing:
            self.should_exit = True
            return
        self._stop_at = time.monotonic() + self._grace
        self._gate.closing = True

    async def on_tick(self, counter: int) -> bool:
        """Several times a second: whether to stop now."""
        if self._gate.closing and (not self._gate.inside or time.monotonic() >= self._stop_at):
            self.should_exit = True
        return await super().on_tick(counter)


def make_server(settings: ServeSettings) -> tuple[Server, socket.socket]:
    """A server that is ready to run, and the socket on which it will listen.

    Raises:
        ConfigError: A setting cannot be used, or the port is taken.
        AuthError: A token or a key is missing from the environment.
        ModelError: A model cannot be loaded.
    """
    tokens = read_tokens(settings)
    listening = _listen(settings.host, settings.port)  # before a model is loaded for nothing
    try:
        student = open_upstream(settings.student)
        teacher = open_upstream(settings.teacher) if settings.teacher else None
        service = Service(settings, student, teacher)
    except PotstillError:
        listening.close()
        raise
    config = uvicorn.Config(
        make_app(service, tokens),
        http=Connection,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config, service.gate, settings.limits.grace), listening


def serve(settings: ServeSettings) -> None:
    """Serve until SIGINT or SIGTERM; a line a request goes to standard error.

    Args:
        settings: Of the server.

    Raises:
        PotstillError: As :func:`make_server`.
    """
    server, listening = make_server(settings)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    host, port = listening.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    logger.info("%s is served at http://%s/v1", settings.served_name, address)
    with listening:
        asyncio.run(server.serve([listening]))


def read_tokens(settings: ServeSettings) -> list[str]:
    """The clients' bearer tokens, from the environment.

    Raises:
        AuthError: None is there, or one that is too short to be safe.
    """
    variable = settings.token_env
    if variable is None:
        return []
    tokens = os.environ.get(variable, "").split()
    if not tokens:
        raise AuthError(
            f"token_env names {variable}, which is not set. Set it to the token that clients "
            "send, e.g. to what `openssl rand -hex 32` prints."
        )
    if any(len(token) < SHORTEST_TOKEN or not token.isascii() for token in tokens):
        raise AuthError(
            f"{variable} holds a token that is shorter than {SHORTEST_TOKEN} characters or not "
            "ASCII. Set a longer one, e.g. what `openssl rand -hex 32` prints."
        )
    return tokens


def _listen(host: str, port: int) -> socket.socket:
    """A socket that is said to be TCP, so that asyncio sends its answers without delay.

    ``socket.create_server`` leaves the protocol open, and every answer then waits 40 ms.
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
    return listening
