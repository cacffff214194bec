"""The queue of prompts: which are computed together, and what they take over from each other.

Requests are pulled some batches' worth at a time and sorted by length, so that a batch is padded
little. Before that they are searched for common beginnings: an instruction, exemplars, the head of
a chat template. A beginning that enough prompts share becomes a :class:`Prefix`, which is run once,
and each prompt runs only its own rest::

    prompts   EXEMPLARS Q1      prefix   EXEMPLARS    run once, at most a quarter of a batch
              EXEMPLARS Q2      rest     Q1, Q2       run for each prompt
              EXEMPLARS Q2 A

The prefixes are chosen greedily, each time the one that saves most tokens beside those chosen
before. If the rows that read a prefix would fill a quarter of a batch, it stands once beside all of
them (``prefill``); otherwise each row gets a copy of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import Completion, Request
from potstill.text.common_prefix import common_prefix, neighbour_prefixes

WINDOW = 16
"""Batches' worth of requests that are pulled and sorted at once: with lengths from 4 to 2,048, a
batch is padding to 27% with 4 of them, to 17% with 8, to 10% with 16."""

PREFIX_SHARE = 4
"""Prefixes take at most one in so many of a batch's tokens."""

APART_SHARE = 4
"""A prefix stands apart if the rows that read it would fill one in so many of a batch's tokens."""

REFUSALS = 64
"""Most requests that cannot be asked before they are handed over and more are pulled."""

PADDING = 128
"""Tokens that are padded rather than run in a forward pass of their own."""

COLUMN_FACTOR = 8
"""A part has at most so many times as many columns, with copies of prefixes, as tokens are run."""

LEAST_SHARED = 32
"""Fewest tokens of a prefix that a prompt takes over: below, running them again is as cheap."""

LEAST_SAVED = 512
"""Fewest tokens that a prefix has to save in all: it takes a forward pass of its own."""

LEAST_APART = 32
"""Fewest tokens of a prefix that stands apart: of fewer, copies are read as fast."""

Ids = NDArray[np.uint32]
"""The token ids of a prompt, or of its beginning."""


class Sharing(NamedTuple):
    """The prefixes that are worth a forward pass of their own; see the constants of their names."""

    least_shared: int
    least_saved: int


COSTLY_TOKENS = Sharing(least_shared=16, least_saved=64)
"""The same where a token takes a millisecond, as of 100 million weights on a processor: there the
head of a chat template counts, too."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Prefix:
    """Tokens that are run once; a model's states of them are kept as long as this object."""

    ids: Ids


class Share(NamedTuple):
    """The part of a prefix that a prompt takes over."""

    prefix: Prefix
    tokens: int
    """The number of the prefix's tokens, from the first, that the prompt begins with."""

    apart: bool = False
    """Whether these tokens stand once beside all rows, or each row has a copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One request in tokens."""

    request: Request
    samples: tuple[int, ...]
    """The numbers of the request's samples that are drawn together."""

    ids: tuple[int, ...]
    """The prompt's tokens; for an encoder-decoder, the encoder's."""

    decoder_ids: tuple[int, ...] = ()
    """The tokens that an encoder-decoder's decoder begins with."""

    anchor: tuple[int, ...] = ()
    """The tokens after which the completion is decoded."""

    max_tokens: int
    """Most tokens of the completion: as asked for, and as the model has positions for."""

    share: Share | None = None
    """The part of a prefix that it takes over; decoder-only models alone."""

    @property
    def taken(self) -> int:
        """The number of tokens, from the first, that it takes over from a prefix."""
        return self.share.tokens if self.share is not None else 0

    @property
    def rest(self) -> int:
        """The number of tokens that are run for this prompt alone."""
        return len(self.ids) - self.taken

    @property
    def apart(self) -> Prefix | None:
        """The prefix that its rows read beside their own columns."""
        return self.share.prefix if self.share is not None and self.share.apart else None

    @property
    def columns(self) -> int:
        """The number of cache columns that one of its rows has after it is run."""
        return self.rest if self.apart is not None else len(self.ids)

    @property
    def width(self) -> int:
        """The most cache columns that one of its rows comes to."""
        return self.columns + len(self.decoder_ids) + self.max_tokens


