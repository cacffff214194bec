"""Dates in which the day may stand first or second: "04/08/2021".

One date does not tell, and is read with the month first (``grading.answers.date``). Beside
"25/08/2021" the same file has the day first, so that "04/08/2021" is not guessed.
"""

import re
from collections.abc import Sequence

_DATE = re.compile(
    r"\b(?P<first>\d{1,2})(?P<sign>[-/])(?P<second>\d{1,2})(?P=sign)(?:\d{4}|\d\d)\b"
)
_LAST_MONTH = 12


def day_first_example(golds: Sequence[str]) -> str:
    """Returns the first date of a file that can only have its day first; empty where none has."""
    dates = (match for gold in golds for match in _DATE.finditer(gold))
    return next((match[0] for match in dates if int(match["first"]) > _LAST_MONTH), "")


def unclear_date(gold: str, day_first: str) -> str:
    """Returns what is told of a date that may be either of two days; else nothing.

    Args:
        gold: The answer.
        day_first: Another date of its file, which has the day first; empty where there is none.
    """
    unclear = _unclear(gold) if day_first else None
    if unclear is None:
        return ""
    return (
        f"the answer {gold!r} may be in month {int(unclear['first'])} or in month "
        f"{int(unclear['second'])}: other answers have the day first, such as {day_first}. Write "
        "it with the year first, as 2021-08-25."
    )


def silent_order(golds: Sequence[str]) -> str:
    """Returns what a user is told of dates whose order nothing in a file tells; else nothing."""
    matches = [match for gold in golds for match in _DATE.finditer(gold)]
    is_told = any(max(int(match["first"]), int(match["second"])) > _LAST_MONTH for match in matches)
    unclear = next(filter(None, map(_unclear, golds)), None)
    if is_told or unclear is None:
        return ""
    return (
        f"dates such as {unclear[0]} are read with the month first; where the day stands first, "
        "write them with the year first, as 2021-08-25"
    )


def _unclear(gold: str) -> re.Match[str] | None:
    """Returns the first date in a text that may be either of two days; None where there is none."""
    for match in _DATE.finditer(gold):
        first, second = int(match["first"]), int(match["second"])
        if first != second and max(first, second) <= _LAST_MONTH:
            return match
    return None
