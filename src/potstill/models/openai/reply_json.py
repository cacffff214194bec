"""A server's answer from its bytes, and what a server may send in place of one."""

import re
from collections.abc import Callable
from typing import Any

from potstill.models.openai.http_errors import Fault, message_of
from potstill.models.openai.lenient_json import read_json

Json = dict[str, Any]

_EVENT_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry):")
_COMMENTS = re.compile(rb"\s*(?::[^\n]*\n\s*)+")
"""Lines by which a server keeps a connection alive."""

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[A-Za-z!?]")


def reply_of(content: bytes, content_type: str, clean: Callable[[str], str]) -> Json:
    """Returns the JSON of an answer with status 200, which has a choice.

    Args:
        content: The answer's body.
        content_type: The media type that it is said to be of.
        clean: Makes a server's words fit to be shown.

    Raises:
        Fault: It is none.
    """
    if comments := _COMMENTS.match(content):
        content = content[comments.end() :]
    try:
        reply: Any = read_json(content)
    except ValueError:
        raise _no_json(content, content_type) from None
    if isinstance(reply, dict) and isinstance(reply.get("meta_info"), dict):
        reply = _with_choice(reply)
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if isinstance(choices, list) and any(isinstance(choice, dict) for choice in choices):
        return dict(reply)
    if isinstance(choices, list) and not reply.get("error"):
        raise Fault("the server's answer is empty", retry=True)
    raise Fault(clean(message_of(content)) or "the server's answer has no choices", retry=True)


def _with_choice(reply: Json) -> Json:
    """Returns an answer of SGLang's own route as one of the others: a choice, and its usage."""
    meta = reply["meta_info"]
    named = ("prompt_tokens", "completion_tokens", "cached_tokens")
    usage = {name: meta[name] for name in named if name in meta}
    return {"choices": [reply], "usage": usage}


def _no_json(content: bytes, content_type: str) -> Fault:
    """Returns the fault of an answer that is no JSON."""
    if content_type == "text/event-stream" or _EVENT_STREAM.match(content):
        return Fault(
            "the server sent an event stream, which was not asked for; set body: {stream: false}, "
            "or take another address",
            retry=False,
        )
    if _PAGE.match(content):
        return Fault("the server sent a web page in place of an answer", retry=True, kind="page")
    return Fault("the server's answer is not valid JSON", retry=True)
