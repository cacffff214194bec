"""Token probabilities as one compressed string of bytes, exact or within a stated bound.

A position has its own token and the K likeliest ones, each with a name and a log-probability. Both
are put into arrays whose neighbours resemble each other, and each is deflated by itself (zlib):

* The own token is mostly one of the K: then only its place among them is kept.
* ``exact`` keeps the 32 bits of each log-probability, byte by byte in planes. ``compact`` rounds
  1024 ln(1 + 4 x) to a whole number, x nats being the log-probability without its sign: the
  likelier a token, the finer. x is then off by at most :func:`compact_error`, and no probability by
  more than 0.00025. Kept are the differences between neighbours of a row, which are sorted.
* Ids are kept in planes. Names in bytes are kept as they are, or, where there are many, each once,
  with its number in the rows. No name is changed, whatever the form.

Shape suffixes: T tokens of a completion, C columns: the own token and the K likeliest.
"""

import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from potstill.records import TokenLogprobs
from potstill.store.name_keys import name_keys

ProbabilityForm = Literal["exact", "compact"]

KeptPositions = Literal["all", "trained"]
"""The tokens whose likeliest alternatives are kept: all of an answer, or those to be trained on."""

_STEPS, _BEND = 1024, 4
"""Steps of the compact form to a unit of ln(1 + ``_BEND`` x)."""

_COMPACT, _IDS, _NUMBERED = 1, 2, 4
"""The bits of the first byte: the form, and how names are kept."""

_LEVEL, _WIDE_LEVEL = 1, 6
"""How much time is spent to compress, and where there are many columns."""

_NUMBERED_FROM = 9
"""Columns from which on names in bytes are kept once each, which is smaller and takes longer."""

_SAME_NAME = 128
"""The bit of a place that says that the name there is the own token's, too."""

_FINITE, _IMPOSSIBLE, _UNKNOWN = 0, 1, 2
"""Kinds of log-probabilities in the compact form: a number, -inf, NaN."""

Scalar = TypeVar("Scalar", bound=np.generic)


class _TokenNames(NamedTuple):
    """The names of the tokens."""

    numbers_TC: NDArray[np.uint32] | None
    """Ids, or each name's number in the list; None: they stand one after the other."""

    listed: bytes = b""
    """The names in bytes: all of them by position, or each once by number."""

    lengths: NDArray[np.uint16] | None = None
    """How many bytes each of the listed has; None: ids."""


def compact_error(nats: NDArray[Scalar]) -> NDArray[np.float64]:
    """Returns by how many nats log-probabilities are off at most in the compact form."""
    most: NDArray[np.float64] = (np.abs(nats).astype(np.float64) + 0.25) / 2000
    return most


def encode(record: TokenLogprobs, form: ProbabilityForm) -> bytes:
    """Returns token probabilities as bytes; :func:`decode` gives them back."""
    values_TC = np.ascontiguousarray(record.logprobs, "<f4")
    tokens, columns = values_TC.shape
    names = _named(record, columns)
    bits_TC = values_TC.view("<u4")
    is_own_TK = bits_TC[:, 1:128] == bits_TC[:, :1]
    places = np.zeros(tokens, np.uint8)
    if is_own_TK.size:
        places = np.where(is_own_TK.any(axis=1), is_own_TK.argmax(axis=1) + 1, 0).astype(np.uint8)
    rows, held = np.arange(tokens), places > 0
    parts = list[bytes]()
    if form == "compact":
        parts += _rounded(values_TC, held)
    else:
        kept_TC = bits_TC.copy()
        kept_TC[held, 0] = 0
        parts.append(_planes(kept_TC.T))
    if names.numbers_TC is not None:
        same = held & (names.numbers_TC[:, 0] == names.numbers_TC[rows, places])
        names.numbers_TC[same, 0] = 0
        places = places | (same * np.uint8(_SAME_NAME))
        parts.append(_planes(names.numbers_TC.T))
    if names.lengths is not None:
        parts += [_planes(names.lengths), names.listed]
    kind = _COMPACT * (form == "compact") + _IDS * (names.lengths is None)
    kind += _NUMBERED * (names.lengths is not None and names.numbers_TC is not None)
    level = _LEVEL if columns < _NUMBERED_FROM else _WIDE_LEVEL
    return bytes([kind]) + b"".join(_deflated(part, level) for part in (places.tobytes(), *parts))


