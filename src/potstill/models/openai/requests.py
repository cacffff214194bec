"""The request bodies that are sent to an OpenAI-compatible server."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from potstill.errors import ConfigError
from potstill.models.interface import sample_seed
from potstill.models.openai.chat_templates import plain_prompt, templated
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import TokenRequest
from potstill.records import Completion, Request

Json = dict[str, Any]

OWN_ROUTE = "/generate"
"""SGLang's own route, which stands beside the version's routes and not under them."""


def failure(request: Request, sample: int, error: str) -> Completion:
    """Returns the completion of a sample that has no answer."""
    return Completion(request=request, sample=sample, text="", finish_reason="error", error=error)


def not_understood(request: Request, sample: int, caught: Exception) -> Completion:
    """Returns the completion of a sample whose answer is not as documented."""
    message = f"the server's answer is not understood: {type(caught).__name__}: {caught}"
    return failure(request, sample, message)


def runs(samples: Sequence[int]) -> list[list[int]]:
    """Returns samples in runs without a gap, each of which is asked for at once.

    A server that draws choice i by ``seed + i`` (vLLM does) then gives a sample the same draw
    whichever of its siblings it is asked with.
    """
    groups: list[list[int]] = []
    for sample in samples:
        if groups and groups[-1][-1] + 1 == sample:
            groups[-1].append(sample)
        else:
            groups.append([sample])
    return groups


def request_body(settings: OpenAISettings, request: Request, samples: Sequence[int]) -> Json:
    """Returns the body that asks for one run of samples.

    ``settings.body`` comes last and wins; a field that it sets to null is left out. One seed covers
    the run: 30 bits of the request's own plus the first sample's index, so below 2**31, which every
    server takes. Greedy requests have none.
    """
    body: Json = {"model": settings.where, "temperature": request.temperature}
    body |= _prompt(settings, request)
    own_server = urlsplit(settings.base_url).hostname == "api.openai.com"
    limit = "max_completion_tokens" if own_server and "messages" in body else "max_tokens"
    body[limit] = request.max_tokens
    if request.top_p != 1:
        body["top_p"] = request.top_p
    if isinstance(request, TokenRequest) and request.whole and request.prompt_ids:
        body["return_token_ids"] = True
    if len(samples) > 1:
        body["n"] = len(samples)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.temperature > 0:
        body["seed"] = (sample_seed(request, 0) & 0x3FFF_FFFF) + samples[0]
    if request.top_logprobs and "messages" in body:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    elif request.top_logprobs:
        body["logprobs"] = request.top_logprobs
    body |= settings.body
    return {name: value for name, value in body.items() if value is not None}


def route_of(body: Mapping[str, object]) -> str:
    """Returns the route that a body is for, as it follows the server's address."""
    if "sampling_params" in body:
        return OWN_ROUTE
    return "/chat/completions" if "messages" in body else "/completions"


def url_of(base_url: str, body: Mapping[str, object]) -> str:
    """Returns the address that a body is sent to.

    Args:
        base_url: The address that the server's routes begin with, without a slash at its end.
        body: The body.
    """
    route = route_of(body)
    return (base_url.removesuffix("/v1") if route == OWN_ROUTE else base_url) + route


def given_beginning(request: Request, body: Mapping[str, object]) -> str:
    """Returns the text that a server goes on from, with which its answer may begin as well."""
    if isinstance(request, TokenRequest) and request.prompt_ids:
        return ""  # no server repeats the tokens of a prompt
    prompt = body.get("prompt")
    return prompt if isinstance(prompt, str) else request.answer_prefix


def _prompt(settings: OpenAISettings, request: Request) -> Json:
    prompt, prefix = request.prompt, request.answer_prefix
    if isinstance(request, TokenRequest) and request.prompt_ids:  # the prefix is among them
        return {"prompt": list(request.prompt_ids)}
    if not settings.chat:
        if isinstance(prompt, str) and settings.chat_template is not None:
            return {"prompt": plain_prompt(settings.chat_template, prompt, prefix)}
        if isinstance(prompt, str):
            return {"prompt": prompt + prefix}
        raise ConfigError(
            f"{settings.model}: chat messages cannot be sent to the completions route; "
            "set chat: true, or use a prompt style of plain text, such as zero_shot_cot."
        )
    if isinstance(prompt, str):
        messages = [{"role": "user", "content": prompt}]
    else:
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt]
    return _begun(settings, messages, prefix) if prefix else {"messages": messages}


def _begun(settings: OpenAISettings, messages: list[Json], prefix: str) -> Json:
    """Returns the fields that have a chat model go on from the beginning of its answer."""
    prefill = settings.prefill or "continue_final_message"
    if prefill == "none":
        raise ConfigError(
            f"{settings.model} cannot go on from an answer that is begun (prefill: none)."
        )
    if prefill == "template":
        assert settings.chat_template is not None, "the settings see to it"
        return {"prompt": templated(settings.chat_template, messages) + prefix}
    last: Json = {"role": "assistant", "content": prefix}
    if prefill == "prefix":
        last["prefix"] = True
    fields: Json = {"messages": [*messages, last]}
    if prefill == "continue_final_message":
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    return fields
