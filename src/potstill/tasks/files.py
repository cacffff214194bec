"""A user's own questions from a file: its rows, and the questions with their splits.

A file is JSONL, a JSON array, CSV or Parquet, with a question a row::

    {"question": "Tom has 3 pens and buys 5. How many has he?", "answer": "8", "split": "train"}
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TypeGuard

from potstill.errors import ConfigError, DataError, extra
from potstill.grading.answers import READERS
from potstill.grading.grade import plain_gold
from potstill.records import AnswerType, Question, Split
from potstill.tasks.datasets.pool import Row, jsonl_rows, read_json, read_text
from potstill.tasks.settings import TaskSettings
from potstill.tasks.splits import Splits, by_hash, by_template, normalised, three_ways

SPLIT_COLUMN = "split"
_SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "test": "test",
}  # fmt: skip


def answer_type_of(settings: TaskSettings) -> AnswerType:
    """The answer type given, else ``choice`` where there are options, else ``number``."""
    return settings.answer_type or ("choice" if settings.choices else "number")


def read_file(path: Path, settings: TaskSettings) -> Splits:
    """Reads a user's questions into splits.

    A column ``split`` (train, dev or validation, test) settles the splits; a file without it is
    split by a hash of the question, see :mod:`potstill.tasks.splits`.

    Raises:
        DataError: The file cannot be read or is empty; a column, a question or an answer is
            missing; an answer does not fit; an id stands twice; one question has two answers.
    """
    members: list[tuple[str | None, Question]] = []
    at_of: dict[str, str] = {}
    answers: dict[str, tuple[str, str]] = {}
    for number, (at, row) in enumerate(rows(path), start=1):
        if number == 1:
            _check_columns(row, settings, at=at)
        question = _question(row, settings, at=at, path=path, taken=at_of)
        if question.id in at_of:
            raise DataError(f"{at}: the id {question.id!r} already stands at {at_of[question.id]}.")
        at_of[question.id] = at
        key = normalised(" ".join([question.text, *question.choices]))
        first_answer, first_at = answers.setdefault(key, (question.answer, at))
        # Whichever of two answers were graded by would be noise, so neither is guessed.
        if first_answer != question.answer:
            raise DataError(
                f"{at}: the question of {first_at} again, but its answer is {question.answer!r} "
                f"here and {first_answer!r} there. Correct one of the two."
            )
        members.append((_text(row.get(SPLIT_COLUMN)), question))
    if not members:
        raise DataError(f"{path} holds no questions.")
    return _splits(members, settings, at_of)


def _splits(
    members: Iterable[tuple[str | None, Question]], settings: TaskSettings, at_of: dict[str, str]
) -> Splits:
    """The splits by their column; where no row has one, by template if asked to, else by hash."""
    members = list(members)
    if all(name is None for name, _ in members):
        questions, seed = tuple(question for _, question in members), settings.split_seed
        if settings.split != "template":
            return by_hash(questions, seed=seed)
        pool = by_template(questions, seed=seed, at=str(settings.file))
        return three_ways(pool, seed=seed, dev=settings.dev)
    if settings.split != "published":
        raise ConfigError(
            f"{settings.file}: split is {settings.split!r}, and the column {SPLIT_COLUMN!r} has "
            "splits of its own. Leave one out."
        )
    splits: dict[Split, list[Question]] = {"train": [], "dev": [], "test": []}
    for name, question in members:
        split = _SPLIT_NAMES.get((name or "").casefold())
        if split is None:
            raise DataError(f"{at_of[question.id]}: split is {name!r}; give train, dev or test.")
        splits[split].append(question)
    return {name: tuple(questions) for name, questions in splits.items()}


def _question(
    row: Row, settings: TaskSettings, *, at: str, path: Path, taken: dict[str, str]
) -> Question:
    """One row as a question, with its gold answer checked."""
    text, gold = _text(row.get(settings.question)), _text(row.get(settings.answer))
    if text is None:
        raise DataError(f"{at}: the question is empty.")
    if gold is None:
        raise DataError(f"{at}: the question has no answer.")
    choices = _choices(row, settings, at=at)
    own_id = _text(row.get(settings.id)) if settings.id else _made_id(path.stem, text, taken)
    if own_id is None:
        raise DataError(f"{at}: the id is empty.")
    question = Question(
        id=own_id,
        text=text,
        answer=_letter(gold, choices),
        choices=choices,
        template_id=_text(row.get(settings.template_id)) if settings.template_id else None,
    )
    try:
        return plain_gold(READERS[answer_type_of(settings)], question)[0]
    except DataError as error:
        raise DataError(f"{at}: {error}") from error


def _letter(gold: str, choices: tuple[str, ...]) -> str:
    """The letter of the option that the gold answer gives in full; else the answer as it is."""
    return chr(ord("A") + choices.index(gold)) if choices.count(gold) == 1 else gold


def _choices(row: Row, settings: TaskSettings, *, at: str) -> tuple[str, ...]:
    if settings.choices is None:
        return ()
    value = row.get(settings.choices)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 26:
        raise DataError(f"{at}: {settings.choices!r} must be a list of 2 to 26 options.")
    return tuple(str(option).strip() for option in value)


def _made_id(stem: str, text: str, taken: dict[str, str]) -> str:
    """An id from the question's text, numbered where the text stands more than once."""
    digest = hashlib.blake2b(normalised(text).encode(), digest_size=6).hexdigest()
    name, number = f"{stem}/{digest}", 2
    while name in taken:
        name, number = f"{stem}/{digest}-{number}", number + 1
    return name


