"""A run's results with all that a page says of the run beside them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from potstill.evaluate import roles
from potstill.pipeline.cost_lines import cost_lines
from potstill.pipeline.report_facts import report_facts
from potstill.pipeline.stale import stale_notes, stale_stages
from potstill.report import ReportFiles, report_results, write_results
from potstill.report.accuracy import Results

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def write_run_report(run: "Run") -> ReportFiles:
    """Write a run's report.html and summary.json from what there is so far.

    Raises:
        ConfigError: The run is of another task, or a file cannot be written.
    """
    is_writable = os.access(run.folder, os.W_OK)
    # The report of a run that can only be read comes to the working folder.
    folder = run.folder if is_writable else Path.cwd() / f"report-of-{run.folder.resolve().name}"
    with run.store.unchanging():  # a writer may be at work
        return write_results(run_results(run, folder), run.store, folder)


def run_results(run: "Run", folder: Path | None = None) -> Results:
    """Returns what a run has found so far.

    Args:
        run: May be at work in another process.
        folder: The folder searched for a recipe that the store lacks; by default the run's.

    Raises:
        ConfigError: The run is of another task.
    """
    run.identity.check_task()
    few_shot = run.few_shot.notes if run.few_shot else ()
    costs, stale = cost_lines(run.recipe, run.store), stale_stages(run)
    return report_results(
        run.store,
        run.measured_tasks,
        folder or run.folder,
        overlaps=run.overlaps,
        notes=(*few_shot, *run.students.unequal_notes, *costs, *stale_notes(run.store, stale)),
        roles=roles(run.entries),
        teacher_tokens=run.recipe.guide.teacher_tokens if run.recipe.guide else None,
        facts=report_facts(run, stale),
    )
