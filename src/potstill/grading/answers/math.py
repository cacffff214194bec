"""Mathematical expressions as answers.

LaTeX answers written in one way, and the cheap part of telling whether two are equal.

Most answers are numbers, or are written as the gold answer is. Both are decided here; the rest is
left to computer algebra.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from potstill.errors import DataError
from potstill.grading import math_pool
from potstill.grading.answers.base import AnswerCandidate, last
from potstill.grading.answers.number import NumberReader
from potstill.records import Question

_FORMULA = re.compile(
    r"""
    \$\$ (?P<display> [^$]{1,1000} ) \$\$
  | (?<![\\$]) \$ (?P<inline> (?![\s$]) (?>(?:\\.|[^$\\\n]){1,1000}) (?<!\s) ) \$ (?!\d)
  | \\\( (?P<round> (?:(?!\\\)).){1,1000} ) \\\)
  | \\\[ (?P<square> (?:(?!\\\]).){1,1000} ) \\\]
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,2}\{\Z")
_JOINED = re.compile(r"\s{0,3}(?:,|,?\s{0,3}\b(?:and|or)\b)\s{0,3}")
_SENTENCE_END = re.compile(r"(?<!\\)[.!?](?=\s|$)|\n")
_REASON = re.compile(r",?\s\(?(?:because|since|which|where|as|so)\b")
_PROSE = re.compile(r"(?:(?<!\\)\b[A-Za-z]{2,}\W+){2}[A-Za-z]{2,}")
_SIGN = re.compile(r"[\d\\=^+*/<>_]|\s-\s")
_LONGEST_LINE = 80


class MathReader:
    r"""Expressions in LaTeX or plain, equal when their values, sets, equations or words are.

    The last closed ``\boxed{}`` counts wherever it stands; without one, the statement after the
    final-answer marker.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The last box up to here, or the statement's formula, or its few words."""
        if boxed := next((span for span in reversed(_boxes(text)) if span[1] <= end), None):
            return _candidate(text, *boxed)
        if not text[start:end].strip() or _OPEN_BOX.search(text, max(0, start - 12), start):
            return None  # nothing follows, or the text ends inside the box
        for formula in _formulas(text, start, min(end, start + 2_000)):
            if not re.search(r"\d", text[start : formula.start]):
                return formula
            break
        return self._plain(text, start, end, question)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The last box, the last formula or number, or a text that is nothing but a formula."""
        if boxed := next((span for span in reversed(_boxes(text)) if span[1] <= end), None):
            return _candidate(text, *boxed)
        begin = max(0, end - 20_000)
        formulas = list(_formulas(text, begin, end))
        # A lone letter only names what the text is about, as in "the length of side $D$".
        telling = [one for one in formulas if len(one.answer) > 1 or one.answer.isdigit()]
        formula = last(telling or formulas)
        if not formula and end < 1000 and _is_formula(bare := text[:end].strip()):
            return _candidate(text, text.index(bare), text.index(bare) + len(bare))
        number = NumberReader().last(text, end, question)
        return max((one for one in (formula, number) if one), key=_end, default=None)

    def gold(self, question: Question) -> str:
        r"""The gold expression; of a whole solution what its last box or ``####`` holds.

        Raises:
            MissingExtraError: math-verify is not installed.
        """
        math_pool.require()
        text = question.answer
        if boxed := _boxes(text):
            text = text[slice(*boxed[-1])]
        gold = normal(text.rpartition("####")[2])
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} gives none.")
        return gold

    def same(self, answer: str, gold: str) -> bool | None:
        """Whether the two are equal; None where that cannot be told in time."""
        quick = equal(gold, answer)
        return math_pool.same(gold, answer) if quick is None else quick

    def _plain(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The statement up to the end of its sentence, or the number in it where it is prose."""
        for limit in (_SENTENCE_END, _REASON):
            start += len(text[start:end]) - len(text[start:end].lstrip(" \n*:"))
            cut = limit.search(text, start + 1, end)
            end = cut.start() if cut else end
        if end - start > _LONGEST_LINE or _PROSE.search(text, start, end):
            return NumberReader().marked(text, start, end, question)
        return _candidate(text, start, end)


@lru_cache(maxsize=8)
def _boxes(text: str) -> list[tuple[int, int]]:
    """The boxes of a text, found once however many statements it makes."""
    return boxes(text)


def _formulas(text: str, start: int, end: int) -> Iterator[AnswerCandidate]:
    """The formulas between ``$`` or brackets; "$2$ and $3$" are one."""
    found: list[re.Match[str]] = []
    for match in _FORMULA.finditer(text, start, end):
        if found and not _JOINED.fullmatch(text, found[-1].end(), match.start()):
            yield from _joined(text, found)
            found = []
        found.append(match)
    yield from _joined(text, found)


def _joined(text: str, formulas: list[re.Match[str]]) -> Iterator[AnswerCandidate]:
    answer = ",".join(normal(match[match.lastgroup or 0]) for match in formulas)
    if answer:
        yield AnswerCandidate(answer, formulas[0].start(), formulas[-1].end())


def _candidate(text: str, start: int, end: int) -> AnswerCandidate | None:
    answer = normal(text[start:end])
    return AnswerCandidate(answer, start, end) if answer else None


def _is_formula(line: str) -> bool:
    """Whether a whole text is one formula, not prose."""
    whole = 0 < len(line) <= _LONGEST_LINE and "\n" not in line
    whole = whole and line.count("{") == line.count("}")  # else the text ends inside a box
    return whole and _SIGN.search(line) is not None and _PROSE.search(line) is None


def _end(candidate: AnswerCandidate) -> int:
    return candidate.end


_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s{0,2}\{)|\\.|(?P<open>\{)|\}", re.DOTALL)
_BEFORE = re.compile(r"(?:\\\(|\\\[|[\s$*:])+")
_AFTER = re.compile(r"(?:\\\)|\\\]|\\\\|(?<!\\)[\s$*.,;:])+$")
_REWRITTEN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:boxed|fbox)\s{0,2}(?=\{)|(?<!\\)\$|\\(?:left|right|displaystyle)(?![A-Za-z])", ""),
        (r"(?<!\\)\\[!,;: ]|\\q?quad(?![A-Za-z])|~|\u00a0", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:mbox|mathrm|textrm|textbf|textit|mathbf|textnormal)(?=\s?\{)", r"\\text"),
        (r"\\frac\s?(\d)\s?(?:(\d)|\{(\d{1,99})\})", r"\\frac{\1}{\2\3}"),
        (r"\\frac\{(\d{1,99})\}\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\{,\}", ","),
        ("[\u2212\u2013]", "-"),
        (r"(?<!\\)%", r"\\%"),
        (r"\^\s?\{?\s?\\circ\s?\}?|\\degrees?(?![A-Za-z])|\u00b0", r"^\\circ"),
        (r"\s+", " "),
        (r"(?<!!) (?![A-Za-z0-9])|(?<![A-Za-z0-9!]) |(?<=!) (?!=)", ""),
    )
)
_WORD = re.compile(
    r"\\text\{(?P<text>[^{}\d\\]+)\} | (?P<letter>\(?[A-H]\)?)"
    r"| (?P<bare>[A-Za-z]{4,}(?:[ ,-]{1,2}[A-Za-z]+)* | [A-Za-z]{2,}(?:[ ][A-Za-z]{2,})+)",
    re.VERBOSE,
)
_UNIT = re.compile(
    r"""(?P<body> .*? ) (?: \\text\{(?P<text>[^{}]*)\}
      | (?<=[\d}]) (?:[ ](?=[A-Za-z]{2})|(?=[A-Za-z]{3}))
        (?!sqrt|sin|cos|tan|log|mod|and|(?:or|pi)\b) (?P<bare>[A-Za-z]+(?:[ ][a-z]+)*) )
      (?P<power> \^\{?\d\}? )?""",
    re.VERBOSE,
)
_NAMED = re.compile(r"(?P<name>[A-Za-z](?:_\{?\w\}?)?)=(?P<value>[^=<>]+)")
_RATIONAL = re.compile(
    r"""(?P<sign>[-+]?) (?:
        (?P<whole>\d{1,3}(?:,\d{3})+|\d{0,400}) (?P<decimals>\.\d{1,400}|\.)?
      | (?P<part>\d{0,99}) \\frac\{(?P<top>-?\d{1,99})\}\{(?P<bottom>\d{1,99})\}
      | (?:(?P<units>\d{1,99})[ ])? (?P<over>\d{1,99}) / (?P<under>\d{1,99})
    )""",
    re.VERBOSE,
)
_NEAR = Fraction(1, 10**5)
_LONGEST = 2000
"""Characters; what is longer is no answer, and is left as it is."""


