"""Reads the probabilities of a given text from a server's answer.

What is not certain is refused: of a text all tokens have a probability and bytes, which together
are the text, or the sample has failed for a reason. Among the likeliest tokens those whose bytes
are not known are left out, and so are control tokens.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from potstill.models.openai.given_requests import NEEDS_TOKENIZER, ScoreQuery
from potstill.models.openai.listed_prompts import PromptPlace, PromptToken, listed_places
from potstill.models.openai.logprobs import LONGEST_NAME
from potstill.models.openai.spelled_pieces import (
    UNREADABLE,
    Misspelled,
    Spelling,
    spelled_at_end,
    spells,
)
from potstill.models.openai.usage import TOKEN_CHARACTERS
from potstill.models.token_requests import GivenTokens
from potstill.records import Request, TokenLogprobs

CONTROL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,20}\]")
"""The spelling of a control token of a common tokenizer."""

MOST_BEHIND = 8
"""Tokens that a chat template puts behind an answer at most."""

MOST_MASS = 1.02
"""The largest sum of the likeliest tokens' probabilities: those of number formats are rounded."""


class _ScoredEntry(NamedTuple):
    """A token's bytes and log-probability; no bytes: the end of the answer."""

    name: bytes
    logprob: float


class _Span(NamedTuple):
    """The part of the listed tokens that is scored."""

    places: Sequence[PromptPlace]
    names: Sequence[bytes]
    """The bytes of the text's own tokens."""

    end: PromptPlace | None
    end_ids: frozenset[int]
    begins: bool
    """Whether nothing stands before the text, so that its first token has no probability."""

    is_spaced: bool = False
    """Whether the tokenizer puts a space before every text, which its first token then has."""


def read_scores(
    request: Request,
    query: ScoreQuery,
    reply: Mapping[str, Any],
    tokens: GivenTokens | None,
) -> TokenLogprobs:
    """Returns the scores of a text, by bytes.

    Args:
        request: The request.
        query: The request as it was sent.
        reply: The answer's JSON.
        tokens: The model's tokenizer, where it is known.

    Raises:
        MissingScores: The answer has none.
        LookupError, TypeError, ValueError, AttributeError: They are not those of the text.
    """
    places = listed_places(query, reply)
    ends = request.given is not None and request.given.ends
    try:
        span = (
            _span_of_sent(query, places, tokens)
            if query.tokens is not None and tokens is not None
            else _span_of_text(request, query, places, tokens, ends=ends)
        )
    except Misspelled as error:
        hint = "" if tokens is not None else f"; {NEEDS_TOKENIZER}"
        raise ValueError(f"{error}{hint}") from None
    reader = _RowReader(span, tokens, request.top_logprobs)
    rows = [reader.of_text(at) for at in range(len(span.places))]
    if span.end is not None:
        rows.append(reader.of_end(span.end))
    return _packed(rows, request.top_logprobs)


def _span_of_sent(query: ScoreQuery, places: Sequence[PromptPlace], tokens: GivenTokens) -> _Span:
    """Returns the part of tokens that were sent as such."""
    assert query.tokens is not None
    first = len(query.tokens.prompt_ids) - query.skipped
    behind = first + len(query.tokens.text_ids)
    names = [tokens.names[id_] or b"" for id_ in query.tokens.text_ids]
    for place, name in zip(places[first:behind], names, strict=True):
        _check_name(place, name)
    is_spaced = b"".join(names) == b" " + query.text.encode()
    if is_spaced:
        names[0] = names[0].removeprefix(b" ")
    end = None if query.tokens.end_id is None else places[behind]
    begins = not query.tokens.prompt_ids
    return _Span(places[first:behind], names, end, frozenset(tokens.ends), begins, is_spaced)


def _check_name(place: PromptPlace, name: bytes) -> None:
    """Refuse a token that the server calls otherwise, where it knows tokens by names alone.

    Raises:
        ValueError: It does, so that it has read other tokens, or its names are not to be trusted.
    """
    if place.distinct or not isinstance(place.name, str) or not place.name:
        return
    if UNREADABLE not in place.name and place.name.encode() != name:
        raise ValueError(f"it calls the token {name!r} {place.name[:40]!r}; is it another model?")


