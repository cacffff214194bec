"""Self-asked questions inside a rationale: QuestCoT's first one, or one before every step.

The idea is of arXiv 2311.07945, whose prompts are not published; the wording here is ours.
"""

from collections.abc import Sequence
from typing import Literal

from potstill.errors import ConfigError, DataError
from potstill.text.steps import StepKind, split_steps, subquestion_of

Asks = Literal["nothing", "first", "each", "marked"]
"""Which of its questions a rationale asks; ``marked``: each, a ``question ** step`` a line."""

_LAYOUTS: tuple[StepKind, ...] = ("lines", "sentences")


def asking(rationale: str, questions: Sequence[str], asks: Asks, *, at: str) -> str:
    """A rationale with its questions put in, its own words and layout kept.

    Args:
        rationale: Reasoning without questions.
        questions: The one it begins with, then one for each further step.
        asks: Whether the first of them is put in, or each before its step; marked ones in lines.
        at: What the rationale belongs to, for messages.

    Raises:
        ConfigError: It has no questions, one is blank, or each is to be put in and they are not as
            many as the steps.
    """
    if asks == "nothing":
        return rationale
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
        return "\n".join(f"{asked.strip()} ** {step}" for asked, step in pairs)
    parts, end = [], 0
    for question, step in zip(questions, _steps(rationale, len(questions), at), strict=True):
        start = rationale.index(step, end)
        parts += [rationale[end:start], f"{question.strip()} {step}"]
        end = start + len(step)
    return "".join((*parts, rationale[end:]))


def socratic(solution: str, *, at: str = "the solution") -> tuple[str, str, tuple[str, ...]]:
    """Take apart a solution in GSM8K's socratic layout: ``question ** answer`` a line, ``#### 18``.

    Args:
        solution: Its calculator marks are kept; a question left without an answer is not.
        at: Where it stands, for messages.

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
    found = [pair for pair in pairs if pair is not None]
    return "\n".join(said for _, said in found), answer.strip(), tuple(asked for asked, _ in found)


def _steps(rationale: str, wanted: int, at: str) -> list[str]:
    """The steps of a rationale, in the layout in which they are as many as its questions."""
    found = {kind: split_steps(rationale, kind) for kind in _LAYOUTS}
    for steps in found.values():
        if len(steps) == wanted:
            return steps
    raise ConfigError(
        f"{at} has {wanted} questions, and its rationale has {len(found['lines'])} lines and "
        f"{len(found['sentences'])} sentences; subquestions shows one question before each line or "
        "each sentence. Give as many."
    )
