"""Students that go on from another student's last checkpoint: their order, and their start."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from potstill.errors import DataError
from potstill.records import Checkpoint, System
from potstill.train.checkpoints import FINISHED, checkpoint_folder, read_json
from potstill.train.settings import StudentSettings


def after_their_starts(
    students: Mapping[System, StudentSettings],
) -> dict[System, StudentSettings]:
    """Returns the students in an order in which each comes after the one that it starts from."""
    ordered: dict[System, StudentSettings] = {}
    waiting = dict(students)
    while waiting:
        ready = {
            system: student
            for system, student in waiting.items()
            if (before := _before(system, student)) is None or before in ordered
        }
        assert ready, "the recipe has seen to it"
        ordered |= ready
        waiting = {one: student for one, student in waiting.items() if one not in ready}
    return ordered


def started_from(
    system: System,
    student: StudentSettings,
    checkpoints: Iterable[Checkpoint],
    run_folder: Path,
) -> StudentSettings:
    """Returns a student with the last checkpoint of the one that it starts from as its start.

    Args:
        system: The student's identity.
        student: One that starts from the recipe's start is returned as it is.
        checkpoints: The checkpoints of students that were trained before it.
        run_folder: The folder that theirs are seen from.

    Raises:
        DataError: The other student has no checkpoint.
    """
    before = _before(system, student)
    if before is None:
        return student
    steps = {one.step: one for one in checkpoints if one.system == before}
    if not steps:
        raise DataError(f"{system.label} starts from {before.label}, which is not trained yet.")
    return _with_start(student, run_folder / steps[max(steps)].folder)


def possible_starts(
    system: System, student: StudentSettings, run_folder: Path
) -> Iterator[StudentSettings]:
    """Yields a student with each start that it may have begun with, by what is finished on disk.

    The store knows the checkpoints once all students are trained.
    """
    before = _before(system, student)
    if before is None:
        yield student
        return
    for finished in (run_folder / "checkpoints").glob(f"{before.label}-*/{FINISHED}"):
        steps = (read_json(finished) or {}).get("steps")
        if isinstance(steps, list) and steps:
            yield _with_start(student, checkpoint_folder(finished.parent, max(steps)))


def _with_start(student: StudentSettings, folder: Path) -> StudentSettings:
    assert student.start is not None
    start = student.start.model_copy(update={"model": f"hf:{folder}", "revision": None})
    return student.model_copy(update={"start": start})


def _before(system: System, student: StudentSettings) -> System | None:
    """Returns the student that one starts from; None where it starts from no other."""
    if student.on_policy is None or student.on_policy.start_from is None:
        return None
    return replace(system, model=student.on_policy.start_from)
