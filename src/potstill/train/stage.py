"""The train stage: every student of the recipe learns its examples and leaves checkpoints.

    rationales ── examples.make_examples ──▶ examples ── student.train_student ──▶ checkpoints

A student's folder, ``checkpoints/NAME-IDENTITY``, is named by a digest of all that determines it,
so a repeated command finds what is finished and goes on with what was interrupted.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import ConfigError, DataError, extra
from potstill.grading.grade import grade
from potstill.keys import settings_hash
from potstill.models.folder_server import FolderServer
from potstill.models.settings import LocalSettings, ModelSettings
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Collapse, Example, Rationale, System, Task, TrainingStep
from potstill.runtime.context import RunContext
from potstill.store import Store
from potstill.tasks import load_task
from potstill.tasks.splits import first_placed
from potstill.train.defaults import ResolvedTraining, described, is_open
from potstill.train.example_list import data_formats
from potstill.train.examples import (
    as_written,
    make_examples,
    replayed,
    undivided,
    unequal_questions,
)
from potstill.train.on_policy.collapse_words import tell_collapse
from potstill.train.on_policy.order import after_their_starts, started_from
from potstill.train.on_policy.work import OnPolicyWork, ScoringTeacher
from potstill.train.run_watch import RunWatch, log_records
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.settled_formats import FormatSettler, kept_defaults
from potstill.train.teacher_texts import TeacherTexts, Writers
from potstill.train.wrong_chains import WRONG_CHAINS

if TYPE_CHECKING:
    from potstill.train.student import TrainedStudent

logger = logging.getLogger(__name__)

StopAt = Callable[[Sequence[Checkpoint]], bool]
"""Looks at a student's checkpoints so far, and says whether its training ends at the newest."""


class Models(NamedTuple):
    """The models that students start from and learn from."""

    start: ModelSettings
    """The model to start from, where a student names no other."""

    teacher: ModelSettings
    """The first teacher; the store may hold its token probabilities."""

    further: Mapping[str, ModelSettings] = MappingProxyType({})
    """Further teachers, by their names in the recipe."""

    scoring: Mapping[str, ScoringTeacher] = MappingProxyType({})
    """The teachers that score what on-policy students write, by their names in the recipe."""


class _Trainings(NamedTuple):
    """The records that a command's trainings have left."""

    steps: list[TrainingStep]
    checkpoints: list[Checkpoint]
    collapses: list[Collapse]

    def add(self, system: System, trained: "TrainedStudent", left: Sequence[Checkpoint]) -> None:
        """Take what a student's training has left."""
        self.steps.extend(log_records(system, trained.log))
        self.checkpoints.extend(left)
        if trained.collapse is not None:
            self.collapses.append(trained.collapse)


def train(
    task: Task,
    models: Models,
    settings: TrainSettings,
    context: RunContext,
    *,
    seed: int,
    ends_at: StopAt | None = None,
    made_by: str = "",
) -> list[Checkpoint]:
    """Train every student of the recipe, one after the other.

    Finished students are not trained again; an interrupted one goes on where it stopped.

    Args:
        task: The questions with their gold answers; the training split is learned.
        models: The models that students start from, and those whose probabilities they may learn.
        settings: The students, and how they are trained.
        context: The run; its store holds the rationales and takes logs and checkpoints.
        seed: Fixes the order of examples and everything else that is random.
        ends_at: Called as soon as a checkpoint is written; None trains to the end.
        made_by: A digest of the inputs, stored with the results; empty: a hash of the settings.

    Returns:
        The checkpoints of all students, oldest first.

    Raises:
        DataError: A student that learns from rationales has none, or they were curated for other
            questions or gold answers.
        ModelError: A start model cannot be loaded.
    """
    with extra("local", needed_for="potstill train"):
        from potstill.train.launch_checks import check_launch
        from potstill.train.processes import shared, training_processes
        from potstill.train.start_checks import check_memory

        students = FormatSettler(models.start, context.store).settle_all(settings)
    for note in kept_defaults(settings, students):
        logger.warning("%s", note)
    rationales = context.store.training_rationales(task)
    texts = teacher_texts(context.store, models, rationales)
    # All of them before any training, so that a student without examples is refused at once.
    examples = {
        system: student_examples(
            system.label, student, task, as_written(rationales, student, context.store), texts, seed
        )
        for system, student in students.items()
    }
    named = {system.label: student for system, student in students.items()}
    if unequal := unequal_questions(named, task, rationales):
        logger.warning("%s", unequal)
    check_launch(settings, students)
    check_memory(settings, {system: one.start for system, one in students.items() if one.start})
    done = _Trainings([], [], [])
    made_by = made_by or settings_hash(settings.model_dump(mode="json"), seed)
    with training_processes():
        values = shared(_resolved(settings, students, examples, context))
        for system, student in after_their_starts(students).items():
            student = started_from(system, student, done.checkpoints, context.folder)
            work = on_policy_work(system, student, task, models, context, seed)
            own, learned = values[system], examples[system]
            watch = RunWatch(context, system, made_by)
            trained = _train_in_folder(watch, student, learned, own, seed, ends_at, work)
            left = _checkpoint_records(system, student, trained, context.folder, own)
            done.add(system, trained, left)
    if not context.store.read_only:  # the main of several processes keeps the store
        context.store.replace_training(
            done.steps, done.checkpoints, done.collapses, settings_hash=made_by
        )
    return done.checkpoints


