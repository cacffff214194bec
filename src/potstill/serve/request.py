"""A client's request: read from its JSON body, and worded for the student and the teacher.

The body is that of OpenAI's chat or text completions, with the field ``guidance`` beside it. It is
read by hand, not by a schema: every request passes here, and an error names OpenAI's own field::

    {"messages": [{"role": "user", "content": "..."}], "max_tokens": 200, "guidance": {"at": 2}}
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import orjson

from potstill.errors import ConfigError
from potstill.guide.types import Participant, PolicySettings, expand_policy, lead_after
from potstill.prompts.formats import format_named
from potstill.prompts.styles import prompt_for, style_named
from potstill.records import Message, Question, Request
from potstill.serve.response import ApiError, invalid
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.upstreams import Upstream
from potstill.settings import build

Json = dict[str, Any]
Role = Literal["system", "user", "assistant"]

ROLES: dict[object, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}

NOT_OFFERED: dict[str, Sequence[object]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False, 0),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Fields that change the answer in ways that are not offered, with values that change nothing."""

MOST_STOPS = 16
LONGEST_STOP = 1000
LONGEST_NAME = 100
"""Characters: of a stop string, whose beginnings are looked for at every piece of an answer, and of
what a policy is made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """A request that can be answered."""

    prompt: str | tuple[Message, ...]
    """Text to continue, or the turns of a chat."""

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


def read_request(route: Route, content: bytes, settings: ServeSettings) -> ChatRequest:
    """Read a body.

    Raises:
        ApiError: It cannot be served.
    """
    body = _json(content)
    _check_model(body, settings)
    for name, plain in NOT_OFFERED.items():
        if body.get(name) is not None and body[name] not in plain:
            raise invalid(f"{name} is not offered by this server.", name, "unsupported_parameter")
    limits = settings.limits
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("stream_options has to be an object.", "stream_options")
    return ChatRequest(
        prompt=_prompt(route, body, limits.prompt_characters),
        samples=_integer(body, "n", 1, low=1, high=limits.samples),
        temperature=_number(body, "temperature", settings.temperature, low=0, high=2),
        top_p=_number(body, "top_p", 1.0, low=0, high=1),
        max_tokens=_max_tokens(body, settings),
        stop=_stop(body),
        seed=_integer(body, "seed", random.getrandbits(31), low=-(2**63), high=2**63 - 1),
        stream=_flag(body, "stream"),
        include_usage=_flag(options or {}, "include_usage"),
        policy=_policy(body, settings),
    )


def _json(content: bytes) -> Json:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise invalid("the body is not valid JSON.") from None
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


def _prompt(route: Route, body: Json, longest: int) -> str | tuple[Message, ...]:
    prompt: str | tuple[Message, ...]
    if route == "chat":
        prompt = _messages(body.get("messages"))
        length = sum(len(turn.content) for turn in prompt)
    else:
        prompt = _plain_prompt(body.get("prompt"))
        length = len(prompt)
    if length > longest:
        param = "messages" if route == "chat" else "prompt"
        message = f"the prompt has {length} characters; this server takes {longest}."
        raise invalid(message, param, "context_length_exceeded")
    return prompt


def _plain_prompt(raw: object) -> str:
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if not isinstance(raw, str) or not raw:
        raise invalid("prompt has to be one text; several are several requests.", "prompt")
    return raw


def _messages(raw: object) -> tuple[Message, ...]:
    if not isinstance(raw, list) or not raw:
        raise invalid("messages has to be a list of one or more turns.", "messages")
    return tuple(_message(turn, f"messages[{place}]") for place, turn in enumerate(raw))


def _message(turn: object, param: str) -> Message:
    if not isinstance(turn, dict):
        raise invalid(f"{param} is not an object.", param)
    role = turn.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"the role of {param} is none of {', '.join(map(str, ROLES))}.", param)
    content = turn.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, param) for part in content)
    if not isinstance(content, str):
        raise invalid(f"the content of {param} is not text.", param)
    return Message(role=ROLES[role], content=content)


def _part(part: object, param: str) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise invalid(f"{param} has a part that is not text.", param)
    return text


def _max_tokens(body: Json, settings: ServeSettings) -> int:
    newer = body.get("max_completion_tokens") is not None
    name = "max_completion_tokens" if newer else "max_tokens"
    high = settings.limits.max_tokens
    return _integer(body, name, min(settings.max_tokens, high), low=1, high=high)


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


@dataclass(frozen=True, slots=True)
class ParticipantBuilder:
    """Words a client's request for the student and for the teacher."""

    settings: ServeSettings
    student_upstream: Upstream
    teacher_upstream: Upstream | None
    """None: nobody steps in."""

    def student(self, request: ChatRequest) -> Participant:
        """How the student is asked for its answer."""
        prompt, stop = request.prompt, request.stop
        lead = lead_after(prompt)
        if self.settings.student_format and not isinstance(prompt, str):
            data_format = format_named(self.settings.student_format)
            encoder_decoder = self.student_upstream.encoder_decoder
            style = data_format.style(encoder_decoder=encoder_decoder)
            lead = data_format.lead(encoder_decoder=encoder_decoder)
            prompt, stop = prompt_for(style, _question(prompt)), (*stop, *style.stop)
        whole_answer = Request(
            prompt=_prompt_for(self.student_upstream, prompt),
            samples=tuple(range(request.samples)),
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            stop=stop,
            seed=request.seed,
        )
        return Participant(request=whole_answer, lead=lead)

    def teacher(self, request: ChatRequest) -> Participant:
        """How the teacher is asked for a step; it stops at its step's end alone."""
        prompt = request.prompt
        if self.settings.teacher_style:
            prompt = prompt_for(style_named(self.settings.teacher_style), _question(prompt))
        if self.teacher_upstream is not None:
            prompt = _prompt_for(self.teacher_upstream, prompt)
        whole_answer = Request(prompt=prompt, max_tokens=request.max_tokens, seed=request.seed)
        return Participant(request=whole_answer, lead=lead_after(prompt))


def _question(prompt: str | tuple[Message, ...]) -> Question:
    """The last turn of the user, or the prompt as it is."""
    if isinstance(prompt, str):
        return Question(id="", text=prompt, answer="")
    turns = [turn.content for turn in prompt if turn.role == "user"] or [prompt[-1].content]
    return Question(id="", text=turns[-1], answer="")


def _prompt_for(upstream: Upstream, prompt: str | tuple[Message, ...]) -> str | tuple[Message, ...]:
    """A prompt that this upstream takes: a chat is text for one that knows no chats."""
    if isinstance(prompt, str) or upstream.chat:
        return prompt
    return "\n\n".join(turn.content for turn in prompt)
