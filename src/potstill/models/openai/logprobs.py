"""The token probabilities in a server's answers, packed.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potstill.models.openai.trusted_positions import doubtful_rows, has_odd_names, trusted
from potstill.models.settings import OpenAISettings
from potstill.records import TokenLogprobs

Json = dict[str, Any]

LOGPROB_FLOOR = -9999.0
"""The value that servers send in place of minus infinity, which JSON cannot say."""

ROUNDING = 0.01
"""The most that rounding may lift a log-probability above 0; a larger one is an error."""

_ID = re.compile(r"token_id:(\d+)")

TokenNames = Sequence[bytes | None]
"""The bytes of every token of a vocabulary, by id; None for special tokens and unused ids."""

LONGEST_NAME = 1024
"""Bytes of a token."""


def no_probabilities(settings: OpenAISettings, message: str = "") -> str:
    """Returns the message for when probabilities are needed and the server has none."""
    words = f" ({message})" if message else ""
    return (
        f"{settings.model}: the server at {settings.base_url} gives no token probabilities{words}; "
        "set top_logprobs to 0, or ask a server that has them, such as vLLM."
    )


def positions(listed: Json) -> list[Json]:
    """Returns the positions of a choice's ``logprobs``, as the chat route lists them.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    return listed.get("content") or _positions(listed)


def spelled(listed: Sequence[Json]) -> bytes:
    """Returns the text that the chosen tokens spell.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    return b"".join(map(bytes, _names(listed)[0]))


def _positions(listed: Json) -> list[Json]:
    """Returns the completions route's parallel lists, as the chat route's list of positions."""
    tokens, logprobs = listed.get("tokens") or [], listed.get("token_logprobs") or []
    tops = listed.get("top_logprobs") or [None] * len(tokens)
    return [
        {
            "token": token,
            "bytes": _legacy_bytes(token),
            "logprob": logprob,
            "top_logprobs": _legacy_top(top),
        }
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    ]


def _legacy_top(top: Mapping[str, float | None] | None) -> list[Json]:
    return [
        {"token": token, "bytes": _legacy_bytes(token), "logprob": logprob}
        for token, logprob in (top or {}).items()
    ]


def _legacy_bytes(token: str) -> bytes:
    r"""Returns a token's bytes; one that is no text by itself is written ``bytes:\xe2\x80``."""
    if token.startswith("bytes:\\x"):
        return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
    return token.encode()


_logprob_of, _bytes_of = itemgetter("logprob"), itemgetter("bytes")
_NO_ENTRY: Json = {"bytes": (), "logprob": None}


def token_logprobs(positions: Sequence[Json], top: int) -> TokenLogprobs:
    """Returns packed probabilities of positions that are a chat route's ``logprobs`` entries.

    A token without ``bytes`` is named by its text in UTF-8. A logprob of null or at the servers'
    floor is minus infinity.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are no log-probabilities of tokens.
    """
    entries: list[Json] = []
    for position in positions:
        likeliest = position["top_logprobs"] or ()
        entries.append(position)
        entries += likeliest if len(likeliest) == top else _so_many(likeliest, top)
    shape = len(positions), 1 + top
    logprobs = _logprobs(entries).reshape(shape)
    logprobs[~(logprobs > LOGPROB_FLOOR)] = -np.inf  # what is not a number as well
    if (logprobs > ROUNDING).any():
        raise ValueError(f"a log-probability is {logprobs.max():g}, and none is above 0")
    values = logprobs.astype(np.float32)
    if (values[:, 1:-1] < values[:, 2:]).any():
        order = np.argsort(-values[:, 1:], axis=1, kind="stable") + 1
        order = np.concatenate([np.zeros((len(order), 1), order.dtype), order], axis=1)
        values = np.take_along_axis(values, order, axis=1)
        flat = (order + np.arange(len(order))[:, None] * shape[1]).ravel()
        entries = [entries[place] for place in flat]
    names, lengths = _names(entries)
    lengths = lengths.reshape(shape)
    if (longest := lengths.max(initial=0)) > LONGEST_NAME:
        raise ValueError(f"a token has {longest} bytes, more than {LONGEST_NAME}")
    letters: list[int] = []  # bytes() takes twice as long over an iterator
    for name in names:
        letters += name
    return TokenLogprobs(
        logprobs=values, token_bytes=bytes(letters), lengths=lengths.astype(np.uint16)
    )


