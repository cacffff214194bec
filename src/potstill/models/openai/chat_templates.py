"""Chats worded by a model's own template, for servers that go on from plain text alone."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from potstill.errors import ConfigError, extra, shortened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
    tokenizer, control_tokens = _loaded(source)
    for turn in messages:
        for token in control_tokens:
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
def _loaded(source: str) -> "tuple[PreTrainedTokenizerBase, tuple[str, ...]]":
    """Returns a tokenizer and its control tokens."""
    with extra("local", needed_for="prefill: template"):
        from transformers import AutoTokenizer

        from potstill.models.local.loading import one_line_errors, quietly
    with quietly(), one_line_errors(source):  # the weights need not lie beside it
        tokenizer = AutoTokenizer.from_pretrained(source)
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"chat_template names {source}, whose tokenizer has no chat template. Name the model "
            "that is served."
        )
    return tokenizer, tuple(str(token) for token in tokenizer.all_special_tokens if token)


def _adds_first_token(tokenizer: "PreTrainedTokenizerBase") -> bool:
    ids = list(tokenizer("a", verbose=False)["input_ids"])
    return bool(ids) and ids[0] == tokenizer.bos_token_id
