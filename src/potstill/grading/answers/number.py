"""Numbers as answers."""

import re
from fractions import Fraction
from functools import lru_cache

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import NONE_GIVEN, AnswerCandidate, last, refuses
from potstill.grading.answers.number_spans import PHRASE, Number, word_number
from potstill.records import Question

_DIGIT = re.compile(r"\d|[\u00bc-\u00be\u2150-\u215e]")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_EQUALS = re.compile(r"[=≈]")
_IS = re.compile(r"[=≈]|\b(?:is|are|was|were|be|equals)\s(?=[^\w\n]{0,3}\d)")
_ASIDE = re.compile(
    r"[,;] |(?<![-+*/\u00d7x=(\u2212]) \(|\b(?:because|since|as|so|which|and|but|where|for)\b"
)
_REASON = re.compile(r"\b(?:because|since|which)\b")
_CONCLUSION = re.compile(r"(?<=[.!?,;] )(?:So|Thus|Hence|Therefore|so|thus|hence|therefore)\b")
_CONCLUDES = re.compile(r"\W{0,3}(?:So|Thus|Hence|Therefore|Finally|In total|In conclusion)\b")
_BREAK = re.compile(r"[.!?]\s(?=\s{0,9}[A-Z*])|\n")
_STEP = re.compile(r"\W{0,9}Step \d{1,3}[:.]")
_CLAUSE = re.compile(
    r"\W{0,9}(?:After|If|When|Since|With|Given|Out of|Before)\b[^.,;:\n]{1,150}, (?=[^\n]{0,200}\d)"
)
_SUBJECT = re.compile(r"\w")
_OPENING = re.compile(r"[\s*_\"'(:$]{0,9}")
_CLOSING = re.compile(r"[*_\"'.!,;)]|\s{0,3}(?:$|\n)|\s\(")
_UNIT = re.compile(
    r"\s?(?:(?P<percent>\\?%|percent\b|per cent\b)"
    r"|(?P<scale>thousand|million|billion|trillion)\b|(?P<k>(?<=\d)[kK]\b))",
    re.IGNORECASE,
)
_CENTS = re.compile(r"(?: dollars?,?)? and (\d{1,2}) cents\b", re.IGNORECASE)
_LONGEST_STATEMENT = 2_000
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


