"""The context of a number: a calculation, a second number, the same in another unit.

"The answer is 20 = 4 * 5" states 20, "3 or 4" and "5-10" state no single number, and "3 dozen,
which is 36 eggs" states 36.
"""

import re

from potstill.grading.answers import number_spans
from potstill.grading.answers.number_spans import Number

_CURRENCY = r"(?:\\?[$\u20ac\u00a3\u00a5\u20b9])?"
_UNITS = r"(?:\s?(?:\\?%|\u00b0|[A-Za-z]+\.?)(?:\s[a-z]+){0,2})?"
# An operator and what it is applied to, behind a number and its unit: "4 bags * 5".
_OPERATES = re.compile(
    rf"{_UNITS}\s?(?:[-+*/\u00d7\u00f7\u00b7\u2212\u2013]|(?<=[\s\d])x(?=\s?[\d$])"
    rf"|\\times|\\cdot|\\div)"
    rf"\s?\(?{_CURRENCY}\d|\s?\(\s?{_CURRENCY}\d+\s?[-+*/\u00d7]"
)
# The same in front of a number.
_OPERATED = re.compile(r"(?:[-+*/\u00d7\u00f7\u00b7\u2212x(]|\\times|\\cdot|\\div)\s?\$?\Z")
# The text between two numbers of which one is the answer.
_OR = re.compile(
    rf"(?P<unit>{_UNITS})[*_]{{0,2}}"
    rf"(?:,?\s(?:or|and/or)\s(?:(?:even|maybe|perhaps|possibly|about|else)\s)?"
    rf"|\s?[-\u2013\u2014,;(]\s?(?:or\s)?(?:maybe|perhaps|possibly|potentially)\s)"
    rf"[*_]{{0,2}}(?={_CURRENCY}\d)"
)
# Some such sign stands beside every number that is one of several.
_JOINS = re.compile(r"[-,;(~\u2013\u2014\u2026]|\.\.|\b(?:[oO][rR]|[tT][oO]|(?i:and|through))\b")
_TO = re.compile(
    rf"[*_]{{0,2}}\s?(?:[-\u2013\u2014~\u2026]|\.{{2,3}}|\b(?:to|through)\b)\s?[*_]{{0,2}}"
    rf"(?={_CURRENCY}\d)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\bbetween\s(?:the\s)?[^\w\n]{0,3}\Z", re.IGNORECASE)
_AND = re.compile(rf"{_UNITS}[*_]{{0,2}}\sand\s[*_]{{0,2}}(?={_CURRENCY}\d)")
_LIST = re.compile(
    rf"[*_$]{{0,2}}(?:,\s?(?:(?:and|or)\s)?|\s(?:and|or)\s)[*_]{{0,2}}(?={_CURRENCY}\d)"
)
_END = re.compile(r"[\s.*_!$\\)\]}]*\Z")
_UNIT_WORD = re.compile(r"\s?(\\?%|[A-Za-z]+)")

# Units that people say again in another one.
_CONVERTED = re.compile(
    r"\s?(?:dozens?|pairs?|scores?|gross|hours?|hrs?|minutes?|mins?|seconds?|days?|weeks?|months?"
    r"|years?|decades?|cents?|feet|foot|ft|yards?|miles?|met(?:er|re)s?|kilomet(?:er|re)s?|km"
    r"|pounds?|lbs?|kilograms?|kg|gallons?|quarts?|lit(?:er|re)s?)\b",
    re.IGNORECASE,
)
_SAID_AGAIN = re.compile(
    r"(?:\bi\.e\.,?|\bthat is,?|\bin other words,?|\bwhich (?:is|equals|means|makes)|[=(])"
    r"\s?(?=\$?\d)",
    re.IGNORECASE,
)
_CALCULATED = re.compile(
    r"(?:\bi\.e\.,?|\bin other words,?|\b(?:that|which) (?:is|equals|means|makes|gives|comes to),?"
    r"|, so|\b(?:making|giving))\s(?=\\?\$?\d)|\((?=\\?\$?[\d.,]+\s?\))",
    re.IGNORECASE,
)
_PERCENT_AGAIN = re.compile(r",?\s(?:or|i\.e\.,?|which is|=)\s(?=\d+(?:\.\d+)?\s?(?:\\?%|percent))")
# A closing sentence that takes back what stands before it: "However, we cannot determine it."
_GIVES_UP = re.compile(
    r"(?:^|(?<=[.!?]\s)|(?<=\n))\W*(?:(?:however|but|so|thus|therefore|hence|unfortunately),? )?"
    r"(?:we|it|one|i|you|there|the|this)\b[^.!?\n]{0,60}?\b(?:cannot|can ?not|can['\u2019]t"
    r"|impossible|not possible|unable|not enough information)\b[^.!?\n]{0,30}?\b(?:be )?"
    r"(?:determin|know|find|calculat|answer|tell|say|comput|solve)[^.!?\n]*[.!?]?\s*\Z",
    re.IGNORECASE,
)
_ASKED_COUNT = re.compile(
    r"\bhow many (?:(?:more|fewer|less|of|the|total|different|other|extra|additional) )*"
    r"(?:(\w{3,})|[\d.,]+ \w+ (\w{3,}))",
    re.IGNORECASE,
)
_ASKS_DIFFERENCE = re.compile(r"\bhow (?:many|much) (?:more|fewer|less)\b", re.IGNORECASE)
_MORE = re.compile(r"(?:\s[a-z]+)?\s(?:more|fewer|less)\b(?!\sto\b)", re.IGNORECASE)
_MONEY = re.compile(r"dollars?|cents?|euros?|pounds?|rupees?|money", re.IGNORECASE)
_EACH = re.compile(r"\b(?:each|every|per)\b", re.IGNORECASE)
_OF_EACH = re.compile(r"[^.\d\n]{0,40}\b(?:each|every|per)\b", re.IGNORECASE)
_ASKED_UNIT = re.compile(r"\bhow many (\w+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s[A-Z]|\s*\Z)|\n")


