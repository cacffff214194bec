"""A task's settings guessed from a file of questions: how it is written, and what its columns hold.

Names of columns are tried first, in the languages that are common; then what stands in them. What
was guessed is told, with the reason, so that its user can correct it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from potstill.errors import DataError
from potstill.grading.answers.options import options_of
from potstill.records import Question
from potstill.tables import FileLayout, Row, rows, source_rows
from potstill.tables.encodings import decoded, file_bytes, is_utf8, looks_like, mark_of
from potstill.tables.faults import own_text
from potstill.tables.separated import NAMES, separator_of
from potstill.tasks.answer_types import are_letters, fitting_type, mostly_fitting_type
from potstill.tasks.date_order import silent_order
from potstill.tasks.fields import cell, field_names
from potstill.tasks.files import SPLIT_COLUMN, answer_type_of, missing_header
from potstill.tasks.number_signs import silent_reading, worded_numbers
from potstill.tasks.settings import TaskSettings

QUESTION_NAMES = (
    "question", "questions", "problem", "prompt", "query", "instruction", "input", "text", "q",
    "stem", "question_text", "frage", "fragen", "aufgabe", "pregunta", "problema", "domanda",
    "vraag", "pergunta", "fråga", "spørgsmål", "pytanie", "otázka", "kérdés", "soru", "вопрос",
    "問題", "问题", "質問",
)  # fmt: skip
ANSWER_NAMES = (
    "answer", "answers", "gold", "gold_answer", "final_answer", "correct_answer", "answerkey",
    "answer_key", "correct", "label", "target", "ground_truth", "solution", "output", "a",
    "antwort", "antworten", "lösung", "loesung", "ergebnis", "réponse", "reponse", "respuesta",
    "risposta", "antwoord", "resposta", "svar", "odpowiedź", "odpověď", "válasz", "cevap", "ответ",
    "答え", "答案", "回答",
)  # fmt: skip
CHOICE_NAMES = (
    "choices", "options", "answer_choices", "alternatives", "antwortmöglichkeiten", "auswahl",
    "optionen", "choix", "opciones", "opzioni", "opties", "opções",
)  # fmt: skip
CONTEXT_NAMES = (
    "context", "passage", "paragraph", "article", "document", "story", "background", "excerpt",
    "facts", "evidence", "premise", "kontext", "abschnitt", "textstelle", "contexte", "contexto",
    "contesto", "passaggio", "sammanhang", "kontekst", "контекст", "文脈", "上下文", "文章",
)  # fmt: skip
"""Columns with a text that the question beside them is about."""

# "A", "option_a", "Option A", "choiceA", "opa", "option 1".
_OPTION_COLUMN = re.compile(
    r"(?:(?:option|opt|op|choice|answer|antwort|réponse)[\s_-]?)?\(?([a-z]|\d{1,2})\)?",
    re.IGNORECASE,
)


class GuessedTask(NamedTuple):
    """A task's settings, and why each was guessed so."""

    settings: TaskSettings
    values: Mapping[str, object]
    """The settings that differ from their defaults, in the recipe's order."""

    reasons: Mapping[str, str]
    """The reason for each guessed setting, in a few words, by its name."""

    notes: Sequence[str] = ()
    """Notes that its user should read: columns that are not used, numbers that may be others."""


def guess_task(path: Path, given: Mapping[str, object]) -> GuessedTask:
    """Guesses how a file of questions is to be read.

    Args:
        path: The file.
        given: Settings of the task that the user names; they are taken as they are.

    Raises:
        DataError: The file cannot be read, or no column holds questions or answers.
    """
    values: dict[str, object] = {"file": str(path), **given}
    reasons: dict[str, str] = {}
    _guess_layout(path, values, reasons)
    layout = FileLayout(_text(values, "encoding"), _text(values, "separator"))
    # rows with a fault are told when the file is read, together with all others
    placed = [(at, row) for at, row, _ in source_rows(path, layout) if row is not None]
    table = [row for _, row in placed]
    if not table and not rows(path, layout):
        raise DataError(f"{path} holds no questions.")
    _refuse_names_below(path, placed)
    _guess_columns(path, table, values)
    if "question" not in given:
        _guess_context(table, values, reasons)
    _guess_type(table, values, reasons)
    settings = TaskSettings.model_validate(values)
    return GuessedTask(settings, values, reasons, _notes(table, settings))