class _Form(NamedTuple):
    """An answer in its parts."""

    body: str
    name: str
    """The variable that the answer is said to be the value of."""

    unit: str
    percent: bool
    word: str
    """The whole answer, where it is one in words."""


def boxes(text: str) -> list[tuple[int, int]]:
    r"""Where the contents of every closed ``\boxed{}`` stand, in the order in which they close."""
    first = re.search(r"\\(?:boxed|fbox)", text)
    closed, open_braces = [], []
    for brace in _BRACES.finditer(text, first.start() if first else len(text)):
        if brace["box"] or brace["open"]:
            open_braces.append(brace.end() if brace["box"] else None)
        elif brace[0] == "}" and open_braces:
            start = open_braces.pop()
            if start is not None:
                closed.append((start, brace.start()))
    return closed


@lru_cache(maxsize=1024)
def normal(latex: str) -> str:
    r"""The expression without what changes only its looks.

    Among it: ``$`` signs, ``\left`` and ``\right``, spacing, ``\dfrac`` for ``\frac``, the short
    form ``\frac12``, ``{,}`` between thousands, a full stop behind it.
    """
    latex = latex.replace("\x00", "").strip()
    if len(latex) > _LONGEST:
        return latex
    opening = _BEFORE.match(latex)
    latex = latex[opening.end() if opening else 0 :]
    for pattern, replacement in _REWRITTEN:
        latex = pattern.sub(replacement, latex)
    return _AFTER.sub("", latex)


