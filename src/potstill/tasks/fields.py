"""A file of completions to be graded: which of a row's fields holds what, and the rows read.

A row holds a completion, or a list of them, with its gold answer, and maybe somebody else's
verdict on it. Names with dots look inside::

    {"completion": "So it is 8.", "answer": "8", "theirs": {"correct": true}}

is read by ``Fields(verdict="theirs.correct")``.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from potstill.errors import DataError
from potstill.records import Question, Task
from potstill.tables import Row, own_text, rows
from potstill.tasks.choice_forms import gold_option, option_list, text_separator

_VERDICTS = {
    "true": True, "1": True, "1.0": True, "yes": True, "correct": True, "right": True,
    "false": False, "0": False, "0.0": False, "no": False, "incorrect": False, "wrong": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """The names of a row's fields; a name such as ``cot.answer`` looks inside ``cot``."""

    text: str = "completion"
    """The completion, or a list of completions."""

    gold: str | None = None
    """The gold answer; None: ``gold_answer`` where rows have it, as exported ones do, whose
    ``answer`` is what was read in the completion; else ``answer``."""

    choices: str = "choices"
    """The options of a choice; may be missing."""

    question: str = "question"
    """The question, which helps to read some answers; may be missing."""

    verdict: str | None = None
    """Somebody else's verdict, to compare with."""


class Item(NamedTuple):
    """One row: completions of one question, and what others say of them."""

    at: str
    """The row's place, for messages."""

    texts: tuple[str, ...]
    many: bool
    """Whether the row holds a list of completions."""

    question: Question
    verdicts: tuple[bool | None, ...]
    """Somebody else's verdict on each completion; None where there is none."""

    missing: int = 0
    """How many of the texts are empty since the row has none there."""


def items(path: Path, task: Task, fields: Fields) -> Iterator[Item]:
    """The rows of a file of completions.

    Raises:
        DataError: The file cannot be read, lacks a field, or a value cannot be used.
    """
    placed = rows(path)
    if fields.gold is None:
        exported = any(field_value(row, "gold_answer") is not MISSING for _, row in placed[:1])
        fields = replace(fields, gold="gold_answer" if exported else "answer")
    for at, row in placed[:1]:
        needed = {"text": fields.text, "gold": fields.gold, "verdict": fields.verdict}
        check_fields(row, needed, at=at)
    cells = [field_value(row, fields.choices) for _, row in placed]
    sign = text_separator([cell for cell in cells if isinstance(cell, str)])
    for at, row in placed:
        value = field_value(row, fields.text)
        many = isinstance(value, list)
        values = value if isinstance(value, list) else [value]
        texts = tuple(_written(text, at=at) for text in values)
        missing = sum(text is None or text is MISSING for text in values)
        verdicts = row_verdicts(row, fields.verdict, len(texts), at=at)
        yield Item(at, texts, many, _question(row, task, fields, sign, at=at), verdicts, missing)


MISSING = object()
"""The value of a field that a row does not have."""


def field_value(row: Row, name: str) -> object:
    """The value of a field, if need be inside others as ``cot.answer``; ``MISSING`` for none."""
    if name in row:
        return row[name]
    place: object = row
    for part in name.split("."):
        if not isinstance(place, Mapping) or part not in place:
            return MISSING
        place = place[part]
    return place


def cell(row: Row, name: str) -> object:
    """The value of a field as :func:`field_value` finds it; None where there is none."""
    value = field_value(row, name)
    return None if value is MISSING else value


ORDINARY_NAMES = {
    "text": ("completion", "text", "rationale", "response", "output", "generation", "prediction"),
    "rationale": ("rationale", "completion", "text", "response", "output", "generation"),
    "gold": ("gold_answer", "answer", "gold", "label", "target", "solution"),
}
"""Names that files give to what an option asks for, the likeliest first."""


