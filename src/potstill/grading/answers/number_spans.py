"""Numbers as people and models write them, read as exact fractions.

Numbers written out in English: "twelve", "two and a half", "three hundred and five".
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from potstill.grading.answers.base import JOINED


class Number(NamedTuple):
    """A number read in a text, and where it stands."""

    value: Fraction
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<skip> \d{1,2}/\d{1,2}/\d{2,4}(?!\d)  # dates and times of day are no numbers
            | \d{4}-\d{1,2}-\d{1,2}(?!\d)
            | \d{1,2}:(?!00)\d\d(?!\d) )
  | (?P<hour> \d{1,2} ):00(?!\d)
  | \\[dtc]?frac\s?\{\s?(?P<top>-?\d{1,99})\s?\}\s?\{\s?(?P<bottom>\d{1,99})\s?\}
  | \\[dt]?frac(?P<digits>\d\d)
  | (?P<dotted> \d{1,3}(?>(?:\.\d{3})+),\d{1,9}(?!\d|,\d)
               | \d{1,3}(?>(?:\.\d{3}){2,})(?!\d|[.,]\d) )
  | (?P<whole> \d++ (?>(?: (?: ,|\{,\}|\\[,!]|,\\!
                          | [\u00a0\u202f\u2009'\u2019](?=\d{3}(?!\d))
                          | [ ](?=(?:\d{3}[ ])*000(?!\d)) ) \d++ )*) )?
    (?P<decimals> (?:(?<=\d)|(?<!\w))\.\d++ )?
    (?P<rest> [eE](?P<e>[+-]?\d{1,3})(?!\w)
            | \s?(?:[x\u00d7*]|\\times|\\cdot)\s?10\s?\^\s?\{?(?P<power>[-\u2212]?\d{1,3})(?!\d)\}?
            | [/\u2044](?P<denominator>\d{1,99})(?![\d/])
            | [ ](?P<part>\d{1,3})[/\u2044](?P<parts>\d{1,3})(?![\d/])
            | [ ]?\\[dt]?frac\{(?P<mixed_part>\d{1,3})\}\{(?P<mixed_parts>\d{1,3})\}
            | [ ]?(?P<vulgar>[\u00bc-\u00be\u2150-\u215e]) )?
    """,
    re.VERBOSE,
)
_START = re.compile(r"\d|\.\d|\\[dtc]?frac|[\u00bc-\u00be\u2150-\u215e]")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")
_SEPARATOR = re.compile(r"[^\d]+")
_COMMA_DECIMALS = re.compile(r"(\d+),(\d{1,2})")
_JOINS = re.compile(rf"[{JOINED})\]}}%\u2212\u2013-]\Z|[\d)] \Z")
_CURRENCY = re.compile(r"(?:\\?[$\u20ac\u00a3\u00a5\u20b9]|(?:US|A|C)\$|Rs\.?) ?\Z")
_NEGATIVE = re.compile(r"(?:\bnegative|(?:\b(?:is|are|be)|[=:]) minus) \Z", re.IGNORECASE)
_MINUS = "-\u2212\u2013\uff0d"
_LAST_JOINED = 0x530
"""Letters before this code point join the digits behind them ("x2"); Chinese ones do not."""
_MOST_DIGITS = 400


def numbers(text: str, start: int = 0, end: int | None = None) -> Iterator[Number]:
    r"""Every number between two places of a text, in order.

    Read: signs (also the Unicode minus and "negative 5"), thousands separators ("1,000",
    "1.000.000", "1 000", "1'000" and "12,34,567" are one number, "3,4,5" are three), decimals
    (".5", "18.", "3,5", "1.000,50"), currency around the number, fractions ("1/2", "2 1/2", "2½",
    "\frac{1}{2}"), powers of ten, full hours ("5:00" is 5), digits of any script. Left out:
    dates, times, ordinals, version numbers, digits that end a word ("x2"). A minus between two
    numbers ("5-3") is not a sign.
    """
    end = len(text) if end is None else end
    at = start
    while found := _START.search(text, at, end):
        token = _TOKEN.match(text, found.start(), end)
        if token is None or token.end() == token.start():
            at = found.start() + 1
            continue
        at = token.end()
        for number in _read(token):
            yield number
            at = number.end if number.end > found.start() else at


