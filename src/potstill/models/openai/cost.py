"""The prices of tokens, and the size of a request in tokens and US dollars.

A request has a size at most, a likely one, and the one that the server counts.
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from potstill.models.openai.stated_usage import stated_usage, usage_in_body
from potstill.models.openai.usage import TokenCounts, counts_of, token_counts
from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Request

logger = logging.getLogger(__name__)

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


SCORED_LIMIT = 1
"""Tokens that are written behind a given text: many servers write one at least."""

SAME_COST = 1.001
"""The ratio up to which two costs are the same: servers round what they state."""


@dataclass(slots=True)
class Size:
    """One request's size."""

    limit: int
    """The most tokens of one sample that it asks for."""

    likely_tokens: float
    prompt_bytes: int
    turns: int
    prefix: str
    """The beginning of the answer that is given."""

    samples: int
    sizes: "Sizes"
    scored: bool = False
    """Whether a given text is scored, so that what the answer says was not written."""

    @property
    def read(self) -> int:
        """The most tokens that its prompt has: a token has at least one byte."""
        return self.sizes.most_read(self.prompt_bytes, self.turns)

    @property
    def written(self) -> int:
        """The most tokens that it writes, all samples together."""
        return self.sizes.most_written(self.limit, self.samples)

    @property
    def most(self) -> Amount:
        """The most it can cost, by what the answers so far have shown."""
        return self.sizes.most(TokenCounts(self.read, self.written, 0))

    def filled(self, counted: TokenCounts) -> TokenCounts:
        """Returns an answer's tokens, those that the server does not count at their most."""
        return TokenCounts(
            self.read if counted.read is None else counted.read,
            self.written if counted.written is None else counted.written,
            counted.cached,
            counted.usd,
        )

    def counted(self, reply: Mapping[str, Any]) -> TokenCounts:
        """Returns the tokens of an answer as far as the server counts them."""
        if self.scored:
            return counts_of(stated_usage(reply))
        return token_counts(reply, prefix=self.prefix, limit=self.limit)

    def paid(self, reply: Mapping[str, Any]) -> Amount | None:
        """Returns the amount that the server counted; None where it does not count anything."""
        return self._paid(self.counted(reply), len(reply["choices"]))

    def stated(self, content: bytes) -> Amount | None:
        """Returns the amount that a body states which is no answer; None where it states none."""
        counted = counts_of(usage_in_body(content), most=self.limit * self.samples)
        return self._paid(counted, self.samples)

    def _paid(self, counted: TokenCounts, choices: int) -> Amount | None:
        if not (counted.read or counted.written or counted.usd):
            return None
        filled = self.filled(counted)
        self.sizes.learn(self, counted, choices)
        self.sizes.learn_cost(filled)
        return self.sizes.amount(filled)


class Sizes:
    """Sizes requests, and learns from the answers how far they are off.

    Args:
        prices: The model's prices.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._frame = FRAME_TOKENS
        self._beyond = 0
        """Tokens by which a sample was longer than it was allowed to be: some servers think on."""

        self._usd_a_token = 0.0
        """The most that a server has stated for a token, where that is more than the prices say."""

        self._bytes = self._prompt_tokens = self._completion_tokens = self._choices = 0

    def size(self, request: Request, body: Mapping[str, Any]) -> Size:
        """Returns the size of one body."""
        prompt = request.prompt
        turns = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]
        given = request.given
        answer = [request.answer_prefix, "" if given is None else given.text]
        prompt_bytes = sum(len(turn.encode()) for turn in [*turns, *answer])
        longest = body.get("max_tokens") or body.get("max_completion_tokens")
        samples = int(body.get("n") or 1)
        limit = int(longest or request.max_tokens) if given is None else SCORED_LIMIT
        written = self.most_written(limit, samples)
        likely = prompt_bytes * self._tokens_a_byte + min(written, samples * self._tokens_a_choice)
        begun = str(body.get("prompt", request.answer_prefix))
        size = Size(limit, likely, prompt_bytes, len(turns), begun, samples, self)
        size.scored = given is not None
        return size

    def most_read(self, prompt_bytes: int, turns: int) -> int:
        """Returns the most tokens that a prompt of so many bytes and turns has."""
        return prompt_bytes + TURN_TOKENS * turns + self._frame

    def most_written(self, limit: int, samples: int) -> int:
        """Returns the most tokens that are written for samples of so many tokens each."""
        return samples * (limit + self._beyond)

    @property
    def _tokens_a_byte(self) -> float:
        return self._prompt_tokens / self._bytes if self._bytes else 0.25

    @property
    def _tokens_a_choice(self) -> float:
        return self._completion_tokens / self._choices if self._choices else float("inf")

    def amount(self, counts: TokenCounts) -> Amount:
        """Returns the amount of so many tokens; of its cost by price and as stated, the larger."""
        read, written = counts.read or 0, counts.written or 0
        return Amount(read + written, max(self._by_price(counts), counts.usd or 0.0))

    def most(self, counts: TokenCounts) -> Amount:
        """Returns the most that so many tokens cost."""
        amount = self.amount(counts)
        return amount._replace(usd=max(amount.usd, amount.tokens * self._usd_a_token))

    def _by_price(self, counts: TokenCounts) -> float:
        completion = (counts.written or 0) * self._prices.completion / 1e6
        return prompt_cost(self._prices, counts) + completion

    def learn_cost(self, counts: TokenCounts) -> None:
        """Learn from a stated cost, and say it once where it is more than the prices make it."""
        by_price, stated = self._by_price(counts), counts.usd or 0.0
        if stated <= by_price * SAME_COST:
            return
        if self._prices.known and not self._usd_a_token:
            logger.warning(
                "the server states $%.3g for an answer that costs $%.3g by its prices; the larger "
                "counts. See whether prompt_price and completion_price are right.",
                stated,
                by_price,
            )
        tokens = max((counts.read or 0) + (counts.written or 0), 1)
        self._usd_a_token = max(self._usd_a_token, stated / tokens)

    def learn(self, size: Size, counted: TokenCounts, choices: int) -> None:
        """Learn from an answer's own counts."""
        if counted.read:
            self._frame = max(self._frame, counted.read - size.prompt_bytes)
            self._bytes += size.prompt_bytes
            self._prompt_tokens += counted.read
        if counted.written and counted.read != 0:
            if not size.scored:
                self._completion_tokens += counted.written
                self._choices += choices
            longer = math.ceil(counted.written / max(choices, 1)) - size.limit
            self._beyond = max(self._beyond, longer)


def prompt_cost(prices: Prices, counts: TokenCounts) -> float:
    """Returns the US dollars of the prompt; cached tokens count at their own price."""
    read = counts.read or 0
    return ((read - counts.cached) * prices.prompt + counts.cached * prices.cached) / 1e6
