"""The students of a run: what each starts from, and how it is opened, measured and followed."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path

from potstill.checksums import damage, is_removed
from potstill.errors import DataError, extra
from potstill.evaluate import DevScorer, EvalContext, EvalModels, EvalTask, Start
from potstill.models import Model, open_model
from potstill.models.folder_server import ServedBy
from potstill.models.settings import LocalSettings
from potstill.pipeline.later_model import LaterModel
from potstill.pipeline.names import NamedStart, named_starts
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.teachers import TeacherPool
from potstill.prompts.exemplars import FewShot
from potstill.prompts.formats import format_named, shares
from potstill.prompts.styles import Exemplar
from potstill.records import Checkpoint, System, Task
from potstill.runtime.context import RunContext
from potstill.sampling.exemplar_pool import EVALUATION, draw_exemplars, worked_questions
from potstill.train import StudentSettings
from potstill.train.examples import unequal_questions
from potstill.train.settled_formats import FormatSettler


class StudentPool:
    """Opens the recipe's students beside the models that they are measured against.

    Args:
        recipe: Names the students and what they start from, and says how they are asked.
        context: The run.
        teachers: The teachers, of whom the first is measured too.
        task: Reads the task trained for, when it is first needed.
        entries: Reads all tasks that systems are measured on.
        few_shot: Reads the worked questions that the starts are shown.
    """

    def __init__(
        self,
        recipe: Recipe,
        context: RunContext,
        teachers: TeacherPool,
        *,
        task: Callable[[], Task],
        entries: Callable[[], list[EvalTask]],
        few_shot: Callable[[], FewShot | None],
    ) -> None:
        self._recipe, self._context, self._teachers = recipe, context, teachers
        self._task, self._entries, self._few_shot = task, entries, few_shot

    @cached_property
    def starts(self) -> dict[System, NamedStart]:
        """The model that each student starts from, by student."""
        return named_starts(self._recipe.train, self._recipe.student)

    @cached_property
    def settler(self) -> FormatSettler:
        """Settles the data format of a student that leaves it to its start's tokenizer."""
        return FormatSettler(self._recipe.student, self._context.store)

    @cached_property
    def settled(self) -> dict[System, StudentSettings]:
        """Every student with its start and the data formats that it is trained in.

        Raises:
            PotstillError: The tokenizer of a start cannot be had.
        """
        return self.settler.settle_all(self._recipe.train)

    def start_of(self, checkpoint: Checkpoint) -> NamedStart:
        """Returns the model that a checkpoint's training started from."""
        recipes_own = NamedStart(System("start"), self._recipe.student)
        return self.starts.get(checkpoint.system, recipes_own)

    @cached_property
    def eval_models(self) -> EvalModels:
        """The models that the evaluate stage measures, and how each is opened."""
        with extra("local", needed_for="measuring a student"):
            from potstill.models.local.loading import is_encoder_decoder
        # Starts are computed by the same program as the students that they are held against.
        served = {"serve": self._recipe.student.serve}
        starts = {
            start.system: start.settings.model_copy(update=served) for start in self.starts.values()
        }
        runtime = self._context.runtime
        return EvalModels(
            teacher=lambda: self._teachers.first,
            teacher_asking=self._teachers.asking(),
            starts=tuple(
                Start(
                    system,
                    partial(open_model, settings, runtime),
                    is_encoder_decoder(settings),
                    settings.identity(content=False).chat,
                )
                for system, settings in starts.items()
            ),
            open_student=self._open_student,
            few_shot=self._few_shot(),
            exemplars=self._exemplars(),
        )

    def ends_at(self, checkpoints: Sequence[Checkpoint]) -> bool:
        """Whether a student's training ends at its newest checkpoint, as ``train.stop`` says."""
        stop = self._recipe.train.stop
        assert stop is not None
        try:
            return self._development.ends(
                checkpoints,
                start=self.start_of(checkpoints[-1]).system,
                patience=stop.patience,
                generic_loss=stop.generic_loss,
            )
        finally:
            self._context.runtime.release()  # training needs the memory

    @cached_property
    def _development(self) -> DevScorer:
        """Scores checkpoints on development questions while training is under way."""
        context = EvalContext(self._context, left_out=[], judge=self._teachers.judge)
        return DevScorer(self._entries(), self.eval_models, self._recipe.evaluate, context)

    def settings_of(
        self, checkpoint: Checkpoint, path: Path, *, serve: ServedBy = None
    ) -> LocalSettings:
        """Returns the settings of a student whose weights lie in a folder.

        It is read as its start is: on its device, in its number format, with its control tokens.

        Args:
            checkpoint: The student's.
            path: The folder.
            serve: The program that it is asked by; None: this process.
        """
        place = {"model": f"hf:{path}", "revision": None, "serve": serve}
        settings: LocalSettings = self.start_of(checkpoint).settings.model_copy(update=place)
        return settings

    def _open_student(self, checkpoint: Checkpoint) -> Model:
        """Returns a checkpoint of this run.

        One whose weights ``potstill clean`` removed answers from the store.
        """
        path = self._context.folder / checkpoint.folder
        settings = self.settings_of(checkpoint, path, serve=self._recipe.student.serve)
        if is_removed(path):
            return LaterModel(
                settings.identity(), partial(open_model, settings, self._context.runtime)
            )
        return open_model(settings, self._context.runtime)

    def _exemplars(self) -> tuple[Exemplar, ...]:
        """Worked training questions for in-context formats, the same for all that is asked."""
        students = self._recipe.train.students.values()
        formats = {*self._recipe.evaluate.asked_in, *(student.asked_in for student in students)}
        if not any(format_named(name).needs_exemplars for name in formats):
            return ()
        # The number is the most that a student learns with; where none does, the most one would.
        learn = [student for student in students if _shows_exemplars(student)] or students
        task = self._task()
        return draw_exemplars(
            worked_questions(task.splits["train"], self._context.store.training_rationales(task)),
            max(student.exemplars for student in learn),
            seed=self._recipe.seed,
            key=EVALUATION,
        )

    @property
    def unequal_notes(self) -> list[str]:
        """A sentence where trained students learned different questions without being told to."""
        store, task = self._context.store, self._task()
        trained = {checkpoint.system.label for checkpoint in store.checkpoints()}
        sweep = self._recipe.train.sweep().items()
        students = {one.label: settings for one, settings in sweep if one.label in trained}
        if len(students) < 2:
            return []
        current = store.current_rationales(task.splits["train"])
        if current.outdated:  # the students learned what is not to be had any more
            return []
        return [*filter(None, [unequal_questions(students, task, current.rationales)])]


def refuse_damaged(checkpoints: Iterable[Checkpoint], run_folder: Path) -> None:
    """Refuse checkpoints that are lost or damaged, before anything is asked or measured.

    Args:
        checkpoints: The checkpoints that are about to be used.
        run_folder: The folder that theirs are seen from.

    Raises:
        DataError: At least one is not as it was written.
    """
    faults = {place.folder: damage(run_folder / place.folder) for place in checkpoints}
    lost = {folder: "; ".join(found) for folder, found in faults.items() if found}
    if lost:
        first, fault = next(iter(lost.items()))
        more = f", and {len(lost) - 1} more are lost or damaged" if len(lost) > 1 else ""
        raise DataError(
            f"{run_folder / first}: {fault}{more}. Run potstill train on the run's recipe: it "
            "trains again what is lost; then repeat the command."
        )


def _shows_exemplars(student: StudentSettings) -> bool:
    return any(format_named(name).needs_exemplars for name in shares(student.data_format))
