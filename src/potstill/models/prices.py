"""What servers charge for tokens."""

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import yaml

from potstill.models.settings import OpenAISettings

TABLE = Path(__file__).parent / "prices.yaml"
"""Prices by the provider's host and the model's name, with the day they were taken on."""

DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""What follows a model's base name in the name of one of its versions."""


class Prices(NamedTuple):
    """US dollars a million tokens, by the way the model is asked (``mode``)."""

    prompt: float
    cached: float
    """Of prompt tokens that the server had in its cache."""

    completion: float
    known: bool = True
    """False where neither the recipe nor the table has them; those that are missing are 0 then."""

    listed: bool = True
    """Whether one comes from the table, whose date is :func:`taken`."""


def prices_of(settings: OpenAISettings) -> Prices:
    """The prices of a model: the recipe's own as they stand, else the table's.

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
    """The day on which the table's prices were taken."""
    return _table().taken


class _Host(NamedTuple):
    """One provider's prices."""

    models: dict[str, Prices]
    batch: float
    """What its batch endpoint takes of them, as a share."""


class _Table(NamedTuple):
    taken: date
    hosts: dict[str, _Host]


@cache
def _table() -> _Table:
    raw = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    hosts = {}
    for name, host in raw["hosts"].items():
        models = {
            model: Prices(each["prompt"], each.get("cached", each["prompt"]), each["completion"])
            for model, each in host["models"].items()
        }
        hosts[name] = _Host(models, host.get("batch", 1.0))
    return _Table(raw["taken"], hosts)


@cache
def _listed(base_url: str, name: str, *, batch: bool) -> Prices | None:
    """The table's prices; None where it has none."""
    host = _table().hosts.get(urlsplit(base_url).hostname or "")
    if host is None:
        return None
    prices = host.models.get(name) or host.models.get(DATE.sub("", name))
    if prices is None or not batch:
        return prices
    prompt, cached, completion = (host.batch * price for price in prices[:3])
    return Prices(prompt, cached, completion)
