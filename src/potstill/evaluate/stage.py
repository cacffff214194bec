"""The evaluate stage: checkpoints → predictions, scores and the choice of checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from potstill.evaluate.candidates import CheckpointCandidate, DevScorer, candidates
from potstill.evaluate.changed_answers import keep_confidence
from potstill.evaluate.measure import EvalContext, Measured, compare_systems
from potstill.evaluate.selection import applicable, choose
from potstill.evaluate.settings import EvaluateSettings
from potstill.evaluate.systems import (
    EvalModels,
    EvalTask,
    MeasuredSystem,
    baseline_systems,
    not_taken,
)
from potstill.evaluate.tie import Tie
from potstill.grading.grade import GRADER_VERSION
from potstill.html_tables import html_table
from potstill.keys import settings_hash
from potstill.models import Model
from potstill.records import Checkpoint, Choice, Comparison, Score, System, SystemEngine
from potstill.runtime.context import RunContext
from potstill.sampling.judge import Judge
from potstill.start_comparison import StartComparison
from potstill.text.points import percent_with_interval, points


class Evaluation(NamedTuple):
    """The results of the stage."""

    scores: list[Score]
    comparisons: list[Comparison]
    choices: list[Choice]
    """The checkpoint that each selection rule chooses for each student."""

    chosen: Checkpoint | None
    """The one of the highest development accuracy among the checkpoints taken, of all students
    that answer alone; None where there is none."""

    left_out: list[str]
    """Notes on systems: those that could not be measured on a task, and why; further remarks."""

    against_start: StartComparison | None = None
    """The chosen student against its start on test questions, the start asked as it does best."""

    tie: Tie | None = None
    """The equals of the chosen student's checkpoint."""

    def _repr_html_(self) -> str:
        """Returns the test scores as notebooks show them, and what is to be said of them."""
        rows = [
            (
                score.task,
                score.system.as_shown.label,
                percent_with_interval(score.correct / score.total, score.low, score.high),
                f"{score.total:,}",
            )
            for score in self.scores
            if score.split == "test"
        ]
        notes = [*self.left_out]
        if self.against_start is not None:
            held = self.against_start.comparison
            notes.insert(
                0,
                f"{held.first.as_shown.label} less {held.second.as_shown.label} on {held.task}: "
                f"{points(held.difference)} points, 95% interval {points(held.low)} to "
                f"{points(held.high)}.",
            )
        return html_table(("task", "system", "percent right", "questions"), rows, notes=notes)


class Selection(NamedTuple):
    """The choice that development questions make for one student or pair."""

    taken: CheckpointCandidate
    others: list[CheckpointCandidate]
    """The checkpoints that only other rules would have taken."""

    choices: list[Choice]
    scores: list[Score]
    correct: int
    """Development questions of the task trained for that the checkpoint taken answers rightly."""


def evaluate(
    entries: Sequence[EvalTask],
    models: EvalModels,
    settings: EvaluateSettings,
    context: RunContext,
    *,
    seed: int,
    judge: Judge | None = None,
    made_by: str = "",
) -> Evaluation:
    """Measure teacher, starts and students on the same test questions.

    Each student is the checkpoint that the recipe's rule chooses by the accuracy of answers to
    development questions, and a pair is the checkpoints of both that it chooses by those of the
    pair. The checkpoints that only other rules would have taken are measured beside it, as systems
    that are not ``taken``. Test questions choose nothing, unless the rule is ``best_on_test``,
    which takes the checkpoint with most right answers to those of the first task; all that shows
    its figures says so. A start's development scores have no step.

    Args:
        entries: The tasks, the one that was trained for first; from
            :func:`potstill.evaluate.systems.entries`.
        models: The models beside the store's checkpoints, and how each is opened.
        settings: How systems are measured, and by which rule a checkpoint is taken.
        context: The run, whose store holds the checkpoints and takes answers and results.
        judge: Reads what the rules cannot, of tasks whose rule is ``judge``.
        seed: Seeds the bootstrap and the samples that students vote over.
        made_by: Stands for all that determines the results, and is stored with them; by default
            a hash of the settings.
    """
    measuring = EvalContext(context, left_out=[], judge=judge)
    development = DevScorer(entries, models, settings, measuring)
    systems = baseline_systems(models, settings)
    offers = list(candidates(context.store.checkpoints(), models, settings, seed=seed))
    context.progress.expect(_expected_answers(systems, offers, entries, models), "answers")
    dev_scores = [
        score for start in models.starts for score in development.score_start(start.system).values()
    ]
    selections: list[Selection] = []
    for offered in offers:
        selection = _choose(development, offered, entries[0].name, settings)
        systems += [selection.taken.system, *selection.taken.further]
        systems += [not_taken(other.system) for other in selection.others]
        dev_scores += selection.scores
        selections.append(selection)
    measured, engines = _measure_all(systems, entries, measuring, settings.confidence)
    comparisons = list(_comparisons(measured, settings.bootstrap, seed))
    choices = [choice for selection in selections for choice in selection.choices]
    scores = dev_scores + [result.score for result in measured]
    predictions = (prediction for result in measured for prediction in result.predictions)
    rules = [entry.task.rule for entry in entries]
    made_by = made_by or settings_hash(
        settings.model_dump(mode="json", exclude={"confidence"}), rules, GRADER_VERSION, seed
    )
    context.store.replace_evaluation(
        scores,
        predictions,
        comparisons,
        choices,
        engines,
        grader=GRADER_VERSION,
        settings_hash=made_by,
    )
    chosen = _best_checkpoint(selections)
    return Evaluation(scores, comparisons, choices, chosen, measuring.left_out)


