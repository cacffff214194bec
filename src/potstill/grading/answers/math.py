r"""Mathematical expressions as answers, as LaTeX or plain.

Of "Hence $x = \frac{1}{2}$, so \boxed{\dfrac12}." the box is read and written in one normal form,
``\frac{1}{2}``. It is compared with the gold answer in two steps. :func:`equal` decides what needs
no algebra: equal strings, words, and numbers by their exact value, so that it is also 0.5 and 2/4.
The rest, such as "(x+1)^2" against "x^2+2x+1", is left to math-verify's computer algebra in
:mod:`potstill.grading.math_pool`, which takes milliseconds to seconds where the first step takes
microseconds.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from math import factorial
from typing import NamedTuple

from potstill.errors import DataError
from potstill.grading import math_pool
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import AnswerCandidate, last
from potstill.grading.answers.inequalities import interval_of, is_interval
from potstill.grading.answers.math_prose import closing_sentence, new_in, stated
from potstill.grading.answers.number import NumberReader
from potstill.grading.answers.plain_math import latex_of, plain_formulas
from potstill.records import Question

# --- Finding an expression in a text ---

_LONGEST_LINE = 80
"""Characters; a longer statement is prose and no expression."""

# "$$...$$", "$...$", "\(...\)", "\[...\]". A "$" before a digit closes nothing: it opens a price.
_FORMULA = re.compile(
    r"""
    \$\$ (?P<display> [^$]{1,1000} ) \$\$
  | (?<![\\$]) \$ (?P<inline> (?![\s$]) (?>(?:\\.|[^$\\\n]){1,1000}) (?<!\s) ) \$ (?!\d)
  | \\\( (?P<round> (?:(?!\\\)).){1,1000} ) \\\)
  | \\\[ (?P<square> (?:(?!\\\]).){1,1000} ) \\\]
    """,
    re.VERBOSE | re.DOTALL,
)
# "\boxed{" at the end of what was searched: the text ends before the box does.
_OPEN_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,2}\{\Z")
# Text that joins two formulas into one answer: "$2$ and $3$", "$x$, $y$".
_JOINED = re.compile(r"\s{0,3}(?:,|,?\s{0,3}\b(?:and|or)\b)\s{0,3}")
_SENTENCE_END = re.compile(r"(?<!\\)[.!?](?=\s|$)|\n")
_FACTORIAL = re.compile(r"(?<=\w)!(?!=)")
_REASON = re.compile(r",?\s\(?(?:because|since|which|where|as|so)\b")
# Words that open a statement of prose: "there are 256", "The magnitude of $z$ is 13".
_PROSE_OPENS = re.compile(r"[\s*:,]{0,9}(?:[A-Za-z'\u2019]{2,}[\s,]+){2}")
# Words that name the kind of an expression before it, as in "the point (2, 3)".
_NAMED_FIRST = re.compile(r"(?:the|an?)\s(?:[a-z]{4,}\s){1,2}(?=[(\[\\\d$])", re.IGNORECASE)
_SAYS_WORDS = re.compile(r":\s|\b(?:is|are|be)\s(?:the\s|an?\s)?")
# Three words in a row are prose; a digit, an operator or a command is the sign of a formula.
_PROSE = re.compile(r"(?:(?<!\\)\b[A-Za-z]{2,}\W+){2}[A-Za-z]{2,}")
_SIGN = re.compile(r"[\d\\=^+*/<>_\u221e\u03c0\u221a\u2070-\u209c\u00b2\u00b3\u00b9]|\s-\s")


class MathReader:
    r"""Expressions in LaTeX or plain, equal when their values, sets, equations or words are.

    The last closed ``\boxed{}`` counts wherever it stands; without one, the statement after the
    final-answer marker.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last box up to ``end``, else the statement's formula or its few words."""
        if box := _last_box(text, end):
            return _candidate(text, *box)
        if not text[start:end].strip() or _OPEN_BOX.search(text, max(0, start - 12), start):
            return None  # nothing follows, or the text ends inside the box
        if answer := self._prose(text, start, min(end, start + 2_000)):
            return _as_factorial(text, answer, question)
        formula = next(_formulas(text, start, min(end, start + 2_000)), None)
        if formula and not re.search(r"\d", text[start : formula.start]):
            return formula
        return _as_factorial(text, self._plain(text, start, end, question), question)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last box, or the last formula or number, or a text that is one formula."""
        if box := _last_box(text, end):
            return _candidate(text, *box)
        start, stop = closing_sentence(text, end)
        if len(_form(normal(question.answer)).word) > 1 and (words := _words(text, start, stop)):
            return words
        candidates = _in_sentence(text, start, stop)
        if candidates and (
            answer := stated(text, start, candidates)
            or new_in(text, start, candidates, question.text)
        ):
            return _as_factorial(text, answer, question)
        begin = max(0, end - 20_000)
        formulas = list(_formulas(text, begin, end))
        # A lone letter only names what the text is about, as in "the length of side $D$".
        telling = [found for found in formulas if len(found.answer) > 1 or found.answer.isdigit()]
        formula = last(telling or formulas)
        if not formula and end < 1000 and _is_formula(bare := text[:end].strip()):
            return _candidate(text, text.index(bare), text.index(bare) + len(bare))
        number = NumberReader().last(text, end, question)
        answers = [answer for answer in (formula, number) if answer]
        latest = max(answers, key=lambda answer: answer.end, default=None)
        return _as_factorial(text, latest, question)

    def gold(self, question: Question) -> str:
        r"""Returns the gold expression; of a whole solution what its last box or ``####`` holds.

        Raises:
            MissingExtraError: math-verify is not installed.
        """
        math_pool.require()
        text = question.answer
        if contents := boxes(text):
            text = text[slice(*contents[-1])]
        gold = normal(text.rpartition("####")[2])
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} gives none.")
        return gold

    def same(self, answer: str, gold: str) -> bool | None:
        """Says whether the two are equal; None where that cannot be told in time."""
        if is_interval(gold) and (interval := interval_of(answer)):
            answer = interval
        elif is_interval(answer) and (interval := interval_of(gold)):
            gold = interval
        quick = equal(gold, answer)
        return math_pool.same(gold, answer) if quick is None else quick

    def _prose(self, text: str, start: int, end: int) -> AnswerCandidate | None:
        """Returns what the first sentence of a prose statement states; None for anything else."""
        cut = _SENTENCE_END.search(text, start + 1, end)
        end = cut.start() if cut else end
        candidates = _in_sentence(text, start, end)
        if not candidates or not _PROSE_OPENS.match(text, start, candidates[0].start):
            return None
        return stated(text, start, candidates)

    def _plain(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the statement's first sentence, or the number in it where it is prose."""
        for limit in (_SENTENCE_END, _REASON):
            start += len(text[start:end]) - len(text[start:end].lstrip(" \n*:"))
            cut = limit.search(text, start + 1, end)
            end = cut.start() if cut else end
        if len(_form(normal(question.answer)).word) > 1 and end - start <= _LONGEST_LINE:
            return _candidate(text, start, end)
        if end - start > _LONGEST_LINE or _PROSE.search(text, start, end):
            return NumberReader().marked(text, start, end, question)
        named = _NAMED_FIRST.match(text, start, end)
        return _candidate(text, named.end() if named else start, end)


