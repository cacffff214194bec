"""A client's connection, which is not kept for one that keeps us waiting."""

import asyncio

from potstill.errors import extra

with extra("serve", needed_for="potstill serve"):
    from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Longest wait for the whole head of the next request, however slowly it comes."""

STALLED_SECONDS = 30.0
"""Longest wait for a client that takes none of what was sent to it."""


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for a head, and for what nobody reads."""

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
