"""Numbers written out in English: "twelve", "two and a half", "three hundred and five"."""

import re
from fractions import Fraction

from potstill.tasks.answers.base import JOINED
from potstill.tasks.answers.numbers import Number

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