def _in_sentence(text: str, start: int, end: int) -> list[AnswerCandidate]:
    """Returns the formulas and numbers of a range, in order; numbers within formulas are none."""
    found = [*_formulas(text, start, end), *_unicode_formulas(text, start, end)]
    for number in number_spans.numbers(text, start, end):
        if not any(formula.start <= number.start < formula.end for formula in found):
            value = number_spans.format_number(number.value)
            found.append(AnswerCandidate(value, number.start, number.end))
    return sorted(found, key=lambda candidate: candidate.start)


def _unicode_formulas(text: str, start: int, end: int) -> Iterator[AnswerCandidate]:
    """Yields the formulas of a range that are written without LaTeX, such as "2√3 + 1"."""
    for place in plain_formulas(text, start, end):
        if answer := _candidate(text, *place):
            yield answer


def _words(text: str, start: int, end: int) -> AnswerCandidate | None:
    """Returns the words that a sentence ends in, behind a colon or "is"."""
    said = last(_SAYS_WORDS.finditer(text, start, end))
    return _candidate(text, said.end(), end) if said and end - said.end() <= _LONGEST_LINE else None


_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s{0,2}\{)|\\.|(?P<open>\{)|\}", re.DOTALL)


@lru_cache(maxsize=8)  # a text is asked for its boxes once for every statement it makes
def boxes(text: str) -> tuple[tuple[int, int], ...]:
    r"""Returns where the contents of every closed ``\boxed{}`` stand, in the order of closing."""
    first = re.search(r"\\(?:boxed|fbox)", text)
    closed: list[tuple[int, int]] = []
    open_braces: list[int | None] = []  # where the content of a box begins; None for other braces
    for brace in _BRACES.finditer(text, first.start() if first else len(text)):
        if brace["box"] or brace["open"]:
            open_braces.append(brace.end() if brace["box"] else None)
        elif brace[0] == "}" and open_braces:
            start = open_braces.pop()
            if start is not None:
                closed.append((start, brace.start()))
    return tuple(closed)


