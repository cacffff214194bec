"""Turns requests into a local model's token ids, and its token ids back into text.

Prompts of chats are rendered by the tokenizer's template, and answers laid out as it lays them out
(``answer_layout``); spellings of control tokens in texts stay text (``control_tokens``).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from potstill.errors import ModelError, shortened
from potstill.models.local.answer_layout import PLAIN_TEXT, AnswerLayout, answer_layout, end_ids
from potstill.models.local.control_tokens import ControlTokens
from potstill.models.local.stop_strings import StopStrings
from potstill.models.local.token_bytes import answer_bytes
from potstill.models.token_requests import UnscorableText
from potstill.records import Message, Request
from potstill.text.common_prefix import common_prefix_bytes
from potstill.text.thinking_marks import SPECIAL_MARKS

logger = logging.getLogger(__name__)

ANCHOR_TOKENS = 8
"""Most tokens before a completion that are decoded with it; a character is at most 4 bytes."""


ENDING_TOKENS = 16
"""Tokens at the end of a prompt that are searched for an opening mark of thinking."""


class GivenIds(NamedTuple):
    """A request with a given text, in tokens."""

    prompt: list[int]
    """The tokens that the model reads before the text; for an encoder-decoder, the encoder's."""

    begun: list[int]
    """The tokens before the text in the decoder of an encoder-decoder, without its start token."""

    text: list[int]


