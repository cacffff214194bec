"""``potstill import``: completions and rationales from files into a run's store, at no cost.

A file that ``potstill export`` wrote gives back the completions exactly as they were stored. The
rows of any other file are read as the teacher's rationales, by ``foreign_rows.py``. A row that is
of no use is left out, counted and named.
"""

import base64
import binascii
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from potstill.errors import ConfigError, DataError
from potstill.exchange.export import in_groups
from potstill.exchange.foreign_rows import ForeignRows, RowFields
from potstill.exchange.rows import Row, TaskQuestions
from potstill.models.finish_reasons import finish_reason_of
from potstill.pipeline.run import Run
from potstill.pipeline.teachers import FIRST
from potstill.records import Completion, GivenText, Message, Request, TokenLogprobs
from potstill.runtime.progress import Advance
from potstill.tables import first_row, row_count, source_rows
from potstill.text.thinking import answer_and_thinking

STAGE = "import"
"""The stage that imported completions are stored under."""

SHOWN = 10
"""Rows left out that are kept to be shown; the run's log has all."""

_GROUP_SIZE = 256
"""Completions that are stored in one transaction."""

RowReader = Callable[[Row], Iterable[tuple[str, Completion]]]
"""Reads a row's completions with their models; raises ValueError if the row is of no use."""


class LeftOut(NamedTuple):
    """A row that was not imported."""

    at: str
    why: str


@dataclass(kw_only=True, slots=True)
class ImportResult:
    """The numbers of completions that an import stored and of rows that it left out."""

    kind: str
    """``completions`` that potstill exported, or ``rationales`` of anybody."""

    stored: int = 0
    there: int = 0
    """Completions that the store had already."""

    left_out: int = 0
    """Rows, or texts of rows that hold several."""

    shown: list[LeftOut] = field(default_factory=list)
    """The first rows left out."""

    reasons: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    """Completions by the model that they are stored under, what was there included."""

    beyond: int = 0
    """Rationales stored beyond the samples that the recipe draws for their question."""

    def add(self, other: "ImportResult") -> None:
        """Add the numbers of another file.

        Raises:
            DataError: It holds the other kind of rows.
        """
        if other.kind != self.kind:
            raise DataError(
                f"some of the files hold {self.kind}, others {other.kind}. Import each kind by "
                "itself."
            )
        self.stored += other.stored
        self.there += other.there
        self.left_out += other.left_out
        self.beyond += other.beyond
        self.shown += other.shown[: SHOWN - len(self.shown)]
        self.reasons += other.reasons
        self.models += other.models


def import_file(
    run: Run, path: Path, fields: RowFields | None = None, *, teacher: str = FIRST
) -> ImportResult:
    """Store a file's completions or rationales, as if the run had asked for them.

    Importing the same file again changes nothing.

    Completions that :func:`potstill.exchange.export_run` wrote come back exactly, so that
    ``potstill generate`` does not ask for them. Of other files each row holds a question of the
    task and one or more rationales, which become the teacher's answers to it. They cost nothing,
    and are stored under the stage ``import``. A row that is of no use is left out and named, in the
    run's log as well; the others go on.

    Args:
        run: Opened for writing.
        path: Parquet, JSONL, JSON or CSV; all but Parquet may be gzipped.
        fields: The names of the fields of rationales; by default as potstill exports them.
        teacher: The name in the recipe of the teacher that the rationales are to be of.

    Raises:
        ConfigError: The recipe has no such teacher, or one is named for completions.
        DataError: The file cannot be read, or lacks a column that is needed.
    """
    run.identity.claim()
    start = time.monotonic()
    columns = first_row(path)
    if fields is None and columns.keys() >= NEEDED:
        if teacher != FIRST:
            raise ConfigError(
                f"{path} holds completions and says who wrote each; a teacher is named for "
                "rationales alone."
            )
        result = ImportResult(kind="completions")
        _import_rows(run, path, lambda row: [read_completion(row)], result)
    else:
        result = ImportResult(kind="rationales")
        row_fields = fields or RowFields.of(columns)
        foreign = ForeignRows(run, TaskQuestions(run.task), row_fields, teacher)
        foreign.check(columns, at=str(path))
        _import_rows(run, path, foreign.read, result)
        result.stored, result.there, result.beyond = foreign.stored, foreign.there, foreign.beyond
    run.store.add_stage_time(STAGE, time.monotonic() - start)
    return result


def _import_rows(run: Run, path: Path, reader: RowReader, result: ImportResult) -> None:
    """Store the completions that a reader makes of a file's rows, a group at a time."""
    with run.meter.stage(f"importing {result.kind}", total=row_count(path)) as advance:
        completions = _read_rows(run, path, reader, result, advance)
        for group in in_groups(completions, _GROUP_SIZE):
            _store(run, group, result)


def _read_rows(
    run: Run, path: Path, reader: RowReader, result: ImportResult, advance: Advance
) -> Iterator[tuple[str, Completion]]:
    """The completions of all rows; those of no use are counted and logged."""
    for at, row, fault in source_rows(path):
        try:
            if row is None:
                raise ValueError(fault)
            yield from reader(row)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            why = str(error)
            run.context.events.record("left_out", file=path.name, at=at, why=why)
            result.left_out += 1
            result.reasons[why] += 1
            if len(result.shown) < SHOWN:
                result.shown.append(LeftOut(at, why))
        advance(1, 0, 0.0)


