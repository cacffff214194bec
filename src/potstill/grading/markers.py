r"""Where a text states its final answer: the wordings, in many languages, and how far one reaches.

A marker is a word or sign of ``WORDINGS`` with the little grammar that makes it a statement: "the
answer is" and "answer:" mark, "to answer this" and "the answer is not" do not. All are matched
without case. A statement reaches from its marker to the end of the first line with a word on it,
to the closing brace, quote or tag of what it opens, or to the next marker, whichever comes first;
where that line repeats the question ("Final answer: How many are left?") it is the next one. "18
is the answer" is a statement too: it reaches back to the beginning of its clause.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from potstill.grading.answers.base import lowered

_MOST_TRIED = 500
"""So many places where a marker's word stands are looked at, from either end of the text."""


class Statement(NamedTuple):
    """A final-answer statement: where its marker begins, and where its answer may stand."""

    begin: int
    start: int
    end: int
    boxed: bool


class _AnswerPhrase(NamedTuple):
    """A word that may mark: what must follow it, and which words must stand before, if any."""

    word: str
    after: re.Pattern[str]
    before: tuple[str, ...] = ()


def _latin(word: str, copulas: str) -> _AnswerPhrase:
    """A marker such as "die richtige Antwort lautet" or "Antwort:"."""
    return _AnswerPhrase(
        word,
        re.compile(
            rf"(?<![^\W_]){word}\w{{0,3}}(?:[^\n.:=?!0-9\uff1a]{{0,40}}?"
            rf"(?:(?<!\w)(?:{copulas})(?!\w)\s?:?|[:=\uff1a])|\*\*(?=\s))"
        ),
    )


def _other(word: str, copulas: str) -> _AnswerPhrase:
    """A marker in a script without spaces, or with endings for copulas."""
    return _AnswerPhrase(
        word, re.compile(rf"{word}[^\n.:=?!0-9\u3002\uff1a]{{0,15}}?(?:{copulas}|[:=\uff1a])")
    )


_ANSWER = re.compile(
    r"""
    (?<![^\W_]) (?<!/)
    (?: (?<=<) answer>
      | answer \s (?= \(?[a-z]\)?\.?\s{0,9}\Z | cannot\ be\ (?:determined|found|known|calculated) )
      | ans(?:wer)?s? (?![^\W_]) (?!\s{1,3}(?:choice|option)s) (?<!\bto\ answer)
        (?: \s{0,2}\([^()\n]{0,40}\) )?
        [^\n.:=?!0-9\uff1a]{0,60}?
        (?: \bis(?=[a-z](?![a-z'\u2019])) | \b(?:is|are|be|equals)\b
            (?!\s(?:not(?!\s(?:known|given|clear|provided|stated|among|in)\b)|found|given|obtained|calculated|computed)\b)
            (?: \s(?:therefore|thus|hence|then|indeed|simply|clearly|just|actually)\b,? )?
            \s{0,2}:?
          | [:=\uff1a] | \s(?:[-\u2013\u2014]|[-=]>|\u2192)\s | (?<=\*\*)(?=\s) ) )
    """,
    re.VERBOSE,
)
_ALONE = re.compile(r"(?<![^\W_])ans(?:wer)?s?(?![^\W_])[\W_]{0,9}?(?=\n)")
_BEHIND = re.compile(r"(?<![^\W_])(?:answer|ans|option|choice)(?=[*_)\"'}]{0,4}(?:[.!,;\n]|$))")
_BEFORE_ALONE = re.compile(r"[\W_]{0,9}(?:(?:the|my|our|your|final|correct|short)\s){0,3}")
_BEFORE_BEHIND = re.compile(
    r"\s(?:is|are|would\ be|must\ be)\s(?:the|our|my)\s(?:\w{1,12}\s){0,2}$"
)
_GOOD = ("correct ", "right ", "best ", "closest ", "likely ", "appropriate ", "suitable ", "only ")
_CHOICE = (
    r"s? (?![^\W_]) [^\n.:=?!0-9\uff1a]{0,60}? (?: \b(?:is|are|be)\b (?!\snot\b) \s?:? | [:=])"
)
_IS_RIGHT = (
    r"\s (?= \(?[a-z]\)? \s (?:is|must\ be) \s (?:the\s)?(?:correct|right|true|best|answer)\b)"
)
_IN_JSON = re.compile(r'"\w{1,12}"\s{0,9}:')

