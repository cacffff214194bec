"""The tokens of an answer, by the server's own count and by what contradicts it.

Servers count in several ways: thinking outside ``completion_tokens`` (in ``total_tokens`` alone),
one of several samples, one half alone, not at all. Where two counts contradict each other, or the
text, the larger holds: what was billed is never taken for less than what the answer shows of it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from potstill.models.openai.choice_text import content_of, message_in
from potstill.text.common_prefix import rest_after

LARGEST_COUNT = 2**26
"""Tokens that an answer may be said to have; more is no count."""

TOKEN_CHARACTERS = 32
"""Characters that a token has at most, in texts without white space."""


class TokenCounts(NamedTuple):
    """Tokens that an answer took; None where the server does not say."""

    read: int | None
    written: int | None
    cached: int
    """Those of ``read`` that the server had in its cache."""


def token_counts(
    reply: Mapping[str, Any], *, prefix: str = "", limit: int | None = None
) -> TokenCounts:
    """Returns the tokens of the prompt and of all choices together.

    Args:
        reply: The server's answer.
        prefix: The beginning of the answer that the server was given, and may repeat.
        limit: The most tokens of one choice.
    """
    read, cached = _read_tokens(reply)
    written = written_tokens(reply)
    total = _count(reply, "total_tokens")
    choices = [choice for choice in reply["choices"] if isinstance(choice, dict)]
    least = [_least_tokens(choice, prefix, limit) for choice in choices]
    seen = sum(visible + apart for visible, apart in least)
    if not written and seen:
        written = None
    if total:
        read, written = _by_total(read, written, total)
    if written is not None:
        reasoning = _reasoning(reply)
        if reasoning + sum(visible for visible, _ in least) > written:
            written += reasoning
        if written < seen:
            written = max(seen, written * len(choices))
    return TokenCounts(read, written, min(cached, read or 0))


def _read_tokens(reply: Mapping[str, Any]) -> tuple[int | None, int]:
    """Returns the tokens of the prompt, and how many of them came from the server's cache.

    Claude's counts leave those out that were written to the cache or read from it; behind some
    gateways ``prompt_tokens`` does as well, which shows where they are more than the prompt.
    """
    read = _count(reply, "prompt_tokens") or _count(reply, "input_tokens") or None
    from_cache = _count(reply, "cache_read_input_tokens") or 0
    beside = from_cache + (_count(reply, "cache_creation_input_tokens") or 0)
    if beside > (read or 0):
        read = (read or 0) + beside
    cached = _count(reply, "prompt_tokens_details", "cached_tokens")
    return read, from_cache if cached is None else cached


def _by_total(read: int | None, written: int | None, total: int) -> tuple[int | None, int | None]:
    """Returns both halves as the sum has them; what it holds beyond them was written."""
    if read is None and written is None:
        return 0, total  # at the price of what is written, which is seldom the lower one
    if read is None:
        assert written is not None
        return (total - written if total > written else None), written
    return read, max(written or 0, total - read) or None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _reasoning(reply: Mapping[str, Any]) -> int:
    """Returns the tokens of thinking, which most servers count as written, and some beside it."""
    return (
        _count(reply, "completion_tokens_details", "reasoning_tokens")
        or _count(reply, "output_tokens_details", "reasoning_tokens")
        or _count(reply, "reasoning_tokens")
        or 0
    )


def _least_tokens(choice: dict[str, Any], prefix: str, limit: int | None) -> tuple[int, int]:
    """Returns how many tokens a choice's text has at least, and its thinking beside it."""
    try:
        message = message_in(choice)
        content = content_of(message.get("content"))
        apart = message.get("reasoning_content") or message.get("reasoning")
        thinking = apart if isinstance(apart, str) else "".join(content.thinking)
        text = content.text or ""
        rest = rest_after(prefix, text)
    except (LookupError, TypeError, ValueError, AttributeError):
        return 0, 0
    visible, beside = least_words(text if rest is None else rest), least_words(thinking)
    if limit is not None and visible + beside > limit:
        visible, beside = min(visible, limit), max(limit - visible, 0)
    return max(visible, _listed(choice) - beside), beside


def written_tokens(reply: Mapping[str, Any]) -> int | None:
    """Returns the tokens written as the server puts it, thinking included; None without a count."""
    return _first(_count(reply, "completion_tokens"), _count(reply, "output_tokens"))


def least_words(text: str) -> int:
    """Returns how many tokens a text has at least: a token spans no two words."""
    return max(len(text.split()), len(text) // TOKEN_CHARACTERS)


def _listed(choice: Mapping[str, Any]) -> int:
    """Returns how many tokens a choice lists, by their probabilities or their ids."""
    listed = choice.get("logprobs")
    logprobs = listed if isinstance(listed, Mapping) else {}
    lists = logprobs.get("content") or logprobs.get("tokens"), choice.get("token_ids")
    return max(len(tokens) if isinstance(tokens, list) else 0 for tokens in lists)


def _count(reply: Mapping[str, Any], *names: str) -> int | None:
    """Returns a count; None for what is none, such as a text or a negative number."""
    value: object = reply.get("usage")
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None
