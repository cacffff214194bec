"""``potstill export``: what a run has, as one file that other tools read.

:func:`export_run` takes the rows from a run's store; :func:`write_rows` writes them row by row to
Parquet or JSON lines, as ``datasets.load_dataset`` and pandas read them. The file is there whole or
not at all.
"""

import base64
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, TypeVar, cast

import orjson

from potstill.errors import ConfigError, extra
from potstill.exchange.columns import Column, arrow_schema
from potstill.exchange.exported_thinking import NO_THINKING, exported_thinking
from potstill.exchange.json_lines import json_line
from potstill.exchange.preference_rows import preference_rows
from potstill.exchange.rows import (
    EXPORTED_STAGES,
    ExportKind,
    ExportTable,
    Row,
    TaskQuestions,
    completion_rows,
    rationale_rows,
    training_rows,
    wording_of,
)
from potstill.exchange.soft_target_rows import soft_target_rows
from potstill.pipeline.run import Run
from potstill.runtime.progress import Advance
from potstill.whole_files import whole_file

T = TypeVar("T")


class ExportResult(NamedTuple):
    """The number of rows that an export wrote."""

    rows: int
    without_question: int
    """Rows not known to answer a question of the task; their question columns are empty."""

    left_out: Mapping[str, int] = MappingProxyType({})
    """How many questions or rationales gave no row, by a phrase that says which."""


