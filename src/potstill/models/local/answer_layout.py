r"""How a chat template lays out an answer: what stands before thinking, between and behind.

Found by having the template render answers whose parts are known, so that what a student is trained
on is what the template renders, and what the student then writes behind a prompt is the same::

    template(user)          <|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n
    template(user, answer)  ...assistant\n<think>\n\n</think>\n\nANSWER<|im_end|>\n
                                         ^ plain                       ^ end
    ... with thinking       ...assistant\n<think>\nTHINKING\n</think>\n\nANSWER<|im_end|>\n
                                         ^ opening         ^ closing
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from potstill.text.thinking_marks import END_THINK, PAIRS, TAGS, THINK

Turn = Mapping[str, str]
Render = Callable[..., str]
"""Renders turns; keywords go to the template."""

QUESTION, THINKING, ANSWER = "QxQuestionxQ", "TxThinkingxT", "AxAnswerxA"
"""Parts of a made-up chat, which are found again in what a template renders."""

USER: Turn = {"role": "user", "content": QUESTION}
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


class AnswerLayout(NamedTuple):
    """The texts around an answer and its thinking, behind the prompt that asks for it."""

    plain: str = ""
    """The text before an answer without thinking."""

    opening: str = THINK
    closing: str = END_THINK
    """The text between thinking and answer."""

    end: str = ""
    """Ends the turn; empty: the tokenizer's end of the text does."""

    thinking_differs: str = ""
    """The reason for which the template renders an answer with thinking otherwise than it is
    written behind a prompt; empty where it does not."""

    plain_differs: str = ""
    """The same for an answer without thinking."""

    def written(self, answer: str, thinking: str | None) -> str:
        """Returns all that is written behind the prompt, but for the end of the turn."""
        if thinking is None:
            return self.plain + answer
        text = answer.lstrip(" ")  # the space at the seam stays at the seam
        seam = answer[: len(answer) - len(text)]
        return seam + self.opening + thinking + self.closing + text

    def begun(self, prefix: str) -> str:
        """Returns the beginning of an answer, or of its thinking, as it stands behind the prompt.

        Args:
            prefix: The beginning. Thinking begins with the opening mark, or holds the closing
                one where the prompt opens it.
        """
        if self.opening:
            is_thinking = prefix.lstrip().startswith(self.opening.strip())
        elif prefix.startswith(THINK):
            return prefix.removeprefix(THINK)
        else:
            is_thinking = self.closing.strip() in prefix
        return prefix if is_thinking else self.plain + prefix


PLAIN_TEXT = AnswerLayout()
"""The layout behind prompts of plain text."""


def answer_layout(tokenizer: PreTrainedTokenizerBase) -> AnswerLayout:
    """Returns the layout of answers by the chat template of a tokenizer.

    That of plain text where it has no template, or where the template refuses a first question.
    """
    if tokenizer.chat_template is None:
        return PLAIN_TEXT
    render = renderer(tokenizer)
    try:
        prompt = render([USER], add_generation_prompt=True)
        whole = render([USER, {"role": "assistant", "content": ANSWER}])
    except TemplateRefusal:  # the prompt itself will tell
        return PLAIN_TEXT
    if ANSWER not in whole:
        return PLAIN_TEXT
    found = AnswerLayout(end=_end_of_turn(whole, tokenizer))
    opened = _opened_by(prompt)
    if whole.startswith(prompt):
        found = found._replace(plain=whole[len(prompt) : whole.rindex(ANSWER)])
    else:
        plain = opened.closing if opened else ""
        found = found._replace(plain=plain, plain_differs=_difference(prompt, whole))
    try:
        return _with_thinking(found, tokenizer, render, prompt, opened)
    except TemplateRefusal:
        return found


def thinking_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Returns a chat template behind whose prompts a model may think; None where its own is one.

    Some templates close the thinking in the prompt unless they are told not to. Theirs is returned
    with that as the default, so that any server which reads it asks as the student was trained.
    """
    template = tokenizer.chat_template
    if not isinstance(template, str):
        return None
    render = renderer(tokenizer)
    try:
        if not _closes_thinking(render([USER], add_generation_prompt=True)):
            return None
        for name in ("enable_thinking", "thinking"):
            asked = render([USER], add_generation_prompt=True, **{name: True})
            if not _closes_thinking(asked):
                default = (
                    f"{{%- if {name} is not defined %}}{{%- set {name} = true %}}{{%- endif %}}"
                )
                return default + template
    except TemplateRefusal:
        return None
    return None


def end_ids(tokenizer: PreTrainedTokenizerBase, layout: AnswerLayout) -> list[int]:
    """Returns the tokens that end an answer, which a student learns to write.

    They are those of the template up to the last control token, or the tokenizer's end of the text
    where the template's end is none.
    """
    ids: list[int] = tokenizer(layout.end, add_special_tokens=False, verbose=False)["input_ids"]
    added = getattr(tokenizer, "added_tokens_decoder", {})
    control = {number for number, token in added.items() if token.special}
    control |= set(tokenizer.all_special_ids)
    while ids and ids[-1] not in control:
        ids.pop()
    return ids or [tokenizer.eos_token_id]


def add_turn_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add the token that ends a turn by the chat template to those that end a model's answers.

    A base model has none of chats: its generation config, which servers go by, ends texts alone.
    """
    generation = model.generation_config
    if generation is None or tokenizer.chat_template is None:
        return
    ends = generation.eos_token_id
    known = [] if ends is None else list(ends) if isinstance(ends, list) else [ends]
    last = end_ids(tokenizer, answer_layout(tokenizer))[-1]
    if last not in known:
        generation.eos_token_id = [last, *known] if known else last