def _span_of_text(
    request: Request,
    query: ScoreQuery,
    places: Sequence[PromptPlace],
    tokens: GivenTokens | None,
    *,
    ends: bool,
) -> _Span:
    """Returns the part that is found by the text: the last tokens, but for those of the end."""
    names = [_text_name(place, tokens) for place in places]
    if query.before is not None and not names[0]:
        names[0] = _first_name(names[1:], query.before + query.text)
    prompt = _PromptCheck(request, query)
    spelling, behind = _found(names, query.text, prompt, ends=ends)
    if not prompt.allows(names[: spelling.first]):
        raise ValueError("the prompt that it read is not the one that it was sent; is it cut?")
    end = places[behind] if ends else None
    end_ids = frozenset(tokens.ends) if tokens is not None else frozenset[int]()
    if end is not None and end.id is not None:
        end_ids |= {end.id}
    begins = spelling.first == 0
    return _Span(places[spelling.first : behind], spelling.names, end, end_ids, begins)


def _found(
    names: Sequence[str], text: str, prompt: "_PromptCheck", *, ends: bool
) -> tuple[Spelling, int]:
    """Returns the tokens of a text, and the place behind them."""

    def found_in(listed: Sequence[str]) -> Spelling:
        if not text:
            return Spelling(len(listed), [])
        return spelled_at_end(listed, text, lambda count: prompt.allows(listed[:count]))

    if not ends:
        return found_in(names), len(names)
    fault = Misspelled("behind the text it lists no token that ends an answer")
    for count in range(1, min(MOST_BEHIND, len(names) - 1) + 1):
        behind = len(names) - count
        if CONTROL.fullmatch(names[behind]):
            try:
                return found_in(names[:behind]), behind
            except Misspelled as error:
                fault = error
    raise fault


def _text_name(place: PromptPlace, tokens: GivenTokens | None) -> str:
    """Returns the text of a token; U+FFFD stands for pieces of characters."""
    name = place.name
    if tokens is not None and place.id is not None and place.id < len(tokens.names):
        name = tokens.names[place.id] or name
    if isinstance(name, bytes):
        return name.decode(errors="replace")
    return name or ""


def _first_name(others: Sequence[str], whole: str) -> str:
    """Returns the text of a first token that is not told, by all others; none where it adds none.

    Raises:
        ValueError: More than a token is missing there.
    """
    read = "".join(others)
    if not whole.endswith(read):
        return ""
    missing = whole[: len(whole) - len(read)]
    if len(missing) > TOKEN_CHARACTERS or len(missing.split()) > 1:
        raise ValueError(
            "the prompt that it read does not begin as the one it was sent; is it cut?"
        )
    return missing


class _PromptCheck:
    """Compares the prompt that a server has read with the one that it was sent.

    Args:
        request: The request.
        query: The request as it was sent.
    """

    def __init__(self, request: Request, query: ScoreQuery) -> None:
        self._before = query.before
        turns = () if isinstance(request.prompt, str) else request.prompt
        asked = [turn.content for turn in turns if turn.role == "user"]
        self._asked = [request.prompt] if isinstance(request.prompt, str) else asked

    def allows(self, names: Sequence[str]) -> bool:
        """Whether tokens of these names may be the prompt, one before every text aside."""
        read = "".join(names)
        if self._before is None:  # a chat, rendered by the server
            return UNREADABLE in read or all(_holds(read, text.strip()) for text in self._asked)
        if not names:
            return not self._before
        rest = "".join(names[1:])
        if self._before in (read, rest, read[1:] if read.startswith(" ") else read):
            return True
        if UNREADABLE not in read:
            return False
        return spells(names, self._before) or spells(names[1:], self._before)


def _holds(read: str, text: str) -> bool:
    """Whether a prompt, of which the first token may not be named, holds a text."""
    cut = min(len(text), TOKEN_CHARACTERS)
    return text in read or any(read.startswith(text[count:]) for count in range(1, cut))


