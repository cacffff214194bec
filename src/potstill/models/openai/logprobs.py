"""The token probabilities in a server's answers, packed.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potstill.models.settings import OpenAISettings
from potstill.records import TokenLogprobs

Json = dict[str, Any]

LOGPROB_FLOOR = -9999.0
"""What servers send in place of minus infinity, which JSON cannot say."""

ROUNDING = 0.01
"""By which a log-probability may be above 0; beyond it, a server sends something else."""

LONGEST_NAME = 1024
"""Bytes of a token."""


def no_probabilities(settings: OpenAISettings, told: str = "") -> str:
    """What to say where probabilities are needed and the server has none."""
    words = f" ({told})" if told else ""
    return (
        f"{settings.model}: the server at {settings.base_url} gives no token probabilities{words}; "
        "set top_logprobs to 0, or ask a server that has them, such as vLLM."
    )


def positions(given: Json) -> list[Json]:
    """The positions of a choice's ``logprobs``, as the chat route lists them.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    return given.get("content") or _positions(given)


def _positions(given: Json) -> list[Json]:
    """The completions route's parallel lists, as the chat route's list of positions."""
    tokens, logprobs = given.get("tokens") or [], given.get("token_logprobs") or []
    tops = given.get("top_logprobs") or [None] * len(tokens)
    return [
        {"bytes": _legacy_bytes(token), "logprob": logprob, "top_logprobs": _legacy_top(top)}
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    ]


def _legacy_top(top: Mapping[str, float | None] | None) -> list[Json]:
    return [
        {"bytes": _legacy_bytes(token), "logprob": logprob}
        for token, logprob in (top or {}).items()
    ]


def _legacy_bytes(token: str) -> bytes:
    r"""A token's bytes; one that is no text by itself is written ``bytes:\xe2\x80``."""
    if token.startswith("bytes:\\x"):
        return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
    return token.encode()


_logprob_of, _bytes_of = itemgetter("logprob"), itemgetter("bytes")
_NO_ENTRY: Json = {"bytes": (), "logprob": None}


def token_logprobs(positions: Sequence[Json], top: int) -> TokenLogprobs:
    """Packed probabilities of a completion's positions, each a chat route's ``logprobs`` entry.

    A token without ``bytes`` is named by its text in UTF-8. A logprob of null or at the servers'
    floor is minus infinity.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are no log-probabilities of tokens.
    """
    entries: list[Json] = []
    for position in positions:
        likeliest = position["top_logprobs"]
        entries.append(position)
        entries += likeliest if len(likeliest) == top else _so_many(likeliest, top)
    shape = len(positions), 1 + top
    told = _logprobs(entries).reshape(shape)
    told[~(told > LOGPROB_FLOOR)] = -np.inf  # what is not a number as well
    if (told > ROUNDING).any():
        raise ValueError(f"a log-probability is {told.max():g}, and none is above 0")
    values = told.astype(np.float32)
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


def token_logprobs_of_each(choices: Sequence[Sequence[Json]], top: int) -> list[TokenLogprobs]:
    """Packed probabilities of several completions, each as by :func:`token_logprobs`.

    All are computed together: most of what one takes is the same for few tokens as for many.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: Some are no log-probabilities of tokens.
    """
    whole = token_logprobs(list(chain.from_iterable(choices)), top)
    assert whole.lengths is not None
    bytes_to = [0, *np.cumsum(whole.lengths.sum(axis=1, dtype=np.int64)).tolist()]
    found, begin = [], 0
    for choice in choices:
        end = begin + len(choice)
        found.append(
            TokenLogprobs(
                logprobs=whole.logprobs[begin:end],
                token_bytes=whole.token_bytes[bytes_to[begin] : bytes_to[end]],
                lengths=whole.lengths[begin:end],
            )
        )
        begin = end
    return found


def _logprob(entry: Json) -> float:
    value = entry["logprob"]
    return -np.inf if value is None else value


def _so_many(likeliest: Sequence[Json], top: int) -> list[Json]:
    """The likeliest ``top``, with empty ones for those that there are not."""
    kept = sorted(likeliest, key=_logprob, reverse=True)[:top]
    return kept + [_NO_ENTRY] * (top - len(kept))


def _logprobs(entries: Sequence[Json]) -> NDArray[np.float64]:
    """Each entry's log-probability; of null, nan."""
    try:
        return np.fromiter(map(_logprob_of, entries), np.float64, len(entries))
    except TypeError:  # null is no number to it, and nan to the slower way
        return np.array(list(map(_logprob_of, entries)), np.float64)


def _names(entries: Sequence[Json]) -> tuple[list[Sequence[int]], NDArray[np.int64]]:
    """The bytes of each entry's token, as lists where the server sent lists; their lengths."""
    try:
        names = list(map(_bytes_of, entries))
        return names, np.fromiter(map(len, names), np.int64, len(names))
    except (KeyError, TypeError):  # some have none, or null
        told = [entry.get("bytes") for entry in entries]
        names = [
            entry["token"].encode() if name is None else name
            for name, entry in zip(told, entries, strict=True)
        ]
        return names, np.fromiter(map(len, names), np.int64, len(names))
