"""The folders that are pushed: a dataset with its card, or the chosen student with its own.

A dataset's folder holds ``data/rationales-00000.parquet`` and so on, and README.md, which the hub
shows as the dataset's card. A model's folder is a copy of the run's ``model/`` whose card names no
path of this machine.
"""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import potstill
from potstill.errors import DataError
from potstill.evaluate.card_matter import TAGS, hub_name, pipeline_tag
from potstill.evaluate.card_snippet import HERE
from potstill.exchange.export import CountedRows, ExportResult, export_table, write_rows
from potstill.exchange.hub import DatasetFacts, dataset_card, front_matter
from potstill.exchange.rows import ExportKind, ExportTable, Row, without_address
from potstill.exchange.shards import in_shards
from potstill.pipeline.run import Run
from potstill.prompts.styles import style_named
from potstill.store import Provenance
from potstill.whole_files import new_folder


class DatasetDescription(NamedTuple):
    """The parts of a dataset's card that its publisher gives."""

    name: str
    """The name on the hub, as ``OWNER/NAME``."""

    command: str
    """The command that made it."""

    licence: str | None = None
    """The questions' licence; by default the one known of the task."""

    language: str | None = None
    """The questions' language, an ISO 639 code; by default English for the tasks of potstill."""


def dataset_folder(
    run: Run, folder: Path, kind: ExportKind, description: DatasetDescription, **options: Any
) -> ExportResult:
    """Write the folder of a dataset: Parquet files under ``data/`` and README.md, the card.

    Args:
        run: Opened read-only, or not.
        folder: New or empty.
        kind: The kind of rows.
        description: The publisher's parts of the card.
        options: See :func:`potstill.exchange.export.export_table`.

    Returns:
        The number of rows, and of those without a question.

    Raises:
        PotstillError: The folder is in use, or there is nothing to write.
    """
    table = export_table(run, kind, **options)
    with (
        new_folder(folder) as unfinished,
        run.meter.stage(f"writing {kind}", total=table.total) as advance,
    ):
        counted = CountedRows(table, advance)
        left = iter(counted)
        first = next(left, None)
        if first is None:
            raise DataError(f"{run.folder} has no {kind} to push.")
        rows = _write_shards(unfinished / "data", kind, table, chain([first], left))
        facts = _facts(run, kind, description, table, first, rows)
        (unfinished / "README.md").write_text(dataset_card(facts), encoding="utf-8")
    return ExportResult(rows, counted.without_question, dict(table.left_out))


def _write_shards(folder: Path, kind: ExportKind, table: ExportTable, rows: Iterator[Row]) -> int:
    return sum(
        write_rows(folder / f"{kind}-{number:05}.parquet", table.columns, shard)
        for number, shard in enumerate(in_shards(rows))
    )


def _facts(
    run: Run,
    kind: ExportKind,
    description: DatasetDescription,
    table: ExportTable,
    first: Row,
    rows: int,
) -> DatasetFacts:
    is_own_file = run.recipe.task.file is not None
    by_token = {column.name for column in table.columns if column.kind.endswith("by token")}
    wording = [("worded as", table.data_format)] if table.data_format else []
    return DatasetFacts(
        name=description.name,
        kind=kind,
        rows=rows,
        columns=table.columns,
        example={name: value for name, value in first.items() if name not in by_token},
        task=run.task.name,
        source="" if is_own_file else run.task.source,
        licence=description.licence or run.task.licence,
        language=description.language or ("" if is_own_file else "en"),
        origin=[*_origin(run), *wording],
        verdicts=run.store.verdicts(),
        command=description.command,
        version=potstill.__version__,
    )


def _origin(run: Run) -> list[tuple[str, str]]:
    """How the rationales came about, from the store where it knows, else by the recipe."""
    made = run.store.provenance("curate")
    recipe = yaml.safe_load(made.recipe) if made is not None and made.recipe else {}
    sections = run.recipe.model_dump(mode="json") | recipe
    generating = {**sections["generate"], "seed": sections["seed"]}
    writers = [without_address(writer.model) for writer in run.store.writers()]
    teachers = [teacher.model for teacher in run.recipe.named_teachers.values()]
    names = [public_name(name) for name in dict.fromkeys(writers or teachers)]
    return [
        ("teacher", ", ".join(names)),
        ("prompt style", ", ".join(_styles(run, made))),
        ("drawn with", _listed(generating, exclude={"prompt_style"})),
        ("curated with", _listed(sections["curate"])),
    ]


