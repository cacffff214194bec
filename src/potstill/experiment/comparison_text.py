"""A comparison of runs in words and figures: sentences, cells of tables, values for a JSON file."""

import statistics
from collections.abc import Iterator, Sequence

from potstill.experiment.compared_runs import RunRecord
from potstill.experiment.experiment_page import runs_note
from potstill.experiment.run_comparison import (
    ComparedRuns,
    PairedRuns,
    is_student,
    seeded_results,
)
from potstill.experiment.run_results import (
    SystemResults,
    comparison_figures,
    difference_cells,
    system_figures,
)
from potstill.experiment.seed_groups import SeedGroup
from potstill.report.text import duration
from potstill.runtime.cost_words import cost_words
from potstill.statistics import SHOWN, accuracy_interval
from potstill.text.unshown_difference import leaves_out_0, several_note

SHARES_NO_STUDENT = "The runs share no student that was measured on a common task."
SAME_IN_ALL = "the same in all"
"""Stands for an interval over runs that do not differ."""


class CellAccuracy:
    """Right answers of one system in one run.

    Args:
        right: The number of right answers.
        total: The number of questions.
    """

    def __init__(self, right: int, total: int) -> None:
        self.right, self.total = right, total
        self.share = right / total
        self.low, self.high = accuracy_interval(right, total)

    def __str__(self) -> str:
        """``62.0 [56.4, 67.3] 186/300``, in percent."""
        ends = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.share:.1f} {ends} {self.right:,}/{self.total:,}"


def accuracy(run: RunRecord, label: str, task: str) -> CellAccuracy | None:
    """Returns a system's accuracy in a run; None where it was not measured there."""
    system = run.system(label, task)
    if system is None:
        return None
    verdicts = run.answers[task][system]
    return CellAccuracy(sum(verdicts.values()), len(verdicts))


def group_accuracy(group: SeedGroup, label: str, task: str) -> str:
    """Returns a system's accuracy in a group: its mean over runs, or that of the single run."""
    measured = group.measured_on(task)
    if len(measured.runs) == 1:
        return str(accuracy(measured.runs[0], label, task) or "-")
    for results in seeded_results(measured, task) if measured.runs else ():
        if results.name == label:
            mean, ends, *_ = over_runs_cells(results)
            return f"{mean} [{ends}] {len(measured.runs)} runs"
    return "-"


def findings(compared: ComparedRuns) -> list[str]:
    """Returns what the comparisons show, a sentence each; no more than their p-values allow.

    Those on the students that the runs chose come first: they are what the runs are for.
    """
    paired = [pair for pair in compared.pairs if pair.compared is not None]
    shown = [pair for pair in paired if pair.adjusted is not None and pair.adjusted < SHOWN]
    chosen = {run.chosen.label for run in compared.runs if run.chosen}
    shown.sort(key=lambda pair: not pair.of_chosen and pair.system not in chosen)
    found = [_finding(pair) for pair in shown]
    if paired and not shown:
        number = "the one comparison" if len(paired) == 1 else f"all {len(paired):,} comparisons"
        found.append(f"No run is shown to differ: p after Holm is {SHOWN:g} or more in {number}.")
    if note := several_note(sum(map(_seems_shown, paired)), len(paired)):
        found.append(note)
    if not compared.pairs and sum(bool(run.tasks) for run in compared.runs) > 1:
        found.append(SHARES_NO_STUDENT)
    students = [
        (group, task, results)
        for group, task, results in compared.over_runs
        if (system := group.runs[0].system(results.name, task)) and is_student(system)
    ]
    students.sort(key=lambda one: one[2].name not in chosen)
    is_alone = len(compared.groups) == 1
    means = [_mean_finding(*one, is_alone=is_alone) for one in students]
    # With one recipe in all runs, its results come before their differences.
    return [*means, *found] if is_alone else [*found, *means]


def _mean_finding(group: SeedGroup, task: str, results: SystemResults, *, is_alone: bool) -> str:
    """Returns a student's mean over the runs of a group, which is named beside others only."""
    mean, ends, *_ = over_runs_cells(results)
    known = ends if results.over_runs is None else f"95% over runs {ends}"
    of_group = "" if is_alone else f" of the runs {group.name}"
    seeds = f" over {len(group.runs)} seeds" if is_alone else ""
    return f"{task}: {results.name}{of_group} is right in {mean}% on average{seeds} ({known})."


def _seems_shown(pair: PairedRuns) -> bool:
    """Whether a difference is not shown although its interval leaves out 0."""
    if pair.compared is None or pair.adjusted is None or pair.adjusted < SHOWN:
        return False
    ends = (pair.compared.over_runs or pair.compared.over_questions).interval
    return ends is not None and leaves_out_0(ends)


def _finding(pair: PairedRuns) -> str:
    assert pair.compared is not None and pair.adjusted is not None
    shown, ends, _ = difference_cells(pair.compared)
    return (
        f"{pair.task}: {pair.system} of {pair.first} is {shown} points [{ends}] against that of "
        f"{pair.second}, on {pair.shared:,} shared answers (p {pair.adjusted:.2g} after Holm)."
    )


