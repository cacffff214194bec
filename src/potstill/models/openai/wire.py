"""What is sent to an OpenAI-compatible server, and how its answers are read.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from potstill.errors import ConfigError, ModelError
from potstill.models.base import sample_seed
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, FinishReason, Request, TokenLogprobs

Json = dict[str, Any]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}
"""Any other reason, and none at all, counts as ``stop`` where there is text, else as an error."""

FAILED_REASONS = {"abort", "error", "cancelled"}
"""What a server says of a text that it did not end itself."""

LOGPROB_FLOOR = -9999.0
"""What servers send in place of minus infinity, which JSON cannot say."""

THINKING = re.compile(r"\s*<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)
"""A thinking block, where it begins the text; it is cut short when the tokens run out in it."""


def failure(request: Request, sample: int, error: str) -> Completion:
    """A sample that has no answer."""
    return Completion(request=request, sample=sample, text="", finish_reason="error", error=error)


def runs(samples: Sequence[int]) -> list[list[int]]:
    """Samples in runs without a gap, each of which is asked for at once.

    A server that draws choice i by ``seed + i`` (vLLM does) then gives a sample the same draw
    whichever of its siblings it is asked with.
    """
    found: list[list[int]] = []
    for sample in samples:
        if found and found[-1][-1] + 1 == sample:
            found[-1].append(sample)
        else:
            found.append([sample])
    return found


def request_body(settings: OpenAISettings, request: Request, samples: Sequence[int]) -> Json:
    """The body that asks for one run of samples.

    ``settings.body`` comes last and wins; a field that it sets to null is left out. One seed covers
    the run: 30 bits of the request's own plus the first sample's index, so below 2**31, which every
    server takes. Greedy requests have none.
    """
    body: Json = {"model": settings.where, "temperature": request.temperature}
    body |= _prompt(settings, request)
    own_server = urlsplit(settings.base_url).hostname == "api.openai.com"
    limit = "max_completion_tokens" if own_server and settings.chat else "max_tokens"
    body[limit] = request.max_tokens
    if request.top_p != 1:
        body["top_p"] = request.top_p
    if len(samples) > 1:
        body["n"] = len(samples)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.temperature > 0:
        body["seed"] = (sample_seed(request, 0) & 0x3FFF_FFFF) + samples[0]
    if request.top_logprobs and settings.chat:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    elif request.top_logprobs:
        body["logprobs"] = request.top_logprobs
    body |= settings.body
    return {name: value for name, value in body.items() if value is not None}


def _prompt(settings: OpenAISettings, request: Request) -> Json:
    prompt, prefix = request.prompt, request.answer_prefix
    if not settings.chat:
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
    if not prefix:
        return {"messages": messages}
    messages.append({"role": "assistant", "content": prefix})
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    return {"messages": messages, **flags}


def read_reply(
    settings: OpenAISettings, request: Request, samples: Sequence[int], reply: Json
) -> list[Completion]:
    """The completions in a server's answer, for the first of ``samples`` where it has fewer.

    The prompt is paid for once however many samples were drawn, so its cost is on the first one.
    Probabilities are of all that the server lists, a thinking block in the text included.

    Raises:
        ModelError: Probabilities were asked for and there are none.
        LookupError, TypeError, ValueError, AttributeError: It is not an answer as documented.
    """
    choices = sorted(reply["choices"], key=lambda choice: choice.get("index") or 0)
    choices = choices[: len(samples)]
    if not choices:
        return [failure(request, sample, "the server's answer is empty") for sample in samples]
    logprobs = [_logprobs(settings, request, choice) for choice in choices]
    usage = reply.get("usage") or {}
    prompt_tokens = int(usage.get("prompt_tokens") or 0)
    tokens = shares(
        int(usage.get("completion_tokens") or 0),
        [0 if record is None else len(record.logprobs) for record in logprobs],
    )
    completions = []
    for place, choice in enumerate(choices):
        text, thinking, finish_reason, error = _text(choice)
        cost = settings.completion_price * tokens[place]
        cost += settings.prompt_price * prompt_tokens if place == 0 else 0.0
        completions.append(
            Completion(
                request=request,
                sample=samples[place],
                text=text,
                finish_reason=finish_reason,
                thinking=thinking,
                prompt_tokens=prompt_tokens,
                completion_tokens=tokens[place],
                cost=cost / 1e6,
                logprobs=logprobs[place] if error is None else None,
                error=error,
            )
        )
    return completions


def shares(total: int, known: Sequence[int]) -> list[int]:
    """Each sample's tokens, of which servers tell the sum alone.

    What is known (the tokens that have probabilities) is each sample's own; the rest is split
    evenly, the remainder to the first. The sum is ``total``.
    """
    rest = total - sum(known)
    if rest < 0:
        known, rest = [0] * len(known), total
    each, remainder = divmod(rest, len(known))
    return [own + each + (place < remainder) for place, own in enumerate(known)]


def _text(choice: Json) -> tuple[str, str | None, FinishReason, str | None]:
    """Text, thinking, finish reason and error of one choice."""
    message: Json = choice["message"] if "message" in choice else {"content": choice["text"]}
    reason = str(choice.get("finish_reason"))
    thinking = message.get("reasoning_content") or message.get("reasoning") or None
    text = message.get("content")
    if text is None and message.get("refusal"):
        return str(message["refusal"]), thinking, "content_filter", None
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is not text")
    if text is not None and thinking is None and (block := THINKING.match(text)):
        text, thinking = text[block.end() :], block[1].strip()
    unexplained = reason not in FINISH_REASONS and not text
    no_text = text is None and FINISH_REASONS.get(reason) == "stop"
    if reason in FAILED_REASONS or unexplained or no_text:
        return "", thinking, "error", f"the server gave no text (finish_reason: {reason})"
    return text or "", thinking, FINISH_REASONS.get(reason, "stop"), None


def _logprobs(settings: OpenAISettings, request: Request, choice: Json) -> TokenLogprobs | None:
    top = request.top_logprobs
    if not top:
        return None
    given = choice.get("logprobs") or {}
    positions = given.get("content") or _positions(given)
    text, _, finish_reason, _ = _text(choice)
    if not positions and finish_reason in ("content_filter", "error"):
        return None  # a refusal has none, and takes no other answer with it
    missing = not positions and text
    if missing or (positions and not any(entry["top_logprobs"] for entry in positions)):
        raise ModelError(
            f"{settings.model}: the server at {settings.base_url} gives no token probabilities; "
            "set top_logprobs to 0, or ask a server that has them, such as vLLM."
        )
    return token_logprobs(positions, top)


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


_NO_ENTRY: Json = {"bytes": (), "logprob": None}


def token_logprobs(positions: Sequence[Json], top: int) -> TokenLogprobs:
    """Packed probabilities of a completion's positions, each a chat route's ``logprobs`` entry.

    A token without ``bytes`` is named by its text in UTF-8. A logprob of null or at the servers'
    floor is minus infinity.
    """
    entries: list[Json] = []
    for position in positions:
        likeliest = position["top_logprobs"]
        if len(likeliest) > top:
            likeliest = sorted(likeliest, key=_logprob, reverse=True)[:top]
        entries.append(position)
        entries += likeliest
        entries += [_NO_ENTRY] * (top - len(likeliest))
    shape = len(positions), 1 + top
    # float() of None is nan in numpy; `not (x > floor)` takes it for minus infinity as well.
    values = np.array([entry["logprob"] for entry in entries], np.float32).reshape(shape)
    values[~(values > LOGPROB_FLOOR)] = -np.inf
    if (values[:, 1:-1] < values[:, 2:]).any():
        order = np.argsort(-values[:, 1:], axis=1, kind="stable") + 1
        order = np.concatenate([np.zeros((len(order), 1), order.dtype), order], axis=1)
        values = np.take_along_axis(values, order, axis=1)
        flat = (order + np.arange(len(order))[:, None] * shape[1]).ravel()
        entries = [entries[place] for place in flat]
    names = _names(entries)
    lengths = np.fromiter(map(len, names), np.uint16, len(names)).reshape(shape)
    return TokenLogprobs(logprobs=values, token_bytes=b"".join(names), lengths=lengths)


def _logprob(entry: Json) -> float:
    value = entry["logprob"]
    return -np.inf if value is None else value


def _names(entries: Iterable[Json]) -> list[bytes]:
    return [
        bytes(name) if (name := entry.get("bytes")) is not None else entry["token"].encode()
        for entry in entries
    ]
