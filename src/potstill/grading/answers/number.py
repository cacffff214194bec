"""Numbers as answers: which of a statement's numbers is meant, and in which unit.

In "The answer is: with 3 boxes of 12 pens he has 36 pens." three numbers fit; the one that the
question does not give, 36, is the answer. :mod:`number_spans` finds the numbers themselves.
"""

import re
from fractions import Fraction
from functools import lru_cache

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import NONE_GIVEN, AnswerCandidate, last, refuses
from potstill.grading.answers.number_context import (
    asks_for_count,
    before_its_calculation,
    by_how_many,
    calculates,
    gives_up,
    in_another_unit,
    is_money,
    is_one_of_several,
    left_if_rounder,
    left_of,
    of_what_is_asked,
    percent_again,
    result_again,
)
from potstill.grading.answers.number_spans import (
    MAGNITUDES,
    NUMBER_PHRASE,
    Number,
    ordinal_number,
    word_number,
)
from potstill.records import Question

_LONGEST_STATEMENT = 2_000
"""Characters of a statement that are read."""

_CLOSING_LENGTH = 400
"""Characters at the end of a text in which it may give up."""

_DIGIT = re.compile(r"\d|[\u00bc-\u00be\u2150-\u215e]")

# The end of a sentence, or of what a statement says of its number.
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_BREAK = re.compile(r"[.!?]\s(?=\s{0,9}[A-Z*])|\n")
_ASIDE = re.compile(
    r"[,;] |(?<![-+*/\u00d7x=(\u2212]) \(|\b(?:because|since|as|so|which|and|but|where|for)\b"
)
_REASON = re.compile(r"\b(?:because|since|which)\b")

# Text before the number that is meant: "3 + 4 = 7", "that is 7", "..., so 7", "Therefore, 7".
_EQUALS = re.compile(r"[=≈]")
_IS = re.compile(r"[=≈]|\b(?:is|are|was|were|be|equals)\s(?=[^\w\n]{0,3}\d)")
_CONCLUSION = re.compile(r"(?<=[.!?,;] )(?:So|Thus|Hence|Therefore|so|thus|hence|therefore)\b")
_CONCLUDES = re.compile(r"\W{0,3}(?:So|Thus|Hence|Therefore|Finally|In total|In conclusion)\b")

# Text before it that is passed over: "Step 2:", "After 7 days, ...".
_STEP = re.compile(r"\W{0,9}Step \d{1,3}[:.]")
_CLAUSE = re.compile(
    r"\W{0,9}(?:After|If|When|Since|With|Given|Out of|Before)\b[^.,;:\n]{1,150}, (?=[^\n]{0,200}\d)"
)
_SUBJECT = re.compile(r"\w")

# Signs around a number in words that is the whole statement: "**Twelve.**".
_OPENING = re.compile(r"[\s*_\"'(:$]{0,9}")
_CLOSING = re.compile(r"[*_\"'.!,;)]|\s{0,3}(?:$|\n)|\s\(")

# Text behind a number that belongs to it: "50%", "3 million", "5k", "2 dollars and 50 cents".
_UNIT = re.compile(
    r"\s?(?:(?P<percent>\\?%|percent\b|per cent\b)"
    r"|(?P<scale>thousand|million|billion|trillion)\b|(?P<k>(?<=\d)[kK]\b))",
    re.IGNORECASE,
)
# Words that deny the number behind them: "The answer is not 5."
_DENIES = re.compile(
    r"(?:\b(?:is|are|was|were|be|does|do|did) not|n['\u2019]t)(?: be)?(?: equal(?: to)?)?"
    r" [$*]{0,3}\Z"
)
# Words behind the answer that set the next number aside: "20 apples, not 21", "3 out of 10".
_SET_ASIDE = re.compile(
    r"(?:[,;(]\s?(?:and\s|but\s)?not|\b(?:but|and)\snot|\brather\sthan|\binstead\sof"
    r"|\bout\sof(?:\s(?:the|all|a\stotal\sof))?)\s[$*]{0,3}\Z",
    re.IGNORECASE,
)
_DOZENS = re.compile(r"\sdozens?\b", re.IGNORECASE)
_ASKS_DOZENS = re.compile(r"\b(?:many|much|in)\s(?:\w+\s)?dozens?\b", re.IGNORECASE)
_CENTS = re.compile(r"(?: dollars?,?)? and (\d{1,2}) cents\b", re.IGNORECASE)


