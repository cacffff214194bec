"""What the tokens of a vocabulary say, in bytes, and where they stand in a text."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from potstill.records import TokenLogprobs
from potstill.train.alignment.normalizer import NormalizerMap, matched_ends

ANCHORS = ("", "\n", ".", ",", "a", "0")
"""Texts before which a text is put to see how it is written in the middle of another."""

REMEMBERED = 500_000
"""Texts whose tokens are kept."""

BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")


class Vocabulary:
    """A tokenizer's tokens by their bytes.

    Args:
        tokenizer: A teacher's or a student's: byte-level BPE, or SentencePiece's kinds, in which
            ``▁`` stands for a space.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._bytes = _all_bytes(tokenizer)
        self._lengths = np.array([len(piece or b"") for piece in self._bytes], np.int64)
        self._tokens: dict[bytes, int] = {}
        spelled = {tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in range(256)}
        for token in range(len(self._bytes) - 1, -1, -1):
            # A byte that is written as itself is not written as ``<0x0A>``.
            text = self._bytes[token]
            if text and not (token in spelled and text in self._tokens):
                self._tokens[text] = token
        self._spaced = np.array([(piece or b"")[:1] == b" " for piece in [*self._bytes, b""]])
        self._reading = NormalizerMap(self._backend)
        self._written = _SegmentationCache(self._write)
        self._first = _First(self._written)
        self._anchors = [(anchor, self._encode(anchor)) for anchor in ANCHORS]

    def bytes_of(self, token: int) -> bytes | None:
        """What a token says in the middle of a text; None for a special token."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else None

    def token_of(self, text: bytes) -> int | None:
        """The one token that says this in the middle of a text."""
        return self._tokens.get(text)

    def tokens_of(self, text: bytes) -> tuple[int, ...]:
        """The tokens that say this in the middle of a text, one if possible; empty where none can.

        A tokenizer that reads a line break as a space writes it as a space.
        """
        return self._written[text]

    def firsts_of(self, texts: Sequence[bytes]) -> NDArray[np.int64]:
        """The first token with which each of them is written in the middle of a text, or -1."""
        return np.fromiter(map(self._first.__getitem__, texts), np.int64, len(texts))

    def spaced(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether tokens begin with a space."""
        return self._spaced.take(ids, mode="clip")

    def spans(self, text: str, ids: Sequence[int]) -> NDArray[np.int64]:
        """Where each token stands in a text, in bytes of UTF-8: ``(T, 2)``.

        The spans follow one another without a gap from the first byte to the last. Spaces and
        line breaks that no token says belong to the token after them; a token that says nothing
        of the text, such as a space put before it, has an empty span.

        Args:
            text: What the tokens were made from.
            ids: The tokens, without those that stand around every text.
        """
        data = text.encode()
        if not len(ids):
            return np.zeros((0, 2), np.int64)
        pieces = list(map(self._bytes.__getitem__, ids))
        said = b"".join([piece or b"" for piece in pieces])
        extra = len(said) - len(data)
        if None not in pieces and extra in (0, 1) and said == b" " * extra + data:
            ends = np.maximum(self._lengths[np.asarray(ids)].cumsum() - extra, 0)
        else:
            ends = matched_ends(text, self._said(ids), self._reading, self._tokens)
        spans = np.zeros((len(ids), 2), np.int64)
        spans[1:, 0], spans[:, 1] = ends[:-1], ends
        return spans

    def names(self, ids: NDArray[np.int32]) -> tuple[bytes, NDArray[np.uint16]]:
        """The bytes of many tokens one after the other, and how many each one has."""
        known = (ids >= 0) & (ids < len(self._bytes))
        lengths = np.where(known, self._lengths[np.where(known, ids, 0)], 0)
        text = b"".join([self._bytes[token] or b"" for token in ids[known].tolist()])
        return text, lengths.astype(np.uint16)

    def _said(self, ids: Sequence[int]) -> list[bytes | None]:
        """Bytes of tokens; None for the unknown token, which may stand for any text."""
        unknown = self._tokenizer.unk_token_id
        return [None if token == unknown else self.bytes_of(token) or b"" for token in ids]

    def _write(self, text: bytes) -> tuple[int, ...]:
        token = self._tokens.get(text)
        if token is not None:
            return (token,)
        try:
            wanted = text.decode()
        except UnicodeDecodeError:  # part of a character: only byte tokens can say it
            return ()
        lossy: tuple[int, ...] = ()
        for anchor, before in self._anchors:
            ids = self._encode(anchor + wanted)
            rest = ids[len(before) :]
            if not rest or ids[: len(before)] != before:
                continue
            pieces = [self.bytes_of(token) for token in rest]
            said = b"".join(piece for piece in pieces if piece is not None)
            if None in pieces:
                continue
            if said == text:
                return tuple(rest)
            if not lossy and self._reading.same(said, wanted):
                lossy = tuple(rest)
        return lossy

    def _encode(self, text: str) -> list[int]:
        if self._backend is not None:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def named_by_bytes(tokens: TokenLogprobs, vocabulary: Vocabulary) -> TokenLogprobs:
    """The same probabilities with tokens named by bytes instead of ids.

    A special token has no bytes.
    """
    if tokens.ids is None:
        return tokens
    text, lengths = vocabulary.names(tokens.ids)
    return replace(tokens, ids=None, token_bytes=text, lengths=lengths)


class _SegmentationCache(dict[bytes, tuple[int, ...]]):
    """How texts are written, each worked out once; emptied when it has grown too large."""

    def __init__(self, write: Callable[[bytes], tuple[int, ...]]) -> None:
        self._write = write

    def __missing__(self, text: bytes) -> tuple[int, ...]:
        if len(self) >= REMEMBERED:
            self.clear()
        written = self[text] = self._write(text) if text else ()
        return written


class _First(dict[bytes, int]):
    """With which token, or -1, texts begin to be written."""

    def __init__(self, written: _SegmentationCache) -> None:
        self._written = written

    def __missing__(self, text: bytes) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        first = self[text] = next(iter(self._written[text]), -1)
        return first


def _all_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The bytes of every token, by id; None for special tokens and ids that are not used."""
    vocabulary = tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
    letters = _byte_letters() if _is_byte_level(tokenizer) else None
    for piece, token in vocabulary.items():
        table[token] = _piece_bytes(piece, letters)
    for token, added in getattr(tokenizer, "added_tokens_decoder", {}).items():
        table[token] = None if added.special else added.content.encode()
    for token in tokenizer.all_special_ids:
        table[token] = None
    return table


def _piece_bytes(piece: str, letters: dict[str, int] | None) -> bytes:
    if letters is not None:
        if all(letter in letters for letter in piece):
            return bytes(letters[letter] for letter in piece)
        return piece.encode()
    spelled = BYTE_PIECE.fullmatch(piece)
    return bytes.fromhex(spelled[1]) if spelled else piece.replace("▁", " ").encode()


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return "ByteLevel" in repr(backend.decoder) or "ByteLevel" in repr(backend.pre_tokenizer)
    return any("Ġ" in piece for piece in tokenizer.get_vocab())


def _byte_letters() -> dict[str, int]:
    """The letters in which byte-level vocabularies since GPT-2 write the 256 bytes."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    return {chr(byte): byte for byte in shown} | {
        chr(256 + index): byte for index, byte in enumerate(hidden)
    }
