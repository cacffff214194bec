r"""Numbers as people and models write them, read as exact fractions.

:func:`numbers` reads those in digits and :func:`word_number` those written out in English. In "He
paid $1,250.50 for 2½ acres and three hundred and five trees" the first finds 2501/2 and 5/2, the
second 305. A value is a :class:`~fractions.Fraction`, so that "36/2", "18.00" and "18" are equal
and "0.1" is a tenth and no binary approximation of it.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from potstill.grading.answers.base import JOINED


class Number(NamedTuple):
    """A number read in a text, and where it stands, its sign included."""

    value: Fraction
    start: int
    end: int


# --- Numbers in digits ---

_TOKEN = re.compile(
    r"""
    # dates and times of day are no numbers: "5/1/2021", "2021-05-01", "12:30"
    (?P<skip> \d{1,2}/\d{1,2}/\d{2,4}(?!\d)
            | \d{4}-\d{1,2}-\d{1,2}(?!\d)
            | \d{1,2}:(?!00)\d\d(?!\d) )
    # a full hour is one: "5:00"
  | (?P<hour> \d{1,2} ):00(?!\d)
    # fractions of LaTeX: "\frac{1}{2}", "\frac12"
  | \\[dtc]?frac\s?\{\s?(?P<top>-?\d{1,99})\s?\}\s?\{\s?(?P<bottom>\d{1,99})\s?\}
  | \\[dt]?frac(?P<digits>\d\d)
    # stops or spaces between thousands: "1.000,50", "1 000,50", "1.000.000"
  | (?P<dotted> \d{1,3}(?>(?:[.\u00a0\u202f]\d{3}|[ ]\d{3})+),\d{1,9}(?!\d|,\d)
               | \d{1,3}(?>(?:\.\d{3}){2,})(?!\d|[.,]\d) )
    # digits and what may stand between groups of them: "1,000", "1{,}000", "1\,000", "1'000",
    # "1_000"; a space between groups of three, "12 500", unless a unit in the singular follows, as
    # in "2 100 meter races"; "3,4,5" also matches, and is taken apart later
  | (?P<whole> \d++ (?>(?: (?: ,|\{,\}|\\[,!]|,\\!
                          | [\u00a0\u202f\u2009'\u2019\uff0c_](?=\d{3}(?!\d))
                          | [ ](?=(?:\d{3}[ ])*\d{3}(?![\d/:\u2013-]|[ ]\d|[ ]?[*x\u00d7^]
                              |[ ](?:met(?:er|re)|gram|dollar|cent|page|piece|watt|foot|yard|mile
                                |pound|calorie|lit(?:er|re)|point|year)\b)) ) \d++ )*) )?
    # decimals: "2.5", ".5"
    (?P<decimals> (?:(?<=\d)|(?<!\w))\.\d++ )?
    # "1e5"; "1.5 x 10^5", also with a raised 5; "2^10", "5²"; "36/2"; the second part of "2 1/2",
    # "2\frac{1}{2}" and "2½"
    (?P<rest> [eE](?P<e>[+-]?\d{1,3})(?!\w)
            | \s?(?:[x\u00d7*\u00b7]|\\times|\\cdot)\s?10
              (?: \s?(?:\^|\*\*)\s?\{?(?P<power>[-\u2212]?\d{1,3})(?!\d)\}?
                | (?P<raised_ten>\u207b?[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]{1,3}) )
            | (?:\^\{?|\*\*(?=\d{1,3}(?![\d*])))(?P<exponent>\d{1,3})(?!\d|\.\d)\}?
            | (?P<raised>[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]{1,3})
            | [/\u2044](?P<denominator>\d{1,99})(?![\d/])
            | [ ](?P<part>\d{1,3})[/\u2044](?P<parts>\d{1,3})(?![\d/])
            | [ ]?\\[dt]?frac\{(?P<mixed_part>\d{1,3})\}\{(?P<mixed_parts>\d{1,3})\}
            | [ ]?(?P<vulgar>[\u00bc-\u00be\u2150-\u215e]) )?
    """,
    re.VERBOSE,
)
_START = re.compile(r"\d|\.\d|\\[dtc]?frac|[\u00bc-\u00be\u2150-\u215e]")
_ORDINAL_NUMBER = re.compile(rf"(?<![{JOINED}.])(\d{{1,9}})(?:st|nd|rd|th)\b", re.IGNORECASE)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
# Groups of three ("1,000,000"), or of two before the last three, as in India ("12,34,567").
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")
_SEPARATOR = re.compile(r"[^\d]+")
# The text before the "20 300" of the list "10 20 300".
_SPACED_LIST = re.compile(r"\d \Z")
_COMMA_DECIMALS = re.compile(r"(\d+),(\d{1,2})")
# The text before a minus that subtracts ("5-3", "(a)-3", "5 - 3") or is a dash.
_JOINS = re.compile(rf"[{JOINED})\]}}%\u2212\u2013-]\Z|[\d)] \Z")
_CURRENCY = re.compile(r"(?:\\?[$\u20ac\u00a3\u00a5\u20b9]|(?:US|A|C)\$|Rs\.?) ?\Z")
_NEGATIVE = re.compile(r"(?:\bnegative|(?:\b(?:is|are|be)|[=:]) minus) \Z", re.IGNORECASE)
_MINUS = "-\u2212\u2013\uff0d"
_DIGITS = re.compile(r"[\d.,]*\d")
# The text before an exponent or an index: "cm^2", "m^{3}", "x_{1}", "s^-1", "cm**2".
_EXPONENT = re.compile(r"(?:\^\{?[-\u2212]?|_\{|(?<=[A-Za-z0-9)])\*\*)\Z")
_LAST_JOINED = 0x530
"""Letters before this code point join the digits behind them ("x2"); Chinese ones do not."""

_MOST_DIGITS = 400
"""Digits; a longer number is a loop or a trap, and would take long to compare."""


def numbers(text: str, start: int = 0, end: int | None = None) -> Iterator[Number]:
    r"""Yields every number between two places of a text, in order.

    Read: signs (also the Unicode minus and "negative 5"), thousands separators ("1,000",
    "1.000.000", "1 000", "1'000" and "12,34,567" are one number, "3,4,5" are three), decimals
    (".5", "18.", "3,5", "1.000,50"), currency around the number, fractions ("1/2", "2 1/2", "2½",
    "\frac{1}{2}"), powers of ten, full hours ("5:00" is 5), digits of any script. Left out:
    dates, times, ordinals, version numbers, digits that end a word ("x2"). A minus between two
    numbers ("5-3") is not a sign.
    """
    end = len(text) if end is None else end
    at = start
    while opening := _START.search(text, at, end):
        token = _TOKEN.match(text, opening.start(), end)
        if token is None or token.end() == token.start():
            at = opening.start() + 1
            continue
        at = token.end()
        for number in _token_numbers(token):
            yield number
            # a number may end before its token, as in "2 1/0": its rest is read again
            at = number.end if number.end > opening.start() else at


@lru_cache(maxsize=4096)
def parse(text: str) -> Fraction | None:
    """Returns the only number of a text such as a gold answer; None where it is not exactly one."""
    in_text = list(numbers(text))
    return in_text[0].value if len(in_text) == 1 else None


def format_number(value: Fraction) -> str:
    """Returns the shortest exact way to write a number.

    It is "18", "2.5", or "10/3" where the decimals never end.
    """
    if value.denominator == 1:
        return str(value.numerator)
    places = _decimal_places(value)
    if places is None or places > _MOST_DIGITS:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' * (value < 0)}{digits[:-places]}.{digits[-places:]}"


def equal(first: Fraction, second: Fraction) -> bool:
    """Says whether two numbers are the same.

    Exactly, or within 1e-6 where one of them has six or more decimal places: 3.3333333 is 10/3,
    but 3.33 is not, and 18.01 is not 18.
    """
    if first == second:
        return True
    if abs(first - second) > Fraction(1, 10**6):
        return False
    return any((_decimal_places(value) or 6) >= 6 for value in (first, second) if value)


def _token_numbers(token: re.Match[str]) -> Iterator[Number]:
    """Yields the numbers that one token stands for: none, one, or several joined by commas."""
    text, start, end = token.string, token.start(), token.end()
    if token["skip"] or _is_part_of_word(text, start):
        return
    special = _special_value(token)
    if special is not None:
        yield _signed(text, start, end, special)
        return
    if token["top"] or token["digits"] or _ORDINAL.match(text, end):
        return  # a fraction over zero, or "3rd"
    if text.startswith(".", end) and text[end + 1 : end + 2].isdecimal():
        return  # a version number such as "1.2.3"
    whole, decimals = token["whole"] or "", token["decimals"] or ""
    if len(whole) + len(decimals) > _MOST_DIGITS:
        return
    if whole and not whole.isdecimal():
        joined = _joined_groups(token)
        if joined is None:
            yield from _separate_numbers(token)
            return
        whole, decimals = joined
    number = Fraction(int(whole)) if whole and not decimals else Fraction((whole or "0") + decimals)
    value = _with_rest(number, token, mixed=not decimals) if token["rest"] else None
    body_end = end if value is not None else end - len(token["rest"] or "")
    yield _signed(text, start, body_end, number if value is None else value)


def _special_value(token: re.Match[str]) -> Fraction | None:
    """Returns the value of a fraction of LaTeX, an hour, "1.000,50" or "½"; None for others."""
    if token["top"]:
        return Fraction(int(token["top"]), int(token["bottom"])) if int(token["bottom"]) else None
    if token["digits"]:
        top, bottom = map(int, token["digits"])
        return Fraction(top, bottom) if bottom else None
    if token["hour"]:
        return Fraction(int(token["hour"]))
    if token["dotted"]:
        whole, _, decimals = token["dotted"].partition(",")
        return Fraction(f"{_SEPARATOR.sub('', whole)}.{decimals or 0}")
    if token["vulgar"] and not token["whole"] and not token["decimals"]:
        return _vulgar_value(token["vulgar"])
    return None


def _joined_groups(token: re.Match[str]) -> tuple[str, str] | None:
    """Returns the whole part and the decimals of digits with separators between them.

    "1,000" is ("1000", ""), "3,5" is ("3", ".5"), but in "(3,5)" it is two numbers.

    Returns:
        None where the groups are numbers of their own, as in "3,4,5".
    """
    if " " in token["whole"] and _SPACED_LIST.search(token.string, 0, token.start()):
        return None
    whole, decimals = _SEPARATOR.sub(",", token["whole"]), token["decimals"] or ""
    comma = _COMMA_DECIMALS.fullmatch(whole)
    before = token.string[max(0, token.start() - 1) : token.start()]
    if comma and not decimals and before not in ("(", "["):
        return comma[1], f".{comma[2]}"
    return (whole.replace(",", ""), decimals) if _GROUPED.fullmatch(whole) else None


def _separate_numbers(token: re.Match[str]) -> Iterator[Number]:
    """Yields each group of digits as a number of its own."""
    for group in re.finditer(r"\d+", token["whole"]):
        at = token.start() + group.start()
        end = token.start() + group.end()
        yield _signed(token.string, at, end, Fraction(int(group[0])))


def _with_rest(number: Fraction, token: re.Match[str], *, mixed: bool) -> Fraction | None:
    """Returns the number with its power of ten, denominator or fractional part.

    Args:
        number: The value of the digits before the rest.
        token: The match that holds the rest.
        mixed: Whether a fractional part may follow; "2.5 1/2" is no mixed number.

    Returns:
        None where the rest does not belong to the number.
    """
    if exponent := token["e"] or token["power"] or _plain_digits(token["raised_ten"]):
        return number * Fraction(10) ** int(exponent.replace("\u2212", "-"))
    if exponent := token["exponent"] or _plain_digits(token["raised"]):
        size = len(str(number.numerator)) + len(str(number.denominator))
        return number ** int(exponent) if size * int(exponent) <= _MOST_DIGITS else None
    if token["denominator"] and int(token["denominator"]):
        return number / int(token["denominator"])
    if not mixed:
        return None
    if token["vulgar"]:
        return number + _vulgar_value(token["vulgar"])
    part = token["part"] or token["mixed_part"]
    parts = token["parts"] or token["mixed_parts"]
    if part and 0 < int(part) < int(parts):
        return number + Fraction(int(part), int(parts))
    return None


def _vulgar_value(sign: str) -> Fraction:
    """Returns the value of a fraction that is one character, such as "½"."""
    return Fraction(unicodedata.numeric(sign)).limit_denominator(10)


def _is_part_of_word(text: str, start: int) -> bool:
    """Says whether the digits at ``start`` continue a word, an index or a version number."""
    if start < 1:
        return False
    before = text[start - 1]
    if before in "^{*-\u2212" and _EXPONENT.search(text, max(0, start - 4), start):
        return not (before == "*" and text.startswith("**", _digits_end(text, start)))
    if before == "." or before == "_":
        joined = text[start - 2] if start > 1 else " "
        return joined.isdecimal() if before == "." else _joins(joined)
    return _joins(before)


def _digits_end(text: str, start: int) -> int:
    """Returns where the digits that begin at ``start`` end."""
    digits = _DIGITS.match(text, start)
    return digits.end() if digits else start


def _plain_digits(raised: str | None) -> str:
    """Returns superscript digits and their sign as plain ones."""
    return unicodedata.normalize("NFKC", raised) if raised else ""


def _joins(letter: str) -> bool:
    """Says whether a character is a letter that joins the digits behind it into a word."""
    return letter.isalpha() and ord(letter) < _LAST_JOINED


def _signed(text: str, start: int, end: int, value: Fraction) -> Number:
    """Returns the number with its sign, which may stand before or after a currency sign."""
    before = text[start - 1] if start else ""
    if not before or before.isalnum() or before in "(\n":
        return Number(value, start, end)
    if before == " " and (negative := _NEGATIVE.search(text, max(0, start - 12), start)):
        word = negative.start() if negative[0][0] in "nN" else start - len("minus ")
        return Number(-value, word, end)
    at = _sign_at(text, start)
    if at is None and before in " $\u20ac\u00a3\u00a5\u20b9s.":
        currency = _CURRENCY.search(text, max(0, start - 4), start)
        at = _sign_at(text, currency.start()) if currency else None
    return Number(value, start, end) if at is None else Number(-value, at, end)


def _sign_at(text: str, start: int) -> int | None:
    """Returns where the minus sign before ``start`` stands, unless it subtracts or joins."""
    if start < 1 or text[start - 1] not in _MINUS:
        return None
    return None if _JOINS.search(text, max(0, start - 3), start - 1) else start - 1


def _decimal_places(value: Fraction) -> int | None:
    """Returns how many decimals write the number exactly; None where they never end."""
    # They end where the denominator has no prime factors but 2 and 5, those of ten.
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


# --- Numbers written out ---

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL: dict[str, int] = {word: value for value, word in enumerate(_UNITS.split())}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
"""The words below a hundred, by value."""

MAGNITUDES: dict[str, int] = {
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
"""The words that multiply what stands before them, in digits or words, by value."""

_PARTS: dict[str, int] = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6}
_PARTS |= {"seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100}
_PARTS |= {f"{word}s": value for word, value in _PARTS.items()} | {"halves": 2}
"""The words for denominators, singular and plural."""

_SMALLS = "|".join(sorted(_SMALL, key=len, reverse=True))
_WHOLE = rf"(?:{_SMALLS}|hundred|dozen|{'|'.join(MAGNITUDES)})"
_PART = rf"(?:{'|'.join(sorted(_PARTS, key=len, reverse=True))})"
NUMBER_PHRASE = re.compile(
    rf"""
    (?<![{JOINED}-]) (?P<minus>(?:minus|negative)[ ])?
    # "half a dozen", "two thirds"
    (?: (?P<half>half[ ]a[ ]dozen)
      | (?P<top>an?|one|two|three|four|five|six|seven|eight|nine)[ -](?P<bottom>{_PART})
    # "a hundred", "two thousand three hundred and five", "one million, two hundred thousand"
      | (?P<whole>(?:an?[ ](?=hundred|dozen|{"|".join(MAGNITUDES)}))?
          {_WHOLE}(?>(?:(?:[ -]|[ ]and[ ]|,[ ](?=\w+[ ](?:hundred|thousand|million))){_WHOLE})*))
        # "two and a half", "three point one four"
        (?:[ ]and[ ](?P<and_top>an?|one|two|three|four|five|six|seven|eight|nine)[ -]
           (?P<and_bottom>{_PART})
         |[ ]point(?P<digits>(?>(?:[ -](?:{_SMALLS}|oh))+)))?
      | (?P<alone>half)
    ) (?![{JOINED}]|-\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CENTS = re.compile(r" dollars?,? and (?=[\w-]+ cents?\b)", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:no|each|every|any|some|this|that|the|which|another) $", re.IGNORECASE)
_OF = re.compile(r" (?:of|another|by|day|must|can|way|should|more step|step)\b", re.IGNORECASE)


def word_number(text: str, start: int, end: int) -> Number | None:
    """Returns the first number written out in a range; "one" as in "one of them" is none."""
    for phrase in NUMBER_PHRASE.finditer(text, start, end):
        value = None if _is_pronoun(phrase) else _phrase_value(phrase)
        if value is None:
            continue
        stop = phrase.end()
        link = _CENTS.match(text, stop, end)  # "two dollars and fifty cents"
        cents = NUMBER_PHRASE.match(text, link.end(), end) if link else None
        if cents and (more := _phrase_value(cents)) is not None:
            value, stop = value + more / 100, cents.end()
        return Number(-value if phrase["minus"] else value, phrase.start(), stop)
    return None


def ordinal_number(text: str, start: int, end: int) -> Number | None:
    """Returns the first ordinal in digits of a range, such as "3rd"."""
    ordinal = _ORDINAL_NUMBER.search(text, start, end)
    return ordinal and Number(Fraction(int(ordinal[1])), *ordinal.span())


def _is_pronoun(phrase: re.Match[str]) -> bool:
    """Says whether a phrase is the "one" of "one of them" or "no one"."""
    text, start, end = phrase.string, phrase.start(), phrase.end()
    if phrase["whole"] is None or phrase["whole"].casefold() != "one" or end > start + 3:
        return False
    return bool(_OF.match(text, end) or _PRONOUN.search(text, max(0, start - 9), start))


def _phrase_value(phrase: re.Match[str]) -> Fraction | None:
    """Returns the value of a phrase without its sign; None where its words are no number."""
    if phrase["half"]:
        return Fraction(6)
    if phrase["alone"]:
        return Fraction(1, 2)
    if phrase["top"]:
        return _fraction(phrase["top"], phrase["bottom"])
    whole = _whole_value(re.findall(r"\w+", phrase["whole"].casefold()))
    if whole is not None and phrase["digits"]:
        digits = [_SMALL.get(word, 0) for word in re.findall(r"\w+", phrase["digits"].casefold())]
        tens = len(digits) == 2 and digits[0] >= 20  # "point twenty five" is .25
        decimals = str(sum(digits)) if tens else "".join(map(str, digits))
        return whole + Fraction(f"0.{decimals}")
    if whole is None or not phrase["and_top"]:
        return whole
    return whole + _fraction(phrase["and_top"], phrase["and_bottom"])


def _fraction(top: str, bottom: str) -> Fraction:
    """Returns the value of "two thirds"; a top that is no number, as in "a third", is one."""
    return Fraction(_SMALL.get(top.casefold(), 1), _PARTS[bottom.casefold()])


def _whole_value(words: list[str]) -> Fraction | None:
    """Returns the value of "two thousand three hundred and five"; None for "two four"."""
    # ``group`` is the value since the last magnitude word: 2, then 3, 300 and 305 above.
    total, group = 0, 0
    for word in words:
        if word in ("a", "an"):
            group = 1
        elif word in _SMALL:
            value = _SMALL[word]
            if group % 100 and (value > 9 or group % 100 < 20 or group % 10):
                return None  # only a unit may follow, and only behind tens: "twenty four"
            group += value
        elif word in ("hundred", "dozen"):
            group = max(group, 1) * (100 if word == "hundred" else 12)
        elif word in MAGNITUDES:
            total, group = total + max(group, 1) * MAGNITUDES[word], 0
    return Fraction(total + group)
