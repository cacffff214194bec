"""The tokens of a prompt as servers list them with their probabilities, read into one shape."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from potstill.models.openai.given_requests import ScoreQuery
from potstill.models.openai.logprobs import LOGPROB_FLOOR, ROUNDING

Json = dict[str, Any]

_ID = re.compile(r"token_id:(\d+)")
_BYTES = re.compile(r"bytes:((?:\\x[0-9a-fA-F]{2})+)")

SAME = 0.01
"""Nats by which one probability may differ where a server states it twice."""


class PromptToken(NamedTuple):
    """A token with its probability."""

    id: int | None
    name: str | bytes | None
    """Its text as the server has it, or its bytes where that says them."""

    logprob: float
    """Minus infinity where the server has none for it."""


class PromptPlace(NamedTuple):
    """One token of the prompt, and the likeliest at its place."""

    id: int | None
    name: str | bytes | None
    logprob: float | None
    """None where the server gives none, as for the first token."""

    likeliest: Sequence[PromptToken]
    """The likeliest tokens, in any order; the token itself may be one of them."""

    distinct: bool = True
    """Whether no two of the likeliest were put together, as those of one text are."""

    is_beside: bool = False
    """Whether the token itself is listed beside the likeliest, none of which it is."""


class MissingScores(ValueError):
    """An answer without any scores, as that of a server that does not know the fields."""


def listed_places(query: ScoreQuery, reply: Mapping[str, Any]) -> list[PromptPlace]:
    """Returns the tokens that an answer lists, those of what may be written behind them aside.

    Raises:
        MissingScores: It lists none.
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    choice = next(choice for choice in reply["choices"] if isinstance(choice, dict))
    if query.way == "prompt_logprobs":
        return _prompt_logprobs(query, choice, reply)
    if query.way == "echo":
        return _echo(query, choice)
    return _input_token_logprobs(query, choice)


def _prompt_logprobs(
    query: ScoreQuery, choice: Json, reply: Mapping[str, Any]
) -> list[PromptPlace]:
    """Reads vLLM's mapping from ids to probabilities of each token, its own the first."""
    rows = choice.get("prompt_logprobs") or reply.get("prompt_logprobs")
    if not rows:
        raise MissingScores("it has no prompt_logprobs")
    told = choice.get("prompt_token_ids") or reply.get("prompt_token_ids")
    ids = _sent_ids(query, told)
    if ids is not None and len(ids) != len(rows):
        raise ValueError(f"it lists {len(rows)} tokens of {len(ids)}")
    places = []
    for at, row in enumerate(rows):
        own_id = None if ids is None else ids[at]
        if row is None:
            if at:
                raise ValueError(f"it has no probabilities of token {at + 1}")
            places.append(PromptPlace(own_id, None, None, ()))
            continue
        likeliest = [
            PromptToken(int(id_), entry.get("decoded_token"), logprob_in(entry["logprob"]))
            for id_, entry in row.items()
        ]
        own = likeliest[0] if own_id is None else _of_id(likeliest, own_id, at)
        rank = row[str(own.id)].get("rank")
        beside = type(rank) is int and rank > query.k
        places.append(PromptPlace(own.id, own.name, own.logprob, likeliest, is_beside=beside))
    return places


def _of_id(likeliest: Sequence[PromptToken], id_: int, at: int) -> PromptToken:
    own = next((token for token in likeliest if token.id == id_), None)
    if own is None:
        raise ValueError(f"it has no probability of token {at + 1}, only of others")
    return own


def _sent_ids(query: ScoreQuery, told: object) -> Sequence[int] | None:
    """Returns the tokens that were read: those that were sent, or that the server tells."""
    named = told if isinstance(told, list) and all(type(id_) is int for id_ in told) else None
    if query.tokens is None:
        return named
    ids = query.tokens.ids[query.skipped :]
    if named is not None and list(ids) != named:
        raise ValueError(
            f"it read {len(named)} tokens that are not the {len(ids)} it was sent; is the prompt "
            "cut, or chat_template another model's?"
        )
    return ids


