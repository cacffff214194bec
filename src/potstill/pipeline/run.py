"""A run: a recipe, its folder and its store, with a method for each stage.

The stages themselves know nothing of recipes. This module opens the tasks, exemplars and models
that the recipe names, when they are first needed, and hands each stage what it works with::

    with Run(load_recipe("recipe.yaml"), Meter.on_stderr()) as run:
        run.generate()
        run.curate()
        run.train()
        run.evaluate()
        run.report()
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from potstill.errors import ConfigError, DataError, extra
from potstill.evaluate import (
    EvalTask,
    Evaluation,
    TaskSets,
    entries,
    evaluate,
)
from potstill.generate import GenerateResult
from potstill.grading.grade import grade
from potstill.guide import GuidanceResult, GuideSettings, guide
from potstill.launched import is_main_process, on_main_machine
from potstill.models import Model
from potstill.pipeline.cost_lines import judge_lines
from potstill.pipeline.former_training import with_former_values
from potstill.pipeline.guide_setup import guided_checkpoint, guided_pair
from potstill.pipeline.kept_questions import task_of
from potstill.pipeline.key_checks import check_guiding_key, check_measuring_key
from potstill.pipeline.later_model import LaterModel
from potstill.pipeline.nothing_kept import require_kept
from potstill.pipeline.process_order import after_the_main_process
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.recipe_changes import RunIdentity
from potstill.pipeline.regrade import Regraded, regrade
from potstill.pipeline.run_report import write_run_report
from potstill.pipeline.run_runtime import run_runtime
from potstill.pipeline.run_view import NotebookView
from potstill.pipeline.stage_inputs import (
    Inputs,
    curate_inputs,
    evaluate_inputs,
    guide_inputs,
    train_inputs,
)
from potstill.pipeline.stale import (
    reading_changes,
    require_current,
    stale_notes,
    stale_stages,
    untrained_students,
)
from potstill.pipeline.student_export import export_chosen
from potstill.pipeline.students import StudentPool, refuse_damaged
from potstill.pipeline.task_splits import require_splits
from potstill.pipeline.teachers import TeacherPool
from potstill.pipeline.tracking import RunTracking, check_trackers
from potstill.pipeline.training_models import training_models
from potstill.prompts.exemplars import FewShot, read_few_shot
from potstill.records import Checkpoint, Task, Teacher
from potstill.report import ReportFiles
from potstill.runtime import Runtime
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.runtime.stage_machine import stage_machine
from potstill.sampling.ask import PromptConfig, unheld
from potstill.setting_names import resolve_names
from potstill.store import Stage, Store
from potstill.store.machine_copy import copy_store
from potstill.tasks import TaskSettings
from potstill.tasks.overlap import Overlap, overlaps, without
from potstill.tasks.part import TaskPart
from potstill.text.steps import step_kind
from potstill.train import train


class Run(NotebookView):
    """One recipe at work, a context manager; every method can be stopped and repeated.

    Args:
        recipe: The settings of every stage.
        meter: Shows the progress; None shows none.
        read_only: Open the store beside a writer, for the report alone. Of the processes of
            a launcher only the main one writes.
        untouched: Leave a store of an older schema as it is; what is read is a copy in memory.
        is_moved: Whether the run is named by its folder, from which relative paths do not count.

    Attributes:
        context: The things every stage works with: store, folder, progress, budget and log.
        identity: Whether the recipe is that of the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        meter: Meter | None = None,
        *,
        read_only: bool = False,
        untouched: bool = False,
        is_moved: bool = False,
    ) -> None:
        self.folder, self._is_moved = recipe.folder, is_moved
        meter = meter or Meter(None)
        read_only = read_only or not is_main_process()
        if not (self.folder / "run.sqlite").is_file():
            resolve_names(recipe)  # or nothing is made for it
        path = self.folder / "run.sqlite"
        self._copied = None if on_main_machine() else TemporaryDirectory(prefix="potstill-")
        with after_the_main_process():
            if self._copied is not None:
                path = copy_store(path, Path(self._copied.name))
            self.store = Store(path, read_only=read_only, untouched=untouched)
        self.store.probability_form = recipe.store.probabilities
        self.store.kept_positions = recipe.store.positions
        self.recipe = recipe = with_former_values(recipe, self.store)
        self.runtime = Runtime() if read_only else run_runtime(recipe, self.store)
        self.context = RunContext(
            store=self.store, folder=self.folder, progress=meter.of(self.runtime)
        )
        self.identity = RunIdentity(recipe, self.store)
        self._tracking: RunTracking | None = None
        if recipe.track is not None and not read_only:
            self._tracking = RunTracking(recipe, self.runtime.events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._tracking is not None:
            self._tracking.close()
        self.runtime.close()
        self.store.close()
        if self._copied is not None:
            self._copied.cleanup()

    @cached_property
    def task(self) -> Task:
        """The task that is trained for.

        Raises:
            ConfigError: One of its splits is empty, be it that all its questions overlap.
        """
        task = self._loaded
        if self.recipe.overlap.drop:
            task = without(task, self.overlaps)
        require_splits(task, self._loaded, self.recipe.task)
        return task

    @cached_property
    def _loaded(self) -> Task:
        """The task before overlapping questions are dropped."""
        return self._read(self.recipe.task)

    def _read(self, settings: TaskSettings) -> Task:
        return task_of(settings, self.store, is_moved=self._is_moved)

    @cached_property
    def overlaps(self) -> list[Overlap]:
        """The training questions' overlap with each evaluation set, before any are dropped."""
        return overlaps(self._loaded, self.further_tasks, self.recipe.overlap)

    @cached_property
    def few_shot(self) -> FewShot | None:
        """The recipe's exemplars that are no test questions.

        Raises:
            PotstillError: They cannot be read, or one of the recipe's own is a test question.
        """
        if self.recipe.exemplars is None:
            return None
        few_shot = read_few_shot(self.recipe.exemplars, self._loaded.name)
        return unheld(few_shot, [self._loaded, *self.further_tasks])

    @cached_property
    def further_tasks(self) -> list[Task]:
        """The tasks beside the one trained for that systems are measured on, each once."""
        return self._task_sets.others

    @cached_property
    def _task_sets(self) -> TaskSets:
        """All tasks by what they are for, before overlapping questions are dropped."""
        settings = self.recipe.evaluate
        generic = settings.generic.tasks if settings.generic else ()
        others = (settings.out_of_distribution, generic, settings.tasks)
        return TaskSets(self._loaded, *(tuple(map(self._read, listed)) for listed in others))

    @cached_property
    def entries(self) -> list[EvalTask]:
        """The tasks systems are measured on, in each way they are asked and graded.

        Raises:
            PotstillError: A task lacks questions, or exemplars cannot be read or shown.
        """
        return entries(self._task_sets._replace(target=self.task), self.recipe.evaluate)

    @property
    def meter(self) -> Meter:
        """Shows the progress."""
        return self.context.progress

    @property
    def measured_tasks(self) -> list[Task]:
        """The tasks under the names they have in tables, the one trained for first."""
        return [entry.task for entry in self.entries]

    @cached_property
    def teachers(self) -> TeacherPool:
        """The teachers, of which the first is measured and guides."""
        return TeacherPool(self.recipe, self.context, lambda: self.few_shot)

    @cached_property
    def students(self) -> StudentPool:
        """The students, and the models that they start from."""
        return StudentPool(
            self.recipe,
            self.context,
            self.teachers,
            task=lambda: self.task,
            entries=lambda: self.entries,
            few_shot=lambda: self.few_shot,
        )

    @property
    def teacher(self) -> Model:
        """The first teacher, opened when first asked for."""
        return self.teachers.first

    @property
    def asked_teacher(self) -> Teacher:
        """The first teacher's name and kind from the store, which else opens it."""
        return self.teachers.known()

    @property
    def asking(self) -> PromptConfig:
        """The way in which the first teacher is asked for rationales."""
        return self.teachers.asking()

    def check(self) -> None:
        """Find what would stop a later stage now, before the teacher is paid.

        Raises:
            PotstillError: A task cannot be read, a student cannot be trained as the recipe says,
                or a module or a name that the recipe gives as ``module:name`` is not there.
        """
        self.identity.claim()
        with self.context.progress.stage("checking the recipe: tasks and keys", total=None):
            self._check_recipe()
            self.teachers.check_keys(self.task)
            if self.recipe.judge is not None:
                self.recipe.judge.check_key()
            check_measuring_key(self)
            if self.recipe.guide is not None:
                check_guiding_key(self)
        with self.context.progress.stage("checking the recipe: the starts", total=None):
            self.check_students()

    def check_students(self) -> None:
        """Find what would stop the training of a student; no weights are read.

        Raises:
            PotstillError: A start cannot be had, or cannot be trained as the recipe says.
        """
        with extra("local", needed_for="training a student"):
            from potstill.train.start_checks import check_starts
        starts = {system: start.settings for system, start in self.students.starts.items()}
        students = self.students.settled
        check_starts(self.recipe.train, students, starts, self.task.splits["train"])

    def _check_recipe(self) -> None:
        """Check the recipe except the student, which only a machine that trains need load."""
        resolve_names(self.recipe)
        check_trackers(self.recipe)
        _ = self.task, self.entries, self.few_shot

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the block's time to a stage, and lets models go at its end."""
        if self._tracking is not None:
            self._tracking.begin()
        start, events = time.monotonic(), self.runtime.events
        events.record("stage_begins", stage=stage)
        try:
            with self.meter.run_stage(stage):
                yield
        finally:
            seconds = time.monotonic() - start
            events.record("stage_ends", stage=stage, seconds=round(seconds, 3))
            self.runtime.release()
            if not self.store.read_only:
                self.store.add_stage_time(stage, seconds)
                self.store.keep_machine(stage_machine(stage))

    def generate(self, part: TaskPart | None = None) -> dict[str, GenerateResult]:
        """Draw rationales from every teacher, and have them debate if the recipe says so.

        Args:
            part: The training questions that are asked; None: all.

        Returns:
            What was drawn, by teacher.

        Raises:
            PotstillError: A teacher cannot be asked; or, before any is, what :meth:`check` finds
                but that the student cannot be loaded.
        """
        self.identity.require_consent()
        self._check_recipe()  # before a teacher is paid for a stage that could not run
        self.teachers.check_keys(self.task)
        self.identity.claim()
        self.teachers.check_servers(self.task)
        with self.timed("generate"):
            task = part.of(self.task) if part else self.task
            return self.teachers.debate(task, self.teachers.generate(task))

    def curate(self) -> Counter[str]:
        """Give every rationale a verdict; returns how many got each.

        Raises:
            DataError: No training question has an answer as this recipe asks.
        """
        self.identity.require_consent()
        self.teachers.require_answers(self.task)
        self.identity.claim()
        with self.timed("curate"):
            return self._curate()

    def _curate(self, *, asks_judge: bool = True) -> Counter[str]:
        made_by = self._keep("curate", curate_inputs(self))
        return self.teachers.curate(self.task, made_by=made_by, asks_judge=asks_judge)

    def _keep(self, stage: Stage, inputs: Inputs) -> str:
        """Keeps what determines the results that a stage is about to store; returns its hash."""
        if not self.store.read_only:
            self.store.keep_provenance(
                stage,
                inputs.values,
                settings_hash=inputs.digest,
                recipe_hash=self.identity.recipe_hash,
            )
        return inputs.digest

    def regrade(self) -> Regraded:
        """Grade what is stored again, by today's grader; no model is asked.

        Raises:
            ConfigError: The run is of another task, teacher or student.
            DataError: There is nothing to grade, or the store does not know a teacher.
        """
        self.identity.require_consent()
        if self.teachers.unknown:
            raise DataError(
                f"{self.folder} does not say who its {' and '.join(self.teachers.unknown)} was: an "
                "older potstill made it, or the recipe's teacher was changed. Run potstill curate "
                "on it once."
            )
        tasks, changes = self.measured_tasks, reading_changes(self)
        self.identity.claim()
        judge = self.teachers.judge
        graded_by = judge.grade if judge else grade
        curate = partial(self._curate, asks_judge=False)
        return regrade(tasks, self.store, curate, graded_by)._replace(changes=changes)

    def train(self) -> list[Checkpoint]:
        """Train every student of the recipe.

        Raises:
            OutdatedError: The rationales are not of this recipe.
            PotstillError: A student cannot be trained as the recipe says.
            DataError: No rationale was kept, and a student is to learn some.
        """
        require_current(self, "train")
        self.identity.require_consent()
        require_kept(self)
        self.check_students()
        self.identity.claim()
        with self.timed("train"):
            recipe = self.recipe
            return train(
                self.task,
                training_models(self),
                recipe.train,
                self.context,
                seed=recipe.seed,
                ends_at=self.students.ends_at if recipe.train.stop else None,
                made_by=self._keep("train", train_inputs(self)),
            )

    def evaluate(self) -> Evaluation:
        """Measure teacher, start checkpoint and students, and write the chosen one to model/.

        Raises:
            OutdatedError: The students are not of this recipe.
        """
        require_current(self, "evaluate")
        self.identity.require_consent()
        recipe, settings = self.recipe, self.recipe.evaluate
        refuse_damaged(self.store.checkpoints(), self.folder)  # before the teacher is asked
        check_measuring_key(self)  # before students are measured, which takes long
        self.identity.claim()
        with self.timed("evaluate"):
            evaluation = evaluate(
                self.entries,
                self.students.eval_models,
                settings,
                self.context,
                seed=recipe.seed,
                judge=self.teachers.judge,
                made_by=self._keep("evaluate", evaluate_inputs(self)),
            )
        evaluation.left_out.extend(
            f"{student} is not trained yet; potstill train does that"
            for student in untrained_students(self)
        )
        return export_chosen(self, evaluation)

    def guide(self) -> GuidanceResult:
        """Measure what the teacher's steps bring to the chosen student.

        Raises:
            PotstillError: There is no student yet, it is not of this recipe, or a policy does not
                fit it or its teacher.
        """
        require_current(self, "guide")
        self.identity.require_consent()
        check_guiding_key(self)
        self.identity.claim()
        recipe, settings = self.recipe, self.recipe.guide or GuideSettings()
        with self.timed("guide"):
            checkpoint = guided_checkpoint(self.store, self.task.name, settings.student)
            refuse_damaged([checkpoint], self.folder)
            asked, continues = self.teachers.guiding()
            with self.context.progress.stage("loading the student", total=None):
                models = guided_pair(
                    checkpoint,
                    self.students.eval_models,
                    recipe.evaluate,
                    settings,
                    teacher=LaterModel(self.asked_teacher, lambda: self.teachers.opened_as(asked)),
                    continues=continues,
                    whole_steps=asked.can_continue and not continues,
                    start=self.students.start_of(checkpoint).system,
                )
            kept = (one.text for one in self.store.rationales() if one.verdict == "kept")
            return guide(
                self.task,
                models,
                settings,
                self.context,
                layout=step_kind(kept),
                seed=recipe.seed,
                made_by=self._keep("guide", guide_inputs(self)),
            )

    def report(self) -> ReportFiles:
        """Write report.html and summary.json from what there is so far.

        Raises:
            ConfigError: The run is of another task.
        """
        return write_run_report(self)

    def judge_lines(self) -> list[str]:
        """How the judge did in each stage, and what it has cost; empty where none was asked."""
        return judge_lines(self.recipe, self.store)

    def stale_notes(self, arguments: str = "") -> list[str]:
        """Returns a sentence on each stage not of today's recipe, or perhaps; see ``note``."""
        return stale_notes(self.store, stale_stages(self), arguments)


def stored_run(
    folder: Path, meter: Meter, *, read_only: bool = False, untouched: bool = False
) -> Run:
    """A run that is there already, wherever it was moved to.

    Args:
        folder: The run's folder.
        meter: Shown the progress.
        read_only: See :class:`Run`.
        untouched: Likewise.

    Raises:
        ConfigError: The folder holds no run.
    """
    if not (folder / "run.sqlite").is_file():
        raise ConfigError(f"{folder} is no run: it holds no run.sqlite. Give a run's folder.")
    recipe = load_recipe(folder / "recipe.yaml")
    recipe = recipe.model_copy(update={"run": str(folder)})
    return Run(recipe, meter, read_only=read_only, untouched=untouched, is_moved=True)
