"""The chosen student as it was measured: how it is asked, and what it answered."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import DataError
from potstill.keys import question_digest
from potstill.pipeline.chosen_student import (
    chosen_checkpoint,
    measuring_engine,
    student_asking,
)
from potstill.records import Checkpoint, Prediction, Question, Task
from potstill.runtime.number_formats import NumberFormats
from potstill.sampling.ask import PromptConfig

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


class MeasuredStudent(NamedTuple):
    """The student in ``model/`` of a run's folder, and the way in which it was measured."""

    name: str
    """The name of the run's folder, by which servers are told to offer it."""

    model: Path
    """The folder of its weights."""

    checkpoint: Checkpoint
    asking: PromptConfig
    """How it was asked."""

    task: Task
    number_format: str | None
    """The number format that it was computed in; None where that is not known."""


class MeasuredAnswer(NamedTuple):
    """A test question with what the student answered when it was measured."""

    question: Question
    prediction: Prediction


def measured_student(run: "Run") -> MeasuredStudent:
    """Returns the chosen student of a run that was evaluated.

    Raises:
        DataError: There is none yet.
    """
    checkpoint = chosen_checkpoint(run)
    if not (run.folder / "model" / "config.json").is_file():
        raise DataError(f"{run.folder / 'model'} holds no model. Run potstill evaluate again.")
    return MeasuredStudent(
        name=run.folder.resolve().name,
        model=run.folder / "model",
        checkpoint=checkpoint,
        asking=student_asking(run, checkpoint),
        task=run.task,
        number_format=_number_format(run, checkpoint),
    )


def measured_answers(run: "Run", student: MeasuredStudent, most: int) -> list[MeasuredAnswer]:
    """Returns the first test questions of a student's task with its answers to them.

    Args:
        run: The run.
        student: Its chosen student.
        most: The most questions.

    Raises:
        DataError: The store has no answers of this student, or to other questions.
    """
    checkpoint, task = student.checkpoint, student.task
    predictions = {
        prediction.question_id: prediction
        for prediction in run.store.predictions()
        if prediction.task == task.name
        and prediction.system.bare == checkpoint.system
        and (prediction.system.step, prediction.system.variant) == (checkpoint.step, "")
    }
    answered = [
        MeasuredAnswer(question, predictions[question.id])
        for question in task.splits["test"]
        if question.id in predictions
        and predictions[question.id].question_digest in ("", question_digest(question))
        and predictions[question.id].finish_reason != "error"
    ]
    if not answered:
        raise DataError(
            f"{run.folder} holds no answers of {checkpoint.system.label} to the test questions of "
            f"{task.name}, by which it could be verified. Run potstill evaluate on it again."
        )
    return answered[:most]


def _number_format(run: "Run", checkpoint: Checkpoint) -> str | None:
    """Returns the number format in which a student was measured, where it is known."""
    if (engine := measuring_engine(run, checkpoint)) is not None:
        return engine.number_format or None
    settings = run.students.settings_of(checkpoint, run.folder / "model")
    if settings.dtype != "auto":
        return settings.dtype
    path = run.folder / "number_formats.json"
    if path.is_file():
        from potstill.models.local.format_trials import shape_name
        from potstill.models.local.loading import load_config

        shape = shape_name(load_config(settings))
        return NumberFormats(path).known(f"generation: {shape}")
    return None
