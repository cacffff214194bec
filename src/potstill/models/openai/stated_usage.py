"""The tokens and the cost that a server states, under whichever names and wherever in its answer.

The names are compared without case, ``_`` and ``-``. Where one number is stated in several places,
the larger holds; the choices of one answer are added up, unless they repeat the whole.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from potstill.models.openai.lenient_json import read_json

LARGEST_COUNT = 2**26
"""Tokens that an answer may be said to have; more is no count."""

LARGEST_COST = 1e6
"""US dollars that an answer may be said to cost; more is no cost."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "read": (
        "prompttokens", "inputtokens", "prompttokencount", "inputtokencount", "promptevalcount",
        "tokensevaluated", "prompttokenscount", "inputtokenscount", "tokensprompt",
        "nativetokensprompt", "inputtexttokencount",
    ),
    "read_beside": ("tooluseprompttokencount",),
    "cache_read": ("cachereadinputtokens", "cachereadinputtokencount"),
    "cache_written": (
        "cachecreationinputtokens", "cachewriteinputtokens", "cachewriteinputtokencount",
    ),
    "cached": ("cachedtokens", "cachedcontenttokencount"),
    "written": (
        "completiontokens", "outputtokens", "candidatestokencount", "completiontokencount",
        "outputtokencount", "evalcount", "generatedtokens", "tokenspredicted",
        "completiontokenscount", "outputtokenscount", "tokenscompletion",
        "nativetokenscompletion", "responsetokencount", "generatedtokencount",
    ),
    "written_beside": ("thoughtstokencount",),
    "thought": ("reasoningtokens", "thinkingtokens", "reasoningtokencount"),
    "rejected": ("rejectedpredictiontokens",),
    "total": ("totaltokens", "totaltokencount"),
    "cost": (
        "cost", "totalcost", "estimatedcost", "responsecost", "costusd", "totalcostusd",
    ),
    "upstream_cost": ("upstreaminferencecost",),
}  # fmt: skip
"""The names of fields, by their meaning. ``read_beside`` and ``written_beside`` are never part of
the other count (Google's); ``thought`` and ``rejected`` are part of ``written`` with most servers.
``cost`` is in US dollars; ``upstream_cost`` is part of it but with a key of one's own
(OpenRouter's)."""

HOLDERS = frozenset({
    "usage", "usagemetadata", "xgroq", "meta", "metadata", "billedunits", "tokens", "metrics",
    "amazonbedrockinvocationmetrics", "error", "response", "body", "message", "result", "data",
    "cost",
})  # fmt: skip
"""The names of objects in which such fields stand."""

DETAILS: Mapping[str, tuple[str, ...]] = {
    "prompttokensdetails": ("cached",),
    "inputtokensdetails": ("cached",),
    "completiontokensdetails": ("thought", "rejected"),
    "outputtokensdetails": ("thought", "rejected"),
    "costdetails": ("upstream_cost",),
}
"""The names of objects that say what a number is made of, and what is read of them."""

DEPTH = 4
"""How deep within an answer or a choice they are looked for."""

_ROLES = {name: role for role, names in FIELDS.items() for name in names}
_COSTS = ("cost", "upstream_cost")
_NUMBER = re.compile(r"\s*\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,3})?\s*")
_USAGE = re.compile(r'"(?:usage|usage_?metadata)"\s*:\s*(?=\{)', re.IGNORECASE)

MOST_USAGES = 1000
"""The most places with a usage that are read in a body that is no JSON."""

Counts = dict[str, float]
"""The numbers that were read, by the keys of :data:`FIELDS`."""


class StatedUsage(NamedTuple):
    """The numbers that a server states of an answer; None for what it does not say."""

    read: int | None = None
    written: int | None = None
    total: int | None = None
    cached: int = 0
    """The number of tokens in ``read`` that the server had in its cache."""

    hidden: int = 0
    """Tokens that no text shows, which most servers count as written, and some beside it."""

    usd: float | None = None


def stated_usage(reply: Mapping[str, Any]) -> StatedUsage:
    """Returns the usage that an answer states, in all of its choices together."""
    return _usage_of(_of_answer(reply))


def usage_in_body(content: bytes) -> StatedUsage:
    """Returns the usage that a body states, whatever else it is.

    A body may be an error, an event stream, several JSON objects or JSON with something around it.
    The events of a stream count up, so of their numbers the larger hold; distinct usages elsewhere
    are those of several answers.
    """
    try:
        value = read_json(content)
    except ValueError:
        return _usage_of(_of_text(content))
    values = value if isinstance(value, list) else [value]
    return _usage_of(_sum(_of_answer(one) for one in values if isinstance(one, Mapping)))


