r"""Prompt styles: how a question is put to a model that was not trained on our formats.

A style is data: a template with a place for the question, what ends the completion, and, for
few-shot styles, how a worked question is written. Those of potstill's own stand here, published
ones in ``papers/``, and a recipe gives its own as a mapping::

    generate: {prompt_style: {template: "Problem: {question}\nSolution:", stop: ["\nProblem:"]}}
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from potstill.plugins import Registry
from potstill.records import Message, Question
from potstill.setting_names import NameOf
from potstill.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A worked question for few-shot prompts."""

    question: str
    rationale: str
    answer: str

    questions: tuple[str, ...] = ()
    """Questions that the rationale could ask itself: the one it begins with, then one a further
    step."""


def plain_rationale(exemplar: Exemplar) -> str:
    """The rationale of a worked question as it stands."""
    return exemplar.rationale


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptStyle:
    """One way of asking, as data."""

    name: str
    template: str
    """The prompt, with ``{question}`` and, for few-shot styles, ``{exemplars}``."""

    answer_cue: str = ""
    """Appended to prompt and rationale to ask for the answer in a second step; empty: one step."""

    stop: tuple[str, ...] = ()
    """Strings that end the completion."""

    chat: bool = False
    """Whether the prompt is sent as a chat message."""

    system: str = ""
    """The system turn before it, in a chat; empty: none."""

    exemplar: str = "Q: {question}\nA: {rationale} The answer is {answer}."
    """The form of one worked question in a few-shot prompt."""

    between: str = "\n"
    """The text between two worked questions."""

    shown_rationale: Callable[[Exemplar], str] = plain_rationale
    """Returns the rationale of a worked question as a few-shot prompt shows it. Raises ConfigError
    where the question lacks something that is shown."""

    asks_subquestions: bool = False
    """Whether in its answers each step follows the sub-question that it answers."""

    verbatim: bool = False
    """Whether a question keeps the white space around it."""


ANSWER_CUE = "\nTherefore, the answer is"
"""The cue of Zero-shot-CoT's second step."""

FEW_SHOT = "{exemplars}\nQ: {question}\nA:"
"""The template of Few-shot-CoT as Fine-tune-CoT has it."""

STYLES = Registry[PromptStyle](
    "prompt style",
    {
        style.name: style
        for style in (
            # For chat models. The marked last line is what the grader looks for first.
            PromptStyle(
                name="instruct_cot",
                template="{question}\n\nThink step by step. Then end with one line of the form:\n"
                "The answer is <answer>.",
                chat=True,
            ),
            # Fine-tune-CoT, templates of src/data/format.py (reasoning-teacher @ a2ca4d28).
            PromptStyle(name="zero_shot", template="Q: {question}\n\nA:", stop=("\nQ:",)),
            # Zero-shot-CoT (arXiv 2205.11916) in two steps, as Fine-tune-CoT asks its teacher. A
            # rationale that goes on to the cue by itself ends there; the second step says the rest.
            PromptStyle(
                name="zero_shot_cot",
                template="Q: {question}\nA: Let's think step by step.",
                answer_cue=ANSWER_CUE,
                stop=(ANSWER_CUE, "\nQ:"),
            ),
            PromptStyle(name="few_shot_cot", template=FEW_SHOT, stop=("\nQ:",)),
            # BIG-Bench Hard's answer-only prompts (arXiv 2210.09261): questions with answers.
            PromptStyle(
                name="answer_only",
                template="{exemplars}\n\nQ: {question}\nA:",
                exemplar="Q: {question}\nA: {answer}",
                between="\n\n",
                stop=("\nQ:",),
            ),
        )
    },
    group="potstill.prompt_styles",
    fits=lambda thing: isinstance(thing, PromptStyle),
    in_place="a mapping with template",
)


class OwnTexts(Settings):
    """Texts that a recipe gives in the place of a name, and the name that they get."""

    name: str = Field(default="own", pattern="^[a-z][a-z0-9_]*$")
    """The beginning of the name in reports; a hash of the texts follows."""

    @property
    def key(self) -> str:
        """The name by which the texts are found again: the same for the same texts."""
        texts = self.model_dump_json(exclude={"name"})
        digest = hashlib.blake2b(texts.encode(), digest_size=4).hexdigest()
        return f"{self.name}_{digest}"