class NumberReader:
    """Numbers, equal by value: "18", "$18.00" and "36/2" are the same.

    A percent sign and the words thousand, million, billion and trillion (or "5k") are read in the
    unit in which the gold answer is written: "50%" is 50, but 0.5 where the gold answer lies
    between -1 and 1; "3 million" is 3 where the gold answer is below a million, else 3,000,000.
    Other units, dozens and cents among them, change nothing.
    """

    concludes = True

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The first number; in a calculation ("3 + 4 = 7") the one behind the last "=".

        Where words precede the number, the statement is read as prose: its last sentence with a
        number counts, or what follows its last "so"; a clause such as "After 7 days, ..." is passed
        over; and in the sentence the number behind the last "is", "are" or "=" comes first, then
        the first one that the question's text does not give, then the first one. A number written
        out counts where it is all that follows the marker, or where the statement has no digits.
        """
        end = min(end, start + _LONGEST_STATEMENT)
        if refuses(text, start, end):
            return NONE_GIVEN
        step = _STEP.match(text, start, end)
        start = step.end() if step else start
        found = self._opening_word(text, start, end)
        if found is None:
            found = self._said(text, start, end, question) or word_number(text, start, end)
        return found and _candidate(text, found, question)

    def _opening_word(self, text: str, start: int, end: int) -> Number | None:
        """A number written out that the statement consists of or begins with."""
        opening = _OPENING.match(text, start, end)
        at = opening.end() if opening else start
        if not text[at : at + 1].isalpha() or not PHRASE.match(text, at, end):
            return None
        found = word_number(text, at, end)
        if found is None or found.start != at or not _CLOSING.match(text, found.end, end):
            return None
        return found

    def _said(
        self, text: str, start: int, end: int, question: Question, *, prose: bool = False
    ) -> Number | None:
        """The number that a statement ends up with."""
        found = next(number_spans.numbers(text, start, end), None)
        if found is None:
            return None
        in_prose = prose or _SUBJECT.search(text, start, found.start) is not None
        if in_prose:
            clause = _CLAUSE.match(text, start, end)
            if clause and (behind := next(number_spans.numbers(text, clause.end(), end), None)):
                start, found = clause.end(), behind
            for sentence in _SENTENCE_END.finditer(text, found.end, end):
                stated = next(number_spans.numbers(text, sentence.end(), end), None)
                start, found = (sentence.end(), stated) if stated else (start, found)
            for conclusion in _CONCLUSION.finditer(text, start, end):
                concluded = next(number_spans.numbers(text, conclusion.end(), end), None)
                start, found = (conclusion.end(), concluded) if concluded else (start, found)
        if not _DIGIT.search(text, found.end, end):
            return found
        stop = end
        for limit in (_SENTENCE_END, _REASON if in_prose else _ASIDE):
            cut = limit.search(text, found.end, stop)
            stop = cut.start() if cut else stop
        signs = list((_IS if in_prose else _EQUALS).finditer(text, start, stop))
        for sign in reversed(signs):
            if number := next(number_spans.numbers(text, sign.end(), stop), None):
                return number
        return self._new(text, found, start, stop, question) if in_prose else found

    def _new(self, text: str, found: Number, start: int, end: int, question: Question) -> Number:
        """The first number of a sentence that the question has not given, if there is one."""
        given = _given(question.text)
        said = number_spans.numbers(text, start, end) if given else ()
        return next((number for number in said if number.value not in given), found)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The last number of the last 100,000 characters; without digits the last written out."""
        concluded = self._concluded(text, end, question)
        if concluded:
            return _candidate(text, concluded, question)
        found = None
        for size in (200, 2_000, 100_000):  # seldom more than the closing lines need be read
            start = max(0, end - size)
            found = last(number_spans.numbers(text, start, end))
            if start == 0 or (found and found.start > start + 100):  # clear of one that is cut
                break
        if found is None and not _DIGIT.search(text, 0, end):
            for match in PHRASE.finditer(text, max(0, end - 2_000), end):
                found = word_number(text, match.start(), end) or found
        return found and _candidate(text, found, question)

    def _concluded(self, text: str, end: int, question: Question) -> Number | None:
        """What the last sentence states, where it draws a conclusion ("So he has 5 left")."""
        stop = len(text[max(0, end - 600) : end].rstrip()) + max(0, end - 600)
        breaks = list(_BREAK.finditer(text, max(0, stop - 500), stop - 1))
        start = breaks[-1].end() if breaks else 0 if stop < 500 else stop
        opening = _CONCLUDES.match(text, start, stop)
        if opening is None:
            return None
        start = opening.end()
        said = self._said(text, start, stop, question, prose=True)
        return said or word_number(text, start, stop)

    def gold(self, question: Question) -> str:
        """The gold number, e.g. "1000" for "$1,000.00" or "a thousand"."""
        value = _gold(question.answer)
        if value is None:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is no number.")
        return number_spans.written(value)

    def same(self, answer: str, gold: str) -> bool:
        """Whether the two have the same value, see :func:`number_spans.equal`."""
        if answer == gold:
            return True
        first, second = number_spans.parse(answer), number_spans.parse(gold)
        return first is not None and second is not None and number_spans.equal(first, second)


@lru_cache(maxsize=2048)
def _given(question: str) -> frozenset[Fraction]:
    """The numbers that a question's text gives."""
    return frozenset(number.value for number in number_spans.numbers(question))


def _gold(answer: str) -> Fraction | None:
    """A gold answer's value: its only number, of which a magnitude word is part."""
    value = number_spans.parse(answer)
    if value is None:
        number = word_number(answer, 0, len(answer))
        if number is None or _DIGIT.search(answer) or word_number(answer, number.end, len(answer)):
            return None
        return number.value
    scale = _UNIT.search(answer)
    return value * _scale(scale) if scale and not scale["percent"] else value


def _scale(unit: re.Match[str]) -> int:
    return _SCALES[unit["scale"].casefold()] if unit["scale"] else 1000


def _candidate(text: str, found: Number, question: Question) -> AnswerCandidate:
    """A number as an answer, in the unit of the gold answer."""
    value, end = found.value, found.end
    after = text[end : end + 1]
    if after == " " and (cents := _CENTS.match(text, end)):
        value, end = value + Fraction(int(cents[1]), 100), cents.end()
    unit = _UNIT.match(text, end) if after and after in " %\\kKtmb" else None
    if unit:
        gold = _gold(question.answer) or Fraction(0)
        if unit["percent"]:
            in_parts = 0 < abs(gold) < 1 and "%" not in question.answer
            value = value / 100 if in_parts else value
        elif abs(gold) >= _scale(unit):
            value, end = value * _scale(unit), unit.end()
    return AnswerCandidate(number_spans.written(value), found.start, end)
