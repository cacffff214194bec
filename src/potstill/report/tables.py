"""A run's results for programs (summary.json) and as tables for a terminal of 100 columns."""

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from potstill.records import Choice, Comparison, GuidedScore, Score, StageRecord, Task
from potstill.records.policy import RANDOM
from potstill.report.accuracy import Results, read_results
from potstill.report.guidance import (
    GuidanceSection,
    guidance,
    kept,
    lengths,
    per_100_tokens,
    turned,
)
from potstill.report.guidance_text import findings
from potstill.report.overlap_notes import untouched
from potstill.report.recommendation import recommended
from potstill.report.round_charts import taught_systems
from potstill.report.text import DASH, interval, percent
from potstill.report.tiles import summarised
from potstill.store import Store
from potstill.tasks.overlap import Overlap
from potstill.text.chosen_on_test import CHOSEN_ON_TEST
from potstill.text.points import points

TASKS_ABREAST = 2
"""How many tasks fit beside each other in a terminal of 100 columns."""


def summary(results: Results) -> dict[str, object]:
    """Returns the results as plain values: accuracies on test questions, shares from 0 to 1."""
    leading = results.leading.name
    return {
        "tasks": {task: _accuracies(results, task) for task in results.task_names},
        "leading_task": leading,
        "findings": summarised(results),
        "machines": [asdict(machine) for machine in results.machines],
        "roles": dict(results.roles),
        "choices": [_choice(choice) for choice in results.choices],
        "chosen_on_test": CHOSEN_ON_TEST if results.chosen_on_test else None,
        "engines": {
            one.system.label: {"engine": one.engine, "number_format": one.number_format}
            for one in results.engines
        },
        "paired": {
            f"{comparison.first.label} vs {comparison.second.label}": comparison.p_value
            for comparison in results.comparisons
            if comparison.task == leading
        },
        "comparisons": [_comparison(comparison) for comparison in results.comparisons],
        "guidance": {found.task: _guidance(results, found) for found in guidance(results)},
        "rounds": [asdict(own) for own in results.rounds],
        "collapses": [asdict(collapse) for collapse in results.collapses],
        "teacher_tokens": [
            {name: value for name, value in one._asdict().items() if name not in ("name", "look")}
            for one in taught_systems(results)
        ],
        "teachers": [asdict(score) for score in results.teacher_scores],
        "overlap": [_counts(overlap) | _without(overlap, results) for overlap in results.overlaps],
        "notes": [*results.notes, *results.outdated_notes],
        "stages": {stage.name: _spent(stage) for stage in results.stages},
    }


