"""The tokens of an answer, by the server's own count and by what contradicts it.

Servers count in several ways: thinking outside ``completion_tokens`` (in ``total_tokens`` alone),
one of several samples, one half alone, not at all. Where two counts contradict each other, or the
text, the larger holds: what was billed is never taken for less than what the answer shows of it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from potstill.models.openai.choice_text import content_of, message_in
from potstill.models.openai.stated_usage import StatedUsage, stated_usage
from potstill.text.common_prefix import rest_after

TOKEN_CHARACTERS = 32
"""Characters that a token has at most, in texts without white space."""


class TokenCounts(NamedTuple):
    """Tokens that an answer took; None where the server does not say."""

    read: int | None
    written: int | None
    cached: int
    """The number of tokens in ``read`` that the server had in its cache."""

    usd: float | None = None
    """US dollars that the server states."""


def token_counts(
    reply: Mapping[str, Any], *, prefix: str = "", limit: int | None = None
) -> TokenCounts:
    """Returns the tokens of the prompt and of all choices together.

    Args:
        reply: The server's answer.
        prefix: The beginning of the answer that the server was given, and may repeat.
        limit: The most tokens of one choice.
    """
    stated = stated_usage(reply)
    listed = reply.get("choices")
    choices = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
    least = [_least_tokens(choice, prefix, limit) for choice in choices]
    visible, apart = sum(words for words, _ in least), sum(words for _, words in least)
    counts = counts_of(stated, visible, apart, most=(limit or 0) * len(choices))
    seen = visible + apart
    if counts.written is not None and counts.written < seen:
        return counts._replace(written=max(seen, counts.written * len(choices)))
    return counts


def counts_of(
    stated: StatedUsage, visible: int = 0, apart: int = 0, *, most: int = 0
) -> TokenCounts:
    """Returns the tokens that a server states, both halves as far as they can be told.

    Args:
        stated: The numbers of the server.
        visible: How many tokens the answer's text has at least.
        apart: The same of the thinking beside it.
        most: The most tokens that it may have, which it counts as beside thinking that is stated
            alone.
    """
    read, written = stated.read or None, stated.written
    if not written and visible + apart:
        written = None
    if stated.total:
        read, written = _by_total(read, written, stated.total)
    if stated.hidden and written is None:
        written = stated.hidden + max(visible, most)
    elif written is not None and stated.hidden + visible > written:
        written += stated.hidden
    return TokenCounts(read, written, min(stated.cached, read or 0), stated.usd)


def stated_tokens(stated: StatedUsage) -> int:
    """Returns the tokens that a server states, read and written; 0 where it states none."""
    counts = counts_of(stated)
    return (counts.read or 0) + (counts.written or 0)


def _by_total(read: int | None, written: int | None, total: int) -> tuple[int | None, int | None]:
    """Returns both halves as the sum has them; what it holds beyond them was written."""
    if read is None and written is None:
        return 0, total  # at the price of what is written, which is seldom the lower one
    if read is None:
        assert written is not None
        return (total - written if total > written else None), written
    return read, max(written or 0, total - read) or None


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
    return stated_usage(reply).written


def least_words(text: str) -> int:
    """Returns how many tokens a text has at least: a token spans no two words."""
    return max(len(text.split()), len(text) // TOKEN_CHARACTERS)


def _listed(choice: Mapping[str, Any]) -> int:
    """Returns how many tokens a choice lists, by their probabilities or their ids."""
    listed = choice.get("logprobs")
    logprobs = listed if isinstance(listed, Mapping) else {}
    lists = logprobs.get("content") or logprobs.get("tokens"), choice.get("token_ids")
    return max(len(tokens) if isinstance(tokens, list) else 0 for tokens in lists)
