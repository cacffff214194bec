"""Exporting: what a run has, as one file that other tools read.

Files written row by row: Parquet or JSON lines, there whole or not at all.
"""

import base64
import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar, cast

import orjson

from potstill.errors import ConfigError, extra
from potstill.exchange.questions import TaskQuestions
from potstill.exchange.rows import (
    STAGES,
    Column,
    Table,
    What,
    arrow_schema,
    completion_rows,
    rationale_rows,
    trained_rows,
)
from potstill.pipeline.run import Run
from potstill.runtime.progress import Advance


class Exported(NamedTuple):
    """What an export wrote."""

    rows: int
    without_question: int
    """Completions that ask no question of the task; their question columns are empty."""


def export_run(
    run: Run,
    path: Path,
    what: What,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write completions, rationales or training rows of a run to a file.

    A run that is being written to can be exported at the same time: the file has what was stored
    when the export began. Memory does not grow with the run's size.

    Args:
        run: Opened read-only, or not.
        path: Ends in ``.parquet``, ``.jsonl`` or ``.jsonl.gz``.
        what: What to write.
        stages: Whose completions; by default those that training learns from.
        logprobs: Whether the completions' token probabilities come along.
        data_format: How ``chat`` and ``prompt_completion`` are worded.
        overwrite: Whether a file may be there already.

    Raises:
        PotstillError: The file cannot be written, there is nothing to export, or a setting does
            not fit what is exported.
    """
    check_target(path, overwrite=overwrite)
    found = rows_of(run, what, stages=stages, logprobs=logprobs, data_format=data_format)
    seen = _Seen()
    with run.meter.stage(f"exporting {what}", total=found.total) as advance:
        rows = seen.counted(found.rows, advance)
        written = write_rows(path, found.columns, rows, overwrite=overwrite)
    return Exported(written, seen.without_question)


def rows_of(
    run: Run,
    what: What,
    *,
    stages: Sequence[str] = (),
    logprobs: bool = False,
    data_format: str | None = None,
) -> Table:
    """The rows that :func:`export_run` writes; arguments as there.

    Raises:
        PotstillError: As there.
    """
    if what != "completions" and (logprobs or stages):
        raise ConfigError(f"stages and token probabilities are of completions, not of {what}.")
    if what in ("completions", "rationales") and data_format is not None:
        raise ConfigError(f"a data format words chat and prompt_completion, not {what}.")
    questions = questions_of(run)
    if what == "completions":
        chosen = tuple(stages) or STAGES
        return completion_rows(run.store, questions, stages=chosen, logprobs=logprobs)
    if what == "rationales":
        return rationale_rows(run.store, questions)
    return trained_rows(run.store, questions, what, data_format)


def questions_of(run: Run) -> TaskQuestions:
    """The questions of a run's task, and how its teachers are asked them."""
    return TaskQuestions(run.task, [run.few_shot.style] if run.few_shot else [])


class _Seen:
    """Counts rows as they pass."""

    def __init__(self) -> None:
        self.without_question = 0

    def counted(
        self, rows: Iterable[Mapping[str, object]], advance: Advance
    ) -> Iterator[Mapping[str, object]]:
        for row in rows:
            self.without_question += row.get("question_id", "") is None
            yield row
            advance(1, 0, 0.0)


T = TypeVar("T")
Row = Mapping[str, object]

ENDINGS = (".parquet", ".jsonl", ".jsonl.gz")
"""What a file's name may end in."""

GROUP_ROWS = 1000
"""Rows held at once, and in one row group of a Parquet file."""

GROUP_ROWS_BY_TOKEN = 50
"""Likewise where a row has values for every token, which weigh a thousand times as much."""


def write_rows(
    path: Path, columns: Sequence[Column], rows: Iterable[Row], *, overwrite: bool = False
) -> int:
    """Write rows to a file, in the format that its name ends in.

    The file appears, or takes the place of the one that was there, once all of it is on the disk.

    Args:
        path: A name that ends in one of ``ENDINGS``; its folder is made where there is none.
        columns: What each row has.
        rows: Taken a group at a time; at most ``GROUP_ROWS`` are held.
        overwrite: Whether a file may be there already.

    Returns:
        How many rows were written.

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
        PotstillError: As there.
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


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that gets its name when the block ends well, and else is removed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = partial.open("wb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
    by_token = any(column.kind.endswith("by token") for column in columns)
    return GROUP_ROWS_BY_TOKEN if by_token else GROUP_ROWS


def _write_lines(path: Path, file: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]) -> int:
    packed = path.suffix == ".gz"
    # No time of writing inside, so that the same rows give the same file.
    lines = gzip.GzipFile(path.stem, "wb", fileobj=file, mtime=0) if packed else file
    count = 0
    for row in rows:
        values = {column.name: _plain(row[column.name], column) for column in columns}
        lines.write(orjson.dumps(values, option=_JSON))
        count += 1
    if packed:
        cast(BufferedIOBase, lines).close()
    return count


_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def _plain(value: object, column: Column) -> object:
    """A value as JSON can hold it."""
    if column.kind != "bytes by token" or value is None:
        return value
    tokens = cast(Sequence[Sequence[bytes]], value)
    return [[base64.b64encode(name).decode() for name in names] for names in tokens]
