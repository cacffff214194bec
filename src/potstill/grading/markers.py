r"""Final-answer statements: where a text says what its answer is, and how far that reaches.

In "Ann has 9 eggs left.\n**Answer:** 9 eggs\nI hope this helps." the marker is "Answer:" and the
statement "** 9 eggs", the rest of its line; an answer type's reader is given that range alone.

A marker is a word or sign of the tables below with the little grammar that makes it a statement:
"the answer is" and "answer:" mark, "to answer this" and "the answer is not" do not. All are matched
without case. A statement reaches from its marker to the end of the first line with a word on it,
to the closing brace, quote or tag of what it opens, or to the next marker, whichever comes first;
where that line repeats the question ("Final answer: How many are left?") it is the next one. "18
is the answer" is a statement too: it reaches back to the beginning of its clause.

Patterns are slow on long texts, so each marker has a plain word that is looked for first; its
pattern is matched only where the word stands.
"""

import re
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from potstill.grading.answers.base import lowered

_MOST_TRIED = 500
"""Places where a marker's word stands that are looked at, from either end of the text."""


class Statement(NamedTuple):
    """A final-answer statement: the marker begins at ``begin``, the answer is in start to end."""

    begin: int
    start: int
    end: int
    boxed: bool
    r"""Whether it is the content of a ``\boxed{}``."""


class _Marker(NamedTuple):
    """A word that may mark a final answer, and what must stand around it.

    All of it is in lower case, as is the text that it is matched in.
    """

    word: str
    pattern: re.Pattern[str]
    """Matches from the word on, up to where the answer may begin."""

    before: tuple[str, ...] = ()
    """The words of which one must stand before; where there are none, anything may."""


def _spaced(word: str, copulas: str) -> _Marker:
    """Returns a marker such as "die richtige Antwort lautet", "Antwort:" or "**Antwort** "."""
    return _Marker(
        word,
        re.compile(
            rf"(?<![^\W_]){word}\w{{0,3}}(?:[^\n.:=?!0-9\uff1a]{{0,40}}?"
            rf"(?:(?<!\w)(?:{copulas})(?!\w)\s?:?|[:=\uff1a])|\*\*(?=\s))"
        ),
    )


def _unspaced(word: str, copulas: str) -> _Marker:
    """Returns a marker in a script without spaces, or with endings for copulas."""
    return _Marker(
        word, re.compile(rf"{word}[^\n.:=?!0-9\u3002\uff1a]{{0,15}}?(?:{copulas}|[:=\uff1a])")
    )


# Words behind "ist die Antwort" where it does not state the answer: "auf die Frage", "nicht".
_RELATES = (
    r"(?:auf|zu|zur|f\u00fcr|f\u00f6r|for|op|voor|p\u00e5|til|nicht|niet|inte|ikke|noch|auch|nur|immer|klar|einfach"
    r"|eindeutig|ist|is|da\w{1,5}|mit|in|im|von|av|van|bekannt|richtig|falsch|korrekt)\b"
)


def _inverted(word: str, before: str) -> _Marker:
    """Returns a marker behind its verb: the "Antwort" of "Also ist die Antwort Ja"."""
    pattern = rf"{word}\s{{1,3}}(?=[^\W_]|[\"'*(<$\u201e\u201c\u00ab-])(?!{_RELATES})"
    return _Marker(word, re.compile(pattern), tuple(before.split("|")))


