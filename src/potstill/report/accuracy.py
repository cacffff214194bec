"""The results that a report is made of: everything in a run's store, read once.

Systems stand here as tables name them (:attr:`potstill.records.System.as_shown`): a student without
the step of the checkpoint that was taken for it, any other checkpoint with its step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from potstill.records import (
    Checkpoint,
    Choice,
    Collapse,
    Comparison,
    GuidedPrediction,
    GuidedScore,
    Prediction,
    Rationale,
    Score,
    StageMachine,
    StageRecord,
    System,
    SystemEngine,
    Task,
    TeacherScore,
    TrainingRound,
    TrainingStep,
)
from potstill.report.rationale_counts import RationaleCounts, count_rationales
from potstill.report.run_facts import RunFacts
from potstill.start_comparison import StartComparison, start_comparisons
from potstill.store import Stage, Store, Writer
from potstill.store.asked_questions import answers_question
from potstill.tasks.overlap import Overlap
from potstill.text.chosen_on_test import is_chosen_on_test
from potstill.yaml_text import parse_yaml

USUAL_STUDENT = System("rationales")
"""The student of a recipe that names none."""

OTHER_RULE = "generic_other_rule"
"""The role of a generic task under a rule that nothing is decided by, for comparison."""

REFERENCES = (
    System("answers_only"),
    System("start"),
    System("start", variant="few_shot"),
    System("start", variant="zero_shot"),
    System("teacher"),
)
"""The systems that the student is held against: the first of these that was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """The results of one run; every list may be empty."""

    tasks: tuple[Task, ...]
    """The leading task, then further ones."""

    recipe: str
    """The recipe that the results are of, as YAML with its defaults; empty where there is none."""

    settings: Mapping[str, object]
    """The values of ``recipe``; empty where it cannot be read."""

    scores: Sequence[Score]
    predictions: Sequence[Prediction]
    comparisons: Sequence[Comparison]
    rationales: Sequence[Rationale]
    """The rationales of the leading task's training questions as these are now."""

    rationale_counts: RationaleCounts

    training: Sequence[TrainingStep]
    checkpoints: Sequence[Checkpoint]
    stages: Sequence[StageRecord]
    failures: Mapping[str, int]
    """The number of samples that failed and were never answered, by reason."""

    uncounted: int = 0
    """Paid answers without some count of tokens, whose cost is the most that it can be."""

    overlaps: Sequence[Overlap] = ()
    """The questions and phrases that training and each evaluation set share."""

    notes: Sequence[str] = ()
    """Further sentences for the reader."""

    choices: Sequence[Choice] = ()
    """The checkpoint that each selection rule chooses for each student."""

    guided_scores: Sequence[GuidedScore] = ()
    guided_predictions: Sequence[GuidedPrediction] = ()
    teacher_tokens: float | None = None
    """Most teacher tokens a question that the user would pay for; None: not said."""

    teacher_scores: Sequence[TeacherScore] = ()
    """How often each teacher is right on training questions, and what became of its rationales."""

    rounds: Sequence[TrainingRound] = ()
    """The rounds of on-policy students, student by student."""

    collapses: Sequence[Collapse] = ()
    """The on-policy trainings that a limit has ended."""

    rationale_tokens: int = 0
    """Tokens that teachers have read and written for rationales."""

    roles: Mapping[str, str] = field(default_factory=dict)
    """The role of each task by its name; empty where it is not known."""

    writers: Sequence[Writer] = ()
    """Who wrote the rationales, by the requests that were really asked."""

    engines: Sequence[SystemEngine] = ()
    """The program that computed each local system."""

    machines: Sequence[StageMachine] = ()
    """The machines that each stage has worked on; of an older potstill's run none is known."""

    outdated_rationales: int = 0
    """Rationales left out: their question or gold answer has changed since they were curated."""

    outdated_answers: int = 0
    """Test answers not shown beside a question: theirs has changed since it was asked."""

    facts: RunFacts = field(default_factory=RunFacts)
    """Facts about the run that its store does not hold."""

    @property
    def leading(self) -> Task:
        """The task that is trained for."""
        return self.tasks[0]

    @property
    def chosen_on_test(self) -> bool:
        """Whether checkpoints were chosen on the test questions, which makes figures too high."""
        return is_chosen_on_test(self.choices)

    @property
    def outdated_notes(self) -> list[str]:
        """Sentences on rationales and test answers to questions that the tasks have no more."""
        notes = []
        if self.outdated_rationales:
            notes.append(
                f"{self.outdated_rationales:,} rationales are left out: the questions or gold "
                "answers that they were curated for have changed. Run potstill curate again."
            )
        if self.outdated_answers:
            notes.append(
                f"{self.outdated_answers:,} test answers are to questions that have changed, and "
                "stand beside none. Run potstill evaluate again."
            )
        return notes

    @property
    def task_names(self) -> list[str]:
        """The tasks, and any other that was measured under an earlier recipe."""
        named = [task.name for task in self.tasks]
        return list(dict.fromkeys(named + [score.task for score in self.scores]))

    @property
    def systems(self) -> list[System]:
        """The systems with a test score, in the order they were measured in.

        Without the checkpoints that only another selection rule would have taken.
        """
        tested = (score.system for score in self.scores if score.split == "test")
        return list(dict.fromkeys(system.as_shown for system in tested if system.taken))

    @property
    def not_taken(self) -> list[System]:
        """The checkpoints that only another selection rule would have taken, as systems."""
        chosen = (self.checkpoint_system(choice.system, choice.step) for choice in self.choices)
        return [system for system in dict.fromkeys(chosen) if not system.taken]

    def checkpoint_system(self, student: System, step: int) -> System:
        """Returns the system that a checkpoint is measured on test as, if a rule chose it."""
        used = (choice.step for choice in self.choices if choice.system == student and choice.used)
        return student if step in used else replace(student, step=step, taken=False)

    @property
    def students(self) -> list[System]:
        """The students that were trained, in the order they were trained in."""
        trained = [line.system for line in self.training]
        trained += [collapse.system for collapse in self.collapses]  # maybe before a first step
        dev = [score.system for score in self.scores if score.split == "dev"]
        measured = [system.bare for system in dev if system.step is not None]
        return list(dict.fromkeys(trained + measured))

    @property
    def last_checkpoints(self) -> list[Checkpoint]:
        """The last checkpoint of each student."""
        return list({checkpoint.system: checkpoint for checkpoint in self.checkpoints}.values())

    def test_score(self, system: System, task: str) -> Score | None:
        """Returns a system's score on the test questions of a task."""
        key = (system.as_shown, task, "test")
        scores = (
            score
            for score in self.scores
            if (score.system.as_shown, score.task, score.split) == key
        )
        return next(scores, None)

    def dev_scores(self, model: System, task: str | None = None) -> list[Score]:
        """Returns a student's scores on development questions, by step; a start has one a task.

        Args:
            model: The student or start.
            task: The task's name; by default the leading task's.
        """
        key = (model, task or self.leading.name, "dev")
        scores = [
            score for score in self.scores if (score.system.bare, score.task, score.split) == key
        ]
        return sorted(scores, key=lambda score: score.step or 0)

    def comparison(self, first: System, second: System, task: str) -> Comparison | None:
        """Returns two systems on one task, whichever was first when they were compared."""
        sought = {first.as_shown, second.as_shown}
        for comparison in self.comparisons:
            compared = (comparison.first.as_shown, comparison.second.as_shown)
            if comparison.task == task and {*compared} == sought:
                return comparison if compared[0] == first.as_shown else flipped(comparison)
        return None

    def with_role(self, role: str) -> list[Task]:
        """Returns the tasks that are in the run for one purpose."""
        return [task for task in self.tasks if self.roles.get(task.name) == role]

    def start_of(self, student: System) -> System:
        """Returns the system that a student was before its training."""
        start = System("start", student.start or student.model)
        return start if any(score.system == start for score in self.scores) else System("start")

    @property
    def chosen(self) -> System | None:
        """The student in ``model/``, which the report is about; None before any was measured.

        It has the most right development answers, and of equals it was measured last. A pair of
        students has no training of its own and is never the one; a store without any training is
        taken to hold students alone.
        """
        trained = {line.system for line in self.training}
        trained |= {checkpoint.system for checkpoint in self.checkpoints}
        trained = trained or set(self.students)
        development = {
            score.system.bare: score.correct
            for score in self.scores
            if score.split == "dev" and score.task == self.leading.name and score.chosen
        }
        return max(
            reversed([system for system in self.systems if system in trained]),
            key=lambda student: development.get(student, -1),
            default=None,
        )

    @property
    def against_start(self) -> dict[str, StartComparison]:
        """The chosen student against its start by task, the leading one first."""
        student = self.chosen
        if student is None:
            return {}
        found = start_comparisons(
            self.comparisons, student, self.start_of(student), left_out=self.other_rule_tasks
        )
        return {task: found[task] for task in self.task_names if task in found}

    @property
    def other_rule_tasks(self) -> list[str]:
        """The tasks that hold another's answers under another grader, and decide nothing."""
        return [task for task, role in self.roles.items() if role == OTHER_RULE]

    @property
    def main_comparison(self) -> Comparison | None:
        """The chosen student against the nearest reference, on the leading task."""
        student = self.chosen
        if student is None:
            return None
        start = student.start
        nearest = (System("answers_only", start), System("start", start)) if start else ()
        others = (*nearest, *REFERENCES, *self.students)
        compared = (self.comparison(student, other, self.leading.name) for other in others)
        return next((comparison for comparison in compared if comparison is not None), None)

    @property
    def authors(self) -> str:
        """The models that wrote the rationales; of a run without any, the recipe's teacher."""
        names = (writer.model.rpartition("@")[0] or writer.model for writer in self.writers)
        return ", ".join(dict.fromkeys(names)) or self.model("teacher")

    def model(self, role: str) -> str:
        """Returns the model of ``teacher`` or ``student`` in the recipe, or an empty text."""
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
    teacher_tokens: float | None = None,
    facts: RunFacts | None = None,
) -> Results:
    """Read what a run has found so far.

    Args:
        store: The run's store; a writer may be at work on it.
        tasks: The leading task, then further ones.
        folder: The folder whose ``recipe.yaml`` is read where the store has no recipe.
        overlaps: The questions and phrases that training and each evaluation set share.
        notes: Further sentences for the reader.
        roles: The role of each task by its name.
        teacher_tokens: Most teacher tokens a question that the user would pay for.
        facts: Facts about the run that its store does not hold.
    """
    recipe = _recipe_text(store, folder)
    predictions = store.predictions()
    current = store.current_rationales(tasks[0].splits["train"])
    results = Results(
        tasks=tuple(tasks),
        recipe=recipe,
        settings=_settings(recipe),
        scores=store.scores(),
        predictions=predictions,
        comparisons=store.comparisons(),
        rationales=current.rationales,
        rationale_counts=count_rationales(current.rationales),
        outdated_rationales=current.outdated,
        outdated_answers=_outdated_answers(predictions, tasks),
        training=store.training(),
        checkpoints=store.checkpoints(),
        stages=store.stages(),
        failures=store.failures(),
        uncounted=store.uncounted(),
        overlaps=overlaps,
        notes=notes,
        choices=store.choices(),
        engines=store.engines(),
        machines=store.machines(),
        guided_scores=store.guided_scores(),
        guided_predictions=store.guided_predictions(),
        teacher_tokens=teacher_tokens,
        teacher_scores=store.teacher_scores(),
        rounds=store.rounds(),
        collapses=store.collapses(),
        rationale_tokens=store.tokens_of("generate"),
        roles=roles or {},
        writers=store.writers(),
        facts=facts or RunFacts(),
    )
    return replace(results, comparisons=_chosen_first(results))


