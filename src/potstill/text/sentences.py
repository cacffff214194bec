"""The ends of sentences and lines in a model's text, found in one pass over it.

A full stop ends a sentence unless it belongs to an abbreviation ("Mr. Smith", "5 ft. long"), to the
number of a list ("1. "), or stands inside a formula. There is no model behind it: rationales are
short, plain and full of numbers, which general splitters cut apart.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

CLOSERS = "\"'\u201d\u2019\u00bb)]}*_\u300d\u300f\uff09"
"""Characters that may stand between the end mark of a sentence and the white space after it."""

Span = tuple[int, int]

_CLOSING = "[" + re.escape(CLOSERS) + "]"
_END = re.compile(
    rf"\n|(?<![.?!\u2026])(?P<mark>[.?!\u2026]++)(?P<closing>{_CLOSING}*+)(?=\s)"
    rf"|[\u3002\uff1f\uff01\uff61]++{_CLOSING}*+"
)
_NEXT = re.compile(r"\s+[\"'\u201c\u2018(\[*_$\\-]{0,6}(?P<word>\w{1,20}|.)?", re.DOTALL)
_WORD = re.compile(r"[^\W\d_](?:\.?[^\W\d_])*\Z")
_BULLETS = r"[\s#>*_(\[\u2022-]{0,12}"
_LABEL = re.compile(
    rf"{_BULLETS}(?:(?:step|part|case|question|answer|option|q|a)\s?)?(?:\d{{1,3}}|[^\W\d_]|[ivx]{{1,4}})",
    re.IGNORECASE,
)
_OPERATORS = frozenset("=+/\u00d7\u00f7^,;:)]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER = _words(
    "mr mrs ms dr prof messrs gen sgt capt lt col rev hon mt e.g i.e vs cf fig figs eq eqs approx "
    "ca viz"
)
_NAMES = _words("st ave rd blvd jr sr inc co corp ltd dept jan feb aug sept oct nov dec")
_UNITS = _words(
    "etc ft in lb lbs oz hr hrs min mins sec secs mi yd yds yr yrs mo wk wks sq cu cm mm km kg mg "
    "gal qt pt tsp tbsp doz pkg avg est max incl mph"
)
_STARTERS = _words(
    "a after all also an and another as at because before both but by consider each every finally "
    "first for from given hence he her here his how however i if in it its let my next no not now "
    "of on one our out second she since so step subtract that the their then there therefore these "
    "they this those thus to together total using we what when which while who with yes you "
    "your"
)


def sentence_ends(text: str, spans: Sequence[Span], *, sentences: bool) -> Iterator[int]:
    """Yields the places, in order, at which a line or a sentence of the text is over.

    Args:
        text: A model's text.
        spans: The result of :func:`protected`; no place within one of them is an end.
        sentences: Whether sentences end too, and not lines alone.
    """
    starts = [start for start, _ in spans]
    begin = 0
    for end in _END.finditer(text):
        place = end.end()
        around = bisect_right(starts, end.start()) - 1
        if around >= 0 and end.start() < spans[around][1]:
            continue
        if end[0] == "\n" or (sentences and _over(text, begin, end)):
            begin = place
            yield place


def _over(text: str, begin: int, end: re.Match[str]) -> bool:
    """Whether the sentence that begins there is over at an end mark."""
    mark = end["mark"]
    if mark is None:  # a full stop of Chinese or Japanese
        return True
    after = _NEXT.match(text, end.end())
    word = (after["word"] or "") if after else ""
    if word in _OPERATORS or (end["closing"].strip("*_") and word.islower()):
        return False
    if mark == "\u2026" or mark.startswith(".."):
        return word[:1].isupper()
    return mark != "." or not _abbreviated(text, begin, end.start(), word)


def _abbreviated(text: str, begin: int, at: int, word: str) -> bool:
    """Whether the point at a place belongs to a list's number or an abbreviation."""
    if at - begin < 40 and _LABEL.fullmatch(text, begin, at):
        return True
    word_before = _WORD.search(text[max(begin, at - 16) : at])
    if word_before is None:
        return False
    short = word_before[0].lower()
    if short in _NEVER or (short == "no" and word[:1].isdecimal()):
        return True
    initial = len(short) == 1 and word_before[0].isupper()
    if short in _NAMES or initial or ("." in short and word_before[0].isupper()):
        return word.lower() not in _STARTERS or not word[:1].isupper()
    return (short in _UNITS or "." in short) and not word[:1].isupper()


_TOKEN = re.compile(r"\\[\[\]()]|\$\$|\$|<<|>>|\n")
_CLOSED_BY = {"\\[": "\\]", "\\(": "\\)", "$$": "$$", "<<": ">>"}
_OVER_LINES = ("\\[", "$$")
_PROSE = re.compile(r"[^\W\d_]{3}\s")


def protected(text: str) -> list[Span]:
    r"""Returns the places of formulas and GSM8K's calculator marks, in order.

    ``\[...\]`` and ``$$...$$`` may go over lines; ``\(...\)``, ``$...$`` and ``<<...>>`` end on
    theirs. A dollar sign before a price opens nothing: no word follows it up to the next one.
    """
    spans: list[Span] = []
    opened, at = "", 0
    last = {end: text.rfind(end) for end in _CLOSED_BY.values()}
    for token in _TOKEN.finditer(text):
        sign, place = token[0], token.start()
        if opened and opened != "$" and sign == _CLOSED_BY[opened]:
            spans.append((at, token.end()))
            opened = ""
        elif opened == sign == "$" and _closes(text, at, place):
            spans.append((at, place + 1))
            opened = ""
        elif sign == "\n":
            opened = opened if opened in _OVER_LINES else ""
        elif _opens(sign, opened) and (sign == "$" or last[_CLOSED_BY[sign]] > place):
            opened, at = sign, place
    return spans


def _opens(sign: str, opened: str) -> bool:
    """Whether a sign opens a span where another may be open; what it cannot close is dropped."""
    if sign == "$":
        return opened in ("", "$")
    return sign in _CLOSED_BY and (opened not in _OVER_LINES or sign == opened)


def _closes(text: str, at: int, place: int) -> bool:
    """Whether the dollar sign at a place closes the one before it."""
    inside = text[at + 1 : place]
    if not inside or inside[0].isspace() or inside[-1].isspace():
        return False
    if text[place + 1 : place + 2].isdecimal():
        return False
    return "\\" in inside or not _PROSE.search(inside)
