"""The words for yes and no, by which language a gold answer is in.

A gold answer "Ja" lets "ja", "nein" and "falsch" answer; "Sí" lets "sí" and "no". English
words always do, since models fall back on them. A gold answer in English lets English ones alone;
one of a single letter or digit ("J") also those that it may abbreviate (``yes_no_letters``).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from potstill.grading.answers.base import JOINED
from potstill.grading.answers.yes_no_letters import letter_meaning, words_abbreviated

ENGLISH: Mapping[str, str] = {
    **dict.fromkeys(("yes", "true", "yep", "yeah", "yup"), "yes"),
    **dict.fromkeys(("no", "false", "nope", "nah"), "no"),
}
"""The meaning of each English word; ``yes_no_letters`` reads single letters and digits."""

# One line a language: its words for yes and true, then those for no and false.
_LANGUAGES = (
    ("ja wahr richtig", "nein falsch"),
    ("oui vrai si", "non faux"),
    ("sí si verdadero cierto", "no falso"),
    ("sì si vero", "no falso"),
    ("sim verdadeiro", "não nao falso"),
    ("ja waar juist", "nee neen onwaar onjuist"),
    ("ja sant", "nej falskt"),  # Swedish
    ("ja sandt", "nej falsk"),  # Danish
    ("ja sant", "nei usant"),  # Norwegian
    ("kyllä tosi", "ei epätosi"),
    ("tak prawda", "nie fałsz"),
    ("ano pravda", "ne nepravda"),
    ("igen igaz", "nem hamis"),
    ("da adevărat", "nu fals"),
    ("evet doğru", "hayır yanlış"),  # noqa: RUF001
    ("ya benar", "tidak salah"),
    ("có đúng", "không sai"),
    ("да верно правда", "нет неверно ложь"),
    ("так правда", "ні неправда"),  # Ukrainian
    ("ναι σωστό", "όχι λάθος"),  # noqa: RUF001
    ("是 是的 对 正确", "否 不是 不 不对 错 错误"),
    ("はい 正しい", "いいえ 正しくない"),
    ("네 예 참", "아니요 아니오 거짓"),
    ("نعم صحيح", "لا خطأ"),
    ("כן נכון", "לא"),
    ("हाँ हां", "नहीं"),
)
_AROUND = (
    " \t\n\r.,;:!?()[]{}<>*_\"'`\u2018\u2019\u201a\u201c\u201d\u201e"
    "\u00ab\u00bb\u00a1\u00bf\u3002\uff01\uff1f"
)
"""Stops, quotes and brackets that may stand around a gold answer."""

# Words that are others too where a word follows: "das ist ja klar", "non seulement".
_AMBIGUOUS = frozenset(
    {
        "no", "ja", "non", "si", "sí", "não", "nao", "nie", "ei", "nem", "nu", "ne", "tak", "da",
        "ya", "có", "không", "tidak", "ano", "ні", "так", "да", "لا", "כן", "לא", "richtig",
        "vero", "juist",
    }
)  # fmt: skip
# Chinese, Japanese and Korean writing sets no space in front: "答えはnot false".
_DENIAL = re.compile(
    r"(?<![^\W\u3000-\ud7af])(?:not|nicht|kein|pas|no es|non è|não é|niet|inte|ikke|nie|nem|bukan"
    r"|не|\w{1,9}n['\u2019]t)\s{1,3}\Z",
    re.IGNORECASE,
)
_DENIAL_ENDS = frozenset("tnsèéemTNSEM\u0435")
_OR = (
    "or|and|nor|oder|und|ou|et|o|y|e|of|en|eller|och|og|lub|i|czy|nebo|vagy|sau|veya|ve|atau|dan"
    "|или|и|чи|і|ή|και|或|和|还是"  # noqa: RUF001
)
_SAYINGS = ("yes", "no")


class YesNoWords(NamedTuple):
    """The words by which a question may be answered."""

    pattern: re.Pattern[str]
    """Finds them; its group ``word`` is empty where both stand as alternatives, as in "yes/no"."""

    meanings: Mapping[str, str]
    """The meaning of each word: ``yes`` or ``no``."""


def denied_from(text: str, start: int, at: int) -> int | None:
    """Returns where the denial of the word at a place begins ("not true"); None without one."""
    before = text[max(start, at - 3) : at].rstrip()[-1:]
    denial = _DENIAL.search(text, max(start, at - 16), at) if before in _DENIAL_ENDS else None
    return denial.start() if denial else None


def is_ambiguous(word: str) -> bool:
    """Says whether a word answers only where no other follows it, or where it comes first."""
    return word in _AMBIGUOUS


def gold_meaning(gold: str) -> str | None:
    """Returns ``yes`` or ``no`` for a gold answer in any of the languages; None for others."""
    word = bare_gold(gold)
    english = ENGLISH.get(word) or letter_meaning(word)
    return english or next((table[word] for table in _tables() if word in table), None)


def words_of(gold: str) -> YesNoWords:
    """Returns the words of the languages that a gold answer is a word of."""
    return _words_of(bare_gold(gold))


def bare_gold(gold: str) -> str:
    """Returns a gold answer in small letters, without what stands around it."""
    return gold.strip(_AROUND).casefold()


@lru_cache(maxsize=1)
def _tables() -> tuple[Mapping[str, str], ...]:
    """Returns what each word says, language by language."""
    return tuple(
        dict.fromkeys(yes.casefold().split(), "yes") | dict.fromkeys(no.casefold().split(), "no")
        for yes, no in _LANGUAGES
    )


@lru_cache(maxsize=256)
def _words_of(gold: str) -> YesNoWords:
    """Returns the words for a gold answer in small letters."""
    meanings = dict(ENGLISH)
    if gold == "no":  # English, Spanish or Italian; "si" is a word of others
        meanings |= dict.fromkeys(("sí", "sì"), "yes")
    elif gold not in ENGLISH:
        words = {gold, *words_abbreviated(gold)}
        for table in _tables():
            if not words.isdisjoint(table):
                meanings = {**table, **meanings}
    return YesNoWords(_pattern(meanings), meanings)


def _pattern(meanings: Mapping[str, str]) -> re.Pattern[str]:
    """Returns what finds the words."""
    yes, no = (_any(word for word, says in meanings.items() if says == one) for one in _SAYINGS)
    return re.compile(
        rf"""
        # at the beginning of a word, or glued to one in small letters: "TheanswerisTrue"
        (?: (?<![{JOINED}]) | (?-i:(?<=[a-z])(?=True|False)) )
        (?: (?:{yes})\W(?:(?:{_OR})\W)?(?:{no}) | (?P<word> {yes}|{no} ) ) (?![{JOINED}])
        """,
        re.VERBOSE | re.IGNORECASE,
    )


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))
