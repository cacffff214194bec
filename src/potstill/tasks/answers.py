"""Answer extraction: for each answer type, what can be an answer and when two are the same."""

import re
import string
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from potstill.errors import DataError
from potstill.records import AnswerType, Question
from potstill.tasks import numbers

T = TypeVar("T")


class Candidate(NamedTuple):
    """Something in a text that fits the answer type, normalised, and where it stands."""

    answer: str
    start: int
    end: int


class Reader(Protocol):
    """How one answer type is read. A further type is one more reader in ``READERS``."""

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The answer in the statement after a final-answer marker."""

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
        """The answer in a text without a marker."""

    def gold(self, question: Question) -> str:
        """The gold answer in the form in which answers are compared.

        Raises:
            DataError: The gold answer does not fit the type.
        """

    def same(self, answer: str, gold: str) -> bool:
        """Whether an answer as read is the gold answer."""


_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
_EQUALS = re.compile(r"[=≈]")
_IS = re.compile(r"[=≈]|\b(?:is|are|was|were|be|equals)\s(?=[^\w\n]{0,3}\d)")
_ASIDE = re.compile(
    r"[,;] |(?<![-+*/\u00d7x=(\u2212]) \(|\b(?:because|since|as|so|which|and|but|where|for)\b"
)
_REASON = re.compile(r"\b(?:because|since|which)\b")
_CONCLUSION = re.compile(r"(?<=[.!?,;] )(?:So|Thus|Hence|Therefore|so|thus|hence|therefore)\b")
_STEP = re.compile(r"\W{0,9}Step \d{1,3}[:.]")


class NumberReader:
    """Numbers, equal by value: "18", "$18.00" and "36/2" are the same."""

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The first number; in a calculation ("3 + 4 = 7") the one behind the last "=".

        Where words precede the number ("After 7 days there are 15 left"), the one behind the
        sentence's last "is" or "are" comes before the first one.
        """
        step = _STEP.match(text, start, end)
        start = step.end() if step else start
        found = self._said(text, start, end)
        return found and Candidate(numbers.written(found.value), found.start, found.end)

    def _said(self, text: str, start: int, end: int) -> numbers.Number | None:
        """The number that a statement ends up with."""
        found = next(numbers.numbers(text, start, end), None)
        if found is None:
            return None
        in_prose = re.search(r"\w", text[start : found.start]) is not None
        if in_prose:
            for conclusion in _CONCLUSION.finditer(text, start, end):
                concluded = next(numbers.numbers(text, conclusion.end(), end), None)
                start, found = (conclusion.end(), concluded) if concluded else (start, found)
        stop = end
        for limit in (_SENTENCE_END, _REASON if in_prose else _ASIDE):
            cut = limit.search(text, found.end, stop)
            stop = cut.start() if cut else stop
        signs = list((_IS if in_prose else _EQUALS).finditer(text, start, stop))
        behind = (next(numbers.numbers(text, sign.end(), stop), None) for sign in reversed(signs))
        return next((number for number in behind if number), found)

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
        """The last number of the text."""
        found = None
        for size in (2_000, 100_000, end):  # seldom more than the closing lines need be read
            start = max(0, end - size)
            found = _last(numbers.numbers(text, start, end))
            if found and found.start > start + 500:  # clear of a number that the window cuts
                break
        return found and Candidate(numbers.written(found.value), found.start, found.end)

    def gold(self, question: Question) -> str:
        """The gold number, e.g. "1000" for "$1,000.00"."""
        value = numbers.parse(question.answer)
        if value is None:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is no number.")
        return numbers.written(value)

    def same(self, answer: str, gold: str) -> bool:
        """Whether the two have the same value, see :func:`numbers.equal`."""
        first, second = numbers.parse(answer), numbers.parse(gold)
        return first is not None and second is not None and numbers.equal(first, second)


_LETTER = re.compile(r"(?<![\w'\u2019])(?P<letter>[A-Z])(?![\w'\u2019])")
_AFTER_ARTICLE = re.compile(r" (?!(?:because|since|as|for|is|or|and)\b)[a-z]")
_SURE = re.compile(
    r"""
    \((?P<bracketed>[A-Z])\) | (?<![\w(])(?P<open>[A-Z])\)
  | \b(?i:option|choice|answer)\s+(?P<named>[A-Z])(?![\w'\u2019])
  | ^[ \t*"'$]{0,9}(?P<alone>[A-Z])[ \t*"'$.]{0,9}$
    """,
    re.VERBOSE | re.MULTILINE,
)


