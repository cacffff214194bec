"""The list of the runs in a folder, as a page."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from potstill.errors import PotstillError
from potstill.plan.run_status import RunStatus, run_status
from potstill.plan.status_table import activity_line
from potstill.report.page_assets import asset, page_environment


def run_list(folder: Path, runs: Mapping[str, Path]) -> str:
    """Returns a page with a line for each run; one that cannot be read gets its reason.

    Args:
        folder: The folder that the runs are in.
        runs: Their folders, by name.
    """
    listed: dict[str, RunStatus | str] = {}
    for name, place in runs.items():
        try:
            listed[name] = run_status(place, counted=False)
        except PotstillError as error:
            listed[name] = str(error)
    template = page_environment({"address": address_of}, "potstill.view").get_template(
        "run_list.html.jinja"
    )
    return template.render(
        folder=str(folder), listed=listed, activity=activity_line, style=asset("page.css")
    )


def address_of(name: str) -> str:
    """Returns where a run stands, seen from the list."""
    return f"runs/{quote(name)}/"
