"""What the server asks: one interface for servers and for models on this machine."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from potstill.records import Completion, Request

Emit = Callable[[int, str], Awaitable[None]]
"""Takes a piece of a sample's text as soon as it is written."""


class UpstreamError(Exception):
    """There is no answer. The message is our own, without a word of the upstream's.

    Args:
        message: What happened.
        refused: Whether the request is at fault and would fail again.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Upstream(Protocol):
    """Somebody who can be asked. Cancelling a call gives up what it asked."""

    chat: bool
    """Whether prompts may be chat messages."""

    encoder_decoder: bool

    async def start(self) -> None:
        """Get ready, in the event loop that will ask."""
        ...

    async def close(self) -> None:
        """Give back what was taken."""
        ...

    async def ready(self) -> bool:
        """Whether it would answer now."""
        ...

    async def answer(self, request: Request, emit: Emit | None = None) -> list[Completion]:
        """The completions of all samples, in their order.

        Args:
            request: What is asked.
            emit: Given the texts piece by piece while they are written, where that is possible,
                and otherwise whole.

        Raises:
            UpstreamError: A sample has no answer.
        """
        ...
