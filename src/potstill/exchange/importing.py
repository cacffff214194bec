"""Importing: completions and rationales from files into a run's store, at no cost."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError, DataError
from potstill.exchange.bought import ForeignRows, RowFields
from potstill.exchange.completions import NEEDED, read_completion
from potstill.exchange.exporting import questions_of
from potstill.exchange.reading import first_row, numbered_rows, row_count
from potstill.exchange.writing import in_groups
from potstill.progress import Advance
from potstill.records import Completion
from potstill.run import Run
from potstill.teaching import FIRST

STAGE = "import"
"""The stage that imported completions are stored under."""

SHOWN = 10
"""Rows that were left out that are kept to be shown; the run's log has all."""

_AT_ONCE = 256

Row = Mapping[str, object]
Reader = Callable[[Row], Iterable[tuple[str, Completion]]]
"""From a row to models and what they wrote; raises ValueError where the row is of no use."""


class LeftOut(NamedTuple):
    """A row that was not imported."""

    at: str
    why: str


@dataclass(kw_only=True, slots=True)
class Imported:
    """What an import did."""

    kind: str
    """``completions`` that potstill exported, or ``rationales`` of anybody."""

    stored: int = 0
    there: int = 0
    """Completions that the store had already."""

    left_out: int = 0
    """Rows, or texts of rows that hold several."""

    shown: list[LeftOut] = field(default_factory=list)
    """The first of them."""

    reasons: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    """Completions by the model that they are stored under, what was there included."""

    beyond: int = 0
    """Rationales stored that are more than the recipe draws of their question."""


def import_file(
    run: Run, path: Path, fields: RowFields | None = None, *, teacher: str = FIRST
) -> Imported:
    """Store what a file holds, as if the run had asked for it; importing again changes nothing.

    Completions that :func:`potstill.exchange.export_run` wrote come back exactly, so that
    ``potstill generate`` does not ask for them. Of other files each row holds a question of the
    task and one or more rationales, which become the teacher's answers to it. They cost nothing,
    and are stored under the stage ``import``. A row that is of no use is left out and named, in the
    run's log as well; the others go on.

    Args:
        run: Not opened read-only.
        path: Parquet, JSONL, JSON or CSV; all but Parquet may be gzipped.
        fields: Where things stand in a row of rationales; by default as potstill exports them.
        teacher: Whose answers rationales are to be, by its name in the recipe.

    Raises:
        ConfigError: The recipe has no such teacher, or one is named for completions.
        DataError: The file cannot be read, or lacks a column that is needed.
    """
    start = time.monotonic()
    columns = first_row(path)
    if fields is None and columns.keys() >= NEEDED:
        if teacher != FIRST:
            raise ConfigError(
                f"{path} holds completions and says who wrote each; a teacher is named for "
                "rationales alone."
            )
        done = Imported(kind="completions")
        _take(run, path, _own, done)
    else:
        done = Imported(kind="rationales")
        where = fields or RowFields.of(columns)
        foreign = ForeignRows(run, questions_of(run), where, teacher)
        foreign.check(columns, at=str(path))
        _take(run, path, foreign.read, done)
        done.stored, done.there, done.beyond = foreign.stored, foreign.there, foreign.beyond
    run.store.add_stage_time(STAGE, time.monotonic() - start)
    return done


def _take(run: Run, path: Path, reader: Reader, done: Imported) -> None:
    """Store what a reader finds in a file."""
    with run.meter.stage(f"importing {done.kind}", total=row_count(path)) as advance:
        found = _readable(run, path, reader, done, advance)
        for group in in_groups(found, _AT_ONCE):
            _store(run, group, done)


def _own(row: Row) -> Iterable[tuple[str, Completion]]:
    return [read_completion(row)]


def _readable(
    run: Run, path: Path, reader: Reader, done: Imported, advance: Advance
) -> Iterator[tuple[str, Completion]]:
    """What the rows hold; those of no use are counted and logged."""
    for at, row, fault in numbered_rows(path):
        try:
            if row is None:
                raise ValueError(fault)
            yield from reader(row)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            why = str(error)
            run.control.watch.event("left_out", file=path.name, at=at, why=why)
            done.left_out += 1
            done.reasons[why] += 1
            if len(done.shown) < SHOWN:
                done.shown.append(LeftOut(at, why))
        advance(1, 0, 0.0)


def _store(run: Run, group: Iterable[tuple[str, Completion]], done: Imported) -> None:
    """Store some completions, those of one model that follow each other in one transaction."""
    for model, pairs in groupby(group, key=itemgetter(0)):
        completions = [completion for _, completion in pairs]
        stored = run.store.add_absent(model, completions, stage=STAGE)
        done.stored += stored
        done.there += len(completions) - stored
        done.models[model] += len(completions)
