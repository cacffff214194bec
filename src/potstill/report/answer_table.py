"""Every answer to every question as CSV, which spreadsheets and programs read.

A line is one answer to a test question, or one rationale of a training question. The page makes the
same lines of the questions that it holds (``page_tools.js``).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from potstill.report.question_rows import QuestionRows
from potstill.report.questions import QuestionSet

HEADS = (
    "task", "split", "question_id", "question", "gold",
    "system", "answer", "verdict", "finish", "tokens",
)  # fmt: skip

QUESTIONS_AT_ONCE = 200
"""Questions of one piece of the text."""

_COMPUTED = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def inert(text: str) -> str:
    """Returns a text behind an apostrophe where a spreadsheet would compute it; numbers stay."""
    return f"'{text}" if _COMPUTED.match(text) and not _NUMBER.fullmatch(text) else text


def answer_table(rows: QuestionRows, sets: Sequence[QuestionSet]) -> Iterator[str]:
    """Yields the table in pieces of whole lines, its heads first.

    Args:
        rows: The rows that the answers are read from.
        sets: The questions.
    """
    yield _lines([HEADS])
    for one in sets:
        for begin in range(0, len(one.questions), QUESTIONS_AT_ONCE):
            yield _lines(_of_questions(rows, one, begin))


def _of_questions(rows: QuestionRows, one: QuestionSet, begin: int) -> Iterator[Sequence[object]]:
    for question in one.questions[begin : begin + QUESTIONS_AT_ONCE]:
        known = (one.task, one.split, question.id, question.text, question.answer)
        for answer in rows.answered(one.task, one.split, question):
            yield (*known, *answer)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([inert(one) if isinstance(one, str) else one for one in row])
    return text.getvalue()
