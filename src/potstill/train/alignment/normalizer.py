"""A text as a tokenizer that changes it reads it, and its tokens' places in the text as given.

Some tokenizers normalise a text before they cut it: T5's reads "²" as "2" and a run of spaces as
one. Their tokens' bytes then spell another text than the one given. :class:`NormalizerMap` follows
each byte of the text as read to where it comes from, a cluster of characters at a time;
:func:`matched_ends` finds the tokens in the text as read, and by that map in the text as given.
"""

import re
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPACES = b" \t\n\r\v\f"
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u1160-\u11ff\u200d"
MARKS += "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f"
CLUSTER = re.compile(rf"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|.[{MARKS}]*", re.DOTALL)
"""Plain ASCII, or a character with what is put on it: normalisers look at no more at a time."""


class NormalizerMap:
    """A tokenizer's normaliser, cluster by cluster, so that places can be followed.

    Args:
        backend: The tokenizer of the ``tokenizers`` library, where there is one.
    """

    def __init__(self, backend: Any) -> None:
        self._normalizer = backend.normalizer if backend is not None else None
        self._known: dict[str, str] = {}

    def text(self, cluster: str) -> str:
        """Returns the text that the tokenizer reads for a cluster."""
        if self._normalizer is None:
            return cluster
        read = self._known.get(cluster)
        if read is None:
            read = str(self._normalizer.normalize_str(cluster)).replace("▁", " ")
            if read.startswith(" ") and not cluster[:1].isspace():
                read = read[1:]  # the space that some put before every text
            if len(cluster) < 8:
                self._known[cluster] = read
        return read

    def places(self, text: str) -> tuple[bytes, NDArray[np.int64]]:
        """Returns the text as read, and for each of its bytes the given text's that it is from."""
        data = text.encode()
        if self._normalizer is None or self.text(text) == text:
            return data, np.arange(len(data) + 1)
        read: list[bytes] = []
        origins: list[NDArray[np.int64]] = []
        at = 0
        for part in self._parts(text):
            size, as_read = len(part.encode()), self.text(part).encode()
            read.append(as_read)
            # Byte by byte where nothing moved; else all of it comes from the cluster's beginning.
            same = len(as_read) == size and (part.isascii() or as_read == part.encode())
            origins.append(at + np.arange(size) if same else np.full(len(as_read), at))
            at += size
        return b"".join(read), np.append(np.concatenate(origins), at)

    def same(self, written: bytes, text: str) -> bool:
        """Whether the tokenizer reads the text as ``written``, but for how wide its spaces are."""
        return _squeezed(written) == _squeezed("".join(map(self.text, self._parts(text))).encode())

    def _parts(self, text: str) -> list[str]:
        """Returns the clusters of a text; ASCII that the tokenizer changes, letter by letter."""
        parts: list[str] = []
        for cluster in CLUSTER.findall(text):
            whole = not cluster.isascii() or len(self.text(cluster)) == len(cluster)
            parts += [cluster] if whole else list(cluster)
        return parts


def matched_ends(
    text: str, pieces: Sequence[bytes | None], normalizer: NormalizerMap, known: Container[bytes]
) -> NDArray[np.int64]:
    """Returns where each token ends in a text that its tokenizer has not kept as it was, in bytes.

    Args:
        text: The text as it was given to the tokenizer.
        pieces: The tokens' bytes; None for the unknown token, which stands for characters that no
            token writes.
        normalizer: Reads a text as the tokenizer does.
        known: The bytes of all single tokens.
    """
    # Walk through the text as read, token by token; at the end back to the text as given.
    data, places = normalizer.places(text)
    ends = np.empty(len(pieces), np.int64)
    at = 0
    for index, piece in enumerate(pieces):
        following = pieces[index + 1] if index + 1 < len(pieces) else b""
        if piece is None:
            at = _unknown_end(data, at, following, known)
        else:
            at = _end(data, at, piece, following, known)
        ends[index] = at
    ends[-1] = len(data)
    return places.take(ends)


def _unknown_end(data: bytes, at: int, following: bytes | None, known: Container[bytes]) -> int:
    """Returns where an unknown token ends: tokenizers join unknown characters side by side."""
    while at < len(data) and data[at] in SPACES and data[at : at + 1] in known:
        at += 1
    end = _next_character(data, at)
    # On to the first character that a token can write, or that the next token begins with.
    while following is not None and end < len(data):
        after = _next_character(data, end)
        if data[end:after] in known or (following and data.startswith(following, end)):
            break
        end = after
    return end


def _end(
    data: bytes, at: int, piece: bytes, following: bytes | None, known: Container[bytes]
) -> int:
    """Returns where a token ends that begins at ``at``, or after the spaces there."""
    if data.startswith(piece, at):
        return at + len(piece)
    # A token of spaces alone, or of a word behind spaces that the tokenizer squeezed.
    word = _after_spaces(data, at)
    bare = piece.lstrip(b" ")
    if not bare:
        begins_unknown = following is None and data[at : at + 1] not in known
        return at if begins_unknown else word
    if data.startswith(bare, word):
        return word + len(bare)
    # Its bytes are not here: it reaches to where the next token can be found.
    if following is None:
        return _next_character(data, at)
    next_token = data.find(following, at + 1)
    if next_token < 0 and following.lstrip(b" "):
        next_token = data.find(following.lstrip(b" "), at + 1)
    return next_token if next_token >= 0 else _next_character(data, at)


def _after_spaces(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in SPACES:
        at += 1
    return at


def _next_character(data: bytes, at: int) -> int:
    at = min(at + 1, len(data))
    # Bytes 10xxxxxx go on with a character of UTF-8.
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return at


def _squeezed(text: bytes) -> bytes:
    """Returns a text with runs of spaces as one, and none at the end."""
    start = b" " if text[:1].isspace() else b""
    return start + b" ".join(text.split())
