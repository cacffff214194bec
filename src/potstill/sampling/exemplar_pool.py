"""Worked training questions, and which of them a prompt shows as exemplars."""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from potstill.errors import DataError
from potstill.prompts.styles import Exemplar, question_text
from potstill.records import Question, Rationale
from potstill.tasks.overlap import Words, words

EVALUATION = "evaluation"
"""The key by which the exemplars are drawn that stay the same for all questions asked."""


class WorkedQuestion(NamedTuple):
    """A training question with reasoning of the teacher that reaches its answer."""

    question_id: str
    words: Words
    """The words of the question; two worked questions never have the same."""

    exemplar: Exemplar


def worked_questions(
    questions: Iterable[Question], rationales: Iterable[Rationale]
) -> list[WorkedQuestion]:
    """The pool exemplars are drawn from: each question's first kept rationale, by question id.

    Of questions with the same words, the first by id stands for all.

    Args:
        questions: The training questions.
        rationales: The curated ones, those of a question by sample.
    """
    first: dict[str, str] = {}
    for rationale in rationales:
        if rationale.verdict == "kept":
            first.setdefault(rationale.question_id, rationale.text)
    found: dict[Words, WorkedQuestion] = {}
    for question in sorted(questions, key=lambda question: question.id):
        spelt = words(question.text)
        if question.id in first and spelt not in found:
            shown = Exemplar(
                question=question_text(question),
                rationale=first[question.id].strip(),
                answer=question.answer,
            )
            found[spelt] = WorkedQuestion(question.id, spelt, shown)
    return list(found.values())


def draw_exemplars(
    pool: Sequence[WorkedQuestion],
    count: int,
    *,
    seed: int,
    key: str,
    exclude: Question | None = None,
) -> tuple[Exemplar, ...]:
    """Exemplars for one prompt, uniformly and without replacement; the same for the same key.

    Args:
        pool: From :func:`worked_questions`.
        count: How many.
        seed: The run's seed.
        key: A name for the prompt's purpose, such as a question's id or ``EVALUATION``.
        exclude: The question that is asked: neither it nor one of the same words is shown.

    Raises:
        DataError: The pool has not got so many besides one that may have to be left out.
    """
    if len(pool) <= count:
        raise DataError(
            f"{count} exemplars beside the question itself need {count + 1} different training "
            f"questions with a kept rationale; there are {len(pool)}. Set exemplars to fewer, or "
            "generate and keep more rationales."
        )
    asked = words(exclude.text) if exclude is not None else None
    # The pool has at most one question of these words, so one more than is shown is enough.
    drawn = random.Random(f"{seed} {key}").sample(pool, count + 1)
    return tuple(worked.exemplar for worked in drawn if worked.words != asked)[:count]
