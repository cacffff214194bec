"""Prompts that only a model's own tokenizer can word, for servers that go on from plain text.

Chats are worded by its template, and prompts in which somebody spells a control token are given in
token ids: a server would read the spelling as the token.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from potstill.errors import ConfigError, extra, shortened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from potstill.models.local.control_tokens import ControlTokens

_SUSPICIOUS = re.compile(r"[<\[{|][^\s]+[>\]}|]|<\S*[^\x00-\x7f]")
"""Text that may be a common tokenizer's control token; without any no tokenizer is loaded."""


def plain_prompt(source: str, prompt: str, prefix: str) -> str | list[int]:
    """Returns a plain prompt with a begun answer, in token ids where they spell control tokens.

    Args:
        source: The hub name or folder of the tokenizer that the server has.
        prompt: The prompt; a control token that it spells is text.
        prefix: The beginning of the answer, which may hold the marks around thinking.

    Raises:
        ModelError: The tokenizer cannot be loaded.
        MissingExtraError: transformers is not installed.
    """
    if not _SUSPICIOUS.search(prompt + prefix):
        return prompt + prefix
    control = _control_tokens(source)
    text = control.hide(prompt) + control.hide(prefix, answer=True)
    return control.encode(text, special=True) if control.is_hidden_in(text) else prompt + prefix


def templated(source: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Returns the text of a chat up to the first word of the assistant's answer.

    Args:
        source: The hub name or folder of a tokenizer with a chat template.
        messages: The turns, each with ``role`` and ``content``.

    Raises:
        ConfigError: It has no chat template, or a turn holds one of its control tokens, which the
            server could not tell from those that the template puts between turns.
        ModelError: The tokenizer cannot be loaded.
        MissingExtraError: transformers is not installed.
    """
    tokenizer = _loaded(source)
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"chat_template names {source}, whose tokenizer has no chat template. Name the model "
            "that is served."
        )
    for turn in messages:
        for token in filter(None, map(str, tokenizer.all_special_tokens)):
            if token in turn["content"]:
                raise ConfigError(
                    f"a message holds {token!r}, a control token of {source}, in "
                    f"{shortened(turn['content'])}; by the completions route it would end the "
                    "turn. Take it out of the question, or set another prefill."
                )
    text = tokenizer.apply_chat_template(
        [dict(turn) for turn in messages], tokenize=False, add_generation_prompt=True
    )
    assert isinstance(text, str)
    first = str(tokenizer.bos_token or "")
    if first and text.startswith(first) and _adds_first_token(tokenizer):
        text = text.removeprefix(first)  # the server's tokenizer puts it there
    return text


@cache
def _loaded(source: str) -> "PreTrainedTokenizerBase":
    """Returns the tokenizer of a hub name or a folder."""
    with extra("local", needed_for="reading a served model's tokenizer"):
        from transformers import AutoTokenizer

        from potstill.models.local.loading import reading
    with reading(source):  # the weights need not lie beside it
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    return tokenizer


@cache
def _control_tokens(source: str) -> "ControlTokens":
    from potstill.models.local.control_tokens import ControlTokens

    return ControlTokens(_loaded(source))


def _adds_first_token(tokenizer: "PreTrainedTokenizerBase") -> bool:
    ids = list(tokenizer("a", verbose=False)["input_ids"])
    return bool(ids) and ids[0] == tokenizer.bos_token_id
