"""Which prompts are computed together: by length, up to a number of tokens.

What several prompts begin with: an instruction, exemplars, the head of a chat template.

Prompts that wait together are looked through for beginnings that are worth running by themselves
once, so that each prompt that begins so runs only its own rest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import Completion, Request

WINDOW = 16
"""Batches' worth of requests that are pulled and sorted at once: with lengths from 4 to 2,048, a
batch is padding to 27% with 4 of them, to 17% with 8, to 10% with 16."""


PREFIXES = 4
"""Prefixes take at most a quarter of a batch's tokens."""


APART = 4
"""A prefix stands apart if the rows that read it would fill a quarter of a batch."""


REFUSALS = 64
"""How many requests that cannot be asked are handed over before more are pulled."""


PADDING = 128
"""Tokens that are padded rather than run in a forward pass of their own."""


COLUMNS = 8
"""How many times as many columns a part may have, with copies of prefixes, as tokens are run."""


Ids = NDArray[np.uint32]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Prefix:
    """Tokens that are run once; what a model computed of them is kept as long as this object."""

    ids: Ids


class Share(NamedTuple):
    """What a prompt takes over from a prefix."""

    prefix: Prefix
    tokens: int
    """How many of the prefix's tokens, from the first, the prompt begins with."""

    apart: bool = False
    """Whether these tokens stand once beside all rows, or each row has a copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One request as a model is given it."""

    request: Request
    samples: tuple[int, ...]
    """Those of the request's samples that are drawn together."""

    ids: tuple[int, ...]
    """The prompt's tokens; for an encoder-decoder, the encoder's."""

    decoder_ids: tuple[int, ...] = ()
    """What an encoder-decoder's decoder begins with."""

    anchor: tuple[int, ...] = ()
    """The tokens after which the completion is decoded."""

    max_tokens: int
    """Longest completion that was asked for and that the model has positions for."""

    share: Share | None = None
    """What a decoder-only model's prompt takes over from others."""

    @property
    def taken(self) -> int:
        """The tokens, from the first, that it takes over from a prefix."""
        return self.share.tokens if self.share is not None else 0

    @property
    def rest(self) -> int:
        """The tokens that are run for this prompt alone."""
        return len(self.ids) - self.taken

    @property
    def apart(self) -> Prefix | None:
        """The prefix that its rows read beside their own columns."""
        return self.share.prefix if self.share is not None and self.share.apart else None

    @property
    def columns(self) -> int:
        """Of its own that one of its rows has after it is run."""
        return self.rest if self.apart is not None else len(self.ids)

    @property
    def width(self) -> int:
        """The most columns one of its rows comes to."""
        return self.columns + len(self.decoder_ids) + self.max_tokens