class _RowReader:
    """Reads the rows of one text.

    Args:
        span: The text that is scored.
        tokens: The model's tokenizer, where it is known.
        k: How many likeliest tokens are kept.
    """

    def __init__(self, span: _Span, tokens: GivenTokens | None, k: int) -> None:
        self._span, self._tokens, self._k = span, tokens, k

    def of_text(self, at: int) -> list[_ScoredEntry]:
        """Returns the row of a token of the text: itself, and the likeliest ones, best first."""
        place, name = self._span.places[at], self._span.names[at]
        if at == 0 and self._span.begins and place.logprob is None:
            return [_ScoredEntry(name, float("nan"))]
        if place.logprob is None or place.logprob == -np.inf:
            raise ValueError(f"it has no probability of the text's token {at + 1}")
        ends = [token.logprob for token in place.likeliest if token.id in self._span.end_ids]
        spaced = at == 0 and self._span.is_spaced
        return [_ScoredEntry(name, place.logprob), *self._likeliest(place, ends, spaced=spaced)]

    def of_end(self, place: PromptPlace) -> list[_ScoredEntry]:
        """Returns the row of the end, by whichever token."""
        if place.logprob is None or place.logprob == -np.inf:
            raise ValueError("it has no probability of the end of the answer")
        ends = [token.logprob for token in place.likeliest if token.id in self._span.end_ids]
        if all(token.id is None or token.id != place.id for token in place.likeliest):
            ends.append(place.logprob)
        own = _ScoredEntry(b"", _sum(ends))
        return [own, *self._likeliest(place, ends, spaced=False)]

    def _likeliest(
        self, place: PromptPlace, ends: Sequence[float], *, spaced: bool
    ) -> list[_ScoredEntry]:
        if not self._k:
            return []
        _check_likeliest(place, self._k)
        entries = [
            _ScoredEntry(name.removeprefix(b" ") if spaced else name, token.logprob)
            for token in place.likeliest
            if token.id not in self._span.end_ids
            and np.isfinite(token.logprob)
            and (name := _name(token, self._tokens))
        ]
        if ends and np.isfinite(_sum(ends)):
            entries.append(_ScoredEntry(b"", _sum(ends)))
        entries.sort(key=lambda entry: -entry.logprob)
        return entries[: self._k]


def _sum(logprobs: Sequence[float]) -> float:
    """Returns the logarithm of a sum of probabilities."""
    return float(np.logaddexp.reduce(list(logprobs)))


def _name(token: PromptToken, tokens: GivenTokens | None) -> bytes:
    """Returns a token's bytes; none where they are not known, or it is a control token."""
    if tokens is not None and token.id is not None:
        return (tokens.names[token.id] if token.id < len(tokens.names) else None) or b""
    if isinstance(token.name, bytes):
        return token.name
    if not token.name or UNREADABLE in token.name or CONTROL.fullmatch(token.name):
        return b""
    return token.name.encode()


def _check_likeliest(place: PromptPlace, k: int) -> None:
    """Refuse a row with fewer likeliest tokens than were asked for, or with too much probability.

    Raises:
        ValueError: It has.
    """
    count = len(place.likeliest) - place.is_beside
    merged = not place.distinct and any(
        not token.name or (isinstance(token.name, str) and UNREADABLE in token.name)
        for token in place.likeliest
    )
    if count < k and not (merged and count):
        raise ValueError(f"it lists {count} of {k} likeliest tokens")
    mass = sum(float(np.exp(token.logprob)) for token in place.likeliest)
    if mass > MOST_MASS:
        raise ValueError(f"the probabilities of its likeliest tokens come to {mass:.3g}")


def _packed(rows: Sequence[Sequence[_ScoredEntry]], k: int) -> TokenLogprobs:
    """Returns rows as arrays, those with fewer likeliest tokens padded."""
    logprobs = np.full((len(rows), 1 + k), -np.inf, np.float32)
    lengths = np.zeros((len(rows), 1 + k), np.uint16)
    for at, row in enumerate(rows):
        for column, entry in enumerate(row):
            if len(entry.name) > LONGEST_NAME:
                raise ValueError(f"a token has {len(entry.name)} bytes, more than {LONGEST_NAME}")
            logprobs[at, column], lengths[at, column] = min(entry.logprob, 0.0), len(entry.name)
    data = b"".join(entry.name for row in rows for entry in row)
    return TokenLogprobs(logprobs=logprobs, token_bytes=data, lengths=lengths)


def differences(one: TokenLogprobs, other: TokenLogprobs) -> tuple[float, float] | None:
    """Returns how far two scores of one text differ in nats, on average and at most.

    None where they are not of the same tokens.
    """
    if one.logprobs.shape != other.logprobs.shape:
        return None
    assert one.lengths is not None
    assert other.lengths is not None
    if (one.lengths[:, 0] != other.lengths[:, 0]).any():
        return None
    apart = np.abs(one.logprobs[:, 0].astype(np.float64) - other.logprobs[:, 0])
    apart = apart[np.isfinite(apart)]
    return (float(apart.mean()), float(apart.max())) if apart.size else (0.0, 0.0)
