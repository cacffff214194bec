"""Prompt styles: how a question is put to a model that was not trained on our formats."""

from collections.abc import Sequence
from dataclasses import dataclass

from potstill.errors import ConfigError
from potstill.records import Message, Question


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A worked question for few-shot prompts."""

    question: str
    rationale: str
    answer: str


STYLES: dict[str, PromptStyle] = {
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
        # rationale that goes on to the cue by itself ends there, and the second step says the rest.
        PromptStyle(
            name="zero_shot_cot",
            template="Q: {question}\nA: Let's think step by step.",
            answer_cue="\nTherefore, the answer is",
            stop=("\nTherefore, the answer is", "\nQ:"),
        ),
        PromptStyle(name="few_shot_cot", template="{exemplars}\nQ: {question}\nA:", stop=("\nQ:",)),
    )
}


def style_named(name: str) -> PromptStyle:
    """The style of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in STYLES:
        raise ConfigError(f"there is no prompt style {name!r}; known: {', '.join(STYLES)}.")
    return STYLES[name]


def question_text(question: Question) -> str:
    """The question with its options, worded as Fine-tune-CoT words them."""
    if not question.choices:
        return question.text.strip()
    options = ", ".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(question.choices))
    return f"{question.text.strip()} Answer choices: {options}."


def prompt_for(
    style: PromptStyle, question: Question, exemplars: Sequence[Exemplar] = ()
) -> str | tuple[Message, ...]:
    """What to send for one question: text for plain styles, one user message for chat styles."""
    shown = "\n".join(
        f"Q: {exemplar.question}\nA: {exemplar.rationale} The answer is {exemplar.answer}."
        for exemplar in exemplars
    )
    # One replace at a time: a question may itself contain braces.
    text = style.template.replace("{exemplars}", shown).replace(
        "{question}", question_text(question)
    )
    return (Message(role="user", content=text),) if style.chat else text
