"""A client's wishes for a student's server beside text, and the parts of an answer beside text.

Fields go into the server's body as the client sent them; calls of tools and probabilities come out
of its choices as they are.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from potstill.errors import ModelError
from potstill.records import Completion
from potstill.serve.client_fields import ALONE, CHAT_SAMPLERS
from potstill.serve.upstreams import DetailedCompletion, Refusal, StudentOptions

Json = dict[str, Any]

CHAT_ONLY = {"tools", *CHAT_SAMPLERS}
"""Fields that a server reads on its chat route alone."""


def refusal_of(options: StudentOptions, *, chat: bool) -> Refusal | None:
    """Returns the first option that a server does not take on the route by which it is asked.

    Args:
        options: The client's wishes.
        chat: Whether the route is the chat route.
    """
    if not chat:
        by_text = "the student is asked by the completions route (chat: false)"
        for name in options.fields:
            if name in CHAT_ONLY:
                return Refusal(name, f"{by_text}, which has no such field")
        if options.by_chat and options.logprobs is not None:
            return Refusal("logprobs", f"{by_text}; ask on /v1/completions")
        return None
    if options.worded and any(name in ALONE for name in options.fields):
        name = next(name for name in options.fields if name in ALONE)
        return Refusal(name, "chats are worded for the student by student_format")
    if options.by_chat:
        return None
    by_chat = "the student is asked by its chat route; for prompts as they are, set chat: false"
    for name, is_asked in (
        ("echo", options.echo),
        ("prompt", bool(options.ids)),
        ("logprobs", options.logprobs is not None),
    ):
        if is_asked:
            what = "in token ids " if name == "prompt" else ""
            return Refusal(
                name, f"{what}it is for a student that goes on from a text, and {by_chat}"
            )
    return None


def further_fields(options: StudentOptions) -> Json:
    """Returns the fields of a body that stand beside, or in the place of, a request's own."""
    body: Json = dict(options.fields)
    if options.ids:
        body["prompt"] = list(options.ids)
    if options.turns:
        body["messages"] = list(options.turns)
    if options.echo:
        body["echo"] = True
    if options.logprobs is not None and options.by_chat:
        body |= {"logprobs": True, "top_logprobs": options.logprobs}
    elif options.logprobs is not None:
        body["logprobs"] = options.logprobs
    return body


def without_tool_calls(reply: Json) -> Json:
    """Returns a reply whose choices are read as texts, be it empty ones before calls of tools."""
    return {**reply, "choices": [_as_text(choice) for choice in reply["choices"]]}


def _as_text(choice: Any) -> Any:
    calls = _calls_of(choice)
    if not calls:
        return choice
    message = {**choice["message"], "content": choice["message"].get("content") or ""}
    return {**choice, "message": message, "finish_reason": "stop"}


def _calls_of(choice: Any) -> tuple[Json, ...]:
    message = choice.get("message") if isinstance(choice, dict) else None
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return tuple(call for call in calls or () if isinstance(call, dict))


def with_details(
    completions: Sequence[Completion], samples: Sequence[int], reply: Json, options: StudentOptions
) -> list[Completion]:
    """Returns the completions with the calls of tools and the probabilities of their choices.

    Raises:
        ModelError: Probabilities were asked for, and a choice has none.
    """
    if options.logprobs is None and not options.echo and "tools" not in options.fields:
        return list(completions)
    listed = reply["choices"]
    indices = [choice.get("index") for choice in listed]
    told_apart = len(set(indices)) == len(listed) and all(type(at) is int for at in indices)
    choices = dict(zip(indices if told_apart else range(len(listed)), listed, strict=True))
    by_sample = {sample: choices[place] for place, sample in enumerate(samples) if place in choices}
    return [
        _detailed(completion, by_sample[completion.sample], options) for completion in completions
    ]


def _detailed(completion: Completion, choice: Json, options: StudentOptions) -> Completion:
    values = {field.name: getattr(completion, field.name) for field in fields(completion)}
    calls, logprobs = _calls_of(choice), choice.get("logprobs")
    if options.logprobs is not None and not isinstance(logprobs, dict):
        raise ModelError("it gives no token probabilities")
    if options.echo and completion.error is None:  # the prompt in it is nobody's thinking
        values |= {"text": str(choice["text"]), "thinking": None}
    if calls:
        values["finish_reason"] = "tool_calls"
    shown = logprobs if options.logprobs is not None else None
    return DetailedCompletion(**values, logprobs_shown=shown, tool_calls=calls)


class StreamedDetails:
    """Calls of tools and probabilities of one choice that come piece by piece."""

    def __init__(self) -> None:
        self._calls: dict[int, Json] = {}
        self.logprobs: Json | None = None

    def add(self, choice: Json, delta: Json) -> None:
        """Add what an event holds.

        Raises:
            LookupError, TypeError, AttributeError: It is not as documented.
        """
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        logprobs = choice.get("logprobs")
        if not isinstance(logprobs, dict):
            return
        self.logprobs = self.logprobs or {}
        for name, values in logprobs.items():
            if isinstance(values, list):
                self.logprobs[name] = [*(self.logprobs.get(name) or ()), *values]

    def _add_call(self, piece: Json) -> None:
        """Add a piece of a call: its names come once, its arguments bit by bit."""
        function = piece.get("function") or {}
        call = self._calls.setdefault(
            piece.get("index") or 0, {"type": "function", "function": {"name": "", "arguments": ""}}
        )
        if piece.get("id"):
            call["id"] = piece["id"]
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""

    @property
    def tool_calls(self) -> list[Json] | None:
        """The calls, in their order; None where there are none."""
        return [self._calls[index] for index in sorted(self._calls)] or None