def _usage_of(counts: Counts) -> StatedUsage:
    def count(role: str) -> int | None:
        return int(counts[role]) if role in counts else None

    hidden = (count("thought") or 0) + (count("rejected") or 0)
    read, written, total = count("read"), count("written"), count("total")
    return StatedUsage(read, written, total, count("cached") or 0, hidden, counts.get("cost"))


def _of_text(content: bytes) -> Counts:
    """Returns the usages that stand in a body that is no JSON, such as an event stream."""
    distinct: list[Counts] = []
    text = content.decode("utf-8", errors="replace")
    decoder = json.JSONDecoder(strict=False)
    for match in islice(_USAGE.finditer(text), MOST_USAGES):
        try:
            value, _ = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
        counts = _of_holder(value, DEPTH)
        if counts and counts not in distinct:
            distinct.append(counts)
    is_stream = re.search(r"(?m)^\s*data:", text) is not None
    return _largest(distinct) if is_stream else _sum(distinct)


def _of_answer(reply: Mapping[str, Any]) -> Counts:
    """Returns what an answer states as a whole, and in its choices where that is more."""
    whole = _of_holder(reply, DEPTH)
    listed = reply.get("choices")
    choices = [
        counts
        for choice in (listed if isinstance(listed, list) else [])
        if isinstance(choice, Mapping) and (counts := _of_holder(choice, DEPTH))
    ]
    apart = [counts for counts in choices if any(whole.get(n) != counts[n] for n in counts)]
    summed = _sum(apart)
    if apart and "read" in summed:  # each choice may state the prompt that they share
        summed["read"] = max(counts.get("read", 0) for counts in apart)
    return _largest([whole, summed])


def _of_holder(holder: Mapping[str, Any], depth: int) -> Counts:
    """Returns what one object states, and the objects within it that may hold a usage."""
    own: Counts = {}
    inner: list[Counts] = []
    for name, value in holder.items():
        plain = _plain(name)
        role = _ROLES.get(plain)
        if isinstance(value, Mapping):
            if plain in DETAILS:
                own = _largest([own, dict(_numbers(value, DETAILS[plain]))])
            elif plain in HOLDERS and depth:
                inner.append(_of_holder(value, depth - 1))
        elif role is not None:
            own = _largest([own, dict(_numbers({name: value}, (role,)))])
    if holder.get("is_byok") is True and "upstream_cost" in own:
        own["cost"] = own.get("cost", 0.0) + own["upstream_cost"]
    return _largest([_whole(own), *inner])


def _whole(own: Counts) -> Counts:
    """Returns one object's numbers, those that stand beside a count added to it.

    Claude's counts leave those out that were written to the cache or read from it; behind some
    gateways ``prompt_tokens`` does as well, which shows where they are more than the prompt.
    """
    from_cache = own.pop("cache_read", 0)
    in_cache = from_cache + own.pop("cache_written", 0)
    own.setdefault("cached", from_cache)
    read = own.get("read", 0)
    beside = max(in_cache, own["cached"] if read else 0)
    if beside > read:
        read += beside
    if "written" not in own and "written_beside" in own:  # how much stands beside it is not stated
        own["thought"] = max(own.get("thought", 0), own.pop("written_beside"))
    sums = {
        "read": read + own.pop("read_beside", 0),
        "written": own.get("written", 0) + own.pop("written_beside", 0),
        "cost": max(own.get("cost", 0.0), own.pop("upstream_cost", 0.0)),
    }
    return own | {name: number for name, number in sums.items() if number or name in own}


def _numbers(holder: Mapping[str, Any], wanted: Iterable[str]) -> Iterator[tuple[str, float]]:
    for name, value in holder.items():
        role = _ROLES.get(_plain(name))
        if role is not None and role in wanted:
            number = _number(value)
            most = LARGEST_COST if role in _COSTS else LARGEST_COUNT
            if number is not None and 0 <= number <= most:
                yield role, number if role in _COSTS else math.ceil(number)


def _number(value: object) -> float | None:
    """Returns a number, be it whole, a float or its text; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _plain(name: object) -> str:
    return str(name).replace("_", "").replace("-", "").lower()


def _largest(several: Iterable[Counts]) -> Counts:
    largest: Counts = {}
    for counts in several:
        for name, number in counts.items():
            largest[name] = max(number, largest.get(name, 0))
    return largest


def _sum(several: Iterable[Counts]) -> Counts:
    summed: Counts = {}
    for counts in several:
        for name, number in counts.items():
            summed[name] = summed.get(name, 0) + number
    return summed
