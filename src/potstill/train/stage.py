"""The train stage: rationales → students' checkpoints."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import ConfigError, DataError, extra
from potstill.keys import settings_hash
from potstill.models.settings import ModelSettings
from potstill.records import Checkpoint, Example, Rationale, Task, TrainingStep
from potstill.runtime.progress import Advance, Meter
from potstill.store import Store
from potstill.tasks import load_task
from potstill.train.examples import TeacherTexts, make_examples, replayed, undivided
from potstill.train.settings import StudentSettings, TrainSettings

if TYPE_CHECKING:
    from potstill.train.student import TrainedStudent
    from potstill.train.trainer import TrainProgress

logger = logging.getLogger(__name__)

EndsAt = Callable[[Sequence[Checkpoint]], bool]
"""Looks at a student's checkpoints so far, and says whether its training ends at the newest."""


class TrainContext(NamedTuple):
    """Where students are trained."""

    store: Store
    """Holds the curated rationales, takes logs and checkpoints."""

    folder: Path
    """The run's folder."""

    meter: Meter
    """Shown the progress."""


class Models(NamedTuple):
    """Who learns from whom."""

    start: ModelSettings
    """The model to start from, where a student names no other."""

    teacher: ModelSettings
    """Whose token probabilities the store may hold."""

    further: Mapping[str, ModelSettings] = MappingProxyType({})
    """Further teachers, by their names in the recipe."""


def train(
    task: Task,
    models: Models,
    settings: TrainSettings,
    bench: TrainContext,
    *,
    seed: int,
    ends_at: EndsAt | None = None,
) -> list[Checkpoint]:
    """Train every student of the recipe, one after the other.

    What is finished is not trained again, and what was interrupted goes on where it stopped.

    Args:
        task: The questions with their gold answers; the training split is learned.
        models: Where students start, and whose probabilities they may learn.
        settings: Of this stage.
        bench: Where the work is done.
        seed: Of the order of examples, and of what else is random.
        ends_at: Asked as soon as a checkpoint is written; None trains to the end.

    Returns:
        The checkpoints of all students, oldest first.

    Raises:
        DataError: A student that learns from rationales has none.
        ModelError: A start model cannot be loaded.
    """
    students = {
        name: student.model_copy(update={"start": student.start or models.start})
        for name, student in settings.sweep().items()
    }
    rationales = bench.store.rationales()
    writers = {rationale.completion_id: rationale.teacher for rationale in rationales}
    teachers = {"teacher": models.teacher, **models.further}
    texts = TeacherTexts(bench.store, teachers, writers)
    # All of them before any training: one that has nothing to learn is told at once.
    examples_of = {
        name: _examples(name, student, task, rationales, texts, seed)
        for name, student in students.items()
    }
    steps: list[TrainingStep] = []
    checkpoints: list[Checkpoint] = []
    for name, student in students.items():
        trained = _trained(
            name, student, examples_of[name], settings.of(student), bench, seed, ends_at
        )
        steps += _log(name, trained)
        checkpoints += _checkpoints(name, student, trained, bench.folder)
    if not bench.store.read_only:  # the first of several processes keeps the store
        made_by = settings_hash(settings.model_dump(mode="json"), seed)
        bench.store.replace_training(steps, checkpoints, settings_hash=made_by)
    return checkpoints


def _examples(
    name: str,
    student: StudentSettings,
    task: Task,
    rationales: Sequence[Rationale],
    texts: TeacherTexts,
    seed: int,
) -> list[Example]:
    """What one student learns."""
    with extra("local", needed_for="potstill train"):
        from potstill.models.local.loading import is_encoder_decoder
    questions = task.splits["train"]
    ids = {question.id for question in questions}
    if any(rationale.question_id not in ids for rationale in rationales):
        raise DataError(
            f"the rationales were curated for other training questions than those {task.name} has "
            "now. Run potstill curate again."
        )
    if student.questions is not None and student.questions > len(questions):
        raise ConfigError(
            f"train.students.{name}.questions is {student.questions}; {task.name} has only "
            f"{len(questions)} training questions."
        )
    assert student.start is not None
    encoder_decoder = is_encoder_decoder(student.start)
    examples = make_examples(
        rationales, questions, student, encoder_decoder=encoder_decoder, seed=seed, texts=texts
    )
    _warn_of_undivided(name, student, rationales)
    worded = {example.data_format for example in examples}
    for data_format in student.formats:
        if data_format not in worded:
            raise DataError(
                f"the student {name!r} learns from rationales ({data_format}), and none of "
                f"{len(rationales)} was kept. Run potstill generate and potstill curate first, or "
                "look at what curate dropped."
            )
    if student.replay is not None:
        tasks = [load_task(each) for each in student.replay.tasks]
        examples += replayed(tasks, student.replay, encoder_decoder=encoder_decoder)
    return examples


def _warn_of_undivided(
    name: str, student: StudentSettings, rationales: Sequence[Rationale]
) -> None:
    """Say how much a student of turns cannot learn from.

    Raises:
        DataError: It can learn from nothing of what was kept.
    """
    if not student.roles:
        return
    kept = sum(rationale.verdict == "kept" for rationale in rationales)
    lost = undivided(rationales)
    if lost and lost == kept:
        raise DataError(
            f"the student {name!r} learns sub-questions with their solutions, and none of {kept:,} "
            "kept rationales can be taken apart into them. Set generate.prompt_style to one that "
            "asks for them, such as instruct_decomposition."
        )
    if lost:
        logger.warning(
            "%s does not learn %d of %d kept rationales: they answer no sub-questions of their own",
            *(name, lost, kept),
        )


def _trained(
    name: str,
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    bench: TrainContext,
    seed: int,
    ends_at: EndsAt | None,
) -> "TrainedStudent":
    """One student, in a folder named by all that determines it."""
    from potstill.train.student import train_student, training_identity

    identity = training_identity(student, examples, settings, seed=seed)
    place = bench.folder / "checkpoints" / f"{name}-{identity[:8]}"
    done = tokens = 0
    with ExitStack() as stack:
        advance: Advance | None = None

        def on_step(progress: "TrainProgress") -> None:
            nonlocal advance, done, tokens
            if advance is None:  # how many steps there are is known only now
                stage = bench.meter.stage(f"training {name}", total=progress.steps, unit="steps")
                advance = stack.enter_context(stage)
            advance(progress.step - done, progress.tokens - tokens, 0.0)
            done, tokens = progress.step, progress.tokens

        def on_checkpoint(so_far: "TrainedStudent") -> bool:
            assert ends_at is not None
            return ends_at(_checkpoints(name, student, so_far, bench.folder))

        return train_student(
            student,
            examples,
            settings,
            place,
            on_step=on_step,
            on_checkpoint=on_checkpoint if ends_at else None,
            seed=seed,
        )


def _checkpoints(
    name: str, student: StudentSettings, trained: "TrainedStudent", folder: Path
) -> list[Checkpoint]:
    return [
        Checkpoint(
            student=name,
            step=step,
            folder=place.relative_to(folder).as_posix(),
            data_format=student.asked_in,
            encoder_decoder=trained.encoder_decoder,
            examples=trained.examples,
            too_long=trained.too_long,
            parameters=trained.parameters,
            soft_share=trained.soft_share,
        )
        for step, place in trained.checkpoints
    ]


def _log(name: str, trained: "TrainedStudent") -> list[TrainingStep]:
    return [
        TrainingStep(
            student=name, step=line.step, loss=line.loss, tokens=line.tokens, seconds=line.seconds
        )
        for line in trained.log
    ]