def calculates(text: str, at: int, end: int) -> bool:
    """Says whether the number that ends at a place is the first of a calculation."""
    return _OPERATES.match(text, at, end) is not None


def before_its_calculation(text: str, number: Number) -> Number | None:
    """Returns the number that the calculation behind it gives: 20 for the 5 of "20 = 4 * 5".

    None where the number ends no such calculation.
    """
    line = max(text.rfind("\n", 0, number.start) + 1, number.start - 200)
    sign = text.rfind("=", line, number.start)
    if sign < 0:
        return None
    first = next(number_spans.numbers(text, sign + 1, number.end), None)
    if first is None or first.start == number.start or not calculates(text, first.end, number.end):
        return None
    return left_of(text, line, sign)


def left_of(text: str, line: int, sign: int) -> Number | None:
    """Returns the number directly before an equals sign; None where that side is a calculation.

    Args:
        text: The whole text.
        line: The index at which the line begins.
        sign: The place of the sign.
    """
    before = list(number_spans.numbers(text, line, sign))
    if not before or not re.fullmatch(rf"{_UNITS}[\s$(*_]*", text[before[-1].end : sign]):
        return None
    left = before[-1]
    operated = _OPERATED.search(text, max(line, left.start - 9), left.start)
    return None if operated and len(before) > 1 else left


def is_one_of_several(text: str, number: Number, start: int, end: int) -> bool:
    """Says whether a number is an end of a range or one of several that are left open.

    Args:
        text: The whole text.
        number: A number in ``text[start:end]``.
        start: The index at which the statement begins.
        end: The index at which it ends.
    """
    if not _JOINS.search(text, max(start, number.start - 45), min(end, number.end + 45)):
        return False
    return _joins_another(text, number, end) or any(
        _joins_another(text, before, end, number) for before in _just_before(text, number, start)
    )


def _just_before(text: str, number: Number, start: int) -> list[Number]:
    """Returns the number that stands shortly before another one, if any."""
    begin = max(start, number.start - 40)
    if begin > start:  # clear of a number that the cut would halve
        begin = max(text.find(" ", begin, number.start), begin)
    return list(number_spans.numbers(text, begin, number.start))[-1:]


def _joins_another(text: str, number: Number, end: int, wanted: Number | None = None) -> bool:
    """Says whether a second number (the wanted one, if given) makes a number one of several."""
    join = _OR.match(text, number.end, end)
    if join and (other := _number_at(text, join.end(), end, wanted)):
        return not _says_the_same(text, number, other, join["unit"])
    between = _BETWEEN.search(text, max(0, number.start - 15), number.start)
    for pattern in (_AND,) if between else (_TO,):
        join = pattern.match(text, number.end, end)
        if join and (other := _number_at(text, join.end(), end, wanted)):
            # A subtraction that is written last is left as it is: "5-3" ends in 3.
            return other.value > number.value or (wanted is None and other.value < number.value)
    listed = _LIST.match(text, number.end, end)
    if listed and wanted is None:
        return _is_bare_list(text, number, end)
    return False


def _number_at(text: str, at: int, end: int, wanted: Number | None) -> Number | None:
    """Returns the number that begins at a place, its currency sign aside; only the wanted one."""
    number = next(number_spans.numbers(text, at, min(end, at + 60)), None)
    if number is None or number.start > at + 2:
        return None
    return number if wanted is None or wanted.start == number.start else None


def _says_the_same(text: str, number: Number, other: Number, unit: str) -> bool:
    """Says whether "or" gives one value twice: "3/4 or 75%", "1.5 hours or 90 minutes"."""
    if number_spans.equal(number.value, other.value):
        return True
    if abs(number.value - other.value) * 100 <= abs(number.value) and (
        number.value.denominator > 1 or other.value.denominator > 1
    ):
        return True
    second = _UNIT_WORD.match(text, other.end)
    other_unit = second[1] if second else ""
    if "%" in other_unit or "percent" in other_unit:
        return other.value == 100 * number.value
    first = _UNIT_WORD.match(unit)
    return bool(first and other_unit) and first is not None and first[1] != other_unit


