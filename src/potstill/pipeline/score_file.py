r"""``potstill score``: the texts of a file, scored by a model that did not write them.

A row such as ``{"prompt": "Q: 3 + 4?\nA:", "text": " 7."}`` becomes a line with the probability of
each token of the text. What is scored is kept in a store of its own, so that a command which was
stopped and repeated pays for the rest alone.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import orjson

from potstill.errors import ConfigError, DataError
from potstill.models import open_model
from potstill.models.cluster.settings import RunOnSettings, named_engine
from potstill.models.score_texts import ScoredText, scored_text
from potstill.models.settings import LocalSettings, ModelSettings, model_settings
from potstill.pipeline.later_model import LaterModel
from potstill.pipeline.run_runtime import opened_on
from potstill.pipeline.unknown_costs import without_prices
from potstill.records import Completion, GivenText, Message, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.context import RunContext
from potstill.runtime.cost_words import cost_words
from potstill.runtime.events import EventLog
from potstill.runtime.number_formats import NumberFormats
from potstill.runtime.progress import Meter, printable
from potstill.sampling.ask import complete_missing
from potstill.settings import build, unfit
from potstill.store import Store
from potstill.tables import Row, rows
from potstill.tables.faults import listed_faults
from potstill.tasks.fields import MISSING, check_fields, field_value
from potstill.whole_files import whole_file

STAGE = "score"

LONGEST_KEPT = 200
"""Characters of a further field's text that is kept beside the scores."""

WRITTEN = ("logprob", "tokens", "error")
"""The names of a line's own fields; a row's fields of these names are not kept, so that an old
error does not stand beside a good score."""

_ROLES = get_args(get_type_hints(Message)["role"])
_SHOWN_REASONS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringJob:
    """The texts of one file, and how they are scored."""

    path: Path
    """JSONL, JSON, CSV or Parquet."""

    model: ModelSettings
    out: Path
    """Takes one JSON line for each row, in order."""

    folder: Path
    """Keeps what was scored."""

    prompt_field: str = "prompt"
    text_field: str = "text"
    top: int = 5
    """How many likeliest tokens are listed at each place."""

    ends: bool = False
    """Whether the end of the answer is scored behind each text."""

    budget: BudgetSettings = field(default_factory=BudgetSettings)
    run_on: RunOnSettings | None = None
    """The cluster whose workers score; None: this process."""


class ScoredFile(NamedTuple):
    """The counts of a scored file."""

    rows: int
    scored: int
    tokens: int
    """Tokens of the texts, their ends among them."""

    unknown: int
    """Texts whose first token has no probability, as nothing stands before it."""

    failures: Mapping[str, int]
    """Why rows are not scored, the most frequent reason first."""

    there: int
    """Distinct texts that were scored before."""

    asked: int
    """Distinct texts that were scored now."""

    usd: float
    """US dollars spent now, on probes as well."""

    unpriced: Sequence[str]
    """The models whose prices are not known."""


def score_settings(
    raw: Mapping[str, object],
) -> tuple[ModelSettings, BudgetSettings, RunOnSettings | None]:
    """Returns the model of a command, its budget, and where the model is asked.

    Raises:
        ConfigError: A setting is unknown or does not fit, or the model cannot score.
    """
    for name in raw.keys() - {"model", "budget", "run_on"}:
        raise ConfigError(
            f"--set {name}: there is no such setting; give model.NAME=VALUE, budget.NAME=VALUE or "
            "run_on.NAME=VALUE."
        )
    budget = raw.get("budget") or {}
    if not isinstance(budget, Mapping):
        raise unfit(budget, "give budget.usd=NUMBER or budget.tokens=NUMBER", at="budget")
    model = model_settings(raw["model"], at="model")
    if not model.can_continue:
        raise ConfigError(
            f"{model.model} cannot score texts: what was recorded answers what was asked then. "
            "Name a model that can be asked, e.g. hf:FOLDER or vllm:NAME."
        )
    run_on = named_engine(raw.get("run_on") or {})
    if not isinstance(run_on, Mapping):
        raise unfit(run_on, "give ray, or run_on.NAME=VALUE", at="run_on")
    return (
        model,
        build(BudgetSettings, budget, at="budget"),
        build(RunOnSettings, run_on, at="run_on") if run_on else None,
    )