def decode(blob: bytes, tokens: int, columns: int) -> TokenLogprobs:
    """Returns the token probabilities that :func:`encode` was given.

    Args:
        blob: Its bytes.
        tokens: The number of positions.
        columns: The number of columns: 1 + K.

    Raises:
        ValueError: They are not such bytes.
    """
    if not blob or blob[0] > _COMPACT + _IDS + _NUMBERED:
        raise ValueError("it is of an unknown form")
    kind, parts = blob[0], _inflated(blob)
    places = _plain(next(parts, b""), np.dtype(np.uint8), tokens)
    values_TC = _read_values(parts, tokens, columns, compact=bool(kind & _COMPACT))
    numbers_TC = None
    if kind & (_IDS | _NUMBERED):
        numbers_TC = _columns(next(parts, b""), np.dtype("<u4"), tokens, columns)
    rows, at = np.arange(tokens), (places & (_SAME_NAME - 1)).astype(np.intp)
    if at.size and at.max() >= columns:
        raise ValueError("a token is said to stand in a column that is not there")
    values_TC[:, 0] = np.where(at > 0, values_TC[rows, at], values_TC[:, 0])
    if numbers_TC is not None:
        same = places >= _SAME_NAME
        numbers_TC[:, 0] = np.where(same, numbers_TC[rows, at], numbers_TC[:, 0])
    if kind & _IDS:
        assert numbers_TC is not None
        return TokenLogprobs(logprobs=values_TC, ids=numbers_TC.view("<i4"))
    return _with_bytes(values_TC, numbers_TC, parts)


def form_of(blob: bytes) -> ProbabilityForm:
    """Returns the form that some token probabilities were encoded in."""
    return "compact" if blob and blob[0] & _COMPACT else "exact"


def _named(record: TokenLogprobs, columns: int) -> _TokenNames:
    if record.ids is not None:
        return _TokenNames(np.array(record.ids, "<i4").view("<u4"))
    assert record.lengths is not None
    lengths_TC = np.ascontiguousarray(record.lengths, "<u2")
    if columns < _NUMBERED_FROM:
        return _TokenNames(None, record.token_bytes, lengths_TC.ravel())
    keys = name_keys(record.token_bytes, lengths_TC).ravel()
    _, first, ranks = np.unique(keys, return_index=True, return_inverse=True)
    by_place = first.argsort()  # names are listed in the order in which they come
    ends = lengths_TC.ravel().cumsum(dtype=np.int64)[first[by_place]]
    lengths = lengths_TC.ravel()[first[by_place]]
    spans = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    listed = b"".join([record.token_bytes[begin:end] for begin, end in spans])
    numbers = by_place.argsort().astype(np.uint32)[ranks]
    return _TokenNames(numbers.reshape(lengths_TC.shape), listed, lengths)


def _rounded(values_TC: NDArray[np.float32], held: NDArray[np.bool_]) -> list[bytes]:
    """Returns the kinds of log-probabilities, and the differences of the rounded ones."""
    kinds_TC = np.zeros(values_TC.shape, np.uint8)
    kinds_TC[np.isneginf(values_TC)] = _IMPOSSIBLE
    kinds_TC[np.isnan(values_TC)] = _UNKNOWN
    nats_TC = -np.minimum(np.where(kinds_TC == _FINITE, values_TC, 0), 0, dtype=np.float64)
    steps_TC = np.rint(_STEPS * np.log1p(_BEND * nats_TC)).astype(np.int32)
    # A column of its own token, then the likeliest ones, each less the one before it.
    steps_TC[:, 2:] -= steps_TC[:, 1:-1].copy()
    steps_TC[held, 0] = 0
    kinds_TC[held, 0] = _FINITE
    signed = (steps_TC << 1) ^ (steps_TC >> 31)  # small numbers of either sign as small numbers
    return [kinds_TC.T.tobytes(), _planes(signed.astype("<u4").T)]


