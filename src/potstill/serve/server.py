"""``potstill serve``: the student and its teacher as one model behind OpenAI's HTTP API.

The settings name the two upstreams; the application (service.py) answers, and uvicorn serves it
here until SIGINT or SIGTERM, after which what was begun is finished and what is new refused.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from types import FrameType

from potstill.errors import AuthError, PotstillError, extra
from potstill.serve.http_upstream import open_upstream
from potstill.serve.settings import ServeSettings
from potstill.serve.upstreams import Upstream
from potstill.setting_names import resolve_names

with extra("serve", needed_for="potstill serve"):
    import uvicorn

    from potstill.serve.access import AdmissionLimit
    from potstill.serve.connections import address_of, listen, server_config
    from potstill.serve.metrics import logger
    from potstill.serve.service import Service, make_app
    from potstill.serve.tracing import open_tracing

SHORTEST_TOKEN = 16
"""Characters; a shorter token can be guessed."""


TO_STRANGERS = (
    "whoever has a token can ask the model, and tokens and texts are sent unencrypted unless a "
    "proxy with TLS stands before it"
)
"""The risk of a server that is open to the network, in words."""


class Server(uvicorn.Server):
    """A server that, told to stop, refuses what is new and finishes what it has begun.

    Args:
        config: uvicorn's.
        admission: Counts the requests inside, and refuses new ones.
        grace: Seconds to finish in.
    """

    def __init__(self, config: uvicorn.Config, admission: AdmissionLimit, grace: float) -> None:
        super().__init__(config)
        self._admission, self._grace = admission, grace
        self._stop_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told again, stop at once."""
        if self._admission.closing:
            self.should_exit = True
            return
        self._stop_at = time.monotonic() + self._grace
        self._admission.closing = True

    async def on_tick(self, counter: int) -> bool:
        """Several times a second: whether to stop now."""
        admission = self._admission
        if admission.closing and (not admission.inside or time.monotonic() >= self._stop_at):
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
    resolve_names(settings)
    # Before a model is loaded for nothing.
    listening = listen(settings.host, settings.port, open_to=TO_STRANGERS)
    try:
        tracing = open_tracing(settings)
        student = tracing.upstream(open_upstream(settings.student), settings.student, "student")
        teacher: Upstream | None = None
        if settings.teacher is not None:
            opened = open_upstream(settings.teacher)
            teacher = tracing.upstream(opened, settings.teacher, "teacher")
        service = Service(settings, student, teacher, tracing)
    except PotstillError:
        listening.close()
        raise
    config = server_config(make_app(service, tokens))
    return Server(config, service.admission, settings.limits.grace), listening


def serve(settings: ServeSettings, listens: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGINT or SIGTERM; a line a request goes to standard error.

    Args:
        settings: The server's settings.
        listens: Called with the address of the routes, once clients can connect.

    Raises:
        PotstillError: A setting cannot be used, or a model cannot be opened.
    """
    server, listening = make_server(settings)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    address = f"{address_of(listening)}/v1"
    logger.info("%s is served at %s", settings.served_name, address)
    listens(address)
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
