"""The rationales that a student learns, as places among all: eight bytes each, and no texts.

The rationales may be a million that stay in the store. They are gone through once, in their order;
of each that may be learned, its place and its completion's row are kept.
"""

import math
import random
from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.records import Question, Rationale
from potstill.tasks.splits import first_placed
from potstill.train.settings import StudentSettings

KEPT = frozenset({"kept"})
WRONG = frozenset({"wrong_answer", "no_answer", "not_compared"})
"""Verdicts of rationales that were dropped for their answer."""

AGAINST_MARKS = frozenset({"rejected", "unmarked"})
"""Verdicts of rationales that were dropped for what people say of them."""


class ChosenRationales(NamedTuple):
    """The questions and rationales that a student learns from."""

    questions: Sequence[Question]
    """The questions that it learns; the arrays name them by their place here."""

    rationales: Sequence[Rationale]
    """All rationales; the arrays name them by their place here."""

    question_numbers: NDArray[np.int32]
    """The question of each rationale that is learned; they ascend."""

    places: NDArray[np.int32]
    """The rationales that are learned, those of a question in the order of learning."""

    completion_ids: NDArray[np.int64]
    """The rows of their completions."""

    samples: int | None
    """How many samples of a question the student sees; None: all."""

    def seen(self) -> Iterator[tuple[int, Rationale]]:
        """Yields the rationales of the samples that it sees, with their places."""
        for place, rationale in enumerate(self.rationales):
            if is_seen(rationale, self.samples):
                yield place, rationale


def is_seen(rationale: Rationale, samples: int | None) -> bool:
    """Whether a student sees a rationale that sees so many samples of a question; None: all."""
    return samples is None or rationale.sample < samples


def choose_rationales(
    rationales: Iterable[Rationale],
    questions: Sequence[Question],
    student: StudentSettings,
    seed: int,
) -> ChosenRationales:
    """Returns the rationales that a student learns, question by question.

    Args:
        rationales: The curated ones, those of a question in the order of samples.
        questions: The training questions.
        student: The choice.
        seed: Fixes the choice of questions, where the student learns only some.
    """
    if student.questions is not None:
        questions = first_placed(tuple(questions), student.questions, seed, "student")
    if not isinstance(rationales, Sequence):
        rationales = list(rationales)
    number_of = {question.id: number for number, question in enumerate(questions)}
    verdicts, shortest_first = learned_verdicts(student), student.take == "shortest"
    numbers, places, rows, lengths = array("i"), array("i"), array("q"), array("i")
    for place, rationale in enumerate(rationales):
        # A student sees no more of the teacher in its exemplars than in its targets.
        number = number_of.get(rationale.question_id)
        if number is None or rationale.verdict not in verdicts:
            continue
        if not is_seen(rationale, student.samples):
            continue
        numbers.append(number)
        places.append(place)
        rows.append(rationale.completion_id)
        words = 0 if student.take == "first" else len(rationale.text.split())
        lengths.append(words if shortest_first else -words)
    # By question, then by length where that counts; of equals the first.
    order = np.lexsort((np.asarray(lengths), np.asarray(numbers)))
    by_question = np.asarray(numbers)[order]
    begins = np.searchsorted(by_question, by_question)
    if student.max_rationales is not None:
        is_taken = np.arange(len(order)) - begins < student.max_rationales
        order, by_question = order[is_taken], by_question[is_taken]
    return ChosenRationales(
        questions,
        rationales,
        by_question.astype(np.int32),
        np.asarray(places)[order].astype(np.int32),
        np.asarray(rows)[order].astype(np.int64),
        student.samples,
    )


def learned_verdicts(student: StudentSettings) -> frozenset[str]:
    """Returns the verdicts of the rationales that a student may learn."""
    verdicts = KEPT | WRONG if student.wrong_answers else KEPT
    return verdicts | AGAINST_MARKS if student.ignore_marks else verdicts


def long_ones(
    rows: Sequence[int], thinking: Mapping[int, str], share: float, *, seed: int
) -> dict[int, str]:
    """Returns the thinking that is learned, by the completion's row.

    A share of them is spread evenly over the rationales that have thinking, in their order.

    Args:
        rows: The completions whose rationales are learned.
        thinking: Their thinking, where they have any.
        share: The share of all rationales to be learned with thinking; 1 takes all there is.
        seed: Fixes at which of them the share begins.
    """
    return {row: thinking[row] for row in long_rows(rows, thinking, share, seed=seed)}


def long_rows(
    rows: Sequence[int], thinking: Container[int], share: float, *, seed: int
) -> list[int]:
    """Returns the completions of :func:`long_ones` alone."""
    having = [row for row in rows if row in thinking]
    if not having:
        return []
    rate = min(1.0, share * len(rows) / len(having)) if share < 1 else 1.0
    begin = random.Random(seed).random()
    taken = [math.floor(begin + place * rate) for place in range(len(having) + 1)]
    return [
        row for row, before, after in zip(having, taken, taken[1:], strict=False) if after > before
    ]
