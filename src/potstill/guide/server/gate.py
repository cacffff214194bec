"""How many requests are inside: at once, waiting, and after the server was told to stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from potstill.guide.server.faults import ApiError


class Gate:
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
    def place(self) -> Iterator[None]:
        """Be inside.

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
        """See that the server is not stopping.

        Raises:
            ApiError: It is.
        """
        if self.closing:
            message = "the server is stopping; ask again in a moment."
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE, message, code="server_stopping", close=True
            )