@lru_cache(maxsize=4096)
def parse(text: str) -> Fraction | None:
    """The only number of a text such as a gold answer; None where there is not exactly one."""
    found = list(numbers(text))
    return found[0].value if len(found) == 1 else None


def written(value: Fraction) -> str:
    """The shortest exact way to write a number: "18", "2.5", or "10/3" where decimals never end."""
    if value.denominator == 1:
        return str(value.numerator)
    places = _decimal_places(value)
    if places is None or places > _MOST_DIGITS:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' * (value < 0)}{digits[:-places]}.{digits[-places:]}"


def equal(first: Fraction, second: Fraction) -> bool:
    """Whether two numbers are the same.

    Exactly, or within 1e-6 where one of them has six or more decimal places: 3.3333333 is 10/3,
    but 3.33 is not, and 18.01 is not 18.
    """
    if first == second:
        return True
    if abs(first - second) > Fraction(1, 10**6):
        return False
    return any((_decimal_places(value) or 6) >= 6 for value in (first, second) if value)


def _read(token: re.Match[str]) -> Iterator[Number]:
    """The numbers that one token stands for: none, one, or several joined by commas."""
    text, start, end = token.string, token.start(), token.end()
    if token["skip"] or _is_part_of_word(text, start):
        return
    special = _special(token)
    if special is not None:
        yield _signed(text, start, end, special)
        return
    if token["top"] or token["digits"] or _ORDINAL.match(text, end):
        return
    if text.startswith(".", end) and text[end + 1 : end + 2].isdecimal():
        return
    whole, decimals = token["whole"] or "", token["decimals"] or ""
    if len(whole) + len(decimals) > _MOST_DIGITS:
        return
    if not whole.isdecimal() and whole:
        whole = _SEPARATOR.sub(",", whole)
        comma = _COMMA_DECIMALS.fullmatch(whole)
        if comma and not decimals and text[max(0, start - 1) : start] not in ("(", "["):
            whole, decimals = comma[1], f".{comma[2]}"
        elif _GROUPED.fullmatch(whole):
            whole = whole.replace(",", "")
        else:
            for group in re.finditer(r"\d+", token["whole"]):
                at = start + group.start()
                yield _signed(text, at, start + group.end(), Fraction(int(group[0])))
            return
    number = Fraction(int(whole)) if whole and not decimals else Fraction((whole or "0") + decimals)
    value = _with_rest(number, token, mixed=not decimals) if token["rest"] else None
    body_end = end if value is not None else end - len(token["rest"] or "")
    yield _signed(text, start, body_end, number if value is None else value)


def _special(token: re.Match[str]) -> Fraction | None:
    """The value of a token that is no plain number: a fraction of LaTeX, an hour, "1.000,50"."""
    if token["top"]:
        return Fraction(int(token["top"]), int(token["bottom"])) if int(token["bottom"]) else None
    if token["digits"]:
        top, bottom = map(int, token["digits"])
        return Fraction(top, bottom) if bottom else None
    if token["hour"]:
        return Fraction(int(token["hour"]))
    if token["dotted"]:
        return Fraction(token["dotted"].replace(".", "").replace(",", "."))
    if token["vulgar"] and not token["whole"] and not token["decimals"]:
        return _vulgar(token["vulgar"])
    return None


def _with_rest(number: Fraction, token: re.Match[str], *, mixed: bool) -> Fraction | None:
    """The number with its power of ten, denominator or fractional part; None: it has none."""
    if exponent := token["e"] or token["power"]:
        return number * Fraction(10) ** int(exponent.replace("\u2212", "-"))
    if token["denominator"] and int(token["denominator"]):
        return number / int(token["denominator"])
    if not mixed:
        return None
    if token["vulgar"]:
        return number + _vulgar(token["vulgar"])
    part = token["part"] or token["mixed_part"]
    parts = token["parts"] or token["mixed_parts"]
    if part and 0 < int(part) < int(parts):
        return number + Fraction(int(part), int(parts))
    return None


def _vulgar(sign: str) -> Fraction:
    return Fraction(unicodedata.numeric(sign)).limit_denominator(10)


def _is_part_of_word(text: str, start: int) -> bool:
    """Whether the digits at ``start`` continue a word, an index or a version number."""
    if start < 1:
        return False
    before = text[start - 1]
    if before == "." or before == "_":
        joined = text[start - 2] if start > 1 else " "
        return joined.isdecimal() if before == "." else _joins(joined)
    return _joins(before)