class PromptEncoder:
    """Turns requests into a model's token ids, and its token ids into text.

    Args:
        tokenizer: The model's tokenizer.
        source: The model's folder or hub name, for messages.
        control_tokens: Read control tokens that texts spell as such; else they are text.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, source: str, *, control_tokens: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.source = source
        self._control = ControlTokens(tokenizer, allowed=control_tokens)
        self._warned = False
        self.special = frozenset(tokenizer.all_special_ids)
        self._unshown = _unshown(tokenizer)
        self.stop_strings = StopStrings(tokenizer, self.text)

    @property
    def shows_marks(self) -> bool:
        """Whether some special tokens, which mark thinking, are part of a text."""
        return self._unshown is not None

    @cached_property
    def layout(self) -> AnswerLayout:
        """How the chat template lays out answers."""
        return answer_layout(self.tokenizer)

    @cached_property
    def turn_ends(self) -> frozenset[int]:
        """The token that ends an answer by the chat template; none without a template."""
        if self.tokenizer.chat_template is None:
            return frozenset()
        return frozenset(end_ids(self.tokenizer, self.layout)[-1:])

    @cached_property
    def token_names(self) -> list[bytes | None]:
        """The bytes that each token adds to an answer, by id; None for one that adds nothing.

        Tokens that end an answer are among the latter, whatever the tokenizer calls them.
        """
        names = answer_bytes(self.tokenizer)
        for token in self.turn_ends:
            names[token] = None
        return names

    def end_name(self, request: Request) -> int | None:
        """The token that ends an answer, the one that training has; None where there is none."""
        turn_ends = () if isinstance(request.prompt, str) else self.turn_ends
        own: int | None = self.tokenizer.eos_token_id
        return next(iter(turn_ends), own)

    def laid_out(self, request: Request, answer: str, thinking: str | None = None) -> str:
        """Returns what a model writes behind a prompt, the spellings in its parts hidden.

        Args:
            request: The prompt; only behind chats are answers laid out by the template.
            answer: The text of the answer, or its beginning.
            thinking: The thinking before it, put between marks; None: no thinking.
        """
        answer = self._control.hide(answer, answer=True)
        if thinking is not None:
            thinking = self._control.hide(thinking, answer=True)
        return self.layout_behind(request).written(answer, thinking)

    def layout_behind(self, request: Request) -> AnswerLayout:
        """The layout of an answer to a request, by the template only where it is a chat."""
        return PLAIN_TEXT if isinstance(request.prompt, str) else self.layout

    def prompt_ids(self, request: Request, *, then: str = "") -> list[int]:
        """Returns a decoder-only model's prompt in tokens, with the answer prefix at its end.

        Args:
            request: The request.
            then: Further text as :meth:`laid_out` gives it, which a model would have written.
        """
        text = self._hidden_text(request) + then
        if not isinstance(request.prompt, str):
            return self._ids(text, special=False)
        # Once more, for what only both parts together spell.
        ids = self._ids(self._control.hide(text, answer=True), special=True)
        while ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()  # some tokenizers close every text; the prompt has to stay open
        return ids

    def continuation_ids(
        self, request: Request, prompt_ids: list[int], answer: str, *, behind: str = ""
    ) -> list[int]:
        """Returns token ids that read as an answer after the prompt's.

        Prompt and answer are encoded together where the prompt's tokens stay what they are when it
        is asked alone. Elsewhere the answer is encoded alone; some tokenizers put a space before a
        text, so the answer's own first space is left out where the text would come back with two.

        Args:
            request: The request.
            prompt_ids: The tokens of its prompt, with ``behind`` at their end.
            answer: The answer from :meth:`laid_out`.
            behind: The text between the prompt and the answer.
        """
        # Together, if the seam falls between two tokens and the answer comes back as it was.
        joint = self.prompt_ids(request, then=behind + answer)
        if joint[: len(prompt_ids)] == prompt_ids:
            ids = joint[len(prompt_ids) :]
            if self.reads_as(ids, self.anchor(prompt_ids), answer):
                return ids
        # Apart, with or without the answer's first space.
        alone = self.laid_out_ids(answer)
        for ids in (alone, self.laid_out_ids(answer.removeprefix(" "))):
            if self.reads_as(ids, self.anchor(prompt_ids), answer):
                return ids
        return alone  # a tokenizer that loses part of any text, such as its line breaks

    def given_ids(self, request: Request, *, apart: bool) -> GivenIds:
        """Returns a request with a given text in tokens, those of the text behind the prompt's.

        The text stands where the model's own answer would: behind the chat template's marks, and
        behind those of an empty thinking where the template writes them before an answer without.
        Its tokens are those that training on it has, unless the request gives them itself.

        Args:
            request: A request with ``given``.
            apart: Whether an encoder reads the prompt.

        Raises:
            ModelError: As :meth:`prompt_text`.
            UnscorableText: The text cannot stand there, or its tokens do not spell it.
        """
        assert request.given is not None
        given = request.given.text
        text = self._control.hide(given, answer=True)
        begun = self._control.hide(request.answer_prefix, answer=True) + text
        laid_out = self.layout_behind(request).begun(begun)
        if not laid_out.endswith(text):
            raise UnscorableText(
                "the prompt opens the thinking by itself, and the text begins with the same mark; "
                "give the mark as answer_prefix, or leave it out"
            )
        before = laid_out[: len(laid_out) - len(text)]
        if apart:
            prompt = self.encoder_ids(request)
            begun_ids = self.laid_out_ids(before) if before else []
            joint = self.laid_out_ids(before + text) if text else begun_ids
            is_joint = joint[: len(begun_ids)] == begun_ids
            ids = joint[len(begun_ids) :] if is_joint else self.laid_out_ids(text)
            found = GivenIds(prompt, begun_ids, [*request.given.ids] or ids)
        else:
            bare = replace(request, answer_prefix="")
            prompt = self.prompt_ids(bare, then=before)
            found = GivenIds(
                prompt,
                [],
                [*request.given.ids] or self.continuation_ids(bare, prompt, text, behind=before),
            )
        self._check_spelling(given, found.text)
        return found

    def _check_spelling(self, text: str, ids: Sequence[int]) -> None:
        """Refuse tokens that do not spell a text, a space that the tokenizer puts first aside.

        Raises:
            UnscorableText: They do not.
        """
        names = self.token_names
        spelled = b"".join((names[token] if token < len(names) else None) or b"" for token in ids)
        data = text.encode()
        if spelled in (data, b" " + data):
            return
        at = common_prefix_bytes(data, spelled)
        raise UnscorableText(
            f"the model's tokens do not spell the text: it has {data[at : at + 12]!r} where they "
            f"have {spelled[at : at + 12]!r}, behind {data[max(at - 20, 0) : at]!r}"
        )

    def prompt_text(self, request: Request) -> str:
        """Returns the text that a decoder-only model continues, rendered by its chat template.

        Raises:
            ModelError: There is no chat template, or it refuses the messages.
        """
        return self._control.shown(self._hidden_text(request))

    def _hidden_text(self, request: Request) -> str:
        """Returns the same with the spellings of control tokens hidden."""
        prefix = self._control.hide(request.answer_prefix, answer=True)
        if isinstance(request.prompt, str):
            return self._control.hide(request.prompt) + prefix
        return self._render(request.prompt, prefix)

    def encoder_ids(self, request: Request) -> list[int]:
        """Returns an encoder's input in tokens; the answer prefix goes to the decoder."""
        if isinstance(request.prompt, str):
            return self._ids(self._control.hide(request.prompt), special=True)
        return self._ids(self._render(request.prompt, ""), special=False)

    def prefix_ids(self, request: Request) -> list[int]:
        """Returns the answer prefix as a decoder's own tokens."""
        return self.answer_ids(request.answer_prefix) if request.answer_prefix else []

    def answer_ids(self, text: str) -> list[int]:
        """Returns the tokens of what a model writes, without those that stand around a text."""
        return self.laid_out_ids(self._control.hide(text, answer=True))

    def laid_out_ids(self, laid_out: str) -> list[int]:
        """Returns the same of a text as :meth:`laid_out` gives it."""
        return self._ids(laid_out, special=False)

    def reads_as(self, tokens: Sequence[int], anchor: Sequence[int], laid_out: str) -> bool:
        """Whether tokens behind a prompt spell a text as :meth:`laid_out` gives it."""
        text = self.shown(laid_out)
        if self.text(tokens, anchor) == text:
            return True
        whole = self.tokenizer.decode([*anchor, *tokens], clean_up_tokenization_spaces=False)
        assert isinstance(whole, str)
        return whole.endswith(text)  # control tokens of the template among them

    def shown(self, laid_out: str) -> str:
        """Returns a text as :meth:`laid_out` gives it with all that was hidden in it."""
        return self._control.shown(laid_out)

    def anchor(self, ids: Sequence[int]) -> list[int]:
        """Returns the last tokens of a prompt, back to the last special one.

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
        """Returns the text of ``tokens`` where they follow ``anchor``."""
        before = self._decode(anchor) if anchor else ""
        both = self._decode([*anchor, *tokens])
        return both[len(before) :] if both.startswith(before) else self._decode(tokens)

    def count_to(self, length: int, tokens: Sequence[int], anchor: Sequence[int]) -> int:
        """Returns how many of ``tokens`` it takes to write the first ``length`` characters."""
        count = len(tokens)
        while count and len(self.text(tokens[: count - 1], anchor)) >= length:
            count -= 1
        return count

    def ending(self, ids: Sequence[int]) -> str:
        """Returns the end of a prompt's text, long enough to hold an opening mark of thinking."""
        text = self.tokenizer.decode(list(ids[-ENDING_TOKENS:]), skip_special_tokens=False)
        assert isinstance(text, str)
        return text

    def _decode(self, tokens: Sequence[int]) -> str:
        if self._unshown is not None:
            tokens = [token for token in tokens if token not in self._unshown]
        text = self.tokenizer.decode(
            list(tokens),
            skip_special_tokens=self._unshown is None,
            clean_up_tokenization_spaces=False,
        )
        assert isinstance(text, str)
        return text

    def _ids(self, text: str, *, special: bool) -> list[int]:
        """Returns the tokens of a text in which the spellings of control tokens are hidden."""
        if self._control.is_hidden_in(text):
            self._warn(self._control.spelled(text))
            return self._control.encode(text, special=special)
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _warn(self, spelled: str | None) -> None:
        """Say once that a text spells a control token: it may be a recipe's own prompt style."""
        if not self._warned:
            logger.warning(
                "%s: a text spells the control token %s, which is read as text. Where your own "
                "prompt style means the token, set control_tokens: true for the model.",
                self.source,
                spelled,
            )
        self._warned = True

    def _render(self, messages: tuple[Message, ...], prefix: str) -> str:
        """Returns a chat as text, the spellings of control tokens in its turns hidden.

        Args:
            messages: The turns.
            prefix: The beginning of the answer, what it spells hidden.

        Raises:
            ModelError: There is no chat template, or it refuses the messages.
        """
        if self.tokenizer.chat_template is None:
            raise ModelError(
                f"{self.source}: its tokenizer has no chat template, so it cannot be asked in "
                "chat messages; use a prompt style of plain text, such as zero_shot_cot."
            )
        turns = [
            {
                "role": turn.role,
                "content": self._control.hide(turn.content, answer=turn.role == "assistant"),
            }
            for turn in messages
        ]
        try:
            text = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is a program that somebody else wrote
            lines = str(error).strip().splitlines()
            raise ModelError(
                f"{self.source}: its chat template refuses these messages ({type(error).__name__}: "
                f"{shortened(lines[0] if lines else '', longest=200)}). Ask it in plain text, by a "
                "prompt style such as zero_shot_cot, or mend its chat template."
            ) from error
        assert isinstance(text, str)
        return text + self.layout.begun(prefix) if prefix else text


def _unshown(tokenizer: PreTrainedTokenizerBase) -> frozenset[int] | None:
    """Returns the special tokens that texts leave out, where others among them mark thinking.

    Returns:
        None where no special token does, so that all of them are left out.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {number: token.content for number, token in added.items() if token.special}
    marks = {number for number, content in special.items() if content.strip() in SPECIAL_MARKS}
    return frozenset({*special, *tokenizer.all_special_ids} - marks) if marks else None
