"""Stop strings, looked for only where a token can have ended one.

As in transformers' ``StopStringCriteria``, the vocabulary is gone through once for each stop
string: a token can end it if it holds it, or begins with an end of it. What the last tokens say is
then compared byte by byte, and text is decoded for a find alone.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands in a text for bytes that are no character, whichever they are."""

_BYTES_OF_BYTE_LEVEL = {character: byte for byte, character in bytes_to_unicode().items()}
_BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")


class StopStrings:
    """Finds stop strings in what is written with a tokenizer.

    Args:
        tokenizer: What its tokens say is known if its decoder only puts them together (byte-level,
            metaspace, byte fallback); with any other the text is decoded at every token.
        text: Decodes tokens that follow others.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text: Callable[[Sequence[int], Sequence[int]], str],
    ) -> None:
        self._tokenizer = tokenizer
        self._text = text
        self.ends = cache(self._ends)

    def find(
        self, tokens: Sequence[int], anchor: Sequence[int], stop: tuple[str, ...]
    ) -> int | None:
        """Where the first stop string begins in the text, if the last token has ended one.

        Args:
            tokens: What is written so far, the last one new.
            anchor: The tokens before it, in which no stop string begins.
            stop: The stop strings; an empty one stops nothing.
        """
        if not any(string and self._may_have_ended(tokens, string) for string in stop):
            return None
        text = self._text(tokens, anchor)
        found = [text.find(string) for string in stop if string and string in text]
        return min(found, default=None)

    def _may_have_ended(self, tokens: Sequence[int], string: str) -> bool:
        """Whether the last tokens hold the bytes of a stop string, or these are not known."""
        if self._bytes is None or UNREADABLE in string:
            return True
        if tokens[-1] not in self.ends(string):
            return False
        wanted = string.encode()
        said = self._bytes[tokens[-1]]
        enough = len(said) + len(wanted) - 1
        for token in reversed(tokens[:-1]):
            if len(said) >= enough:
                break
            said = self._bytes.get(token, b"") + said
        return wanted in said

    def _ends(self, string: str) -> frozenset[int]:
        """The tokens with which a stop string can have come to its end."""
        wanted = string.encode()
        tails = tuple(wanted[start:] for start in range(1, len(wanted)))
        return frozenset(
            token
            for token, said in (self._bytes or {}).items()
            if wanted in said or said.startswith(tails)
        )

    @cached_property
    def _bytes(self) -> Mapping[int, bytes] | None:
        """What each token says in the middle of a text; None if that depends on others."""
        decoder = getattr(getattr(self._tokenizer, "backend_tokenizer", None), "decoder", None)
        spell = None if decoder is None else _speller(json.loads(decoder.__getstate__()))
        if spell is None:
            return None
        added = self._tokenizer.added_tokens_decoder
        left_out = {token for token, content in added.items() if content.special}
        return {
            token: b"" if token in left_out else spell(piece)
            for piece, token in self._tokenizer.get_vocab().items()
        }


def _speller(decoder: dict[str, Any]) -> Callable[[str], bytes] | None:
    """How a decoder spells a piece, if it spells each one by itself; else None."""
    steps = decoder.get("decoders", [decoder])
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return _byte_level
    replaced: list[tuple[str, str]] = []
    for place, step in enumerate(steps):
        if step["type"] == "Metaspace":
            replaced.append((step["replacement"], " "))
        elif step["type"] == "Replace" and "String" in step["pattern"]:
            replaced.append((step["pattern"]["String"], step["content"]))
        elif step["type"] == "Strip" and "Fuse" in kinds[:place] and step["stop"] == 0:
            continue  # only of the whole text's beginning
        elif step["type"] not in ("ByteFallback", "Fuse"):
            return None
    fallback = "ByteFallback" in kinds

    def spell(piece: str) -> bytes:
        byte = _BYTE_PIECE.fullmatch(piece) if fallback else None
        if byte is not None:
            return bytes([int(byte[1], 16)])
        for old, new in replaced:
            piece = piece.replace(old, new)
        return piece.encode()

    return spell


def _byte_level(piece: str) -> bytes:
    """Each character stands for a byte, unless one of them stands for none."""
    try:
        return bytes([_BYTES_OF_BYTE_LEVEL[character] for character in piece])
    except KeyError:
        return piece.encode()