def equal(gold: str, answer: str) -> bool | None:
    """Whether two expressions are equal, where that can be seen without algebra.

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
    # 50% may be 0.5, and 0.333333 may be 1/3.
    close = abs(values[0] - values[1]) < _NEAR
    return None if close or first.percent or second.percent else False


@lru_cache(maxsize=1024)
def _form(latex: str) -> _Form:
    latex = normal(latex)
    plain = latex.replace("\\%", "").replace("\\$", "").replace("^\\circ", "")
    if word := _WORD.fullmatch(plain):
        said = (word["text"] or word["letter"] or word["bare"]).strip(" ().,:;!\"'")
        said = " ".join(said.split())
        return _Form("", "", "", False, said if len(said) == 1 else said.casefold())
    unit = ""
    if len(plain) < 200 and (measured := _UNIT.fullmatch(plain)) and measured["body"]:
        plain = measured["body"].rstrip()
        said = (measured["text"] or measured["bare"] or "").casefold()
        unit = re.sub(r"[ .]", "", said).removesuffix("s") + (measured["power"] or "")
    name = ""
    if named := _NAMED.fullmatch(plain):
        name, plain = named["name"], named["value"]
    if plain.startswith("{") and plain.find("}") == len(plain) - 1:
        plain = plain[1:-1]
    return _Form(plain, name, unit, "\\%" in latex, "")


def _rational(body: str) -> Fraction | None:
    """The value of a plain number or fraction."""
    found = _RATIONAL.fullmatch(body)
    if found is None:
        return None
    if found["top"] or found["over"]:
        top, bottom = int(found["top"] or found["over"]), int(found["bottom"] or found["under"])
        if not bottom or (found["part"] and top < 0):
            return None
        value = int(found["part"] or found["units"] or 0) + Fraction(top, bottom)
    else:
        digits = (found["whole"] or "").replace(",", "") + (found["decimals"] or "").rstrip(".")
        if not digits:
            return None
        value = Fraction(digits)
    return -value if found["sign"] == "-" else value