_ASCII: tuple[_AnswerPhrase, ...] = (
    _AnswerPhrase("ans", _ANSWER),
    _AnswerPhrase("####", re.compile(r"(?<!\#)####(?!\#)")),
    _AnswerPhrase("-->", re.compile("-->")),
    _AnswerPhrase("boxed", re.compile(r"(?<=\\)boxed\s{0,2}\{")),
    _AnswerPhrase("fbox", re.compile(r"(?<=\\)fbox\s{0,2}\{")),
    _AnswerPhrase("option", re.compile("option" + _CHOICE, re.VERBOSE), _GOOD),
    _AnswerPhrase("option", re.compile("option" + _IS_RIGHT, re.VERBOSE)),
    _AnswerPhrase("choice", re.compile("choice" + _IS_RIGHT, re.VERBOSE)),
    _AnswerPhrase("choice", re.compile("choice" + _CHOICE, re.VERBOSE), (*_GOOD, "final ")),
    _AnswerPhrase(
        "final ",
        re.compile(
            r"(?<!\w)final\s(?:result|value|solution|number|amount|total|count|decision|verdict)"
            r"\s{0,2}(?:\*\*)?(?:is\b\s?:?|[:=\uff1a])"
        ),
    ),
    _AnswerPhrase("a:", re.compile(r"a:(?=[^\n]{1,60}(?:\n|$))"), ("\n",)),
    _latin("respuesta", "es|son|ser\u00eda|ser\u00e1"),
    _latin("antwort", "ist|lautet|w\u00e4re"),
    _latin("resposta", "\u00e9|e|ser\u00e1|seria"),
    _latin("risposta", "\u00e8|e'|sarebbe"),
    _latin("antwoord", "is|luidt"),
    _latin("svar", "\u00e4r|er|blir"),
    _latin("jawaban", "adalah|ialah"),
    _latin("cevap", "olur|ise"),
    _latin("reponse", "est|serait"),
)
_JSON = tuple(
    _AnswerPhrase(f'"{key}"', _IN_JSON)
    for key in ("result", "solution", "output", "choice", "label", "prediction", "value")
)
_NOT_ASCII: tuple[_AnswerPhrase, ...] = (
    _latin("r\u00e9ponse", "est|serait"),
    _latin("odpowied\u017a", "to|brzmi"),
    _latin("odpov\u011b\u010f", "je|zn\u00ed"),
    _latin("\u043e\u0442\u0432\u0435\u0442", "\u0440\u0430\u0432\u0435\u043d|[-\u2013\u2014]"),
    _latin("\u0432\u0456\u0434\u043f\u043e\u0432\u0456\u0434\u044c", "[-\u2013\u2014]"),
    _latin("\u03b1\u03c0\u03ac\u03bd\u03c4\u03b7\u03c3\u03b7", "\u03b5\u03af\u03bd\u03b1\u03b9"),
    _other("\u7b54", "\u662f|\u4e3a|\u70ba|\u306f"),
    _other("\u0111\u00e1p \u00e1n", "l\u00e0"),
    _other("c\u00e2u tr\u1ea3 l\u1eddi", "l\u00e0"),
    _other("\ub2f5", "\uc740|\ub294"),
    _other("\u0627\u0644\u062c\u0648\u0627\u0628", "\u0647\u0648|\u0647\u064a"),
    _other("\u0627\u0644\u0625\u062c\u0627\u0628\u0629", "\u0647\u0648|\u0647\u064a"),
    _other("\u05ea\u05e9\u05d5\u05d1\u05d4", "\u05d4\u05d9\u05d0"),
    _other("\u0909\u0924\u094d\u0924\u0930", "\u0939\u0948|\\s"),
)
WORDINGS: tuple[_AnswerPhrase, ...] = (*_ASCII, *_JSON, *_NOT_ASCII)
"""Every wording that marks a final answer."""

_NEXT_QUESTION = re.compile(
    r"^[\s#*]{0,9}(?:q|question|human|user|input|\#\#\#\ instruction)\s?\d{0,3}:", re.MULTILINE
)
_NEXT_WORDS = ("q:", "question", "human:", "user:", "input:", "instruction:")
_WORD = re.compile(r"\w")
_BRACE = re.compile(r"[{}]")
_QUOTED = re.compile(r'\s{0,9}"((?:[^"\\\n]|\\.){0,2000})"')
_CLAUSE = re.compile(r"(?<=[.!?,;:])\s|\n")


def text_end(text: str) -> int:
    """Where the text ends, or where it runs on into a next question once it has answered."""
    low = lowered(text)
    if not any(word in low for word in _NEXT_WORDS) or _NEXT_QUESTION.match(low):
        return len(text)
    firsts = (_first(low, wording) for wording in _wordings(low))
    answered = min((at for at in firsts if at >= 0), default=-1)
    run_on = _NEXT_QUESTION.search(low, answered + 1) if answered >= 0 else None
    return run_on.start() if run_on else len(text)


