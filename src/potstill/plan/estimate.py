"""How many tokens a prompt has, as well as that can be told without asking anybody.

Amounts that are known, expected within an interval, or bounded only.
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
from potstill.models.settings import LocalSettings, ModelSettings, OpenAISettings, VLLMSettings
from potstill.records import Request
from potstill.statistics import Interval

BYTES_A_TOKEN = 4.0
"""Of English, where nothing is known of the model's own tokens."""

TURN_TOKENS, REPLY_TOKENS = 4, 3
"""Around each turn of a chat, and before the answer, as OpenAI counts them."""

ENCODINGS = "https://openaipublic.blob.core.windows.net/encodings/"
"""Where tiktoken takes its files from; their names in its folder are hashes of the addresses."""


class TokenCounter(NamedTuple):
    """Counts prompts."""

    tokens: Callable[[Request], float]
    how: str
    """In words, after ``prompts counted``."""

    exact: bool
    """Whether it is the model's own count, give or take what the server puts around it."""


def counter_for(settings: ModelSettings, stored: Iterable[tuple[int, int]]) -> TokenCounter:
    """The best way to count what this model reads.

    Args:
        settings: Of the model. The tokenizer of a local one is loaded; nothing is downloaded for a
            server.
        stored: Bytes and tokens of prompts that the model has answered.
    """
    if isinstance(settings, VLLMSettings):
        settings = LocalSettings(model=f"hf:{settings.where}")  # by the same name or folder
    if isinstance(settings, LocalSettings):
        with suppress(ModelError, MissingExtraError):
            return _own_tokenizer(settings)
    if isinstance(settings, OpenAISettings):
        own = _tiktoken(settings)
        if own is not None:
            return own
    seen = list(stored)
    read, tokens = (sum(column) for column in zip(*seen, strict=True)) if seen else (0, 0)
    if tokens:
        ratio = read / tokens
        how = f"at {ratio:.1f} bytes a token, as in {len(seen):,} stored prompts"
        return TokenCounter(lambda request: prompt_bytes(request) / ratio, how, True)
    how = f"at {BYTES_A_TOKEN:.0f} bytes a token, an estimate until this model has answered"
    return TokenCounter(lambda request: prompt_bytes(request) / BYTES_A_TOKEN, how, False)


def prompt_bytes(request: Request) -> int:
    """Bytes of a request's texts."""
    return len(request.answer_prefix.encode()) + sum(len(each.encode()) for each in turns(request))


def turns(request: Request) -> list[str]:
    """The texts of a request's prompt."""
    prompt = request.prompt
    return [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]


def _own_tokenizer(settings: LocalSettings) -> TokenCounter:
    with extra("local", needed_for="counting with the teacher's tokenizer"):
        from potstill.models.local.loading import load_tokenizer
        from potstill.models.local.model import PromptEncoder
    wording = PromptEncoder(load_tokenizer(settings), settings.where)
    return TokenCounter(
        lambda request: len(wording.prompt_ids(request)), "by the model's own tokenizer", True
    )


def _tiktoken(settings: OpenAISettings) -> TokenCounter | None:
    """By tiktoken, where it is installed and has the model's file."""
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
        texts = turns(request)
        tokens = sum(len(encoding.encode_ordinary(text)) for text in texts)
        tokens += len(encoding.encode_ordinary(request.answer_prefix))
        chat = 0 if isinstance(request.prompt, str) else TURN_TOKENS * len(texts) + REPLY_TOKENS
        return tokens + chat

    return TokenCounter(count, f"by tiktoken ({name})", True)


def _tiktoken_folder() -> str:
    """Where tiktoken keeps its files; empty: nowhere."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return os.environ[variable]
    return str(Path(tempfile.gettempdir()) / "data-gym-cache")


def _file_name(encoding: str) -> str:
    address = f"{ENCODINGS}{encoding}.tiktoken"
    return hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


class Spread(NamedTuple):
    """An amount that is expected, within an interval, and at most; sums add all of them."""

    expected: float | None = 0.0
    """None where nothing is known that it could be expected by."""

    low: float = 0.0
    """With ``high`` the 95% interval of what is expected."""

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
        """So many of it."""
        if not factor:
            return Spread()
        expected = None if self.expected is None else self.expected * factor
        return Spread(expected, self.low * factor, self.high * factor, self.most * factor)

    @property
    def likely(self) -> float:
        """What is expected; the most where nothing is."""
        return self.most if self.expected is None else self.expected


def exactly(amount: float) -> Spread:
    """An amount that is known."""
    return Spread(amount, amount, amount, amount)


def total(spreads: Iterable[Spread]) -> Spread:
    """The sum of all."""
    found = Spread()
    for each in spreads:
        found = found.plus(each)
    return found


class LengthSample:
    """How long stored answers are, in tokens; those to one request resemble each other.

    Args:
        groups: The lengths of the answers to each request.
    """

    def __init__(self, groups: Sequence[Sequence[int]] = ()) -> None:
        self._groups = [group for group in groups if group]
        self.count = sum(map(len, self._groups))

    def one(self, most: int) -> Spread:
        """The length of one more answer, at most so long."""
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

        The mean is a ratio of two sums over requests, of tokens and of answers; its variance is
        that of the residuals of the first by the second (Cochran 1977, Sampling Techniques, 6.3).
        """
        n = len(self._groups)
        if n < 2:
            return Interval(0.0, math.inf)
        from scipy.stats import t  # loaded here: it takes longer than the rest of the program

        residuals = [sum(group) - self._mean * len(group) for group in self._groups]
        variance = sum(each * each for each in residuals) / (n - 1)
        error = math.sqrt(variance / n) / (self.count / n)
        reach = float(t.ppf(0.975, n - 1)) * error
        return Interval(self._mean - reach, self._mean + reach)
