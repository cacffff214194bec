"""The description of a published dataset, and the reading that all their readers share.

A dataset is a list of questions with gold answers that its authors publish as a file, mostly JSON,
and often also stands on the Hugging Face hub. One file in this folder describes one: its name,
source, licence and sizes, and a reader that makes a :class:`Pool` of :class:`Question` records.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from potstill.errors import DataError, extra, without_remarks
from potstill.records import AnswerType, Question
from potstill.tables import Row as Row
from potstill.tables.encodings import decoded, file_bytes


class Pool(NamedTuple):
    """The questions of a dataset, before development questions are set aside."""

    train: tuple[Question, ...]
    """The published training questions; all questions where no split was published."""

    test: tuple[Question, ...] = ()
    """The published test questions; empty where no split was published."""

    dev: tuple[Question, ...] = ()
    """Development questions, where the source sets them aside itself."""

    notes: tuple[str, ...] = ()
    """Sentences on questions that the reader left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A published set of questions."""

    name: str
    source: str
    """The address at which its authors, or those who gathered it, publish it."""

    licence: str
    """Its licence, or ``none`` where the source states none."""

    files: str
    """The original files, as ``path`` may name them or their folder."""

    read: Callable[[Path], Pool]
    """Reads the original file, or the folder that holds it."""

    read_hub: Callable[[], Pool] | None = None
    """Reads the dataset from the hub, where it is there in a plain format."""

    hub: str = ""
    """Its name on the hub, where ``read_hub`` reads it."""

    answer_type: AnswerType = "number"

    sizes: tuple[int, int]
    """Training and test questions: as its authors split it, else as Fine-tune-CoT does."""

    own_split: bool = False
    """Whether its authors split it themselves."""


def named_file(path: Path, name: str) -> Path:
    """Returns the path itself, or the file of this name in the folder that it is.

    Raises:
        DataError: There is no such file.
    """
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} is not there; path must be {name} or the folder that holds it.")
    return file


def read_text(path: Path) -> str:
    """Returns the text of a file in UTF-8 or with a byte order mark, unpacked where it is gzipped.

    Raises:
        DataError: The file cannot be read, or is no such text.
    """
    return decoded(file_bytes(path), path)


def read_json(path: Path) -> object:
    """Returns the value in a JSON file.

    Raises:
        DataError: The file cannot be read or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from error


def json_rows(path: Path) -> list[Row]:
    """Returns the objects of a JSON file that holds one array of them.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} must hold one JSON array of objects.")
    return rows


def jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields the objects of a JSONL file with their line numbers, from 1; empty lines are skipped.

    Raises:
        DataError: The file cannot be read, or a line is not a JSON object.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: not JSON ({error.msg}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: not a JSON object.")
        yield number, row


def example_rows(path: Path, name: str) -> list[Row]:
    """Returns the objects under ``examples`` in a JSON file, as BIG-bench keeps them.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    file = named_file(path, name)
    whole = read_json(file)
    rows = whole.get("examples") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file} must hold an object with a list of objects as 'examples'.")
    return rows


def with_templates(
    questions: Iterable[Question], template: Callable[[Question], str]
) -> tuple[Question, ...]:
    """Returns the questions with a template id each, counted in the order of their first question.

    Args:
        questions: All questions of one task.
        template: Returns the text that a question shares with the others of its template.
    """
    numbers: dict[str, int] = {}
    numbered = []
    for question in questions:
        number = numbers.setdefault(template(question), len(numbers))
        numbered.append(replace(question, template_id=f"template/{number}"))
    return tuple(numbered)


def field(row: Row, name: str, *, at: str) -> str:
    """Returns a value of a row as text, without spaces around it.

    Raises:
        DataError: The row has no such field.
    """
    if name not in row:
        raise DataError(f"{at}: there is no {name!r}; the row has {', '.join(map(repr, row))}.")
    return str(row[name]).strip()


def hub_rows(name: str, *, config: str | None = None, split: str) -> list[Row]:
    """Returns the rows of a dataset on the hub.

    Args:
        name: The dataset's name there, such as ``openai/gsm8k``.
        config: The name of one of its configurations, where it has several.
        split: The name of the split there.

    Raises:
        MissingExtraError: The package ``datasets`` is not installed.
        DataError: The hub cannot be reached or has no such dataset.
    """
    with extra("hub", needed_for=f"reading {name} from the hub"):
        import datasets
    try:
        with without_remarks("huggingface_hub", "datasets"):
            rows = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{name} could not be read from the hub: {error}. "
            "Give the original data's folder as path instead."
        ) from error
    return [dict(row) for row in rows]