def _joins(letter: str) -> bool:
    return letter.isalpha() and ord(letter) < _LAST_JOINED


def _signed(text: str, start: int, end: int, value: Fraction) -> Number:
    """The number with its sign, which may stand before or after a currency sign."""
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
    """Where the minus sign before ``start`` stands, unless it subtracts or joins."""
    if start < 1 or text[start - 1] not in _MINUS:
        return None
    return None if _JOINS.search(text, max(0, start - 3), start - 1) else start - 1


def _decimal_places(value: Fraction) -> int | None:
    """How many decimals write the number exactly; None where they never end."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL: dict[str, int] = {word: value for value, word in enumerate(_UNITS.split())}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_LARGE: dict[str, int] = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS: dict[str, int] = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6}
_PARTS |= {"seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100}
_PARTS |= {f"{word}s": value for word, value in _PARTS.items()} | {"halves": 2}

_SMALLS = "|".join(sorted(_SMALL, key=len, reverse=True))
_WHOLE = rf"(?:{_SMALLS}|hundred|dozen|{'|'.join(_LARGE)})"
_PART = rf"(?:{'|'.join(sorted(_PARTS, key=len, reverse=True))})"
PHRASE = re.compile(
    rf"""
    (?<![{JOINED}-]) (?P<minus>(?:minus|negative)[ ])?
    (?: (?P<half>half[ ]a[ ]dozen)
      | (?P<top>an?|one|two|three|four|five|six|seven|eight|nine)[ -](?P<bottom>{_PART})
      | (?P<whole>(?:an?[ ](?=hundred|dozen|{"|".join(_LARGE)}))?
          {_WHOLE}(?>(?:(?:[ -]|[ ]and[ ]|,[ ](?=\w+[ ](?:hundred|thousand|million))){_WHOLE})*))
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
    """The first number written out in a range; "one" as a pronoun ("one of them") is none."""
    for match in PHRASE.finditer(text, start, end):
        value = None if _is_pronoun(match) else _value(match)
        if value is None:
            continue
        stop = match.end()
        link = _CENTS.match(text, stop, end)
        cents = PHRASE.match(text, link.end(), end) if link else None
        if cents and (more := _value(cents)) is not None:
            value, stop = value + more / 100, cents.end()
        return Number(-value if match["minus"] else value, match.start(), stop)
    return None


def _is_pronoun(match: re.Match[str]) -> bool:
    """Whether a phrase is the "one" of "one of them" or "no one"."""
    text, start, end = match.string, match.start(), match.end()
    if match["whole"] is None or match["whole"].casefold() != "one" or end > start + 3:
        return False
    return bool(_OF.match(text, end) or _PRONOUN.search(text, max(0, start - 9), start))


def _value(match: re.Match[str]) -> Fraction | None:
    if match["half"]:
        return Fraction(6)
    if match["alone"]:
        return Fraction(1, 2)
    if match["top"]:
        return _fraction(match["top"], match["bottom"])
    whole = _whole(re.findall(r"\w+", match["whole"].casefold()))
    if whole is not None and match["digits"]:
        digits = [_SMALL.get(word, 0) for word in re.findall(r"\w+", match["digits"].casefold())]
        tens = len(digits) == 2 and digits[0] >= 20
        decimals = str(sum(digits)) if tens else "".join(map(str, digits))
        return whole + Fraction(f"0.{decimals}")
    if whole is None or not match["and_top"]:
        return whole
    return whole + _fraction(match["and_top"], match["and_bottom"])


def _fraction(top: str, bottom: str) -> Fraction:
    return Fraction(_SMALL.get(top.casefold(), 1), _PARTS[bottom.casefold()])


def _whole(words: list[str]) -> Fraction | None:
    """The value of "two thousand three hundred and five"; None where the words are no number."""
    total, current, room = 0, 0, 0
    for word in words:
        if word in ("a", "an", "and"):
            current, room = (1, 1) if word != "and" else (current, room)
        elif word in _SMALL:
            value = _SMALL[word]
            if current % 100 and (value > 9 or current % 100 < 20 or current % 10):
                return None  # "two four" are two numbers
            current, room = current + value, 1
        elif word in ("hundred", "dozen"):
            current, room = max(current, 1) * (100 if word == "hundred" else 12), 1
        else:
            total, current = total + max(current, 1) * _LARGE[word], 0
    return Fraction(total + current)