def _styles(run: Run, made: Provenance | None) -> list[str]:
    """The prompt styles that the rationales were drawn with, each once."""
    kept = made.inputs if made is not None else {}
    styles = [value for name, value in kept.items() if name.startswith("the prompt style")]
    names = [str(style["name"]) for style in styles if isinstance(style, Mapping)]
    generate = run.recipe.generate
    if names:
        return list(dict.fromkeys(names))
    if not run.teachers.unknown:
        asked = (run.teachers.asking(name) for name in run.recipe.named_teachers)
        return list(dict.fromkeys(asking.style.name for asking in asked))
    if generate.prompt_style is not None:
        return [style_named(generate.prompt_style).name]
    return ["instruct_cot for chat models, else zero_shot_cot"]


def _listed(values: Mapping[str, object], *, exclude: Collection[str] = ()) -> str:
    return ", ".join(
        f"{name} {json.dumps(value)}"
        for name, value in values.items()
        if value is not None and name not in exclude
    )


def public_name(model: str) -> str:
    """A model as ``kind:where``; a folder or file of this machine is named without its path."""
    kind, _, where = model.partition(":")
    is_path = where.count("/") > 1 or where[:1] in ("/", ".", "~") or Path(where).exists()
    is_here = kind == "recorded" or (kind == "hf" and is_path)
    return f"{kind}:{Path(where).name}" if is_here else model


class HubStudent(NamedTuple):
    """The publisher's statements about a student."""

    name: str
    """The name on the hub, as ``OWNER/NAME``."""

    licence: str | None = None
    """The weights' licence, by the hub's name for it; by default that of the recipe's card."""


def model_folder(run: Run, folder: Path, student: HubStudent, *, linked: bool = False) -> None:
    """Make a folder of the chosen student and its model card.

    Args:
        run: The run that chose the student.
        folder: New or empty.
        student: The publisher's parts of the card.
        linked: Link the files in place of copying them, for a folder that is soon removed.

    Raises:
        PotstillError: No student was chosen yet, or the folder is in use.
    """
    model = run.folder / "model"
    if not (model / "config.json").is_file():
        raise DataError(
            f"{run.folder} has no model yet; run potstill evaluate on its recipe first."
        )
    with new_folder(folder) as unfinished:
        for file in sorted(model.iterdir()):
            if not file.is_file() or file.name == "README.md":
                continue
            if linked:
                (unfinished / file.name).symlink_to(file.resolve())
            else:
                shutil.copy2(file, unfinished / file.name)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        card = _hub_model_card(
            (model / "README.md").read_text(encoding="utf-8"), run, config, student
        )
        (unfinished / "README.md").write_text(card, encoding="utf-8")


def _hub_model_card(card: str, run: Run, config: Mapping[str, object], student: HubStudent) -> str:
    """A model card for the hub: its front matter filled in, and no path of this machine in it."""
    matter, _, body = card.removeprefix("---\n").partition("\n---\n")
    read = yaml.safe_load(matter)
    values: dict[str, object] = read if isinstance(read, dict) else {}
    recipe = run.recipe
    starts = [start.settings.model for start in run.students.starts.values()]
    base = str(values.pop("base_model", None) or "")
    for model in filter(None, (base, recipe.student.model, *starts, recipe.teacher.model)):
        body = body.replace(model, public_name(model))
    body = body.replace(f"name = {HERE!r}", f"name = {student.name!r}", 1)
    body = body.replace("In the folder of this card:\n\n", "", 1)
    first = {
        "license": student.licence or values.get("license"),
        "base_model": hub_name(base if ":" in base else f"hf:{base}"),
        "library_name": "transformers",
        "pipeline_tag": pipeline_tag(encoder_decoder=bool(config.get("is_encoder_decoder"))),
        "tags": list(TAGS),
    }
    others = {name: value for name, value in values.items() if name not in first}
    return front_matter(first | others) + body
