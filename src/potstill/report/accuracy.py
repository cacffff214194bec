"""What a report is made of: everything a run has found so far, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from potstill.records import (
    Checkpoint,
    Choice,
    Comparison,
    GuidedPrediction,
    GuidedScore,
    Prediction,
    Rationale,
    Score,
    StageRecord,
    Task,
    TeacherScore,
    TrainingStep,
)
from potstill.store import Store
from potstill.tasks.overlap import Overlap

SUBJECT = "rationales"
"""The student that a report is about, where there is one of this name."""

OTHER_RULE = "generic_other_rule"
"""The role of a generic task under a rule that nothing is decided by, for comparison."""

REFERENCES = ("answers_only", "start", "start_few_shot", "start_zero_shot", "teacher")
"""Whom the subject is held against: the first of these that was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """The results of one run; every list may be empty."""

    tasks: tuple[Task, ...]
    """The leading task, then further ones."""

    recipe: str
    """The resolved recipe as YAML; empty where there is none."""

    settings: Mapping[str, object]
    """The same, read; empty where it cannot be."""

    scores: Sequence[Score]
    predictions: Sequence[Prediction]
    comparisons: Sequence[Comparison]
    rationales: Sequence[Rationale]
    training: Sequence[TrainingStep]
    checkpoints: Sequence[Checkpoint]
    stages: Sequence[StageRecord]
    failures: Mapping[str, int]
    """How many samples failed and were never answered, by reason."""

    overlaps: Sequence[Overlap] = ()
    """What the training questions share with each evaluation set."""

    notes: Sequence[str] = ()
    """What else a reader should know."""

    choices: Sequence[Choice] = ()
    """The checkpoint that each selection rule chooses for each student."""

    guided_scores: Sequence[GuidedScore] = ()
    guided_predictions: Sequence[GuidedPrediction] = ()
    teacher_scores: Sequence[TeacherScore] = ()
    """How often each teacher is right on training questions, and what became of its rationales."""

    roles: Mapping[str, str] = field(default_factory=dict)
    """What each task is for, by name; empty where nobody said."""

    @property
    def leading(self) -> Task:
        """The task that is trained for."""
        return self.tasks[0]

    @property
    def task_names(self) -> list[str]:
        """The tasks, and any other that was measured under an earlier recipe."""
        named = [task.name for task in self.tasks]
        return list(dict.fromkeys(named + [score.task for score in self.scores]))

    @property
    def systems(self) -> list[str]:
        """The systems with a test score, in the order they were measured in.

        Without the checkpoints that only another selection rule would have taken.
        """
        left_out = set(self.not_taken)
        tested = (score.system for score in self.scores if score.split == "test")
        return list(dict.fromkeys(system for system in tested if system not in left_out))

    @property
    def not_taken(self) -> list[str]:
        """The checkpoints that only another selection rule would have taken, as systems."""
        named = (self.checkpoint_system(each.student, each.step) for each in self.choices)
        taken = {each.student for each in self.choices}
        return [name for name in dict.fromkeys(named) if name not in taken]

    def checkpoint_system(self, student: str, step: int) -> str:
        """What a student's checkpoint is measured on test under, if a rule has chosen it."""
        used = (each.step for each in self.choices if each.student == student and each.used)
        return student if step in used else f"{student}@{step}"

    @property
    def students(self) -> list[str]:
        """The students that were trained, in the order they were trained in."""
        trained = [step.student for step in self.training]
        dev = [score for score in self.scores if score.split == "dev"]
        measured = [score.system for score in dev if score.step is not None]
        return list(dict.fromkeys(trained + measured))

    @property
    def last_checkpoints(self) -> list[Checkpoint]:
        """The last checkpoint of each student."""
        return list({checkpoint.student: checkpoint for checkpoint in self.checkpoints}.values())

    def test_score(self, system: str, task: str) -> Score | None:
        """A system's score on the test questions of a task."""
        key = (system, task, "test")
        found = (score for score in self.scores if (score.system, score.task, score.split) == key)
        return next(found, None)

    def dev_scores(self, system: str, task: str | None = None) -> list[Score]:
        """A student's scores on development questions, by step; a start has one of each task.

        Args:
            system: The student or start.
            task: By default the leading task.
        """
        key = (system, task or self.leading.name, "dev")
        found = [each for each in self.scores if (each.system, each.task, each.split) == key]
        return sorted(found, key=lambda score: score.step or 0)

    def comparison(self, first: str, second: str, task: str) -> Comparison | None:
        """Two systems on one task, whichever was named first when they were compared."""
        for each in self.comparisons:
            if each.task == task and {each.first, each.second} == {first, second}:
                return each if each.first == first else flipped(each)
        return None

    def with_role(self, role: str) -> list[Task]:
        """The tasks that are in the run for one purpose."""
        return [task for task in self.tasks if self.roles.get(task.name) == role]

    @property
    def start_names(self) -> list[str]:
        """The names of the models that every student is trained from, where there are several."""
        starts = self._setting("train", "starts")
        return [str(name) for name in starts] if isinstance(starts, Mapping) else []

    @property
    def asked_in(self) -> list[str]:
        """Further data formats that systems are asked in."""
        formats = self._setting("evaluate", "asked_in")
        return [str(name) for name in formats] if isinstance(formats, list) else []

    def family(self, student: str) -> tuple[str, str | None]:
        """A student's name without its start's, and the start's, where there are several."""
        students = self._setting("train", "students")
        named = students if isinstance(students, Mapping) else {}
        pairs = ((str(family), start) for family in named for start in self.start_names)
        return next((pair for pair in pairs if "_".join(pair) == student), (student, None))

    def start_of(self, student: str) -> str:
        """The system that a student was before its training."""
        start = f"start_{self.family(student)[1] or student}"
        return start if any(score.system == start for score in self.scores) else "start"

    @property
    def subject(self) -> str | None:
        """The student that the report is about: ``rationales``, else the one measured last."""
        measured = [system for system in self.systems if system in self.students]
        if not measured:
            return None
        return SUBJECT if SUBJECT in measured else measured[-1]

    @property
    def main_comparison(self) -> Comparison | None:
        """The subject against the nearest reference, on the leading task."""
        if self.subject is None:
            return None
        start = self.family(self.subject)[1]
        nearest = (f"answers_only_{start}", f"start_{start}") if start else ()
        others = (*nearest, *REFERENCES, *self.students)
        found = (self.comparison(self.subject, other, self.leading.name) for other in others)
        return next((comparison for comparison in found if comparison is not None), None)

    def _setting(self, section: str, name: str) -> object:
        """A setting of the recipe; None where there is none."""
        values = self.settings.get(section)
        return values.get(name) if isinstance(values, Mapping) else None

    def model(self, role: str) -> str:
        """The name of the ``teacher`` or ``student`` in the recipe, or an empty text."""
        section = self.settings.get(role)
        name = section.get("model") if isinstance(section, Mapping) else section
        return name if isinstance(name, str) else ""


