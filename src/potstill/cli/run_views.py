"""Commands that look at runs: status."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from potstill.cli.app import main
from potstill.cli.documents import json_option, plain, result
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo
from potstill.errors import ConfigError, PotstillError

if TYPE_CHECKING:
    from potstill.plan.run_status import RunStatus


@main.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def status_command(run: Path) -> None:
    """Say how far a run is, also while it is at work.

    RUN is its folder, or the recipe; of a folder of runs each gets a line. Nobody is asked and
    nothing is written.
    """
    from potstill.pipeline.recipe import load_recipe
    from potstill.plan.run_status import run_status, runs_below
    from potstill.plan.status_table import fact_lines, head_line, stages_table

    folder = run if run.is_dir() else load_recipe(run).folder
    if not (folder / "run.sqlite").is_file() and folder.is_dir() and (below := runs_below(folder)):
        _print_runs(folder, below)
        return
    status = run_status(folder)
    echo(head_line(status))
    print_table(stages_table(status))
    for line in fact_lines(status):
        echo(line)
    result(**status_values(status))


def _print_runs(folder: Path, runs: list[Path]) -> None:
    """Show a line for each run; one that cannot be read gets its reason, and hides no other."""
    from potstill.plan.run_status import RunStatus, run_status
    from potstill.plan.status_table import run_lines

    found: dict[Path, RunStatus | str] = {}
    for place in runs:
        try:
            found[place] = run_status(place, counted=False)
        except PotstillError as error:
            found[place] = str(error)
    if all(isinstance(status, str) for status in found.values()):
        raise ConfigError(f"no run in {folder} can be read; the first: {found[runs[0]]}")
    for line in run_lines(found, folder):
        echo(line)
    result(
        runs=[
            {"folder": place, "error": status} if isinstance(status, str) else status_values(status)
            for place, status in found.items()
        ]
    )


def status_values(status: "RunStatus") -> dict[str, object]:
    """Returns how far a run is as JSON has it."""
    values: dict[str, object] = plain(status)
    if status.activity and status.activity.work:
        left = status.activity.work.seconds_left
        activity = {**plain(status.activity), "seconds_left": plain(left)}
        values["activity"] = activity
    return {**values, "reached": status.reached.stage, "killed": status.is_killed}
