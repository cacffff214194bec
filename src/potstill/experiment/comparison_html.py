"""A comparison of runs as one HTML file that loads nothing, in the style of the report."""

from collections.abc import Callable

from potstill.experiment.comparison_text import (
    accuracy,
    cost_cells,
    findings,
    largest_difference,
    meaning,
    over_runs_cells,
    pair_cells,
    pairs_by_heading,
)
from potstill.experiment.run_comparison import ComparedRuns
from potstill.experiment.run_results import SystemResults
from potstill.experiment.seed_groups import single_groups
from potstill.report import charts
from potstill.report.page_assets import asset, page_environment

FILTERS: dict[str, Callable[..., object]] = {
    "pair_cells": pair_cells,
    "over_runs_cells": over_runs_cells,
    "cost_cells": cost_cells,
}
"""How the template writes what was compared."""


def comparison_html(compared: ComparedRuns) -> str:
    """Returns the page of a comparison. All names are data, escaped everywhere."""
    environment = page_environment(FILTERS, "potstill.experiment")
    over_runs: dict[str, list[SystemResults]] = {}
    for group, task, results in compared.over_runs:
        over_runs.setdefault(f"{task}: {group.name}", []).append(results)
    return environment.get_template("compare.html.jinja").render(
        compared=compared,
        units=compared.groups if len(compared.groups) > 1 else single_groups(compared.runs),
        accuracy=accuracy,
        findings=findings(compared),
        meaning=meaning(compared),
        over_runs=over_runs,
        pairs=list(pairs_by_heading(compared)),
        widest=largest_difference(compared),
        interval_mark=charts.interval_mark,
        style=asset("page.css"),
    )