def read_results(
    store: Store,
    tasks: Sequence[Task],
    folder: Path | None = None,
    *,
    overlaps: Sequence[Overlap] = (),
    notes: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
) -> Results:
    """Read what a run has found so far.

    Args:
        store: The run's store; a writer may be at work on it.
        tasks: The leading task, then further ones.
        folder: Where ``recipe.yaml`` may be.
        overlaps: What the training questions share with each evaluation set.
        notes: What else a reader should know.
        roles: What each task is for, by name.
    """
    file = folder / "recipe.yaml" if folder else None
    recipe = file.read_text("utf-8", errors="replace") if file and file.exists() else ""
    return Results(
        tasks=tuple(tasks),
        recipe=recipe,
        settings=_settings(recipe),
        scores=store.scores(),
        predictions=store.predictions(),
        comparisons=[
            flipped(each) if each.second == SUBJECT else each for each in store.comparisons()
        ],
        rationales=store.rationales(),
        training=store.training(),
        checkpoints=store.checkpoints(),
        stages=store.stages(),
        failures=store.failures(),
        overlaps=overlaps,
        notes=notes,
        choices=store.choices(),
        guided_scores=store.guided_scores(),
        guided_predictions=store.guided_predictions(),
        teacher_scores=store.teacher_scores(),
        roles=roles or {},
    )


def flipped(comparison: Comparison) -> Comparison:
    """The same comparison with first and second exchanged."""
    return replace(
        comparison,
        first=comparison.second,
        second=comparison.first,
        only_first=comparison.only_second,
        only_second=comparison.only_first,
        difference=-comparison.difference,
        low=-comparison.high,
        high=-comparison.low,
    )


def _settings(recipe: str) -> Mapping[str, object]:
    """A recipe as values. One that was edited into nonsense is still shown, as text."""
    try:
        values = yaml.safe_load(recipe)
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}
