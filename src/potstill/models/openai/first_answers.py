"""The first answers of a server: as long as none is good, failures are counted, and end asking."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from potstill.errors import ServerError

FIRST_AT_ONCE = 4
"""Requests in flight until the first was answered well; no more are then paid for in vain."""

FIRST_ANSWER_SECONDS = 120.0
"""How long the others wait for that at most; a model may think for long."""

SAME_FAILURES = 4
"""Failures of one kind, without a single success, after which nothing more is asked."""

SAME_REFUSALS = 10
"""The same for refusals, which cost nothing: the first few questions may be too long."""

_VARYING = re.compile(r"\d+|\b[0-9a-f-]{8,}\b")
"""The parts of a message that differ from answer to answer: counts and identifiers."""


class FirstAnswers:
    """Counts the failures of a server until it has answered well once.

    Args:
        server: Its address, for the message.
    """

    def __init__(self, server: str = "the server") -> None:
        self._server = server
        self._failures = Counter[str]()
        self.answered = False
        """Whether it has answered well once."""

        self.given_up: ServerError | None = None
        """The error that was raised when there were too many failures alike."""

    def succeeded(self) -> None:
        """It has answered well."""
        self.answered = True

    def failed(self, message: str, *, refused: bool = False) -> None:
        """Count a failure.

        Args:
            message: The server's sentence, or ours about its answer.
            refused: Whether the server did not take the request, and wrote nothing.

        Raises:
            ServerError: There were too many alike, and nothing else.
        """
        if self.answered:
            return
        kind = _VARYING.sub("#", message)
        self._failures[kind] += 1
        if self._failures[kind] >= (SAME_REFUSALS if refused else SAME_FAILURES):
            self.given_up = ServerError(
                f"{self._server} answers every request alike, {self._failures[kind]} so far: "
                f"{message.rstrip('.')}. Nothing more was asked; mend the cause and repeat the "
                "command."
            )
            raise self.given_up


class Vanguard:
    """Lets only a few requests go until one was answered. Belongs to one event loop."""

    def __init__(self, first: FirstAnswers) -> None:
        self._first = first
        self._under_way = 0
        self._moved = asyncio.Event()
        self._open = False

    def open(self) -> None:
        """Let everybody go."""
        self._open = True
        self._moved.set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those under way, waited for.

        Raises:
            ServerError: The server was given up meanwhile.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST_ANSWER_SECONDS
        while self._is_full and (left := until - loop.time()) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), left)
        if self._first.given_up is not None:
            raise self._first.given_up
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._moved.set()

    @property
    def _is_full(self) -> bool:
        waits = not (self._open or self._first.answered)
        return waits and self._under_way >= FIRST_AT_ONCE
