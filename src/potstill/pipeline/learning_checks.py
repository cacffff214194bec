"""Checks that what students learn is what the stages before them bring."""

from collections.abc import Mapping

from potstill.curate.settings import CurateSettings
from potstill.errors import ConfigError
from potstill.generate.settings import GenerateSettings
from potstill.models.settings import ModelSettings, OpenAISettings
from potstill.train.on_policy.settings import OnPolicySettings
from potstill.train.on_policy.work import RoundPlan
from potstill.train.settings import StudentSettings, TrainSettings


def check_learning(
    train: TrainSettings,
    generate: GenerateSettings,
    curate: CurateSettings,
    teachers: Mapping[str, ModelSettings],
) -> None:
    """Refuses students that would learn what nobody draws, keeps, scores or finds wrong.

    Raises:
        ValueError: The message says what is missing for which student.
    """
    for name, student in train.students.items():
        at = f"train.students.{name}"
        if student.samples is not None and student.samples > generate.samples:
            raise ValueError(
                f"{at}.samples is {student.samples}, and generate.samples draws only "
                f"{generate.samples} for each question"
            )
        if student.matching.distribution and not (generate.top_logprobs or student.on_policy):
            raise ValueError(
                f"{at}.matching needs the teacher's token probabilities. Set "
                "generate.top_logprobs, e.g. to 5"
            )
        if student.ignore_marks and curate.marks is None:
            raise ValueError(
                f"{at}.ignore_marks learns what people rejected, and curate.marks names no file "
                "of theirs. Name one, or leave ignore_marks out"
            )
        if held := _held_to_kept_ones(student, curate):
            raise ValueError(
                f"{at} learns also what was dropped by answers or marks, and {held} was not asked "
                "of those, so that it would see more of them than of what was kept. Leave "
                f"{held} out; samples and max_rationales limit each student by itself"
            )
        if student.unlikelihood is not None and not curate.right_answer:
            raise ValueError(
                f"{at}.unlikelihood learns from rationales with a wrong answer, and "
                "curate.right_answer: false keeps those as right ones. Leave one of the two out"
            )
        if student.on_policy is not None:
            _check_scored(name, student, train, teachers)


def _held_to_kept_ones(student: StudentSettings, curate: CurateSettings) -> str:
    """Returns the first condition that holds for what is kept, and not for what a student adds."""
    if not (student.ignore_marks or student.wrong_answers):
        return ""
    conditions = {
        "curate.choose": curate.choose != "all",
        "curate.max_per_question": curate.max_per_question is not None,
        "curate.max_words": curate.max_words is not None and student.wrong_answers,
        "curate.min_words": curate.min_words > 1 and student.wrong_answers,
    }
    return next((name for name, is_held in conditions.items() if is_held), "")


def _check_scored(
    name: str, student: StudentSettings, train: TrainSettings, teachers: Mapping[str, ModelSettings]
) -> None:
    """Refuses an on-policy student whose teacher, rounds or start are not to be had.

    Raises:
        ValueError: So it is.
    """
    at, on_policy = f"train.students.{name}", student.on_policy
    assert on_policy is not None
    teacher = teachers.get(on_policy.teacher)
    if teacher is None:
        raise ValueError(
            f"{at}.on_policy.teacher is {on_policy.teacher!r}, and the recipe's teachers are "
            f"{', '.join(teachers)}"
        )
    if not teacher.can_continue:
        raise ValueError(
            f"{at}.on_policy: {teacher.model} cannot score what the student writes; what was "
            "recorded answers what was asked then. Name another teacher"
        )
    if isinstance(teacher, OpenAISettings):
        _check_server(at, teacher)
    _check_rounds(at, on_policy, train.for_student(student))
    _check_start(name, student, on_policy.start_from, train)


def _check_rounds(at: str, on_policy: OnPolicySettings, training: TrainSettings) -> None:
    """Refuses rounds without an end, and answers that are alike, too old, or learned by no step.

    Raises:
        ValueError: So it is.
    """
    steps = training.steps
    if steps is None:
        raise ValueError(
            f"{at} writes its own examples, so that it has no passes over them. Set its steps"
        )
    if on_policy.temperature == 0 and on_policy.samples > 1:
        raise ValueError(
            f"{at}.on_policy has {on_policy.samples} answers written greedily, which are one and "
            "the same. Set its temperature above 0, or samples to 1"
        )
    staleness = on_policy.limits.staleness if on_policy.limits is not None else None
    oldest = min(on_policy.steps_per_round, steps) - 1
    if staleness is not None and oldest > staleness:
        raise ValueError(
            f"{at}.on_policy: answers would be up to {oldest} steps old when they are learned, and "
            f"limits.staleness allows {staleness}. Set steps_per_round to {staleness + 1} or less"
        )
    if training.batch_size is not None:
        try:
            RoundPlan.of(on_policy, steps=steps, batch_size=training.batch_size)
        except ConfigError as error:
            raise ValueError(f"{at}: {error}") from error


def _check_start(
    name: str, student: StudentSettings, before: str | None, train: TrainSettings
) -> None:
    """Refuses a student that goes on from one that is not there, is another kind, or is itself.

    Raises:
        ValueError: So it is.
    """
    at, chain = f"train.students.{name}", [name]
    while before is not None:
        known = train.students.get(before)
        if known is None or before in chain:
            others = ", ".join(other for other in train.students if other not in chain)
            raise ValueError(
                f"{at}.on_policy.start_from leads to {before!r}; name another student: {others}"
            )
        if (known.start, known.asked_in) != (student.start, student.asked_in):
            raise ValueError(
                f"{at}.on_policy.start_from is {before}, which has another start or data format; "
                "give both the same"
            )
        chain.append(before)
        before = known.on_policy.start_from if known.on_policy is not None else None


def _check_server(at: str, teacher: OpenAISettings) -> None:
    """Refuses a server that is not known to score whole answers, before it is asked anything.

    Raises:
        ValueError: So it is.
    """
    if teacher.in_batches:
        raise ValueError(
            f"{at}.on_policy asks {teacher.model} in every round, and a batch takes hours. Set its "
            "mode to live"
        )
    if not teacher.chat and teacher.chat_template is None:
        raise ValueError(
            f"{at}.on_policy has {teacher.model} score where answers end, and which token ends "
            "them its tokenizer alone knows. Set its chat_template to the hub name or folder of "
            "that tokenizer"
        )
