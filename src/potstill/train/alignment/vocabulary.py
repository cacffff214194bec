"""A tokenizer's tokens by their bytes: where they stand in a text, and which ones write a text.

The table of bytes itself is :func:`potstill.models.local.token_bytes.token_bytes`. From it follow
the byte spans of tokens in a text, and the other way round the tokens that write a given text in
the middle of another one, where a tokenizer may write it otherwise than by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from potstill.models.local.token_bytes import token_bytes
from potstill.records import TokenLogprobs
from potstill.train.alignment.normalizer import NormalizerMap, matched_ends

ANCHORS = ("", "\n", ".", ",", "a", "0")
"""Texts that a text is put behind to see how it is written in the middle of another."""

REMEMBERED = 500_000
"""Most texts whose tokens are kept."""


class Vocabulary:
    """A tokenizer's tokens by their bytes.

    Args:
        tokenizer: A teacher's or a student's: byte-level BPE, or SentencePiece's kinds, in which
            ``▁`` stands for a space.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._bytes = token_bytes(tokenizer)
        self._lengths = np.array([len(piece or b"") for piece in self._bytes], np.int64)
        self._tokens: dict[bytes, int] = {}
        # The other way round, the lowest id of each text: ids are gone through downwards.
        spelled = {tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in range(256)}
        for token in range(len(self._bytes) - 1, -1, -1):
            # A byte that is written as itself is not written as ``<0x0A>``.
            text = self._bytes[token]
            if text and not (token in spelled and text in self._tokens):
                self._tokens[text] = token
        self._spaced = np.array([(piece or b"")[:1] == b" " for piece in [*self._bytes, b""]])
        self._normalizer = NormalizerMap(self._backend)
        self._segmentations = _SegmentationCache(self._write)
        self._first = _FirstTokens(self._segmentations)
        self._anchors = [(anchor, self._encode(anchor)) for anchor in ANCHORS]

    def bytes_of(self, token: int) -> bytes | None:
        """Returns the bytes of a token in the middle of a text; None for a special token."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else None

    def token_of(self, text: bytes) -> int | None:
        """Returns the one token that is this in the middle of a text, if there is one."""
        return self._tokens.get(text)

    def tokens_of(self, text: bytes) -> tuple[int, ...]:
        """Returns the tokens that write this in the middle of a text; empty where none can.

        One token is preferred.

        A tokenizer that reads a line break as a space writes it as a space.
        """
        return self._segmentations[text]

    def firsts_of(self, texts: Sequence[bytes]) -> NDArray[np.int64]:
        """Returns the first token of each text in the middle of another; -1 where there is none."""
        return np.fromiter(map(self._first.__getitem__, texts), np.int64, len(texts))

    def spaced(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether tokens begin with a space."""
        return self._spaced.take(ids, mode="clip")

    def spans(self, text: str, ids: Sequence[int]) -> NDArray[np.int64]:
        """Returns where each token stands in a text, in bytes of UTF-8: ``(T, 2)``.

        The spans follow one another without a gap from the first byte to the last. Spaces and
        line breaks that no token writes belong to the token after them; a token that writes nothing
        of the text, such as a space put before it, has an empty span.

        Args:
            text: The text that was encoded.
            ids: The tokens, without those that stand around every text.
        """
        data = text.encode()
        if not len(ids):
            return np.zeros((0, 2), np.int64)
        pieces = list(map(self._bytes.__getitem__, ids))
        written = b"".join([piece or b"" for piece in pieces])
        # The common case: the tokens' bytes are the text, but for a space put before it.
        extra = len(written) - len(data)
        if None not in pieces and extra in (0, 1) and written == b" " * extra + data:
            ends = np.maximum(self._lengths[np.asarray(ids)].cumsum() - extra, 0)
        else:
            ends = matched_ends(text, self._pieces(ids), self._normalizer, self._tokens)
        spans = np.zeros((len(ids), 2), np.int64)
        spans[1:, 0], spans[:, 1] = ends[:-1], ends
        return spans

    def names(self, ids: NDArray[np.int32]) -> tuple[bytes, NDArray[np.uint16]]:
        """Returns the bytes of many tokens one after the other, and the length of each one."""
        known = (ids >= 0) & (ids < len(self._bytes))
        lengths = np.where(known, self._lengths[np.where(known, ids, 0)], 0)
        text = b"".join([self._bytes[token] or b"" for token in ids[known].tolist()])
        return text, lengths.astype(np.uint16)

    def _pieces(self, ids: Sequence[int]) -> list[bytes | None]:
        """Returns the bytes of tokens; None for the unknown token, which may stand for any text."""
        unknown = self._tokenizer.unk_token_id
        return [None if token == unknown else self.bytes_of(token) or b"" for token in ids]

    def _write(self, text: bytes) -> tuple[int, ...]:
        """Returns the tokens that write a text, worked out by encoding it behind each anchor."""
        token = self._tokens.get(text)
        if token is not None:
            return (token,)
        try:
            wanted = text.decode()
        except UnicodeDecodeError:  # part of a character: only byte tokens can say it
            return ()
        lossy: tuple[int, ...] = ()
        for anchor, before in self._anchors:
            # The anchor's tokens have to stay as they are; what follows them then writes the text.
            ids = self._encode(anchor + wanted)
            rest = ids[len(before) :]
            if not rest or ids[: len(before)] != before:
                continue
            pieces = [self.bytes_of(token) for token in rest]
            written = b"".join(piece for piece in pieces if piece is not None)
            if None in pieces:
                continue
            if written == text:
                return tuple(rest)
            if not lossy and self._normalizer.same(written, wanted):
                lossy = tuple(rest)
        return lossy

    def _encode(self, text: str) -> list[int]:
        if self._backend is not None:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def named_by_bytes(tokens: TokenLogprobs, vocabulary: Vocabulary) -> TokenLogprobs:
    """Returns the same probabilities with tokens named by bytes instead of ids.

    A special token has no bytes.
    """
    if tokens.ids is None:
        return tokens
    text, lengths = vocabulary.names(tokens.ids)
    return replace(tokens, ids=None, token_bytes=text, lengths=lengths)


class _SegmentationCache(dict[bytes, tuple[int, ...]]):
    """The tokens that write a text, each worked out once; emptied when it has grown too large."""

    def __init__(self, write: Callable[[bytes], tuple[int, ...]]) -> None:
        self._write = write

    def __missing__(self, text: bytes) -> tuple[int, ...]:
        if len(self) >= REMEMBERED:
            self.clear()
        written = self[text] = self._write(text) if text else ()
        return written


class _FirstTokens(dict[bytes, int]):
    """The first token that writes a text, or -1."""

    def __init__(self, written: _SegmentationCache) -> None:
        self._segmentations = written

    def __missing__(self, text: bytes) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        first = self[text] = next(iter(self._segmentations[text]), -1)
        return first