def _last_box(text: str, end: int) -> tuple[int, int] | None:
    """Returns where the contents of the last box that closes before ``end`` stand."""
    return next((box for box in reversed(boxes(text)) if box[1] <= end), None)


def _formulas(text: str, start: int, end: int) -> Iterator[AnswerCandidate]:
    """Yields the formulas between ``$`` or brackets; "$2$ and $3$" are one."""
    group: list[re.Match[str]] = []
    for formula in _FORMULA.finditer(text, start, end):
        if group and not _JOINED.fullmatch(text, group[-1].end(), formula.start()):
            yield from _grouped_formula(group)
            group = []
        group.append(formula)
    yield from _grouped_formula(group)


def _grouped_formula(group: list[re.Match[str]]) -> Iterator[AnswerCandidate]:
    """Yields formulas that belong together as one, if anything is in them."""
    answer = ",".join(normal(formula[formula.lastgroup or 0]) for formula in group)
    if answer:
        yield AnswerCandidate(answer, group[0].start(), group[-1].end())


def _candidate(text: str, start: int, end: int) -> AnswerCandidate | None:
    """Returns a range as an answer in normal form; None where nothing is left of it."""
    answer = normal(text[start:end])
    return AnswerCandidate(answer, start, end) if answer else None


def _as_factorial(
    text: str, answer: AnswerCandidate | None, question: Question
) -> AnswerCandidate | None:
    """Returns the "5!" that an answer 5 stands in where the gold answer is 120 or "5!".

    Else the answer itself: a mark behind a number may as well end an exclamation.
    """
    if answer is None or not _FACTORIAL.match(text, answer.end):
        return answer
    gold, whole = normal(question.answer), f"{answer.answer}!"
    short = answer.answer.isdecimal() and len(answer.answer) <= 2
    if gold != whole and not (short and _rational(gold) == factorial(int(answer.answer))):
        return answer
    return AnswerCandidate(whole, answer.start, answer.end + 1)


def _is_formula(line: str) -> bool:
    """Says whether a whole text is one formula, not prose."""
    whole = 0 < len(line) <= _LONGEST_LINE and "\n" not in line
    whole = whole and line.count("{") == line.count("}")  # else the text ends inside a box
    return whole and _SIGN.search(line) is not None and _PROSE.search(line) is None


# --- The normal form ---

_LONGEST = 2000
"""Characters; what is longer is no answer, and is left as it is."""

