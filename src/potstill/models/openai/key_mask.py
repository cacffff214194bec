r"""A server's key taken out of what the server says, in whatever way it spells it.

An error page may repeat the header that it refuses, and a proxy may quote, escape or encode it:
``sk-\u0061b``, ``sk%2Dab``, ``&#115;k-ab``, base64 of ``Bearer sk-ab``.
"""

import base64
import re
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

MASK = b"***"

SHORTEST_SECRET = 8
"""Characters that a key has at least: ``EMPTY`` and ``none``, given to servers that want no key,
are no secret, and are words of answers."""

_ESCAPES = re.compile(rb"\\u00[2-7]|\\x[2-7]|\\/|%[2-7][0-9A-Fa-f]|&#|&[a-z]+;")
"""Signs that some character of a key may be spelled in another way than by itself."""


class KeyMask:
    """Takes a key out of texts.

    Args:
        key: The key, of printable ASCII characters; None or a short one leaves texts as they are.
    """

    def __init__(self, key: str | None) -> None:
        known = key if key is not None and len(key) >= SHORTEST_SECRET else ""
        self._wholes = sorted({*_encodings(known)}, key=len, reverse=True) if known else []
        self._escaped = re.compile(b"".join(map(_spellings, known))) if known else None

    def bytes(self, content: bytes) -> bytes:
        """Returns a body without the key, which must not come into the store by a repetition."""
        for whole in self._wholes:
            if whole in content:
                content = content.replace(whole, MASK)
        if self._escaped is not None and _ESCAPES.search(content):
            content = self._escaped.sub(MASK, content)
        return content

    def text(self, text: str) -> str:
        """Returns a text without the key."""
        data = text.encode("utf-8", "surrogatepass")
        return self.bytes(data).decode("utf-8", "surrogatepass")


def _encodings(key: str) -> Iterator[bytes]:
    """Yields the key as a whole, as it is and encoded."""
    data = key.encode()
    yield data
    yield data[::-1]
    yield from (quote(key, safe="").encode(), escape(key).encode())
    yield from (data.hex().encode(), data.hex().upper().encode())
    for before in range(3):  # behind "Bearer " or a name it begins anywhere in a group of three
        encoded = base64.b64encode(bytes(before) + data)
        first = (0, 2, 3)[before]  # characters that hold bits of what stands before
        rest = (before + len(data)) % 3
        last = len(encoded) - (0, 3, 2)[rest]  # and of what stands behind
        yield encoded[first:last]
        yield encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _spellings(char: str) -> bytes:
    """Returns a pattern of the ways to write one character of a key."""
    number = ord(char)
    ways = {char, f"\\{char}", *(f"&{name};" for name in _ENTITIES.get(char, ()))}
    digits = f"{number:02x}"
    patterns = [re.escape(way) for way in sorted(ways)]
    patterns += [rf"(?i:\\u00{digits}|\\x{digits}|%{digits}|&#0*{number};|&#x0*{digits};)"]
    return f"(?:{'|'.join(patterns)})".encode()


_ENTITIES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",),
             "/": ("sol",), "+": ("plus",), "=": ("equals",), "_": ("lowbar",), ".": ("period",),
             "-": ("dash", "hyphen")}  # fmt: skip
"""Names of HTML for characters that keys have."""