_ANSWER = re.compile(
    r"""
    (?<![^\W_]) (?<!/)
    # "<answer>"; "answer b" at the end of a text; "answer cannot be determined"
    (?: (?<=<) answer>
      | answer \s (?= \(?[a-z]\)?\.?\s{0,9}\Z | cannot\ be\ (?:determined|found|known|calculated) )
      # "ans", "answer", "answers", but not "answer choices" and "to answer"
      | ans(?:wer)?s? (?![^\W_]) (?!\s{1,3}(?:choice|option)s) (?<!\bto\ answer)
        # "answer (in euros)", "answer to this problem"
        (?: \s{0,2}\([^()\n]{0,40}\) )?
        [^\n.:=?!0-9\uff1a]{0,60}?
        # "is" and its like, also glued to a letter ("isb"), but not "is not"; a colon or an equals
        # sign; an arrow or a dash; the end of bold type
        (?: \bis(?=[a-z](?![a-z'\u2019])) | \b(?:is|are|be|equals)\b
            (?!\s(?:not(?!\s(?:known|given|clear|provided|stated|among|in)\b)|found|given|obtained|calculated|computed)\b)
            (?! \s(?:larg|great|small|bigg|low|high|few|less|more\b|wors|bett)\w*\sthan\b )
            (?: \s(?:therefore|thus|hence|then|indeed|simply|clearly|just|actually)\b,? )?
            \s{0,2}:?
          | [:=\uff1a] | \s(?:[-\u2013\u2014]|[-=]>|\u2192)\s | (?<=\*\*)(?=\s) ) )
    """,
    re.VERBOSE,
)
# "Answer" as a heading, the answer on a line below.
_ALONE = re.compile(r"(?<![^\W_])ans(?:wer)?s?(?![^\W_])[\W_]{0,9}?(?=\n)")
_BEFORE_ALONE = re.compile(r"[\W_]{0,9}(?:(?:the|my|our|your|final|correct|short)\s){0,3}")
# "18 is the final answer": what stands before "answer", and what may follow it.
_BEFORE_BEHIND = re.compile(
    r"\s(?:is|are|would\ be|must\ be)\s(?:the|our|my)\s(?:\w{1,12}\s){0,2}$"
)
# "There is no definitive answer to this, as there is ..." marks nothing.
_NO_ANSWER = re.compile(r"(?<!or )(?<!/)\bno\s(?:(?!is\b|are\b|was\b)\w{1,20}\s){0,3}\Z")
# "This is the answer" speaks of what stands before it.
_PRONOUN = re.compile(r"\W*(?:(?:and|so|thus|hence) )?(?:this|that|which|it|these)\W*")
_BEHIND = re.compile(r"(?<![^\W_])(?:answer|ans|option|choice)(?=[*_)\"'}]{0,4}(?:[.!,;\n]|$))")
# "the correct option is", and "option B is correct".
_GOOD = ("correct ", "right ", "best ", "closest ", "likely ", "appropriate ", "suitable ", "only ")
_CHOICE = (
    r"s? (?![^\W_]) [^\n.:=?!0-9\uff1a]{0,60}? (?: \b(?:is|are|be)\b (?!\snot\b) \s?:? | [:=])"
)
_IS_RIGHT = (
    r"\s (?= \(?[a-z]\)? \s (?:is|must\ be) \s (?:the\s)?(?:correct|right|true|best|answer)\b)"
)
# The key of an object: '"result": "18"'.
_IN_JSON = re.compile(r'"\w{1,12}"\s{0,9}:')