_BEFORE = re.compile(r"(?:\\\(|\\\[|[\s$*:])+")
_AFTER = re.compile(r"(?:\\\)|\\\]|\\\\|(?<!\\)[\s$*.,;:])+$")
_REWRITTEN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # boxes, dollar signs, \left and \right
        (r"\\(?:boxed|fbox)\s{0,2}(?=\{)|(?<!\\)\$|\\(?:left|right|displaystyle)(?![A-Za-z])", ""),
        # spaces of any width
        (r"(?<!\\)\\[!,;: ]|\\q?quad(?![A-Za-z])|~|\u00a0", " "),
        # one command for fractions, and one for words
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:mbox|mathrm|textrm|textbf|textit|mathbf|textnormal)(?=\s?\{)", r"\\text"),
        # short forms: \frac12, \frac1{23}, \frac{12}3
        (r"\\frac\s?(\d)\s?(?:(\d)|\{(\d{1,99})\})", r"\\frac{\1}{\2\3}"),
        (r"\\frac\{(\d{1,99})\}\s?(\d)", r"\\frac{\1}{\2}"),
        # commas, minus, percent and degree signs
        (r"\{,\}", ","),
        ("[\u2212\u2013]", "-"),
        (r"(?<!\\)%", r"\\%"),
        (r"\^\s?\{?\s?\\circ\s?\}?|\\degrees?(?![A-Za-z])|\u00b0", r"^\\circ"),
        # one space, and that only between words or numbers or behind a factorial
        (r"\s+", " "),
        (r"(?<!!) (?![A-Za-z0-9])|(?<![A-Za-z0-9!]) |(?<=!) (?!=)", ""),
    )
)


@lru_cache(maxsize=1024)
def normal(latex: str) -> str:
    r"""Returns the expression without what changes only its looks.

    Among it: ``$`` signs, ``\left`` and ``\right``, spacing, ``\dfrac`` for ``\frac``, the short
    form ``\frac12``, ``{,}`` between thousands, a full stop behind it.
    """
    latex = latex_of(latex.replace("\x00", "")).strip()
    if len(latex) > _LONGEST:
        return latex
    opening = _BEFORE.match(latex)
    latex = latex[opening.end() if opening else 0 :]
    for pattern, replacement in _REWRITTEN:
        latex = pattern.sub(replacement, latex)
    return _AFTER.sub("", latex)


# --- Equality without algebra ---

_NEAR = Fraction(1, 10**5)
"""Numbers closer than this are left to algebra: 0.333333 may be 1/3."""

# An answer in words: "\text{even}"; an option's letter; "even", "not possible".
_WORD = re.compile(
    r"\\text\{(?P<text>[^{}\d\\]+|[A-Za-z]{3}[^{}\\]*)\}"
    r"| (?P<letter>\(?[A-H]\)?) | (?P<list>[A-Z](?:,[ ]?[A-Z])+|[A-Za-z]{3,}(?:,[ ]?[A-Za-z]{3,})+)"
    r"| (?P<bare>[A-Za-z]{4,}(?:[ ,-]{1,2}[A-Za-z]+)* | [A-Za-z]{2,}(?:[ ][A-Za-z]{2,})+"
    r"| [A-Z][a-z]{2,}(?:[ ]\d+)+)",
    re.VERBOSE,
)
# A value and its unit: "5\text{ cm}^2", "5 cm", "5miles"; functions and constants are no units.
_UNIT = re.compile(
    r"""(?P<body> .*? ) (?: \\text\{(?P<text>[^{}]*)\}
      | (?<=[\d}]) (?:[ ](?=[A-Za-z]{2})|(?=[A-Za-z]{3}|of[ ]))
        (?!sqrt|sin|cos|tan|log|mod|and|(?:or|pi)\b) (?P<bare>[A-Za-z]+(?:[ ][a-z]+)*) )
      (?P<power> \^\{?\d\}? )?""",
    re.VERBOSE,
)
_NAMED = re.compile(r"(?P<name>[A-Za-z](?:_\{?\w\}?)?)=(?P<value>[^=<>]+)")
# A number: "1,234.5", "\frac{1}{2}", "2\frac{1}{2}", "2 1/2", each with or without a sign.
_RATIONAL = re.compile(
    r"""(?P<sign>[-+]?) (?:
        (?P<whole>\d{1,3}(?:,\d{3})+|\d{0,400}) (?P<decimals>\.\d{1,400}|\.)?
      | (?P<part>\d{0,99}) \\frac\{(?P<top>-?\d{1,99})\}\{(?P<bottom>\d{1,99})\}
      | (?:(?P<units>\d{1,99})[ ])? (?P<over>\d{1,99}) / (?P<under>\d{1,99})
    )""",
    re.VERBOSE,
)