def trusted_logprobs_of_each(
    choices: Sequence[Sequence[Json]], texts: Sequence[str], top: int, *, are_right: bool = False
) -> list[TokenLogprobs]:
    """Returns packed probabilities of several completions, those alone that are their tokens' own.

    All are computed together: most of what one takes is the same for few tokens as for many.

    Args:
        choices: The positions of each.
        texts: The text of each.
        top: How many candidates are kept at each position.
        are_right: Whether all names are known to be right, as those by ids are.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: Some are no log-probabilities of tokens.
    """
    whole = token_logprobs(list(chain.from_iterable(choices)), top)
    assert whole.lengths is not None
    if are_right:
        doubtful = np.zeros(len(whole.logprobs), np.bool_)
    elif has_odd_names(whole):
        doubtful = np.ones(len(whole.logprobs), np.bool_)
    else:
        doubtful = doubtful_rows(whole)
    bytes_to = [0, *np.cumsum(whole.lengths.sum(axis=1, dtype=np.int64)).tolist()]
    packed, begin = [], 0
    for choice, text in zip(choices, texts, strict=True):
        end = begin + len(choice)
        record = TokenLogprobs(
            logprobs=whole.logprobs[begin:end],
            token_bytes=whole.token_bytes[bytes_to[begin] : bytes_to[end]],
            lengths=whole.lengths[begin:end],
        )
        odd = doubtful[begin:end].any()
        packed.append(token_logprobs(trusted(choice, text), top) if odd else record)
        begin = end
    return packed


def trusted_logprobs(
    positions: Sequence[Json], text: str, top: int, *, are_right: bool = False
) -> TokenLogprobs:
    """Returns one completion's; see :func:`trusted_logprobs_of_each`."""
    return trusted_logprobs_of_each([positions], [text], top, are_right=are_right)[0]


def renamed_by_ids(listed: Sequence[Json], names: TokenNames) -> list[Json]:
    """Returns positions whose tokens are named by ids with the tokens' bytes; special ones empty.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    return [
        {
            **_renamed_by_id(position, names),
            "top_logprobs": [
                _renamed_by_id(other, names) for other in position["top_logprobs"] or ()
            ],
        }
        for position in listed
    ]


def _renamed_by_id(entry: Json, names: TokenNames) -> Json:
    token = entry["token"]
    if type(token) is not int:
        match = _ID.fullmatch(token)
        if match is None:
            raise ValueError(f"{token[:40]!r} is no token's id, and others are named by ids")
        token = int(match[1])
    return {
        "bytes": names[token] or b"" if token < len(names) else b"",
        "logprob": entry["logprob"],
    }


def named_by_ids(listed: Sequence[Json]) -> bool:
    """Whether the first position names its token by a number, as ``token_id:35`` or bare."""
    token = listed[0].get("token") if listed else None
    return type(token) is int or (isinstance(token, str) and bool(_ID.fullmatch(token)))


def _logprob(entry: Json) -> float:
    value = entry["logprob"]
    return -np.inf if value is None else value


def _so_many(likeliest: Sequence[Json], top: int) -> list[Json]:
    """Returns the likeliest ``top``, with empty ones for those that there are not."""
    kept = sorted(likeliest, key=_logprob, reverse=True)[:top]
    return kept + [_NO_ENTRY] * (top - len(kept))


def _logprobs(entries: Sequence[Json]) -> NDArray[np.float64]:
    """Returns each entry's log-probability; nan for null."""
    try:
        return np.fromiter(map(_logprob_of, entries), np.float64, len(entries))
    except TypeError:  # null is no number to it, and nan to the slower way
        return np.array(list(map(_logprob_of, entries)), np.float64)


def _names(entries: Sequence[Json]) -> tuple[list[Sequence[int]], NDArray[np.int64]]:
    """Returns the bytes of each entry's token (lists where lists were sent) and their lengths."""
    try:
        names = list(map(_bytes_of, entries))
        return names, np.fromiter(map(len, names), np.int64, len(names))
    except (KeyError, TypeError):  # some have none, or null
        raw_names = [entry.get("bytes") for entry in entries]
        names = [
            entry["token"].encode() if name is None else name
            for name, entry in zip(raw_names, entries, strict=True)
        ]
        return names, np.fromiter(map(len, names), np.int64, len(names))
