"""The report stage: everything in the store → report.html and summary.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import orjson

from potstill.records import Task
from potstill.report.accuracy import Results, read_results
from potstill.report.announcements import announced_headline
from potstill.report.engine_notes import engine_notes
from potstill.report.overlap_notes import overlap_notes
from potstill.report.page import page
from potstill.report.questions import browser_data
from potstill.report.run_facts import RunFacts
from potstill.report.tables import summary
from potstill.report.tiles import price_elsewhere
from potstill.store import Store
from potstill.tasks.overlap import Overlap
from potstill.whole_files import write_whole


class ReportFiles(NamedTuple):
    """The files of a report."""

    html: Path
    """The page: one file that opens anywhere and loads nothing."""

    summary: Path
    """The results as JSON."""

    headline: str
    """The main result, no stronger than its numbers, after the announcements."""

    price: list[str]
    """The student's losses on other tasks, in a few words, then a sentence on each."""


class ReportOptions(TypedDict, total=False):
    """Facts and wishes that a report takes beside the store."""

    overlaps: Sequence[Overlap]
    """The questions and phrases that training and each evaluation set share."""

    notes: Sequence[str]
    """Further sentences for the reader."""

    roles: Mapping[str, str] | None
    """The role of each task by its name."""

    teacher_tokens: float | None
    """Most teacher tokens a question that the user would pay for."""

    facts: RunFacts | None
    """Facts about the run that its store does not hold."""


def write_report(
    store: Store, tasks: Sequence[Task], folder: Path, **options: Unpack[ReportOptions]
) -> ReportFiles:
    """Write what the run has found so far, in the place of an earlier report.

    Works at any stage of a run; what is not there yet says which command brings it.

    Args:
        store: The run's store; a writer may be at work on it.
        tasks: The leading task, then further ones.
        folder: The folder that takes the files, and that may hold ``recipe.yaml``.
        **options: Facts and wishes that it takes beside the store.

    Raises:
        ConfigError: A file cannot be written.
    """
    return write_results(report_results(store, tasks, folder, **options), store, folder)


def report_results(
    store: Store, tasks: Sequence[Task], folder: Path, **options: Unpack[ReportOptions]
) -> Results:
    """Returns the results that a page is made of; for the arguments see :func:`write_report`."""
    options["notes"] = (
        *options.get("notes", ()),
        *engine_notes(store.engines()),
        *overlap_notes(options.get("overlaps", ()), store.predictions()),
    )
    return read_results(store, tasks, folder, **options)


def write_results(results: Results, store: Store, folder: Path) -> ReportFiles:
    """Write results as a page and a summary, in the place of earlier ones.

    Args:
        results: The run's results.
        store: The store with the prompts and thinking that the page shows.
        folder: The folder that takes the files.

    Raises:
        ConfigError: A file cannot be written.
    """
    written = ReportFiles(
        folder / "report.html",
        folder / "summary.json",
        announced_headline(results),
        price_elsewhere(results),
    )
    values = summary(results)
    write_whole(written.html, page(results, values, browser_data(results, store)))
    write_whole(
        written.summary,
        orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    )
    return written
