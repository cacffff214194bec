"""Estimates: the tokens of a prompt, the length of an answer, and amounts with their bounds.

Tokens of a prompt are counted by the model's own tokenizer where one is at hand, else by the bytes
a token that its earlier prompts had. The length of an answer is estimated from stored answers. A
:class:`Spread` holds such an amount: what is expected, its 95% interval, and the most it can be::

    LengthSample([[10, 12], [14]]).one(most=50)     # expected 12, at most 50
    LengthSample().one(most=50)                     # nothing expected, at most 50
"""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from potstill.errors import MissingExtraError, ModelError, extra
from potstill.models.settings import LocalSettings, ModelSettings
from potstill.records import Request
from potstill.statistics import ClusterSums, Interval, ratio_of_sums

BYTES_PER_TOKEN = 4.0
"""English text has about so many, where nothing is known of the model's own tokens."""

TURN_TOKENS, REPLY_TOKENS = 4, 3
"""Tokens around each turn of a chat, and before the answer, as OpenAI counts them."""

TIKTOKEN_FILES = "https://openaipublic.blob.core.windows.net/encodings/"
"""The address of tiktoken's files; their names in its folder are hashes of their addresses."""


# prompts -----------------------------------------------------------------------------------------


class TokenCounter(NamedTuple):
    """Counts the tokens of prompts."""

    tokens: Callable[[Request], float]
    how: str
    """The way of counting, in words that follow ``prompts counted``."""

    exact: bool
    """Whether it is the model's own count, give or take what the server puts around it."""


def counter_for(settings: ModelSettings, stored: Iterable[tuple[int, int]]) -> TokenCounter:
    """The best way to count the tokens that a model reads.

    Args:
        settings: The model's. The tokenizer of a local one is loaded; nothing is downloaded for a
            server.
        stored: Bytes and tokens of each prompt that the model has answered.
    """
    if settings.tokenizer is not None:
        with suppress(ModelError, MissingExtraError):
            return _own_tokenizer(settings.tokenizer)
    if settings.is_paid:
        by_tiktoken = _tiktoken(settings)
        if by_tiktoken is not None:
            return by_tiktoken
    pairs = list(stored)
    read, tokens = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    if tokens:
        ratio = read / tokens
        how = f"at {ratio:.1f} bytes a token, as in {len(pairs):,} stored prompts"
        return TokenCounter(lambda request: prompt_bytes(request) / ratio, how, True)
    how = f"at {BYTES_PER_TOKEN:.0f} bytes a token, an estimate until this model has answered"
    return TokenCounter(lambda request: prompt_bytes(request) / BYTES_PER_TOKEN, how, False)


def prompt_bytes(request: Request) -> int:
    """The bytes of a request's texts."""
    texts = [*prompt_texts(request), request.answer_prefix]
    return sum(len(text.encode()) for text in texts)


def prompt_texts(request: Request) -> list[str]:
    """The texts of a request's prompt: one, or one for each turn of a chat."""
    prompt = request.prompt
    return [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]


def _own_tokenizer(settings: LocalSettings) -> TokenCounter:
    with extra("local", needed_for="counting with the teacher's tokenizer"):
        from potstill.models.local.loading import load_tokenizer
        from potstill.models.local.prompt_encoding import PromptEncoder
    encoder = PromptEncoder(
        load_tokenizer(settings), settings.where, control_tokens=settings.control_tokens
    )
    return TokenCounter(
        lambda request: len(encoder.prompt_ids(request)), "by the model's own tokenizer", True
    )


def _tiktoken(settings: ModelSettings) -> TokenCounter | None:
    """A counter by tiktoken, where it is installed and has the model's file."""
    try:
        import tiktoken
    except ModuleNotFoundError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(settings.where)
    except KeyError:
        return None
    folder = _tiktoken_folder()
    if not folder or not (Path(folder) / _file_name(name)).is_file():
        return None  # it would be downloaded
    encoding = tiktoken.get_encoding(name)

    def count(request: Request) -> int:
        texts = prompt_texts(request)
        tokens = sum(len(encoding.encode_ordinary(text)) for text in texts)
        tokens += len(encoding.encode_ordinary(request.answer_prefix))
        chat = 0 if isinstance(request.prompt, str) else TURN_TOKENS * len(texts) + REPLY_TOKENS
        return tokens + chat

    return TokenCounter(count, f"by tiktoken ({name})", True)


def _tiktoken_folder() -> str:
    """The folder in which tiktoken keeps its files; empty where it keeps none."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return os.environ[variable]
    return str(Path(tempfile.gettempdir()) / "data-gym-cache")


def _file_name(encoding: str) -> str:
    address = f"{TIKTOKEN_FILES}{encoding}.tiktoken"
    return hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


# amounts -----------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """An amount that is expected, within an interval, and at most; sums add all of them."""

    expected: float | None = 0.0
    """The expected amount; None where nothing is known by which it could be estimated."""

    low: float = 0.0
    """The lower end of the expected amount's 95% interval; ``high`` is the upper one."""

    high: float = 0.0
    most: float = 0.0

    def plus(self, other: "Spread") -> "Spread":
        """The sum; ends of intervals are added, as if all were off in the same direction."""
        known = self.expected is not None and other.expected is not None
        return Spread(
            (self.expected or 0.0) + (other.expected or 0.0) if known else None,
            self.low + other.low,
            self.high + other.high,
            self.most + other.most,
        )

    def times(self, factor: float) -> "Spread":
        """The amount multiplied by a factor."""
        if not factor:
            return Spread()
        expected = None if self.expected is None else self.expected * factor
        return Spread(expected, self.low * factor, self.high * factor, self.most * factor)

    @property
    def likely(self) -> float:
        """The expected amount; the most where nothing is expected."""
        return self.most if self.expected is None else self.expected


def exactly(amount: float) -> Spread:
    """An amount that is known."""
    return Spread(amount, amount, amount, amount)


def total(spreads: Iterable[Spread]) -> Spread:
    """The sum of all."""
    sum_ = Spread()
    for spread in spreads:
        sum_ = sum_.plus(spread)
    return sum_


# answers -----------------------------------------------------------------------------------------


class LengthSample:
    """The lengths of stored answers, in tokens; those to one request resemble each other.

    Args:
        groups: The lengths of the answers to each request.
    """

    def __init__(self, groups: Sequence[Sequence[int]] = ()) -> None:
        self._groups = [group for group in groups if group]
        self.count = sum(map(len, self._groups))

    def one(self, most: int) -> Spread:
        """The estimated length of one more answer, which ``most`` tokens cut off."""
        if not self.count:
            return Spread(None, 0.0, most, most)
        low, high = self._interval
        return Spread(min(self._mean, most), min(max(low, 0.0), most), min(high, most), most)

    @cached_property
    def _mean(self) -> float:
        return sum(map(sum, self._groups)) / self.count

    @cached_property
    def _interval(self) -> Interval:
        """The mean's 95% interval by Student's t over requests.

        The mean is a ratio of two sums over requests, of tokens and of answers.
        """
        if len(self._groups) < 2:
            return Interval(0.0, math.inf)
        sums = {
            str(number): ClusterSums(sum(group), len(group))
            for number, group in enumerate(self._groups)
        }
        return ratio_of_sums(sums).interval or Interval(self._mean, self._mean)