def score_file(job: ScoringJob, meter: Meter, *, overwrite: bool = False) -> ScoredFile:
    """Score every text of a file.

    Args:
        job: The texts to score, and how.
        meter: Shows how far it is.
        overwrite: Replace ``job.out`` if it is there and no earlier command has made it.

    Raises:
        ConfigError: ``out`` is the file that is read, or is there already.
        DataError: The file cannot be read, has no rows, lacks a field, or a value is no text.
        ModelError: The model scores no texts, or none of these.
        BudgetError: The budget is spent; what was scored is kept.
    """
    _check_out(job, overwrite=overwrite)
    read = _rows(job)
    job.model.check_key()
    with (
        closing(Store(job.folder / "run.sqlite")) as store,
        closing(_runtime(job, store)) as runtime,
    ):
        context = RunContext(store=store, folder=job.folder, progress=meter.of(runtime))
        model = LaterModel(job.model.identity(), lambda: open_model(job.model, runtime))
        before = runtime.budget.spent
        requests = [row.request for row in read]
        label = f"scores by {job.model.model}"
        counts = complete_missing(model, requests, context, label=label, stage=STAGE)
        counts.check_any(model.name, store)
        written = _write(job, read, model.name, store)
        return written._replace(
            there=counts.there,
            asked=counts.stored,
            usd=runtime.budget.spent.minus(before).usd,
            unpriced=[one.model for one in without_prices([job.model])],
        )


def describe_scored(scored: ScoredFile) -> Iterator[str]:
    """A scored file's counts, line by line."""
    yield f"scored       {scored.scored:,} of {scored.rows:,} texts, {scored.tokens:,} tokens"
    cost = cost_words(scored.usd, scored.unpriced)
    yield f"asked        {scored.asked:,} now, {scored.there:,} stored before; {cost}"
    if scored.unknown:
        yield (
            f"unknown      {scored.unknown:,} texts begin with a token that nothing stands before: "
            "it has no probability, and is no part of the sum"
        )
    if scored.failures:
        reasons = [
            f"{reason} ({count:,})"
            for reason, count in list(scored.failures.items())[:_SHOWN_REASONS]
        ]
        more = len(scored.failures) - len(reasons)
        told = "; ".join(reasons) + (f"; and {more} more" if more > 0 else "")
        failed = scored.rows - scored.scored
        yield printable(f"failed       {failed:,}: {told}. Repeat the command to try them again")


class _AskedRow(NamedTuple):
    """One row of the file."""

    request: Request
    kept: dict[str, object]
    """The row's further fields that are written beside the scores."""


def _check_out(job: ScoringJob, *, overwrite: bool) -> None:
    out = job.out
    if out.exists() and job.path.exists() and out.samefile(job.path):
        raise ConfigError(f"{out} is the file to be scored; write to another one.")
    is_own = (job.folder / "run.sqlite").exists()
    if out.exists() and not (overwrite or is_own):
        raise ConfigError(f"{out} is there already; name another file, or give --overwrite.")


def _runtime(job: ScoringJob, store: Store) -> Runtime:
    folder = job.folder
    budget = Budget(
        job.budget,
        journal=folder / "spending.jsonl",
        before=store.spent(),
        unpriced=[one.model for one in without_prices([job.model])],
    )
    formats = NumberFormats(folder / "number_formats.json", former=store.has_answers_of("hf"))
    return Runtime(
        budget=budget,
        events=EventLog(folder / "log.jsonl"),
        number_formats=formats,
        open_elsewhere=opened_on(job.run_on),
    )


def _rows(job: ScoringJob) -> list[_AskedRow]:
    """Returns the rows of the file as requests.

    Raises:
        DataError: It cannot be read, has no rows, or some of them cannot be scored.
    """
    placed = rows(job.path)
    if not placed:
        raise DataError(f"{job.path} holds no rows.")
    at, first = placed[0]
    check_fields(first, {"prompt": job.prompt_field, "text": job.text_field}, at=at)
    read, faults = [], []
    for at, row in placed:
        try:
            read.append(_row(job, row))
        except ValueError as error:
            faults.append(f"{at}: {error}.")
    if faults:
        raise listed_faults(job.path, faults)
    return read


