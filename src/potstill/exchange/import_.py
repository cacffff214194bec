"""Importing: completions and rationales from files into a run's store, at no cost.

Exported completions read back: what was asked and what came, exactly as it was stored.
"""

import base64
import binascii
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from potstill.errors import ConfigError, DataError
from potstill.exchange.export import in_groups, questions_of
from potstill.exchange.foreign_rows import ForeignRows, RowFields
from potstill.exchange.reading import first_row, numbered_rows, row_count
from potstill.pipeline.run import Run
from potstill.pipeline.teachers import FIRST
from potstill.records import Completion, FinishReason, Message, Request, TokenLogprobs
from potstill.runtime.progress import Advance

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
            run.control.events.record("left_out", file=path.name, at=at, why=why)
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


NEEDED = frozenset(
    {"model", "text", "sample", "finish_reason", "max_tokens", "temperature", "top_p"}
)
"""Columns by which a file of exported completions is known."""

_Count = Annotated[int, Field(ge=0)]


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _Row(BaseModel):
    """The columns of a completion, checked; what it says of the question is not needed."""

    model_config = ConfigDict(strict=True)

    model: str = Field(min_length=1)
    prompt: str | None = None
    messages: list[_Turn] | None = None
    answer_prefix: str = ""
    sample: _Count
    text: str
    thinking: str | None = None
    finish_reason: FinishReason
    error: str | None = None
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)
    stop: list[str] = []
    top_logprobs: _Count = 0
    seed: _Count = 0

    @model_validator(mode="after")
    def _asks_once(self) -> "_Row":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


def read_completion(row: Mapping[str, object]) -> tuple[str, Completion]:
    """A row of exported completions as the model's name and its completion.

    What it cost was paid by the run that asked, so its cost is 0 here.

    Raises:
        ValueError: A column is missing or holds what it cannot; the message names it.
    """
    try:
        values = _Row.model_validate({k: v for k, v in row.items() if v is not None})
    except ValidationError as error:
        raise ValueError(_told(error)) from error
    turns = values.messages or ()
    request = Request(
        prompt=values.prompt
        if values.prompt is not None
        else tuple(Message(role=turn.role, content=turn.content) for turn in turns),
        answer_prefix=values.answer_prefix,
        samples=(values.sample,),
        temperature=values.temperature,
        top_p=values.top_p,
        max_tokens=values.max_tokens,
        stop=tuple(values.stop),
        top_logprobs=values.top_logprobs,
        seed=values.seed,
    )
    return values.model, Completion(
        request=request,
        sample=values.sample,
        text=values.text,
        thinking=values.thinking,
        finish_reason=values.finish_reason,
        error=values.error,
        prompt_tokens=values.prompt_tokens,
        completion_tokens=values.completion_tokens,
        logprobs=_logprobs(row, values.top_logprobs),
    )


def _told(error: ValidationError) -> str:
    """The first fault, in words."""
    fault = error.errors()[0]
    name = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _logprobs(row: Mapping[str, object], top: int) -> TokenLogprobs | None:
    """The token probabilities of a row; None where it has none."""
    if row.get("logprobs") is None:
        return None
    ids, names = row.get("token_ids"), row.get("token_bytes")
    if (ids is None) == (names is None):
        raise ValueError("logprobs need either token_ids or token_bytes")
    lists = _lists(row, "logprobs")
    numbers = [[-np.inf if value is None else value for value in each] for each in lists]
    values = _table(numbers, "logprobs", np.float32, empty=(0, 1 + top))
    if ids is not None:
        table = _table(_lists(row, "token_ids"), "token_ids", np.int32, empty=values.shape)
        return TokenLogprobs(logprobs=values, ids=_alike(table, values))
    named = [[_bytes(name) for name in each] for each in _lists(row, "token_bytes")]
    sizes = [[len(name) for name in each] for each in named]
    lengths = _table(sizes, "token_bytes", np.uint16, empty=values.shape)
    joined = b"".join(name for each in named for name in each)
    return TokenLogprobs(logprobs=values, token_bytes=joined, lengths=_alike(lengths, values))


def _lists(row: Mapping[str, object], name: str) -> Sequence[Sequence[object]]:
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
        raise ValueError(f"{name}: give a list of values for each token")
    return value


def _table(
    lists: Sequence[Sequence[object]],
    name: str,
    kind: type[np.generic],
    *,
    empty: tuple[int, ...],
) -> Any:
    """The values as an array of a row a token; ``empty`` is its shape where there is no token."""
    if len({len(each) for each in lists}) > 1:
        raise ValueError(f"{name}: every token needs as many values")
    try:
        table = np.array(lists, dtype=kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error
    return table if lists else table.reshape(empty)


def _alike(table: Any, values: NDArray[np.float32]) -> Any:
    if table.shape != values.shape:
        raise ValueError(
            f"logprobs are {values.shape[0]} by {values.shape[1]}, and the names of their tokens "
            f"{table.shape[0]} by {table.shape[1]}"
        )
    return table


def _bytes(name: object) -> bytes:
    """A token's bytes; JSON holds them as Base64."""
    if isinstance(name, bytes):
        return name
    try:
        return base64.b64decode(str(name), validate=True)
    except binascii.Error as error:
        raise ValueError("token_bytes: a name is not Base64") from error
