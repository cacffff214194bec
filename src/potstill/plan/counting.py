"""How many tokens a prompt has, as well as that can be told without asking anybody."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from potstill.errors import MissingExtraError, ModelError, extra
from potstill.models.settings import LocalSettings, ModelSettings, OpenAISettings, VLLMSettings
from potstill.records import Request

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
        from potstill.models.loading import load_tokenizer
        from potstill.models.wording import Wording
    wording = Wording(load_tokenizer(settings), settings.where)
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
