"""The models of the train stage, and the folders where the students of a run are trained."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from potstill.pipeline.later_model import LaterModel
from potstill.records import System
from potstill.train import Models, training_folders
from potstill.train.on_policy.work import ScoringTeacher

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def training_models(run: "Run") -> Models:
    """Returns the models of a run's students; none is opened, and no server is asked."""
    recipe, teachers = run.recipe, run.teachers
    wanted = {one.on_policy.teacher for one in recipe.train.students.values() if one.on_policy}
    scoring = {
        name: ScoringTeacher(
            settings=recipe.named_teachers[name],
            model=LaterModel(teachers.known(name), partial(teachers.opened, name)),
            asking=teachers.asking(name),
        )
        for name in sorted(wanted)
    }
    return Models(recipe.student, recipe.teacher, recipe.teachers, scoring)


def student_trainings(run: "Run", system: System) -> Iterator[Path]:
    """Yields the folders of a student's training as the recipe has it now.

    Args:
        run: The run.
        system: The student's identity.

    Raises:
        PotstillError: It cannot be trained.
    """
    recipe, student = run.recipe, run.students.settled[system]
    return training_folders(
        system, student, run.task, training_models(run), recipe.train, run.context, seed=recipe.seed
    )