class PromptQueue:
    """Requests, pulled some batches' worth at a time and given out longest first.

    The longest first, because what joins a batch later then fits under what is there. A prefix
    that many rows read stands once beside them, where the model can read it there; the rows of
    such a batch all read the same one. Other rows hold their prompts whole. Prefixes in use are
    part of a batch's tokens either way.

    Args:
        requests: The requests; pulled as they are needed.
        prepare: Turns a request into tokens, or into a completion that says why it cannot be asked.
        batch_tokens: Most tokens of a batch: rows times columns, and the prefixes.
        reads_apart: Returns whether the model can read a prefix beside its rows; called once there
            is one. None if prompts share nothing.
        sharing: The prefixes that are worth it; None for the usual ones.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request], Prompt | Completion],
        batch_tokens: int,
        *,
        reads_apart: Callable[[], bool] | None,
        sharing: Sharing | None = None,
    ) -> None:
        self._requests: Iterator[Request] = iter(requests)
        self._prepare = prepare
        self._batch_tokens = batch_tokens
        self._reads_apart = reads_apart
        self._prefixes = Prefixes(batch_tokens // PREFIX_SHARE, sharing)
        self._waiting: list[Prompt] = []
        self._refused: list[Completion] = []

    def refused(self) -> list[Completion]:
        """Returns the requests that could not be asked, each of them once."""
        refused, self._refused = self._refused, []
        return refused

    def take(self, *, rows: int, width: int, beside: Prompt | None) -> list[Prompt]:
        """Returns the prompts that fit beside a batch of ``rows`` rows of ``width`` columns.

        Args:
            rows: The number of rows in the batch.
            width: The most columns that any of them comes to.
            beside: The prompt of one of them.
        """
        if not self._waiting:
            self._pull()
        taken: list[Prompt] = []
        while self._waiting and _alike(self._waiting[-1], taken[0] if taken else beside):
            prompt = self._waiting[-1]
            # A batch is a rectangle: all rows are as wide as the widest comes to.
            tokens = (rows + len(prompt.samples)) * max(width, prompt.width)
            if rows and tokens > self._room:
                break
            taken.append(self._waiting.pop())
            rows, width = rows + len(prompt.samples), max(width, prompt.width)
        return taken

    @property
    def _room(self) -> int:
        """The tokens of a batch that the prefixes leave."""
        return self._batch_tokens - self._prefixes.tokens

    def _pull(self) -> None:
        """Prepare some batches' worth of requests, share prefixes among them, and sort them."""
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
        # Sorted by group, so that rows which read the same prefix apart come one after the other,
        # and longest last: prompts are taken from the end.
        groups = {prompt.apart: number for number, prompt in enumerate(self._waiting)}
        self._waiting.sort(
            key=lambda prompt: (len(prompt.decoder_ids), groups[prompt.apart], len(prompt.ids))
        )

    def _share(self, reads_apart: Callable[[], bool]) -> None:
        """Have the waiting prompts take over what others begin with, too."""
        shares = self._prefixes.shares([prompt.ids for prompt in self._waiting])
        # The tokens of all rows that read each prefix, once they are written to their end.
        readers = Counter[Prefix]()
        for prompt, share in zip(self._waiting, shares, strict=True):
            if share is not None:
                readers[share.prefix] += prompt.width * len(prompt.samples)
        if not readers:
            return
        many = {
            prefix
            for prefix, tokens in readers.items()
            if tokens * APART_SHARE >= self._batch_tokens and len(prefix.ids) >= LEAST_APART
        }
        # The model is tried out only if there is something to read apart.
        apart = many if many and reads_apart() else set()
        sharing = [
            replace(prompt, share=share and share._replace(apart=share.prefix in apart))
            for prompt, share in zip(self._waiting, shares, strict=True)
        ]
        # Prompts are less wide now, and prefixes take their own part of the batch: split anew.
        self._waiting = [part for prompt in sharing for part in self._split(prompt)]

    def _split(self, prompt: Prompt) -> list[Prompt]:
        """Returns a prompt in parts, each with as many samples as a batch has tokens for."""
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
    """Returns the prompts in parts that are run together, those of which most is run first.

    A part has at most ``tokens``, and a new one is begun where padding gets to be a large part of
    it.
    """
    parts: list[list[Prompt]] = []
    rest = width = padding = 0
    for prompt in sorted(prompts, key=lambda prompt: -prompt.rest):
        # If it joins, each row is padded to the part's longest rest.
        width, padding = max(width, prompt.columns), padding + rest - prompt.rest
        rows = len(parts[-1]) + 1 if parts else 0
        fits = rows * max(rest, width / COLUMN_FACTOR) <= tokens
        if rows and fits and padding <= max(PADDING, rows * rest / 4):
            parts[-1].append(prompt)
        else:
            parts.append([prompt])
            rest, width, padding = prompt.rest, prompt.columns, 0
    return parts


