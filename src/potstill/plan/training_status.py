"""How far the trainings of a run are, by the folders of their checkpoints; nothing is loaded."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from potstill.pipeline.run import Run
from potstill.train.defaults import KEPT_VALUES


class NewestCheckpoint(NamedTuple):
    """The checkpoint that was written last."""

    student: str
    step: int
    folder: str
    """The checkpoint's folder, relative to the run's."""

    loss: float | None
    """The last training loss that is written down; None where there is none."""

    loss_step: int | None
    """The step of this loss."""


class BegunTraining(NamedTuple):
    """One student's folder of checkpoints."""

    label: str
    folder: Path
    step: int
    """The step of the newest checkpoint; 0 where there is none."""

    steps: int | None
    """Steps in all; None where they are not known."""

    is_finished: bool


def begun_trainings(run: Run) -> dict[str, BegunTraining | None]:
    """Returns the newest training of each student of the recipe; None where none was begun.

    One of another number of steps than the recipe's is a former one, and left out.
    """
    settled = _json(run.folder / KEPT_VALUES)
    return {
        system.label: _newest_training(
            run.folder,
            system.label,
            run.recipe.train.for_student(student).steps or _settled_steps(settled, system.label),
        )
        for system, student in run.recipe.train.sweep().items()
    }


def newest_checkpoint(
    run_folder: Path, begun: Iterable[BegunTraining | None]
) -> NewestCheckpoint | None:
    """Returns the checkpoint that was written last; None where there is none.

    Args:
        run_folder: The run's.
        begun: The trainings that are looked at, as of :func:`begun_trainings`.
    """
    trainings = [one for one in begun if one is not None and one.step]
    if not trainings:
        return None
    newest = max(trainings, key=lambda one: one.folder.stat().st_mtime)
    checkpoint = _checkpoints(newest.folder)[newest.step]
    loss, at = _loss(checkpoint)
    place = checkpoint.relative_to(run_folder).as_posix()
    return NewestCheckpoint(newest.label, newest.step, place, loss, at)


def _newest_training(run_folder: Path, label: str, steps: int | None) -> BegunTraining | None:
    begun = []
    for folder in (run_folder / "checkpoints").glob("*/"):
        own = _json(folder / "training.json").get("steps", steps)
        if folder.name.rpartition("-")[0] == label and (steps is None or own == steps):
            step = max(_checkpoints(folder), default=0)
            is_finished = (folder / "finished.json").is_file()
            begun.append(BegunTraining(label, folder, step, own, is_finished))
    return max(begun, key=lambda one: one.folder.stat().st_mtime, default=None)


def _checkpoints(training: Path) -> dict[int, Path]:
    """Returns the checkpoints in a training's folder by their steps; half-written ones are none."""
    found = {place.name.partition("-")[2]: place for place in training.glob("checkpoint-*/")}
    return {int(number): place for number, place in found.items() if number.isdecimal()}


def _settled_steps(settled: dict[str, Any], label: str) -> int | None:
    """Returns how many steps a student is trained for; None where that is not settled yet."""
    values = settled.get(label)
    steps = values.get("values", {}).get("steps") if isinstance(values, dict) else None
    return steps if isinstance(steps, int) else None


def _loss(checkpoint: Path) -> tuple[float | None, int | None]:
    """Returns the last training loss that is written down beside a checkpoint, and its step."""
    log = _json(checkpoint.parent / "finished.json").get("log", [])
    lines = [(line[0], line[1]) for line in log]
    if not lines:
        state = _json(checkpoint / "resume" / "trainer_state.json")
        history = state.get("log_history", [])
        lines = [(line["step"], line["loss"]) for line in history if "loss" in line]
    return (float(lines[-1][1]), int(lines[-1][0])) if lines else (None, None)


def _json(path: Path) -> dict[str, Any]:
    """Returns what a JSON file holds; nothing where it is missing, or being written."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
