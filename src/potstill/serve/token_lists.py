"""Log-probabilities of a student on this machine, in the shapes of OpenAI's two routes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from potstill.errors import ModelError
from potstill.models.token_requests import EchoedCompletion, SpelledToken
from potstill.records import Completion

Json = dict[str, Any]

Speller = Callable[[int], SpelledToken]


class ListedToken(NamedTuple):
    """A token of a text with its log-probability and those of the likeliest in its place."""

    token: int
    logprob: float | None
    """The token's log-probability in nats; None for the first token of a text."""

    top: tuple[tuple[int, float], ...] = ()
    """Tokens and their log-probabilities, the likeliest first."""


def listed_tokens(completion: Completion, most: int) -> list[ListedToken]:
    """Returns the tokens of a completion that has probabilities, those of an echoed prompt first.

    Args:
        completion: From a model on this machine.
        most: How many likeliest tokens are listed in each place.

    Raises:
        ModelError: It has no probabilities.
    """
    logprobs = completion.logprobs
    if logprobs is None or logprobs.ids is None:
        raise ModelError("it gives no token probabilities")
    rows = [
        ListedToken(
            int(ids[0]),
            float(values[0]),
            tuple(
                (int(token), float(value))
                for token, value in zip(ids[1 : 1 + most], values[1 : 1 + most], strict=True)
                if token >= 0
            ),
        )
        for ids, values in zip(logprobs.ids, logprobs.logprobs, strict=True)
    ]
    if isinstance(completion, EchoedCompletion):
        return [ListedToken(completion.ids[0], None), *rows]
    return rows


def chat_shape(tokens: Sequence[ListedToken], spell: Speller) -> Json:
    """Returns the probabilities of a chat's message."""

    def entry(token: int, logprob: float | None) -> Json:
        spelled = spell(token)
        return {"token": spelled.text, "logprob": logprob, "bytes": list(spelled.bytes)}

    content = [
        {
            **entry(listed.token, listed.logprob),
            "top_logprobs": [entry(*alternative) for alternative in listed.top],
        }
        for listed in tokens
    ]
    return {"content": content, "refusal": None}


def text_shape(tokens: Sequence[ListedToken], spell: Speller, text: str) -> Json:
    """Returns the probabilities of a text, with the place in it at which each token begins.

    Alternatives are named by their texts; of two with one text the likelier is listed.
    """
    spelled = [spell(listed.token) for listed in tokens]
    whole = b"".join(token.bytes for token in spelled)
    # Some vocabularies write a space before the first word of a text, which decoding takes away.
    lead = int(whole.startswith(b" ") and not text.startswith(" "))
    offsets, length = [], 0
    for token in spelled:
        offsets.append(max(0, len(whole[:length].decode(errors="ignore")) - lead))
        length += len(token.bytes)
    return {
        "tokens": [token.text for token in spelled],
        "token_logprobs": [listed.logprob for listed in tokens],
        "top_logprobs": [_by_text(listed, spell) for listed in tokens],
        "text_offset": offsets,
    }


def _by_text(listed: ListedToken, spell: Speller) -> dict[str, float] | None:
    if listed.logprob is None:
        return None
    found: dict[str, float] = {}
    for token, logprob in listed.top:
        found.setdefault(spell(token).text, logprob)
    return found
