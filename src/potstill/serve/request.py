"""A client's request, read from its JSON body.

The body is that of OpenAI's chat or text completions, with the field ``guidance`` beside it. It is
read by hand, not by a schema: every request passes here, and an error names OpenAI's own field::

    {"messages": [{"role": "user", "content": "..."}], "max_tokens": 200, "guidance": {"at": 2}}
"""

import codecs
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from potstill.errors import ConfigError
from potstill.guide.types import PolicySettings, expand_policy
from potstill.serve.api_error import ApiError, invalid
from potstill.serve.client_fields import ALONE, forwarded_fields, needs_no_guidance
from potstill.serve.conversation import ClientPrompt, read_messages, read_prompts
from potstill.serve.settings import Route, ServeSettings
from potstill.settings import build

Json = dict[str, Any]

MOST_LOGPROBS = 20
"""Likeliest tokens that may be listed beside each."""

MOST_STOPS = 16
LONGEST_STOP = 1000
LONGEST_NAME = 100
"""Characters: of a stop string, whose beginnings are looked for at every piece of an answer, and of
what a policy is made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientRequest:
    """A request that can be answered."""

    prompts: tuple[ClientPrompt, ...]
    """One, or several on the text route; each gets all samples."""

    by_chat: bool
    """Whether the answer is a chat's message, and not a text that goes on."""

    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    stream: bool
    include_usage: bool
    """Whether a stream ends with the usage."""

    policy: PolicySettings
    fields: Json
    """Fields that are passed on to the student's server."""

    echo: bool
    """Whether the answer begins with the prompt."""

    logprobs: int | None
    """How many likeliest tokens are listed beside each, whose own probability comes too; None: no
    probabilities."""

    @property
    def is_alone(self) -> bool:
        """Whether the teacher never steps in."""
        return self.policy.when == "never"


def request_of(route: Route, body: Json, settings: ServeSettings) -> ClientRequest:
    """Read the fields of a chat or of a text completion.

    Raises:
        ApiError: It cannot be served.
    """
    _check_model(body, settings)
    limits = settings.limits
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("stream_options has to be an object.", "stream_options")
    by_chat, longest = route != "completions", limits.prompt_characters
    echo = _flag(body, "echo")
    if echo and by_chat:
        raise invalid("echo is for the route /v1/completions.", "echo", "unsupported_parameter")
    fields = forwarded_fields(body)
    request = ClientRequest(
        prompts=(read_messages(body.get("messages"), longest=longest),)
        if by_chat
        else read_prompts(body.get("prompt"), longest=longest, most=limits.prompts),
        by_chat=by_chat,
        samples=_integer(body, "n", 1, low=1, high=limits.samples),
        temperature=_number(body, "temperature", settings.temperature, low=0, high=2),
        top_p=_number(body, "top_p", 1.0, low=0, high=1),
        max_tokens=_max_tokens(body, settings, least=0 if echo else 1),
        stop=_stop(body),
        seed=_integer(body, "seed", random.getrandbits(31), low=-(2**63), high=2**63 - 1),
        stream=_flag(body, "stream"),
        include_usage=_flag(options or {}, "include_usage"),
        policy=_policy(body, settings),
        fields=fields,
        echo=echo,
        logprobs=_chat_logprobs(body) if by_chat else _text_logprobs(body, echo=echo),
    )
    _check_guidance(request, settings)
    return request


def _check_guidance(request: ClientRequest, settings: ServeSettings) -> None:
    """Check that nothing is asked that no teacher's step fits in.

    Raises:
        ApiError: Something is.
    """
    if request.is_alone:
        return
    asked = [name for name in ALONE if name in request.fields]
    asked += ["echo"] if request.echo else []
    asked += ["logprobs"] if request.logprobs is not None else []
    if asked:
        raise needs_no_guidance(asked[0], request.policy.label, overrides=settings.overrides)
    if any(prompt.ids for prompt in request.prompts):
        raise invalid(
            "prompt is given in token ids, which the teacher cannot read; send it as text, or "
            '"guidance": "never" beside it.',
            "prompt",
        )


def _chat_logprobs(body: Json) -> int | None:
    """Returns how many likeliest tokens to list: ``logprobs`` is a flag, ``top_logprobs`` counts.

    Raises:
        ApiError: They are neither, or one is missing.
    """
    wanted = _flag(body, "logprobs") if body.get("logprobs") != 0 else False
    most = _integer(body, "top_logprobs", 0, low=0, high=MOST_LOGPROBS)
    if most and not wanted:
        raise invalid("top_logprobs needs logprobs: true beside it.", "top_logprobs")
    return most if wanted else None


