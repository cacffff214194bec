"""Yes and no in sentences that use neither word.

To "Can Arnold Schwarzenegger lift a rhinoceros?" the sentence "it is highly unlikely that he could
lift one" says no, "Hannah Nixon died before, so it is impossible to know" nothing. A sentence that
holds the question's words says yes, and each word that turns it round, in the question or in the
sentence, turns that round. What leaves the question open says nothing.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from potstill.grading.answers.base import lowered

_ENOUGH = 0.5
"""Share of the question's words that a sentence must hold to answer it."""

_LONGEST = 600
"""Characters of a sentence."""

_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+|\n+")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][a-z]+)?|\d[\d,.]*")
_CONCLUDES = re.compile(
    r"\W*(?:so|thus|therefore|hence|overall|in conclusion|based on|the answer is"
    r"|it can be concluded|we can conclude|this means|consequently)\b"
)
# A sentence that leaves a question open, or says that it cannot be answered.
_OPEN = re.compile(
    r"""
    \b(?:can\ ?not|can['\u2019]t|could\ not|couldn['\u2019]t|not\ (?:possible|able)\ to
      |impossible\ to|unable\ to|difficult\ to|hard\ to|no\ way\ to)
      \ (?:\w+ly\ )?(?:be\ )?(?:\w+ly\ )?
      (?:determin|answer|say|said|tell|told|know|assum|find|conclude|give|provide|predict|speculate
        |verify|confirm|make\ (?:a|any)|compar|state|infer)
    | \bno\ (?:\w+\ ){0,2}
      (?:answer|information|evidence|record|mention|indication|consensus|data|proof|clear
        |correlation|specific)
    | \b(?:depend(?:s|ing)?|unclear|uncertain|unknown|maybe|perhaps|debatable|subjective
        |undetermined|var(?:y|ies)|ambiguous|inconclusive|irrelevant|partially|partly|arguabl[ey]
        |hypothetical\ question)\b
    | \bnot\ (?:\w+\ ){0,2}
      (?:clear|sure|certain|known|specified|enough|applicable|mentioned|relevant|provided|given
        |stated|straightforward)\b
    | \b(?:more|additional|further|insufficient|enough|any)\ (?:\w+\ )?
      (?:information|context|data|details)
    | \bno(?:body|\ one)\ (?:really\ |quite\ )?
      (?:knows?\b|can\ (?:say|tell|know)|is\ (?:sure|certain))
    | \bi\ (?:do\ not|don['\u2019]t|am\ not|'m\ not)\b | \b(?:do\ not|don['\u2019]t)\ know\b
    | \bfalse\ premise\b | \bwhether\ or\ not\b | \bthe\ same\ (?:as|for)\b
    | \bsome\ (?:\w+\ ){1,4}(?:while|others|may|might)\b
    | \b(?:while|and)\ others?\b | \balso\ (?:possible|likely)\ that\b
    | \bquestion\b.{0,60}\b(?:incorrect|false|flawed|applicable|invalid|premise|nonsens)
    | \?["'\u201d\u2019)]*\s*$
    """,
    re.VERBOSE,
)
_POSSIBLE = re.compile(r"\b(?:possibl[ey]|may|might|could|can|potentially)\b")
_MODAL = re.compile(
    r"\b(?:can|could|may|might|possible|able)\b|\bhypothetically\b|\bpossibly\b|\bcapable\b"
)
_SHORT = re.compile(
    r"""
    [\s*_"']{0,9}(?:(?:so|thus|therefore|hence|final answer:?),?\s)?
    (?:(?:the\s)?(?:final\s)?answer(?:\sto\sthis\squestion)?\s(?:is|would\sbe)[:,]?\s
      |(?:the|this|that)\s(?:statement|sentence|claim)\sis\s
      |(?:that|this|it)(?:\sis|['\u2019]s)\s(?=(?:not\s|in)?(?:correct|right|so|the\scase|true)\b))?
    (?: (?P<no> (?:most\s|highly\s|very\s|extremely\s)?unlikely
              | (?:probably|definitely|certainly|generally|most\slikely|likely)?\s?not
                (?:\s(?:necessarily|typically|really|likely|always|usually|entirely|plausible
                   |possible|true|correct|exactly|generally|at\sall|probable|feasible))
              | (?:definitely|certainly|absolutely|clearly)\snot(?=\s*\W*$)
              | not\s(?:right|so(?=\s*\W*$)|the\scase) | of\scourse\snot
              | implausible | impossible | improbable | incorrect | negative | probably\snot )
      | (?P<yes> (?:most\s|very\s|highly\s|quite\s)?(?:likely|probable|probably) | definitely
              | certainly | affirmative | plausible | correct | absolutely | indeed | right
              | (?<=is\s)(?:the\scase|so(?=\s*\W*$)) | of\scourse(?!\snot) )
      | (?P<possible> (?:technically\s|theoretically\s)?(?:possible|possibly)) )
    (?: \s* [.!] | \s*$ | , | \s(?:but|as|because|since|due|based|in|for|given|that)\b )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SAYS_AFTER_ALL = re.compile(
    r"\b(?:however|but|generally|general|likely|unlikely|therefore|so|thus|overall|hence|yet)\b"
)
# Words that turn a sentence round.
_NEGATES = re.compile(
    r"""
    \bnot\b(?!\ only) | n['\u2019]t\b | \bcannot\b | \bnever\b
    | \bno\b(?!\ (?:doubt|more\ than|longer\ than)) | \bnone\b | \bnobody\b | \bneither\b
    | \bunlikely\b | \bimpossible\b | \bunable\b | \bincapable\b | \binability\b | \bhardly\b
    | \brarely\b | \bbarely\b | \bfail(?:s|ed)?\ to\b | \black(?:s|ed)?\b | \bskip(?:s|ped)?\b
    | \bavoid(?:s|ed)?\b | \brefus(?:e|es|ed)\b | \bprevents?\b | \b(?:difficult|hard)\ (?:for|to)\b
    | \bincorrect\b | \binaccurate\b | \bimplausible\b | \buntrue\b
    """,
    re.VERBOSE,
)
_REASON = re.compile(
    r",?\s\b(?:because|since|due to|although|though|but|even though|despite|however|so that|if"
    r"|unless|given that|while|whereas|for example|as (?:it|they|he|she|the|there|this|we|you))\b"
    r"|,\s(?:as|which|who)\b"
)
# Text that leads up to the main clause: "Based on the lack of players, ", "84 is no prime, so ".
_LEADS_UP = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|however),? )?(?:based on|given|since|as|while|although"
    r"|considering|because|due to)\b[^.]{1,300}?, (?=\w)"
    r"|.{5,300}, (?:and )?(?:so|thus|therefore|hence) "
)
_PRONOUN = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|however|but|no|yes),? )?(?:the answer is )?(?:that )?"
    r"(?:it|they|he|she|this|these|those|there|you)\b"
)
_CLAUSE = re.compile(r"\band\b|;|,")
_SEVERAL = re.compile(r"\b(?:more than|multiple|several|many|different)\b")
_SMALL_WORDS = frozenset(
    [
        "the",
        "and",
        "for",
        "are",
        "was",
        "were",
        "will",
        "would",
        "does",
        "did",
        "has",
        "have",
        "had",
        "with",
        "from",
        "that",
        "this",
        "they",
        "them",
        "their",
        "there",
        "what",
        "which",
        "who",
        "whom",
        "than",
        "then",
        "into",
        "onto",
        "over",
        "under",
        "about",
        "some",
        "any",
        "all",
        "can",
        "could",
        "may",
        "might",
        "should",
        "must",
        "shall",
        "its",
        "his",
        "her",
        "him",
        "she",
        "you",
        "your",
        "our",
        "ours",
        "who's",
        "been",
        "being",
        "most",
        "more",
        "very",
        "still",
        "often",
        "ever",
        "just",
        "likely",
        "possible",
        "hypothetically",
        "considered",
        "typically",
        "usually",
    ]
)
_PREFIXES = ("un", "in", "im", "ir", "il", "non", "dis")
_PAIRS = (
    ("more", "less"), ("more", "fewer"), ("larger", "smaller"), ("bigger", "smaller"),
    ("taller", "shorter"), ("higher", "lower"), ("longer", "shorter"), ("older", "younger"),
    ("faster", "slower"), ("before", "after"), ("heavier", "lighter"), ("hotter", "colder"),
    ("warmer", "colder"), ("same", "different"), ("legal", "illegal"), ("cheaper", "expensive"),
    ("alive", "dead"), ("safe", "dangerous"), ("earlier", "later"), ("above", "below"),
    ("outnumber", "fewer"), ("easy", "difficult"), ("rare", "common"), ("win", "lose"),
    ("greater", "less"), ("same", "more"), ("same", "less"), ("stronger", "weaker"),
)  # fmt: skip
_ANTONYMS: dict[str, set[str]] = {}
for _one, _other in _PAIRS:
    _ANTONYMS.setdefault(_one, set()).add(_other)
    _ANTONYMS.setdefault(_other, set()).add(_one)


class Implied(NamedTuple):
    """The answer that a sentence implies to a question, and its place."""

    answer: str
    """``yes``, ``no``, or empty where it leaves the question open."""

    start: int
    end: int


_MOST_WORDS = 60
"""Words of a sentence that is read; one that runs on beyond them has lost its way."""


class _Asked(NamedTuple):
    subject: frozenset[str]
    """The telling words of its first half."""

    rest: frozenset[str]
    """The telling words of its second half."""

    several: bool
    """Whether it asks for more than one."""

    compared: tuple[tuple[str, tuple[frozenset[str], frozenset[str]]], ...]
    """The words "than", "before" and "after" in it, with the telling words before and behind."""

    negations: int
    modal: bool


def implied(text: str, start: int, end: int, question: str) -> Implied | None:
    """Returns what a range's sentences say of a question; None where they do not speak of it.

    Args:
        text: The whole text.
        start: The index at which the closing statement or paragraph begins.
        end: The index at which it ends.
        question: The question's text.
    """
    asked = _asked(question)
    sentences = _sentences(text, start, end, question)
    if not sentences:
        return None
    if _OPEN.search(lowered(text[slice(*sentences[-1])])):
        return Implied("", *sentences[-1])
    if (short := _short(text, sentences, asked)) is not None:
        return short
    if not asked.rest:
        return None
    opens = _OPEN.search(lowered(text[slice(*sentences[0])])) is not None
    best: tuple[float, Implied] | None = None
    for begin, stop in _in_order(text, sentences):
        low = lowered(text[begin:stop])
        read = _answer(low, asked)
        if read is None:
            continue
        if _OPEN.search(low):
            read = "", 0.0
        elif opens and not _SAYS_AFTER_ALL.search(low):
            continue
        concludes = bool(read[0]) and _CONCLUDES.match(low) is not None
        if best is None or read[1] + concludes > best[0]:
            best = read[1] + concludes, Implied(read[0], begin, stop)
    return best[1] if best else _open_in(text, sentences)


def _short(text: str, sentences: list[tuple[int, int]], asked: _Asked) -> Implied | None:
    """Returns what a sentence such as "The answer is unlikely." says; None where none is such."""
    for begin, stop in reversed(sentences):
        opening = _SHORT.match(text, begin, stop)
        if opening and (opening["no"] or opening["yes"]):
            return Implied("no" if opening["no"] else "yes", begin, stop)
        if opening and opening["possible"]:
            return Implied("yes" if asked.modal else "", begin, stop)
    return None


def _open_in(text: str, sentences: list[tuple[int, int]]) -> Implied | None:
    """Returns the last sentence that leaves the question open, if any does."""
    for begin, stop in reversed(sentences):
        if _OPEN.search(lowered(text[begin:stop])):
            return Implied("", begin, stop)
    return None


def leaves_open(text: str, start: int, end: int) -> bool:
    """Says whether a range says that a question cannot be answered with yes or no."""
    return _OPEN.search(lowered(text[start : min(end, start + _LONGEST)])) is not None


def _sentences(text: str, start: int, end: int, question: str) -> list[tuple[int, int]]:
    """Returns where the sentences of a range begin and end that are none of the question's."""
    begin, places = start, list[tuple[int, int]]()
    for stop in _SENTENCE_END.finditer(text, start, end):
        places.append((begin, stop.start()))
        begin = stop.end()
    places.append((begin, end))
    return [
        (one, other)
        for one, other in places
        if (sentence := text[one:other].strip())
        and len(sentence.split()) <= _MOST_WORDS
        and not _repeats(sentence, question)
    ]


def _repeats(sentence: str, question: str) -> bool:
    """Says whether a sentence is one of the question's, or the beginning of one."""
    return len(sentence.split()) > 2 and sentence.rstrip(".") in question


def _in_order(text: str, sentences: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns sentences that conclude first, the last of them before the others."""
    concluding = [place for place in sentences if _CONCLUDES.match(lowered(text[slice(*place)]))]
    others = [place for place in sentences if place not in concluding]
    return [*reversed(concluding), *reversed(others)]


def _answer(low: str, asked: _Asked) -> tuple[str, float] | None:
    """Returns what one sentence says, and the share of the question's words that it holds.

    Returns:
        None where it does not hold enough of them. The answer is empty where it says that something
        is possible which is not asked.
    """
    low = low[:_LONGEST]
    lead = _LEADS_UP.match(low)
    main = low[lead.end() :] if lead else low
    reason = _REASON.search(main, 12)
    main = main[: reason.start()] if reason else main
    held = _held(main, asked)
    if held is None and (held := _held(low, asked)) is not None:
        main = low
    if held is None:
        return None
    share, turned = held
    turned += _swapped(low, asked)
    negations = len(_NEGATES.findall(main))
    if negations > 1:  # "they are no nobles and cannot become knights"
        clauses = _CLAUSE.split(main)
        closest = max(clauses, key=lambda clause: _found(asked.rest, _stems(clause))[0])
        negations = len(_NEGATES.findall(closest)) or negations
    negations += turned
    negations += asked.several and " only " in main
    if not negations and _POSSIBLE.search(main) and not asked.modal and not _likely(main):
        return "", share
    return ("yes" if (negations + asked.negations) % 2 == 0 else "no"), share


def _swapped(low: str, asked: _Asked) -> bool:
    """Says whether "than", "before" or "after" stands between the question's things swapped."""
    for word, (first, second) in asked.compared:
        parts = low.partition(f" {word} ")
        behind = _stems(re.split("[,.;]", parts[2], maxsplit=1)[0])
        if parts[1] and len(behind & first) > len(behind & second):
            return True
    return False


def _likely(low: str) -> bool:
    return (
        re.search(r"\b(?:likely|probably|probable|would|definitely|certainly)\b", low) is not None
    )


def _held(low: str, asked: _Asked) -> tuple[float, int] | None:
    """Returns the share of the question's words in a sentence, and how many are turned round.

    Its second half, which says what is asked of the subject, counts twice; a pronoun stands for the
    first. None where either is missing.
    """
    stems = _stems(low)
    subject, turned_subject = _found(asked.subject, stems)
    rest, turned = _found(asked.rest, stems)
    if rest < _ENOUGH * len(asked.rest):
        return None
    if _PRONOUN.match(low):
        return max(rest / len(asked.rest), 0.6), turned + turned_subject
    if subject < _ENOUGH * len(asked.subject):
        return None
    share = (subject + 2 * rest) / (len(asked.subject) + 2 * len(asked.rest))
    return share, turned + turned_subject


def _found(asked: frozenset[str], stems: set[str]) -> tuple[int, int]:
    """Returns how many words stand there, and how many of these by their opposite."""
    held = turned = 0
    for word in asked:
        if word in stems:
            held += 1
        elif (
            any(prefix + word in stems for prefix in _PREFIXES)
            or any(word == prefix + stem for prefix in _PREFIXES for stem in stems if len(stem) > 4)
            or _ANTONYMS.get(word, set()) & stems
        ):
            held, turned = held + 1, turned + 1
    return held, turned


def _stems(low: str) -> set[str]:
    """Returns the telling words of a text without their endings."""
    return {_stem(word) for word in _WORD.findall(low) if _tells(word)}


def _tells(word: str) -> bool:
    return (len(word) > 2 or word[0].isdigit()) and word not in _SMALL_WORDS


def _stem(word: str) -> str:
    """Returns a word without the endings of its forms."""
    word = re.sub(r"['\u2019]s?$", "", word)
    for ending in ("ing", "ed", "ies", "es", "s", "ly", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


@lru_cache(maxsize=2048)
def _asked(question: str) -> _Asked:
    """Returns the telling words of a question's last sentence, and what turns it round."""
    low = lowered(question.strip())
    sentences = [part for part in _SENTENCE_END.split(low) if part.strip()]
    asked = next((part for part in reversed(sentences) if part.rstrip().endswith("?")), "")
    words = list(dict.fromkeys(_stem(word) for word in _WORD.findall(asked) if _tells(word)))
    half = len(words) // 2
    return _Asked(
        subject=frozenset(words[:half]),
        rest=frozenset(words[half:]),
        compared=tuple(
            (word, (frozenset(_stems(parts[0])), frozenset(_stems(parts[2]))))
            for word in ("than", "before", "after")
            if (parts := asked.partition(f" {word} "))[1]
        ),
        several=_SEVERAL.search(asked) is not None,
        negations=len(_NEGATES.findall(asked)),
        modal=_MODAL.search(asked) is not None,
    )
