"""Mathematical expressions as answers."""

import re
from collections.abc import Iterator
from functools import lru_cache

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks import math_pool
from potstill.tasks.answers import latex
from potstill.tasks.answers.base import Candidate, last
from potstill.tasks.answers.number import NumberReader

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

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
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

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
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
        gold = latex.normal(text.rpartition("####")[2])
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} gives none.")
        return gold

    def same(self, answer: str, gold: str) -> bool | None:
        """Whether the two are equal; None where that cannot be told in time."""
        quick = latex.equal(gold, answer)
        return math_pool.same(gold, answer) if quick is None else quick

    def _plain(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
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
    return latex.boxes(text)


def _formulas(text: str, start: int, end: int) -> Iterator[Candidate]:
    """The formulas between ``$`` or brackets; "$2$ and $3$" are one."""
    found: list[re.Match[str]] = []
    for match in _FORMULA.finditer(text, start, end):
        if found and not _JOINED.fullmatch(text, found[-1].end(), match.start()):
            yield from _joined(text, found)
            found = []
        found.append(match)
    yield from _joined(text, found)


def _joined(text: str, formulas: list[re.Match[str]]) -> Iterator[Candidate]:
    answer = ",".join(latex.normal(match[match.lastgroup or 0]) for match in formulas)
    if answer:
        yield Candidate(answer, formulas[0].start(), formulas[-1].end())


def _candidate(text: str, start: int, end: int) -> Candidate | None:
    answer = latex.normal(text[start:end])
    return Candidate(answer, start, end) if answer else None


def _is_formula(line: str) -> bool:
    """Whether a whole text is one formula, not prose."""
    whole = 0 < len(line) <= _LONGEST_LINE and "\n" not in line
    whole = whole and line.count("{") == line.count("}")  # else the text ends inside a box
    return whole and _SIGN.search(line) is not None and _PROSE.search(line) is None


def _end(candidate: Candidate) -> int:
    return candidate.end
