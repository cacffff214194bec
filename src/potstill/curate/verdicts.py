"""Completions read as rationales, and the verdict that each gets for itself."""

from typing import NamedTuple

from potstill.curate.marks import Marks
from potstill.curate.settings import CurateSettings
from potstill.grading.grade import Grader, grade, split_rationale
from potstill.keys import question_digest
from potstill.models.finish_reasons import is_known
from potstill.records import FinishReason, Grade, Question, Rationale, Task
from potstill.sampling.ask import Answer

KEPT = "kept"


class GradedSample(NamedTuple):
    """One sample of one teacher, graded."""

    teacher: str
    completion_id: int
    sample: int
    finish_reason: FinishReason
    grade: Grade
    text: str
    """The reasoning, without the closing answer statement."""

    verdict: str = KEPT
    mark: bool | None = None
    """Whether people found it sound; None where nobody has marked it."""

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        return self.finish_reason == "stop"

    @property
    def vote(self) -> str | None:
        """The answer as read; that of a sample which was cut off does not count."""
        return self.grade.answer if self.finished else None

    @property
    def right(self) -> bool:
        """Whether it was finished and is right."""
        return self.finished and self.grade.correct

    def rationale(self, question: Question) -> Rationale:
        """Returns the record of this sample that the store keeps."""
        return Rationale(
            question_id=question.id,
            completion_id=self.completion_id,
            sample=self.sample,
            text=self.text,
            answer=self.grade.answer,
            verdict=self.verdict,
            teacher=self.teacher,
            question_digest=question_digest(question),
            gold=question.answer,
            mark=self.mark,
            right=self.right,
        )


def grade_sample(
    task: Task,
    question: Question,
    teacher: str,
    answer: Answer,
    graded_by: Grader = grade,
    marks: Marks | None = None,
) -> GradedSample:
    """Grades one sample, and takes the closing answer statement off its reasoning."""
    graded = graded_by(task, answer.text, question)
    one_step = answer.text == answer.reasoning
    text = split_rationale(answer.text, graded) if one_step else answer.reasoning.strip()
    reason = answer.finish_reason
    mark = marks.of(question.text, (text, answer.text, answer.reasoning)) if marks else None
    return GradedSample(
        teacher, answer.completion_id, answer.sample, reason, graded, text, mark=mark
    )


def own_verdict(sample: GradedSample, settings: CurateSettings) -> str:
    """Returns the verdict on one rationale; siblings, a debate and people's marks aside."""
    words = len(sample.text.split())
    if not sample.finished:
        return "unfinished" if is_known(sample.finish_reason) else "unknown_end"
    if settings.right_answer and sample.grade.answer is None:
        return "no_answer"
    if settings.right_answer and sample.grade.rule == "timeout":
        return "not_compared"
    if settings.right_answer and not sample.grade.correct:
        return "wrong_answer"
    if words < settings.min_words:
        return "too_short"
    if settings.max_words is not None and words > settings.max_words:
        return "too_long"
    return KEPT


def marked_verdict(sample: GradedSample, settings: CurateSettings) -> str:
    """Returns the verdict on one that would be kept, by what people say of it.

    They are asked last, so that a student which ignores their marks learns no more than is kept
    without any.
    """
    if settings.marks is None or sample.mark is True:
        return KEPT
    if sample.mark is False:
        return "rejected"
    return KEPT if settings.marks.keep_unmarked else "unmarked"
