"""A user's own questions from a file, with their splits; every fault of the file is told at once.

A file is JSON lines, JSON, separated text or Parquet, with a question a row::

    {"question": "Tom has 3 pens and buys 5. How many has he?", "answer": "8", "split": "train"}
"""

import hashlib
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError, DataError, shortened
from potstill.grading.answers import READERS
from potstill.grading.grade import plain_gold
from potstill.records import AnswerType, Question, Split
from potstill.tables import FileLayout, Row, SourceRow, listed_faults, own_text, source_rows
from potstill.tasks.answer_types import type_advice
from potstill.tasks.choice_forms import (
    MOST,
    AnswerNumbers,
    OptionList,
    answer_numbers,
    gold_option,
    option_cells,
    option_list,
    text_separator,
)
from potstill.tasks.date_order import day_first_example, unclear_date
from potstill.tasks.fields import cell, field_names
from potstill.tasks.number_signs import unclear_signs
from potstill.tasks.settings import TaskSettings
from potstill.tasks.splits import Splits, by_hash, by_template, normalised, three_ways

SPLIT_COLUMN = "split"
PART_SEPARATOR = "\n\n"
"""The separator of the columns that make up a question."""

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "dev": "dev",
    "development": "dev", "validation": "dev", "valid": "dev", "val": "dev",
}  # fmt: skip


_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")


class _Place(NamedTuple):
    """The place of a row in a file; the row itself is let go once it is read."""

    number: int
    at: str
    """The place in messages, such as ``line 3``."""

    split: str | None
    """Its split's name, if it has one."""


class _ReadQuestion(NamedTuple):
    """A question as it stands in the file, before its gold answer is looked at."""

    place: _Place
    question: Question
    options: OptionList


def answer_type_of(settings: TaskSettings) -> AnswerType:
    """The answer type given, else ``choice`` where there are options, else ``number``."""
    return settings.answer_type or ("choice" if settings.choices else "number")


def read_file(path: Path, settings: TaskSettings) -> Splits:
    """Reads a user's questions into splits.

    A column ``split`` (train, dev or validation, test) settles the splits; a file without it is
    split by a hash of the question, see :mod:`potstill.tasks.splits`.

    Raises:
        DataError: The file cannot be read or is empty; a column, a question or an answer is
            missing; an answer does not fit; an id stands twice; one question has two answers. All
            faults of its rows are told, the first twenty with their lines.
    """
    reading = _FileReading(path, settings)
    questions = reading.questions()
    if reading.faults:
        raise listed_faults(path, reading.sorted_faults(), way_out=reading.way_out)
    if not questions:
        raise DataError(f"{path} holds no questions.")
    return _splits(questions, settings)


