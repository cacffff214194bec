"""Finds the answer types that fit a file's gold answers, for advice and for first recipes."""

import re
from collections import Counter
from collections.abc import Sequence

from potstill.errors import DataError
from potstill.grading.answers import READERS
from potstill.grading.answers.yes_no_letters import are_paired, letter_meaning
from potstill.grading.answers.yes_no_words import bare_gold
from potstill.grading.grade import plain_gold
from potstill.records import AnswerType, Question

_NAMED = ("yes_no", "number", "date")
"""Types that are told from the answers alone, the narrowest first."""

_LETTER = re.compile(r"\(?[A-Za-z]\)?\.?")

_WORDS = {
    "yes_no": "yes or no", "number": "a number", "date": "a date", "choice": "the letter of an "
    "option or its text", "text": "a short text",
}  # fmt: skip


_FEW = {"yes_no": 5, "number": 20, "date": 5}
"""One answer of how many may fit a type not, where the rest shows that it is the one meant."""


def fitting_type(golds: Sequence[str]) -> AnswerType | None:
    """Returns the narrowest type that every one of the answers fits; None where none does.

    Answers 0 and 1 alone are numbers, though they may be read as no and yes, and single letters are
    yes and no only where they are a pair, such as Y and N.
    """
    fitting = (kind for kind in _NAMED if _may_be(kind, golds))
    return next((kind for kind in fitting if all(_fits(kind, gold) for gold in golds)), None)


def mostly_fitting_type(golds: Sequence[str]) -> AnswerType | None:
    """Returns the narrowest type that all but a few of the answers fit; None where none does."""
    for kind in _NAMED:
        misfits = sum(not _fits(kind, gold) for gold in golds)
        if _may_be(kind, golds) and misfits * _FEW[kind] <= len(golds):
            return kind
    return None


def _may_be(kind: AnswerType, golds: Sequence[str]) -> bool:
    """Says whether answers that fit a type one by one may be meant so."""
    if kind != "yes_no":
        return True
    words = {bare_gold(gold) for gold in golds}
    letters = {word for word in words if letter_meaning(word)}
    return not words <= {"0", "1"} and are_paired(letters - {"0", "1"})


def are_letters(golds: Sequence[str]) -> bool:
    """Says whether every answer is a single letter, as of an option."""
    return bool(golds) and all(_LETTER.fullmatch(gold.strip()) for gold in golds)


def type_advice(golds: Sequence[str], kind: AnswerType, *, given: bool, has_options: bool) -> str:
    """Returns the way out where answers of a file do not fit their type.

    Args:
        golds: The answers as they stand in the file, those that fit among them.
        kind: The type they are read as.
        given: Whether the recipe names that type; else it is the default.
        has_options: Whether the recipe names a column of options.
    """
    if has_options:
        return "The answer to a choice is a letter, an option's exact text, or its number."
    fitting = fitting_type(golds)
    if fitting is not None and fitting != kind:
        return f"Every answer is {_WORDS[fitting]}: set task.answer_type: {fitting}."
    if are_letters(golds):
        return (
            "Every answer is a letter: name the column of the options as task.choices, or the "
            "columns as a list, e.g. choices: [A, B, C, D]."
        )
    misfits = Counter(gold for gold in golds if not _fits(kind, gold))
    count = misfits.total()
    if kind in _NAMED and count * 5 <= len(golds):
        which = "the other one" if count == 1 else f"the other {count:,}"
        return (
            f"{len(golds) - count:,} of {len(golds):,} answers are each {_WORDS[kind]}: correct or "
            f"leave out {which}, or set task.answer_type: text."
        )
    why = f"task.answer_type is {kind}" if given else "Answers are read as numbers by default"
    return (
        f"{why}. Set task.answer_type to yes_no, text, date, list, math or number, or name the "
        f"column of a choice's options as task.choices."
    )


def _fits(kind: AnswerType, gold: str) -> bool:
    try:
        plain_gold(READERS[kind], Question(id="", text="", answer=gold))
    except DataError:
        return False
    return True
