"""Reads a client's prompts: texts, tokens, and the turns of a chat with their calls of tools.

A student that is asked alone by the chat route is given the turns as they came. Everybody else is
given texts: a call of a tool as a line of JSON in the assistant's turn, its result as a turn of the
user.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from potstill.records import Message
from potstill.serve.api_error import invalid

Json = dict[str, Any]
Role = Literal["system", "user", "assistant"]

ROLES: Mapping[object, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}

RESULTS = ("tool", "function")
"""Roles of the turns that hold what a tool returned."""

TURN_FIELDS = ("content", "name", "tool_calls", "tool_call_id", "function_call")
"""Fields of a turn that are passed on beside its role."""

PROMPT_FORMS = (
    "prompt has to be a text, a list of texts, token ids, or a list of lists of token ids."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientPrompt:
    """One prompt of a request."""

    text: str | tuple[Message, ...]
    """Text to continue, or the turns of a chat; empty where tokens are given."""

    ids: tuple[int, ...] = ()
    """The prompt in the student's own tokens, where it is given so."""

    turns: tuple[Json, ...] = ()
    """The turns of a chat as they came, where some of them call tools or hold their results."""


def read_prompts(raw: object, *, longest: int, most: int) -> tuple[ClientPrompt, ...]:
    """The prompts of the text route: one or several, in words or in token ids.

    Args:
        raw: The field ``prompt``.
        longest: Most characters, or tokens, of one prompt.
        most: Most prompts.

    Raises:
        ApiError: It is none of these forms, or too long.
    """
    parts: list[object] = raw if isinstance(raw, list) and not _are_ids(raw) else [raw]
    if not parts or len(parts) > most:
        message = f"prompt holds {len(parts)} prompts; this server takes 1 to {most} at once."
        raise invalid(message, "prompt")
    return tuple(_prompt(part, longest) for part in parts)


def _prompt(part: object, longest: int) -> ClientPrompt:
    if isinstance(part, str) and part:
        _check_length(len(part), longest, "prompt", "characters")
        return ClientPrompt(text=part)
    if isinstance(part, list) and _are_ids(part):
        _check_length(len(part), longest, "prompt", "tokens")
        return ClientPrompt(text="", ids=tuple(part))
    if part == "":
        raise invalid("prompt is an empty text; there is nothing to go on from.", "prompt")
    raise invalid(PROMPT_FORMS, "prompt")


def _are_ids(values: list[Any]) -> bool:
    return bool(values) and all(type(value) is int and 0 <= value < 2**31 for value in values)


def read_messages(raw: object, *, longest: int) -> ClientPrompt:
    """The turns of a chat.

    Raises:
        ApiError: They are no turns, or too long together.
    """
    if not isinstance(raw, list) or not raw:
        raise invalid("messages has to be a list of one or more turns.", "messages")
    turns = [_turn(turn, f"messages[{place}]") for place, turn in enumerate(raw)]
    messages = _worded(turns)
    _check_length(sum(len(turn.content) for turn in messages), longest, "messages", "characters")
    has_tools = any(turn["role"] in RESULTS or turn.get("tool_calls") for turn in turns)
    return ClientPrompt(text=messages, turns=tuple(turns) if has_tools else ())


def _check_length(length: int, longest: int, param: str, unit: str) -> None:
    if length > longest:
        message = f"the prompt has {length} {unit}; this server takes {longest}."
        raise invalid(message, param, "context_length_exceeded")


def _turn(turn: object, param: str) -> Json:
    """A turn that can be passed on: its content is text, or null beside calls of tools.

    Raises:
        ApiError: It is no turn.
    """
    if not isinstance(turn, dict):
        raise invalid(f"{param} is not an object.", param)
    role = turn.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"the role of {param} is none of {', '.join(map(str, ROLES))}.", param)
    content = turn.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, param) for part in content)
    if content is None and role in ("assistant", *RESULTS):
        content = turn.get("refusal") or ""
    if not isinstance(content, str):
        raise invalid(f"the content of {param} is not text.", param)
    calls = turn.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(map(_is_call, calls))):
        raise invalid(f"the tool_calls of {param} are no calls of functions.", param)
    if role == "developer":
        role = "system"
    kept = {name: turn[name] for name in TURN_FIELDS if turn.get(name)}
    return {"role": role, **kept, "content": content}


def _part(part: object, param: str) -> str:
    """The text of a part of a turn, by whichever name its API gives it."""
    kinds = ("text", "input_text", "output_text")
    text = part.get("text") if isinstance(part, dict) and part.get("type") in kinds else None
    if isinstance(part, dict) and part.get("type") == "refusal":
        text = part.get("refusal")
    if not isinstance(text, str):
        raise invalid(f"{param} has a part that is not text.", param)
    return text


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _worded(turns: list[Json]) -> tuple[Message, ...]:
    """The turns in words; results that follow each other are one turn."""
    messages: list[Message] = []
    after_result = False
    for turn in turns:
        content, is_result = turn["content"], turn["role"] in RESULTS
        calls = [_call_in_words(call["function"]) for call in turn.get("tool_calls") or ()]
        content = "\n".join([*filter(None, [content]), *calls])
        if is_result and after_result:
            content = f"{messages.pop().content}\n{content}"
        messages.append(Message(role=ROLES[turn["role"]], content=content))
        after_result = is_result
    return tuple(messages)


def _call_in_words(function: Json) -> str:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(orjson.JSONDecodeError):  # a model's own words need not be JSON
            arguments = orjson.loads(arguments)
    return orjson.dumps({"name": function["name"], "arguments": arguments}).decode()
