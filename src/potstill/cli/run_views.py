"""Commands that look at runs: status, view, compare."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from potstill.cli.app import begun_folder, main, progress_meter, set_option
from potstill.cli.documents import add_to_document, plain, wants_json, write_now
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo
from potstill.errors import ConfigError, PotstillError

if TYPE_CHECKING:
    from potstill.plan.run_status import RunStatus


@main.command("status")
@click.argument("run", type=click.Path(path_type=Path))
def status_command(run: Path) -> None:
    """Say how far a run is, also while it is at work.

    RUN is its folder, or the recipe; of a folder of runs each gets a line. Nobody is asked and
    nothing is written.
    """
    from potstill.plan.run_status import run_status, runs_below
    from potstill.plan.status_table import fact_lines, head_line, stages_table

    folder = begun_folder(run)
    if not (folder / "run.sqlite").is_file() and folder.is_dir() and (below := runs_below(folder)):
        _print_runs(folder, below)
        return
    status = run_status(folder, recipe=None if run.is_dir() else run)
    echo(head_line(status))
    print_table(stages_table(status))
    for line in fact_lines(status):
        echo(line, whole=line.startswith("next: "))
    add_to_document(**status_values(status))


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
    add_to_document(
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


@main.command("view")
@click.argument("run", type=click.Path(path_type=Path))
@set_option("the server, e.g. port=8000")
def view_command(run: Path, changes: tuple[str, ...]) -> None:
    """Serve a run's page on this machine, over its whole store.

    RUN is its folder, or the recipe; of a folder of runs all are listed. A run at work is followed.
    Nobody is asked and nothing is written.
    """
    from potstill.errors import extra
    from potstill.pipeline.settings_file import change_setting
    from potstill.settings import build
    from potstill.view.settings import ViewSettings

    raw: dict[str, object] = {}
    for change in changes:
        change_setting(raw, change)
    settings = build(ViewSettings, raw, at="potstill view")
    folder = begun_folder(run)
    with extra("serve", needed_for="potstill view"):
        from potstill.view.page_server import view

    reading = ExitStack()
    reading.enter_context(progress_meter().stage(f"reading {folder}", total=None))

    def listens(address: str) -> None:
        reading.close()
        write_now(url=address)
        if not wants_json():
            echo(f"view: {address} (Ctrl-C ends it)")

    with reading:
        view(folder, settings, listens)


@main.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Takes the comparison as a page.")
def compare_command(runs: tuple[Path, ...], out: Path | None) -> None:
    """Hold finished runs against each other.

    RUNS are their folders, or the recipes; the first is what the others are compared with. Recipes
    are shown by what differs, systems side by side, students question by question. Runs that differ
    in the seed alone are put together, with intervals over runs.
    """
    from potstill.experiment.compared_runs import read_runs
    from potstill.experiment.comparison_html import comparison_html
    from potstill.experiment.comparison_table import comparison_page
    from potstill.experiment.comparison_text import comparison_values
    from potstill.experiment.run_comparison import compared_runs
    from potstill.whole_files import write_whole

    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it first")
    compared = compared_runs(read_runs([begun_folder(run) for run in runs]))
    for shown in comparison_page(compared):
        if isinstance(shown, str):
            echo(shown)
        else:
            echo()
            print_table(shown)
    add_to_document(**comparison_values(compared))
    if out is not None:
        write_whole(out, comparison_html(compared))
        echo(f"compare: {out}")
        add_to_document(page=out)
