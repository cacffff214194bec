"""The token probabilities of an answer's choices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from potstill.errors import ModelError
from potstill.models.openai.choice_text import MALFORMED, before_stop, content_of, message_in
from potstill.models.openai.logprobs import (
    TokenNames,
    named_by_ids,
    no_probabilities,
    positions,
    renamed_by_ids,
    trusted_logprobs,
    trusted_logprobs_of_each,
)
from potstill.models.openai.requests import not_understood
from potstill.models.openai.trusted_positions import name_of
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, TokenLogprobs

Json = dict[str, Any]


def with_logprobs(
    settings: OpenAISettings,
    read: Sequence[Completion],
    choices: Sequence[Json],
    names: TokenNames | None = None,
) -> list[Completion]:
    """Returns the completions with their probabilities, computed together where that works.

    Args:
        settings: The server.
        read: The completions without them.
        choices: The choices that they were read from.
        names: The bytes of the model's tokens, for a server that names them by their ids.

    Raises:
        ModelError: There are none, or they are of no tokens that have a name.
    """
    # Positions that had ids in the place of names have names of their own now, and no ``token``.
    entries = [
        _listed(settings, completion, choice, names)
        for completion, choice in zip(read, choices, strict=True)
    ]
    listed = [entry for entry in entries if not isinstance(entry, Completion)]
    texts = [
        _text_of(choice)
        for entry, choice in zip(entries, choices, strict=True)
        if not isinstance(entry, Completion)
    ]
    packed: list[TokenLogprobs | None]
    top = read[0].request.top_logprobs
    are_right = names is not None and not any("token" in row[0] for row in listed if row)
    try:
        packed = list(trusted_logprobs_of_each(listed, texts, top, are_right=are_right))
    except MALFORMED:
        packed = [None] * len(listed)
    left = iter(zip(packed, texts, strict=True))
    return [
        entry
        if isinstance(entry, Completion)
        else _packed(completion, entry, *next(left), are_right=are_right)
        for completion, entry in zip(read, entries, strict=True)
    ]


def _packed(
    completion: Completion,
    listed: list[Json],
    packed: TokenLogprobs | None,
    text: str,
    *,
    are_right: bool,
) -> Completion:
    """Returns a completion with its probabilities, computed alone where it failed with others."""
    try:
        top = completion.request.top_logprobs
        logprobs = packed or trusted_logprobs(listed, text, top, are_right=are_right)
    except MALFORMED as caught:
        return not_understood(completion.request, completion.sample, caught)
    return replace(completion, logprobs=logprobs)


def _text_of(choice: Json) -> str:
    try:
        return content_of(message_in(choice).get("content")).text or ""
    except MALFORMED:
        return ""


def _listed(
    settings: OpenAISettings, completion: Completion, choice: Json, names: TokenNames | None
) -> list[Json] | Completion:
    """Returns the positions that a choice lists; the completion itself where it is to have none."""
    if completion.error is not None:
        return completion
    try:
        listed = positions(choice.get("logprobs") or {})
        some = any(entry["top_logprobs"] for entry in listed)
        by_ids = named_by_ids(listed)
        if by_ids and names is not None:
            listed, by_ids = renamed_by_ids(listed, names), False
        stops = completion.request.stop
        if listed and not by_ids and stops and before_stop(_text_of(choice), stops) is not None:
            listed = _up_to_stop(listed, completion.text.encode(), stops)
    except MALFORMED as caught:
        return not_understood(completion.request, completion.sample, caught)
    if by_ids:
        raise ModelError(
            f"{settings.model}: the server at {settings.base_url} names tokens by their ids, which "
            "say nothing without its tokenizer; set body: {return_tokens_as_token_ids: false}."
        )
    if not listed and completion.finish_reason == "content_filter":
        return completion  # a refusal has none, and takes no other answer with it
    if (not listed and completion.text) or (listed and not some):
        raise ModelError(no_probabilities(settings))
    return listed


def _up_to_stop(listed: list[Json], text: bytes, stops: Sequence[str]) -> list[Json]:
    """Returns the positions of a text and of the stop string that ends it, as most servers do."""
    names = [name_of(entry) for entry in listed]
    spelled = b"".join(names)
    at = spelled.find(text)
    behind = spelled[at + len(text) :]
    stop_lengths = [
        len(stop.encode()) for stop in stops if stop and behind.startswith(stop.encode())
    ]
    if at < 0 or not stop_lengths:
        return listed
    end, begin = at + len(text) + max(stop_lengths), 0
    for place, name in enumerate(names):
        if begin >= end:
            return listed[:place]
        begin += len(name)
    return listed
