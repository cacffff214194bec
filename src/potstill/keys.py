"""Hashes that stand for requests, for settings and for questions."""

import hashlib
import re
from collections.abc import Iterable, Sequence

import orjson

from potstill.records import GivenText, Message, Question, Request

_PLACE = re.compile(r" at 0x[0-9a-fA-F]+")


def request_key(model: str, request: Request) -> bytes:
    """The hash of everything that determines what a request is answered, sample and length aside.

    ``max_tokens`` is left out so that a completion which ended by itself serves any longer limit;
    the seed is left out of greedy requests, which do not depend on it.
    """
    return body_key(request_body(model, request))


def body_key(body: bytes) -> bytes:
    """The hash of what :func:`request_body` gave."""
    return hashlib.sha256(body).digest()[:16]


def settings_hash(*parts: object) -> str:
    """Twelve hex digits that stand for plain values, such as ``settings.model_dump()``."""
    return hashlib.sha256(_json(parts)).hexdigest()[:12]


def listed_hash(*lists: Iterable[object]) -> str:
    """Returns the :func:`settings_hash` of several lists of which no item is held."""
    digest = hashlib.sha256(b"[")
    for number, items in enumerate(lists):
        digest.update(b"," if number else b"")
        _update_with_list(digest, items)
    digest.update(b"]")
    return digest.hexdigest()[:12]


def listed_hash_within(
    before: Sequence[object], items: Iterable[object], behind: Sequence[object]
) -> str:
    """Returns the :func:`settings_hash` of values, a list of which no item is held, and values.

    Args:
        before: At least one value.
        items: The items of the list.
        behind: At least one value.
    """
    digest = hashlib.sha256(_json(before)[:-1] + b",")
    _update_with_list(digest, items)
    digest.update(b"," + _json(behind)[1:])
    return digest.hexdigest()[:12]


def _update_with_list(digest: "hashlib._Hash", items: Iterable[object]) -> None:
    """Add items to a digest as a list of :func:`settings_hash`."""
    digest.update(b"[")
    for place, item in enumerate(items):
        digest.update(b"," + _json(item) if place else _json(item))
    digest.update(b"]")


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_plain)


def _plain(value: object) -> str:
    """Returns a text for what JSON does not know, the same in every process.

    The text of a function, or of an object without one of its own, holds its place in memory.
    """
    return _PLACE.sub("", str(value))


def question_digest(question: Question) -> str:
    """Twelve hex digits that stand for a question's text and options, white space aside.

    A row of a file may get the id that another row had; the text tells them apart.
    """
    return settings_hash(*(" ".join(text.split()) for text in (question.text, *question.choices)))


def request_body(model: str, request: Request) -> bytes:
    """The JSON text that :func:`request_key` hashes."""
    prompt = request.prompt
    turns = prompt if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]
    further: dict[str, object] = {}  # what came later counts where it is given
    if request.thinking_tokens is not None:
        further["thinking_tokens"] = request.thinking_tokens
    if request.given is not None:
        given = request.given
        last = [given.ids, given.kept_at] if given.kept_at else [given.ids] if given.ids else []
        further["given"] = [given.text, given.ends, *last]
    return orjson.dumps(
        {
            **further,
            "model": model,
            "prompt": turns,
            "answer_prefix": request.answer_prefix,
            "temperature": float(request.temperature),
            "top_p": float(request.top_p),
            "stop": request.stop,
            "top_logprobs": request.top_logprobs,
            "seed": request.seed if request.temperature > 0 else None,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def stored_request(body: str, *, max_tokens: int, samples: tuple[int, ...]) -> tuple[str, Request]:
    """The model and the request of a body that :func:`request_body` made.

    Args:
        body: The body as it is stored.
        max_tokens: The request's limit, which is not part of the body.
        samples: Its samples, likewise not part of the body.
    """
    stored = orjson.loads(body)
    prompt, given = stored["prompt"], stored.get("given")
    return stored["model"], Request(
        prompt=prompt
        if isinstance(prompt, str)
        else tuple(Message(role=role, content=content) for role, content in prompt),
        answer_prefix=stored["answer_prefix"],
        samples=samples,
        temperature=stored["temperature"],
        top_p=stored["top_p"],
        max_tokens=max_tokens,
        thinking_tokens=stored.get("thinking_tokens"),
        stop=tuple(stored["stop"]),
        top_logprobs=stored["top_logprobs"],
        given=None if given is None else _given(*given),
        seed=stored["seed"] or 0,
    )


def _given(text: str, ends: bool, ids: Sequence[int] = (), kept_at: str = "") -> GivenText:
    return GivenText(text=text, ends=ends, ids=tuple(ids), kept_at=kept_at)
