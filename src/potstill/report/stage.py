"""The report stage: everything in the store → report.html and summary.json."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from potstill.errors import StoreError
from potstill.records import Task
from potstill.report.accuracy import read_results
from potstill.report.page import page
from potstill.report.tables import summary
from potstill.store import Store
from potstill.tasks.overlap import Overlap


class ReportFiles(NamedTuple):
    """What was written."""

    html: Path
    """The page: one file that opens anywhere and loads nothing."""

    summary: Path
    """The results as JSON."""


def write_report(
    store: Store,
    tasks: Sequence[Task],
    folder: Path,
    *,
    overlaps: Sequence[Overlap] = (),
    notes: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
) -> ReportFiles:
    """Write what the run has found so far, in the place of an earlier report.

    Works at any stage of a run; what is not there yet says which command brings it.

    Args:
        store: The run's store; a writer may be at work on it.
        tasks: The leading task, then further ones.
        folder: Where ``recipe.yaml`` may be, and where the files go.
        overlaps: What the training questions share with each evaluation set.
        notes: What else a reader should know, a sentence each.
        roles: What each task is for, by name.

    Raises:
        StoreError: A file cannot be written.
    """
    results = read_results(store, tasks, folder, overlaps=overlaps, notes=notes, roles=roles)
    written = ReportFiles(folder / "report.html", folder / "summary.json")
    _write(written.html, page(results).encode())
    _write(
        written.summary,
        orjson.dumps(summary(results), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    )
    return written


def _write(path: Path, content: bytes) -> None:
    """Put the whole content at a path, or leave what was there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}.") from error