def statements(text: str, end: int) -> Iterator[Statement]:
    """Every final-answer statement before ``end``, the last one first."""
    low = lowered(text)
    present = _wordings(low)
    places = [(low.rfind(wording.word, 0, end), wording) for wording in present]
    places = [(at, wording) for at, wording in places if at >= 0]
    limit = end
    for _ in range(_MOST_TRIED):
        if not places:
            return
        nearest = max(range(len(places)), key=lambda index: places[index][0])
        at, wording = places[nearest]
        found = _statement(low, at, wording, limit)
        if found:
            yield found
            limit = found.begin
        before = low.rfind(wording.word, 0, min(limit, at + len(wording.word) - 1))
        if before >= 0:
            places[nearest] = (before, wording)
        else:
            del places[nearest]


def _wordings(low: str) -> list[_AnswerPhrase]:
    """The wordings whose word stands in the text at all."""
    found = [wording for wording in _ASCII if wording.word in low]
    if "}" in low[-9:]:
        found += [wording for wording in _JSON if wording.word in low]
    if not low.isascii():
        found += [wording for wording in _NOT_ASCII if wording.word in low]
    return found


def _first(low: str, wording: _AnswerPhrase) -> int:
    """Where the first statement of a wording begins; -1 where there is none."""
    at = -1
    for _ in range(_MOST_TRIED):
        at = low.find(wording.word, at + 1)
        if at < 0:
            return -1
        found = _statement(low, at, wording, len(low))
        if found:
            return found.start
    return -1


def _statement(low: str, at: int, wording: _AnswerPhrase, limit: int) -> Statement | None:
    """The statement whose marker's word stands at a place, if it is one."""
    marker = wording.after.match(low, at, limit)
    if marker is None or not _introduced(low, at, wording.before):
        return _heading(low, at, limit) if wording.word in ("ans", "option", "choice") else None
    start = marker.end()
    if wording.word in ("boxed", "fbox"):
        return Statement(at - 1, start, _closing_brace(low, start, limit), boxed=True)
    key = marker[0].endswith(":") and low[at - 1 : at] in ('"', "_")
    if key or wording in _JSON:
        quoted = _QUOTED.match(low, start, limit)
        if quoted:
            return Statement(at, quoted.start(1), quoted.end(1), boxed=False)
    stop = low.find("</", start, limit) if marker[0] == "answer>" else -1
    return Statement(at, start, stop, boxed=False) if stop >= 0 else _line(low, at, start, limit)


def _introduced(low: str, at: int, before: tuple[str, ...]) -> bool:
    if not before:
        return True
    if before[0] == "\n":  # "A:" at the beginning of a line, unless it opens a list of options
        line = low[max(0, at - 9) : at].rpartition("\n")
        return (
            bool(line[1] or at < 9) and not line[2].strip() and low.find("\nb:", at, at + 500) < 0
        )
    return low.endswith(before, 0, at)


def _heading(low: str, at: int, limit: int) -> Statement | None:
    """A line with nothing but "Final answer" on it, or a sentence such as "18 is the answer"."""
    line = low.rfind("\n", max(0, at - 60), at) + 1
    alone = _ALONE.match(low, at, limit)
    if alone and (line or at < 60) and _BEFORE_ALONE.fullmatch(low, line, at):
        return _line(low, at, alone.end(), limit)
    lead = _BEFORE_BEHIND.search(low, max(0, at - 50), at)
    if lead and _BEHIND.match(low, at, limit):
        window = max(0, lead.start() - 200)
        breaks = list(_CLAUSE.finditer(low, window, lead.start()))
        start = breaks[-1].end() if breaks else window
        if low.find("boxed{", start, at) >= 0:
            return None
        return Statement(start, start, lead.start(), boxed=False)
    return None


def _closing_brace(low: str, start: int, limit: int) -> int:
    depth = 1
    for brace in _BRACE.finditer(low, start, limit):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return _line_end(low, start, limit)


def _line(low: str, begin: int, start: int, limit: int) -> Statement:
    """The statement up to the end of its line; a line that repeats the question is passed over."""
    end = _line_end(low, start, limit)
    if end < limit and low.endswith("?", start, end) and _WORD.search(low, end, limit):
        return Statement(begin, end, _line_end(low, end, limit), boxed=False)
    return Statement(begin, start, end, boxed=False)


def _line_end(low: str, start: int, limit: int) -> int:
    """The end of the first line with a word on it."""
    word = _WORD.search(low, start, limit)
    end = low.find("\n", word.start(), limit) if word else -1
    return limit if end < 0 else end
