"""The findings of an experiment, as Markdown tables and as plain values for a JSON file.

Every accuracy has two intervals: over runs, which holds for the method, and over the pooled
questions, which holds for these trainings alone. A table of comparisons has the paired t test over
runs; where there is one run, it has McNemar's test over its questions, and says so.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from potstill.experiment.guided_results import (
    GUIDED_HEADS,
    guided_figures,
    guided_results,
    guided_rows,
)
from potstill.experiment.run_results import (
    StepCounts,
    SystemResults,
    chosen_on_test,
    comparison_figures,
    development_curves,
    difference_cells,
    inflation,
    results_by_rule,
    results_on_tests,
    shared_questions,
    system_figures,
)
from potstill.experiment.seeded_runs import SeededRun
from potstill.experiment.teacher_results import (
    TEACHER_HEADS,
    teacher_figures,
    teacher_results,
    teacher_rows,
)
from potstill.statistics import Interval, accuracy_interval
from potstill.text.chosen_on_test import CHOSEN_ON_TEST

ENOUGH_RUNS = 5
"""Runs from which on two systems are said to differ: by three a t interval is 2.5 times as wide."""

RULES_HEADING = "#### Of the checkpoints that each selection rule chose, as student/rule"


def experiment_page(recipe: Path, runs: Sequence[SeededRun], against: Sequence[str]) -> str:
    """Returns the results of one recipe and its variants as Markdown.

    Args:
        recipe: Its name is the heading.
        runs: All of this recipe.
        against: Names of the systems that every other is compared with.
    """
    warning = [CHOSEN_ON_TEST] if chosen_on_test(runs) else []
    parts = [f"## {recipe.stem}", *warning]
    by_rule, curves = results_by_rule(runs), development_curves(runs)
    for task, systems in results_on_tests(runs).items():
        parts += [f"### {task}", *warning, accuracy_table(systems)]
        if len(by_rule.get(task, ())) > 1:
            parts += [RULES_HEADING, accuracy_table(by_rule[task])]
            parts += [inflation_table(by_rule[task])] if inflation(by_rule[task]) else []
        parts += [curve_table(curves.pop(task))] if task in curves else []
        parts += [
            comparison_table(systems, baseline)
            for name in against
            for baseline in systems
            if baseline.name == name
        ]
        parts += [reading_note(systems), sharing_note(systems), missing_note(systems, against)]
    for task, systems_along in curves.items():
        parts += [f"### {task}, development alone", curve_table(systems_along)]
    for variant, folders in _folders(runs).items():
        of_variant = f", {variant}" if variant else ""
        rows = guided_rows(*guided_results(folders))
        guided = f"### guidance{of_variant}"
        parts += [guided, *warning, markdown(GUIDED_HEADS, rows)] if rows else []
        taught = teacher_rows(teacher_results(folders))
        heading = f"### teachers on training questions{of_variant}"
        parts += [heading, markdown(TEACHER_HEADS, taught)] if taught else []
    seconds = ", ".join(f"{run.folder.name} {run.seconds:.0f}" for run in runs)
    return "\n\n".join(part for part in [*parts, f"Seconds a run: {seconds}."] if part)


def accuracy_table(systems: Sequence[SystemResults]) -> str:
    """Returns each run's right answers, and the mean accuracy with both intervals."""
    seeds = sorted({seed for system in systems for seed in system.by_seed})
    rows = []
    for system in systems:
        answers = [system.by_seed.get(seed) for seed in seeds]
        counts = [f"{sum(some.values())}/{len(some)}" if some else "-" for some in answers]
        accuracies = list(system.accuracies.values())
        spread = f"{100 * statistics.stdev(accuracies):.1f}" if len(accuracies) > 1 else "-"
        rows.append(
            (
                system.name,
                *counts,
                f"{statistics.fmean(accuracies):.1%}",
                _percents(system.over_runs),
                spread,
                _percents(system.over_questions),
            )
        )
    seed_heads = (f"seed {seed}" for seed in seeds)
    heads = ("mean", "95% over runs", "sd of runs, points", "95% over questions")
    return markdown(("system", *seed_heads, *heads), rows)


def comparison_table(systems: Sequence[SystemResults], baseline: SystemResults) -> str:
    """Returns every system against one: over runs, or over the questions of a single run."""
    rows, heads = [], ("points", "95% over runs", "paired t, p")
    for system in systems:
        compared = None if system is baseline else system.compared_with(baseline)
        if compared is None:
            continue
        if compared.over_runs is None:
            heads = ("points", "95% over this run's questions", "McNemar p")
        pairs = compared.over_questions
        counts = str(pairs.only_first), str(pairs.only_second)
        rows.append((system.name, *difference_cells(compared), *counts))
    only = "only it right", f"only {baseline.name}"
    return markdown((f"against {baseline.name}", *heads, *only), rows)