class ChoiceReader:
    """Letters of options. Letters inside words and the article "A" are none."""

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The first option named, by a letter that stands alone or by its exact text."""
        letters = self._letters(text, start, end, question)
        found = [next(letters, None), self._option_text(text, start, end, question)]
        return min((one for one in found if one), key=lambda one: one.start, default=None)

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
        """The last letter in brackets, named "option B" or alone on its line; or a bare text."""
        found = None
        for match in _SURE.finditer(text, 0, end):
            group = match.lastgroup or ""
            if _index(match[group]) < _count(question):
                found = Candidate(match[group], *match.span(group))
        if found:
            return found
        bare = _normalised(text[:end]) if end < 1000 else ""
        whole = self._option_text(text, 0, end, question) if bare else None
        return whole if whole and _normalised(text[whole.start : whole.end]) == bare else None

    def gold(self, question: Question) -> str:
        """The letter of the right option."""
        letter = question.answer.strip().strip("().").upper()
        if len(letter) != 1 or not 0 <= _index(letter) < _count(question):
            raise DataError(
                f"question {question.id}: the answer {question.answer!r} is not the letter of one "
                f"of its {len(question.choices)} options."
            )
        return letter

    def same(self, answer: str, gold: str) -> bool:
        """Whether the letters are the same."""
        return answer == gold

    def _letters(self, text: str, start: int, end: int, question: Question) -> Iterator[Candidate]:
        """The letters that stand alone and name an option."""
        for match in _LETTER.finditer(text, start, end):
            letter, after = match["letter"], match.end()
            if _index(letter) >= _count(question):
                continue
            if letter in "AI" and _AFTER_ARTICLE.match(text, after, end):
                own = question.choices[_index(letter)] if question.choices else ""
                if not own or text[after + 1 : after + 1 + len(own)].casefold() != own.casefold():
                    continue
            yield Candidate(letter, match.start(), after)

    def _option_text(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The first option whose text stands in the range; the longest, where two begin there."""
        texts: dict[str, list[str]] = {}
        for index, choice in enumerate(question.choices):
            texts.setdefault(choice.strip().casefold(), []).append(chr(65 + index))
        sole = {choice: letters[0] for choice, letters in texts.items() if len(letters) == 1}
        options = "|".join(
            re.escape(choice) for choice in sorted(sole, key=len, reverse=True) if choice
        )
        if not options:
            return None
        pattern = re.compile(rf"(?<![\w.])(?:{options})(?![\w%]|[.,]\d)", re.IGNORECASE)
        found = pattern.search(text, start, end)
        letter = sole.get(found[0].casefold()) if found else None
        return Candidate(letter, *found.span()) if found and letter else None


_YES_NO = re.compile(
    r"\b(?:(?:yes|true)\W(?:or\W)?(?:no|false)\b"  # "(Yes or No)" and "yes/no" say neither
    r"|(?P<negated>not\s{1,3})?(?P<word>yes|no|true|false)\b)",
    re.IGNORECASE,
)
_FILLER = re.compile(r"[\s\W]*")


class YesNoReader:
    """Yes or no, also said as true or false."""

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The first word that says yes or no."""
        return next(self._words(text, start, end), None)

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
        """The last word that says yes or no."""
        return _last(self._words(text, 0, end))

    def gold(self, question: Question) -> str:
        """``yes`` or ``no``."""
        found = _YES_NO.fullmatch(question.answer.strip().rstrip("."))
        if found is None or found["negated"] or not found["word"]:
            raise DataError(f"question {question.id}: {question.answer!r} is neither yes nor no.")
        return "yes" if found["word"].casefold() in ("yes", "true") else "no"

    def same(self, answer: str, gold: str) -> bool:
        """Whether both say the same."""
        return answer == gold

    def _words(self, text: str, start: int, end: int) -> Iterator[Candidate]:
        """Words that say yes or no; the determiner in "no coins" does not."""
        opening = _FILLER.match(text, start, end)
        first = opening.end() if opening else start
        for match in _YES_NO.finditer(text, start, end):
            word = (match["word"] or "").casefold()
            if not word:
                continue
            if (
                word == "no"
                and match.start() > first
                and re.match(r"\s\w", text[match.end() : min(end, match.end() + 2)])
            ):
                continue
            yes = (word in ("yes", "true")) != bool(match["negated"])
            yield Candidate("yes" if yes else "no", *match.span())


_TEXT_END = re.compile(r"(?<=\w\w\w)[.!?](?=\s)")
_LONGEST_TEXT = 80


class TextReader:
    """Short strings, equal when the same but for case, spacing, and quotes or stops around them."""

    def marked(self, text: str, start: int, end: int, question: Question) -> Candidate | None:
        """The statement up to the end of its first sentence or line."""
        return self._stripped(text, start, end)

    def last(self, text: str, end: int, question: Question) -> Candidate | None:
        """The last line that is not empty, where it is short enough to be an answer."""
        stripped_end = len(text[:end].rstrip())
        start = text.rfind("\n", 0, stripped_end) + 1
        return self._stripped(text, start, end) if stripped_end - start <= _LONGEST_TEXT else None

    def gold(self, question: Question) -> str:
        """The gold text in lower case, without quotes and stops around it."""
        gold = _normalised(question.answer)
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is empty.")
        return gold

    def same(self, answer: str, gold: str) -> bool:
        """Whether the normalised texts are the same."""
        return answer == gold

    def _stripped(self, text: str, start: int, end: int) -> Candidate | None:
        """The range without the spaces, quotes and stops at its ends."""
        sentence = _TEXT_END.search(text, start, end)
        end = sentence.start() if sentence else end
        part = text[start:end]
        start += len(part) - len(part.lstrip(_AROUND))
        end -= len(part) - len(part.rstrip(_AROUND))
        return Candidate(_normalised(text[start:end]), start, end) if start < end else None


_AROUND = string.whitespace + string.punctuation.replace("-", "") + "“”\u2018\u2019«»。"


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_AROUND).split())


def _last(found: Iterable[T]) -> T | None:
    return next(iter(deque(found, maxlen=1)), None)


def _index(letter: str) -> int:
    return ord(letter) - ord("A")


def _count(question: Question) -> int:
    """How many options a question has; where they stand in its text alone, five are assumed."""
    return len(question.choices) or 5


READERS: Mapping[AnswerType, Reader] = {
    "number": NumberReader(),
    "choice": ChoiceReader(),
    "yes_no": YesNoReader(),
    "text": TextReader(),
}
