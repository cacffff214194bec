"""Options as answers: a letter, or the option's text."""

import re
from collections.abc import Hashable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import (
    JOINED,
    NONE_GIVEN,
    AnswerCandidate,
    last,
    lowered,
    refuses,
)
from potstill.records import Question

K = TypeVar("K", bound=Hashable)
_HEAD = re.compile(
    r"""
    [\s*_"'$:=\\(\[\u201c\u2018]{0,9} (?:(?:text|mathrm|mathbf|textbf|boxed)\{)?
    (?:(?:option|choice|answer|letter)[\s:]{0,3})? [*_"'(\[{]{0,4}
    (?: (?P<upper>[A-Z]) (?= [)\]}.:,;*_"'\u2019\u201d]{1,9}(?:[\s.]|$) | [)\]}:*] | \s*$ | \n )
      | (?P<lower>[a-z]) (?= \) | \] | \}? [.*"']{0,3}\s*$ | [.:]\s ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LETTER = re.compile(rf"(?<![{JOINED}'\u2019])[A-Z](?![{JOINED}'\u2019])")
_GLUED = re.compile(r"[\s*_\"'(:]{0,5}([A-Z])")
_LAST_LETTER = re.compile(
    r"\b(?:is ?|are |was |were |be |choose |pick |with )([A-Z])[\s.)\]*]{0,9}\Z"
)
_NOT_THIS = re.compile(r"\W{0,9}(?:(?P<neither>neither)|not)\b", re.IGNORECASE)
_CLOSEST = re.compile(r"\b(?:closest|nearest)\b(?: to\b| is\b)?", re.IGNORECASE)
_LATIN = re.compile(r"[A-Za-z]")
_CLOSING_SIGNS = ")]}*_\"'$\u2019\u201d. \n"
_CLOSERS = re.compile(r"[)\]}*_\"'$\u2019\u201d]{0,6}")
_OWN = re.compile(r"[\s.:,)\]}*\u2013-]{0,5}(?:the\s|an?\s)?", re.IGNORECASE)
_JOINER = re.compile(
    r"""
    \s{0,3} (?P<sign>[,;/&]\s{0,3})? (?P<word>(?:and/or|and|or)\s{1,3})?
    (?:(?:also|possibly|perhaps|maybe|either|option|choice|answer|the|an?)\s){0,3}
    ["'*\u201c\u2018]{0,3} (?P<bracket>[(\[])?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[)\]*\"']{0,3}\s(?:is|was|does|has|can|cannot|could|would|says|refers|means|states|seems)\b"
)
_DENIED = re.compile(r"(?:\b(?:not|nor|neither)|n['\u2019]t)(?: be)? \Z", re.IGNORECASE)
_AFTER_ARTICLE = re.compile(r" (?!(?:because|since|as|for|is|or|and)\b)[a-z]")
_SURE = re.compile(
    r"""
    \((?P<bracketed>[A-Z])\) | (?<![\w(])(?P<open>[A-Z])\)
  | \b(?i:option|choice|answer)\s+(?P<named>[A-Z])(?![\w'\u2019])
  | ^[ \t*"'$]{0,9}(?P<alone>[A-Z])[ \t*"'$.]{0,9}$
    """,
    re.VERBOSE | re.MULTILINE,
)
_LISTED = re.compile(r"(?<![\w(])\(?([A-Z])[).:]\s{0,3}(?=\S)")
_ANNOUNCED = re.compile(r"(?:answer )?(?:choices|options)\b:?", re.IGNORECASE)
_GOLD = re.compile(
    r"(?:(?:option|choice|answer)\b)?[\s:(\[{.-]*([A-Za-z])[\s)\]}.:]*", re.IGNORECASE
)
_PUNCTUATION = re.compile(r"[\W_]+")
_LONGEST_BARE = 1000
_BREAK = re.compile(r"[.!?]\s|\n")
_NOT = re.compile(r"\b(?:not|no|neither|nor|none|never|cannot)\b|n['\u2019]t\b")
_MOST_TRIED = 1000
_ASSUMED = 5


Options = tuple[str, ...]
"""The texts of a question's options."""


class ChoiceReader:
    """Letters of options. Letters inside words and the article "A" are none."""

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The first option named, by a letter that stands alone or by its text.

        Several joined by commas, "or" or "and" are no answer, and neither is a letter outside the
        options; both end the search, and so does a refusal that no option's text is.
        A small letter names one in brackets ("(b)", "b)") or where it is all that follows.
        """
        options = _options(question)
        denied = _NOT_THIS.match(text, start, end)
        if denied and not denied["neither"]:
            return None
        found = None if denied else self._first(text, start, end, question, options)
        opens = found is None or _LATIN.search(text, start, max(start, found.start))
        if denied or (opens and refuses(text, start, end)):
            if closest := _CLOSEST.search(text, start, end):
                return self._first(text, closest.end(), end, question, options)
            whole = self._option_text(text, start, end, options)
            refusing = _refusing(options)
            return whole or (AnswerCandidate(refusing, start, end) if refusing else NONE_GIVEN)
        if found is None or found is NONE_GIVEN:
            return found
        joined = _joined(text, found, end, _count(question, options), options)
        if joined is None:
            return found
        spanning = self._option_text(text, start, end, options)
        return spanning if spanning and spanning.end >= joined.end else NONE_GIVEN

    def _first(
        self, text: str, start: int, end: int, question: Question, options: Options
    ) -> AnswerCandidate | None:
        """The first option that a statement names; ``NONE_GIVEN`` where its letter is no option."""
        head = _HEAD.match(text, start, end)
        if head:
            letter = text[head.end() - 1]
            if _index(letter.upper()) < _count(question, options):
                return AnswerCandidate(letter.upper(), head.end() - 1, head.end())
        glued = _GLUED.match(text, start, end)
        if glued and _index(glued[1]) < len(options):
            own = lowered(options[_index(glued[1])].strip())
            if own and lowered(text[glued.end() : glued.end() + len(own)]) == own:
                return AnswerCandidate(glued[1], *glued.span(1))
        letters = self._letters(text, start, end, question, options)
        found = [next(letters, None), self._option_text(text, start, end, options)]
        first = min((one for one in found if one), key=lambda one: one.start, default=None)
        return NONE_GIVEN if first is None and head and head["upper"] else first

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The last line's last letter in brackets, named "option B" or alone.

        Else a letter that opens a short text or ends the text behind "is", or the one option
        whose text stands in the last sentence.
        """
        options = _options(question)
        count = _count(question, options)
        end = max(0, end - _LONGEST_BARE) + len(text[max(0, end - _LONGEST_BARE) : end].rstrip())
        start = max(text.rfind("\n", 0, end) + 1, end - _LONGEST_BARE)
        if text[end - 1 : end].isalnum():  # a text that is cut off states nothing before its end
            cut = last(_BREAK.finditer(text, start, end))
            start = cut.end() if cut else start
        found: AnswerCandidate | None = None
        for match in _SURE.finditer(text, start, end):
            group = match.lastgroup or ""
            if _index(match[group]) >= count or _closes_bracket(text, match):
                continue
            if _DENIED.search(text, max(0, match.start() - 12), match.start()):
                continue
            named = AnswerCandidate(match[group], *match.span(group))
            several = found and found.answer and _joined(text, found, end, count, options)
            found = NONE_GIVEN if several and several.start == named.start else named
        return found or self._named_at_the_end(text, end, question, options)

    def _named_at_the_end(
        self, text: str, end: int, question: Question, options: Options
    ) -> AnswerCandidate | None:
        """The option that a text without a sure letter ends up with, see :meth:`last`."""
        head = _HEAD.match(text, 0, end) if end < _LONGEST_BARE else None
        after = text[head.end() : end].strip() if head else ""
        if head and (not after or after[0] in ".:)]"):
            letter = text[head.end() - 1].upper()
            if _index(letter) < _count(question, options):
                return AnswerCandidate(letter, head.end() - 1, head.end())
        closing = _LAST_LETTER.search(text, max(0, end - 20), end)
        if closing and _index(closing[1]) < _count(question, options):
            return AnswerCandidate(closing[1], *closing.span(1))
        stop = end
        breaks = last(_BREAK.finditer(text, max(0, stop - _LONGEST_BARE), max(0, stop - 1)))
        start = breaks.end() if breaks else 0 if stop < _LONGEST_BARE else stop
        low = lowered(text[start:stop])
        named = [option for option in _lettered(options) if _whole(low, option) >= 0]
        longest = max(named, key=len, default="")
        if not longest or any(option not in longest for option in named) or _NOT.search(low):
            return None
        at = start + _whole(low, longest)
        return AnswerCandidate(_lettered(options)[longest], at, at + len(longest))

    def gold(self, question: Question) -> str:
        """The letter of the right option, which may also be given by its text."""
        options = _options(question)
        named = _GOLD.fullmatch(question.answer.strip())
        letter = named[1].upper() if named else ""
        known = len(options) or 26
        if not letter or _index(letter) >= known:
            letter = _lettered(options).get(lowered(question.answer.strip()), "")
        if not letter:
            raise DataError(
                f"question {question.id}: the answer {question.answer!r} is not the letter of one "
                f"of its {len(options)} options."
            )
        return letter

    def same(self, answer: str, gold: str) -> bool:
        """Whether the letters are the same."""
        return answer == gold

    def _letters(
        self, text: str, start: int, end: int, question: Question, options: Options
    ) -> Iterator[AnswerCandidate]:
        """The letters that stand alone and name an option."""
        count = _count(question, options)
        for match in _LETTER.finditer(text, start, end):
            letter, after = match[0], match.end()
            if _index(letter) >= count:
                continue
            if letter in "AI" and _AFTER_ARTICLE.match(text, after, end):
                own = options[_index(letter)] if options else ""
                if not own or text[after + 1 : after + 1 + len(own)].casefold() != own.casefold():
                    continue
            yield AnswerCandidate(letter, match.start(), after)

    def _option_text(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """The first option whose text stands in the range; the longest, where two begin there.

        Else the option that is the same as the range but for punctuation, or in value.
        """
        if not _lettered(options):
            return None
        low = lowered(text[start:end])
        found: AnswerCandidate | None = None
        for option, letter in _lettered(options).items():
            at = _whole(low, option)
            size = found.end - found.start if found else 0
            if at >= 0 and (found is None or (start + at, -len(option)) < (found.start, -size)):
                found = AnswerCandidate(letter, start + at, start + at + len(option))
        return found or self._equal_option(text, start, min(end, start + 300), options)

    def _equal_option(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """The option that says the same as a short range."""
        squeezed, values = _forms(options)
        if letter := squeezed.get(_squeezed(text[start:end])):
            return AnswerCandidate(letter, start, end)
        for number in number_spans.numbers(text, start, end) if values else ():
            if letter := values.get(number.value):
                return AnswerCandidate(letter, number.start, number.end)
        return None


def _joined(
    text: str, found: AnswerCandidate, end: int, count: int, options: Options
) -> AnswerCandidate | None:
    """A different option that the text joins to the one found: "(A) or (B)", "C, D and E"."""
    if not text[found.end : end].strip(_CLOSING_SIGNS):
        return None
    lettered = found.end == found.start + 1 and text[found.start].upper() == found.answer
    joiner = _JOINER.match(text, _restated(text, found, end, options, lettered), end)
    if joiner is None or not (joiner["sign"] or joiner["word"] or joiner["bracket"]):
        return None
    at, low = joiner.end(), lowered(text[joiner.end() : joiner.end() + 200])
    letter = _LETTER.match(text, at, end)
    if letter and letter[0] != found.answer and _index(letter[0]) < count:
        either = (joiner["word"] or "").startswith("or")
        article = not joiner["bracket"] and _AFTER_ARTICLE.match(text, at + 1, end)
        if (either or not _CLAUSE.match(text, at + 1, end)) and not article:
            return AnswerCandidate(letter[0], at, at + 1)
    if lettered and not joiner["word"]:
        return None
    for option, other in _lettered(options).items():
        same = other == found.answer or not (joiner["sign"] or joiner["word"])
        if not same and low.startswith(option) and _bounded(low, 0, len(option)):
            return AnswerCandidate(other, at, at + len(option))
    return None


def _restated(text: str, found: AnswerCandidate, end: int, options: Options, lettered: bool) -> int:
    """Where closing signs end, and the option's text or letter said once more."""
    own = lowered(options[_index(found.answer)].strip()) if lettered and options else ""
    at = found.end
    for _ in range(3):
        at = _closed(text, at, end)
        said = _OWN.match(text, at, end)
        behind = said.end() if said else at
        if own and lowered(text[behind : behind + len(own)]) == own:
            at = behind + len(own)
        elif text.startswith(f" ({found.answer})", at):
            at += 4
    return at


def _closed(text: str, at: int, end: int) -> int:
    closers = _CLOSERS.match(text, at, end)
    return closers.end() if closers else at


def _closes_bracket(text: str, match: re.Match[str]) -> bool:
    """Whether the bracket of "D)" was opened before, as in "(1 - D)"."""
    before = text[max(0, match.start() - 80) : match.start()]
    return match.lastgroup == "open" and before.rfind("(") > before.rfind(")")


def _refusing(options: Options) -> str | None:
    """The one option that says itself that there is no answer, such as "None of these"."""
    own = [
        letter for option, letter in _lettered(options).items() if refuses(option, 0, len(option))
    ]
    return own[0] if len(own) == 1 else None


def _index(letter: str) -> int:
    return ord(letter) - ord("A")


def _count(question: Question, options: Options) -> int:
    """How many options a question has; where none is known, five or as many as the gold needs."""
    if options:
        return len(options)
    named = _GOLD.fullmatch(question.answer.strip())
    return max(_ASSUMED, _index(named[1].upper()) + 1 if named else 0)


def _options(question: Question) -> Options:
    return question.choices or _listed(question.text)


@lru_cache(maxsize=2048)
def _listed(text: str) -> tuple[str, ...]:
    """The options that a question's own text lists as "(A) ... (B) ..." or "A. ...", if it does."""
    announced = list(_ANNOUNCED.finditer(text))
    start = announced[-1].end() if announced else 0
    marks: list[re.Match[str]] = []
    for mark in _LISTED.finditer(text, start):
        if _index(mark[1]) == len(marks):
            marks.append(mark)
    if len(marks) < 2:
        return ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return tuple(
        text[mark.end() : end].strip(" \n,;") for mark, end in zip(marks, ends, strict=True)
    )


@lru_cache(maxsize=2048)
def _lettered(options: Options) -> dict[str, str]:
    """The letter of each text, in lower case, that only one option has."""
    letters = _sole(lowered(option.strip()) for option in options)
    letters.pop("", None)
    return letters


@lru_cache(maxsize=2048)
def _forms(choices: tuple[str, ...]) -> tuple[dict[str, str], dict[Fraction, str]]:
    """The letters by text without punctuation; and by value, where every option is a number."""
    squeezed = _sole(_squeezed(choice) for choice in choices)
    squeezed.pop("", None)
    values = [value for choice in choices if (value := number_spans.parse(choice)) is not None]
    return squeezed, _sole(values) if len(values) == len(choices) else {}


def _sole(keys: Iterable[K]) -> dict[K, str]:
    """The letters by key, where no two options share one."""
    by_key: dict[K, list[str]] = {}
    for index, key in enumerate(keys):
        by_key.setdefault(key, []).append(chr(65 + index))
    return {key: letters[0] for key, letters in by_key.items() if len(letters) == 1}


def _whole(low: str, option: str) -> int:
    """Where an option's text stands in a text, not as a part of a longer word or number."""
    at = low.find(option)
    for _ in range(_MOST_TRIED):
        if at < 0 or _bounded(low, at, at + len(option)):
            return at
        at = low.find(option, at + 1)
    return -1


def _bounded(low: str, start: int, end: int) -> bool:
    before, after = low[start - 1 : start], low[end : end + 2]
    if before and (before == "." or before == "_" or before.isalnum()):
        return False
    if before == "-" and low[max(0, start - 3) : start - 1].isalpha() and start > 2:
        return False  # "uncle" in "great-uncle"
    if after[:1] == "-" and after[1:].isalpha():
        return False
    if after[:1] and (after[0] in "%_" or after[0].isalnum()):
        return False
    return not (after[:1] in (".", ",") and after[1:].isdecimal())


def _squeezed(text: str) -> str:
    return _PUNCTUATION.sub(" ", text.casefold()).strip()
