"""The forms in which the options of a choice are published, and the gold answer among them.

Options are a list of texts, with or without their letters; a mapping of letters to texts; the hub's
``{"label": [...], "text": [...]}``; a list of ``{"label", "text"}``; any of these as JSON; or one
text, as "A) red B) green" or "red; green". The gold answer is a letter, an option's text, a label
that the options came with, or the option's number.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from potstill.errors import shortened
from potstill.grading.answers.options import Options
from potstill.tables import own_text

MOST = 26
"""Options that a choice has at most: one a letter."""

TEXT_SEPARATORS = ("\n", "|", ";", ",")
"""Signs between the options of one text, the surest first."""

_LETTERED = re.compile(r"(?:^|(?<=[\s;,|]))\(?([A-Z])[).:]\s{0,3}(?=\S)")
_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")
_PYTHON_LIST = re.compile(r"\[\s*'")


class OptionList(NamedTuple):
    """The options of one question."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """The names that they came with, such as 1 to 4; empty where they came without."""


class AnswerNumbers(NamedTuple):
    """The meaning of numbers as a file's gold answers."""

    first: int | None = None
    """The first option's number, 0 or 1; None: a number is no option's."""

    fault: str = ""
    """The reason for which a number can be read in two ways."""


def text_separator(cells: Sequence[str]) -> str | None:
    """Returns the sign that stands in every one of the texts that list options; None if none does.

    A sign that stands in some of them alone is part of an option.
    """
    plain = [cell for cell in cells if _is_plain_list(cell)]
    return next((sign for sign in TEXT_SEPARATORS if all(sign in cell for cell in plain)), None)


def option_list(value: object, separator: str | None = None) -> OptionList:
    """Returns the options that a value holds.

    Args:
        value: The value from a file; None holds none.
        separator: The sign between the options of one text, see :func:`text_separator`.

    Raises:
        ValueError: It holds none in any known form.
    """
    if isinstance(value, str):
        value = _parsed(value.strip(), separator)
    if value is None:
        return OptionList(())
    if isinstance(value, Mapping) and {"label", "text"} <= set(value):
        labels, texts = value["label"], value["text"]
        if not isinstance(labels, list) or not isinstance(texts, list) or len(labels) != len(texts):
            raise ValueError("holds labels and texts that do not pair")
        return OptionList(_texts(texts), tuple(str(label).strip() for label in labels))
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        value = {str(one.get("label", one.get("key"))): one.get("text") for one in value}
    if isinstance(value, Mapping):
        labels = sorted(map(str, value))
        by_label = {str(label): text for label, text in value.items()}
        return OptionList(_texts([by_label[label] for label in labels]), tuple(labels))
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of options, and is {shortened(value, longest=60)}")
    return OptionList(tuple(_unlettered(list(_texts(value)))))


def option_cells(values: Sequence[object]) -> OptionList:
    """Returns the options that stand in a column each; empty ones at the end are left out.

    Raises:
        ValueError: One before the last is empty, or none has a text.
    """
    texts = [own_text(value) for value in values]
    while texts and texts[-1] is None:
        texts.pop()
    if None in texts:
        raise ValueError("leave an option empty before the last one")
    return OptionList(tuple(text for text in texts if text is not None))


def answer_numbers(golds: Sequence[str], options: Sequence[OptionList]) -> AnswerNumbers:
    """Returns what the gold answers of a file count, where all of them are whole numbers.

    An answer 0 is the first option's, since nothing that counts from 1 has a 0; an answer that is
    the number of options is the last one's.
    """
    pairs = [pair for pair in zip(golds, options, strict=True) if not pair[1].labels]
    if not pairs or not all(gold.isdecimal() for gold, _ in pairs):
        return AnswerNumbers()
    numbers = [(int(gold), len(listed.texts)) for gold, listed in pairs]
    from_0 = all(number < count for number, count in numbers)
    from_1 = all(1 <= number <= count for number, count in numbers)
    if all(listed.texts.count(gold) == 1 for gold, listed in pairs):
        places = [listed.texts.index(gold) for gold, listed in pairs]
        if from_0 and places != [number for number, _ in numbers]:
            return AnswerNumbers(fault="may be an option's text or its number")
        if from_1 and places != [number - 1 for number, _ in numbers]:
            return AnswerNumbers(fault="may be an option's text or its number")
        return AnswerNumbers()
    if from_0 and any(number == 0 for number, _ in numbers):
        return AnswerNumbers(first=0)
    if from_1 and any(number == count for number, count in numbers):
        return AnswerNumbers(first=1)
    return AnswerNumbers(fault="is a number, and whether the first option's is 0 or 1 is not told")


