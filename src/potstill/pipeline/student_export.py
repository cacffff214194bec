"""The chosen student of a run, written to ``model/`` with what is known of where it comes from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from potstill.evaluate import (
    Evaluation,
    StudentOrigin,
    export_model,
)
from potstill.evaluate.tie import tie_of
from potstill.pipeline.chosen_student import measuring_engine, student_asking
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Score
from potstill.report.accuracy import OTHER_RULE
from potstill.start_comparison import start_comparisons

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def export_chosen(run: "Run", evaluation: Evaluation) -> Evaluation:
    """Write the chosen student to ``model/``, with its model card.

    Returns:
        The evaluation, with the chosen student held against its start.
    """
    chosen = evaluation.chosen
    if chosen is None:
        return evaluation
    start = run.students.start_of(chosen)
    task = run.task.name
    others = [entry.name for entry in run.entries if entry.role == OTHER_RULE]
    against = start_comparisons(
        evaluation.comparisons, chosen.system, start.system, left_out=others
    ).get(task)
    origin = _origin_of(run, chosen, evaluation.scores)
    asking = student_asking(run, chosen)
    export_model(chosen, evaluation.scores, run.folder, origin, against, asking=asking)
    return evaluation._replace(against_start=against, tie=origin.tie)


def _origin_of(run: "Run", chosen: Checkpoint, scores: Sequence[Score]) -> StudentOrigin:
    """Returns where a student comes from, by the store and, for its settings, by the recipe."""
    settings = run.students.settled.get(chosen.system)
    alone = {
        checkpoint.system
        for checkpoint in run.store.checkpoints()
        if format_named(checkpoint.data_format).states_answer
    }
    return StudentOrigin(
        task=run.task.name,
        start=run.students.start_of(chosen).settings.model,
        formats=[*settings.formats] if settings else [chosen.data_format],
        writers=run.store.writers(),
        rule=run.recipe.evaluate.select,
        students=len(alone),
        tie=tie_of(
            chosen,
            scores,
            task=run.task.name,
            alone=alone,
            by_accuracy=run.recipe.evaluate.select == "in_distribution",
        ),
        card=run.recipe.card,
        languages=() if run.recipe.task.file is not None else ("en",),
        questions={split: len(run.task.splits[split]) for split in ("train", "dev", "test")},
        engine=measuring_engine(run, chosen),
    )
