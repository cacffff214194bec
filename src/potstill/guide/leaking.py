"""Leakage: whether guidance holds the gold answer, token by token and not as a part of one."""

import re
from decimal import Decimal, InvalidOperation

from potstill.errors import DataError
from potstill.records import Question, Task
from potstill.tasks.answers import READERS
from potstill.tasks.grading import plain_gold

_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d.,]*\d)")
_WORDS = re.compile(r"[^\W_]+|[^\w\s]")
_MARKED_OPTION = r"(?:\(\s*{0}\s*\)|\b{0}\)|\b(?:option|choice|answer)(?:\s+is)?:?\s+\(?{0}\b)"
_BARE_OPTION = r"|(?<![\w'’]){0}(?![\w'’])"  # noqa: RUF001


def leaks(task: Task, question: Question, guidance: str) -> bool:
    """Whether guidance holds a question's gold answer.

    A number does by its value, so that 12 holds no 1 and 1,200 is 1200; an option by its letter or
    its text; everything else by its words, one after the other, in any case.

    Args:
        task: Says what an answer is.
        question: Its gold answer may be a worked solution that marks one.
        guidance: What the teacher wrote.
    """
    if not guidance:
        return False
    try:
        question, gold = plain_gold(READERS[task.answer_type], question)
    except DataError:  # a task under a published rule may have gold answers of another form
        gold = question.answer
    if task.answer_type == "choice":
        return _names_option(question, gold, guidance)
    value = _value(gold)
    if value is not None:
        return any(_value(found) == value for found in _NUMBER.findall(guidance))
    return _says(gold, guidance)


def _names_option(question: Question, letter: str, guidance: str) -> bool:
    """Whether an option is named; A and I alone are words of English."""
    letter = letter.strip("() ").upper()
    pattern = _MARKED_OPTION + ("" if letter in ("A", "I") else _BARE_OPTION)
    if re.search(pattern.format(re.escape(letter)), guidance):
        return True
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    return 0 <= place < len(question.choices) and _says(question.choices[place], guidance)


def _value(text: str) -> Decimal | None:
    try:
        value = Decimal(text.replace(",", "").strip("$€£% "))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _says(wanted: str, text: str) -> bool:
    """Whether the tokens of one text stand in another, one after the other."""
    sought, words = (_WORDS.findall(each.casefold()) for each in (wanted, text))
    span = len(sought)
    return bool(span) and any(
        words[place : place + span] == sought for place in range(len(words) - span + 1)
    )
