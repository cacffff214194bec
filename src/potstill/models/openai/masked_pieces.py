"""A key taken out of texts that come in pieces: parts, tokens, and the events of a stream."""

from typing import Any

from potstill.models.openai.key_mask import MASK, KeyMask

Json = dict[str, Any]

TEXTS = ("content", "text", "reasoning_content", "reasoning", "refusal")
"""Fields of a message, or of a choice, that hold a text, be it in parts."""

PIECES = ("token", "text", "content", "thinking", "reasoning", "summary", "value")
"""Fields of a part, or of a token, that hold its text."""


class StreamMask:
    """Takes a key out of a text that comes piece by piece, wherever its pieces meet."""

    def __init__(self, mask: KeyMask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, piece: str) -> str:
        """Returns the part that is certain; what may be the beginning of the key is held back."""
        text = self._mask.text(self._held + piece)
        begun = self._mask.begun(text)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def release(self) -> str:
        """Returns what was held back for nothing, at the end of the text."""
        held, self._held = self._held, ""
        return held


def mask_reply(mask: KeyMask, reply: Json) -> Json:
    """Takes a key out of an answer's choices, where it may be cut into parts or tokens.

    Such parts and tokens are changed in place: the first gets the mask, the others become empty,
    without the likeliest tokens beside them.
    """
    choices = reply.get("choices")
    for choice in choices if mask.knows_one and isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        for message in (choice.get("message"), choice):
            if isinstance(message, dict):
                _mask_message(mask, message)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            _mask_row(mask, logprobs.get("content"))
            masked = _mask_row(mask, logprobs.get("tokens"))
            likeliest = logprobs.get("top_logprobs")
            if isinstance(likeliest, list):
                logprobs["top_logprobs"] = [
                    {} if place in masked else value for place, value in enumerate(likeliest)
                ]
    return reply


def _mask_message(mask: KeyMask, message: Json) -> None:
    for name in TEXTS:
        value = message.get(name)
        if isinstance(value, str):
            message[name] = mask.text(value)
        else:
            _mask_row(mask, value)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            function["arguments"] = mask.text(function["arguments"])


def _mask_row(mask: KeyMask, row: object) -> set[int]:
    """Takes a key out of a row of parts or of tokens; returns the places that held some of it."""
    if not isinstance(row, list):
        return set()
    pieces = [_piece(item).encode("utf-8", "surrogatepass") for item in row]
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    masked: set[int] = set()
    for begin, end in mask.spans(b"".join(pieces)):  # the last first, so that places stay right
        holds = [at for at, piece in enumerate(pieces) if ends[at] < end and ends[at + 1] > begin]
        for at in holds:
            start = ends[at]
            before, behind = max(begin - start, 0), min(end, ends[at + 1]) - start
            mark = MASK if at == holds[0] else b""
            pieces[at] = pieces[at][:before] + mark + pieces[at][behind:]
        masked.update(holds)
    for at in masked:
        row[at] = _with_piece(row[at], pieces[at].decode("utf-8", "replace"))
    return masked


def _piece(item: object) -> str:
    """Returns the text of a part or of a token; empty where it has none."""
    if isinstance(item, dict):
        item = next((item[name] for name in PIECES if isinstance(item.get(name), str)), "")
    return item if isinstance(item, str) else ""


def _with_piece(item: Any, text: str) -> Any:
    """Returns a part or a token with another text, and nothing beside it that spells the old."""
    if not isinstance(item, dict):
        return text
    name = next(name for name in PIECES if isinstance(item.get(name), str))
    spelled = {"bytes": [*text.encode()]} if isinstance(item.get("bytes"), list) else {}
    alone: Json = {"top_logprobs": []} if "top_logprobs" in item else {}
    return {**item, name: text, **spelled, **alone}
