"""The options of a question, and the letters and texts by which an answer names one.

They are the question's own choices, or what its text lists: of "Which? A. 4 pens B. 5 pens C. none
of these" the options are "4 pens", "5 pens" and "none of these", lettered from A.
"""

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from potstill.grading.answers import number_spans
from potstill.grading.answers.base import lowered, refuses
from potstill.records import Question

Key = TypeVar("Key", bound=Hashable)

_ASSUMED = 5
"""Options of a question that lists none, as most published sets have."""

# Options that a question's text lists: "Answer choices: (A) 4 pens (B) 5 pens", "A. 4 pens".
_ANNOUNCED = re.compile(r"(?:answer )?(?:choices|options)\b:?", re.IGNORECASE)
_LISTED = re.compile(r"(?<![\w(])\(?([A-Z])[).:]\s{0,3}(?=\S)")
_GOLD = re.compile(
    r"(?:(?:option|choice|answer)\b)?[\s:(\[{.-]*([A-Za-z])[\s)\]}.:]*", re.IGNORECASE
)
_LETTERS = frozenset(string.ascii_uppercase)
_ARTICLE = re.compile(r"\A(?:an?|the|some) (?=\w{3})")
_PUNCTUATION = re.compile(r"[\W_]+")


class Options(NamedTuple):
    """The options of one question, lettered from A."""

    texts: tuple[str, ...]
    """Their texts; empty where the question gives none."""

    letter_count: int
    """How many letters name one; without texts five, or as many as the gold answer needs."""

    gold: str = ""
    """The gold answer's letter, where it is given as one."""

    def has(self, letter: str) -> bool:
        """Says whether a capital letter names one."""
        return _index(letter) < self.letter_count

    def text(self, letter: str) -> str:
        """Returns the text of the option that a capital letter names; empty if it is unknown."""
        return self.texts[_index(letter)] if _index(letter) < len(self.texts) else ""

    def gold_letter(self, answer: str) -> str:
        """Returns the letter of a gold answer, which may be an option's text; empty if neither."""
        letter = _letter(answer)
        if letter and _index(letter) < (len(self.texts) or 26):
            return letter
        return self.letters_by_text().get(lowered(answer.strip()), "")

    def letters_by_text(self) -> dict[str, str]:
        """Returns the letter of each text, in lower case.

        Of several options with one text it is the gold answer's letter, else the first.
        """
        return _letters_by_text(self.texts, self.gold)

    def letters_by_form(self) -> tuple[dict[str, str], dict[Fraction, str]]:
        """Returns letters by text without punctuation, and by value if all options are numbers."""
        return _letters_by_form(self.texts)

    def letters_by_noun(self) -> dict[str, str]:
        """Returns the letter of each text that begins with an article, without it."""
        return _letters_by_noun(self.texts, self.gold)

    def as_first(self, letter: str) -> str:
        """Returns the first letter with the same text, where the gold answer is given as a text.

        Then "B) pen" and "D) pen" are one and the same answer.
        """
        if self.gold or not self.texts:
            return letter
        return self.letters_by_text().get(lowered(self.text(letter).strip()), letter)

    def refusing_letter(self) -> str | None:
        """Returns the one option that says that there is no answer, such as "None of these"."""
        letters = [
            letter
            for option, letter in self.letters_by_text().items()
            if refuses(option, 0, len(option))
        ]
        return letters[0] if len(letters) == 1 else None


def options_of(question: Question) -> Options:
    """Returns the options of a question, read from its text where it has none apart."""
    gold = _letter(question.answer)
    if texts := question.choices or _listed_options(question.text):
        return Options(texts, len(texts), gold if gold and _index(gold) < len(texts) else "")
    return Options((), max(_ASSUMED, _index(gold) + 1 if gold else 0))


def without_article(text: str) -> str:
    """Returns an option's text in lower case without the article that it begins with."""
    return _ARTICLE.sub("", text)


def words_alone(text: str) -> str:
    """Returns a text without case, with one space for any run of spaces and punctuation."""
    return _PUNCTUATION.sub(" ", text.casefold()).strip()


def _letter(answer: str) -> str:
    """Returns the capital letter that a gold answer consists of ("B", "(b)"); empty for others."""
    if answer in _LETTERS:
        return answer
    named = _GOLD.fullmatch(answer.strip())
    return named[1].upper() if named else ""


def _index(letter: str) -> int:
    """Returns the place of a capital letter in the alphabet, counted from 0."""
    return ord(letter) - ord("A")


@lru_cache(maxsize=2048)
def _listed_options(text: str) -> tuple[str, ...]:
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
def _letters_by_text(texts: tuple[str, ...], gold: str) -> dict[str, str]:
    letters: dict[str, str] = {}
    for index, text in enumerate(texts):
        letters.setdefault(lowered(text.strip()), chr(ord("A") + index))
    if gold:
        letters[lowered(texts[_index(gold)].strip())] = gold
    letters.pop("", None)
    # options that all say the same, as a unit whose numbers were lost, tell nothing
    return letters if len(letters) > 1 or len(texts) < 2 else {}


@lru_cache(maxsize=2048)
def _letters_by_noun(texts: tuple[str, ...], gold: str) -> dict[str, str]:
    letters = _letters_by_text(texts, gold)
    nouns = {text: without_article(text) for text in letters}
    several = Counter(nouns.values())
    return {
        noun: letters[text] for text, noun in nouns.items() if noun != text and several[noun] == 1
    }


@lru_cache(maxsize=2048)
def _letters_by_form(texts: tuple[str, ...]) -> tuple[dict[str, str], dict[Fraction, str]]:
    by_words = _letters_by_key(words_alone(text) for text in texts)
    by_words.pop("", None)
    values = [value for text in texts if (value := number_spans.parse(text)) is not None]
    return by_words, _letters_by_key(values) if len(values) == len(texts) else {}


def _letters_by_key(keys: Iterable[Key]) -> dict[Key, str]:
    """Returns the letters by key, one key an option, without keys that two options share."""
    letters: dict[Key, list[str]] = {}
    for index, key in enumerate(keys):
        letters.setdefault(key, []).append(chr(ord("A") + index))
    return {key: sharing[0] for key, sharing in letters.items() if len(sharing) == 1}
