"""Socratic chains of thought: Shridhar, Stolfo and Sachan.

"Distilling Reasoning Capabilities into Smaller Language Models", arXiv 2212.00193; the repository
kumar-shridhar/Distiiling-LM @ dd7fcd90 holds a README only. Here are the styles that ask a teacher
for a decomposition, the mixtures of students with two roles, and GSM8K's socratic layout as
exemplars. The roles and turns (``prompts/decomposition.py``, ``prompts/formats.py``) and the pairs
of students that answer in turn (``evaluate/socratic.py``) are parts of the stages train and
evaluate; the recipes are those of recipes/socratic/.

Published: more than 70% relative gain over answers alone and over CoT on GSM8K, StrategyQA and
SVAMP; no table that could be recomputed is at hand.

Otherwise here: the paper gives no prompt; answers are laid out as GSM8K's socratic solutions, whose
mark keeps apart what a solution of several sentences may blur. The shares are our own.
"""

from functools import partial

from potstill.errors import DataError
from potstill.papers.first_step import asking
from potstill.prompts.styles import FEW_SHOT, Exemplar, PromptStyle
from potstill.text.steps import subquestion_of

INSTRUCT_DECOMPOSITION = PromptStyle(
    name="instruct_decomposition",
    template="{question}\n\nSplit this into sub-questions. On each line write one "
    "sub-question, then ` ** `, then its solution. Each may use what was found before; the "
    "last sub-question is the question itself. Then end with one line of the form:\n"
    "The answer is <answer>.",
    chat=True,
    asks_subquestions=True,
)

DECOMPOSITION = PromptStyle(
    name="decomposition",
    template=FEW_SHOT,
    stop=("\nQ:",),
    shown_rationale=partial(asking, asks="marked"),
    asks_subquestions=True,
)

SOCRATIC = {"socratic_questioner": 0.5, "socratic_solver": 0.5}
"""Both roles in one student."""

SOCRATIC_PLANNER = {"socratic_counted_questioner": 0.75, "socratic_counter": 0.25}
"""A questioner that also says how many sub-questions there will be."""


def socratic_exemplar(question: str, solution: str) -> Exemplar:
    """A worked question from a solution in GSM8K's socratic layout, its questions beside it.

    Args:
        question: A training question, never one of a test set.
        solution: Lines ``question ** answer``, then ``#### answer``; calculator marks are kept.

    Raises:
        DataError: The solution is laid out otherwise.
    """
    at = f"the solution of {question[:60]!r}"
    rationale, answer, questions = _taken_apart(solution, at=at)
    return Exemplar(question=question, rationale=rationale, answer=answer, questions=questions)


def _taken_apart(solution: str, *, at: str) -> tuple[str, str, tuple[str, ...]]:
    """Take apart a solution in GSM8K's socratic layout: ``question ** answer`` a line, ``#### 18``.

    Args:
        solution: Its calculator marks are kept; a question left without an answer is not.
        at: The place of the solution, for messages.

    Returns:
        The rationale without its questions, a step a line; the final answer; the questions.

    Raises:
        DataError: A line asks no question, or no final answer is marked.
    """
    text, mark, answer = solution.partition("####")
    lines = [line for line in text.split("\n") if line.strip() and not line.endswith(" ** ")]
    pairs = [subquestion_of(line) for line in lines]
    for line, pair in zip(lines, pairs, strict=True):
        if pair is None:
            raise DataError(f"{at}: {line[:60]!r} is not worded 'question ** answer'.")
    if not mark or not answer.strip() or not lines:
        raise DataError(f"{at} must hold lines 'question ** answer' and end with '#### answer'.")
    steps = [pair for pair in pairs if pair is not None]
    return (
        "\n".join(step for _, step in steps),
        answer.strip(),
        tuple(question for question, _ in steps),
    )