class _Form(NamedTuple):
    """An answer in its parts: "x = 5 cm" is the body 5, the name x and the unit cm."""

    body: str
    name: str
    """The variable that the answer is said to be the value of."""

    unit: str
    percent: bool
    word: str
    """The whole answer, where it is one in words."""


def equal(gold: str, answer: str) -> bool | None:
    """Says whether two expressions are equal, where that can be seen without algebra.

    Equal are the same strings; words but for case; numbers by their exact value, fractions and
    mixed numbers among them. A unit, degree or percent sign counts only where both have one.

    Returns:
        None where it takes algebra to tell.
    """
    if gold == answer:
        return True
    first, second = _form(gold), _form(answer)
    if first.word and second.word:
        return first.word == second.word
    if len(first.word) > 1:
        return False  # algebra would take the word for a product of its letters
    if {first.unit, second.unit} == {"am", "pm"}:
        return False
    if first.unit != second.unit and first.unit and second.unit:
        return None
    if first.name != second.name and first.name and second.name:
        return None
    if first.body == second.body:
        return True
    values = _rational(first.body), _rational(second.body)
    if values[0] is None or values[1] is None:
        return None
    if values[0] == values[1]:
        return True
    # 50% may be 0.5.
    close = abs(values[0] - values[1]) < _NEAR
    return None if close or first.percent or second.percent else False


@lru_cache(maxsize=1024)
def _form(latex: str) -> _Form:
    """Returns the parts of an answer."""
    latex = normal(latex)
    plain = latex.replace("\\%", "").replace("\\$", "").replace("^\\circ", "")
    if words := _WORD.fullmatch(plain):
        word = words[words.lastgroup or 0].strip(" ().,:;!\"'")
        word = re.sub(r"\s*,\s*", ", ", " ".join(word.split()))
        return _Form("", "", "", False, word if len(word) == 1 else word.casefold())
    unit = ""
    if len(plain) < 200 and (measured := _UNIT.fullmatch(plain)) and measured["body"]:
        plain = measured["body"].rstrip()
        spelt = (measured["text"] or measured["bare"] or "").casefold()
        unit = re.sub(r"[ .]", "", spelt).removesuffix("s") + (measured["power"] or "")
    name = ""
    if named := _NAMED.fullmatch(plain):
        name, plain = named["name"], named["value"]
    if plain.startswith("{") and plain.find("}") == len(plain) - 1:
        plain = plain[1:-1]
    return _Form(plain, name, unit, "\\%" in latex, "")


def _rational(body: str) -> Fraction | None:
    """Returns the value of a plain number or fraction; None where it is neither."""
    number = _RATIONAL.fullmatch(body)
    if number is None:
        return None
    if number["top"] or number["over"]:
        top = int(number["top"] or number["over"])
        bottom = int(number["bottom"] or number["under"])
        if not bottom or (number["part"] and top < 0):
            return None
        value = int(number["part"] or number["units"] or 0) + Fraction(top, bottom)
    else:
        digits = (number["whole"] or "").replace(",", "") + (number["decimals"] or "").rstrip(".")
        if not digits:
            return None
        value = Fraction(digits)
    return -value if number["sign"] == "-" else value
