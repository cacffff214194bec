"""QuestCoT and Subques: a model first asks itself how to begin, or asks before every step.

Jain, Shridhar and others, "First-Step Advantage: Importance of Starting Right in Multi-Step Math
Reasoning", arXiv 2311.07945. No code is published. Here are the styles in which a model asks its
own questions; the teacher's first step inside a student's answer is the stage ``guide``, and the
recipes are those of recipes/first-step/.

Published: QuestCoT over CoT by up to 6 points on GSM8K, 9 on SVAMP, 5 on ASDiv and 7 on MultiArith;
a question before every step is worse than one at the beginning.

Otherwise here: the paper's prompts are not published, so the wording is ours: asked as their
neighbours in ``prompts/styles.py`` are, and nothing but the questions added. Labels are unwanted:
the last "Answer:" would be taken for the final answer.
"""

from functools import partial
from typing import Literal

from potstill.errors import ConfigError
from potstill.prompts.styles import ANSWER_CUE, FEW_SHOT, Exemplar, PromptStyle
from potstill.text.steps import StepKind, split_steps

Asks = Literal["first", "each", "marked"]
"""The questions that a rationale asks; ``marked``: each, with a line ``question ** step``."""

_LAYOUTS: tuple[StepKind, ...] = ("lines", "sentences")


def asking(exemplar: Exemplar, *, asks: Asks) -> str:
    """The rationale of a worked question with its questions put in, its words and layout kept.

    Args:
        exemplar: Its questions are the one it begins with, then one for each further step.
        asks: Whether the first of them is put in, or each before its step; marked ones in lines.

    Raises:
        ConfigError: It has no questions, one is blank, or each is to be put in and they are not as
            many as the steps.
    """
    at = f"the exemplar {exemplar.question[:60]!r}"
    rationale, questions = exemplar.rationale, exemplar.questions
    if not all(question.strip() for question in questions):
        raise ConfigError(f"{at} has a blank question; write it out, or leave it out.")
    if not questions:
        raise ConfigError(
            f"{at} has no questions, which this prompt style shows. Give its questions: the one to "
            "begin with, and for subquestions one for each further step."
        )
    if asks == "first":
        gap = "\n" if "\n" in rationale.strip() else " "
        return f"{questions[0].strip()}{gap}{rationale}"
    if asks == "marked":
        steps = _steps(rationale, len(questions), at)
        pairs = zip(questions, steps, strict=True)
        return "\n".join(f"{question.strip()} ** {step}" for question, step in pairs)
    parts, end = [], 0
    for question, step in zip(questions, _steps(rationale, len(questions), at), strict=True):
        start = rationale.index(step, end)
        parts += [rationale[end:start], f"{question.strip()} {step}"]
        end = start + len(step)
    return "".join((*parts, rationale[end:]))


def _steps(rationale: str, wanted: int, at: str) -> list[str]:
    """The steps of a rationale, in the layout in which they are as many as its questions."""
    layouts = {kind: split_steps(rationale, kind) for kind in _LAYOUTS}
    for steps in layouts.values():
        if len(steps) == wanted:
            return steps
    raise ConfigError(
        f"{at} has {wanted} questions, and its rationale has {len(layouts['lines'])} lines and "
        f"{len(layouts['sentences'])} sentences; subquestions shows one question before each line "
        "or each sentence. Give as many."
    )


INSTRUCT_QUEST_COT = PromptStyle(
    name="instruct_quest_cot",
    template="{question}\n\nFirst write the one question to begin with. Then think step by "
    "step. Then end with one line of the form:\nThe answer is <answer>.",
    chat=True,
)

INSTRUCT_SUBQUESTIONS = PromptStyle(
    name="instruct_subquestions",
    template="{question}\n\nThink step by step, and before each step write the question "
    "that it answers, without labels. Then end with one line of the form:\n"
    "The answer is <answer>.",
    chat=True,
    asks_subquestions=True,
)

ZERO_SHOT_QUEST_COT = PromptStyle(
    name="zero_shot_quest_cot",
    template="Q: {question}\nA: Let's first ask where to begin.",
    answer_cue=ANSWER_CUE,
    stop=(ANSWER_CUE, "\nQ:"),
)

ZERO_SHOT_SUBQUESTIONS = PromptStyle(
    name="zero_shot_subquestions",
    template="Q: {question}\nA: Let's ask and answer one question at a time.",
    answer_cue=ANSWER_CUE,
    stop=(ANSWER_CUE, "\nQ:"),
    asks_subquestions=True,
)

QUEST_COT = PromptStyle(
    name="quest_cot",
    template=FEW_SHOT,
    stop=("\nQ:",),
    shown_rationale=partial(asking, asks="first"),
)

SUBQUESTIONS = PromptStyle(
    name="subquestions",
    template=FEW_SHOT,
    stop=("\nQ:",),
    shown_rationale=partial(asking, asks="each"),
    asks_subquestions=True,
)
