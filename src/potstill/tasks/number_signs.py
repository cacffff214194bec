"""Signs in numbers that may stand before decimals or between thousands: "1,234" and "1.234".

One number does not tell. Beside "2,5" a comma stands before decimals, and so "1,234" would be a
little more than one, unless thousands were meant; and the same of "1.234" beside "2,5" or
"1.234.567", where the point stands between thousands. Neither is guessed.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_NUMBER = re.compile(r"-?\d[\d.,]*\d|-?\d")
_DECIMAL_COMMA = re.compile(r"-?(?:\d+|\d{1,3}(?:\.\d{3})+),(?:\d{1,2}|\d{4,})")
_POINTS_BETWEEN_THOUSANDS = re.compile(r"-?\d{1,3}(?:\.\d{3}){2,}|-?\d{1,3}(?:\.\d{3})+,\d+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_EITHER = {sign: re.compile(rf"-?[1-9]\d{{0,2}}[{sign}]\d{{3}}") for sign in ",."}
"""A number whose sign may stand before decimals or between thousands."""


class UnclearSigns(NamedTuple):
    """The signs that may mean either, in the answers of one file."""

    signs: str
    """The unclear signs: the comma, the point, or both."""

    because: str
    """The evidence in the other answers, in words."""

    def told_of(self, gold: str) -> str:
        """Returns what is told of an answer that may be either of two numbers; else nothing."""
        number = _only_number(gold)
        for sign in self.signs:
            if _EITHER[sign].fullmatch(number):
                return (
                    f"the answer {gold!r} may be {number.replace(sign, '.')} or "
                    f"{number.replace(sign, '')}: {self.because}. Write it "
                    + ("with a point" if sign == "," else f"as {number}0")
                    + ", or without a sign between the thousands."
                )
        return ""


def unclear_signs(golds: Sequence[str]) -> UnclearSigns | None:
    """Returns the signs that other answers of a file make unclear; None where they make none so."""
    numbers = [_only_number(gold) for gold in golds]
    if any(map(_DECIMAL_COMMA.fullmatch, numbers)):
        return UnclearSigns(",.", "other answers have a decimal comma")
    if any(map(_POINTS_BETWEEN_THOUSANDS.fullmatch, numbers)):
        return UnclearSigns(",.", "other answers have points between the thousands")
    return None


def silent_reading(golds: Sequence[str], separator: str) -> str:
    """Returns what a user is told of signs that nothing in a file makes clear; else nothing.

    Args:
        golds: The answers.
        separator: The sign between the file's columns. Where it is no comma, numbers are likely
            written as where the comma stands before decimals.
    """
    numbers = [_only_number(gold) for gold in golds]
    for sign in ".," if separator != "," else ".":
        signed = [number for number in numbers if sign in number]
        if signed and all(map(_EITHER[sign].fullmatch, signed)):
            shown = next((number for number in signed if not number.endswith("000")), signed[0])
            if sign == ".":
                whole = shown.replace(".", "")
                return (
                    f"answers such as {shown} are read with decimals; where {whole} is meant, "
                    "write it without the point"
                )
            return (
                f"answers such as {shown} are read as {shown.replace(',', '')}; where "
                f"{shown.replace(',', '.')} is meant, write it with a point"
            )
    return ""


def worded_numbers(golds: Sequence[str]) -> str:
    """Returns what a user is told of numbers that stand among words; else nothing.

    Where all answers have the same words, they are a unit, and nothing is told.
    """
    words = [" ".join(_WORD.findall(gold)) for gold in golds]
    worded = [gold for gold, beside in zip(golds, words, strict=True) if beside]
    if not worded or len(set(words)) == 1:
        return ""
    count = "1 answer has" if len(worded) == 1 else f"{len(worded):,} answers have"
    return f"{count} words beside the number, such as {worded[0]!r}; the number alone is compared"


def _only_number(gold: str) -> str:
    """Returns the one number of an answer as it is written, without its unit; else nothing."""
    numbers = _NUMBER.findall(gold)
    return numbers[0] if len(numbers) == 1 else ""
