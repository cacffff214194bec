"""What a request comes to in tokens and dollars: at most, probably, and as the server counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from potstill.control.spending import Amount
from potstill.models.prices import Prices
from potstill.records import Request

FRAME_TOKENS = 64
"""Tokens that a server may put around a prompt: a chat template's marks, a date, its own words."""

TURN_TOKENS = 16
"""And around each turn of a chat."""

LARGEST_COUNT = 2**26
"""Tokens that an answer may be said to have; more is no count."""


@dataclass(slots=True)
class Size:
    """One request's size."""

    most: Amount
    """What it can cost: a token has at least one byte, and no text is longer than its limit."""

    likely_tokens: float
    prompt_bytes: int
    sizes: "Sizes"

    def paid(self, reply: Mapping[str, Any]) -> Amount | None:
        """What the server says it was; None where it does not say."""
        return self.sizes.counted(self.prompt_bytes, reply)


class Sizes:
    """Sizes requests, and learns from the answers how far they are off.

    Args:
        prices: Of the model.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._frame = FRAME_TOKENS
        self._bytes = self._prompt_tokens = self._completion_tokens = self._choices = 0

    def size(self, request: Request, body: Mapping[str, Any]) -> Size:
        """The size of one body."""
        prompt = request.prompt
        turns = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]
        prompt_bytes = sum(len(turn.encode()) for turn in [*turns, request.answer_prefix])
        longest = body.get("max_tokens") or body.get("max_completion_tokens")
        samples = int(body.get("n") or 1)
        written = samples * int(longest or request.max_tokens)
        read = prompt_bytes + TURN_TOKENS * len(turns) + self._frame
        usd = (read * self._prices.prompt + written * self._prices.completion) / 1e6
        likely = prompt_bytes * self._tokens_a_byte + min(written, samples * self._tokens_a_choice)
        return Size(Amount(read + written, usd), likely, prompt_bytes, self)

    @property
    def _tokens_a_byte(self) -> float:
        return self._prompt_tokens / self._bytes if self._bytes else 0.25

    @property
    def _tokens_a_choice(self) -> float:
        return self._completion_tokens / self._choices if self._choices else float("inf")

    def counted(self, prompt_bytes: int, reply: Mapping[str, Any]) -> Amount | None:
        """What an answer was by its own usage; None where it gives none."""
        read, written = tokens_of(reply)
        if not (read or written):
            return None
        self._frame = max(self._frame, read - prompt_bytes)
        self._bytes += prompt_bytes
        self._prompt_tokens += read
        self._completion_tokens += written
        self._choices += len(reply["choices"])
        usd = prompt_cost(self._prices, reply) + written * self._prices.completion / 1e6
        return Amount(read + written, usd)


def tokens_of(reply: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and of all choices, as the server counted them; 0 where it did not.

    What is no count, such as a text or a negative number, counts as missing.
    """
    return _count(reply, "prompt_tokens"), _count(reply, "completion_tokens")


def prompt_cost(prices: Prices, reply: Mapping[str, Any]) -> float:
    """US dollars of the prompt; what the server had in its cache at the price for that."""
    read = _count(reply, "prompt_tokens")
    cached = min(_count(reply, "prompt_tokens_details", "cached_tokens"), read)
    return ((read - cached) * prices.prompt + cached * prices.cached) / 1e6


def _count(reply: Mapping[str, Any], *names: str) -> int:
    found: object = reply.get("usage")
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if type(found) is int and 0 <= found <= LARGEST_COUNT else 0
