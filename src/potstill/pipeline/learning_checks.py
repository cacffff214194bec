"""Checks that what students learn is what the stages before them bring."""

from collections.abc import Mapping

from potstill.curate.settings import CurateSettings
from potstill.generate.settings import GenerateSettings
from potstill.train.settings import StudentSettings


def check_learning(
    students: Mapping[str, StudentSettings], generate: GenerateSettings, curate: CurateSettings
) -> None:
    """Refuses students that would learn what nobody draws, keeps or finds wrong.

    Raises:
        ValueError: The message says what is missing for which student.
    """
    for name, student in students.items():
        at = f"train.students.{name}"
        if student.samples is not None and student.samples > generate.samples:
            raise ValueError(
                f"{at}.samples is {student.samples}, and generate.samples draws only "
                f"{generate.samples} for each question"
            )
        if student.matching.distribution and not generate.top_logprobs:
            raise ValueError(
                f"{at}.matching needs the teacher's token probabilities. Set "
                "generate.top_logprobs, e.g. to 5"
            )
        if student.ignore_marks and curate.marks is None:
            raise ValueError(
                f"{at}.ignore_marks learns what people rejected, and curate.marks names no file "
                "of theirs. Name one, or leave ignore_marks out"
            )
        if student.unlikelihood is not None and not curate.right_answer:
            raise ValueError(
                f"{at}.unlikelihood learns from rationales with a wrong answer, and "
                "curate.right_answer: false keeps those as right ones. Leave one of the two out"
            )
