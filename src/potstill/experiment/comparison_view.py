"""A comparison of runs as notebooks show it: tables of HTML with every text in them escaped."""

from collections.abc import Iterator

from potstill.experiment.comparison_table import PAIR_HEADS
from potstill.experiment.comparison_text import (
    cost_cells,
    findings,
    group_accuracy,
    meaning,
    pair_cells,
    pairs_by_heading,
)
from potstill.experiment.run_comparison import ComparedRuns
from potstill.experiment.seed_groups import single_groups
from potstill.html_tables import html_table


def comparison_view(compared: ComparedRuns) -> str:
    """Returns what was found, the accuracies by task, the paired differences and the cost."""
    return "".join(_parts(compared))


def _parts(compared: ComparedRuns) -> Iterator[str]:
    units = compared.groups if len(compared.groups) > 1 else single_groups(compared.runs)
    names = [group.name for group in units]
    notes = [*findings(compared), *(f"caution: {caution}" for caution in compared.cautions)]
    differing = [(one.setting, *map(one.of_group, units)) for one in compared.recipes]
    yield html_table(
        ("setting", *names),
        differing or [("The recipes do not differ.", *([None] * len(names)))],
        title=f"{len(compared.runs)} runs: {', '.join(run.name for run in compared.runs)}",
        notes=notes,
    )
    for task in compared.tasks:
        rows = [
            (label, *(group_accuracy(group, label, task) for group in units))
            for label in compared.systems(task)
        ]
        yield html_table(("system", *names), rows, title=f"{task}: percent right [95%]")
    for heading, pairs in pairs_by_heading(compared):
        rows = [(pair.system, *pair_cells(pair)) for pair in pairs]
        yield html_table(PAIR_HEADS, rows, title=heading, notes=[meaning(compared) or ""])
    costs = [(run.name, *cost_cells(run)) for run in compared.runs]
    yield html_table(("run", "paid", "paid tokens", "time", "by stage"), costs, title="cost")
