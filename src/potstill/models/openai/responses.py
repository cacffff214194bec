"""Reads a server's answers: texts, thinking, finish reasons, token counts and costs."""

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
from potstill.text.thinking import answer_and_thinking

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
"""Finish reasons of a text that the server broke off."""

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Errors that reading a malformed answer raises."""


def read_reply(
    settings: OpenAISettings, request: Request, samples: Sequence[int], reply: Json
) -> list[Completion]:
    """Returns the completions in a server's answer, at least one; an index names its sample.

    The prompt is paid for once however many samples were drawn, so its cost is on the first one.
    Probabilities are of all that the server lists, a thinking block in the text included. A choice
    that is not as documented becomes a failure, and takes no other with it.

    Raises:
        ModelError: Probabilities were asked for and there are none.
    """
    pairs = _by_sample(reply["choices"], samples)
    read = [_read_choice(request, sample, choice) for sample, choice in pairs]
    if request.top_logprobs:
        read = _with_logprobs(settings, read, [choice for _, choice in pairs])
    prompt_tokens, written = tokens_of(reply)
    tokens = shares(
        written,
        [
            0 if completion.logprobs is None else len(completion.logprobs.logprobs)
            for completion in read
        ],
    )
    prices = prices_of(settings)
    costs = [prices.completion * count / 1e6 for count in tokens]
    costs[0] += prompt_cost(prices, reply)
    return [
        replace(completion, prompt_tokens=prompt_tokens, completion_tokens=count, cost=cost)
        for completion, count, cost in zip(read, tokens, costs, strict=True)
    ]


def _by_sample(choices: Sequence[object], samples: Sequence[int]) -> list[tuple[int, Json]]:
    """Returns each sample's choice: by its index where those tell choices apart, else by its place.

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
    """Returns a choice's completion without its probabilities."""
    try:
        text, thinking, finish_reason, error = _text(request, choice)
    except MALFORMED as caught:
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
    """Returns the completions with their probabilities, computed together where that works."""
    entries = [
        _listed(settings, completion, choice)
        for completion, choice in zip(read, choices, strict=True)
    ]
    listed = [entry for entry in entries if not isinstance(entry, Completion)]
    packed: list[TokenLogprobs | None]
    top = read[0].request.top_logprobs
    try:
        packed = list(token_logprobs_of_each(listed, top))
    except MALFORMED:
        packed = [None] * len(listed)
    left = iter(packed)
    return [
        entry if isinstance(entry, Completion) else _packed(completion, entry, next(left))
        for completion, entry in zip(read, entries, strict=True)
    ]


def _packed(completion: Completion, listed: list[Json], packed: TokenLogprobs | None) -> Completion:
    """Returns a completion with its probabilities, computed alone where it failed with others."""
    try:
        logprobs = packed or token_logprobs(listed, completion.request.top_logprobs)
    except MALFORMED as caught:
        return _odd(completion.request, completion.sample, caught)
    return replace(completion, logprobs=logprobs)


def _odd(request: Request, sample: int, caught: Exception) -> Completion:
    message = f"the server's answer is not understood: {type(caught).__name__}: {caught}"
    return failure(request, sample, message)


def shares(total: int, known: Sequence[int]) -> list[int]:
    """Returns each sample's tokens, of which servers tell the sum alone.

    What is known (the tokens that have probabilities) is each sample's own; the rest is split
    evenly, the remainder to the first. The sum is ``total``.
    """
    rest = total - sum(known)
    if rest < 0:
        known, rest = [0] * len(known), total
    even, remainder = divmod(rest, len(known))
    return [own + even + (place < remainder) for place, own in enumerate(known)]


def _text(request: Request, choice: Json) -> tuple[str, str | None, FinishReason, str | None]:
    """Returns text, thinking, finish reason and error of one choice."""
    message: Json = choice["message"] if "message" in choice else {"content": choice["text"]}
    reason = str(choice.get("finish_reason"))
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    thinking = reasoning if isinstance(reasoning, str) else None
    text, refusal = message.get("content"), message.get("refusal")
    if text is None and isinstance(refusal, str) and refusal:
        return refusal, thinking, "content_filter", None
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is not text")
    if text is not None:
        prompt = request.prompt if isinstance(request.prompt, str) else ""
        text, thinking = answer_and_thinking(
            text, prompt=prompt, begun=request.answer_prefix, apart=thinking
        )
    unexplained = reason not in FINISH_REASONS and not text
    no_text = text is None and FINISH_REASONS.get(reason) == "stop"
    if reason in FAILED_REASONS or unexplained or no_text:
        return "", thinking, "error", f"the server gave no text (finish_reason: {reason})"
    return text or "", thinking, FINISH_REASONS.get(reason, "stop"), None


def _listed(
    settings: OpenAISettings, completion: Completion, choice: Json
) -> list[Json] | Completion:
    """Returns the positions that a choice lists; the completion itself where it is to have none."""
    if completion.error is not None:
        return completion
    try:
        listed = positions(choice.get("logprobs") or {})
        some = any(entry["top_logprobs"] for entry in listed)
    except MALFORMED as caught:
        return _odd(completion.request, completion.sample, caught)
    if not listed and completion.finish_reason == "content_filter":
        return completion  # a refusal has none, and takes no other answer with it
    if (not listed and completion.text) or (listed and not some):
        raise ModelError(no_probabilities(settings))
    return listed