# The markers whose words are plain ASCII, for which every text is searched.
_ASCII: tuple[_Marker, ...] = (
    _Marker("ans", _ANSWER),
    _Marker("####", re.compile(r"(?<!\#)####(?!\#)")),
    _Marker("-->", re.compile("-->")),
    _Marker("boxed", re.compile(r"(?<=\\)boxed\s{0,2}\{")),
    _Marker("fbox", re.compile(r"(?<=\\)fbox\s{0,2}\{")),
    _Marker("option", re.compile("option" + _CHOICE, re.VERBOSE), _GOOD),
    _Marker("option", re.compile("option" + _IS_RIGHT, re.VERBOSE)),
    _Marker("choice", re.compile("choice" + _IS_RIGHT, re.VERBOSE)),
    _Marker("choice", re.compile("choice" + _CHOICE, re.VERBOSE), (*_GOOD, "final ")),
    _Marker(
        "final ",
        re.compile(
            r"(?<!\w)final\s(?:result|value|solution|number|amount|total|count|decision|verdict)"
            r"\s{0,2}(?:\*\*)?(?:is\b\s?:?|[:=\uff1a])"
        ),
    ),
    _Marker("a:", re.compile(r"a:(?=[^\n]{1,60}(?:\n|$))"), ("\n",)),
    _inverted(
        "antwort",
        "ist die |ist meine |w\u00e4re die |lautet die |ist die richtige |ist die korrekte ",
    ),
    _inverted("antwoord", "is het |is mijn |luidt het |is het juiste "),
    _inverted("svaret", "\u00e4r |er |blir "),
    _spaced("endergebnis", "ist|lautet|betr\u00e4gt"),
    _spaced("resultado final", "es|\u00e9|e|ser\u00eda|seria"),
    _spaced("risultato finale", "\u00e8|e'"),
    _spaced("respuesta", "es|son|ser\u00eda|ser\u00e1"),
    _spaced("antwort", "ist|lautet|w\u00e4re"),
    _spaced("resposta", "\u00e9|e|ser\u00e1|seria"),
    _spaced("risposta", "\u00e8|e'|sarebbe"),
    _spaced("antwoord", "is|luidt"),
    _spaced("svar", "\u00e4r|er|blir"),
    _spaced("jawaban", "adalah|ialah"),
    _spaced("cevap", "olur|ise"),
    _spaced("reponse", "est|serait"),
)
# These are looked for only in a text that ends in a closing brace.
_JSON = tuple(
    _Marker(f'"{key}"', _IN_JSON)
    for key in ("result", "solution", "output", "choice", "label", "prediction", "value")
)
# French, Polish, Czech, Russian, Ukrainian and Greek; Chinese and Japanese, Vietnamese, Korean,
# Arabic, Hebrew and Hindi.
_NOT_ASCII: tuple[_Marker, ...] = (
    _spaced("r\u00e9ponse", "est|serait"),
    _spaced("r\u00e9sultat final", "est|serait"),
    _spaced("odpowied\u017a", "to|brzmi"),
    _spaced("odpov\u011b\u010f", "je|zn\u00ed"),
    _spaced("\u043e\u0442\u0432\u0435\u0442", "\u0440\u0430\u0432\u0435\u043d|[-\u2013\u2014]"),
    _spaced("\u0432\u0456\u0434\u043f\u043e\u0432\u0456\u0434\u044c", "[-\u2013\u2014]"),
    _spaced("\u03b1\u03c0\u03ac\u03bd\u03c4\u03b7\u03c3\u03b7", "\u03b5\u03af\u03bd\u03b1\u03b9"),
    _unspaced("\u7b54", "\u662f|\u4e3a|\u70ba|\u306f"),
    _unspaced("\u0111\u00e1p \u00e1n", "l\u00e0"),
    _unspaced("c\u00e2u tr\u1ea3 l\u1eddi", "l\u00e0"),
    _unspaced("\ub2f5", "\uc740|\ub294"),
    _unspaced("\u0627\u0644\u062c\u0648\u0627\u0628", "\u0647\u0648|\u0647\u064a"),
    _unspaced("\u0627\u0644\u0625\u062c\u0627\u0628\u0629", "\u0647\u0648|\u0647\u064a"),
    _unspaced("\u05ea\u05e9\u05d5\u05d1\u05d4", "\u05d4\u05d9\u05d0"),
    _unspaced("\u0909\u0924\u094d\u0924\u0930", "\u0939\u0948|\\s"),
)

# "Question 2:", "Human:" and their like at the beginning of a line; the words to look for first.
_NEXT_QUESTION = re.compile(
    r"^[\s#*]{0,9}(?:q|question|human|user|input|\#\#\#\ instruction)\s?\d{0,3}:", re.MULTILINE
)
_NEXT_WORDS = ("q:", "question", "human:", "user:", "input:", "instruction:")
_PLACE = itemgetter(0)
_WORD = re.compile(r"\w")
_BRACE = re.compile(r"[{}]")
_QUOTED = re.compile(r'\s{0,9}"((?:[^"\\\n]|\\.){0,2000})"')
_CLAUSE = re.compile(r"(?<=[.!?,;:])\s|\n")


def text_end(text: str) -> int:
    """Returns where a text ends, or runs on into a next question once it has answered."""
    if "\n" not in text:
        return len(text)
    low = lowered(text)
    if not any(word in low for word in _NEXT_WORDS) or _NEXT_QUESTION.match(low):
        return len(text)
    starts = (_first_statement(low, marker) for marker in _markers_in(low))
    answered = min((at for at in starts if at >= 0), default=-1)
    run_on = _NEXT_QUESTION.search(low, answered + 1) if answered >= 0 else None
    return run_on.start() if run_on else len(text)


def statements(text: str, end: int) -> Iterator[Statement]:
    """Yields every final-answer statement before ``end``, the last one first."""
    low = lowered(text)
    # The last place of each marker's word; the latest of all is looked at, then moved up the text.
    places = [(low.rfind(marker.word, 0, end), marker) for marker in _markers_in(low)]
    places = [(at, marker) for at, marker in places if at >= 0]
    limit = end
    for _ in range(_MOST_TRIED):
        if not places:
            return
        latest = places.index(max(places, key=_PLACE)) if len(places) > 1 else 0
        at, marker = places[latest]
        statement = _statement(low, at, marker, limit)
        if statement:
            yield statement
            limit = statement.begin
        before = low.rfind(marker.word, 0, min(limit, at + len(marker.word) - 1))
        if before >= 0:
            places[latest] = (before, marker)
        else:
            del places[latest]