class NumberReader:
    """Numbers, equal by value: "18", "$18.00" and "36/2" are the same.

    A percent sign and the words thousand, million, billion and trillion (or "5k") are read in the
    unit in which the gold answer is written: "50%" is 50, but 0.5 where the gold answer lies
    between -1 and 1; "3 million" is 3 where the gold answer is below a million, else 3,000,000.
    "2 dozen" is 24 where that is the gold answer and dozens are not asked for. Other units, cents
    among them, change nothing.
    """

    concludes = True

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the first number; in a calculation ("3 + 4 = 7") the one behind the last "=".

        Where words precede the number, the statement is read as prose: its last sentence with a
        number counts, or what follows its last "so"; a clause such as "After 7 days, ..." is passed
        over; and in the sentence the number behind the last "is", "are" or "=" comes first, then
        the first one that the question's text does not give, then the first one. A number written
        out counts where it is all that follows the marker, or where the statement has no digits.
        """
        end = min(end, start + _LONGEST_STATEMENT)
        if refuses(text, start, end) or gives_up(text, start, end):
            return NONE_GIVEN
        step = _STEP.match(text, start, end)
        start = step.end() if step else start
        number = self._opening_word(text, start, end)
        if number is None:
            stated = self._stated(text, start, end, question)
            if stated and is_one_of_several(text, stated, start, end):
                return NONE_GIVEN
            again = percent_again(text, stated, end) if stated else None
            if again and abs(_gold_value(question.answer) or Fraction(0)) >= 1:
                stated = again
            number = stated or word_number(text, start, end) or ordinal_number(text, start, end)
        return number and _candidate(text, number, question)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last number; in a text without digits, the last one written out.

        Numbers are looked for in the last 100,000 characters. Where the last sentence draws a
        conclusion ("So he has 5 left"), what it states comes first.
        """
        if gives_up(text, max(0, end - _CLOSING_LENGTH), end):
            return NONE_GIVEN
        concluded = self._concluded(text, end, question)
        if concluded:
            return _single(text, concluded, end, question)
        number = None
        for size in (200, 2_000, 100_000):  # seldom more than the closing lines need be read
            start = max(0, end - size)
            number = last(number_spans.numbers(text, start, end))
            if start == 0 or (number and number.start > start + 100):  # clear of one that is cut
                break
        if number is None and not _DIGIT.search(text, 0, end):
            for phrase in NUMBER_PHRASE.finditer(text, max(0, end - 2_000), end):
                number = word_number(text, phrase.start(), end) or number
        if number is None:
            return None
        number = before_its_calculation(text, number) or number
        number = _ahead_of_what_is_set_aside(text, number)
        return _single(text, number, end, question)

    def gold(self, question: Question) -> str:
        """Returns the gold number, e.g. "1000" for "$1,000.00" or "a thousand"."""
        value = _gold_value(question.answer)
        if value is None:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is no number.")
        return number_spans.format_number(value)

    def same(self, answer: str, gold: str) -> bool:
        """Says whether the two have the same value, see :func:`number_spans.equal`."""
        if answer == gold:
            return True
        first, second = number_spans.parse(answer), number_spans.parse(gold)
        return first is not None and second is not None and number_spans.equal(first, second)

    def _opening_word(self, text: str, start: int, end: int) -> Number | None:
        """Returns a number written out that the statement consists of or begins with."""
        opening = _OPENING.match(text, start, end)
        at = opening.end() if opening else start
        if not text[at : at + 1].isalpha() or not NUMBER_PHRASE.match(text, at, end):
            return None
        number = word_number(text, at, end)
        if number is None or number.start != at or not _CLOSING.match(text, number.end, end):
            return None
        return number

    def _stated(
        self, text: str, start: int, end: int, question: Question, *, prose: bool = False
    ) -> Number | None:
        """Returns the number that a statement ends up with, see :meth:`marked`.

        Args:
            text: The whole text; the statement is ``text[start:end]``.
            start: The place behind the marker.
            end: The end of the statement.
            question: The question, whose own numbers come last in prose.
            prose: Whether the statement is known to be prose, whatever stands before its number.
        """
        number = _first(text, start, end)
        if number is None:
            return None
        in_prose = prose or _SUBJECT.search(text, start, number.start) is not None
        if in_prose:
            start, number = _closing_clause(text, start, end, number)
            if difference := by_how_many(text, start, end, question.text):
                return difference
        elif converted := in_another_unit(text, number, end, question.text):
            return converted
        if not _DIGIT.search(text, number.end, end):
            return number
        # The number's sentence, up to an aside or a reason given for it.
        stop = end
        for limit in (_SENTENCE_END, _REASON if in_prose else _ASIDE):
            cut = limit.search(text, number.end, stop)
            stop = cut.start() if cut else stop
        # The last "=" or "is" with a number behind it, unless what follows is yet to be
        # calculated: "20 = 4 * 5" gives 20.
        signs = list((_IS if in_prose else _EQUALS).finditer(text, start, stop))
        results = [(sign, _first(text, sign.end(), stop)) for sign in reversed(signs)]
        found = [(sign, result) for sign, result in results if result]
        money = len(found) > 1 and asks_for_count(question.text)
        for sign, result in found:
            if money and is_money(text, result):
                money = False  # "there are 18 pens and their cost is 90 dollars"
            elif not calculates(text, result.end, stop):
                return left_if_rounder(text, start, sign, result) or result
        if found:
            equals = next((sign for sign in signs if sign[0] == "="), None)
            left = left_of(text, start, equals.start()) if equals else None
            return left or found[0][1]
        if not in_prose:
            return result_again(text, number, min(end, number.end + 80)) or number
        counted = of_what_is_asked(text, start, stop, question.text)
        return counted or _first_new(text, number, start, stop, question)

    def _concluded(self, text: str, end: int, question: Question) -> Number | None:
        """Returns the number of the last sentence, where it draws a conclusion ("So he has 5")."""
        stop = len(text[max(0, end - 600) : end].rstrip()) + max(0, end - 600)
        breaks = list(_BREAK.finditer(text, max(0, stop - 500), stop - 1))
        start = breaks[-1].end() if breaks else 0 if stop < 500 else stop
        opening = _CONCLUDES.match(text, start, stop)
        if opening is None:
            return None
        start = opening.end()
        number = self._stated(text, start, stop, question, prose=True)
        return number or word_number(text, start, stop)


