"""Calendar dates as answers: "05/01/2021", "May 1, 2021" and "the 1st of May, 2021" are one day.

The patterns are our own: a general parser such as dateutil fills what is missing from today's date
and reads "5" or "may" as a date, so that a text without a date would get an answer by accident.
"""

import re
from collections.abc import Iterator
from datetime import date

from potstill.errors import DataError
from potstill.grading.answers.base import NONE_GIVEN, AnswerCandidate, last, refuses
from potstill.records import Question

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    rf"""
    # "2021-05-01": year, month, day
    (?<![\d./-]) (?P<iso_year>\d{{4}}) (?P<iso>[-/.]) (?P<iso_month>\d{{1,2}}) (?P=iso)
      (?P<iso_day>\d{{1,2}}) (?!\d)
    # "05/01/2021", "1.5.2021", "5-1-21": which is the month depends on the sign, see _day
  | (?<![\d./-]) (?P<first>\d{{1,2}}) (?P<sign>[-/.]) (?P<second>\d{{1,2}}) (?P=sign)
      (?P<year>\d{{4}}|\d\d) (?![\d/-]|\.\d)
    # "May 1, 2021", "May 1st of 2021"
  | \b (?P<month>{_MONTH}) \.? [ -]{{1,2}} (?P<day>\d{{1,2}}) (?:st|nd|rd|th)?
      (?:,?\ {{0,2}}(?:of\ )?|-) (?P<month_year>\d{{4}}) (?!\d)
    # "1 May 2021", "1st of May, 2021", "1-May-2021"
  | (?<!\d) (?P<on>\d{{1,2}}) (?:st|nd|rd|th)? (?:\ of|\ day\ of)? [ -]{{1,2}}
      (?P<of>{_MONTH}) \.? (?:,?\ {{1,2}}(?:of\ )?|,|-) (?P<of_year>\d{{4}}) (?!\d)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_IS = re.compile(r"[=:]|\b(?:is|was|be|falls on)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])|\n")
_LONGEST_SENTENCE = 400
"""Characters of a last sentence that is read for taking a date back."""

# The beginning of a remark on a date, as in "May 8, 2022 (assuming that it is May 7, 2022 now)".
_REMARK = re.compile(r"\s\(|,? (?:assuming|if|provided|given|since|because|as)\b", re.IGNORECASE)
# A last sentence that takes the dates before it back.
_DEPENDS = re.compile(
    r"[.\n] ?[^.\n]*\b(?:date|answer|it|we)\b[^.\n]*\b(?:depends?|unknown|cannot be determined"
    r"|can(?:not|['\u2019]t) determine)\b[^.\n]*\.?\s*\Z",
    re.IGNORECASE,
)


class DateReader:
    """Dates with day, month and year, equal when they are the same day.

    Read: 05/01/2021, 2021-05-01, 1.5.2021, May 1, 2021, 1 May 2021, the 1st of May, 2021, with or
    without a weekday in front. 05/01/2021 is the first of May: with ``/`` or ``-`` the month comes
    first, unless only the day can; with full stops the day does. Years of two digits are 1969 to
    2068. A date that no calendar has is none.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the first date; in "a week after 05/01/2021 is 05/08/2021" that behind "is"."""
        day = next(_dates(text, start, end), None)
        if day is None:
            return NONE_GIVEN if refuses(text, start, end) else None
        sentence = _SENTENCE_END.search(text, day.end, end)
        stop = sentence.start() if sentence else end
        remark = _REMARK.search(text, day.end, stop)
        stop = remark.start() if remark else stop
        for verb in _IS.finditer(text, day.end, stop):
            day = next(_dates(text, verb.end(), stop), day)
        return day

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last date of the text."""
        day = last(_dates(text, 0, end))
        return NONE_GIVEN if day and _takes_back(text, day.end, end) else day

    def gold(self, question: Question) -> str:
        """Returns the gold date as ``2021-05-01``."""
        days = list(_dates(question.answer, 0, len(question.answer)))
        if len(days) != 1:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is no date.")
        return days[0].answer

    def same(self, answer: str, gold: str) -> bool:
        """Says whether both are the same day."""
        return answer == gold


def _takes_back(text: str, start: int, end: int) -> bool:
    """Says whether a text ends in a sentence by which the date before it cannot be known."""
    end = start + len(text[start:end].rstrip())
    return _DEPENDS.search(text, max(start, end - _LONGEST_SENTENCE), end) is not None


def _dates(text: str, start: int, end: int) -> Iterator[AnswerCandidate]:
    """Yields every date between two places of a text, in order."""
    for match in _DATE.finditer(text, start, end):
        if day := _day(match):
            yield AnswerCandidate(day.isoformat(), *match.span())


def _day(match: re.Match[str]) -> date | None:
    """Returns the day that a match of ``_DATE`` names; None where no calendar has it."""
    if match["iso"]:
        return _calendar(match["iso_year"], match["iso_month"], match["iso_day"])
    if name := match["month"] or match["of"]:
        month = str(_MONTHS.index(name[:3].casefold()) + 1)
        return _calendar(
            match["month_year"] or match["of_year"], month, match["day"] or match["on"]
        )
    first, second, year = match["first"], match["second"], match["year"]
    if len(year) == 2:
        year = ("20" if int(year) < 69 else "19") + year
    if match["sign"] == ".":
        first, second = second, first
    return _calendar(year, first, second) or _calendar(year, second, first)


def _calendar(year: str, month: str, day: str) -> date | None:
    """Returns the day of these numbers; None where there is no such day."""
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