def _markers_in(low: str) -> list[_Marker]:
    """Returns the markers whose word stands in the text at all."""
    present = [marker for marker in _ASCII if marker.word in low]
    if "}" in low[-9:]:
        present += [marker for marker in _JSON if marker.word in low]
    if not low.isascii():
        present += [marker for marker in _NOT_ASCII if marker.word in low]
    return present


def _first_statement(low: str, marker: _Marker) -> int:
    """Returns where the answer of a marker's first statement may begin; -1 where it has none."""
    at = -1
    for _ in range(_MOST_TRIED):
        at = low.find(marker.word, at + 1)
        if at < 0:
            return -1
        statement = _statement(low, at, marker, len(low))
        if statement:
            return statement.start
    return -1


def _statement(low: str, at: int, marker: _Marker, limit: int) -> Statement | None:
    """Returns the statement of a marker whose word stands at a place, if it is one.

    Args:
        low: The text in lower case.
        at: The place of the marker's word.
        marker: The marker.
        limit: The place where the statement ends at the latest.
    """
    if (
        marker.word == "ans"
        and low.find("no ", max(0, at - 40), at) >= 0
        and _NO_ANSWER.search(low, max(0, at - 40), at)
    ):
        return None
    opening = marker.pattern.match(low, at, limit)
    if opening is None or not _introduced(low, at, marker.before):
        return _heading(low, at, limit) if marker.word in ("ans", "option", "choice") else None
    start = opening.end()
    if marker.word in ("boxed", "fbox"):
        return Statement(at - 1, start, _closing_brace(low, start, limit), boxed=True)
    is_key = opening[0].endswith(":") and low[at - 1 : at] in ('"', "_")
    if is_key or marker in _JSON:
        quoted = _QUOTED.match(low, start, limit)
        if quoted:
            return Statement(at, quoted.start(1), quoted.end(1), boxed=False)
    stop = low.find("</", start, limit) if opening[0] == "answer>" else -1
    return Statement(at, start, stop, boxed=False) if stop >= 0 else _line(low, at, start, limit)


def _introduced(low: str, at: int, before: tuple[str, ...]) -> bool:
    """Says whether one of the words that a marker needs stands before it."""
    if not before:
        return True
    if before[0] == "\n":  # "A:" at the beginning of a line, unless it opens a list of options
        line = low[max(0, at - 9) : at].rpartition("\n")
        return (
            bool(line[1] or at < 9) and not line[2].strip() and low.find("\nb:", at, at + 500) < 0
        )
    return low.endswith(before, 0, at)


def _heading(low: str, at: int, limit: int) -> Statement | None:
    """Returns what a line with "Final answer" alone heads, or the "18" of "18 is the answer"."""
    line = low.rfind("\n", max(0, at - 60), at) + 1
    alone = _ALONE.match(low, at, limit)
    if alone and (line or at < 60) and _BEFORE_ALONE.fullmatch(low, line, at):
        return _line(low, at, alone.end(), limit)
    lead = _BEFORE_BEHIND.search(low, max(0, at - 50), at)
    if lead and _BEHIND.match(low, at, limit):
        window = max(0, lead.start() - 200)
        breaks = list(_CLAUSE.finditer(low, window, lead.start()))
        start = breaks[-1].end() if breaks else window
        if low.find("boxed{", start, at) >= 0 or _PRONOUN.fullmatch(low, start, lead.start()):
            return None
        return Statement(start, start, lead.start(), boxed=False)
    return None


def _closing_brace(low: str, start: int, limit: int) -> int:
    """Returns where the brace that opened before ``start`` closes, else where the line ends."""
    depth = 1
    for brace in _BRACE.finditer(low, start, limit):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return _line_end(low, start, limit)


def _line(low: str, begin: int, start: int, limit: int) -> Statement:
    """Returns the statement up to its line's end; a line that repeats the question is skipped."""
    end = _line_end(low, start, limit)
    if end < limit and low.endswith("?", start, end) and _WORD.search(low, end, limit):
        return Statement(begin, end, _line_end(low, end, limit), boxed=False)
    return Statement(begin, start, end, boxed=False)


def _line_end(low: str, start: int, limit: int) -> int:
    """Returns the end of the first line with a word on it."""
    word = _WORD.search(low, start, limit)
    end = low.find("\n", word.start(), limit) if word else -1
    return limit if end < 0 else end
