r"""A server's key taken out of what the server says, in whatever way it spells it.

An error page may repeat the header that it refuses, and a proxy may quote, escape or encode it:
``sk-\u0061b``, ``sk%2Dab``, ``&#115;k-ab``, base64 of ``Bearer sk-ab``.
"""

import base64
import re
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

ByteString = bytes
"""The type, which the method of that name hides within its class."""

MASK = b"***"

SHORTEST_SECRET = 8
"""Characters that a key has at least: ``EMPTY`` and ``none``, given to servers that want no key,
are no secret, and are words of answers."""

_ESCAPES = re.compile(rb"\\u00[2-7]|\\x[2-7]|\\/|%[2-7][0-9A-Fa-f]|&#|&[a-z]+;")
"""Signs that some character of a key may be spelled in another way than by itself."""

_BEGUN = re.compile(
    rb"\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?|%[0-9A-Fa-f]?|&(?:#?[xX]?[0-9A-Fa-f]*|[a-z]*)"
)
"""The beginning of such a spelling."""

_LONGEST_SPELLING = 12
"""Bytes of one character of a key in which its beginning is looked for."""


class KeyMask:
    """Takes a key out of texts.

    Args:
        key: The key, of printable ASCII characters; None or a short one leaves texts as they are.
    """

    def __init__(self, key: str | None) -> None:
        known = key if key is not None and len(key) >= SHORTEST_SECRET else ""
        self._wholes = sorted({*_encodings(known)}, key=len, reverse=True) if known else []
        spellings = [_spellings(char) for char in known]
        any_of_each = (b"(?:%b)" % b"|".join(ways) for ways in spellings)
        self._escaped = re.compile(b"".join(any_of_each)) if known else None
        self._chars = [[*map(re.compile, ways)] for ways in spellings]

    @property
    def knows_one(self) -> bool:
        """Whether there is a key to take out."""
        return bool(self._wholes)

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

    def spans(self, data: ByteString) -> list[tuple[int, int]]:
        """Returns where the key stands in a text, in bytes, the last place first."""
        patterns = [re.compile(re.escape(whole)) for whole in self._wholes if whole in data]
        if self._escaped is not None and _ESCAPES.search(data):
            patterns.append(self._escaped)
        spans: list[tuple[int, int]] = []
        for begin, end in (match.span() for one in patterns for match in one.finditer(data)):
            if all(end <= other or begin >= other_end for other, other_end in spans):
                spans.append((begin, end))
        return sorted(spans, reverse=True)

    def begun(self, text: str) -> int:
        """Returns how many characters at a text's end may be the beginning of the key; 0: none."""
        if not self._wholes:
            return 0
        data = text.encode("utf-8", "surrogatepass")
        first = max(0, len(data) - _LONGEST_SPELLING * len(self._chars))
        return next(
            (len(data) - at for at in range(first, len(data)) if self._begins(data[at:])), 0
        )

    def _begins(self, data: ByteString) -> bool:
        """Whether the key, as a whole or spelled otherwise, may go on from this beginning."""
        if any(whole.startswith(data) for whole in self._wholes):
            return True
        ends = {0}
        for ways in self._chars:
            if any(_BEGUN.fullmatch(data, at) for at in ends):
                return True
            ends = {match.end() for at in ends for way in ways if (match := way.match(data, at))}
            if len(data) in ends:
                return True
        return False


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


def _spellings(char: str) -> list[bytes]:
    """Returns patterns of the ways to write one character of a key."""
    digits, number = f"{ord(char):02x}", ord(char)
    ways = {char, f"\\{char}", *(f"&{name};" for name in _ENTITIES.get(char, ()))}
    patterns = [re.escape(way) for way in sorted(ways)]
    patterns += [rf"(?i:\\u00{digits}|\\x{digits}|%{digits}|&#0*{number};|&#x0*{digits};)"]
    return [pattern.encode() for pattern in patterns]


_ENTITIES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",),
             "/": ("sol",), "+": ("plus",), "=": ("equals",), "_": ("lowbar",), ".": ("period",),
             "-": ("dash", "hyphen")}  # fmt: skip
"""Names of HTML for characters that keys have."""