def _read_values(
    parts: Iterator[bytes], tokens: int, columns: int, *, compact: bool
) -> NDArray[np.float32]:
    if not compact:
        return _columns(next(parts, b""), np.dtype("<f4"), tokens, columns)
    kinds_TC = _columns(next(parts, b""), np.dtype(np.uint8), tokens, columns)
    coded_TC = _columns(next(parts, b""), np.dtype("<u4"), tokens, columns)
    steps_TC = (coded_TC >> 1).astype(np.int32) ^ -(coded_TC & 1).astype(np.int32)
    steps_TC[:, 1:] = steps_TC[:, 1:].cumsum(axis=1, dtype=np.int32)
    values_TC = (np.expm1(steps_TC / _STEPS) / -_BEND + 0.0).astype(np.float32)
    values_TC[kinds_TC == _IMPOSSIBLE] = -np.inf
    values_TC[kinds_TC == _UNKNOWN] = np.nan
    return values_TC


def _with_bytes(
    values_TC: NDArray[np.float32], numbers_TC: NDArray[np.uint32] | None, parts: Iterator[bytes]
) -> TokenLogprobs:
    lengths, data = _planed(next(parts, b""), np.dtype("<u2")), next(parts, b"")
    if lengths.sum(dtype=np.int64) != len(data):
        raise ValueError("its names have other lengths than they say")
    if numbers_TC is None:
        return TokenLogprobs(
            logprobs=values_TC, token_bytes=data, lengths=_shaped(lengths, *values_TC.shape)
        )
    if numbers_TC.size and numbers_TC.max() >= len(lengths):
        raise ValueError("a token has a name that is not listed")
    ends = lengths.cumsum(dtype=np.int64).tolist()
    names = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    return TokenLogprobs(
        logprobs=values_TC,
        token_bytes=b"".join([names[number] for number in numbers_TC.ravel().tolist()]),
        lengths=lengths[numbers_TC],
    )


# arrays and bytes --------------------------------------------------------------------------------


def _planes(array: NDArray[Scalar]) -> bytes:
    """Returns the first bytes of all numbers, then the second ones, and so on."""
    flat = np.ascontiguousarray(array).ravel()
    return flat.view(np.uint8).reshape(len(flat), flat.itemsize).T.tobytes()


def _planed(data: bytes, kind: "np.dtype[Scalar]") -> NDArray[Scalar]:
    """Returns the numbers whose planes these are."""
    split = _plain(data, np.dtype(np.uint8)).reshape(kind.itemsize, -1)
    return np.ascontiguousarray(split.T).view(kind).ravel()


def _columns(data: bytes, kind: "np.dtype[Scalar]", tokens: int, columns: int) -> NDArray[Scalar]:
    """Returns an array ``(T, C)`` of the planes of its columns."""
    return _shaped(_planed(data, kind), columns, tokens).T.copy(order="C")


def _plain(data: bytes, kind: "np.dtype[Scalar]", count: int | None = None) -> NDArray[Scalar]:
    array = np.frombuffer(data, kind)
    return array if count is None else _shaped(array, count)


def _shaped(array: NDArray[Scalar], *shape: int) -> NDArray[Scalar]:
    """Returns an array in a shape; one of another size raises a ValueError, as numpy's does."""
    return array.reshape(shape)


def _deflated(part: bytes, level: int) -> bytes:
    """Returns bytes in a compressed form, behind their length."""
    packed = zlib.compress(part, level)
    return len(packed).to_bytes(4, "little") + packed


def _inflated(blob: bytes) -> Iterator[bytes]:
    """Yields the parts of a blob.

    Raises:
        ValueError: One is damaged.
    """
    at = 1
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "little")
        at += 4 + size
        try:
            yield zlib.decompress(blob[at - size : at])
        except zlib.error as error:
            raise ValueError(f"it cannot be decompressed: {error}") from error
