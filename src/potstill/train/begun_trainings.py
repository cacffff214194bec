"""A student's training that was begun before: its folder, and its newest step."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from potstill.records import System, Task
from potstill.runtime.context import RunContext
from potstill.train.examples import as_written
from potstill.train.on_policy.order import possible_starts
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.stage import (
    Models,
    on_policy_work,
    student_examples,
    teacher_texts,
    training_folder,
)


def resumable_step(folders: Iterable[Path]) -> int:
    """Returns the step from which one of these trainings goes on; 0: none was interrupted.

    Args:
        folders: The folders that :func:`training_folders` yields.
    """
    from potstill.train.checkpoints import newest_resumable

    for folder in folders:
        if newest := newest_resumable(folder):
            return int(newest.name.rpartition("-")[2])
    return 0


def training_folders(
    system: System,
    student: StudentSettings,
    task: Task,
    models: Models,
    settings: TrainSettings,
    context: RunContext,
    *,
    seed: int,
) -> Iterator[Path]:
    """Yields the folders where the training of a student would stand, as it is set now.

    There are several where it goes on from one of several checkpoints, and none where no training
    of the student was begun. Each is named by the student's label and the beginning of the
    training's identity.

    Args:
        system: The student's identity.
        student: The student, with its start and formats.
        task: See :func:`potstill.train.train`.
        models: See there.
        settings: See there.
        context: See there.
        seed: See there.

    Raises:
        PotstillError: It cannot be trained.
    """
    from potstill.train.resolution import KeptValues

    if not any((context.folder / "checkpoints").glob(f"{system.label}-*")):
        return
    rationales = context.store.training_rationales(task)
    texts = teacher_texts(context.store, models, rationales)
    learned = as_written(rationales, student, context.store)
    examples = student_examples(system.label, student, task, learned, texts, seed)
    kept = KeptValues(context.folder)
    own = kept.resolved(system.label, settings.for_student(student), student, examples)
    for begun in possible_starts(system, student, context.folder):
        work = on_policy_work(system, begun, task, models, context, seed)
        yield training_folder(system, begun, examples, own, context, seed, work)
