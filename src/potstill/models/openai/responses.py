"""How a server's answers are read: texts, thinking, finish reasons, what was counted."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from potstill.errors import ModelError
from potstill.models.openai.cost import prices_of, prompt_cost, tokens_of
from potstill.models.openai.logprobs import (
    no_probabilities,
    positions,
    token_logprobs,
    token_logprobs_of_each,
)
from potstill.models.openai.requests import failure
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, FinishReason, Request, TokenLogprobs

Json = dict[str, Any]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}
"""Any other reason, and none at all, counts as ``stop`` where there is text, else as an error."""

FAILED_REASONS = {"abort", "error", "cancelled"}
"""What a server says of a text that it did not end itself."""

ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading an answer raises that is not as documented."""

THINKING = re.compile(r"\s*<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)
"""A thinking block, where it begins the text; it is cut short when the tokens run out in it."""


def read_reply(
    settings: OpenAISettings, request: Request, samples: Sequence[int], reply: Json
) -> list[Completion]:
    """The completions in a server's answer, at least one; a choice's index names its sample.

    The prompt is paid for once however many samples were drawn, so its cost is on the first one.
    Probabilities are of all that the server lists, a thinking block in the text included. A choice
    that is not as documented becomes a failure, and takes no other with it.

    Raises:
        ModelError: Probabilities were asked for and there are none.
    """
    of_sample = _by_sample(reply["choices"], samples)
    read = [_read_choice(request, sample, choice) for sample, choice in of_sample]
    if request.top_logprobs:
        read = _with_logprobs(settings, read, [choice for _, choice in of_sample])
    prompt_tokens, written = tokens_of(reply)
    tokens = shares(
        written, [0 if one.logprobs is None else len(one.logprobs.logprobs) for one in read]
    )
    prices = prices_of(settings)
    costs = [prices.completion * each / 1e6 for each in tokens]
    costs[0] += prompt_cost(prices, reply)
    return [
        replace(one, prompt_tokens=prompt_tokens, completion_tokens=each, cost=cost)
        for one, each, cost in zip(read, tokens, costs, strict=True)
    ]


def _by_sample(choices: Sequence[object], samples: Sequence[int]) -> list[tuple[int, Json]]:
    """Each sample's choice: by its index where those tell choices apart, else by its place.

    A choice that repeats another, index and all, was sent twice and counts once. A server that
    draws choice i by ``seed + i`` may leave one out, and the others keep their samples.
    """
    distinct: list[Json] = []
    for choice in choices:
        if isinstance(choice, dict) and not _repeats(choice, distinct):
            distinct.append(choice)
    by_index = {
        index: choice
        for choice in distinct
        if type(index := choice.get("index")) is int and 0 <= index < len(samples)
    }
    if len(by_index) == len(distinct) or len(by_index) == len(samples):
        return [(samples[index], by_index[index]) for index in sorted(by_index)]
    return list(zip(samples, distinct, strict=False))


def _repeats(choice: Json, others: Sequence[Json]) -> bool:
    index = choice.get("index")
    return index is not None and any(
        other.get("index") == index and other == choice for other in others
    )


def _read_choice(request: Request, sample: int, choice: Json) -> Completion:
    """A choice without its probabilities."""
    try:
        text, thinking, finish_reason, error = _text(choice)
    except ODD as caught:
        return _odd(request, sample, caught)
    return Completion(
        request=request,
        sample=sample,
        text=text,
        finish_reason=finish_reason,
        thinking=thinking,
        error=error,
    )


def _with_logprobs(
    settings: OpenAISettings, read: Sequence[Completion], choices: Sequence[Json]
) -> list[Completion]:
    """The completions with their probabilities, computed for all together where that works."""
    found = [_listed(settings, one, choice) for one, choice in zip(read, choices, strict=True)]
    listed = [one for one in found if not isinstance(one, Completion)]
    packed: list[TokenLogprobs | None]
    top = read[0].request.top_logprobs
    try:
        packed = list(token_logprobs_of_each(listed, top))
    except ODD:
        packed = [None] * len(listed)
    left = iter(packed)
    return [
        each if isinstance(each, Completion) else _packed(one, each, next(left))
        for one, each in zip(read, found, strict=True)
    ]


def _packed(one: Completion, listed: list[Json], packed: TokenLogprobs | None) -> Completion:
    """A completion with its probabilities, computed alone where that failed with the others."""
    try:
        logprobs = packed or token_logprobs(listed, one.request.top_logprobs)
    except ODD as caught:
        return _odd(one.request, one.sample, caught)
    return replace(one, logprobs=logprobs)


def _odd(request: Request, sample: int, caught: Exception) -> Completion:
    message = f"the server's answer is not understood: {type(caught).__name__}: {caught}"
    return failure(request, sample, message)


def shares(total: int, known: Sequence[int]) -> list[int]:
    """Each sample's tokens, of which servers tell the sum alone.

    What is known (the tokens that have probabilities) is each sample's own; the rest is split
    evenly, the remainder to the first. The sum is ``total``.
    """
    rest = total - sum(known)
    if rest < 0:
        known, rest = [0] * len(known), total
    each, remainder = divmod(rest, len(known))
    return [own + each + (place < remainder) for place, own in enumerate(known)]


def _text(choice: Json) -> tuple[str, str | None, FinishReason, str | None]:
    """Text, thinking, finish reason and error of one choice."""
    message: Json = choice["message"] if "message" in choice else {"content": choice["text"]}
    reason = str(choice.get("finish_reason"))
    told = message.get("reasoning_content") or message.get("reasoning")
    thinking = told if isinstance(told, str) else None
    text, refusal = message.get("content"), message.get("refusal")
    if text is None and isinstance(refusal, str) and refusal:
        return refusal, thinking, "content_filter", None
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is not text")
    if text is not None and thinking is None and (block := THINKING.match(text)):
        text, thinking = text[block.end() :], block[1].strip()
    unexplained = reason not in FINISH_REASONS and not text
    no_text = text is None and FINISH_REASONS.get(reason) == "stop"
    if reason in FAILED_REASONS or unexplained or no_text:
        return "", thinking, "error", f"the server gave no text (finish_reason: {reason})"
    return text or "", thinking, FINISH_REASONS.get(reason, "stop"), None


def _listed(settings: OpenAISettings, one: Completion, choice: Json) -> list[Json] | Completion:
    """The positions that a choice lists; the completion itself where it is to have none."""
    if one.error is not None:
        return one
    try:
        listed = positions(choice.get("logprobs") or {})
        some = any(entry["top_logprobs"] for entry in listed)
    except ODD as caught:
        return _odd(one.request, one.sample, caught)
    if not listed and one.finish_reason == "content_filter":
        return one  # a refusal has none, and takes no other answer with it
    if (not listed and one.text) or (listed and not some):
        raise ModelError(no_probabilities(settings))
    return listed