def _best_checkpoint(selections: Sequence[Selection]) -> Checkpoint | None:
    """Returns the checkpoint of the student with most right answers to development questions.

    Among equal students the one named last is taken: by default the one that learned rationales.
    """
    alone = [one for one in reversed(selections) if one.taken.checkpoint is not None]
    best = max(alone, key=lambda selection: selection.correct, default=None)
    return best.taken.checkpoint if best else None


def _expected_answers(
    baselines: Sequence[MeasuredSystem],
    offers: Sequence[Sequence[CheckpointCandidate]],
    entries: Sequence[EvalTask],
    models: EvalModels,
) -> int:
    """Returns how many questions will be put: to all on development, to those taken on test.

    Checkpoints that only other rules would take are not known before the choice.
    """
    followed = sum(len(entry.task.splits["dev"]) for entry in entries if entry.followed)
    checkpoints = sum(map(len, offers))
    taken = [system for offered in offers for system in (offered[-1].system, *offered[-1].further)]
    tested = sum(
        len(entry.task.splits["test"])
        for system in (*baselines, *taken)
        for entry in entries
        if system.answers(entry)
    )
    return (len(models.starts) + checkpoints) * followed + tested


def _measure_all(
    systems: Sequence[MeasuredSystem],
    entries: Sequence[EvalTask],
    measuring: EvalContext,
    confidence: int,
) -> tuple[list[Measured], list[SystemEngine]]:
    """Returns each system's results on test questions, and what computed the local ones.

    Args:
        systems: The systems, starts before students.
        entries: The tasks.
        measuring: The run.
        confidence: Changed answers of a student on a task whose tokens' probabilities are kept.
    """
    measured: list[Measured] = []
    engines: list[SystemEngine] = []
    for place, system in enumerate(systems):
        model = measuring.opened(system)
        for entry in filter(system.answers, entries):
            result = measuring.measure(system, model, entry, "test")
            if result is None:
                continue
            if confidence and system.is_student:
                keep_confidence(result, measured, entry, model, measuring.run, most=confidence)
            measured.append(result)
        engines += _engine_of(system.system, model)
        if not _is_same_model(system, systems[place + 1 : place + 2]):
            measuring.run.runtime.release()  # the next may need the same GPU
    return measured, engines


def _engine_of(system: System, model: Model) -> list[SystemEngine]:
    """Returns the program that computed a system, where it is a local one that was asked."""
    engine, number_format = getattr(model, "engine", ""), getattr(model, "number_format", "")
    return [SystemEngine(system=system, engine=engine, number_format=number_format)] * bool(engine)


def _is_same_model(system: MeasuredSystem, following: Sequence[MeasuredSystem]) -> bool:
    """Returns whether the next system, if there is one, is the same model asked in another way."""
    return any(
        (other.system.bare, other.system.step) == (system.system.bare, system.system.step)
        for other in following
    )


def _choose(
    development: DevScorer,
    offered: Sequence[CheckpointCandidate],
    target: str,
    settings: EvaluateSettings,
) -> Selection:
    """Returns the checkpoints that the rules take of those offered, by development scores.

    Only ``best_on_test`` goes by scores on test.
    """
    by_step = {candidate.step: candidate for candidate in offered}
    found = {
        step: development.score_candidate(candidate.system) for step, candidate in by_step.items()
    }
    standings = [development.standing(*scores) for scores in found.values()]
    scored = {step: scores.development for step, scores in found.items()}
    steps = {rule: choose(rule, standings).step for rule in applicable(standings[0])}
    taken = steps[settings.select]
    student = offered[0].system.system
    return Selection(
        taken=by_step[taken],
        others=[by_step[step] for step in sorted({*steps.values()} - {taken})],
        choices=[
            Choice(
                student=student.model,
                start=student.start,
                rule=rule,
                step=step,
                used=rule == settings.select,
            )
            for rule, step in steps.items()
        ],
        scores=[
            replace(score, system=replace(score.system, taken=step == taken))
            for step, scores in scored.items()
            for score in scores.values()
        ],
        correct=scored[taken][target].correct,
    )


def _comparisons(measured: Sequence[Measured], resamples: int, seed: int) -> Iterator[Comparison]:
    """Yields the pairs worth a test, on each task that both answered."""
    for one, two in combinations(measured, 2):
        if one.score.task != two.score.task or not _comparable(one.system, two.system):
            continue
        first, second = (two, one) if _leads(two.system, one.system) else (one, two)
        yield compare_systems(first, second, resamples=resamples, seed=seed)


def _comparable(one: MeasuredSystem, two: MeasuredSystem) -> bool:
    """Returns whether two systems are compared: students with all others, as far as it says much.

    A checkpoint that was not taken is held against the one that was. In a further data format a
    student is held against itself, and against others in that format.
    """
    if one.in_data_format and two.in_data_format:
        same_format = one.asking.style.name == two.asking.style.name
        return same_format and (one.system.step is not None or two.system.step is not None)
    apart = any(side.in_data_format or not side.system.taken for side in (one, two))
    if apart and one.system.bare != two.system.bare:
        return False
    return one.is_student or two.is_student


def _leads(two: MeasuredSystem, one: MeasuredSystem) -> bool:
    """Returns whether the second of two stands first: students do, and of these the later one."""
    if one.in_data_format and two.in_data_format:
        return two.system.step is not None
    return two.is_student
