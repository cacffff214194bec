"""The text of one choice of a server's answer, its thinking, and why it ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from potstill.errors import shortened
from potstill.models.finish_reasons import FAILED, finish_reason_of, is_known
from potstill.records import FinishReason

Json = dict[str, Any]

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Errors that reading a malformed answer raises."""

OTHER_REASONS = ("native_finish_reason", "finish_details", "stop_reason", "done_reason")
"""Other fields that say why a choice ended, read where ``finish_reason`` says nothing known."""

OWN_REASONS = ("native_finish_reason", "finish_details")
"""The fields among them that hold the model's word behind a gateway, and never a stop string."""

GOOD_CODES = ("", "0", "200", "none", "null", "ok", "success", "false")
"""Codes of an error that is none, as some servers send with every answer."""

PART_FIELDS = ("text", "content", "thinking", "reasoning", "summary", "value")
"""The fields of a part in which its text may stand."""

OTHER_CONTENT = (
    "reasoning_details", "reasoning_text", "thinking", "thinking_blocks", "thought",
    "reasoning", "reasoning_content", "tool_calls", "function_call", "audio",
)  # fmt: skip
"""Fields of a message that hold what a model wrote elsewhere than in its text."""

GOOD_ENDS = ("stop", "tool_calls")
"""Reasons that say nothing against a text."""

LONGEST_MESSAGE = 300
"""Characters of a server's words about a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceText:
    """The text of a choice, and how it ended."""

    text: str
    thinking: str | None
    finish_reason: FinishReason | None
    """None where the server gives none."""

    error: str | None
    """The reason for which there is no text, where ``finish_reason`` is ``error``."""


@dataclass(slots=True)
class Content:
    """A message's content, be it a text or a list of parts."""

    text: str | None = None
    """None where there is neither a text nor a part of one."""

    thinking: list[str] = field(default_factory=list)
    refusal: str | None = None


def content_of(value: object) -> Content:
    """Returns the text of a message's content, and the thinking that stands among its parts.

    Raises:
        TypeError: It is neither text nor a list of known parts.
    """
    content = Content()
    if value is None or isinstance(value, str):
        content.text = value
        return content
    for part in value if isinstance(value, list) else [value]:
        kind, text = _part(part)
        if kind == "thinking":
            content.thinking.append(text)
        elif kind == "refusal":
            content.refusal = text
        elif kind == "text":
            content.text = (content.text or "") + text
    return content


def _part(part: object) -> tuple[str, str]:
    """Returns whether a part is text, thinking, a refusal or something else, and what it says."""
    if isinstance(part, str):
        return "text", part
    if not isinstance(part, Mapping):
        raise TypeError("the content is not text")
    kind = str(part.get("type") or "text").lower()
    if "think" in kind or "reason" in kind or part.get("thought") is True:
        return "thinking", _joined(part)
    if kind == "refusal":
        return "refusal", str(part.get("refusal") or "")
    if kind in ("text", "output_text"):
        if not any(name in part for name in PART_FIELDS):
            raise TypeError(f"the content has a part without a text: {shortened([*part])}")
        return "text", _joined(part)
    if any(isinstance(part.get(name), str) for name in ("text", "content")):
        raise TypeError(f"the content has a part of the unknown kind {kind[:40]!r}")
    return "other", ""  # references, calls of tools, pictures: nothing that could be read