class PromptQueue:
    """Requests, pulled some batches' worth at a time and given out longest first.

    The longest first, because what joins a batch later then fits under what is there. A prefix
    that many rows read stands once beside them, where the model can read it there; the rows of
    such a batch all read the same one. Other rows hold their prompts whole. Prefixes in use are
    part of a batch's tokens either way.

    Args:
        requests: What is asked.
        prepare: Turns a request into tokens, or says why it cannot be asked.
        batch_tokens: Most tokens of a batch.
        reads_apart: Whether the model can read a prefix beside its rows; asked once there is one.
            None if prompts share nothing.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request], Prompt | Completion],
        batch_tokens: int,
        *,
        reads_apart: Callable[[], bool] | None,
    ) -> None:
        self._requests: Iterator[Request] = iter(requests)
        self._prepare = prepare
        self._batch_tokens = batch_tokens
        self._reads_apart = reads_apart
        self._prefixes = Prefixes(batch_tokens // PREFIXES)
        self._waiting: list[Prompt] = []
        self._refused: list[Completion] = []

    def refused(self) -> list[Completion]:
        """The requests that could not be asked, each reported once."""
        refused, self._refused = self._refused, []
        return refused

    def take(self, *, rows: int, width: int, beside: Prompt | None) -> list[Prompt]:
        """The prompts that fit beside a batch of ``rows`` rows of at most ``width`` columns.

        Args:
            rows: Of the batch.
            width: Of its widest row.
            beside: The prompt of one of them.
        """
        if not self._waiting:
            self._pull()
        taken: list[Prompt] = []
        while self._waiting and _alike(self._waiting[-1], taken[0] if taken else beside):
            prompt = self._waiting[-1]
            tokens = (rows + len(prompt.samples)) * max(width, prompt.width)
            if rows and tokens > self._room:
                break
            taken.append(self._waiting.pop())
            rows, width = rows + len(prompt.samples), max(width, prompt.width)
        return taken

    @property
    def _room(self) -> int:
        """Tokens of a batch beside the prefixes."""
        return self._batch_tokens - self._prefixes.tokens

    def _pull(self) -> None:
        tokens = 0
        for request in self._requests:
            prompt = self._prepare(request)
            if isinstance(prompt, Prompt):
                self._waiting += self._split(prompt)
                tokens += prompt.width * len(prompt.samples)
            else:
                self._refused += [replace(prompt, sample=index) for index in request.samples]
            if tokens >= WINDOW * self._batch_tokens or len(self._refused) >= REFUSALS:
                break
        if self._reads_apart is not None:
            self._share(self._reads_apart)
        groups = {prompt.apart: number for number, prompt in enumerate(self._waiting)}
        self._waiting.sort(
            key=lambda prompt: (len(prompt.decoder_ids), groups[prompt.apart], len(prompt.ids))
        )

    def _share(self, reads_apart: Callable[[], bool]) -> None:
        """Have prompts take over what others begin with, too."""
        shares = self._prefixes.shares([prompt.ids for prompt in self._waiting])
        readers = Counter[Prefix]()
        for prompt, share in zip(self._waiting, shares, strict=True):
            if share is not None:
                readers[share.prefix] += prompt.width * len(prompt.samples)
        if not readers:
            return
        many = {each for each in readers if readers[each] * APART >= self._batch_tokens}
        apart = many if many and reads_apart() else set()
        sharing = [
            replace(prompt, share=share and share._replace(apart=share.prefix in apart))
            for prompt, share in zip(self._waiting, shares, strict=True)
        ]
        self._waiting = [part for prompt in sharing for part in self._split(prompt)]

    def _split(self, prompt: Prompt) -> list[Prompt]:
        """A prompt with as many samples at once as a batch has tokens for, and with the rest."""
        at_once = max(1, self._room // prompt.width)
        return [
            replace(prompt, samples=prompt.samples[start : start + at_once])
            for start in range(0, len(prompt.samples), at_once)
        ]


def _alike(prompt: Prompt, other: Prompt | None) -> bool:
    """Whether the rows of two prompts can be in one batch."""
    return other is None or (
        len(prompt.decoder_ids) == len(other.decoder_ids) and prompt.apart is other.apart
    )


def in_parts(prompts: Sequence[Prompt], tokens: int) -> list[list[Prompt]]:
    """Prompts that are run together, those of which most is run first; one or more a part.

    A part has at most ``tokens``, and a new one is begun where padding gets to be a large part of
    it.
    """
    parts: list[list[Prompt]] = []
    rest = width = padding = 0
    for prompt in sorted(prompts, key=lambda prompt: -prompt.rest):
        width, padding = max(width, prompt.columns), padding + rest - prompt.rest
        rows = len(parts[-1]) + 1 if parts else 0
        fits = rows * max(rest, width / COLUMNS) <= tokens
        if rows and fits and padding <= max(PADDING, rows * rest / 4):
            parts[-1].append(prompt)
        else:
            parts.append([prompt])
            rest, width, padding = prompt.rest, prompt.columns, 0
    return parts


LEAST_SHARED = 32
"""Fewest tokens of a prefix that a prompt takes over: below, running them again is as cheap."""


LEAST_SAVED = 512
"""Fewest tokens that a prefix has to save in all: it takes a forward pass of its own."""


class Prefixes:
    """The prefixes in use, found anew in each lot of prompts and kept while prompts use them.

    Args:
        room: Most tokens of all prefixes together; what they take memory for.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: list[Prefix] = []

    @property
    def tokens(self) -> int:
        """Of all prefixes in use together."""
        return sum(len(prefix.ids) for prefix in self._kept)

    def shares(self, prompts: Sequence[Sequence[int]]) -> list[Share | None]:
        """What each prompt takes over; prefixes that none of them uses are given up.

        Args:
            prompts: Token ids; the last token is always a prompt's own.
        """
        rows = [np.asarray(ids[:-1], dtype=np.uint32) for ids in prompts]
        self._kept = _used(rows, self._kept)
        found = _worthwhile(rows, self._kept, self._room - self.tokens)
        self._kept = _used(rows, _longest([*self._kept, *found]))
        return [_share(row, self._kept) for row in rows]