def _row(job: ScoringJob, row: Row) -> _AskedRow:
    text = field_value(row, job.text_field)
    if not isinstance(text, str):
        raise ValueError(_no_text(job.text_field, text, "text"))
    request = Request(
        prompt=_prompt(job, row),
        given=GivenText(text=text, ends=job.ends),
        top_logprobs=job.top,
    )
    kept = {
        name: value
        for name, value in row.items()
        if name not in (job.prompt_field, job.text_field, *WRITTEN) and _is_short(value)
    }
    return _AskedRow(request, kept)


def _prompt(job: ScoringJob, row: Row) -> str | tuple[Message, ...]:
    """Returns a row's prompt: plain text, or the turns of a chat."""
    prompt = field_value(row, job.prompt_field)
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list) or not prompt:
        raise ValueError(_no_text(job.prompt_field, prompt, "text or a list of chat messages"))
    turns = []
    for turn in prompt:
        values = turn if isinstance(turn, Mapping) else {}
        role: Any = values.get("role")
        content = values.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise ValueError(
                f"{job.prompt_field!r} has the message {str(turn)[:60]!r}; give it a role of "
                f"{', '.join(_ROLES)} and a content of text"
            )
        turns.append(Message(role=role, content=content))
    return tuple(turns)


def _no_text(name: str, value: object, wanted: str) -> str:
    if value is MISSING or value is None:
        return f"there is no {name!r}"
    return f"{name!r} is {str(value)[:40]!r}, and must be {wanted}"


def _is_short(value: object) -> bool:
    """Whether a value may tell a row from others: one of a list or a long text does not."""
    if isinstance(value, str):
        return len(value) <= LONGEST_KEPT
    return value is None or isinstance(value, int | float)


def _write(job: ScoringJob, read: Sequence[_AskedRow], model: str, store: Store) -> ScoredFile:
    """Writes what is stored of the rows, in their order."""
    names = _Names(job.model)
    failures = Counter[str]()
    tokens = unknown = 0
    with whole_file(job.out) as lines:
        for row in read:
            stored = store.completions(model, row.request, logprobs=True)
            if not stored:
                reason = store.failure(model, row.request) or "the command was stopped before it"
                failures[reason] += 1
                lines.write(_line(row, {"logprob": None, "tokens": [], "error": reason}))
                continue
            scored = scored_text(stored[0].completion, names.of(stored[0].completion))
            tokens += len(scored.tokens)
            unknown += any(token.logprob is None for token in scored.tokens)
            lines.write(_line(row, _plain(scored)))
    ordered = dict(failures.most_common())
    done = len(read) - failures.total()
    return ScoredFile(len(read), done, tokens, unknown, ordered, 0, 0, 0.0, ())


class _Names:
    """The bytes of a local model's tokens, read when a stored score names them by ids."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._names: Sequence[bytes | None] | None = None

    def of(self, completion: Completion) -> Sequence[bytes | None] | None:
        """Returns the names that a completion's tokens need; None where it has them itself."""
        scores = completion.logprobs
        if scores is None or scores.ids is None:
            return None
        if self._names is None:
            from potstill.models.local.loading import load_tokenizer
            from potstill.models.local.prompt_encoding import PromptEncoder

            assert isinstance(self._settings, LocalSettings), "others name tokens by bytes"
            tokenizer = load_tokenizer(self._settings)
            self._names = PromptEncoder(tokenizer, self._settings.source).token_names
        return self._names


def _line(row: _AskedRow, values: Mapping[str, object]) -> bytes:
    line = {**row.kept, **values}
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a kept whole number beyond 64 bits
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _plain(scored: ScoredText) -> dict[str, object]:
    """A scored text as JSON has it."""
    return {
        "logprob": scored.logprob,
        "tokens": [
            {
                "bytes": list(token.bytes),
                "logprob": token.logprob,
                "top": [
                    {"bytes": list(other.bytes), "logprob": other.logprob} for other in token.top
                ],
            }
            for token in scored.tokens
        ],
    }