def _joined(value: object) -> str:
    """Returns the text of a part, which may be made of further parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _joined(next((value[name] for name in PART_FIELDS if value.get(name)), ""))
    if isinstance(value, Sequence):
        return "".join(map(_joined, value))
    raise TypeError("the content is not text")


def message_in(choice: Json) -> Json:
    """Returns a choice's message; of a plain text, one with it as content.

    Raises:
        LookupError, TypeError: The choice has neither.
    """
    message = choice.get("message")
    if message is None:
        message = choice.get("delta")  # a piece of a stream that is the whole
    if message is None:
        return {"content": choice["text"]}
    if isinstance(message, str):
        return {"content": message}
    if not isinstance(message, dict):
        raise TypeError("the message is no object")
    return message


def before_stop(text: str, stops: Sequence[str]) -> str | None:
    """Returns the text before the stop string that is complete first; None without one in it."""
    matches = [(at + len(stop), at) for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(matches)[1]] if matches else None


Separation = Callable[[str, str | None], tuple[str, str | None]]
"""Takes a text and the thinking beside it; returns the answer in it and all thinking."""


def read_choice_text(choice: Json, separate: Separation) -> ChoiceText:
    """Returns the text of a choice, and how it ended.

    An empty text is none behind thinking or beside what a model wrote in another field, such as a
    call of a tool, or without a known reason for its end.

    Args:
        choice: The choice as the server sent it.
        separate: Finds the answer in the text, and the thinking.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: The choice is not as documented.
    """
    if error := error_in(choice):
        return _failed(None, f"the server failed ({error})")
    message = message_in(choice)
    content = content_of(message.get("content"))
    thinking = _thinking(message, content)
    reason, given = _reason(choice)
    refusal = content.refusal or message.get("refusal")
    text = content.text
    if not text and isinstance(refusal, str) and refusal:
        return ChoiceText(
            text=refusal, thinking=thinking, finish_reason="content_filter", error=None
        )
    if text is not None:
        text, thinking = separate(text, thinking)
    elsewhere = thinking or any(message.get(name) for name in OTHER_CONTENT)
    if reason == FAILED:
        return _failed(thinking, f"the server broke off (finish_reason: {given})")
    if _is_missing(text, bool(elsewhere), reason):
        return _failed(thinking, f"{_missing_words(message, thinking)} (finish_reason: {given})")
    return ChoiceText(text=text or "", thinking=thinking, finish_reason=reason, error=None)


def _missing_words(message: Json, thinking: str | None) -> str:
    """Returns what came in the place of a text, in words."""
    if (thinking or "").strip():
        return "the model gave thinking alone, and no answer behind it"
    others = [name for name in OTHER_CONTENT if message.get(name)]
    return "the server gave no text" + (f", only {' and '.join(others)}" if others else "")


def _is_missing(text: str | None, elsewhere: bool, reason: FinishReason | None) -> bool:
    """Whether a choice lacks a text that its reason does not explain the lack of.

    Args:
        text: The text.
        elsewhere: Whether the model wrote something beside it.
        reason: Why it ended.
    """
    if reason in ("length", "content_filter"):
        return False
    if elsewhere and not (text or "").strip():
        return True
    return text is None or (not text and reason != "stop")


def _thinking(message: Json, content: Content) -> str | None:
    """Returns the thinking that stands apart from the text."""
    apart = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(apart, str):
        return apart
    return "".join(content.thinking) or None


def _reason(choice: Json) -> tuple[FinishReason | None, str]:
    """Returns why a choice ended, and the words for it that the server has."""
    given = choice.get("finish_reason")
    reason = finish_reason_of(given)
    names: tuple[str, ...] = ()
    wanted = is_known
    if reason == "stop":  # a gateway's own word is less than that of the model behind it
        names, wanted = OWN_REASONS, _is_doubt
    elif reason is None or not is_known(reason):
        names = OTHER_REASONS
    for name in names:
        other = finish_reason_of(choice.get(name))
        if other is not None and wanted(other):
            return other, _words(choice[name])
    return reason, _words(given)


def _is_doubt(reason: FinishReason) -> bool:
    """Whether the reason of a model says something against a text that has ended."""
    return reason not in GOOD_ENDS


def error_in(holder: Mapping[str, object]) -> str | None:
    """Returns a server's words about the failure of an answer or a choice; None without one.

    An error without a message whose code says success is none.

    Args:
        holder: The answer or the choice, with its ``error``.
    """
    error = holder.get("error")
    if not error:
        return None
    if isinstance(error, Mapping):
        said = [error.get(name) for name in ("code", "status", "type", "param")]
        good = all(str(word or "").strip().lower() in GOOD_CODES for word in said)
        message = str(error.get("message") or "").strip().lower()
        if good and message in GOOD_CODES:
            return None
    elif str(error).strip().lower() in GOOD_CODES:
        return None
    return _words(error)


def _words(value: object) -> str:
    """Returns a server's words on one line."""
    if isinstance(value, Mapping):
        value = value.get("message") or value.get("code") or dict(value)
    printable = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(printable.split())[:LONGEST_MESSAGE]


def _failed(thinking: str | None, error: str) -> ChoiceText:
    return ChoiceText(text="", thinking=thinking, finish_reason="error", error=error)
