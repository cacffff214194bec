"""Rows in and out of any place: one file, or a folder of Parquet files of equal size.

A million rationales with their probabilities are gigabytes, which trainers and stores take in
parts. ``rationales-00000.parquet``, ``rationales-00001.parquet`` and so on are what
``datasets.load_dataset`` reads as one set.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from potstill.errors import ConfigError
from potstill.exchange.addresses import (
    Shelf,
    files_at,
    folder_and_name,
    is_address,
    is_folder_name,
    shelf_at,
)
from potstill.exchange.export import (
    CountedRows,
    ExportResult,
    check_target,
    export_run,
    export_table,
    write_rows,
)
from potstill.exchange.foreign_rows import RowFields
from potstill.exchange.import_ import ImportResult, import_file
from potstill.exchange.rows import ExportKind, Row
from potstill.pipeline.run import Run
from potstill.pipeline.teachers import FIRST

SHARD_ROWS = 50_000
"""Rows in one Parquet file of several."""


def export_to(
    run: Run, out: str, kind: ExportKind, *, overwrite: bool = False, **options: Any
) -> ExportResult:
    """Write rows of a run to a file or a folder, on this machine or at an address.

    Args:
        run: Opened read-only, or not.
        out: A file as for :func:`potstill.exchange.export.export_run`, or a folder with a slash at
            its end, which gets Parquet files of :data:`SHARD_ROWS` rows.
        kind: The kind of rows.
        overwrite: Whether there may be such files already.
        options: See :func:`potstill.exchange.export.export_table`.

    Raises:
        PotstillError: A file cannot be written, or there is nothing to export.
    """
    if is_folder_name(out):
        return _export_shards(run, out, kind, overwrite=overwrite, **options)
    if not is_address(out):
        return export_run(run, Path(out), kind, overwrite=overwrite, **options)
    folder, name = folder_and_name(out)
    shelf = shelf_at(folder)
    check_target(Path(name), overwrite=True)
    if not overwrite and name in shelf.names():
        raise ConfigError(f"{out} is there already; give --overwrite, or another name.")
    with TemporaryDirectory() as scratch:
        written = export_run(run, Path(scratch) / name, kind, **options)
        shelf.put(Path(scratch) / name, name)
    return written


def _export_shards(
    run: Run, out: str, kind: ExportKind, *, overwrite: bool, **options: Any
) -> ExportResult:
    shelf = shelf_at(out)
    own = re.compile(rf"{kind}-\d{{5}}\.parquet")
    former = [name for name in shelf.names() if own.fullmatch(name)]
    if former and not overwrite:
        raise ConfigError(
            f"{out} has {len(former):,} files of {kind} already; give --overwrite, or another "
            "folder."
        )
    table = export_table(run, kind, **options)
    # On the disk of a folder of this machine a file only changes its name at the end. What goes to
    # an address need not fit on this machine: each file is sent once it is written.
    beside = None if is_address(out) else Path(out)
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    written, unsent = 0, list[Path]()
    with (
        TemporaryDirectory(dir=beside, prefix=".unfinished-") as scratch,
        run.meter.stage(f"exporting {kind}", total=table.total) as advance,
    ):
        rows = CountedRows(table, advance)
        for number, shard in enumerate(in_shards(iter(rows))):
            file = Path(scratch) / f"{kind}-{number:05}.parquet"
            written += write_rows(file, table.columns, shard)
            unsent.append(file)
            if beside is None:
                _replace_files(shelf, former, unsent)
        _replace_files(shelf, former, unsent)
    return ExportResult(written, rows.without_question, dict(table.left_out))


def _replace_files(shelf: Shelf, former: list[str], new: list[Path]) -> None:
    """Removes an earlier export's files before the first new one comes, and empties both lists.

    An export that breaks off leaves fewer files, and never two exports' beside each other.
    """
    while former:
        shelf.remove(former.pop())
    while new:
        file = new.pop(0)
        shelf.put(file, file.name)


def in_shards(rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
    """Yields the rows in parts, each to be taken to its end before the next."""
    while (first := next(rows, None)) is not None:
        yield chain([first], islice(rows, SHARD_ROWS - 1))


def import_from(
    run: Run, source: str, fields: RowFields | None = None, *, teacher: str = FIRST
) -> ImportResult:
    """Store what files hold, as :func:`potstill.exchange.import_.import_file` does of one.

    Args:
        run: Opened for writing.
        source: A file, a folder with a slash at its end, or a pattern for names; on this machine or
            at an address. Files are taken in the order of their names, one at a time.
        fields: See :func:`potstill.exchange.import_.import_file`.
        teacher: See the same.

    Raises:
        PotstillError: A file cannot be read; what came before it is stored.
    """
    if not is_address(source) and Path(source).is_file():
        return import_file(run, Path(source), fields, teacher=teacher)
    shelf, names = files_at(source)
    total: ImportResult | None = None
    with TemporaryDirectory() as scratch:
        for name in names:
            with shelf.file(name, Path(scratch)) as file:
                result = import_file(run, file, fields, teacher=teacher)
            if total is None:
                total = result
            else:
                total.add(result)
    assert total is not None, "there is at least one file"
    return total
