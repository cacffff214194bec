"""The evaluate stage: checkpoints → predictions, scores and the choice of checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from potstill.evaluate.candidates import CheckpointCandidate, DevScorer, candidates
from potstill.evaluate.measure import EvalContext, Measured, compared
from potstill.evaluate.selection import applicable, choose
from potstill.evaluate.settings import EvaluateSettings
from potstill.evaluate.systems import (
    EvalModels,
    EvalTask,
    System,
    baseline_systems,
    not_taken,
)
from potstill.grading.grade import GRADER_VERSION
from potstill.keys import settings_hash
from potstill.records import Checkpoint, Choice, Comparison, Score
from potstill.runtime.progress import Meter
from potstill.store import Store


class Evaluation(NamedTuple):
    """What the stage found."""

    scores: list[Score]
    comparisons: list[Comparison]
    choices: list[Choice]
    """The checkpoint that each selection rule chooses for each student."""

    chosen: Checkpoint | None
    """Of the checkpoints taken, the one with the highest development accuracy of all students that
    answer alone; None where there is none."""

    left_out: list[str]
    """Which systems could not be measured on what, and why; what else should be said of them."""


class Selection(NamedTuple):
    """What development questions say about one student or pair."""

    taken: CheckpointCandidate
    others: list[CheckpointCandidate]
    """Those that only other rules would have taken."""

    choices: list[Choice]
    scores: list[Score]
    correct: int
    """Development questions of the task trained for that the checkpoint taken answers rightly."""


def evaluate(
    entries: Sequence[EvalTask],
    contenders: EvalModels,
    store: Store,
    settings: EvaluateSettings,
    meter: Meter,
    *,
    seed: int,
) -> Evaluation:
    """Measure teacher, starts and students on the same test questions.

    Each student is the checkpoint that the recipe's rule chooses by the accuracy of answers to
    development questions, and a pair is the checkpoints of both that it chooses by those of the
    pair. What the other rules would have taken is measured beside it, as ``STUDENT@STEP``. Test
    questions choose nothing. A start's development scores have no step.

    Args:
        entries: What is measured on, the task that was trained for first; from
            :func:`potstill.evaluate.systems`.
        contenders: Who is measured beside the store's checkpoints, and how models are opened.
        store: Holds the checkpoints, takes answers and results.
        settings: Of this stage.
        meter: Shown the progress.
        seed: Of the bootstrap and of the samples that students vote over.
    """
    bench = EvalContext(store, meter, left_out=[])
    development = DevScorer(entries, contenders, settings, bench)
    systems = baseline_systems(contenders, settings)
    dev_scores = [
        score for start in contenders.starts for score in development.of_start(start.name).values()
    ]
    found: list[Selection] = []
    for offered in candidates(store.checkpoints(), contenders, settings, seed=seed):
        student = _choose(development, offered, entries[0].name, settings)
        systems += [student.taken.system, *student.taken.further]
        systems += [not_taken(each.system) for each in student.others]
        dev_scores += student.scores
        found.append(student)
    measured = [result for system in systems for result in _on_tests(bench, system, entries)]
    comparisons = list(_comparisons(measured, settings.bootstrap, seed))
    choices = [choice for student in found for choice in student.choices]
    scores = dev_scores + [result.score for result in measured]
    predictions = [prediction for result in measured for prediction in result.predictions]
    rules = [entry.task.rule for entry in entries]
    made_by = settings_hash(settings.model_dump(mode="json"), rules, GRADER_VERSION, seed)
    store.replace_evaluation(
        scores, predictions, comparisons, choices, grader=GRADER_VERSION, settings_hash=made_by
    )
    # Of equal students the one named last: by default the one that learned from rationales.
    alone = [student for student in reversed(found) if student.taken.checkpoint is not None]
    best = max(alone, key=lambda student: student.correct, default=None)
    return Evaluation(scores, comparisons, choices, best and best.taken.checkpoint, bench.left_out)


def _choose(
    development: DevScorer,
    offered: Sequence[CheckpointCandidate],
    target: str,
    settings: EvaluateSettings,
) -> Selection:
    """What every rule takes of what is offered, by its development scores alone."""
    by_step = {each.step: each for each in offered}
    scored = {step: development.of_system(each.system) for step, each in by_step.items()}
    standings = [development.standing(scores) for scores in scored.values()]
    steps = {rule: choose(rule, standings).step for rule in applicable(standings[0])}
    taken = steps[settings.select]
    return Selection(
        taken=by_step[taken],
        others=[by_step[step] for step in sorted({*steps.values()} - {taken})],
        choices=[
            Choice(
                student=offered[0].system.name, rule=rule, step=step, used=rule == settings.select
            )
            for rule, step in steps.items()
        ],
        scores=[
            replace(score, chosen=step == taken)
            for step, scores in scored.items()
            for score in scores.values()
        ],
        correct=scored[taken][target].correct,
    )


def _on_tests(
    bench: EvalContext, system: System, entries: Sequence[EvalTask]
) -> Iterator[Measured]:
    model = system.open()
    for entry in entries:
        if system.answers(entry):
            measured = bench.measure(system, model, entry, "test")
            if measured is not None:
                yield measured
    bench.meter.control.release()  # the next may need the same GPU


def _comparisons(measured: Sequence[Measured], resamples: int, seed: int) -> Iterator[Comparison]:
    """The pairs worth a test, on each task that both answered."""
    for one, two in combinations(measured, 2):
        if one.score.task != two.score.task or not _comparable(one.system, two.system):
            continue
        first, second = (two, one) if _leads(two.system, one.system) else (one, two)
        yield compared(first, second, resamples=resamples, seed=seed)


def _comparable(one: System, two: System) -> bool:
    """Whether two systems are compared: students with all others, as far as it means anything.

    A checkpoint that was not taken is held against the one that was. In a further data format a
    student is held against itself, and against others in that format.
    """
    kinds = {one.kind, two.kind}
    if kinds == {"data_format"}:
        same_format = one.asking.style.name == two.asking.style.name
        return same_format and (one.step is not None or two.step is not None)
    if kinds & {"data_format", "not_taken"} and one.model != two.model:
        return False
    return one.is_student or two.is_student


def _leads(two: System, one: System) -> bool:
    """Whether the second of two stands first in their comparison: students do, the later one."""
    if one.kind == two.kind == "data_format":
        return two.step is not None
    return two.is_student
