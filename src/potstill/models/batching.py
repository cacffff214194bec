"""Which prompts are computed together: by length, up to a number of tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from potstill.records import Completion, Request

WINDOW = 4
"""Batches' worth of requests that are pulled and sorted at once."""


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

    @property
    def width(self) -> int:
        """The most tokens one of its rows comes to."""
        return len(self.ids) + len(self.decoder_ids) + self.max_tokens


class PromptQueue:
    """Requests, pulled some batches' worth at a time and given out longest first.

    The longest first, because what joins a batch later then fits under what is there.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request], Prompt | Completion],
        batch_tokens: int,
    ) -> None:
        self._requests: Iterator[Request] = iter(requests)
        self._prepare = prepare
        self._batch_tokens = batch_tokens
        self._waiting: list[Prompt] = []
        self._refused: list[Completion] = []

    def refused(self) -> list[Completion]:
        """The requests that could not be asked, each reported once."""
        refused, self._refused = self._refused, []
        return refused

    def take(self, *, rows: int, width: int) -> list[Prompt]:
        """The prompts that fit beside a batch of ``rows`` rows of at most ``width`` tokens."""
        if not self._waiting:
            self._pull()
        taken: list[Prompt] = []
        while self._waiting and self._fits(self._waiting[-1], taken, rows, width):
            taken.append(self._waiting.pop())
            rows, width = rows + len(taken[-1].samples), max(width, taken[-1].width)
        return taken

    def _fits(self, prompt: Prompt, taken: list[Prompt], rows: int, width: int) -> bool:
        if taken and len(taken[0].decoder_ids) != len(prompt.decoder_ids):
            return False
        tokens = (rows + len(prompt.samples)) * max(width, prompt.width)
        return rows == 0 or tokens <= self._batch_tokens

    def _pull(self) -> None:
        tokens = 0
        for request in self._requests:
            prompt = self._prepare(request)
            if isinstance(prompt, Completion):
                self._refused += [replace(prompt, sample=index) for index in request.samples]
                continue
            at_once = max(1, self._batch_tokens // prompt.width)
            for start in range(0, len(prompt.samples), at_once):
                part = prompt.samples[start : start + at_once]
                self._waiting.append(replace(prompt, samples=part))
            tokens += prompt.width * len(prompt.samples)
            if tokens >= WINDOW * self._batch_tokens:
                break
        self._waiting.sort(key=lambda prompt: (len(prompt.decoder_ids), len(prompt.ids)))


def in_parts(prompts: Sequence[Prompt], tokens: int) -> list[list[Prompt]]:
    """Neighbours of at most ``tokens`` together, padding included; at least one prompt a part."""
    parts: list[list[Prompt]] = []
    widest = 0
    for prompt in prompts:
        widest = max(widest, len(prompt.ids))
        if parts and widest * (len(parts[-1]) + 1) <= tokens:
            parts[-1].append(prompt)
        else:
            parts.append([prompt])
            widest = len(prompt.ids)
    return parts
