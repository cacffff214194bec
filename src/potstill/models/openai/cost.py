"""The prices of tokens, and the size of a request in tokens and US dollars.

A request has a size at most, a likely one, and the one that the server counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Request

TABLE = Path(__file__).parent / "prices.yaml"
"""Prices by the provider's host and the model's name, with the day they were taken on."""

DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""The date that ends the name of one version of a model."""


class Prices(NamedTuple):
    """US dollars a million tokens, by the way the model is asked (``mode``)."""

    prompt: float
    cached: float
    """The price of prompt tokens that the server had in its cache."""

    completion: float
    known: bool = True
    """False where neither the recipe nor the table has them; those that are missing are 0 then."""

    listed: bool = True
    """Whether one comes from the table, whose date is :func:`taken`."""


FREE = Prices(0.0, 0.0, 0.0, known=True, listed=False)
"""The prices of a model that runs on this machine."""


def prices_of(settings: OpenAISettings) -> Prices:
    """Returns the prices of a model: the recipe's own as they stand, else the table's.

    Prices from the table are those of the batch endpoint where ``mode`` is batch. A cached price
    that nobody gives is the price of the prompt.
    """
    listed = _listed(settings.base_url, settings.where, batch=settings.mode == "batch")
    own = settings.prompt_price, settings.cached_price, settings.completion_price
    prompt, cached, completion = own
    if cached is None:
        # A prompt price of the recipe's own says nothing about the table's discount.
        cached = listed.cached if listed is not None and prompt is None else prompt
    if listed is not None:
        prompt = listed.prompt if prompt is None else prompt
        completion = listed.completion if completion is None else completion
    known = prompt is not None and completion is not None
    return Prices(
        prompt or 0.0,
        cached or 0.0,
        completion or 0.0,
        known,
        listed is not None and None in (own[0], own[2]),
    )


def taken() -> date:
    """Returns the day on which the table's prices were taken."""
    return _table().taken


class _Host(NamedTuple):
    """One provider's prices."""

    models: dict[str, Prices]
    batch: float
    """The share of these prices that its batch endpoint charges."""


class _Table(NamedTuple):
    taken: date
    hosts: dict[str, _Host]


@cache
def _table() -> _Table:
    raw = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    hosts = {}
    for name, host in raw["hosts"].items():
        models = {
            model: Prices(row["prompt"], row.get("cached", row["prompt"]), row["completion"])
            for model, row in host["models"].items()
        }
        hosts[name] = _Host(models, host.get("batch", 1.0))
    return _Table(raw["taken"], hosts)


@cache
def _listed(base_url: str, name: str, *, batch: bool) -> Prices | None:
    """Returns the table's prices; None where it has none."""
    host = _table().hosts.get(urlsplit(base_url).hostname or "")
    if host is None:
        return None
    prices = host.models.get(name) or host.models.get(DATE.sub("", name))
    if prices is None or not batch:
        return prices
    prompt, cached, completion = (host.batch * price for price in prices[:3])
    return Prices(prompt, cached, completion)


FRAME_TOKENS = 64
"""Tokens that a server may put around a prompt: a chat template's marks, a date, its own words."""

TURN_TOKENS = 16
"""Tokens that a server may put around each turn of a chat."""

LARGEST_COUNT = 2**26
"""Tokens that an answer may be said to have; more is no count."""


@dataclass(slots=True)
class Size:
    """One request's size."""

    most: Amount
    """The most it can cost: a token has at least one byte, and no text is longer than its limit."""

    likely_tokens: float
    prompt_bytes: int
    sizes: "Sizes"

    def paid(self, reply: Mapping[str, Any]) -> Amount | None:
        """Returns the amount that the server counted; None where it does not say."""
        return self.sizes.counted(self.prompt_bytes, reply)


class Sizes:
    """Sizes requests, and learns from the answers how far they are off.

    Args:
        prices: The model's prices.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._frame = FRAME_TOKENS
        self._bytes = self._prompt_tokens = self._completion_tokens = self._choices = 0

    def size(self, request: Request, body: Mapping[str, Any]) -> Size:
        """Returns the size of one body."""
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
        """Returns an answer's amount by its own usage; None where it gives none."""
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
    """Returns the tokens of the prompt and of all choices by the server's count; 0 without one.

    What is no count, such as a text or a negative number, counts as missing.
    """
    return _count(reply, "prompt_tokens"), _count(reply, "completion_tokens")


def prompt_cost(prices: Prices, reply: Mapping[str, Any]) -> float:
    """Returns the US dollars of the prompt; cached tokens count at their own price."""
    read = _count(reply, "prompt_tokens")
    cached = min(_count(reply, "prompt_tokens_details", "cached_tokens"), read)
    return ((read - cached) * prices.prompt + cached * prices.cached) / 1e6


def _count(reply: Mapping[str, Any], *names: str) -> int:
    value: object = reply.get("usage")
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else 0