def _first(text: str, start: int, end: int) -> Number | None:
    """Returns the first number in digits of a range."""
    return next(number_spans.numbers(text, start, end), None)


def _ahead_of_what_is_set_aside(text: str, number: Number) -> Number:
    """Returns the number before one that is set aside in its sentence: 3 of "3 left out of 10"."""
    if not _SET_ASIDE.search(text, max(0, number.start - 30), number.start):
        return number
    begin = max(0, number.start - 200)
    for stop in _SENTENCE_END.finditer(text, begin, number.start):
        begin = stop.end()
    return last(number_spans.numbers(text, begin, number.start)) or number


def _closing_clause(text: str, start: int, end: int, number: Number) -> tuple[int, Number]:
    """Returns where the part of a prose statement begins that counts, and its first number.

    Args:
        text: The whole text; the statement is ``text[start:end]``.
        start: The place behind the marker.
        end: The end of the statement.
        number: The statement's first number.
    """
    clause = _CLAUSE.match(text, start, end)
    if clause and (behind := _first(text, clause.end(), end)):
        start, number = clause.end(), behind
    # Each later sentence with a number counts before those ahead of it.
    for sentence in _SENTENCE_END.finditer(text, number.end, end):
        if stated := _first(text, sentence.end(), end):
            start, number = sentence.end(), stated
    for conclusion in _CONCLUSION.finditer(text, start, end):
        if concluded := _first(text, conclusion.end(), end):
            start, number = conclusion.end(), concluded
    return start, number


def _first_new(text: str, number: Number, start: int, end: int, question: Question) -> Number:
    """Returns the first number of a range that the question does not give, else ``number``."""
    known = _question_numbers(question.text)
    candidates = number_spans.numbers(text, start, end) if known else ()
    return next((candidate for candidate in candidates if candidate.value not in known), number)


@lru_cache(maxsize=2048)
def _question_numbers(text: str) -> frozenset[Fraction]:
    """Returns the values of the numbers in a question's text."""
    return frozenset(number.value for number in number_spans.numbers(text))


def _gold_value(answer: str) -> Fraction | None:
    """Returns a gold answer's value: its only number, of which a magnitude word is part."""
    value = number_spans.parse(answer)
    if value is None:
        number = word_number(answer, 0, len(answer))
        if number is None or _DIGIT.search(answer) or word_number(answer, number.end, len(answer)):
            return None
        return number.value
    unit = _UNIT.search(answer)
    return value * _magnitude(unit) if unit and not unit["percent"] else value


def _magnitude(unit: re.Match[str]) -> int:
    """Returns the factor of a magnitude word, or of "k"."""
    return MAGNITUDES[unit["scale"].casefold()] if unit["scale"] else 1000


def _single(text: str, number: Number, end: int, question: Question) -> AnswerCandidate:
    """Returns a number as an answer; ``NONE_GIVEN`` where it is denied or one of several."""
    denied = _DENIES.search(text, max(0, number.start - 24), number.start)
    if denied or is_one_of_several(text, number, 0, end):
        return NONE_GIVEN
    return _candidate(text, number, question)


def _candidate(text: str, number: Number, question: Question) -> AnswerCandidate:
    """Returns a number as an answer, in the unit of the gold answer."""
    value, end = number.value, number.end
    after = text[end : end + 1]
    if after == " " and (cents := _CENTS.match(text, end)):
        value, end = value + Fraction(int(cents[1]), 100), cents.end()
    if after == " " and (dozens := _DOZENS.match(text, end)):
        counted = 12 * value == _gold_value(question.answer)
        if counted and not _ASKS_DOZENS.search(question.text):
            value, end = 12 * value, dozens.end()
    unit = _UNIT.match(text, end) if after and after in " %\\kKtmb" else None
    if unit:
        gold = _gold_value(question.answer) or Fraction(0)
        if unit["percent"]:
            gold_is_share = 0 < abs(gold) < 1 and "%" not in question.answer
            value = value / 100 if gold_is_share else value
        elif abs(gold) >= _magnitude(unit):
            value, end = value * _magnitude(unit), unit.end()
    return AnswerCandidate(number_spans.format_number(value), number.start, end)
