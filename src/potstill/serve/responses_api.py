"""The route ``/v1/responses`` in its text form: read as a chat, answered as a response.

::

    POST /v1/responses
    {"input": "What is 20 + 22?", "instructions": "Be brief.", "max_output_tokens": 200}

Nothing is kept, so a response cannot be built on an earlier one; clients send the whole talk.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from potstill.serve.api_error import ApiError, invalid
from potstill.serve.response import ServedSample

Json = dict[str, Any]

RENAMED: Mapping[str, str] = {"max_output_tokens": "max_completion_tokens"}
"""Fields that chats have by another name."""

NEUTRAL_FIELDS: Mapping[str, Sequence[object]] = {
    "background": (False,),
    "conversation": (),
    "context_management": ([],),
    "include": ([], ["reasoning.encrypted_content"]),
    "previous_response_id": (),
    "prompt": (),
    "text": ({"format": {"type": "text"}}, {}),
    "tool_choice": ("auto", "none"),
    "tools": ([],),
    "top_logprobs": (0,),
    "truncation": ("disabled", "auto"),
}
"""Fields that are not offered, with values that change nothing."""

WITHOUT_EFFECT_HERE = ("max_tool_calls", "parallel_tool_calls")
"""Fields that mean nothing where no tools are offered."""

TEXT_ITEMS = ("message", None)
"""Kinds of items of the input that are turns."""


def chat_body(body: Json) -> Json:
    """Returns the body of a chat that asks the same.

    Raises:
        ApiError: It asks for what the text form has not.
    """
    chat: Json = {}
    for name, value in body.items():
        if name in ("input", "instructions", "reasoning", *WITHOUT_EFFECT_HERE) or value is None:
            continue
        if name == "tools" and body.get("tool_choice") == "none":
            continue  # none of them may be called
        neutral = NEUTRAL_FIELDS.get(name)
        if neutral is None:
            chat[RENAMED.get(name, name)] = value
        elif value not in neutral:
            raise invalid(
                f"{name} is not offered by this server's /v1/responses.",
                name,
                "unsupported_parameter",
            )
    for name in ("messages", "n", "logprobs", "echo"):
        if name in chat:
            raise invalid(f"{name} is no field of /v1/responses.", name, "unknown_parameter")
    if effort := _effort(body.get("reasoning")):
        chat["reasoning_effort"] = effort
    return chat | {"messages": _messages(body)}


def _effort(reasoning: object) -> object:
    """The effort of a reasoning model; summaries are not offered, and are left out when wished."""
    if reasoning is None:
        return None
    if not isinstance(reasoning, dict):
        raise invalid("reasoning has to be an object.", "reasoning")
    return reasoning.get("effort")


def _messages(body: Json) -> list[Json]:
    content, instructions = body.get("input"), body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise invalid("instructions has to be a text.", "instructions")
    first = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(content, str) and content:
        return [*first, {"role": "user", "content": content}]
    if not isinstance(content, list) or not content:
        raise invalid("input has to be a text, or a list of one or more turns.", "input")
    return first + [
        _turn(item, f"input[{place}]")
        for place, item in enumerate(content)
        if not (isinstance(item, dict) and item.get("type") == "reasoning")
    ]


def _turn(item: object, param: str) -> Json:
    """A turn of the input; thinking of before is left out, as chats leave it out."""
    kind = item.get("type") if isinstance(item, dict) else "nothing"
    if not isinstance(item, dict) or kind not in TEXT_ITEMS:
        message = f"{param} is no turn of text; items of other kinds are not offered."
        raise invalid(message, param, "unsupported_parameter")
    return {"role": item.get("role"), "content": item.get("content")}


class ResponseObjectWriter:
    """Writes one answer as a response and its events.

    Args:
        model: The model's name for clients.
        body: The request, whose settings a response repeats.
    """

    def __init__(self, model: str, body: Json) -> None:
        self._item_id = f"msg_{secrets.token_hex(12)}"
        self._number = 0
        self._head: Json = {
            "id": f"resp_{secrets.token_hex(12)}",
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": {},
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.get("temperature"),
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": body.get("top_p"),
            "truncation": "disabled",
        }

    def whole(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """See :class:`potstill.serve.response.AnswerWriter`."""
        return orjson.dumps(self._finished(samples[0], usage_field, own))

    def begin(self, samples: int) -> bytes:
        """See :class:`potstill.serve.response.AnswerWriter`."""
        response = {**self._head, "status": "in_progress", "output": [], "usage": None}
        item = {**self._item("", "in_progress"), "content": []}
        return b"".join(
            [
                self._event("response.created", response=response),
                self._event("response.in_progress", response=response),
                self._event("response.output_item.added", output_index=0, item=item),
                self._event("response.content_part.added", **self._place(), part=_part("")),
            ]
        )

    def piece(self, place: int, text: str) -> bytes:
        """See :class:`potstill.serve.response.AnswerWriter`."""
        return self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])

    def end(self, samples: Sequence[ServedSample], usage_field: Json, own: Json) -> bytes:
        """See :class:`potstill.serve.response.AnswerWriter`."""
        response = self._finished(samples[0], usage_field, own)
        status, text = response["status"], samples[0].text
        events = [
            self._event("response.output_text.done", **self._place(), text=text, logprobs=[]),
            self._event("response.content_part.done", **self._place(), part=_part(text)),
            self._event("response.output_item.done", output_index=0, item=self._item(text, status)),
            self._event(f"response.{status}", response=response),
        ]
        return b"".join(events)

    def failure(self, error: ApiError) -> bytes:
        """See :class:`potstill.serve.response.AnswerWriter`."""
        return self._event("error", code=error.code, message=error.message, param=error.param)

    def _finished(self, sample: ServedSample, usage_field: Json, own: Json) -> Json:
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(
            str(sample.reason)
        )
        status = "incomplete" if reason else "completed"
        tokens = usage_field["usage"]
        return {
            **self._head,
            "status": status,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": [self._item(sample.text, status)],
            "usage": tokens
            and {
                "input_tokens": tokens["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": tokens["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": tokens["total_tokens"],
            },
            **own,
        }

    def _item(self, text: str, status: str) -> Json:
        head = {"id": self._item_id, "type": "message", "role": "assistant", "status": status}
        return {**head, "content": [_part(text)]}

    def _place(self) -> Json:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **content: object) -> bytes:
        fields = {"type": kind, "sequence_number": self._number, **content}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(fields) + b"\n\n"


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