def _choice(choice: Choice) -> dict[str, object]:
    """Returns a choice with its student by label."""
    return {
        "student": choice.system.label,
        "rule": choice.rule,
        "step": choice.step,
        "used": choice.used,
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    """Returns a comparison with its systems by label."""
    first, second = comparison.first.label, comparison.second.label
    return asdict(comparison) | {"first": first, "second": second}


def _accuracies(results: Results, task: str) -> dict[str, dict[str, float]]:
    measured = (*results.systems, *results.not_taken)
    scores = {system: results.test_score(system, task) for system in measured}
    return {
        system.label: {
            "correct": score.correct,
            "total": score.total,
            "low": score.low,
            "high": score.high,
        }
        | ({} if score.thinking_ended is None else {"thinking_ended": score.thinking_ended})
        for system, score in scores.items()
        if score is not None
    }


def _guidance(results: Results, found: GuidanceSection) -> dict[str, object]:
    """A task's guided scores, on development questions too, and what they come to."""
    best = found.best
    by_length = lengths(results, found)
    kept_of = {score.policy: kept(found, score) for score in found.sparing}
    scores = [score for score in results.guided_scores if score.task == found.task]
    return {
        "scores": [
            asdict(score) | {"policy": score.policy.label, "kind": score.policy.kind}
            for score in scores
        ],
        "findings": findings(found),
        "recommended": recommended(results, found.task),
        "best": best.policy.label if best else None,
        "points_per_100_teacher_tokens": per_100_tokens(best) if best else None,
        "routed_for_the_same_tokens": found.routed(best.teacher_tokens) if best else {},
        "kept_of_the_first_step": {
            policy.label: {"gain": shares[0], "teacher_tokens": shares[1]}
            for policy, shares in kept_of.items()
            if shares is not None
        },
        "right_by_steps": {
            policy.label: dict(zip(by_length.steps, map(list, cells), strict=True))
            for policy, cells in by_length.rows.items()
        }
        if by_length
        else None,
        "turned": {
            name: change.answers
            for name, right in (("right", True), ("wrong", False))
            if (change := turned(results, found, right=right)) is not None
        },
    }


def _counts(overlap: Overlap) -> dict[str, object]:
    """Returns an overlap without the questions, which stand nowhere else in summary.json."""
    left_out = ("examples", "ids", "hit_ids")
    return {name: value for name, value in asdict(overlap).items() if name not in left_out}


def _without(overlap: Overlap, results: Results) -> dict[str, object]:
    """Returns the right answers without the overlapping test questions, where there are some."""
    systems = untouched(overlap, results.predictions)
    if not systems:
        return {}
    return {
        "without": {
            one.system.label: {"correct": one.correct, "total": one.total} for one in systems
        }
    }


def _spent(stage: StageRecord) -> dict[str, float]:
    spent = {"seconds": stage.seconds, "tokens": stage.tokens}
    return spent | ({"cost": stage.cost} if stage.cost else {})


def accuracy_table(store: Store, tasks: Sequence[Task]) -> Table:
    """Returns the test accuracies as a table.

    Args:
        store: The run's store.
        tasks: The leading task, then further ones.

    Returns:
        One row a system and one column a task; where the tasks are many, they stand one below
        another, each with its systems.
    """
    results = read_results(store, tasks)
    if not results.systems:
        table = Table(box=None, show_header=False)
        table.add_row("No test question has been answered yet.")
        return table
    abreast = len(results.task_names) <= TASKS_ABREAST
    table = _abreast(results) if abreast else _one_below_another(results)
    if lines := thinking_lines(results):
        table.caption, table.caption_justify = Text("\n".join(lines)), "left"
    return table


def thinking_lines(results: Results) -> list[str]:
    """Returns, a line a task, in how many answers of each system a budget ended the thinking.

    There is none where there was no such budget.
    """
    lines = []
    for task in results.task_names:
        scores = [(system, results.test_score(system, task)) for system in results.systems]
        ended = [
            f"{system.label} {score.thinking_ended:,}/{score.total:,}"
            for system, score in scores
            if score is not None and score.thinking_ended is not None
        ]
        if ended:
            lines.append(f"thinking ended at its limit, {task}: {', '.join(ended)}")
    return lines


def _table(results: Results) -> Table:
    return Table(
        title="accuracy on test questions, with 95% intervals",
        title_justify="left",
        caption=CHOSEN_ON_TEST if results.chosen_on_test else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )


def _abreast(results: Results) -> Table:
    table = _table(results)
    table.add_column("system", no_wrap=True)
    for task in results.task_names:
        table.add_column(Text(task), no_wrap=True)
    for system in results.systems:
        scores = [results.test_score(system, task) for task in results.task_names]
        table.add_row(Text(system.label), *(_cell(score) for score in scores))
    return table


def _one_below_another(results: Results) -> Table:
    table = _table(results)
    table.add_column("task and system", overflow="fold")
    table.add_column("accuracy, interval, right", no_wrap=True)
    for task in results.task_names:
        table.add_row(Text(task, style="bold"))
        for system in results.systems:
            score = results.test_score(system, task)
            if score is not None:
                table.add_row(Text(f"  {system.label}"), _cell(score))
        table.add_section()
    return table


def _cell(score: Score | None) -> Text:
    """``62.0% [56.4, 67.3] 186/300``, in columns of one width."""
    if score is None:
        return Text(DASH)
    share, within = percent(score.correct / score.total), f"[{interval(score)}]"
    return Text(f"{share:>6} {within:<13} {score.correct}/{score.total}")


def guided_table(scores: Sequence[GuidedScore], *, on_test: bool = False) -> Table:
    """The scores on test questions: accuracy, difference from the student alone, price, leaks.

    Tokens are the teacher's, a question. Routing by signals, many rows, is left to the report.

    Args:
        scores: One task's scores, in the order of the rows; others than test scores are left out.
        on_test: Whether the student's checkpoint was chosen on these questions.
    """
    tested = [score for score in scores if score.split == "test"]
    questions = max((score.total for score in tested), default=0)
    table = Table(
        title=f"Guidance on {questions:,} test questions, with 95% intervals",
        caption=CHOSEN_ON_TEST if on_test else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("policy", overflow="fold")  # a label that is cut may be that of another
    for heading in ("accuracy", "difference", "guided", "tokens", "leaked"):
        table.add_column(heading, justify="right", no_wrap=True)
    for score in tested:
        if score.policy.kind == "routing" and score.policy.signal != RANDOM:
            continue
        table.add_row(
            score.policy.label,
            f"{100 * score.accuracy:.1f} [{100 * score.low:.0f}, {100 * score.high:.0f}]",
            _difference(score),
            f"{score.guided / score.total:.0%}",
            f"{score.teacher_tokens:,.1f}",
            f"{score.leaked:,}",
        )
    return table


def _difference(score: GuidedScore) -> str:
    if score.difference is None or score.difference_low is None or score.difference_high is None:
        return ""
    low, high = (points(end, 0) for end in (score.difference_low, score.difference_high))
    return f"{points(score.difference)} [{low}, {high}]"