class Prefixes:
    """The prefixes in use, found anew in each lot of prompts and kept while prompts use them.

    Args:
        room: Most tokens of all prefixes together; their states take memory.
        sharing: The prefixes that are worth it; None for the usual ones.
    """

    def __init__(self, room: int, sharing: Sharing | None = None) -> None:
        self._room, self._sharing = room, sharing or Sharing(LEAST_SHARED, LEAST_SAVED)
        self._kept: list[Prefix] = []

    @property
    def tokens(self) -> int:
        """The number of tokens of all prefixes in use."""
        return sum(len(prefix.ids) for prefix in self._kept)

    def shares(self, prompts: Sequence[Sequence[int]]) -> list[Share | None]:
        """Returns what each prompt takes over, and gives up prefixes that none of them uses.

        Args:
            prompts: Token ids; the last token is always a prompt's own.
        """
        # Keep what is still used, look for more in the room left, then drop what the new ones hold.
        rows = [np.asarray(ids[:-1], dtype=np.uint32) for ids in prompts]
        least = self._sharing.least_shared
        self._kept = _used(rows, self._kept, least)
        fresh = _worthwhile(rows, self._kept, self._room - self.tokens, self._sharing)
        self._kept = _used(rows, _longest([*self._kept, *fresh]), least)
        return [_share(row, self._kept, least) for row in rows]


class _Beginning(NamedTuple):
    """A run of tokens that neighbouring rows, in the order of their bytes, begin with."""

    length: int
    first: int
    end: int
    """The rows are ``[first, end)``."""


def _worthwhile(
    rows: Sequence[Ids], known: Sequence[Prefix], room: int, sharing: Sharing
) -> list[Prefix]:
    """Returns new prefixes, each time the one that saves most beside those chosen before."""
    rows = sorted(rows, key=lambda row: row.tobytes())
    least = sharing.least_shared
    beginnings = [shared for shared in _beginnings(rows) if shared.length >= least]
    if not beginnings:
        return []
    # For each row, the tokens that the prefixes known so far spare it.
    covered = np.array(
        [max((common_prefix(row, prefix.ids) for prefix in known), default=0) for row in rows]
    )
    length, first, end = np.array(beginnings).T
    chosen: list[Prefix] = []
    while room >= least:
        # All rows but one are spared the tokens beyond those that they are spared already; its
        # first row stands for all of them.
        within = np.minimum(length, room)
        saved = (end - first - 1) * (within - covered[first])
        best = int(saved.argmax())
        if saved[best] < sharing.least_saved:
            break
        # From now on every row is spared what it shares with the chosen one.
        prefix = Prefix(rows[first[best]][: within[best]])
        chosen.append(prefix)
        room -= len(prefix.ids)
        covered = np.maximum(covered, [common_prefix(row, prefix.ids) for row in rows])
    return chosen


def _beginnings(rows: Sequence[Ids]) -> Iterator[_Beginning]:
    """Yields every longest beginning of two or more rows, which have to be sorted.

    A stack holds the beginnings that reach to the current row, ever longer ones; each is over where
    neighbours share less than it (the LCP intervals of Abouelhoda et al., 2004).
    """
    open_: list[tuple[int, int]] = []
    alike = neighbour_prefixes(rows)
    for place, length in enumerate([*alike, 0] if rows else []):
        # Beginnings longer than what this row shares with the next one are over with this row; the
        # shorter one that goes on began where the last of them did.
        first = place
        while open_ and open_[-1][0] > length:
            longer, first = open_.pop()
            yield _Beginning(longer, first, place + 1)
        if length and (not open_ or open_[-1][0] < length):
            open_.append((length, first))


def _longest(prefixes: Sequence[Prefix]) -> list[Prefix]:
    """Returns the prefixes without those that another one begins with."""
    longest: list[Prefix] = []
    for prefix in sorted(prefixes, key=lambda prefix: -len(prefix.ids)):
        if all(common_prefix(prefix.ids, other.ids) < len(prefix.ids) for other in longest):
            longest.append(prefix)
    return longest


def _used(rows: Sequence[Ids], prefixes: Sequence[Prefix], least: int) -> list[Prefix]:
    """Returns the prefixes that a row takes something over from."""
    shares = [_share(row, prefixes, least) for row in rows] if prefixes else []
    used = {share.prefix for share in shares if share is not None}
    return [prefix for prefix in prefixes if prefix in used]


def _share(row: Ids, prefixes: Sequence[Prefix], least: int) -> Share | None:
    """Returns what a row takes over: the prefix it has most in common with, if that is enough."""
    shares = [Share(prefix, common_prefix(row, prefix.ids)) for prefix in prefixes]
    best = max(shares, key=lambda share: share.tokens, default=None)
    return best if best is not None and best.tokens >= least else None
