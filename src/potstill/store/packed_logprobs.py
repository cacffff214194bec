"""Token probabilities as packed bytes, and what is missing from them.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

from typing import NamedTuple

import numpy as np

from potstill.records import TokenLogprobs
from potstill.store.probability_codec import ProbabilityForm, decode, encode, form_of

WORD_MASKS = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)
"""By which the first bytes of a little-endian word are taken."""


class PackedLogprobs(NamedTuple):
    """Token probabilities as the store's columns."""

    tokens: int
    top: int
    logprobs: bytes
    """All of them as :mod:`potstill.store.probability_codec` encodes them. An older potstill kept
    the log-probabilities alone here, as float32, and the names in the three columns behind."""

    ids: bytes | None = None
    token_bytes: bytes | None = None
    lengths: bytes | None = None
    collisions: int = 0
    missing_mass: float = 0.0

    @property
    def form(self) -> ProbabilityForm:
        """How they are kept."""
        is_plain = self.ids is not None or self.lengths is not None
        return "exact" if is_plain else form_of(self.logprobs)


def pack(record: TokenLogprobs, form: ProbabilityForm = "exact") -> PackedLogprobs:
    """Returns token probabilities as the store keeps them.

    Raises:
        ValueError: Tokens are named neither by ids nor by bytes, or by both.
    """
    if (record.ids is None) == (record.lengths is None):
        raise ValueError("token probabilities need either ids or bytes with their lengths")
    tokens, columns = record.logprobs.shape
    return PackedLogprobs(
        tokens=tokens,
        top=columns - 1,
        logprobs=encode(record, form),
        collisions=collisions(record),
        missing_mass=missing_mass(record),
    )


def unpack(packed: PackedLogprobs) -> TokenLogprobs:
    """Returns the record that was packed; in the compact form within its bound."""
    shape = (packed.tokens, packed.top + 1)
    if packed.ids is None and packed.lengths is None:
        return decode(packed.logprobs, *shape)
    return TokenLogprobs(
        logprobs=np.frombuffer(packed.logprobs, "<f4").reshape(shape),
        ids=None if packed.ids is None else np.frombuffer(packed.ids, "<i4").reshape(shape),
        token_bytes=packed.token_bytes or b"",
        lengths=None
        if packed.lengths is None
        else np.frombuffer(packed.lengths, "<u2").reshape(shape),
    )


def plain_bytes(record: TokenLogprobs) -> bytes:
    """Returns the bytes that token probabilities named by bytes are told apart by.

    They are float32, names and uint16 lengths, one after the other, however the store keeps them.
    """
    lengths = b"" if record.lengths is None else record.lengths.astype("<u2").tobytes()
    return record.logprobs.astype("<f4", copy=False).tobytes() + record.token_bytes + lengths


def with_likeliest(record: TokenLogprobs, k: int) -> TokenLogprobs:
    """Returns the same with no more than the K likeliest tokens at each place."""
    kept = 1 + k
    if record.logprobs.shape[1] <= kept:
        return record
    if record.lengths is None:
        ids = None if record.ids is None else record.ids[:, :kept]
        return TokenLogprobs(logprobs=record.logprobs[:, :kept], ids=ids)
    ends = record.lengths.cumsum(dtype=np.int64).reshape(record.lengths.shape)
    begins = ends - record.lengths
    spans = zip(begins[:, 0].tolist(), ends[:, k].tolist(), strict=True)  # side by side in a row
    return TokenLogprobs(
        logprobs=record.logprobs[:, :kept],
        token_bytes=b"".join(record.token_bytes[begin:end] for begin, end in spans),
        lengths=record.lengths[:, :kept],
    )


def missing_mass(record: TokenLogprobs) -> float:
    """Mean probability, over tokens, that the K likeliest leave out; 0 where K is 0 or T is."""
    top_TK = record.logprobs[:, 1:]
    if top_TK.size == 0:
        return 0.0
    return float(np.maximum(1.0 - np.exp(top_TK, dtype=np.float64).sum(axis=1), 0.0).mean())


def collisions(record: TokenLogprobs) -> int:
    """How many alternatives have the same name as a likelier one at their position.

    Ids never collide. Bytes do where a server names a token by its text and two tokens decode to
    the same text.
    """
    if record.lengths is None or record.lengths.shape[1] < 3 or not record.lengths.size:
        return 0
    ends_TK = np.cumsum(record.lengths, dtype=np.int64).reshape(record.lengths.shape)[:, 1:]
    lengths_TK = record.lengths[:, 1:].astype(np.int64)
    starts_TK = ends_TK - lengths_TK
    # Names that begin with the same eight letters and are of one length may be the same. A word
    # begins at every byte.
    words = np.ndarray(len(record.token_bytes) + 1, "<u8", record.token_bytes + b"\0" * 8, 0, (1,))
    keys_TK = words[starts_TK] & WORD_MASKS[np.minimum(lengths_TK, 8)]
    keys_TK ^= lengths_TK.astype(np.uint64) << np.uint64(56)
    keys_TK.sort(axis=1)
    repeated = 0
    for row in np.flatnonzero((keys_TK[:, 1:] == keys_TK[:, :-1]).any(axis=1)).tolist():
        spans = zip(starts_TK[row].tolist(), ends_TK[row].tolist(), strict=True)
        names = [record.token_bytes[start:end] for start, end in spans if start < end]
        repeated += len(names) - len({*names})
    return repeated