def _echo(query: ScoreQuery, choice: Json) -> list[PromptPlace]:
    """Reads the parallel lists of the completions route, up to the end of what was sent."""
    listed = choice.get("logprobs") or {}
    names, logprobs = listed.get("tokens") or [], listed.get("token_logprobs") or []
    if len(names) < 2 or not logprobs:
        raise MissingScores("it does not list the prompt's tokens")
    tops = listed.get("top_logprobs") or [None] * len(names)
    if not len(names) == len(logprobs) == len(tops):
        raise ValueError(
            f"it lists {len(names)} tokens, {len(logprobs)} probabilities and {len(tops)} rows of "
            "likeliest tokens"
        )
    count = _echoed(query, names, listed.get("text_offset"))
    ids = None if query.tokens is None else query.tokens.ids
    places = []
    for at in range(count):
        id_, name = _named(names[at])
        if ids is not None:
            if id_ is not None and id_ != ids[at]:
                raise ValueError(f"it read token {id_} where it was sent {ids[at]}")
            id_ = ids[at]
        logprob = None if logprobs[at] is None else logprob_in(logprobs[at])
        likeliest = [
            PromptToken(*_named(other), logprob_in(value))
            for other, value in (tops[at] or {}).items()
        ]
        known = [token.logprob for token in likeliest]
        listed_own = (tops[at] or {}).get(names[at])
        _check_same(logprob, listed_own, known, at)
        places.append(PromptPlace(id_, name, logprob, likeliest, distinct=False))
    return places


def _echoed(query: ScoreQuery, names: Sequence[str], offsets: object) -> int:
    """Returns how many of the listed tokens were sent; what is written stands behind them."""
    if query.tokens is not None:
        sent = len(query.tokens.ids)
        if not sent <= len(names) <= sent + 1:
            raise ValueError(f"it lists {len(names)} tokens of {sent}")
        return sent
    whole = (query.before or "") + query.text
    if isinstance(offsets, list) and len(offsets) == len(names):
        first = offsets[0]
        return sum(type(place) is int and place - first < len(whole) for place in offsets)
    return len(names) if "".join(names) == whole else len(names) - 1


def _check_same(
    logprob: float | None, listed: float | None, likeliest: Sequence[float], at: int
) -> None:
    """Refuse a token whose probability contradicts those of the likeliest, as if moved by one.

    Args:
        logprob: The token's own.
        listed: Its log-probability among the likeliest; None where it is none of them.
        likeliest: All of theirs.
        at: The token's place.

    Raises:
        ValueError: It does.
    """
    if logprob is None or not likeliest or (listed is not None and abs(listed - logprob) <= SAME):
        return
    # Among names two tokens of one text are one, and the likelier stands for both.
    most = min(likeliest) if listed is None else listed
    if logprob > most + SAME:
        raise ValueError(
            f"its log-probability {logprob:.3g} of token {at + 1} is not that among the likeliest"
        )


def _input_token_logprobs(query: ScoreQuery, choice: Json) -> list[PromptPlace]:
    """Reads SGLang's triples of log-probability, id and text."""
    meta = choice.get("meta_info") or {}
    rows = meta.get("input_token_logprobs")
    if not rows:
        raise MissingScores("it has no input_token_logprobs")
    tops = meta.get("input_top_logprobs") or [None] * len(rows)
    ids = _sent_ids(query, [row[1] for row in rows])
    if len(tops) != len(rows) or (ids is not None and len(ids) != len(rows)):
        raise ValueError(f"it lists {len(rows)} tokens and {len(tops)} rows of likeliest ones")
    places = []
    for at, (row, top) in enumerate(zip(rows, tops, strict=True)):
        logprob = None if row[0] is None else logprob_in(row[0])
        likeliest = [PromptToken(one[1], one[2], logprob_in(one[0])) for one in top or ()]
        own = next((token.logprob for token in likeliest if token.id == row[1]), None)
        if own is not None and logprob is not None and own > logprob + SAME:
            raise ValueError(f"it has two log-probabilities of token {at + 1}")
        _check_same(logprob, own, [token.logprob for token in likeliest], at)
        places.append(PromptPlace(row[1], row[2], logprob, likeliest))
    return places


def logprob_in(value: object) -> float:
    """Returns a log-probability; minus infinity for null, and for what stands in its place.

    Raises:
        ValueError: It is above 0, or not a number.
        TypeError: It is something else.
    """
    if value is None:
        return -math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a log-probability is {str(value)[:40]!r}")
    if math.isnan(value):
        raise ValueError("a log-probability is not a number")
    if value > ROUNDING:
        raise ValueError(f"a log-probability is {value:g}, and none is above 0")
    return float(value) if value > LOGPROB_FLOOR else -math.inf


def _named(name: str) -> tuple[int | None, str | bytes]:
    """Returns a name of the completions route as an id, or as what it says of the bytes."""
    by_id = _ID.fullmatch(name)
    if by_id is not None:
        return int(by_id[1]), name
    by_bytes = _BYTES.fullmatch(name)
    return None, bytes.fromhex(by_bytes[1].replace("\\x", "")) if by_bytes else name
