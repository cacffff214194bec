"""Answers that guidance turned, with the teacher's words in them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from potstill.records import GuidedPrediction
from potstill.report.guidance import Guidance
from potstill.report.questions import clipped
from potstill.report.results import Results

MOST_EXAMPLES = 3
"""Answers shown that guidance turned right, and as many that it turned wrong."""

MOST_CHARACTERS = 1_200
"""Characters shown of each of their texts."""


class Piece(NamedTuple):
    """A part of an answer, and whether the teacher wrote it."""

    text: str
    guided: bool


class Example(NamedTuple):
    """A question whose answer guidance has turned."""

    id: str
    question: str
    gold: str
    alone: str
    """What the student wrote alone."""

    pieces: Sequence[Piece]
    """What it wrote under the policy."""

    told: str
    """The teacher's words where they do not stand in the answer as they were written."""

    leaked: bool


class Turned(NamedTuple):
    """The answers that a policy turned from wrong to right, or the reverse."""

    answers: int
    total: int
    """Questions answered both under the policy and alone."""

    examples: Sequence[Example]


def turned(results: Results, found: Guidance, *, right: bool) -> Turned | None:
    """The answers that the best policy turned right, or wrong.

    Examples without the gold answer in the guidance go first.

    Returns:
        None where no answers of the policy and of the student alone are stored.
    """
    both = _both(results, found)
    if not both:
        return None
    pairs = [pair for pair in both if pair[1].correct == right and pair[0].correct != right]
    tasks = (task for task in results.tasks if task.name == found.task)
    asked = {question.id: question for task in tasks for question in task.splits["test"]}
    known = [pair for pair in pairs if pair[1].question_id in asked and pair[1].guidance]
    shown = sorted(known, key=lambda pair: pair[1].leaked)[:MOST_EXAMPLES]
    examples = []
    for own, guided in shown:
        parts = pieces(clipped(guided.text, MOST_CHARACTERS), guided.guidance)
        marked = any(part.guided for part in parts)
        examples.append(
            Example(
                guided.question_id,
                asked[guided.question_id].text,
                asked[guided.question_id].answer,
                clipped(own.text, MOST_CHARACTERS),
                parts,
                "" if marked else clipped(guided.guidance, MOST_CHARACTERS),
                guided.leaked,
            )
        )
    return Turned(len(pairs), len(both), examples)


def pieces(text: str, told: str) -> list[Piece]:
    """An answer in its parts; all of it in one where the teacher's words do not stand in it.

    Args:
        text: The answer.
        told: What the teacher wrote of it; its white space is of no account.
    """
    sought = r"\s+".join(re.escape(word) for word in told.split())
    found = re.search(sought, text) if sought else None
    if found is None:
        return [Piece(text, False)]
    start, end = found.span()
    parts = [Piece(text[:start], False), Piece(text[start:end], True), Piece(text[end:], False)]
    return [part for part in parts if part.text]


def _both(results: Results, found: Guidance) -> list[tuple[GuidedPrediction, GuidedPrediction]]:
    """The answers of the student alone and of the best policy to the same questions."""
    if found.best is None or found.alone is None:
        return []
    here = (found.task, "test")
    answers = [each for each in results.guided_predictions if (each.task, each.split) == here]
    alone = {each.question_id: each for each in answers if each.policy == found.alone.policy}
    return [
        (alone[each.question_id], each)
        for each in answers
        if each.policy == found.best.policy and each.question_id in alone
    ]