def _store(run: Run, group: Iterable[tuple[str, Completion]], result: ImportResult) -> None:
    """Store some completions; those of one model that follow each other in one transaction."""
    for model, pairs in groupby(group, key=itemgetter(0)):
        completions = [completion for _, completion in pairs]
        stored = run.store.add_absent(model, completions, stage=STAGE)
        result.stored += stored
        result.there += len(completions) - stored
        result.models[model] += len(completions)


# exported completions ----------------------------------------------------------------------------

NEEDED = frozenset(
    {"model", "text", "sample", "finish_reason", "max_tokens", "temperature", "top_p"}
)
"""Columns by which a file of exported completions is known."""

_Count = Annotated[int, Field(ge=0)]


class _TurnRow(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _CompletionRow(BaseModel):
    """The columns of a completion, checked; of the question's, only its id and task are used."""

    model_config = ConfigDict(strict=True)

    model: str = Field(min_length=1)
    prompt: str | None = None
    messages: list[_TurnRow] | None = None
    answer_prefix: str = ""
    sample: _Count
    text: str
    thinking: str | None = None
    thinking_ended: bool | None = None
    finish_reason: str = Field(min_length=1)
    error: str | None = None
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)
    thinking_tokens: _Count | None = None
    stop: list[str] = []
    top_logprobs: _Count = 0
    scored_ends: bool | None = None
    scored_ids: list[_Count] = []
    scored_kept_at: str = ""
    seed: _Count = 0
    question_id: str | None = None
    task: str | None = None

    @model_validator(mode="after")
    def _asks_once(self) -> "_CompletionRow":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


def read_completion(row: Row) -> tuple[str, Completion]:
    """A row of exported completions as the model's name and its completion.

    Its cost was paid by the run that asked, so it is 0 here.

    Raises:
        ValueError: A column is missing or holds a wrong value; the message names it.
    """
    try:
        present = {name: value for name, value in row.items() if value is not None}
        values = _CompletionRow.model_validate(present)
    except ValidationError as error:
        raise ValueError(_first_fault(error)) from error
    text, thinking = values.text, values.thinking
    if thinking is None and values.scored_ends is None:
        text, thinking = answer_and_thinking(text, begun=values.answer_prefix)
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
        thinking_tokens=values.thinking_tokens,
        stop=tuple(values.stop),
        top_logprobs=values.top_logprobs,
        given=_given_text(values),
        seed=values.seed,
        question_id=values.question_id,
        task=values.task,
    )
    return values.model, Completion(
        request=request,
        sample=values.sample,
        text=text,
        thinking=thinking,
        thinking_ended=values.thinking_ended,
        finish_reason=finish_reason_of(values.finish_reason) or "stop",
        error=values.error,
        prompt_tokens=values.prompt_tokens,
        completion_tokens=values.completion_tokens,
        logprobs=_logprobs(row, values.top_logprobs),
    )


def _given_text(values: _CompletionRow) -> GivenText | None:
    """Returns the text that was scored; None where the model wrote it."""
    if values.scored_ends is None:
        return None
    return GivenText(
        text=values.text,
        ends=values.scored_ends,
        ids=tuple(values.scored_ids),
        kept_at=values.scored_kept_at,
    )


def _first_fault(error: ValidationError) -> str:
    """The first fault, in words."""
    fault = error.errors()[0]
    name = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _logprobs(row: Row, top: int) -> TokenLogprobs | None:
    """The token probabilities of a row; None where it has none."""
    if row.get("logprobs") is None:
        return None
    ids, names = row.get("token_ids"), row.get("token_bytes")
    if (ids is None) == (names is None):
        raise ValueError("logprobs need either token_ids or token_bytes")
    # Every array is (tokens, 1 + alternatives): the token that was chosen, then the likeliest ones.
    numbers = [
        [-np.inf if value is None else value for value in token]
        for token in _token_lists(row, "logprobs")
    ]
    values = _array(numbers, "logprobs", np.float32, empty=(0, 1 + top))
    if ids is not None:
        id_lists = _token_lists(row, "token_ids")
        id_array = _array(id_lists, "token_ids", np.int32, empty=values.shape)
        return TokenLogprobs(logprobs=values, ids=_same_shape(id_array, values))
    named = [[_bytes(name) for name in token] for token in _token_lists(row, "token_bytes")]
    sizes = [[len(name) for name in token] for token in named]
    lengths = _array(sizes, "token_bytes", np.uint16, empty=values.shape)
    joined = b"".join(name for token in named for name in token)
    return TokenLogprobs(logprobs=values, token_bytes=joined, lengths=_same_shape(lengths, values))


def _token_lists(row: Row, name: str) -> Sequence[Sequence[object]]:
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(token, list) for token in value):
        raise ValueError(f"{name}: give a list of values for each token")
    return value


def _array(
    lists: Sequence[Sequence[object]],
    name: str,
    kind: type[np.generic],
    *,
    empty: tuple[int, ...],
) -> Any:
    """The values as an array with a row a token; ``empty`` is its shape without any token."""
    if len({len(token) for token in lists}) > 1:
        raise ValueError(f"{name}: every token needs as many values")
    try:
        array = np.array(lists, dtype=kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error
    return array if lists else array.reshape(empty)


def _same_shape(array: Any, values: NDArray[np.float32]) -> Any:
    if array.shape != values.shape:
        raise ValueError(
            f"logprobs are {values.shape[0]} by {values.shape[1]}, and the names of their tokens "
            f"{array.shape[0]} by {array.shape[1]}"
        )
    return array


def _bytes(name: object) -> bytes:
    """A token's bytes; JSON holds them as Base64."""
    if isinstance(name, bytes):
        return name
    try:
        return base64.b64decode(str(name), validate=True)
    except binascii.Error as error:
        raise ValueError("token_bytes: a name is not Base64") from error
