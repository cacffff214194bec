"""What every answer type's reader has in common.

Short strings as answers.
"""

import re
import string
import unicodedata
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

from potstill.errors import DataError
from potstill.records import Question

T = TypeVar("T")
AROUND = string.whitespace + string.punctuation.replace("-", "") + "“”\u2018\u2019«»。"
"""Quotes, stops and brackets that may stand around an answer."""
JOINED = "A-Za-z0-9_\u00c0-\u052f"
"""Characters that join into words, for patterns. Chinese and its like need no space between."""


class AnswerCandidate(NamedTuple):
    """Something in a text that fits the answer type, normalised, and where it stands."""

    answer: str
    start: int
    end: int


NONE_GIVEN = AnswerCandidate("", -1, -1)
"""Read where a text says that it gives no answer, or gives several: the search is over."""

_REFUSES = re.compile(
    r"""
    (?:that\ |it\ |this\ |there\ |which\ |is\ |are\ |the\ answer\ |simply\ ){0,4}
    (?: (?:can\ ?not|can['\u2019]t|could\ not|impossible\ to|not\ possible\ to|unable\ to)
        \ (?:be\ )?(?:determin|know|tell|said|say|answer|calculat|comput|found|find
                    |infer|deduc|obtain|solv)
      | (?:unknown|undetermined|indeterminate|undeterminable|unclear|unavailable|n/a)\b
      | not\ (?:known|given|clear|provided|stated|specified|listed|available|determin
             |(?:in|among|one\ of)\ (?:the|these|those|any))
      | none\ (?:of\ (?:the|these|those)|is\b|are\b|matches)
      | (?:not\ enough|insufficient)\ (?:information|data|context)
      | no\ (?:(?:single|one|clear|definite|definitive|correct|right|suitable)\ )
        {1,2}(?:answer|choice|option)
      | i\ (?:do\ not|don['\u2019]t|cannot)\ (?:know|determine|answer|say|tell)
    )
    """,
    re.VERBOSE,
)
_BEFORE_REFUSAL = re.compile(r"[\s*_\"'(:\[{\u201c]{0,12}(?:\\text\{)?")


def refuses(text: str, start: int, end: int) -> bool:
    """Whether a statement opens by saying that there is no answer ("cannot be determined")."""
    opening = _BEFORE_REFUSAL.match(text, start, end)
    low = lowered(text[opening.end() if opening else start : min(end, start + 120)])
    return _REFUSES.match(low) is not None


class Reader(Protocol):
    """How one answer type is read. A further type is one more file here."""

    concludes: bool
    """Whether a last line such as "Therefore, ..." counts before the statement it stands behind."""

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The answer in the statement after a final-answer marker; ``NONE_GIVEN`` ends it all."""

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The answer in a text without a marker; ``NONE_GIVEN`` is as good as None."""

    def gold(self, question: Question) -> str:
        """The gold answer in the form in which answers are compared.

        Raises:
            DataError: The gold answer does not fit the type.
        """

    def same(self, answer: str, gold: str) -> bool | None:
        """Whether an answer as read is the gold answer; None: that could not be told in time."""


def lowered(text: str) -> str:
    """The text in lower case, every character at its own place."""
    low = text.lower()
    if len(low) != len(text):  # of all characters only this one becomes two
        low = text.replace("\u0130", "i").lower()
    return low


def normalised(text: str) -> str:
    """The text without case, needless spaces, and the signs of ``AROUND`` at its ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(AROUND).split())


def last(found: Iterable[T]) -> T | None:
    """The last of them, if there is one."""
    return next(iter(deque(found, maxlen=1)), None)


_TEXT_END = re.compile(r"(?<=\w\w\w)[.!?](?=\s)|,? (?:because|since)\b")
_WRAPPED = re.compile(r"[\s$*\"']{0,9}\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s?\{")
_LONGEST_TEXT = 80
_SAYS = re.compile(r"(?:(?:^|\W)(?:is|are|was|were|be|an?|the|to)|['\u2019]s?|[:=]) [\"'(\[]{0,2}$")
_BRACKETS = re.compile(r"[][(){}<>](?:\s{0,3}[][(){}<>])*")
"""What an answer may consist of where it has no letters or digits."""
_NOT = re.compile(r"\bnot\b|n['\u2019]t\b|\bnever\b")


class TextReader:
    """Short strings, equal when the same but for case, spacing, and quotes or stops around them.

    A sentence that ends in the answer, behind "is", "are", an article or "'s", says it as well.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The statement up to the end of its first sentence or line."""
        return self._stripped(text, start, end)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The last line that is not empty, where it is short enough to be an answer."""
        stripped_end = len(text[:end].rstrip())
        start = text.rfind("\n", 0, stripped_end) + 1
        return self._stripped(text, start, end) if stripped_end - start <= _LONGEST_TEXT else None

    def gold(self, question: Question) -> str:
        """The gold text in lower case, without quotes and stops around it."""
        gold = normalised(question.answer) or " ".join(question.answer.split())
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is empty.")
        return gold

    def same(self, answer: str, gold: str) -> bool:
        """Whether the normalised texts are the same, or the answer is a sentence that ends so."""
        if answer == gold or not answer.endswith(gold):
            return answer == gold
        before = answer[: -len(gold)]
        return _SAYS.search(before[-9:]) is not None and _NOT.search(before) is None

    def _stripped(self, text: str, start: int, end: int) -> AnswerCandidate | None:
        """The range without the spaces, quotes and stops at its ends."""
        sentence = _TEXT_END.search(text, start, end)
        end = sentence.start() if sentence else end
        wrapped = _WRAPPED.match(text, start, end)
        start = wrapped.end() if wrapped else start
        part = text[start:end]
        first = start + len(part) - len(part.lstrip(AROUND))
        stop = end - len(part) + len(part.rstrip(AROUND))
        if first < stop:
            return AnswerCandidate(normalised(text[first:stop]), first, stop)
        brackets = _BRACKETS.search(part)
        if brackets is None:
            return None
        span = start + brackets.start(), start + brackets.end()
        return AnswerCandidate(" ".join(brackets[0].split()), *span)
