"""The bodies by which servers are asked for the probabilities of a given text.

Three ways are known, each of which lists the tokens of the prompt, the text at its end::

    prompt_logprobs       vLLM, by either route
    echo                  echo and logprobs of the completions route (OpenAI's older one)
    input_token_logprobs  SGLang's own route /generate

Where the model's tokenizer is known, prompt and text are put into its tokens here, those of the
text behind those of the prompt, and sent as ids. Else they are sent as text: of a plain prompt as
one text, of a chat with the given text as the assistant's turn, which the server renders.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from potstill.errors import ConfigError
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import GivenTokens, ServedText, UnscorableText
from potstill.records import Message, Request

Json = dict[str, Any]

ScoreWay = Literal["prompt_logprobs", "echo", "input_token_logprobs"]
"""A way of asking for the probabilities of a given text."""

RENDERED_THERE = ("chat_template", "chat_template_kwargs")
"""Fields of ``body`` that change how a server renders a chat, so that it has to do so itself."""

NEEDS_TOKENIZER = (
    "set chat_template to the hub name or folder of its tokenizer, so that prompts are put into "
    "tokens here"
)


class ScoreQuery(NamedTuple):
    """A request as a server is asked for its scores."""

    way: ScoreWay
    body: Json
    text: str
    """The text that is scored."""

    before: str | None
    """The text before it, where both are sent as one text; else None."""

    tokens: ServedText | None
    """Both in tokens, where they are sent so; else None."""

    k: int
    """How many likeliest tokens are listed at each place."""

    skipped: int = 0
    """Tokens at the beginning of the prompt that the answer does not list."""


def by_chat(settings: OpenAISettings, tokens: GivenTokens | None) -> bool:
    """Whether the server renders the chat, with the given text as the assistant's turn."""
    told = any(name in settings.body for name in RENDERED_THERE)
    return settings.chat and (tokens is None or told)


def score_query(
    settings: OpenAISettings, request: Request, way: ScoreWay, tokens: GivenTokens | None
) -> ScoreQuery:
    """Returns the body that asks for the scores of a request's given text.

    Args:
        settings: The server.
        request: The request.
        way: How the server is asked.
        tokens: The model's tokenizer, where it is known.

    Raises:
        UnscorableText: This text cannot be scored so.
        ConfigError: No text can be.
    """
    assert request.given is not None
    asked = _asked(settings, request)
    text, k = request.given.text, request.top_logprobs
    if by_chat(settings, tokens):
        if way != "prompt_logprobs":
            raise ConfigError(f"{settings.model}: {way} takes no chats; {NEEDS_TOKENIZER}")
        return ScoreQuery(way, _chat_body(settings, asked), text, None, None, k)
    if tokens is not None:
        given = tokens.given(asked)
        if not given.ids:
            raise UnscorableText("prompt and text have no tokens")
        return _sent(settings, way, k, text, None, given)
    if request.given.ends:
        raise ConfigError(
            f"{settings.model}: the token that ends an answer is known by its tokenizer alone; "
            f"{NEEDS_TOKENIZER}, or score texts without their end"
        )
    if not isinstance(asked.prompt, str):
        raise ConfigError(
            f"{settings.model}: chat messages cannot be sent to the completions route; set chat: "
            "true, or use prompts of plain text"
        )
    if not asked.prompt + asked.answer_prefix + text:
        raise UnscorableText("prompt and text are empty")
    return _sent(settings, way, k, text, asked.prompt + asked.answer_prefix, None)


def _asked(settings: OpenAISettings, request: Request) -> Request:
    """Returns a request as the chat route has it: a plain prompt is the user's turn."""
    if settings.chat and isinstance(request.prompt, str):
        return replace(request, prompt=(Message(role="user", content=request.prompt),))
    return request


def _sent(
    settings: OpenAISettings,
    way: ScoreWay,
    k: int,
    text: str,
    before: str | None,
    given: ServedText | None,
) -> ScoreQuery:
    """Returns the query by a route that takes prompts of tokens or text."""
    prompt = (before or "") + text if given is None else list(given.ids)
    if way == "input_token_logprobs":
        # The first token that is listed has no probability, so the one before the text is.
        skipped = 0 if given is None else max(len(given.prompt_ids) - 1, 0)
        body: Json = {
            ("text" if given is None else "input_ids"): prompt,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0.0},
            "return_logprob": True,
            "logprob_start_len": skipped,
            "top_logprobs_num": k,
            "return_text_in_logprobs": given is None,
        }
        return ScoreQuery(way, body, text, before, given, k, skipped)
    body = {"model": settings.where, "prompt": prompt, "temperature": 0.0, "max_tokens": 1}
    body |= _listing(way, k) | settings.body
    return ScoreQuery(way, _given_fields(body), text, before, given, k)


def _chat_body(settings: OpenAISettings, request: Request) -> Json:
    assert request.given is not None
    assert not isinstance(request.prompt, str)
    turns: list[Json] = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
    answer = request.answer_prefix + request.given.text
    body: Json = {
        "model": settings.where,
        "messages": [*turns, {"role": "assistant", "content": answer}],
        "continue_final_message": not request.given.ends,
        "add_generation_prompt": False,
        "temperature": 0.0,
        "max_tokens": 1,
    }
    return _given_fields(body | _listing("prompt_logprobs", request.top_logprobs) | settings.body)


def _listing(way: ScoreWay, k: int) -> Json:
    if way == "echo":
        return {"echo": True, "logprobs": max(k, 1)}
    return {"prompt_logprobs": k, "return_token_ids": True}


def _given_fields(body: Mapping[str, object]) -> Json:
    return {name: value for name, value in body.items() if value is not None}
