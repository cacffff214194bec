"""A comparison of runs as the terminal shows it, legible at 80 columns."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from potstill.experiment.comparison_text import (
    cost_cells,
    findings,
    group_accuracy,
    meaning,
    over_runs_cells,
    pair_cells,
    pairs_by_heading,
)
from potstill.experiment.run_comparison import ComparedRuns
from potstill.experiment.seed_groups import single_groups

MOST_ABREAST = 3
"""Runs whose accuracies stand beside each other; of more, groups of seeds do."""

PAIR_HEADS = ("student", "points [95%]", "p", "Holm", "right alone", "answers")
"""The columns of a table of comparisons."""


def comparison_page(compared: ComparedRuns) -> Iterator[str | Table]:
    """Yields the lines and tables of a comparison, in the order in which they are read."""
    names = [run.name for run in compared.runs]
    yield f"{len(names)} runs: {', '.join(names)}"
    yield from findings(compared)
    for caution in compared.cautions:
        yield f"caution: {caution}"
    if compared.recipes:
        groups = compared.groups if len(compared.groups) > 1 else single_groups(compared.runs)
        settings = [(one.setting, *map(one.of_group, groups)) for one in compared.recipes]
        yield _table("recipes differ in", ("setting", *(group.name for group in groups)), settings)
    else:
        yield "The recipes do not differ."
    few = len(compared.runs) <= MOST_ABREAST
    abreast = single_groups(compared.runs) if few else compared.groups
    for task in compared.tasks:
        rows = [
            (label, *(group_accuracy(group, label, task) for group in abreast))
            for label in compared.systems(task)
        ]
        heads = ("system", *(group.name for group in abreast))
        yield _table(f"{task}: percent right [95%]", heads, rows)
    yield from _over_runs(compared)
    for heading, pairs in pairs_by_heading(compared):
        yield _table(heading, PAIR_HEADS, [(pair.system, *pair_cells(pair)) for pair in pairs])
    if note := meaning(compared):
        yield note
    costs = [(run.name, *cost_cells(run)) for run in compared.runs]
    yield _table("cost", ("run", "paid", "paid tokens", "time", "by stage"), costs)


def _over_runs(compared: ComparedRuns) -> Iterator[Table]:
    rows: dict[str, list[tuple[str, ...]]] = {}
    for group, task, results in compared.over_runs:
        row = (results.name, *over_runs_cells(results))
        rows.setdefault(f"{task}: {group.name}, percent right over runs", []).append(row)
    for title, listed in rows.items():
        yield _table(title, ("system", "mean", "95% over runs", "sd", "runs"), listed)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