def _check_columns(row: Row, settings: TaskSettings, *, at: str) -> None:
    for setting in ("question", "answer", "choices", "id", "template_id"):
        column = getattr(settings, setting)
        if column is None or column in row:
            continue
        near = get_close_matches(column, list(row), n=1)
        hint = f" Did you mean {setting}: {near[0]}?" if near else ""
        present = ", ".join(map(repr, row))
        raise DataError(f"{at}: there is no column {column!r}; there are {present}.{hint}")


def _text(value: object) -> str | None:
    """A value as text; None for nothing and for nothing but spaces."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None if value is not None else None


def rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a file, each with its place for messages.

    Any but Parquet may be packed, as ``.jsonl.gz``. A JSON file holds one array of objects, or an
    object with one such array in it, as BIG-bench keeps its ``examples``, or an object that names
    each of them, as by an id.

    Raises:
        DataError: The file cannot be read, or holds something else than rows.
        MissingExtraError: Parquet is to be read without the package for it.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix.lower()
    if suffix == ".jsonl":
        yield from ((f"{path}, line {number}", row) for number, row in jsonl_rows(path))
        return
    readers = {".json": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if suffix not in readers:
        raise DataError(f"{path}: give a .jsonl, .json, .csv or .parquet file.")
    numbered = enumerate(readers[suffix](path), start=1)
    yield from ((f"{path}, row {number}", row) for number, row in numbered)


def _json_rows(path: Path) -> list[Row]:
    whole = read_json(path)
    if isinstance(whole, dict):
        lists = {name: part for name, part in whole.items() if part and _are_rows(part)}
        if len(lists) > 1:
            raise DataError(
                f"{path} holds several arrays of objects: {', '.join(map(repr, lists))}. "
                "Keep the one that is meant."
            )
        whole = next(iter(lists.values()), list(whole.values()))
    if not _are_rows(whole):
        raise DataError(f"{path} must hold one JSON array of objects.")
    return whole


def _are_rows(value: object) -> TypeGuard[list[Row]]:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _csv_rows(path: Path) -> list[Row]:
    try:
        csv_rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}.") from error
    for number, row in enumerate(csv_rows, start=1):
        if None in row:
            raise DataError(f"{path}, row {number}: more values than there are columns.")
    return list(csv_rows)


def _parquet_rows(path: Path) -> list[Row]:
    with extra("parquet", needed_for=f"reading {path.name}"):
        import pyarrow
        import pyarrow.parquet
    try:
        return list(pyarrow.parquet.read_table(path).to_pylist())
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