class _FileReading:
    """One reading of a file, which goes on past the rows that have a fault."""

    def __init__(self, path: Path, settings: TaskSettings) -> None:
        self._path, self._settings = path, settings
        self.faults: list[tuple[int, str]] = []
        """The file's faults, each behind the number of its row."""

        self.way_out = ""
        """Advice that mends all answers that do not fit; empty where there is none."""

    def sorted_faults(self) -> list[str]:
        """The faults in the file's order."""
        return [fault for _, fault in sorted(self.faults, key=lambda fault: fault[0])]

    def questions(self) -> list[tuple[_Place, Question]]:
        """The questions of all rows that have no fault."""
        self._sign = self._sign_between_options()
        read = [question for place, row in self._rows() if (question := self._read(place, row))]
        return self._unique(self._graded(read))

    def _source(self) -> Iterator[SourceRow]:
        """The rows of the file; they may be many, so none is held."""
        layout = FileLayout(self._settings.encoding, self._settings.separator)
        return source_rows(self._path, layout)

    def _rows(self) -> Iterator[tuple[_Place, Row]]:
        checked = False
        for number, (at, row, fault) in enumerate(self._source(), start=1):
            place = _Place(number, at, None)
            if row is None:
                self._fault(place, f"{fault}.")
                continue
            if not checked:
                check_columns(row, self._settings, at=self._whole(place))
                checked = True
            try:
                yield place._replace(split=own_text(row.get(SPLIT_COLUMN))), row
            except ValueError as error:
                self._fault(place, f"{SPLIT_COLUMN!r} {error}.")

    def _sign_between_options(self) -> str | None:
        """The sign between options that stand in one text, which all rows together tell."""
        column = self._settings.choices
        if not isinstance(column, str):
            return None
        cells = (cell(row, column) for _, row, _ in self._source() if row is not None)
        return text_separator([options for options in cells if isinstance(options, str)])

    def _read(self, place: _Place, row: Row) -> _ReadQuestion | None:
        """One row as a question; None for one that has a fault."""
        settings = self._settings
        try:
            text = self._question_text(row)
            gold = self._needed(
                row, settings.answer, "the question has no answer", type_=answer_type_of(settings)
            )
            options = self._options(row)
            own_id = self._needed(row, settings.id, "the id is empty") if settings.id else ""
            template = own_text(cell(row, settings.template_id)) if settings.template_id else None
            split = None
            if place.split is not None:
                split = _SPLIT_NAMES.get(place.split.casefold())
                if split is None:
                    raise ValueError(f"split is {place.split!r}; give train, dev or test")
        except ValueError as error:
            self._fault(place, f"{error}.")
            return None
        question = Question(
            id=own_id, text=text, answer=gold, choices=options.texts, template_id=template
        )
        return _ReadQuestion(place._replace(split=split), question, options)

    def _question_text(self, row: Row) -> str:
        """The question of a row, of all columns that make it up."""
        columns = self._settings.question_columns
        if len(columns) == 1:
            return self._needed(row, columns[0], "the question is empty")
        parts = (self._needed(row, one, f"{one!r} is empty") for one in columns)
        return PART_SEPARATOR.join(parts)

    def _needed(self, row: Row, column: str, missing: str, *, type_: str = "") -> str:
        """The text of a column that every row must have."""
        value = cell(row, column)
        way_out = ""
        if type_ and isinstance(value, list) and all(isinstance(item, str) for item in value):
            if len(value) > 1:
                way_out = ", or set task.answer_type: list where all of it is the answer"
            value = ", ".join(value) if type_ == "list" else value
        try:
            text = own_text(value)
        except ValueError as error:
            raise ValueError(f"{column!r} {error}{way_out}") from error
        if text is None:
            raise ValueError(missing)
        return text

    def _options(self, row: Row) -> OptionList:
        """The options of a row: of one column in any form, or of a column each."""
        column = self._settings.choices
        if column is None:
            return OptionList(())
        name = repr(column) if isinstance(column, str) else "the columns of options"
        try:
            if isinstance(column, str):
                options = option_list(cell(row, column), self._sign)
            else:
                options = option_cells([cell(row, one) for one in column])
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
        if not 2 <= len(options.texts) <= MOST:
            raise ValueError(
                f"{name} must hold a list of 2 to {MOST} options, and holds {len(options.texts)}"
            )
        return options

    def _graded(self, read: list[_ReadQuestion]) -> Iterator[tuple[_Place, Question, str]]:
        """Yields the questions with their gold answers as they are compared; notes misfits."""
        kind = answer_type_of(self._settings)
        golds = [question.answer for _, question, _ in read]
        has_options = self._settings.choices is not None
        numbers = answer_numbers(golds, [one.options for one in read]) if has_options else None
        misfits = 0
        unclear = unclear_signs(golds) if kind == "number" else None
        day_first = day_first_example(golds) if kind == "date" else ""
        for place, question, options in read:
            gold = question.answer
            words = unclear.told_of(gold) if unclear else unclear_date(gold, day_first)
            if words:
                self._fault(place, words)
                continue
            try:
                if has_options:
                    letter = _letter(question, options, numbers)
                    question = replace(question, answer=letter)
                yield place, *plain_gold(READERS[kind], question)
            except DataError as error:
                misfits += 1
                self._fault(place, str(error).removeprefix(f"question {question.id}: "))
        if misfits and not (numbers and numbers.fault):
            given = self._settings.answer_type is not None
            self.way_out = type_advice(golds, kind, given=given, has_options=has_options)

    def _unique(
        self, graded: Iterable[tuple[_Place, Question, str]]
    ) -> list[tuple[_Place, Question]]:
        """The questions with ids of their own, once it is sure that none is contradicted."""
        members: list[tuple[_Place, Question]] = []
        place_of: dict[str, _Place] = {}
        answers: dict[bytes, tuple[str, _Place]] = {}
        for place, question, gold in graded:
            if not self._settings.id:
                made = _made_id(self._path.stem, question.text, place_of)
                question = replace(question, id=made)
            elif question.id in place_of:
                taken = self._whole(place_of[question.id])
                self._fault(place, f"the id {question.id!r} already stands at {taken}.")
                continue
            place_of[question.id] = place
            key = _digest(" ".join(" ".join([question.text, *question.choices]).split()), size=16)
            first_answer, first = answers.setdefault(key, (gold, place))
            # Whichever of two answers were graded by would be noise, so neither is guessed.
            if first_answer != gold:
                self._fault(
                    place,
                    f"the question of {self._whole(first)} again, but its answer is "
                    f"{gold!r} here and {first_answer!r} there. Correct one of the two.",
                )
                continue
            members.append((place, question))
        return self._in_named_splits(members)

    def _in_named_splits(
        self, members: list[tuple[_Place, Question]]
    ) -> list[tuple[_Place, Question]]:
        """The same questions; notes those without a split where others name theirs."""
        if any(place.split for place, _ in members):
            for place, _ in members:
                if place.split is None:
                    self._fault(place, "split is empty; give train, dev or test.")
        return members

    def _fault(self, place: _Place, words: str) -> None:
        self.faults.append((place.number, f"{self._whole(place)}: {words}"))

    def _whole(self, place: _Place) -> str:
        """A row's place with its file."""
        return f"{self._path}, {place.at}"


