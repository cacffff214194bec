"""Which prompts are computed together: by length, up to a number of tokens."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from potstill.models.prefixes import Prefix, Prefixes, Share
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
