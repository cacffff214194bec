r"""Options as answers: a letter, or the option's text.

Of a question with the options (A) 4 pens, (B) 5 pens and (C) none of these, the statements "B",
"**(b)**", "option B: 5 pens", "5 pens" and "\boxed{\text{B}}" all name option B. "(A) or (B)" names
two and so none; "cannot be determined" names C, since that option's text says as much.
"""

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

Key = TypeVar("Key", bound=Hashable)
Options = tuple[str, ...]
"""The texts of a question's options."""

_ASSUMED = 5
"""Options of a question that lists none, as most published sets have."""

_LONGEST_BARE = 1000
"""Characters of the closing text that are searched for an answer where no marker stands."""

_MOST_TRIED = 1000
"""Places at which an option's text is looked at before it counts as absent."""

# A letter that opens a statement: signs, the wrapper of LaTeX, "option" or its like, brackets, and
# the letter with what must follow it. A capital may stand before any closing sign or at a line's
# end ("B.", "B) 5 pens", "B"), a small letter only before a bracket, at the end, or before ". "
# or ": " ("b)", "b", "b: 5 pens").
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
_GLUED = re.compile(r"[\s*_\"'(:]{0,5}([A-Z])")  # "B5 pens": the option's text must follow
# A letter that ends a text: "so I choose B."
_LAST_LETTER = re.compile(
    r"\b(?:is ?|are |was |were |be |choose |pick |with )([A-Z])[\s.)\]*]{0,9}\Z"
)
# A letter that names an option wherever it stands: "(B)"; "B)"; "option B"; "B" alone on its line.
_SURE = re.compile(
    r"""
    \((?P<bracketed>[A-Z])\) | (?<![\w(])(?P<open>[A-Z])\)
  | \b(?i:option|choice|answer)\s+(?P<named>[A-Z])(?![\w'\u2019])
  | ^[ \t*"'$]{0,9}(?P<alone>[A-Z])[ \t*"'$.]{0,9}$
    """,
    re.VERBOSE | re.MULTILINE,
)
# What follows an article: "A box", "I think"; but in "A is right" and "A because" stands an option.
_AFTER_ARTICLE = re.compile(r" (?!(?:because|since|as|for|is|or|and)\b)[a-z]")