def _text_logprobs(body: Json, *, echo: bool) -> int | None:
    """Returns that number for the text route; 0, with ``echo`` only, lists the text's own alone.

    Raises:
        ApiError: It is no count.
    """
    if body.get("top_logprobs"):
        raise invalid("top_logprobs is for chats; give logprobs a number here.", "top_logprobs")
    if body.get("logprobs") is True or body.get("logprobs") is False:
        body = {**body, "logprobs": int(body["logprobs"])}
    most = _integer(body, "logprobs", 0, low=0, high=MOST_LOGPROBS)
    return most if most or (echo and body.get("logprobs") is not None) else None


def read_json_object(content: bytes) -> Json:
    """Read a body that has to be a JSON object.

    Raises:
        ApiError: It is none.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise invalid("the body is UTF-16; send UTF-8.")
    try:
        body = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise invalid("the body is not a JSON object.")
    return body


def _check_model(body: Json, settings: ServeSettings) -> None:
    name = body.get("model")
    if name is not None and name != settings.served_name:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"this server has no such model; it serves {settings.served_name}.",
            param="model",
            code="model_not_found",
        )


def _max_tokens(body: Json, settings: ServeSettings, *, least: int) -> int:
    """The longest answer; -1 asks for as long a one as the server gives."""
    newer = body.get("max_completion_tokens") is not None
    name = "max_completion_tokens" if newer else "max_tokens"
    high = settings.limits.max_tokens
    if body.get(name) == -1 and body.get(name) is not True:
        return high
    return _integer(body, name, min(settings.max_tokens, high), low=least, high=high)


def _stop(body: Json) -> tuple[str, ...]:
    raw = body.get("stop")
    stops = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(stops, list) or len(stops) > MOST_STOPS:
        raise invalid(f"stop has to be a text, or a list of at most {MOST_STOPS}.", "stop")
    if not all(isinstance(stop, str) and stop for stop in stops):
        raise invalid("stop holds something other than text, or an empty one.", "stop")
    if any(len(stop) > LONGEST_STOP for stop in stops):
        raise invalid(f"stop holds a text of more than {LONGEST_STOP} characters.", "stop")
    return tuple(stops)


def _policy(body: Json, settings: ServeSettings) -> PolicySettings:
    raw = body.get("guidance")
    if raw is None:
        return settings.policy
    try:
        return _request_policy(raw, settings)
    except ConfigError as error:
        raise invalid(str(error), "guidance", "invalid_guidance") from None


def _request_policy(raw: object, settings: ServeSettings) -> PolicySettings:
    """The policy that a request names, in short or at length as in a recipe.

    Raises:
        ConfigError: There is no such policy, or this server does not follow it. A request never
            names a ``module:name``, which would have the server import it.
    """
    if not settings.overrides:
        raise ConfigError("guidance is fixed by this server; leave it out of the request.")
    values = expand_policy(raw)
    if not isinstance(values, Mapping) or not _is_plain(values):
        raise ConfigError("guidance is no policy; give e.g. first, never or {first_n: 2}.")
    if ":" in str(values.get("when")):
        raise ConfigError("guidance by a module:name is for this server's own settings.")
    policy = build(PolicySettings, values, at="guidance")
    if policy.when != "never" and settings.teacher is None:
        raise ConfigError(
            f"guidance is {policy.label}, and this server has no teacher; give never."
        )
    if policy.steps > settings.limits.steps:
        raise ConfigError(
            f"guidance asks for {policy.steps} steps; this server gives {settings.limits.steps}."
        )
    return policy


def _is_plain(values: Mapping[object, object]) -> bool:
    """Whether each value can be repeated in a message, and there are no more than a policy has."""
    names_and_values = [*values, *values.values()]
    return len(values) <= len(PolicySettings.model_fields) and not any(
        isinstance(part, list | dict) or len(str(part)) > LONGEST_NAME for part in names_and_values
    )


def _integer(body: Json, name: str, default: int, *, low: int, high: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # some languages have no whole numbers
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise invalid(f"{name} has to be a whole number from {low} to {high}.", name)
    return value


def _number(body: Json, name: str, default: float, *, low: float, high: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise invalid(f"{name} has to be a number from {low:g} to {high:g}.", name)
    return float(value)


def _flag(body: Json, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise invalid(f"{name} has to be true or false.", name)
    return bool(value)