def export_run(
    run: Run,
    path: Path,
    kind: ExportKind,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
    student: str | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write completions, rationales or training rows of a run to a file.

    A run that is being written to can be exported at the same time: the file has what was stored
    when the export began. Memory does not grow with the run's size.

    Args:
        run: Opened read-only, or not.
        path: Ends in ``.parquet``, ``.jsonl`` or ``.jsonl.gz``.
        kind: The kind of rows.
        stages: The stages whose completions are written; by default those that training learns
            from.
        logprobs: Whether to add the completions' token probabilities.
        data_format: How ``chat``, ``prompt_completion`` and ``preference`` are worded.
        student: The student whose share of the teacher's thinking the first two hold, by default
            the first that learned in this wording; or whose tokens and wording ``soft_targets``
            have.
        overwrite: Whether a file may be there already.

    Raises:
        PotstillError: The file cannot be written, there is nothing to export, or a setting does
            not fit what is exported.
    """
    check_target(path, overwrite=overwrite)
    table = export_table(
        run, kind, stages=stages, logprobs=logprobs, data_format=data_format, student=student
    )
    with run.meter.stage(f"exporting {kind}", total=table.total) as advance:
        rows = CountedRows(table, advance)
        written = write_rows(path, table.columns, rows, overwrite=overwrite)
    return ExportResult(written, rows.without_question, dict(table.left_out))


class CountedRows:
    """The rows of a table, shown in the progress record by record as they are taken."""

    def __init__(self, table: ExportTable, advance: Advance) -> None:
        self._table, self._advance = table, advance
        self.without_question = 0
        """Rows taken that have columns for a question, and none in them."""

    def __iter__(self) -> Iterator[Row]:
        for rows in self._table.records:
            for row in rows:
                self.without_question += row.get("question_id", "") is None
                yield row
            self._advance(1, 0, 0.0)


def export_table(
    run: Run,
    kind: ExportKind,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
    student: str | None = None,
) -> ExportTable:
    """The rows that :func:`export_run` writes; arguments as there.

    Raises:
        PotstillError: There is nothing to export, or a setting does not fit what is exported.
    """
    if kind != "completions" and (logprobs or stages):
        raise ConfigError(f"stages and token probabilities are of completions, not of {kind}.")
    _check_options(kind, data_format, student)
    run.identity.check_task()
    questions = TaskQuestions(run.task)
    if kind == "completions":
        named_stages = tuple(stages) or EXPORTED_STAGES
        return completion_rows(run.store, questions, stages=named_stages, logprobs=logprobs)
    if kind == "rationales":
        return rationale_rows(run.store, questions)
    if kind == "soft_targets":
        return soft_target_rows(run, student)
    wording = wording_of(run.store, kind, data_format)
    if kind == "preference":
        return preference_rows(run.store, questions, wording)
    verdicts = run.store.verdicts()  # without any, there is nothing that thinking stood before
    thinking = exported_thinking(run, wording, student) if verdicts else NO_THINKING
    return training_rows(run.store, questions, kind, wording, thinking)


WORDED: tuple[ExportKind, ...] = ("chat", "prompt_completion", "preference")
"""The kinds whose wording is a choice."""

OF_STUDENT: tuple[ExportKind, ...] = ("chat", "prompt_completion", "soft_targets")
"""The kinds that are of one of the run's students."""


def _check_options(kind: ExportKind, data_format: str | None, student: str | None) -> None:
    """Refuse options that do not fit what is exported."""
    if data_format is not None and kind not in WORDED:
        raise ConfigError(f"a data format words {', '.join(WORDED)}, not {kind}.")
    if student is not None and kind not in OF_STUDENT:
        raise ConfigError(f"a student is named for {', '.join(OF_STUDENT)}, not for {kind}.")


# files -------------------------------------------------------------------------------------------

ENDINGS = (".parquet", ".jsonl", ".jsonl.gz")
"""The endings that a file's name may have."""

GROUP_ROWS = 1000
"""Rows held at once, and in one row group of a Parquet file."""

GROUP_ROWS_BY_TOKEN = 50
"""The same where a row has values for every token, which weigh a thousand times as much."""


def write_rows(
    path: Path, columns: Sequence[Column], rows: Iterable[Row], *, overwrite: bool = False
) -> int:
    """Write rows to a file, in the format that its name ends in.

    The file appears, or takes the place of the one that was there, once all of it is on the disk.

    Args:
        path: A name that ends in one of ``ENDINGS``; its folder is made where there is none.
        columns: The columns that each row has.
        rows: Taken a group at a time; at most ``GROUP_ROWS`` are held.
        overwrite: Whether a file may be there already.

    Returns:
        The number of rows written.

    Raises:
        ConfigError: The name ends otherwise, there is such a file already, or the folder cannot be
            written to.
        MissingExtraError: Parquet is to be written without the package for it.
    """
    check_target(path, overwrite=overwrite)
    write = _write_parquet if path.suffix == ".parquet" else _write_lines
    with whole_file(path) as file:
        return write(path, file, columns, rows)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Find what would stop :func:`write_rows`, before any work.

    Raises:
        PotstillError: The file could not be written.
    """
    if not path.name.endswith(ENDINGS):
        raise ConfigError(f"{path}: give a file that ends in {', '.join(ENDINGS)}.")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} is there already; give --overwrite, or another name.")
    if path.suffix == ".parquet":
        with extra("parquet", needed_for=f"writing {path.name}"):
            import pyarrow.parquet  # noqa: F401


def in_groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of this size, the last one shorter."""
    left = iter(items)
    while group := list(islice(left, size)):
        yield group


def _write_parquet(
    path: Path, file: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]
) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema, count = arrow_schema(columns), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in in_groups(rows, _group_rows(columns)):
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema))
            count += len(group)
    return count


def _group_rows(columns: Sequence[Column]) -> int:
    """The number of rows to hold at once."""
    by_token = any(column.kind.endswith("by token") for column in columns)
    return GROUP_ROWS_BY_TOKEN if by_token else GROUP_ROWS


def _write_lines(path: Path, file: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]) -> int:
    is_packed = path.suffix == ".gz"
    # No time of writing inside, so that the same rows give the same file.
    lines = gzip.GzipFile(path.stem, "wb", fileobj=file, mtime=0) if is_packed else file
    count = 0
    for row in rows:
        values = {column.name: _json_value(row[column.name], column) for column in columns}
        lines.write(json_line(values, orjson.OPT_SERIALIZE_NUMPY))
        count += 1
    if is_packed:
        cast(BufferedIOBase, lines).close()
    return count


def _json_value(value: object, column: Column) -> object:
    """A value as JSON can hold it: bytes in Base64."""
    if column.kind != "bytes by token" or value is None:
        return value
    tokens = cast(Sequence[Sequence[bytes]], value)
    return [[base64.b64encode(name).decode() for name in names] for names in tokens]
