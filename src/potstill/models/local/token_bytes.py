"""The bytes that each token of a vocabulary stands for in the middle of a text.

Vocabularies spell bytes in two ways, and a tokenizer's decoder says in which:

- byte-level BPE (GPT-2 and after) writes every byte as one printable letter: ``Ġthe`` is
  ``b" the"``, ``Ċ`` is a line break;
- SentencePiece's kinds write a space as ``▁`` and a byte without a piece of its own as ``<0x0A>``:
  ``▁the`` is ``b" the"``.

Stop strings are looked for in these bytes, and probabilities are carried by them from a teacher's
tokens to a student's.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from potstill.models.token_requests import SpelledToken
from potstill.text.thinking_marks import SPECIAL_MARKS

Speller = Callable[[str], bytes]
"""A vocabulary's piece to the bytes that it stands for."""

_BYTES_OF_LETTERS = {letter: byte for byte, letter in bytes_to_unicode().items()}
_BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The bytes of every token, by id; None for special tokens and ids that are not used."""
    vocabulary = tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
    spell = _decoder_speller(tokenizer) or _conventional_speller(tokenizer)
    for piece, token in vocabulary.items():
        table[token] = spell(piece)
    for token, added in getattr(tokenizer, "added_tokens_decoder", {}).items():
        if added.special:
            table[token] = None
        elif spell is _spell_byte_level:  # an added token is its own text, never letters of bytes
            table[token] = added.content.encode()
    for token in tokenizer.all_special_ids:
        table[token] = None
    return table


def answer_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The bytes that every token adds to an answer: marks around thinking are part of one."""
    table = token_bytes(tokenizer)
    for token, added in getattr(tokenizer, "added_tokens_decoder", {}).items():
        if added.special and added.content.strip() in SPECIAL_MARKS:
            table[token] = added.content.encode()
    return table


def token_speller(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], SpelledToken]:
    """Returns the function that names a tokenizer's tokens for those who ask for probabilities."""
    table = token_bytes(tokenizer)

    def spell(token: int) -> SpelledToken:
        spelled = table[token] if token < len(table) else None
        if spelled is None:
            return SpelledToken(str(tokenizer.convert_ids_to_tokens(token)), b"")
        try:
            return SpelledToken(spelled.decode(), spelled)
        except UnicodeDecodeError:
            escaped = "".join(f"\\x{byte:02x}" for byte in spelled)
            return SpelledToken(f"bytes:{escaped}", spelled)

    return spell


def spells_alone(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text is its tokens' bytes put together, whichever tokens stand beside each other.

    It is not with WordPiece, say, whose decoder puts spaces between tokens and takes some away.
    """
    return _decoder_speller(tokenizer) is not None


def _decoder_speller(tokenizer: PreTrainedTokenizerBase) -> Speller | None:
    """The spelling of a decoder that spells each piece by itself; None of any other, or none."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    return None if decoder is None else _speller(json.loads(decoder.__getstate__()))


def _speller(decoder: dict[str, Any]) -> Speller | None:
    """The spelling of a decoder of the ``tokenizers`` library, by the steps it consists of."""
    steps = decoder.get("decoders", [decoder])
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return _spell_byte_level
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
    return _piece_speller(replaced, byte_fallback="ByteFallback" in kinds)


def _conventional_speller(tokenizer: PreTrainedTokenizerBase) -> Speller:
    """The spelling that a vocabulary without a telling decoder looks like."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        byte_level = any("Ġ" in piece for piece in tokenizer.get_vocab())
    else:
        byte_level = "ByteLevel" in repr(backend.decoder) + repr(backend.pre_tokenizer)
    return _spell_byte_level if byte_level else _piece_speller([("▁", " ")], byte_fallback=True)


def _piece_speller(replaced: list[tuple[str, str]], *, byte_fallback: bool) -> Speller:
    def spell(piece: str) -> bytes:
        byte = _BYTE_PIECE.fullmatch(piece) if byte_fallback else None
        if byte is not None:
            return bytes.fromhex(byte[1])
        for old, new in replaced:
            piece = piece.replace(old, new)
        return piece.encode()

    return spell


def _spell_byte_level(piece: str) -> bytes:
    """One byte a letter; a piece with a letter that stands for none is its own text."""
    try:
        return bytes([_BYTES_OF_LETTERS[letter] for letter in piece])
    except KeyError:
        return piece.encode()