def _is_bare_list(text: str, number: Number, end: int) -> bool:
    """Says whether nothing but numbers follows a number: "3, 4 and 5"."""
    at = number.end
    while listed := _LIST.match(text, at, end):
        other = _number_at(text, listed.end(), end, None)
        if other is None:
            return False
        at = other.end
    return at > number.end and _END.match(text[at:end]) is not None


def in_another_unit(text: str, number: Number, end: int, question: str) -> Number | None:
    """Returns the number that says a first one again in the unit that is asked for.

    Of "1 hour and 30 minutes, i.e. 90 minutes" it is 90, of "3 dozen, which is 36 eggs" 36. To the
    question "How many minutes ...?" it is 90 of "1.5 hours (90 minutes)".
    """
    if not _CONVERTED.match(text, number.end, end):
        return None
    stop = _SENTENCE_END.search(text, number.end, end)
    end = stop.start() if stop else end
    own_unit = _UNIT_WORD.match(text, number.end)
    for again in _SAID_AGAIN.finditer(text, number.end, end):
        other = _number_at(text, again.end(), end, None)
        unit = _UNIT_WORD.match(text, other.end, end) if other else None
        if other is None or unit is None or (own_unit and unit[1] == own_unit[1] == ""):
            continue
        asked = _ASKED_UNIT.search(question)
        if asked and own_unit and asked[1].casefold() == own_unit[1].casefold():
            return None
        if not next(number_spans.numbers(text, unit.end(), end), None):
            return other
    return None


def result_again(text: str, number: Number, end: int) -> Number | None:
    """Returns the result that is said behind the calculation a number begins: "4*5, i.e. 20"."""
    if not calculates(text, number.end, end):
        return None
    for again in _CALCULATED.finditer(text, number.end, end):
        other = _number_at(text, again.end(), end, None)
        if other and not calculates(text, other.end, end):
            return other
    return None


def left_if_rounder(text: str, start: int, sign: re.Match[str], right: Number) -> Number | None:
    """Returns the whole number of "20 \u2248 19.8"; None in "19.8 \u2248 20"."""
    left = left_of(text, start, sign.start()) if sign[0] == "\u2248" else None
    rounder = left and left.value.denominator == 1 < right.value.denominator
    return left if rounder else None


def percent_again(text: str, number: Number, end: int) -> Number | None:
    """Returns the percentage that says a share again: 16 of "0.16, or 16%"."""
    again = _PERCENT_AGAIN.match(text, number.end, end)
    other = _number_at(text, again.end(), end, None) if again else None
    return other if other and other.value == 100 * number.value else None


def gives_up(text: str, start: int, end: int) -> bool:
    """Says whether the last sentence of a range says that the answer cannot be had."""
    part = text[start:end]
    low = part.casefold()
    # one of these stands in every sentence that gives up; looking for them is quick
    may = "can" in low or "possible" in low or "unable" in low or "not enough" in low
    return may and _GIVES_UP.search(part) is not None


def by_how_many(text: str, start: int, end: int, question: str) -> Number | None:
    """Returns the one number of a range that says how many more or fewer, where that is asked.

    To "How many more pens ...?" it is 3 of "Ann has 9 pens, which is 3 more than Bob".
    """
    if not _ASKS_DIFFERENCE.search(question):
        return None
    told = {}
    for number in number_spans.numbers(text, start, end):
        if _MORE.match(text, number.end, end):
            told[number.value] = number
    return next(iter(told.values())) if len(told) == 1 else None


def asks_for_count(question: str) -> bool:
    """Says whether a question asks how many there are of something that is no money."""
    asked = _ASKED_COUNT.search(question)
    return asked is not None and _MONEY.fullmatch(asked[1] or asked[2]) is None


def is_money(text: str, number: Number) -> bool:
    """Says whether a number is an amount of money."""
    unit = _UNIT_WORD.match(text, number.end)
    before = text[max(0, number.start - 1) : number.start]
    return before in ("$", "\u20ac", "\u00a3") or bool(unit and _MONEY.fullmatch(unit[1]))


def of_what_is_asked(text: str, start: int, end: int, question: str) -> Number | None:
    """Returns the one number that counts what a question asks for, among several that count.

    To "How many peaches ...?" it is 3 of "Jake has 136 apples and 3 peaches".
    """
    asked = _ASKED_COUNT.search(question)
    if asked is None:
        return None
    wanted = asked[2] or asked[1]
    noun = wanted.casefold().removesuffix("s")
    counted: dict[object, Number] = {}
    others = 0
    for number in number_spans.numbers(text, start, end):
        if number_spans.parse(text[number.start : number.end]) is None:
            continue
        behind = text[number.end : number.end + 40].casefold().split()
        if behind and behind[0].strip(".,;:!?)").removesuffix("s") == noun:
            counted[number.value] = number
        else:
            others += 1
    if len(counted) > 1 and _EACH.search(question):
        shared = [n for n in counted.values() if _OF_EACH.match(text, n.end, end)]
        return shared[0] if len(shared) == 1 else None
    return next(iter(counted.values())) if len(counted) == 1 and others else None