class TemplateRefusal(Exception):
    """A chat template does not render these turns."""


def renderer(tokenizer: PreTrainedTokenizerBase) -> Render:
    """Returns a function that renders turns, and raises :class:`TemplateRefusal`."""

    def render(turns: Sequence[Turn], **keywords: Any) -> str:
        plain = [dict(turn) for turn in turns]
        try:
            text = tokenizer.apply_chat_template(plain, tokenize=False, **keywords)
        except Exception as error:  # a template is a program that somebody else wrote
            raise TemplateRefusal from error
        assert isinstance(text, str)
        return text

    return render


def _with_thinking(
    found: AnswerLayout,
    tokenizer: PreTrainedTokenizerBase,
    render: Render,
    prompt: str,
    opened: "_Opened | None",
) -> AnswerLayout:
    """Returns the layout with what stands around thinking."""
    opening, closing = _own_marks(str(tokenizer.chat_template))
    fields = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), THINKING)
    marked = opening + THINKING + closing + ANSWER
    for answer in ({"content": ANSWER, **fields}, {"content": marked}):
        whole = render([USER, {"role": "assistant", **answer}])
        if THINKING not in whole or whole.rindex(ANSWER) < whole.rindex(THINKING):
            continue
        at, behind = whole.rindex(THINKING), whole.rindex(ANSWER)
        between = whole[at + len(THINKING) : behind]
        if whole.startswith(prompt) and at >= len(prompt):
            return found._replace(opening=whole[len(prompt) : at], closing=between)
        if opened:
            why = _difference(prompt, whole)
            return found._replace(opening="", closing=between, thinking_differs=why)
    why = "the template leaves the thinking of answers out, which it is given"
    if opened:
        return found._replace(opening="", closing=opened.closing, thinking_differs=why)
    return found._replace(opening=opening, closing=closing + found.plain, thinking_differs=why)


class _Opened(NamedTuple):
    """A mark that the end of a prompt opens thinking with."""

    closing: str


def _opened_by(prompt: str) -> _Opened | None:
    """Returns the closing mark for the thinking that a prompt opens; None where it opens none."""
    end = prompt.rstrip()
    tag = re.search(r"<([\w:]+)>\Z", end)
    if tag and tag[1] in TAGS:
        return _Opened(f"\n</{tag[1]}>\n\n")
    for opening, closing in PAIRS:
        if end.endswith(opening):
            return _Opened(closing)
    return None


def _closes_thinking(prompt: str) -> bool:
    """Whether the end of a prompt is thinking that has ended, mostly an empty one."""
    closings = ("</think>", *(closing for _, closing in PAIRS))
    return prompt.rstrip().endswith(closings)


def _own_marks(template: str) -> tuple[str, str]:
    """Returns the marks around thinking that a template writes, be it only for some answers."""
    for opening, closing in PAIRS:
        if f"{opening}thought\\n'" in template and closing in template:
            return f"{opening}thought\n", f"\n{closing}"
        if opening in template and closing in template:
            return opening, closing
    return THINK, END_THINK


def _end_of_turn(whole: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns what ends an answer, without the beginning of a next turn."""
    behind = whole[whole.rindex(ANSWER) + len(ANSWER) :]
    first = str(tokenizer.bos_token or "")
    begin = whole.removeprefix(first) if first and not behind.startswith(first) else whole
    opener = _TAG.search(begin[: begin.find(QUESTION)])
    if opener and opener[0] in behind and not behind.startswith(opener[0]):
        behind = behind[: behind.index(opener[0])]
    return behind


def _difference(prompt: str, whole: str) -> str:
    """Returns in words how a prompt goes on otherwise than a rendered answer."""
    at = next(
        (
            place
            for place, (one, other) in enumerate(zip(prompt, whole, strict=False))
            if one != other
        ),
        min(len(prompt), len(whole)),
    )
    shown = prompt[at:].replace("\n", "\\n")
    return f"the prompt ends with `{shown}`, where an answer is rendered without it"