def meaning(compared: ComparedRuns) -> str:
    """Returns what the intervals mean, by the comparison with the fewest seeds behind it."""
    if len(compared.groups) == 1:
        counted = [len(group.runs) for group, *_ in compared.over_runs]
        return runs_note(min(counted, default=1)) if compared.tasks else ""
    seeds = [
        pair.compared.over_runs.runs if pair.compared.over_runs else 1
        for pair in compared.pairs
        if pair.compared is not None
    ]
    return runs_note(min(seeds)) if seeds else ""


def pair_cells(pair: PairedRuns) -> tuple[str, str, str, str, str]:
    """Returns the difference with its interval, p, p after Holm, who alone is right, answers.

    Who alone is right stands in the heading's order: "2 against 0" under "B against A" says that
    B alone has two answers right.
    """
    if pair.compared is None:
        return pair.why_not, "", "", "", f"0 of {pair.of_first:,} and {pair.of_second:,}"
    difference, ends, p_value = difference_cells(pair.compared)
    questions = pair.compared.over_questions
    return (
        f"{difference} [{ends}]",
        p_value,
        "-" if pair.adjusted is None else f"{pair.adjusted:.2g}",
        f"{questions.only_first:,} against {questions.only_second:,}",
        shared_words(pair),
    )


def shared_words(pair: PairedRuns) -> str:
    """Returns how many answers are paired, and of how many where they are not all."""
    if pair.shared == pair.of_first == pair.of_second:
        return f"{pair.shared:,}"
    return f"{pair.shared:,} of {pair.of_first:,} and {pair.of_second:,}"


def over_runs_cells(results: SystemResults) -> tuple[str, str, str, str]:
    """Returns the mean accuracy, its interval over runs, their spread in points, and each run."""
    accuracies = list(results.accuracies.values())
    ends = results.over_runs
    return (
        f"{100 * statistics.fmean(accuracies):.1f}",
        SAME_IN_ALL if ends is None else f"{100 * ends.low:.1f} to {100 * ends.high:.1f}",
        f"{100 * statistics.stdev(accuracies):.1f}",
        ", ".join(f"{100 * one:.1f}" for one in accuracies),
    )


def cost_cells(run: RunRecord) -> tuple[str, str, str, str]:
    """Returns what a run paid, the tokens paid for, its time, and the time by stage."""
    paid = "$0"  # also beside a model without prices, as long as nobody was paid
    if run.spent.usd or (run.spent.tokens and run.unpriced):
        paid = cost_words(run.spent.usd, run.unpriced).removeprefix("cost ")
    by_stage = ", ".join(f"{stage.name} {duration(stage.seconds)}" for stage in run.stages)
    return paid, f"{run.spent.tokens:,}", duration(run.seconds), by_stage


def comparison_values(compared: ComparedRuns) -> dict[str, object]:
    """Returns a comparison as plain values, for a JSON file; shares from 0 to 1."""
    group_of = {run.name: group.name for group in compared.groups for run in group.runs}
    return {
        "runs": [_run_values(run) | {"group": group_of[run.name]} for run in compared.runs],
        "recipe_differences": {
            difference.setting: difference.values for difference in compared.recipes
        },
        "tasks": {
            task: {label: _by_run(compared.runs, label, task) for label in compared.systems(task)}
            for task in compared.tasks
        },
        "over_runs": [
            {"group": group.name, "task": task, "system": results.name, **system_figures(results)}
            for group, task, results in compared.over_runs
        ],
        "pairs": [_pair_values(pair) for pair in compared.pairs],
        "findings": findings(compared),
        "meaning": meaning(compared),
        "cautions": list(compared.cautions),
    }


def _run_values(run: RunRecord) -> dict[str, object]:
    return {
        "name": run.name,
        "folder": run.folder,
        "seed": run.seed,
        "chosen": run.chosen,
        "chosen_on_test": run.chosen_on_test,
        "graders": run.graders,
        "usd": run.spent.usd,
        "tokens": run.spent.tokens,
        "unpriced": run.unpriced,
        "seconds": run.seconds,
        "stages": run.stages,
    }


def _by_run(runs: Sequence[RunRecord], label: str, task: str) -> dict[str, object]:
    found = {run.name: accuracy(run, label, task) for run in runs}
    return {
        name: {"correct": one.right, "total": one.total, "low": one.low, "high": one.high}
        for name, one in found.items()
        if one is not None
    }


def _pair_values(pair: PairedRuns) -> dict[str, object]:
    values = pair._asdict()
    return {
        **{name: value for name, value in values.items() if name not in ("compared", "adjusted")},
        "compared": comparison_figures(pair.compared),
        "p_value": pair.p_value,
        "p_value_holm": pair.adjusted,
    }


def pairs_by_heading(compared: ComparedRuns) -> Iterator[tuple[str, list[PairedRuns]]]:
    """Yields the comparisons under a heading of their task and the two groups."""
    by_heading: dict[str, list[PairedRuns]] = {}
    for pair in compared.pairs:
        by_heading.setdefault(f"{pair.task}: {pair.first} against {pair.second}", []).append(pair)
    yield from by_heading.items()


def largest_difference(compared: ComparedRuns) -> float:
    """Returns how far the widest interval of a difference reaches, for a scale; 1 for none."""
    ends = [0.0]
    for pair in compared.pairs:
        if pair.compared is not None:
            shown = pair.compared.over_runs or pair.compared.over_questions
            ends += [abs(shown.difference), *map(abs, shown.interval or ())]
    return max(ends) or 1.0
