"""Token probabilities as packed bytes, and what is missing from them.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import Completion, TokenLogprobs
from potstill.store.name_keys import name_keys
from potstill.store.probability_codec import ProbabilityForm, decode, encode, form_of


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedCompletion(Completion):
    """A completion whose token probabilities were packed where they came from, for the store."""

    packed: PackedLogprobs
    """They; ``logprobs`` is None."""


def with_packed_logprobs(completion: Completion, form: ProbabilityForm) -> Completion:
    """Returns a completion with its token probabilities packed, where it has any."""
    if completion.logprobs is None:
        return completion
    values = {field.name: getattr(completion, field.name) for field in fields(Completion)}
    return PackedCompletion(**values | {"logprobs": None}, packed=pack(completion.logprobs, form))


def packed_logprobs(completion: Completion, form: ProbabilityForm) -> PackedLogprobs | None:
    """Returns a completion's token probabilities as the store keeps them; None where it has none.

    Args:
        completion: The completion.
        form: How they are packed that are not yet.
    """
    if isinstance(completion, PackedCompletion):
        return completion.packed
    return None if completion.logprobs is None else pack(completion.logprobs, form)


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


def with_likeliest_at(record: TokenLogprobs, kept_T: NDArray[np.bool_]) -> TokenLogprobs:
    """Returns the same with the likeliest tokens at some places alone.

    Elsewhere the own token stays, and stands where it stood among them.

    Args:
        record: Token probabilities.
        kept_T: True at the places that keep theirs.
    """
    stays = kept_T[:, None] | is_own(record)
    logprobs = np.where(stays, record.logprobs, np.float32(-np.inf))
    if record.lengths is None:
        assert record.ids is not None
        return TokenLogprobs(logprobs=logprobs, ids=np.where(stays, record.ids, np.int32(-1)))
    letters = np.frombuffer(record.token_bytes, np.uint8)
    return TokenLogprobs(
        logprobs=logprobs,
        token_bytes=letters[np.repeat(stays.ravel(), record.lengths.ravel())].tobytes(),
        lengths=np.where(stays, record.lengths, np.uint16(0)),
    )


def is_own(record: TokenLogprobs) -> NDArray[np.bool_]:
    """Returns ``(T, 1 + K)``: where the name of each place's own token stands."""
    names = record.ids
    if record.lengths is not None:
        names = name_keys(record.token_bytes, record.lengths).view(np.int64)
    assert names is not None
    own: NDArray[np.bool_] = names == names[:, :1]
    return own


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
    keys_TK = name_keys(record.token_bytes, record.lengths)[:, 1:]
    keys_TK.sort(axis=1)
    return int(((keys_TK[:, 1:] == keys_TK[:, :-1]) & (keys_TK[:, 1:] > 0)).sum())
