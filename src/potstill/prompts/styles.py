"""Prompt styles: how a question is put to a model that was not trained on our formats."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from potstill.errors import ConfigError
from potstill.prompts.self_questions import Asks, asking
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

    exemplar: str = "Q: {question}\nA: {rationale} The answer is {answer}."
    """How one worked question of a few-shot prompt is written."""

    between: str = "\n"
    """What stands between two worked questions."""

    asks: Asks = "nothing"
    """Which of its own questions the rationale of a worked question shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A worked question for few-shot prompts."""

    question: str
    rationale: str
    answer: str

    questions: tuple[str, ...] = ()
    """What the rationale could ask itself: the question it begins with, then one a further step."""


_ANSWER_CUE = "\nTherefore, the answer is"
_FEW_SHOT = "{exemplars}\nQ: {question}\nA:"

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
            answer_cue=_ANSWER_CUE,
            stop=(_ANSWER_CUE, "\nQ:"),
        ),
        # QuestCoT and its contrast, a question before every step (arXiv 2311.07945): asked as their
        # neighbours here ask, and nothing but the questions added. Their wording is ours. Labels
        # are unwanted: the last "Answer:" would be taken for the final answer.
        PromptStyle(
            name="instruct_quest_cot",
            template="{question}\n\nFirst write the one question to begin with. Then think step by "
            "step. Then end with one line of the form:\nThe answer is <answer>.",
            chat=True,
        ),
        PromptStyle(
            name="instruct_subquestions",
            template="{question}\n\nThink step by step, and before each step write the question "
            "that it answers, without labels. Then end with one line of the form:\n"
            "The answer is <answer>.",
            chat=True,
        ),
        # Socratic chains of thought (arXiv 2212.00193), laid out as GSM8K's socratic solutions: the
        # mark keeps apart what a solution of several sentences may blur. The paper gives no prompt.
        PromptStyle(
            name="instruct_decomposition",
            template="{question}\n\nSplit this into sub-questions. On each line write one "
            "sub-question, then ` ** `, then its solution. Each may use what was found before; the "
            "last sub-question is the question itself. Then end with one line of the form:\n"
            "The answer is <answer>.",
            chat=True,
        ),
        PromptStyle(
            name="zero_shot_quest_cot",
            template="Q: {question}\nA: Let's first ask where to begin.",
            answer_cue=_ANSWER_CUE,
            stop=(_ANSWER_CUE, "\nQ:"),
        ),
        PromptStyle(
            name="zero_shot_subquestions",
            template="Q: {question}\nA: Let's ask and answer one question at a time.",
            answer_cue=_ANSWER_CUE,
            stop=(_ANSWER_CUE, "\nQ:"),
        ),
        PromptStyle(name="few_shot_cot", template=_FEW_SHOT, stop=("\nQ:",)),
        PromptStyle(name="quest_cot", template=_FEW_SHOT, stop=("\nQ:",), asks="first"),
        PromptStyle(name="subquestions", template=_FEW_SHOT, stop=("\nQ:",), asks="each"),
        PromptStyle(name="decomposition", template=_FEW_SHOT, stop=("\nQ:",), asks="marked"),
        # As BIG-Bench Hard's answer-only prompts (arXiv 2210.09261): each question with its answer.
        PromptStyle(
            name="answer_only",
            template="{exemplars}\n\nQ: {question}\nA:",
            exemplar="Q: {question}\nA: {answer}",
            between="\n\n",
            stop=("\nQ:",),
        ),
    )
}

DECOMPOSING = (
    "instruct_decomposition",
    "instruct_subquestions",
    "zero_shot_subquestions",
    "decomposition",
    "subquestions",
)
"""Styles in whose answers each step follows the question that it answers."""


def style_named(name: str) -> PromptStyle:
    """The style of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in STYLES:
        raise ConfigError(f"there is no prompt style {name!r}; known: {', '.join(STYLES)}.")
    return STYLES[name]


def shows_exemplars(style: PromptStyle) -> bool:
    """Whether prompts of this style begin with worked questions."""
    return "{exemplars}" in style.template


def question_text(question: Question) -> str:
    """The question with its options: as its text lists them, else worded as in Fine-tune-CoT."""
    if not question.choices or "\nOptions:\n" in question.text:
        return question.text.strip()
    options = ", ".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(question.choices))
    return f"{question.text.strip()} Answer choices: {options}."


def prompt_for(
    style: PromptStyle, question: Question, exemplars: Sequence[Exemplar] = ()
) -> str | tuple[Message, ...]:
    """What to send for one question: text for plain styles, one user message for chat styles."""
    shown = style.between.join(worked(style, exemplar) for exemplar in exemplars)
    text = filled(style.template, {"exemplars": shown, "question": question_text(question)})
    return (Message(role="user", content=text),) if style.chat else text


def worked(style: PromptStyle, exemplar: Exemplar) -> str:
    """A worked question as a few-shot prompt of this style shows it.

    Raises:
        ConfigError: The style shows questions that the exemplar has not got.
    """
    at = f"the exemplar {exemplar.question[:60]!r}"
    rationale = asking(exemplar.rationale, exemplar.questions, style.asks, at=at)
    parts = {"question": exemplar.question, "rationale": rationale}
    return filled(style.exemplar, {**parts, "answer": exemplar.answer})


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with its parts put in, in one pass: a question may itself contain braces."""
    return re.sub(rf"\{{({'|'.join(parts)})\}}", lambda at: parts[at[1]], template)