def _chosen_first(results: Results) -> list[Comparison]:
    """Returns the comparisons, those of the chosen student as ones of it against another."""
    student = results.chosen
    return [
        one if student is None or one.second.as_shown != student else flipped(one)
        for one in results.comparisons
    ]


def _recipe_text(store: Store, folder: Path | None) -> str:
    """Returns the recipe that made the newest results; that of the folder if none is known."""
    stages: tuple[Stage, ...] = ("evaluate", "train", "curate")
    made = (store.provenance(stage) for stage in stages)
    known = next((one for one in made if one is not None), None)
    if known is not None and known.recipe:
        return known.recipe
    file = folder / "recipe.yaml" if folder else None
    return file.read_text("utf-8", errors="replace") if file and file.exists() else ""


def _outdated_answers(predictions: Iterable[Prediction], tasks: Iterable[Task]) -> int:
    """Counts the test answers to questions that their task does not have now."""
    questions = {
        task.name: {question.id: question for question in task.splits["test"]} for task in tasks
    }
    return sum(
        (question := questions[prediction.task].get(prediction.question_id)) is None
        or not answers_question(prediction, question)
        for prediction in predictions
        if prediction.task in questions
    )


def flipped(comparison: Comparison) -> Comparison:
    """Returns the same comparison with first and second exchanged."""
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
    """Returns a recipe as values; one edited into nonsense has none, and is shown as text."""
    try:
        values = parse_yaml(recipe)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