def inflation_table(by_rule: Sequence[SystemResults]) -> str:
    """Returns how much higher an accuracy is where test questions chose the checkpoint."""
    rows = [
        (student, *difference_cells(chosen.compared_with(honest)))
        for student, (chosen, honest) in inflation(by_rule).items()
    ]
    heads = ("best_on_test above in_distribution", "points", "95% over runs", "paired t, p")
    return markdown(heads, rows)


def _percents(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:.1%} to {interval.high:.1%}"


def curve_table(systems: Mapping[str, StepCounts]) -> str:
    """Returns development accuracy by training step, with intervals over the pooled questions."""
    steps = sorted({step for by_step in systems.values() for step in by_step})
    rows = []
    for name, by_step in systems.items():
        cells = []
        for step in steps:
            right, total = by_step.get(step, (0, 0))
            if total:
                low, high = accuracy_interval(right, total)
                cells.append(f"{100 * right / total:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            else:
                cells.append("")
        rows.append((name, *cells))
    return markdown(("development, by step", *(str(step) for step in steps)), rows)


def reading_note(systems: Sequence[SystemResults]) -> str:
    """Returns the sentence that says what the intervals of the systems' runs mean."""
    return runs_note(len({seed for system in systems for seed in system.by_seed}))


def runs_note(runs: int) -> str:
    """Returns the sentence that says what the intervals of so many runs mean; empty for enough."""
    if runs == 1:
        return (
            "One run: its intervals are over questions. Another training of the same recipe may "
            "differ by more; what is said of a method needs several seeds."
        )
    if runs < ENOUGH_RUNS:
        return (
            f"{runs} runs: an interval over so few is wide, and one that holds 0 shows neither a "
            f"difference nor that there is none. From {ENOUGH_RUNS} runs on two systems are said "
            "to differ."
        )
    return ""


def sharing_note(systems: Sequence[SystemResults]) -> str:
    """Returns a note where a question was asked under several seeds; else an empty text."""
    shared, total = shared_questions(systems)
    if not shared:
        return ""
    return (
        f"Of {total} test questions {shared} were asked under more than one seed: intervals over "
        "runs hold for these questions, and those over questions are too narrow."
    )


def missing_note(systems: Sequence[SystemResults], against: Sequence[str]) -> str:
    """Returns a note on systems that were to be compared with and are none; else an empty text."""
    names = [system.name for system in systems]
    missing = [name for name in against if name not in names]
    if not missing:
        return ""
    return f"There is no system {', '.join(missing)} to compare with; there are {', '.join(names)}."


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def experiment_figures(runs: Sequence[SeededRun], against: Sequence[str]) -> dict[str, object]:
    """Returns the results of one recipe and its variants as plain values, for a JSON file."""
    by_rule = results_by_rule(runs)
    return {
        "chosen_on_test": CHOSEN_ON_TEST if chosen_on_test(runs) else None,
        "inflation": {
            task: {
                student: comparison_figures(chosen.compared_with(honest))
                for student, (chosen, honest) in inflation(systems).items()
            }
            for task, systems in by_rule.items()
            if inflation(systems)
        },
        "seconds": {run.folder.name: round(run.seconds, 1) for run in runs},
        "changes": {run.folder.name: run.changes for run in runs},
        "development": development_curves(runs),
        "guidance": {
            variant: guided_figures(*guided_results(folders))
            for variant, folders in _folders(runs).items()
        },
        "teachers": {
            variant: teacher_figures(teacher_results(folders))
            for variant, folders in _folders(runs).items()
        },
        "rules": {
            task: {system.name: system_figures(system) for system in systems}
            for task, systems in by_rule.items()
        },
        "tasks": {
            task: {
                system.name: system_figures(system)
                | {"against": _comparisons(system, systems, against)}
                for system in systems
            }
            for task, systems in results_on_tests(runs).items()
        },
    }


def _comparisons(
    system: SystemResults, systems: Sequence[SystemResults], against: Sequence[str]
) -> dict[str, object]:
    compared = {
        baseline.name: system.compared_with(baseline)
        for baseline in systems
        if baseline.name in against and baseline is not system
    }
    return {
        name: comparison_figures(result) for name, result in compared.items() if result is not None
    }


def _folders(runs: Sequence[SeededRun]) -> dict[str, dict[int, Path]]:
    """Returns the folder of each run by its variant and seed."""
    folders: dict[str, dict[int, Path]] = defaultdict(dict)
    for run in runs:
        folders[run.variant][run.seed] = run.folder
    return folders
