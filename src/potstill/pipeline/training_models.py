"""The models that the train stage works with: starts, teachers, and those that score."""

from functools import partial
from typing import TYPE_CHECKING

from potstill.pipeline.later_model import LaterModel
from potstill.train import Models
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
