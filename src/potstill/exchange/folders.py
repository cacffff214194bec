"""The folders that are pushed: a dataset with its card, or the chosen student with its own."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from potstill.errors import ConfigError, DataError
from potstill.exchange.export import rows_of, write_rows
from potstill.exchange.hub import DatasetFacts, dataset_card, front_matter
from potstill.exchange.rows import LOGPROBS, Table, What
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.run import Run
from potstill.runtime.progress import Advance

SHARD_ROWS = 50_000
"""Rows in one Parquet file of a pushed dataset."""

Row = Mapping[str, object]


class Described(NamedTuple):
    """What a user says of a dataset."""

    name: str
    """On the hub, as ``OWNER/NAME``."""

    command: str
    """How it was made."""

    licence: str | None = None
    """Of the questions; by default what is known of the task."""

    language: str | None = None
    """Of the questions, as an ISO 639 code; by default English for the tasks of potstill."""


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A folder that appears under its name once all of it is there.

    Raises:
        ConfigError: It is there already, and not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; give a folder that is new or empty.")
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield partial
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def dataset_folder(run: Run, folder: Path, what: What, described: Described, **options: Any) -> int:
    """Write the folder of a dataset: Parquet files under ``data/`` and README.md, the card.

    Args:
        run: Opened read-only, or not.
        folder: New or empty.
        what: What it holds.
        described: What the card is to say.
        options: As for :func:`potstill.exchange.export.rows_of`.

    Returns:
        How many rows it has.

    Raises:
        PotstillError: The folder is in use, or there is nothing to write.
    """
    table = rows_of(run, what, **options)
    with _fresh(folder) as fresh, run.meter.stage(f"writing {what}", total=table.total) as advance:
        counted = _counted(table, advance)
        first = next(counted, None)
        if first is None:
            raise DataError(f"{run.folder} has no {what} to push.")
        rows = _write_shards(fresh / "data", what, table, chain([first], counted))
        facts = _facts(run, what, described, table, first, rows)
        (fresh / "README.md").write_text(dataset_card(facts), encoding="utf-8")
    return rows


def _counted(table: Table, advance: Advance) -> Iterator[Row]:
    for row in table.rows:
        yield row
        advance(1, 0, 0.0)


def _write_shards(folder: Path, what: What, table: Table, rows: Iterator[Row]) -> int:
    return sum(
        write_rows(folder / f"{what}-{number:05}.parquet", table.columns, shard)
        for number, shard in enumerate(_shards(rows))
    )


def _shards(rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
    """The rows in parts, each to be taken to its end before the next."""
    while (first := next(rows, None)) is not None:
        yield chain([first], islice(rows, SHARD_ROWS - 1))


def _facts(
    run: Run, what: What, described: Described, table: Table, first: Row, rows: int
) -> DatasetFacts:
    own_file = run.recipe.task.file is not None
    by_token = {column.name for column in LOGPROBS}
    return DatasetFacts(
        name=described.name,
        what=what,
        rows=rows,
        columns=table.columns,
        example={name: value for name, value in first.items() if name not in by_token},
        task=run.task.name,
        source="" if own_file else run.task.source,
        licence=described.licence or run.task.licence,
        language=described.language or ("" if own_file else "en"),
        made=[*_made(run), *([("worded as", table.wording)] if table.wording else [])],
        verdicts=run.store.verdicts(),
        command=described.command,
        version=_version(),
    )


def _made(run: Run) -> list[tuple[str, str]]:
    """How the rationales came about, by the recipe."""
    recipe, teachers = run.recipe, run.recipe.named_teachers
    generate = recipe.generate
    styles = [generate.prompt_style or "instruct_cot for chat models, else zero_shot_cot"]
    if not run.teaching.unknown:
        styles = [run.teaching.asking(name).style.name for name in teachers]
    drawn = generate.model_dump(mode="json", exclude={"prompt_style"}, exclude_none=True)
    kept = recipe.curate.model_dump(mode="json", exclude_none=True)
    return [
        ("teacher", ", ".join(public_name(teacher.model) for teacher in teachers.values())),
        ("prompt style", ", ".join(dict.fromkeys(styles))),
        ("drawn with", _listed({**drawn, "seed": recipe.seed})),
        ("curated with", _listed(kept)),
    ]


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in values.items())


def public_name(model: str) -> str:
    """A model as ``kind:where``, of a folder or file here its own name alone."""
    kind, _, where = model.partition(":")
    is_path = where.count("/") > 1 or where[:1] in ("/", ".", "~") or Path(where).exists()
    is_here = kind == "recorded" or (kind == "hf" and is_path)
    return f"{kind}:{Path(where).name}" if is_here else model


def _version() -> str:
    try:
        return version("potstill")
    except PackageNotFoundError:
        return "from its source"


def model_folder(
    run: Run, folder: Path, *, licence: str | None = None, linked: bool = False
) -> None:
    """Make a folder of the chosen student and its model card.

    Args:
        run: Whose ``model/`` it is.
        folder: New or empty.
        licence: Of the weights, by the hub's name for it.
        linked: Link the files in place of copying them, for a folder that is soon removed.

    Raises:
        PotstillError: No student was chosen yet, or the folder is in use.
    """
    model = run.folder / "model"
    if not (model / "config.json").is_file():
        raise DataError(
            f"{run.folder} has no model yet; run potstill evaluate on its recipe first."
        )
    with _fresh(folder) as fresh:
        for file in sorted(model.iterdir()):
            if not file.is_file() or file.name == "README.md":
                continue
            if linked:
                (fresh / file.name).symlink_to(file.resolve())
            else:
                shutil.copy2(file, fresh / file.name)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        card = _model_card(
            (model / "README.md").read_text(encoding="utf-8"), run.recipe, config, licence
        )
        (fresh / "README.md").write_text(card, encoding="utf-8")


def _model_card(
    card: str, recipe: Recipe, config: Mapping[str, object], licence: str | None
) -> str:
    """A model card for the hub: its front matter anew, and no path of this machine in it."""
    matter, _, body = card.removeprefix("---\n").partition("\n---\n")
    lines = dict(line.partition(": ")[::2] for line in matter.splitlines())
    start = lines.get("base_model", "")
    for model in filter(None, (start, recipe.teacher.model)):
        body = body.replace(model, public_name(model))
    is_hub_name = start.startswith("hf:") and public_name(start) == start
    encoder_decoder = bool(config.get("is_encoder_decoder"))
    fresh = front_matter(
        {
            "license": licence,
            "base_model": start.removeprefix("hf:") if is_hub_name else None,
            "library_name": "transformers",
            "pipeline_tag": "text2text-generation" if encoder_decoder else "text-generation",
            "tags": ["potstill", "distillation", "chain-of-thought"],
        }
    )
    return fresh + body