def _letter(question: Question, options: OptionList, numbers: AnswerNumbers | None) -> str:
    try:
        return gold_option(question.answer, options, numbers)
    except ValueError as error:
        raise DataError(f"the answer {error}.") from error


def _splits(members: Sequence[tuple[_Place, Question]], settings: TaskSettings) -> Splits:
    """The splits by their column; where no row has one, by template if asked to, else by hash."""
    if all(place.split is None for place, _ in members):
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
    for place, question in members:
        splits[_SPLIT_NAMES[place.split or ""]].append(question)
    return {name: tuple(questions) for name, questions in splits.items()}


def _digest(text: str, *, size: int) -> bytes:
    """Returns so many bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def _made_id(stem: str, text: str, taken: Container[str]) -> str:
    """An id from the question's text, numbered where the text stands more than once."""
    digest = _digest(normalised(text), size=6).hex()
    name, number = f"{stem}/{digest}", 2
    while name in taken:
        name, number = f"{stem}/{digest}-{number}", number + 1
    return name


def missing_header(columns: Sequence[str]) -> str:
    """Returns what is told of a first line that holds a question and no names; else nothing."""
    if not any(name.rstrip().endswith("?") or _NUMBER.fullmatch(name.strip()) for name in columns):
        return ""
    return (
        "the first line has to name the columns, and holds "
        f"{', '.join(shortened(name, longest=40) for name in columns)}. Put a line with names "
        "above it, such as question,answer."
    )


def check_columns(row: Row, settings: TaskSettings, *, at: str) -> None:
    """Refuses a file that lacks a column that the settings name.

    Raises:
        DataError: It lacks one; the message names those there are and the nearest.
    """
    for setting in ("question", "answer", "choices", "id", "template_id"):
        given = getattr(settings, setting)
        for column in given if isinstance(given, tuple) else (given,):
            if column is None:
                continue
            names = list(field_names(row))
            if column in names:
                _refuse_mapping(row, setting, column, at=at)
                continue
            if missing := missing_header(list(row)):
                raise DataError(f"{at}: {missing}")
            near = get_close_matches(column, names, n=1)
            same = [name for name in names if name.casefold() == column.casefold()]
            meant = (same or near or [""])[0]
            if isinstance(given, tuple):
                meant = meant and f"[{', '.join(meant if one == column else one for one in given)}]"
            hint = f"Did you mean {setting}: {meant}?" if meant else ""
            present = ", ".join(map(repr, names))
            raise DataError(
                f"{at}: there is no column {column!r}; there are {present}. "
                + (hint or f"Name the right one as task.{setting}.")
            )


def _refuse_mapping(row: Row, setting: str, column: str, *, at: str) -> None:
    """Refuses a column of questions or answers that holds further names, with those there are.

    Raises:
        DataError: It holds a mapping, in the first row and so likely in all.
    """
    value = cell(row, column)
    if setting not in ("question", "answer") or not isinstance(value, dict) or not value:
        return
    inside = list(field_names(value, f"{column}."))
    raise DataError(
        f"{at}: {column!r} holds {', '.join(map(repr, inside))}. Name the one that is meant, "
        f"e.g. task.{setting}: {_text_part(row, inside)}."
    )


_TEXT_PARTS = ("text", "content", "value", "question", "answer", "body", "string")
"""Names of the part of a mapping that holds its text, the likeliest first."""


def _text_part(row: Row, names: Sequence[str]) -> str:
    """The name inside a mapping that likely holds its text, by what it is called, or holds."""
    texts = [name for name in names if isinstance(cell(row, name), str)]
    for known in _TEXT_PARTS:
        for name in texts:
            if name.rpartition(".")[2].casefold() == known:
                return name
    return max(texts, key=lambda name: len(str(cell(row, name))), default=names[0])