def _resolved(
    settings: TrainSettings,
    students: Mapping[System, StudentSettings],
    examples: Mapping[System, Sequence[Example]],
    context: RunContext,
) -> dict[System, ResolvedTraining]:
    """Returns each student's settings with nothing left open, which the run keeps and shows."""
    from potstill.train.resolution import KeptValues, plain_values, training_steps

    kept = KeptValues(context.folder)
    resolved = {}
    for system, student in students.items():
        own = settings.for_student(student)
        resolved[system] = kept.resolved(system.label, own, student, examples[system])
        if is_open(own):
            words = f"{system.label}: {described(resolved[system])}"
            fields = plain_values(resolved[system])
            context.events.announce("training_values", words, student=system.label, **fields)
    steps = sum(
        training_steps(own, students[system], examples[system]) for system, own in resolved.items()
    )
    context.progress.expect(steps, "steps")
    if not context.store.read_only:  # the main of several processes keeps the folder
        kept.write()
    return resolved


def teacher_texts(store: Store, models: Models, rationales: Sequence[Rationale]) -> TeacherTexts:
    """Returns what the teachers wrote for these rationales, as far as the store has it."""
    teachers = {"teacher": models.teacher, **models.further}
    return TeacherTexts(store, teachers, Writers(rationales))


def student_examples(
    name: str,
    student: StudentSettings,
    task: Task,
    rationales: Sequence[Rationale],
    texts: TeacherTexts,
    seed: int,
) -> Sequence[Example]:
    """The examples of one student, those of other tasks that it replays among them.

    Raises:
        ConfigError: The student wants more questions than there are.
        DataError: None of the rationales fits one of its data formats.
    """
    with extra("local", needed_for="potstill train"):
        from potstill.models.local.loading import is_encoder_decoder
    questions = task.splits["train"]
    if student.questions is not None and student.questions > len(questions):
        raise ConfigError(
            f"train.students.{name}.questions is {student.questions}; {task.name} has only "
            f"{len(questions)} training questions."
        )
    assert student.start is not None
    if student.on_policy is not None and not student.on_policy.mix:
        return []
    encoder_decoder = is_encoder_decoder(student.start)
    examples = make_examples(
        rationales,
        questions,
        student,
        encoder_decoder=encoder_decoder,
        seed=seed,
        texts=None if student.on_policy is not None else texts,  # its rationales are texts alone
        thinking=texts.thinking_of(rationales) if student.long_share else {},
    )
    _tell_of_thinking(name, student, examples)
    _warn_of_undivided(name, student, rationales)
    formats = {*data_formats(examples)}
    for data_format in student.formats:
        if data_format not in formats:
            told = f"the student {name!r} learns from rationales ({data_format}), and none of "
            if not rationales:
                raise DataError(
                    f"{told}0 was kept. Run potstill generate and potstill curate first."
                )
            raise DataError(
                f"{told}{len(rationales):,} fits. See the verdicts that potstill curate counts."
            )
    if student.unlikelihood is not None and WRONG_CHAINS not in formats:
        raise DataError(
            f"the student {name!r} learns what not to write from wrong rationales (unlikelihood), "
            f"and none of {len(rationales):,} has the verdict wrong_answer: the teacher is too "
            "good, or generate.temperature too low. Leave unlikelihood out."
        )
    if student.replay is not None:
        tasks = [load_task(replayed_task) for replayed_task in student.replay.tasks]
        others = replayed(tasks, student.replay, encoder_decoder=encoder_decoder)
        examples = examples.with_further(others)
    return examples


