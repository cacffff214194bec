"""Lists in order, and sequences of brackets, as answers.

The two list tasks of BIG-Bench Hard show the forms: word_sorting asks for "apple pear plum",
dyck_languages for the brackets that close "( [ {", which are "} ] )". A list that is read becomes
the JSON array of its normalised items: ``["apple", "pear", "plum"]``.
"""

import json
import re

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.grading.answers.base import AnswerCandidate, last, normalised
from potstill.records import Question

_LONGEST = 20_000
"""Characters; what is longer is no list."""

_BRACKETS = re.compile(r"[\[\](){}<>\s]+")
# Brackets in a row, apart from words, with spaces, commas or quotes between them: "} ] )", "], )".
_BRACKET_RUN = re.compile(r"(?<![\w'])[\[\](){}<>](?!\w)(?>(?:[\s,\"'`]{0,5}[\[\](){}<>](?!\w))*)")
_ARRAY = re.compile(r"\[[^\[\]]{1,20000}\]")  # "[3, 1, 2]"
# Lines of items and their signs: "1. apple", "- apple".
_ITEM_LINE = re.compile(r"^[ \t]{0,9}(?:\d{1,3}[.):]|[-*\u2022])[ \t]{1,9}\S.*$", re.MULTILINE)
_ITEM_SIGN = re.compile(r"^[ \t]*(?:\d{1,3}[.):]|[-*\u2022])[ \t]+")
# Separators between items of one line: "apple, pear and plum", "apple; pear", "apple -> pear".
_SEPARATOR = re.compile(r" ?[,;\u2192] ?(?:and )?| -> ")
_SENTENCE_END = re.compile(r"(?<=\w)[.!?](?=\s|$)|\n")
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


class ListReader:
    """Items in order, equal when each is, but for case and for quotes or stops around it.

    Items stand between commas, semicolons or line ends, in a JSON array, or, where there is none of
    these, between spaces. A gold answer of brackets alone ("] ) }") makes an answer the brackets
    that the text gives, spaces aside.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the statement's brackets or array, lines of items, or its first sentence."""
        if _wants_brackets(question):
            return _bracket_answer(_BRACKET_RUN.search(text, start, end))
        if array := _ARRAY.search(text, start, end):
            return _list_answer(text, *array.span(), question)
        if lines := _item_lines(text, start, end):
            return _list_answer(text, *lines, question)
        part = text[start:end]
        start += len(part) - len(part.lstrip(" \n*:"))
        cut = _SENTENCE_END.search(text, start, end)
        end = cut.start() if cut else end
        heading = text.rfind(": ", start, end)
        return _list_answer(text, heading + 2 if heading >= 0 else start, end, question)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the list that ends the text: an array, lines of items, or a line of items."""
        stripped_end = len(text[:end].rstrip())
        start = text.rfind("\n", 0, stripped_end) + 1
        if _wants_brackets(question):
            return _bracket_answer(_BRACKET_RUN.fullmatch(text, start, stripped_end))
        if array := last(_ARRAY.finditer(text, start, stripped_end)):
            return _list_answer(text, *array.span(), question)
        # Go up line by line while the lines are items.
        item = _ITEM_LINE.match(text, start, stripped_end)
        while item and (above := text.rfind("\n", 0, max(0, start - 1)) + 1) < start:
            item = _ITEM_LINE.match(text, above, start - 1)
            start = above if item else start
        heading = text.rfind(": ", start, stripped_end)
        start = heading + 2 if heading >= 0 else start
        line = text[start:stripped_end]
        if len(line) > _LONGEST:
            return None
        sentence = line.endswith((".", "!", "?")) and not _SEPARATOR.search(line)
        return None if sentence else _list_answer(text, start, stripped_end, question)

    def gold(self, question: Question) -> str:
        """Returns the gold list: its brackets, or its items as a JSON array."""
        if _wants_brackets(question):
            return " ".join("".join(question.answer.split()))
        gold = _items(question.answer, question)
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} has no items.")
        return json.dumps(gold, ensure_ascii=False)

    def same(self, answer: str, gold: str) -> bool:
        """Says whether the items are the same, in the same order."""
        return answer == gold


def _wants_brackets(question: Question) -> bool:
    """Says whether the gold answer consists of brackets alone."""
    return _BRACKETS.fullmatch(question.answer) is not None and not question.answer.isspace()


def _bracket_answer(run: re.Match[str] | None) -> AnswerCandidate | None:
    """Returns the brackets of a run, one space between them."""
    if run is None:
        return None
    return AnswerCandidate(" ".join(sign for sign in run[0] if sign in "[](){}<>"), *run.span())


def _item_lines(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Returns where lines of items begin and end, of which the first stands in the range."""
    first = _ITEM_LINE.search(text, start, end)
    if first is None or text[start : first.start()].strip(" \n*:"):
        return None
    end = first.end()
    while following := _ITEM_LINE.match(text, end + 1):
        end = following.end()
    return first.start(), end


def _list_answer(text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
    """Returns the items of a range as an answer; None where there are none or it is too long."""
    items = _items(text[start:end], question) if end - start <= _LONGEST else []
    return AnswerCandidate(json.dumps(items, ensure_ascii=False), start, end) if items else None


def _items(text: str, question: Question) -> list[str]:
    """Returns the items of a list, normalised."""
    lines = [" ".join(line.split()) for line in text.strip().split("\n")]
    if lines[0].startswith("[") and lines[-1].endswith("]"):
        lines = [" ".join(lines)[1:-1]]
    text = lines[0]
    if len(lines) > 1 or _ITEM_SIGN.match(text):
        parts = [_ITEM_SIGN.sub("", line) for line in lines]
    elif _SEPARATOR.search(text):
        *others, final = _SEPARATOR.split(text)
        parts = [*others, *final.split(" and ")]
    elif " and " in text and " and " not in question.answer:
        parts = text.split(" and ")
    else:
        parts = text.split()
    return [_plain_item(item) for part in parts if (item := normalised(part))]


def _plain_item(item: str) -> str:
    """Returns a number in its shortest form, "2" for "2.0"; any other item as it is."""
    value = number_spans.parse(item) if _PLAIN_NUMBER.fullmatch(item) else None
    return item if value is None else number_spans.format_number(value)