class _Beginning(NamedTuple):
    """Tokens that neighbouring rows, in the order of their bytes, begin with."""

    length: int
    first: int
    end: int
    """The rows are ``[first, end)``."""


def _worthwhile(rows: Sequence[Ids], known: Sequence[Prefix], room: int) -> list[Prefix]:
    """New prefixes, each time the one that saves most beside those chosen before."""
    rows = sorted(rows, key=lambda row: row.tobytes())
    beginnings = [each for each in _beginnings(rows) if each.length >= LEAST_SHARED]
    if not beginnings:
        return []
    covered = np.array([max((common(row, each.ids) for each in known), default=0) for row in rows])
    length, first, end = np.array(beginnings).T
    chosen: list[Prefix] = []
    while room >= LEAST_SHARED:
        within = np.minimum(length, room)
        saved = (end - first - 1) * (within - covered[first])
        best = int(saved.argmax())
        if saved[best] < LEAST_SAVED:
            break
        prefix = Prefix(rows[first[best]][: within[best]])
        chosen.append(prefix)
        room -= len(prefix.ids)
        covered = np.maximum(covered, [common(row, prefix.ids) for row in rows])
    return chosen


def _beginnings(rows: Sequence[Ids]) -> Iterator[_Beginning]:
    """Every longest beginning of two or more rows, which have to be sorted."""
    open_: list[tuple[int, int]] = []
    alike = [common(one, other) for one, other in pairwise(rows)]
    for place, length in enumerate([*alike, 0] if rows else []):
        first = place
        while open_ and open_[-1][0] > length:
            longer, first = open_.pop()
            yield _Beginning(longer, first, place + 1)
        if length and (not open_ or open_[-1][0] < length):
            open_.append((length, first))


def _longest(prefixes: Sequence[Prefix]) -> list[Prefix]:
    """Without those that another one begins with."""
    longest: list[Prefix] = []
    for prefix in sorted(prefixes, key=lambda each: -len(each.ids)):
        if all(common(prefix.ids, each.ids) < len(prefix.ids) for each in longest):
            longest.append(prefix)
    return longest


def _used(rows: Sequence[Ids], prefixes: Sequence[Prefix]) -> list[Prefix]:
    """Those that a row takes something over from."""
    shares = [_share(row, prefixes) for row in rows] if prefixes else []
    used = {share.prefix for share in shares if share is not None}
    return [prefix for prefix in prefixes if prefix in used]


def _share(row: Ids, prefixes: Sequence[Prefix]) -> Share | None:
    shares = [Share(prefix, common(row, prefix.ids)) for prefix in prefixes]
    best = max(shares, key=lambda share: share.tokens, default=None)
    return best if best is not None and best.tokens >= LEAST_SHARED else None


def common(one: Ids, other: Ids) -> int:
    """How many tokens two rows begin with alike."""
    length = min(one.size, other.size)
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length