class StyleSettings(OwnTexts):
    """A prompt style of your own."""

    template: str
    """The prompt, with ``{question}``, and with ``{exemplars}`` where worked questions are shown
    before it."""

    answer_cue: str = ""
    """Appended to prompt and rationale to ask for the answer in a second step; empty: one step."""

    stop: tuple[str, ...] = ()
    """Strings that end the completion."""

    chat: bool = False
    """Send the prompt as a chat message."""

    exemplar: str = "Q: {question}\nA: {rationale} The answer is {answer}."
    """The form of one worked question, with ``{question}``, ``{rationale}``, ``{answer}``."""

    between: str = "\n"
    """The text between two worked questions."""

    asks_subquestions: bool = False
    """Whether in its answers each step follows the sub-question that it answers."""

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        check_placeholders(self.template, "template", needed=("question",), known=("exemplars",))
        check_placeholders(self.exemplar, "exemplar", known=("question", "rationale", "answer"))
        STYLES.add(self.key, self.style)
        return self

    @property
    def style(self) -> PromptStyle:
        """The style itself."""
        return PromptStyle(name=self.key, **self.model_dump(exclude={"name"}))


_STYLE_NAME = NameOf(STYLES)


def _name_or_texts(raw: object) -> object:
    """A known name as it is, and a mapping as a style; so either has only its own faults told."""
    if isinstance(raw, Mapping):
        return StyleSettings.model_validate(raw)
    if not isinstance(raw, str | StyleSettings):
        raise ValueError("give a name, or a mapping with template")
    return _STYLE_NAME.check(raw) if isinstance(raw, str) else raw


AnyStyle = Annotated[Annotated[str, _STYLE_NAME] | StyleSettings, BeforeValidator(_name_or_texts)]
"""A prompt style in a recipe: the name of one, or one of its own."""


_PLACEHOLDER = re.compile(r"(?<![\\{])(?P<command>\\[A-Za-z]+)?\{(?P<name>[A-Za-z_]\w*)\}")


def check_placeholders(
    template: str, setting: str, *, needed: Sequence[str] = (), known: Iterable[str] = ()
) -> None:
    r"""See to it that a template of a recipe can be filled.

    Braces around anything but one word, as in JSON, and behind a command, as in ``\text{so}``, are
    the template's own.

    Args:
        template: The text.
        setting: The setting's name in the recipe, for the message.
        needed: Placeholders that it must hold.
        known: Placeholders that it may hold as well.

    Raises:
        ValueError: A placeholder is unknown, or one that is needed is missing.
    """
    names = list(dict.fromkeys([*needed, *known]))
    listed = ", ".join(f"{{{name}}}" for name in names)
    for place in _PLACEHOLDER.finditer(template):
        if place["name"] not in names and place["command"] is None:
            raise ValueError(
                f"{setting} has the unknown placeholder {{{place['name']}}}; known are {listed}"
            )
    for name in needed:
        if f"{{{name}}}" not in template:
            raise ValueError(f"{setting} lacks {{{name}}}; its placeholders are {listed}")


def style_named(name: AnyStyle) -> PromptStyle:
    """The style of this name, or of a recipe's own.

    Raises:
        ConfigError: There is none.
    """
    return STYLES.named(name) if isinstance(name, str) else name.style


def shows_exemplars(style: PromptStyle) -> bool:
    """Whether prompts of this style begin with worked questions."""
    return "{exemplars}" in style.template


def question_text(question: Question, *, verbatim: bool = False) -> str:
    """The question with its options: as its text lists them, else worded as in Fine-tune-CoT.

    Args:
        question: The question.
        verbatim: Whether its text keeps the white space around it.
    """
    text = question.text if verbatim else question.text.strip()
    if not question.choices or "\nOptions:\n" in question.text:
        return text
    options = ", ".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(question.choices))
    return f"{text} Answer choices: {options}."


def prompt_for(
    style: PromptStyle, question: Question, exemplars: Sequence[Exemplar] = ()
) -> str | tuple[Message, ...]:
    """The prompt for one question: text for plain styles, a user's message for chat styles."""
    shown = style.between.join(worked(style, exemplar) for exemplar in exemplars)
    asked = question_text(question, verbatim=style.verbatim)
    text = filled(style.template, {"exemplars": shown, "question": asked})
    if not style.chat:
        return text
    before = (Message(role="system", content=style.system),) if style.system else ()
    return (*before, Message(role="user", content=text))


def worked(style: PromptStyle, exemplar: Exemplar) -> str:
    """A worked question as a few-shot prompt of this style shows it.

    Raises:
        ConfigError: The style shows questions that the exemplar has not got.
    """
    parts = {"question": exemplar.question, "rationale": style.shown_rationale(exemplar)}
    return filled(style.exemplar, {**parts, "answer": exemplar.answer})


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with its parts put in, in one pass: a question may itself contain braces."""
    return re.sub(rf"\{{({'|'.join(parts)})\}}", lambda at: parts[at[1]], template)
