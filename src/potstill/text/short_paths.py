"""Texts for a narrow place: what is longer than a line in them, such as a path, is shortened.

The first folder and the file's name stay, and as many folders before it as there is room for::

    recorded:data/teacher_outputs/cot_granularity/SVAMP_ChatGPT_level3_ranked.json
    recorded:data/…/SVAMP_ChatGPT_level3_ranked.json
"""

import re
import textwrap
from collections.abc import Iterator, Sequence

MARK = "…"
"""The sign for what is left out."""


def fit_words(texts: Sequence[str], width: int) -> list[str]:
    """Returns texts without a word longer than a line; words that differ stay different.

    A word for which no short form is left that is its own is broken behind its separators.

    Args:
        texts: The texts that are shown beside each other.
        width: Columns of a line, at least 1.
    """
    long = dict.fromkeys(word for text in texts for word in text.split() if len(word) > width)
    short: dict[str, str] = {}
    taken = {word for text in texts for word in text.split() if len(word) <= width}
    for word in long:
        forms = (form for form in _forms(word, width) if form not in taken)
        short[word] = next(forms, "") or "\n".join(_broken(word, width))
        taken.add(short[word])
    return [_replaced(text, short) for text in texts]


def wrapped(text: str, width: int) -> list[str]:
    """Returns a text as lines of whole words, further ones indented as the first and two more.

    Args:
        text: One line.
        width: Columns of a line; a longer word has a line of its own and goes past it.
    """
    body = text.lstrip(" ")
    indent = " " * (len(text) - len(body))
    return textwrap.wrap(
        body,
        max(width, len(indent) + 3),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [text]


def in_lines(text: str, width: int) -> list[str]:
    """Returns a text as lines of which none is longer; a longer word is broken behind separators.

    Args:
        text: One line; nothing of it is left out.
        width: Characters of a line, at least 1.
    """
    words = (part for word in text.split() for part in _broken(word, width))
    return textwrap.wrap(
        " ".join(words), width, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _replaced(text: str, short: dict[str, str]) -> str:
    return re.sub(r"\S+", lambda found: short.get(found[0], found[0]), text)


def _forms(word: str, width: int) -> Iterator[str]:
    """Yields forms of a long word that fit, the best first: a later one keeps another folder."""
    *folders, name = word.split("/")
    first, middle = "".join(folders[:1]), folders[1:]
    for kept in range(1, len(middle) + 1):
        # As many of the last folders as fit, behind one of the first: another each time.
        head = "/".join([first, *middle[: kept - 1]])
        for begin in range(kept, len(middle) + 1):
            form = "/".join([head, MARK, *middle[begin:], name])
            if len(form) <= width:
                yield form
                break
    for folder in middle:
        form = f"{MARK}/{folder}/{MARK}/{name}"
        if len(form) <= width:
            yield form
    if folders and len(name) + 2 <= width:
        yield f"{MARK}/{name}"
    for tail in range(2 * width // 3, 0, -1):
        head_length = width - 1 - tail
        if head_length > 0:
            yield word[:head_length] + MARK + word[-tail:]


def _broken(word: str, width: int) -> Iterator[str]:
    """Yields a word in lines, broken behind a separator where a line has one."""
    while len(word) > width:
        place = max(word.rfind(sign, 0, width) for sign in "/_-.:") + 1 or width
        yield word[:place]
        word = word[place:]
    yield word
