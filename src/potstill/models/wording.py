"""From requests to token ids, and from token ids back to text without losing a space."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from potstill.errors import ModelError
from potstill.models.stopping import StopStrings
from potstill.records import Message, Request

ANCHOR_TOKENS = 8
"""Tokens before a completion that are decoded with it; a character has at most 4 byte tokens."""


class Wording:
    """A tokenizer, with what it takes to ask and to read a model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        self.tokenizer = tokenizer
        self.source = source
        self.special = frozenset(tokenizer.all_special_ids)
        self.stop_strings = StopStrings(tokenizer, self.text)

    def prompt_ids(self, request: Request, *, then: str = "") -> list[int]:
        """A decoder-only model's prompt, with the answer prefix at its end.

        Args:
            request: What is asked.
            then: Further text, as a model would have written it after the prompt.
        """
        text = self.prompt_text(request) + then
        if not isinstance(request.prompt, str):
            return self._ids(text, special=False)
        ids = self._ids(text, special=True)
        while ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()  # some tokenizers close every text; the prompt has to stay open
        return ids

    def prompt_text(self, request: Request) -> str:
        """The text that a decoder-only model continues; chats are worded by the chat template."""
        if isinstance(request.prompt, str):
            return request.prompt + request.answer_prefix
        return self._render(request.prompt, request.answer_prefix)

    def encoder_ids(self, request: Request) -> list[int]:
        """An encoder's input; the answer prefix goes to the decoder."""
        if isinstance(request.prompt, str):
            return self._ids(request.prompt, special=True)
        return self._ids(self._render(request.prompt, ""), special=False)

    def prefix_ids(self, request: Request) -> list[int]:
        """The answer prefix as a decoder's own tokens."""
        return self._ids(request.answer_prefix, special=False) if request.answer_prefix else []

    def anchor(self, ids: Sequence[int]) -> list[int]:
        """The last tokens of a prompt, back to the last special one.

        A completion is decoded after them, because tokenizers drop the space before the first
        word of a text.
        """
        tail: list[int] = []
        for token in reversed(ids[-ANCHOR_TOKENS:]):
            if token in self.special:
                break
            tail.append(token)
        return tail[::-1]

    def text(self, tokens: Sequence[int], anchor: Sequence[int]) -> str:
        """What ``tokens`` say after ``anchor``."""
        before = self._decode(anchor) if anchor else ""
        both = self._decode([*anchor, *tokens])
        return both[len(before) :] if both.startswith(before) else self._decode(tokens)

    def count_to(self, length: int, tokens: Sequence[int], anchor: Sequence[int]) -> int:
        """How many of ``tokens`` it takes to say the first ``length`` characters."""
        count = len(tokens)
        while count and len(self.text(tokens[: count - 1], anchor)) >= length:
            count -= 1
        return count

    def _decode(self, tokens: Sequence[int]) -> str:
        text = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _render(self, messages: tuple[Message, ...], prefix: str) -> str:
        if self.tokenizer.chat_template is None:
            raise ModelError(
                f"{self.source}: its tokenizer has no chat template, so it cannot be asked in "
                "chat messages; use a prompt style of plain text, such as zero_shot_cot."
            )
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if prefix:
            turns.append({"role": "assistant", "content": prefix})
        text = self.tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=not prefix,
            continue_final_message=bool(prefix),
        )
        assert isinstance(text, str)
        return text
