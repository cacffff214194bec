"""The fields of a client's body: read here, passed on, without effect, or refused.

Nothing is ignored in silence. A field that the student's server may know is passed on to it as it
is; one that would change the answer and cannot be passed on is refused; the few that change no
answer stand in a list. docs/serving.md has the same lists in words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from potstill.serve.api_error import ApiError, invalid

Json = dict[str, Any]


class ForwardedField(NamedTuple):
    """A field that is passed on to the student's server."""

    types: tuple[type, ...]
    """Python types of its JSON values."""

    neutral: tuple[object, ...] = ()
    """Values that change nothing, and are left out."""


NUMBER, INTEGER, TEXT = (int, float), (int,), (str,)

SAMPLERS: Mapping[str, ForwardedField] = {
    "frequency_penalty": ForwardedField(NUMBER, (0,)),
    "presence_penalty": ForwardedField(NUMBER, (0,)),
    "repetition_penalty": ForwardedField(NUMBER, (1,)),
    "repeat_penalty": ForwardedField(NUMBER, (1,)),
    "logit_bias": ForwardedField((dict,), ({},)),
    "top_k": ForwardedField(INTEGER, (0, -1)),
    "top_a": ForwardedField(NUMBER, (0,)),
    "min_p": ForwardedField(NUMBER, (0,)),
    "typical_p": ForwardedField(NUMBER, (1,)),
    "mirostat": ForwardedField(INTEGER, (0,)),
    "dry_multiplier": ForwardedField(NUMBER, (0,)),
    "xtc_probability": ForwardedField(NUMBER, (0,)),
    "min_tokens": ForwardedField(INTEGER, (0,)),
    "ignore_eos": ForwardedField((bool,), (False,)),
    "bad_words": ForwardedField((list,), ([],)),
    "stop_token_ids": ForwardedField((list,), ([],)),
}
"""Fields on the sampling of the student's tokens, passed on with each of its requests."""

CHAT_SAMPLERS: Mapping[str, ForwardedField] = {
    "reasoning_effort": ForwardedField(TEXT),
    "reasoning": ForwardedField((dict,), ({},)),
    "thinking": ForwardedField((dict,), ({},)),
    "enable_thinking": ForwardedField((bool,)),
    "chat_template_kwargs": ForwardedField((dict,), ({},)),
    "verbosity": ForwardedField(TEXT),
}
"""Such fields for a student that is asked by the chat route."""

ALONE: Mapping[str, ForwardedField] = {
    "response_format": ForwardedField((dict,), ({"type": "text"},)),
    "structured_outputs": ForwardedField((dict,), ({},)),
    "tools": ForwardedField((list,), ([],)),
}
"""Shapes of an answer in which no teacher's step fits; passed on where the student is asked
alone."""

WITH_TOOLS: Mapping[str, ForwardedField] = {
    "tool_choice": ForwardedField((str, dict), ()),
    "parallel_tool_calls": ForwardedField((bool,)),
}
"""Passed on beside ``tools``."""

WITHOUT_TOOLS = ("none", "auto")
"""Choices of a tool that mean nothing where there is none."""

READ = (
    "echo",
    "guidance",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_logprobs",
    "top_p",
)
"""Fields that the server itself reads."""

WITHOUT_EFFECT = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""Fields that name, file or hasten a request and change no answer; what they say is not kept."""

NOT_OFFERED: Mapping[str, Sequence[object]] = {
    "add_generation_prompt": (True,),
    "audio": ({},),
    "best_of": (1,),
    "continue_final_message": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "suffix": ("",),
    "web_search_options": (),
}
"""Fields that would change the answer in ways that are not offered, with values that change
nothing. So is every field that stands in no list here."""

TEMPLATE_VARIABLES = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "messages",
    "tokenize",
    "tools",
}
"""Names in ``chat_template_kwargs`` by which a client would write the prompt anew."""

FORWARDED: Mapping[str, ForwardedField] = {**SAMPLERS, **CHAT_SAMPLERS, **ALONE, **WITH_TOOLS}


def forwarded_fields(body: Json) -> Json:
    """Returns the fields that are to be passed on to the student's server.

    Raises:
        ApiError: A field has a value that it cannot have, is not offered or not known.
    """
    fields: Json = {}
    for name, value in body.items():
        rule = FORWARDED.get(name)
        if value is None or name in READ or name in WITHOUT_EFFECT:
            continue
        if rule is None:
            _check_not_offered(name, value, body)
        elif value not in rule.neutral:
            _check_value(name, value, rule)
            fields[name] = value
    return _with_tools(fields)


def _check_not_offered(name: str, value: object, body: Json) -> None:
    neutral = NOT_OFFERED.get(name)
    if neutral is None:
        message = f"{name[:100]!r} is no field that this server knows; leave it out."
        raise invalid(message, name[:100], "unknown_parameter")
    if value not in neutral and not (name == "best_of" and value == body.get("n")):
        raise invalid(f"{name} is not offered by this server.", name, "unsupported_parameter")


def _check_value(name: str, value: object, rule: ForwardedField) -> None:
    is_flag = isinstance(value, bool)
    if not isinstance(value, rule.types) or (is_flag and bool not in rule.types):
        kinds = " or ".join(sorted({_KINDS[kind] for kind in rule.types}))
        raise invalid(f"{name} has to be {kinds}.", name)
    if name == "chat_template_kwargs" and isinstance(value, dict):
        forbidden = sorted(TEMPLATE_VARIABLES & value.keys())
        if forbidden:
            raise invalid(f"chat_template_kwargs may not set {', '.join(forbidden)}.", name)


_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    dict: "an object",
    list: "a list",
}


def _with_tools(fields: Json) -> Json:
    """Returns the fields; without tools that may be called none of these means anything.

    Raises:
        ApiError: A tool is chosen, and there is none.
    """
    choice = fields.get("tool_choice")
    if "tools" in fields and choice != "none":
        return fields
    if choice is not None and choice not in WITHOUT_TOOLS:
        raise invalid("tool_choice names a tool, and there are no tools.", "tool_choice")
    without = {"tools", *WITH_TOOLS}
    return {name: value for name, value in fields.items() if name not in without}


def needs_no_guidance(name: str, policy: str, *, overrides: bool) -> ApiError:
    """The error of a field that is offered where the student is asked alone, and is not now."""
    way = 'send "guidance": "never" beside it' if overrides else "this server guides every answer"
    return invalid(
        f"{name} is offered where the student is asked alone, and guidance is {policy}; {way}.",
        name,
        "unsupported_parameter",
    )
