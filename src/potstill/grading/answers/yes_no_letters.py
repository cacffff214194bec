"""Single letters and digits that stand for yes and no: "Y", "N", "T", "F", "1", "0".

"The answer is N." says no, and so does "N" that is a whole text or its last line. A letter within a
sentence says nothing, except behind a marker where the gold answer is one itself: "The answer is N,
since 3 is less than 20". A digit answers only where the gold answer is a digit.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from potstill.grading.answers.base import AnswerCandidate

_PAIRS = ("yn", "tf", "10", "jn", "on", "sn", "wf", "vf", "rf")
"""Yes and no as y/n and t/f, 1/0, j/n (ja), o/n (oui), s/n (sí), w/f (wahr), v/f (vrai), r/f."""

_LANGUAGES = {
    "j": "ja", "o": "oui", "s": "si", "w": "wahr", "v": "vrai verdadero vero verdadeiro",
    "r": "richtig",
}  # fmt: skip

_ENGLISH: Mapping[str, str] = {"y": "yes", "t": "yes", "n": "no", "f": "no"}
"""Letters that are answers where the gold answer is in English, or a letter."""

_SHORTENED = frozenset(
    {"ja", "nein", "nee", "nej", "nei", "oui", "non", "sí", "si", "sì", "sim", "não", "nao", "wahr",
     "falsch", "vrai"}
)  # fmt: skip
"""Words of other languages that are shortened to their first letter."""

_BEFORE = r"""[\s*_"'(\[{<$\\:=>\u201c\u2018]{0,12}(?:(?:text|boxed|mathrm|mathbf|textbf)\{){0,2}"""
_BEHIND = r"""[)\]}>*_"'$\u2019\u201d]{0,6}"""
_ENDS = r"[\s.!,;*_)\]}>\"'$\u2019\u201d]{0,12}"
_REASON = r"(?:[.!,;:](?=\s)|\s[\u2013\u2014-](?=\s)|\s(?=\(|(?:because|since|as|denn|weil|car)\b))"


def letter_meaning(gold: str) -> str | None:
    """Returns what a gold answer of one letter or digit in lower case says; None for others."""
    if len(gold) != 1:
        return None
    return next((("yes", "no")[pair.index(gold)] for pair in _PAIRS if gold in pair), None)


def are_paired(letters: set[str]) -> bool:
    """Says whether letters in lower case are of one pair, as y and n are, and j and f are not."""
    return any(letters <= set(pair) for pair in _PAIRS)


def words_abbreviated(gold: str) -> tuple[str, ...]:
    """Returns words of the languages that a letter or digit may abbreviate a yes or no of.

    Of "j" it is "ja"; of "n" it is those of all pairs that "n" is in, since none tells which; of a
    digit it is all.
    """
    if gold not in {letter for pair in _PAIRS for letter in pair}:
        return ()
    if gold.isdigit():
        return tuple(word for words in _LANGUAGES.values() for word in words.split())
    partners = {letter for pair in _PAIRS if gold in pair for letter in pair}
    return tuple(
        word for letter, words in _LANGUAGES.items() if letter in partners for word in words.split()
    )


def lone_letter(text: str, start: int, end: int, gold: str) -> AnswerCandidate | None:
    """Returns the letter that a range consists of, signs around it aside.

    Where the gold answer is a letter or digit as well, a reason may follow.
    """
    alone, opening = _patterns(gold)
    if alone is None:
        return None
    match = alone.fullmatch(text, start, end) or (opening and opening.match(text, start, end))
    if not match:
        return None
    says = _meanings(gold)[match["letter"].casefold()]
    return AnswerCandidate(says, *match.span("letter"))


def letter_of_text(text: str, end: int, gold: str) -> AnswerCandidate | None:
    """Returns the letter that the last line of ``text[:end]`` is, or a whole first line."""
    stop = len(text[:end].rstrip())
    closing = lone_letter(text, text.rfind("\n", 0, stop) + 1, stop, gold)
    if closing or letter_meaning(gold) is None:
        return closing
    begin = stop - len(text[:stop].lstrip())
    line = text.find("\n", begin, stop)
    return lone_letter(text, begin, stop if line < 0 else line, gold)


@lru_cache(maxsize=64)
def _meanings(gold: str) -> Mapping[str, str]:
    """Returns what each letter says beside a gold answer in lower case."""
    first = gold[:1] if len(gold) == 1 or gold in _SHORTENED else ""
    pairs = [pair for pair in _PAIRS if first and first in pair]
    own = {pair[place]: says for pair in pairs for place, says in enumerate(("yes", "no"))}
    is_english = len(gold) == 1 or gold in ("yes", "no", "true", "false") or " " in gold
    return own if gold.isdigit() or not is_english else {**own, **_ENGLISH}


@lru_cache(maxsize=64)
def _patterns(gold: str) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Returns what a range that is a letter matches, and one that opens with a letter."""
    letters = "".join(_meanings(gold))
    if not letters:
        return None, None
    letter = rf"{_BEFORE}(?P<letter>[{letters}])"
    alone = re.compile(letter + _ENDS, re.IGNORECASE)
    if letter_meaning(gold) is None:
        return alone, None
    return alone, re.compile(letter + _BEHIND + _REASON, re.IGNORECASE)