def _text(values: Mapping[str, object], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def _guess_layout(path: Path, values: dict[str, object], reasons: dict[str, str]) -> None:
    """Notes the encoding where it is not UTF-8, and the separator where it is not the comma."""
    data = file_bytes(path)
    if data.startswith(b"PAR1"):
        return
    if "encoding" not in values and mark_of(data) is None:
        encoding = None if is_utf8(data) else looks_like(data)
        if encoding is not None:
            values["encoding"] = encoding
            reasons["encoding"] = "it is not UTF-8; see whether the questions read right"
    text = decoded(data, path, _text(values, "encoding"))
    separates = text.lstrip()[:1] not in ("{", "[")
    if "separator" not in values and separates and (separator := separator_of(text)) != ",":
        values["separator"] = separator
        reasons["separator"] = f"a {NAMES.get(separator, 'sign')} divides every row alike"


def _guess_columns(path: Path, table: Sequence[Row], values: dict[str, object]) -> None:
    """Notes the columns of the questions, the answers, the options and the ids."""
    columns = _columns(table)
    taken = {value for value in values.values() if isinstance(value, str)}
    free = [name for name in columns if name not in taken]
    choices = values.get("choices") or _named(free, CHOICE_NAMES) or _option_columns(free)
    if choices:
        values["choices"] = choices
        free = [name for name in free if name != choices and name not in _listed(choices)]
    question = values.get("question") or _named(free, QUESTION_NAMES)
    answer = values.get("answer") or _named([n for n in free if n != question], ANSWER_NAMES)
    texts = [name for name in free if name not in (question, answer, SPLIT_COLUMN)]
    texts = [name for name in texts if not _is_mapping(table[0], name)]
    if (question is None or answer is None) and len(texts) + bool(question or answer) == 2:
        # Two columns: the longer texts are the questions.
        ordered = sorted(texts, key=lambda name: _mean_length(table, name))
        question = question or ordered[-1]
        answer = answer or ordered[0]
    is_named = any(_named(columns, names) for names in (QUESTION_NAMES, ANSWER_NAMES))
    if not is_named and (missing := missing_header(columns)):
        raise DataError(f"{path}: {missing}")
    if question is None or answer is None:
        which = "questions" if question is None else "answers"
        setting = "question" if question is None else "answer"
        raise DataError(
            f"{path}: which column holds the {which} is not clear; there are "
            f"{', '.join(map(repr, columns))}. Say it with --set task.{setting}=NAME."
        )
    ordered_values = {"file": values.pop("file")}
    ordered_values |= {
        name: values.pop(name) for name in ("encoding", "separator") if name in values
    }
    ordered_values |= {"question": question, "answer": answer} | values
    values.clear()
    values.update(ordered_values)
    if "id" not in values and "id" in free and _are_ids(table):
        values["id"] = "id"


def _guess_context(
    table: Sequence[Row], values: dict[str, object], reasons: dict[str, str]
) -> None:
    """Puts the column before the question that holds the text which it is about, in every row."""
    taken = {values["question"], values["answer"], *_listed(values.get("choices"))}
    taken |= {value for value in values.values() if isinstance(value, str)}
    context = _named([name for name in _columns(table) if name not in taken], CONTEXT_NAMES)
    if context is None:
        return
    cells = [cell(row, context) for row in table]
    if all(isinstance(text, str) and text.strip() for text in cells):
        reasons["question"] = (
            f"{context!r} is taken for what the questions are about; "
            f"without it --set task.question={values['question']}"
        )
        values["question"] = [context, values["question"]]


def _columns(table: Sequence[Row]) -> list[str]:
    """Returns the names of the columns, of texts inside a mapping as ``prompt.text``."""
    names = dict.fromkeys(name for row in table[:100] for name in field_names(row) if name)
    options = tuple(name for name in names if name.rpartition(".")[2].casefold() in CHOICE_NAMES)
    inside = {name.rpartition(".")[0] for name in names if name not in table[0] and "." in name}
    parts = tuple(f"{name}." for name in options)
    return [
        name
        for name in names
        if name in options or not (name.startswith(parts) or _holds_more(table, name, inside))
    ]


def _holds_more(table: Sequence[Row], name: str, inside: Collection[str]) -> bool:
    """Says whether a column is no text: a mapping with names inside, or a list inside of one."""
    if name in inside:
        return any(isinstance(cell(row, name), Mapping) for row in table[:100])
    return name not in table[0] and any(
        isinstance(cell(row, name), list | Mapping) for row in table[:100]
    )


def _refuse_names_below(path: Path, table: Sequence[tuple[str, Row]]) -> None:
    """Refuses a file whose columns are named below its first line, under a comment or a title.

    Raises:
        DataError: One of the first lines holds a usual name of questions and one of answers.
    """
    for at, row in table[:5]:
        cells = {
            part.strip(' "').casefold()
            for value in row.values()
            if isinstance(value, str) and len(value) < 200
            for part in re.split(r"[,;|\t]", value)
        }
        names = {name for name in cells if len(name) > 2}
        if names & set(QUESTION_NAMES) and names & set(ANSWER_NAMES):
            raise DataError(
                f"{path}, {at}: this line names the columns, which has to be the first one. Remove "
                "what stands above it."
            )


def _is_mapping(row: Row, name: str) -> bool:
    return isinstance(row.get(name), Mapping)


def _notes(table: Sequence[Row], settings: TaskSettings) -> list[str]:
    """Returns what a user has to know of a file beside how it is read."""
    used = {*settings.question_columns, settings.answer, settings.id, settings.template_id}
    used.add(SPLIT_COLUMN)
    used |= {settings.choices} if isinstance(settings.choices, str) else set(settings.choices or ())
    unused = [name for name in _columns(table) if name not in used]
    notes = []
    if unused:
        notes.append(
            f"not used: {', '.join(map(repr, unused))}; one whose text the questions need goes "
            f"before them, as task.question: [{', '.join([unused[0], *settings.question_columns])}]"
        )
    golds = [str(cell(row, settings.answer) or "").strip() for row in table]
    if answer_type_of(settings) == "number":
        notes += filter(
            None, [silent_reading(golds, settings.separator or ","), worded_numbers(golds)]
        )
    if answer_type_of(settings) == "date" and (note := silent_order(golds)):
        notes.append(note)
    return notes


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Returns the column that has one of the names, the first names before the later ones."""
    by_name: dict[str, str] = {}
    for column in columns:  # the whole name first, then the last part of one with dots
        by_name.setdefault(column.strip().casefold(), column)
    for column in columns:
        for part in reversed(column.casefold().split(".")):
            by_name.setdefault(part.strip(), column)
    return next((by_name[name] for name in names if name in by_name), None)


def _option_columns(columns: Sequence[str]) -> list[str] | None:
    """Returns the columns of options A, B, C ... or 1, 2, 3 ...; None where there are not two."""
    marks: dict[str, str] = {}
    for column in columns:
        match = _OPTION_COLUMN.fullmatch(column.strip())
        if match:
            marks.setdefault(match[1].casefold(), column)
    for first in ("a", "1"):
        found = []
        mark = first
        while mark in marks:
            found.append(marks[mark])
            mark = chr(ord(mark) + 1) if first == "a" else str(int(mark) + 1)
        if len(found) >= 2:
            return found
    return None


def _listed(choices: object) -> Sequence[str]:
    return choices if isinstance(choices, list | tuple) else ()


def _mean_length(table: Sequence[Row], column: str) -> float:
    return sum(len(str(cell(row, column) or "")) for row in table) / len(table)


def _are_ids(table: Sequence[Row]) -> bool:
    try:
        ids = [own_text(row.get("id")) for row in table]
    except ValueError:
        return False
    return None not in ids and len(set(ids)) == len(ids)


def _guess_type(table: Sequence[Row], values: dict[str, object], reasons: dict[str, str]) -> None:
    """Notes the answer type where it is not what would be taken without it."""
    if "answer_type" in values or "choices" in values:
        return
    column = str(values["answer"])
    if _are_lists([cell(row, column) for row in table]):
        values["answer_type"] = "list"
        reasons["answer_type"] = "every answer is a list; of several right answers give one"
        return
    try:
        golds = [text for row in table if (text := own_text(cell(row, column)))]
    except ValueError:
        return  # reading the questions says where, and what to do
    kind = fitting_type(golds) if golds else None
    if kind == "number":
        return
    if kind is None and are_letters(golds) and _list_options(table, _last(values["question"])):
        values["answer_type"] = "choice"
        reasons["answer_type"] = "the questions list options, and the answers are letters"
    elif kind is None and _are_formulas(golds):
        values["answer_type"] = "math"
        reasons["answer_type"] = "answers are written in LaTeX"
    else:
        # answers that are few and do not fit are told with their lines when the file is read
        kind = kind or mostly_fitting_type(golds)
        if kind == "number":
            return
        values["answer_type"] = kind or "text"
        reasons["answer_type"] = {
            "yes_no": "every answer is yes or no",
            "date": "every answer is a date",
        }.get(kind or "", "compared as short texts; others are number, yes_no, date, list, math")


def _are_lists(golds: Sequence[object]) -> bool:
    """Says whether answers are lists of texts, some of more than one."""
    lists = [gold for gold in golds if isinstance(gold, list)]
    if len(lists) < len(golds) or not any(len(gold) > 1 for gold in lists):
        return False
    return all(isinstance(item, str) for gold in lists for item in gold)


def _last(columns: object) -> str:
    """Returns the column of the question itself, behind those of what it is about."""
    return str(columns[-1] if isinstance(columns, list | tuple) else columns)


def _list_options(table: Sequence[Row], column: str) -> bool:
    """Says whether every question's text lists the options of a choice."""
    texts = [str(cell(row, column) or "") for row in table]
    return all(options_of(Question(id="", text=text, answer="A")).texts for text in texts)


def _are_formulas(golds: Sequence[str]) -> bool:
    return sum("\\" in gold or "$" in gold for gold in golds) * 2 > len(golds)
