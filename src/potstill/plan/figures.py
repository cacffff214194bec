"""What a need comes to in requests, tokens and dollars."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from potstill.models.openai.sizes import FRAME_TOKENS
from potstill.models.prices import Prices
from potstill.plan.counting import TokenCounter, prompt_bytes, turns
from potstill.plan.needs import Later, Need
from potstill.plan.spreads import Lengths, Spread, exactly, total
from potstill.records import Request


class Figures(NamedTuple):
    """What is still to be asked for one purpose."""

    need: Need
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread
    usd: Spread
    """Without a bound where the prices are not known."""


class Known(NamedTuple):
    """What is known of one teacher."""

    counter: TokenCounter
    prices: Prices
    rationales: Lengths
    """Of its stored rationales; answers of which nothing else is known are expected as long."""

    finals: Lengths
    """Of its stored second steps; those of another stage are expected as long."""


class _Part(NamedTuple):
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread


def figures_of(need: Need, known: Known) -> Figures:
    """Add up one need.

    A prompt is paid for once a request, however many samples are drawn with it. At most, a prompt
    whose tokens are estimated has one for each byte, and an answer is as long as its limit.
    """
    alike = known.finals if need.second and known.finals.count else known.rationales
    lengths = need.measured if need.measured.count else alike
    parts = [*_sure(need, known, lengths), *_later(need, known, lengths)]
    requests, samples, prompts, written = (
        total(getattr(part, name) for part in parts) for name in _Part._fields
    )
    prices = known.prices
    usd = prompts.times(prices.prompt / 1e6).plus(written.times(prices.completion / 1e6))
    if parts and not prices.known:
        usd = Spread(None, 0.0, math.inf, math.inf)
    return Figures(need, requests, samples, prompts, written, usd)


def _sure(need: Need, known: Known, lengths: Lengths) -> Iterator[_Part]:
    for request in need.sure:
        count = len(request.samples)
        written = lengths.one(request.max_tokens).times(count)
        yield _Part(exactly(1), exactly(count), _prompt(request, known.counter), written)


def _later(need: Need, known: Known, lengths: Lengths) -> Iterator[_Part]:
    for each in need.later:
        before = known.rationales.one(each.like.max_tokens).times(each.after)
        prompt = _prompt(each.like, known.counter).plus(before)
        samples = _some(exactly(1), each)
        written = _some(lengths.one(each.max_tokens), each)
        yield _Part(samples, samples, _some(prompt, each), written)


def _some(one: Spread, later: Later) -> Spread:
    """As many as are expected, at most as many as there can be."""
    return one.times(later.samples * later.share)._replace(most=one.most * later.samples)


def _prompt(request: Request, counter: TokenCounter) -> Spread:
    tokens = counter.tokens(request)
    if counter.exact:
        return exactly(tokens)
    bound = prompt_bytes(request) + FRAME_TOKENS * len(turns(request))
    return Spread(tokens, tokens, tokens, bound)