# Statements that take an option away or give none: "not B", "neither", "is not (B)".
_NOT_THIS = re.compile(r"\W{0,9}(?:(?P<neither>neither)|not)\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:\b(?:not|nor|neither)|n['\u2019]t)(?: be)? \Z", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|neither|nor|none|never|cannot)\b|n['\u2019]t\b")
_CLOSEST = re.compile(r"\b(?:closest|nearest)\b(?: to\b| is\b)?", re.IGNORECASE)

# What may stand between an option and a second one that is joined to it: closing signs, the
# option's own text said again, then a sign, "or", "and" or a bracket: "(A) 4 pens, or (B)".
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
# The second letter begins a clause of its own: "A, and B is too small".
_CLAUSE = re.compile(
    r"[)\]*\"']{0,3}\s(?:is|was|does|has|can|cannot|could|would|says|refers|means|states|seems)\b"
)

# Options that a question's text lists: "Answer choices: (A) 4 pens (B) 5 pens", "A. 4 pens".
_ANNOUNCED = re.compile(r"(?:answer )?(?:choices|options)\b:?", re.IGNORECASE)
_LISTED = re.compile(r"(?<![\w(])\(?([A-Z])[).:]\s{0,3}(?=\S)")
_GOLD = re.compile(
    r"(?:(?:option|choice|answer)\b)?[\s:(\[{.-]*([A-Za-z])[\s)\]}.:]*", re.IGNORECASE
)
_LATIN = re.compile(r"[A-Za-z]")
_PUNCTUATION = re.compile(r"[\W_]+")
_BREAK = re.compile(r"[.!?]\s|\n")


class ChoiceReader:
    """Letters of options. Letters inside words and the article "A" are none."""

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the first option named, by a letter that stands alone or by its text.

        Several joined by commas, "or" or "and" are no answer, and neither is a letter outside the
        options; both end the search, and so does a refusal that no option's text is.
        A small letter names one in brackets ("(b)", "b)") or where it is all that follows.
        """
        options = _options(question)
        denied = _NOT_THIS.match(text, start, end)
        if denied and not denied["neither"]:
            return None
        named = None if denied else self._first(text, start, end, question, options)
        opens = named is None or _LATIN.search(text, start, max(start, named.start))
        if denied or (opens and refuses(text, start, end)):
            return self._refused(text, start, end, question, options)
        if named is None or named is NONE_GIVEN:
            return named
        second = _joined_option(text, named, end, _count(question, options), options)
        if second is None:
            return named
        # One option's text may hold both: "both A and B".
        spanning = self._option_text(text, start, end, options)
        return spanning if spanning and spanning.end >= second.end else NONE_GIVEN

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last line's last letter in brackets, named "option B" or alone.

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
        named: AnswerCandidate | None = None
        for match in _SURE.finditer(text, start, end):
            group = match.lastgroup or ""
            if _index(match[group]) >= count or _closes_bracket(text, match):
                continue
            if _DENIED.search(text, max(0, match.start() - 12), match.start()):
                continue
            following = AnswerCandidate(match[group], *match.span(group))
            second = named and named.answer and _joined_option(text, named, end, count, options)
            named = NONE_GIVEN if second and second.start == following.start else following
        return named or self._named_at_the_end(text, end, question, options)

    def gold(self, question: Question) -> str:
        """Returns the letter of the right option, which may also be given by its text."""
        options = _options(question)
        named = _GOLD.fullmatch(question.answer.strip())
        letter = named[1].upper() if named else ""
        known = len(options) or 26
        if not letter or _index(letter) >= known:
            letter = _letters_by_text(options).get(lowered(question.answer.strip()), "")
        if not letter:
            raise DataError(
                f"question {question.id}: the answer {question.answer!r} is not the letter of one "
                f"of its {len(options)} options."
            )
        return letter

    def same(self, answer: str, gold: str) -> bool:
        """Says whether the letters are the same."""
        return answer == gold

    def _first(
        self, text: str, start: int, end: int, question: Question, options: Options
    ) -> AnswerCandidate | None:
        """Returns the first option of a statement; ``NONE_GIVEN`` where its letter is no option."""
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
        candidates = [next(letters, None), self._option_text(text, start, end, options)]
        named = [candidate for candidate in candidates if candidate]
        first = min(named, key=lambda candidate: candidate.start, default=None)
        return NONE_GIVEN if first is None and head and head["upper"] else first

    def _refused(
        self, text: str, start: int, end: int, question: Question, options: Options
    ) -> AnswerCandidate | None:
        """Returns the option that a refusal ends up with, else ``NONE_GIVEN``.

        The refusal may call one the closest, give an option's text, or be what one option says.
        """
        if closest := _CLOSEST.search(text, start, end):
            return self._first(text, closest.end(), end, question, options)
        whole = self._option_text(text, start, end, options)
        refusing = _refusing_letter(options)
        return whole or (AnswerCandidate(refusing, start, end) if refusing else NONE_GIVEN)

    def _named_at_the_end(
        self, text: str, end: int, question: Question, options: Options
    ) -> AnswerCandidate | None:
        """Returns the option that a text without a sure letter ends up with, see :meth:`last`."""
        head = _HEAD.match(text, 0, end) if end < _LONGEST_BARE else None
        after = text[head.end() : end].strip() if head else ""
        if head and (not after or after[0] in ".:)]"):
            letter = text[head.end() - 1].upper()
            if _index(letter) < _count(question, options):
                return AnswerCandidate(letter, head.end() - 1, head.end())
        closing = _LAST_LETTER.search(text, max(0, end - 20), end)
        if closing and _index(closing[1]) < _count(question, options):
            return AnswerCandidate(closing[1], *closing.span(1))
        breaks = last(_BREAK.finditer(text, max(0, end - _LONGEST_BARE), max(0, end - 1)))
        start = breaks.end() if breaks else 0 if end < _LONGEST_BARE else end
        low = lowered(text[start:end])
        named = [option for option in _letters_by_text(options) if _find_whole(low, option) >= 0]
        longest = max(named, key=len, default="")
        if not longest or any(option not in longest for option in named) or _NOT.search(low):
            return None
        at = start + _find_whole(low, longest)
        return AnswerCandidate(_letters_by_text(options)[longest], at, at + len(longest))

    def _letters(
        self, text: str, start: int, end: int, question: Question, options: Options
    ) -> Iterator[AnswerCandidate]:
        """Yields the letters that stand alone and name an option."""
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
        """Returns the first option whose text stands in the range; the longest, if two begin there.

        Else the option that is the same as the range but for punctuation, or in value.
        """
        if not _letters_by_text(options):
            return None
        low = lowered(text[start:end])
        first: AnswerCandidate | None = None
        for option, letter in _letters_by_text(options).items():
            at = _find_whole(low, option)
            size = first.end - first.start if first else 0
            if at >= 0 and (first is None or (start + at, -len(option)) < (first.start, -size)):
                first = AnswerCandidate(letter, start + at, start + at + len(option))
        return first or self._equal_option(text, start, min(end, start + 300), options)

    def _equal_option(
        self, text: str, start: int, end: int, options: Options
    ) -> AnswerCandidate | None:
        """Returns the option that says the same as a short range."""
        by_words, by_value = _letters_by_form(options)
        if letter := by_words.get(_words_alone(text[start:end])):
            return AnswerCandidate(letter, start, end)
        for number in number_spans.numbers(text, start, end) if by_value else ():
            if letter := by_value.get(number.value):
                return AnswerCandidate(letter, number.start, number.end)
        return None


def _joined_option(
    text: str, named: AnswerCandidate, end: int, count: int, options: Options
) -> AnswerCandidate | None:
    """Returns a different option that the text joins to one: "(A) or (B)", "C, D and E"."""
    if not text[named.end : end].strip(_CLOSING_SIGNS):
        return None
    by_letter = named.end == named.start + 1 and text[named.start].upper() == named.answer
    joiner = _JOINER.match(text, _restated_end(text, named, end, options, by_letter), end)
    if joiner is None or not (joiner["sign"] or joiner["word"] or joiner["bracket"]):
        return None
    at, low = joiner.end(), lowered(text[joiner.end() : joiner.end() + 200])
    letter = _LETTER.match(text, at, end)
    if letter and letter[0] != named.answer and _index(letter[0]) < count:
        either = (joiner["word"] or "").startswith("or")
        article = not joiner["bracket"] and _AFTER_ARTICLE.match(text, at + 1, end)
        if (either or not _CLAUSE.match(text, at + 1, end)) and not article:
            return AnswerCandidate(letter[0], at, at + 1)
    if by_letter and not joiner["word"]:
        return None
    for option, other in _letters_by_text(options).items():
        same = other == named.answer or not (joiner["sign"] or joiner["word"])
        if not same and low.startswith(option) and _stands_alone(low, 0, len(option)):
            return AnswerCandidate(other, at, at + len(option))
    return None


def _restated_end(
    text: str, named: AnswerCandidate, end: int, options: Options, by_letter: bool
) -> int:
    """Returns where an option ends with its closing signs and its text or letter said again."""
    own = lowered(options[_index(named.answer)].strip()) if by_letter and options else ""
    at = named.end
    for _ in range(3):
        closers = _CLOSERS.match(text, at, end)
        at = closers.end() if closers else at
        lead_in = _OWN.match(text, at, end)
        behind = lead_in.end() if lead_in else at
        if own and lowered(text[behind : behind + len(own)]) == own:
            at = behind + len(own)
        elif text.startswith(f" ({named.answer})", at):
            at += 4
    return at


def _closes_bracket(text: str, match: re.Match[str]) -> bool:
    """Says whether the bracket of "D)" was opened before, as in "(1 - D)"."""
    before = text[max(0, match.start() - 80) : match.start()]
    return match.lastgroup == "open" and before.rfind("(") > before.rfind(")")


def _refusing_letter(options: Options) -> str | None:
    """Returns the one option that says that there is no answer, such as "None of these"."""
    letters = [
        letter
        for option, letter in _letters_by_text(options).items()
        if refuses(option, 0, len(option))
    ]
    return letters[0] if len(letters) == 1 else None


def _index(letter: str) -> int:
    """Returns the place of a capital letter in the alphabet, counted from 0."""
    return ord(letter) - ord("A")


def _count(question: Question, options: Options) -> int:
    """Returns how many options a question has; else five, or as many as the gold answer needs."""
    if options:
        return len(options)
    named = _GOLD.fullmatch(question.answer.strip())
    return max(_ASSUMED, _index(named[1].upper()) + 1 if named else 0)


def _options(question: Question) -> Options:
    """Returns the options of a question, read from its text where it has none apart."""
    return question.choices or _listed_options(question.text)


@lru_cache(maxsize=2048)
def _listed_options(text: str) -> Options:
    """Returns the options that a question's text lists as "(A) ... (B) ..." or "A. ...", if any."""
    announced = list(_ANNOUNCED.finditer(text))
    start = announced[-1].end() if announced else 0
    marks: list[re.Match[str]] = []
    for mark in _LISTED.finditer(text, start):
        if _index(mark[1]) == len(marks):  # the next letter in order
            marks.append(mark)
    if len(marks) < 2:
        return ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return tuple(
        text[mark.end() : end].strip(" \n,;") for mark, end in zip(marks, ends, strict=True)
    )


@lru_cache(maxsize=2048)
def _letters_by_text(options: Options) -> dict[str, str]:
    """Returns the letter of each text, in lower case, that only one option has."""
    letters = _letters_by_key(lowered(option.strip()) for option in options)
    letters.pop("", None)
    return letters


@lru_cache(maxsize=2048)
def _letters_by_form(options: Options) -> tuple[dict[str, str], dict[Fraction, str]]:
    """Returns the letters by text without punctuation, and by value if all options are numbers."""
    by_words = _letters_by_key(_words_alone(option) for option in options)
    by_words.pop("", None)
    values = [value for option in options if (value := number_spans.parse(option)) is not None]
    return by_words, _letters_by_key(values) if len(values) == len(options) else {}


def _letters_by_key(keys: Iterable[Key]) -> dict[Key, str]:
    """Returns the letters by key, one key an option, without keys that two options share."""
    letters: dict[Key, list[str]] = {}
    for index, key in enumerate(keys):
        letters.setdefault(key, []).append(chr(ord("A") + index))
    return {key: sharing[0] for key, sharing in letters.items() if len(sharing) == 1}


def _find_whole(low: str, option: str) -> int:
    """Returns where an option stands, not as a part of a longer word or number; -1: nowhere."""
    at = low.find(option)
    for _ in range(_MOST_TRIED):
        if at < 0 or _stands_alone(low, at, at + len(option)):
            return at
        at = low.find(option, at + 1)
    return -1


def _stands_alone(low: str, start: int, end: int) -> bool:
    """Says whether a range is no part of a longer word or number, such as "12" of "12.5"."""
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


def _words_alone(text: str) -> str:
    """Returns a text without case, with one space for any run of spaces and punctuation."""
    return _PUNCTUATION.sub(" ", text.casefold()).strip()