def _tell_of_thinking(name: str, student: StudentSettings, examples: Sequence[Example]) -> None:
    """Say how many rationales are learned with the teacher's thinking, and how many without.

    Raises:
        DataError: None of them has any, and the student is to learn it.
    """
    if not student.long_share:
        return
    reasoning = [
        example for example in examples if format_named(example.data_format).needs_rationale
    ]
    if not reasoning:
        return
    long = sum(example.thinking is not None for example in reasoning)
    if not long:
        raise DataError(
            f"the student {name!r} learns the teacher's thinking, and none of {len(reasoning):,} "
            "kept rationales has any: the teacher shows none. Set "
            f"train.students.{name}.thinking to drop, or take a teacher that shows it."
        )
    logger.warning(
        "%s learns %d rationales with the teacher's thinking and %d without%s",
        name,
        long,
        len(reasoning) - long,
        "" if long >= student.long_share * len(reasoning) - 1 else ", which have none",
    )


def _warn_of_undivided(
    name: str, student: StudentSettings, rationales: Sequence[Rationale]
) -> None:
    """Warn of kept rationales that a student with a role cannot learn: they have no sub-questions.

    Raises:
        DataError: No kept rationale has any.
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
            name,
            lost,
            kept,
        )


def training_folder(
    system: System,
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    context: RunContext,
    seed: int,
    work: OnPolicyWork | None,
) -> Path:
    """The folder of a training, named by all that determines it."""
    from potstill.train.student import training_identity

    identity = training_identity(student, examples, settings, seed=seed, on_policy=work)
    return context.folder / "checkpoints" / f"{system.label}-{identity[:8]}"


def _train_in_folder(
    watch: RunWatch,
    student: StudentSettings,
    examples: Sequence[Example],
    settings: ResolvedTraining,
    seed: int,
    ends_at: StopAt | None,
    work: OnPolicyWork | None,
) -> "TrainedStudent":
    """Train one student in a folder named by all that determines it, and show its progress."""
    from potstill.train.resolution import training_steps
    from potstill.train.student import train_student

    system, context = watch.system, watch.context
    folder = training_folder(system, student, examples, settings, context, seed, work)

    def on_checkpoint(so_far: "TrainedStudent") -> bool:
        assert ends_at is not None
        return ends_at(_checkpoint_records(system, student, so_far, context.folder, settings))

    with ExitStack() as shown:
        shown.enter_context(context.progress.part(training_steps(settings, student, examples)))
        shown.enter_context(watch)
        if work is not None:
            shown.callback(context.events.notes.pop, work.note, None)
        trained = train_student(
            student,
            examples,
            settings,
            folder,
            watch=watch,
            on_step=watch.keep,
            on_checkpoint=on_checkpoint if ends_at else None,
            runtime=context.runtime,
            seed=seed,
            on_policy=work,
        )
    if trained.collapse is not None:
        tell_collapse(system.label, trained.collapse, context.events)
    return trained


def on_policy_work(
    system: System,
    student: StudentSettings,
    task: Task,
    models: Models,
    context: RunContext,
    seed: int,
) -> OnPolicyWork | None:
    """Returns what a student's rounds are made of; None where it learns from rationales alone."""
    if student.on_policy is None:
        return None
    assert student.start is not None
    questions = task.splits["train"]
    if student.questions is not None:
        questions = first_placed(questions, student.questions, seed, "student")
    return OnPolicyWork(
        system=system,
        settings=student.on_policy,
        data_format=student.asked_in,
        start=student.start.model_copy(update={"serve": _writing_server(models.start)}),
        teacher=models.scoring[student.on_policy.teacher],
        questions=questions,
        task=task.name,
        context=context,
        seed=seed,
        right=lambda text, question: grade(task, text, question).correct,
    )


def _writing_server(start: ModelSettings) -> str | FolderServer | None:
    """Returns the program that is to write on-policy answers; None: this process does.

    ``auto`` stays in this process: a server that starts anew for each round is for users to want.
    """
    serve = start.serve if isinstance(start, LocalSettings) else None
    return None if serve == "auto" else serve


def _checkpoint_records(
    system: System,
    student: StudentSettings,
    trained: "TrainedStudent",
    run_folder: Path,
    settings: ResolvedTraining,
) -> list[Checkpoint]:
    """The checkpoints as records, their folders seen from the run's."""
    return [
        Checkpoint(
            student=system.model,
            start=system.start,
            step=step,
            folder=folder.relative_to(run_folder).as_posix(),
            data_format=student.asked_in,
            encoder_decoder=trained.encoder_decoder,
            examples=trained.examples,
            too_long=trained.too_long,
            parameters=trained.parameters,
            trained_parameters=trained.trained_parameters,
            soft_share=trained.soft_share,
            training=described(settings),
        )
        for step, folder in trained.checkpoints
    ]