def gold_option(gold: str, options: OptionList, numbers: AnswerNumbers | None = None) -> str:
    """Returns the letter of the option that a gold answer names; the answer itself if none.

    Args:
        gold: The answer, without spaces around it.
        options: The question's options.
        numbers: The meaning of its file's answers, where they are numbers.

    Raises:
        ValueError: It is the letter of one option and the text of another, or an unclear number.
    """
    labels = [label.casefold() for label in options.labels]
    bare = gold.casefold().strip("(). ")
    if labels.count(gold.casefold()) == 1 or labels.count(bare) == 1:
        return _letter(labels.index(gold.casefold() if gold.casefold() in labels else bare))
    known = Options(options.texts, len(options.texts))
    named = _LETTER.fullmatch(gold)
    by_letter = named[1].upper() if named and known.has(named[1].upper()) else ""
    exact = options.texts.count(gold) == 1
    by_text = _letter(options.texts.index(gold)) if exact else ""
    by_text = by_text or known.letters_by_text().get(gold.casefold(), "")
    if by_letter and by_text and by_letter != by_text and len(gold) == 1:
        raise ValueError(
            f"{gold!r} is the letter of {shortened(known.text(by_letter), longest=40)} and the "
            f"text of option {by_text}; write ({by_letter}) or ({by_text})"
        )
    if gold.isdecimal() and numbers is not None and not by_letter:
        if numbers.fault:
            raise ValueError(f"{gold!r} {numbers.fault}; give letters, A for the first option")
        if numbers.first is not None:
            return _letter(int(gold) - numbers.first)
    return by_letter or by_text or gold


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _is_plain_list(cell: str) -> bool:
    """Says whether a text lists options by a sign between them: neither JSON nor by letters."""
    cell = cell.strip()
    return bool(cell) and cell[:1] not in "[{" and not _by_letters(cell)


def _parsed(text: str, separator: str | None) -> object:
    """Returns the options of one text as a list, or as what its JSON holds; None for no text."""
    if not text:
        return None
    if text[:1] in "[{":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if _PYTHON_LIST.match(text):
                raise ValueError(
                    f"holds a list as Python writes it, {shortened(text, longest=40)}, and no "
                    'JSON; write ["x", "y"], or the options with | between them'
                ) from error
            raise ValueError(f"holds no JSON ({error})") from error
    if lettered := _by_letters(text):
        return lettered
    if separator is None or separator not in text:
        raise ValueError(
            f"holds one text, {shortened(text, longest=40)}, and no list; put |, ; or a line "
            "break between the options, the same in every row, or give a JSON array"
        )
    return [part for part in text.split(separator) if part.strip()]


def _by_letters(text: str) -> list[str]:
    """Returns the options of "A) red B) green", lettered in order from the beginning; else none."""
    marks: list[re.Match[str]] = []
    for mark in _LETTERED.finditer(text):
        if mark[1] == _letter(len(marks)):
            marks.append(mark)
    if len(marks) < 2 or marks[0].start() > 0:
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [text[mark.end() : end].strip(" \n,;|") for mark, end in zip(marks, ends, strict=True)]


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    """Returns the options' texts."""
    texts = []
    for value in values:
        text = own_text(value)
        if text is None:
            raise ValueError("holds an empty option")
        texts.append(text)
    return tuple(texts)


def _unlettered(options: list[str]) -> list[str]:
    """Returns options without letters before them, where each has its own: "A)21", "(A) 21"."""
    letters = [_letter(index) for index in range(len(options))]
    bare = []
    for letter, option in zip(letters, options, strict=True):
        for mark in (f"({letter})", f"{letter})", f"{letter}.", f"{letter}:"):
            if option.startswith(mark):
                bare.append(option.removeprefix(mark).strip())
                break
    return bare if len(bare) == len(options) else options
