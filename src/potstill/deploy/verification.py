"""Whether a served student answers as it was measured.

The first test questions of a run's task are put to it as any client puts them, and its answers are
held against the stored predictions. Where they differ, the cause is looked for
(:mod:`potstill.deploy.likely_cause`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from potstill.deploy.likely_cause import Difference, likely_cause
from potstill.deploy.served_answers import ServedAnswer, ServedStudent
from potstill.errors import ConfigError
from potstill.grading.grade import grade
from potstill.pipeline.measured_student import MeasuredAnswer, MeasuredStudent
from potstill.records import Task

DEFAULT_SHARE = 0.96
"""The share of questions whose predictions have to be equal, unless a number is asked for: 48 of
50. Another program adds in another order, by which a few long answers may part."""


class Verification(NamedTuple):
    """How the predictions of a served student stand against the measured ones."""

    asked: int
    equal: int
    """Questions whose prediction is the measured one."""

    same_texts: int
    """Questions that are answered in the very words."""

    right: tuple[int, int]
    """Questions that were answered rightly when the student was measured, and as it is served."""

    needed: int
    """The number of predictions that had to be equal."""

    difference: Difference | None
    """The first question with another prediction, else with another text; None where all texts are
    the same."""

    cause: str
    """The likely cause of the difference; empty where there is no difference."""

    @property
    def passed(self) -> bool:
        """Whether as many predictions are equal as had to be."""
        return self.equal >= self.needed


def verify_student(
    student: MeasuredStudent,
    measured: Sequence[MeasuredAnswer],
    served: ServedStudent,
    *,
    needed: int | None = None,
) -> Verification:
    """Put test questions to a served student, and compare.

    Args:
        student: The student as it was measured.
        measured: Questions and predictions; see
            :func:`potstill.pipeline.measured_student.measured_answers`.
        served: The student that is served.
        needed: How many predictions have to be equal.

    Raises:
        ConfigError: More are to be equal than are asked.
        ModelError: The served student cannot be asked at all.
    """
    if needed is None:
        needed = -(-len(measured) * round(100 * DEFAULT_SHARE) // 100)
    if not 0 < needed <= len(measured):
        raise ConfigError(
            f"{needed} predictions are to be equal, and {len(measured)} questions are asked."
        )
    answers = served.answers([one.question for one in measured])
    pairs = list(zip(measured, answers, strict=True))
    are_equal = [is_equal(student.task, one, answer) for one, answer in pairs]
    right = sum(_is_right(student.task, one, answer) for one, answer in pairs)
    are_same = [_is_same(one, answer) for one, answer in pairs]
    parting = next((place for place, equal in enumerate(are_equal) if not equal), None)
    if parting is None:
        parting = next((place for place, same in enumerate(are_same) if not same), None)
    difference = cause = None
    if parting is not None:
        one, answer = pairs[parting]
        difference = Difference(one.question, one.prediction, answer, is_equal=are_equal[parting])
        cause = likely_cause(student, served, difference, same_share=sum(are_same) / len(are_same))
    return Verification(
        asked=len(measured),
        equal=sum(are_equal),
        same_texts=sum(are_same),
        right=(sum(one.prediction.correct for one in measured), right),
        needed=needed,
        difference=difference,
        cause=cause or "",
    )


def is_equal(task: Task, measured: MeasuredAnswer, served: ServedAnswer) -> bool:
    """Whether a served answer is the measured prediction.

    That is the answer that is read in it. Where none was read, the text has to be the same: two
    texts without an answer are not equal for that.
    """
    if served.error is not None:
        return False
    if _is_same(measured, served):
        return True
    prediction = measured.prediction
    if prediction.answer is None:
        return False
    graded = grade(task, served.text, measured.question)
    return (graded.answer, graded.correct) == (prediction.answer, prediction.correct)


def _is_same(measured: MeasuredAnswer, served: ServedAnswer) -> bool:
    return served.error is None and served.text.strip() == measured.prediction.text.strip()


def _is_right(task: Task, measured: MeasuredAnswer, served: ServedAnswer) -> bool:
    return served.error is None and grade(task, served.text, measured.question).correct


def described(found: Verification, served: ServedStudent, student: MeasuredStudent) -> list[str]:
    """Returns the lines that say what was found."""
    lines = [
        f"verify: {found.equal} of {found.asked} predictions equal ({found.needed} needed), "
        f"{found.same_texts} of them word for word: {served.where}"
    ]
    measured, now = found.right
    lines.append(f"  right answers: {measured} of {found.asked} when measured, {now} as served")
    computed = student.number_format or "a number format that is not known"
    lines.append(
        f"  measured in {computed}; the server's weights: {served.weights() or 'not told'}"
    )
    if found.difference is not None:
        lines += found.difference.lines()
        lines.append(f"likely cause: {found.cause}")
    return lines
