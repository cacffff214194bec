"""JSON as servers write it: strict where it is, and read all the same where it is not quite.

An answer that was paid for is not asked for again because of a byte order mark, half of a surrogate
pair, NaN, an infinity, a raw line break inside a string, or bytes that are no UTF-8.
"""

import codecs
import json
import re
from typing import Any

import orjson

REPLACEMENT = "\ufffd"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_SURROGATE = re.compile("[\ud800-\udfff]")

_WIDE = re.compile(r"[^\x00-\x7f\ufffd]")


def read_json(content: bytes) -> Any:
    """Returns the value in a body.

    Half of a surrogate pair becomes U+FFFD, and so does a byte that is no UTF-8 in a body that else
    is. A body without any letter of several bytes is Latin-1 then.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return _without_surrogates(json.loads(_decoded(content).rstrip("\0"), strict=False))
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _decoded(content: bytes) -> str:
    """Returns a body's text by its byte order mark, as UTF-8, or else as Latin-1."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if 0xFF in content:
        raise ValueError("the bytes are no text")  # none in UTF-8, and hardly any in Latin-1
    text = content.decode(errors="replace")
    if REPLACEMENT in text and not _WIDE.search(text):
        return content.decode("cp1252", errors="replace")
    return text


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return {
            _without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()
        }
    return value