def check_fields(
    row: Row,
    needed: Mapping[str, str | None],
    *,
    at: str,
    noun: str = "field",
    setting: str = "--{}-field",
) -> None:
    """Refuses a row that lacks one of the fields that are needed.

    Args:
        row: The row, mostly the first one of a file.
        needed: Fields by the option that names each, as it stands in ``setting``; None needs none.
        at: The row's place, to begin a message with.
        noun: The word for a field in the message, e.g. ``column``.
        setting: How an option is spelled, with its part of the name at ``{}``.

    Raises:
        DataError: It lacks one; the message names those there are and the nearest.
    """
    for kind, name in needed.items():
        if name is None or field_value(row, name) is not MISSING:
            continue
        there = list(field_names(row))
        others = ORDINARY_NAMES.get(kind, ())
        near = [other for other in others if name in others and other in there]
        near = near or get_close_matches(name, there, n=1)
        named = setting.format(kind)
        hint = f" Did you mean {named} {near[0]}?" if near else ""
        raise DataError(
            f"{at}: there is no {noun} {name!r}; there are {', '.join(map(repr, there))}."
            + (hint or f" Name the right one with {named}.")
        )


def field_names(row: Row, inside: str = "") -> Iterator[str]:
    """The names by which a row's values can be asked for."""
    for name, value in row.items():
        yield f"{inside}{name}"
        if isinstance(value, Mapping):
            yield from field_names(value, f"{inside}{name}.")


def _written(text: object, *, at: str) -> str:
    """A completion as text; one that is missing says nothing."""
    if text is None or text is MISSING:
        return ""
    if isinstance(text, Mapping | list):
        raise DataError(f"{at}: a completion must be text, and is {str(text)[:60]!r}.")
    return str(text)


def _question(row: Row, task: Task, fields: Fields, sign: str | None, *, at: str) -> Question:
    """The question of a row; ``sign`` stands between the options of one text."""
    assert fields.gold is not None, "items has settled it"
    gold, text = field_value(row, fields.gold), field_value(row, fields.question)
    if isinstance(gold, list) and len(gold) == 1:
        gold = gold[0]
    try:
        answer = "" if gold is MISSING else own_text(gold) or ""
    except ValueError as error:
        raise DataError(f"{at}: {fields.gold!r} {error}.") from error
    choices = field_value(row, fields.choices)
    try:
        options = option_list(None if choices is MISSING else choices, sign)
        if task.answer_type == "choice" and options.texts:
            answer = gold_option(answer, options)
    except ValueError as error:
        raise DataError(f"{at}: {fields.choices!r} {error}.") from error
    return Question(
        id=at, text=text if isinstance(text, str) else "", answer=answer, choices=options.texts
    )


def row_verdicts(row: Row, name: str | None, count: int, *, at: str) -> tuple[bool | None, ...]:
    """Somebody else's verdict on each of the completions; one may stand for all of a row.

    Args:
        row: The row.
        name: The field with the verdict or verdicts; None: there is none.
        count: The completions of the row.
        at: The row's place, to begin a message with.

    Raises:
        DataError: There are more or fewer verdicts than completions, or one is not known.
    """
    value = None if name is None else field_value(row, name)
    verdicts = value if isinstance(value, list) else [value] * count
    if len(verdicts) != count:
        raise DataError(f"{at}: {name!r} holds {len(verdicts)} verdicts on {count} completions.")
    return tuple(
        None if verdict is MISSING or _is_blank(verdict) else _verdict(verdict, name or "", at=at)
        for verdict in verdicts
    )


def _is_blank(value: object) -> bool:
    """Whether a cell holds nothing: null, spaces or NaN."""
    if isinstance(value, float) and math.isnan(value):
        return True
    return value is None or not str(value).strip()


def _verdict(value: object, name: str, *, at: str) -> bool:
    known = _VERDICTS.get(str(value).strip().casefold())
    if known is None:
        raise DataError(
            f"{at}: {name!r} is {str(value)[:40]!r}, which is no verdict; known are true and "
            "false, 1 and 0, yes and no, correct and incorrect, right and wrong."
        )
    return known
