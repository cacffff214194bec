"""The reader's interface, which every answer type implements, and the type for short strings.

A reader works on spans of the text as the model wrote it. In "So the answer is **Paris**." the
grader finds the marker "answer is" and hands the reader the places behind it; the reader for
strings returns ``AnswerCandidate("paris", 19, 24)``: the answer in the form in which answers are
compared, and where it stands.
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


class AnswerCandidate(NamedTuple):
    """Something in a text that fits the answer type, normalised, and where it stands."""

    answer: str
    start: int
    end: int


NONE_GIVEN = AnswerCandidate("", -1, -1)
"""Read where a text says that it gives no answer, or gives several: the search is over."""


class Reader(Protocol):
    """The way one answer type is read and compared.

    A type of ours is one file in this folder; a user's own is an object with these members.
    """

    concludes: bool
    """Whether a last line such as "Therefore, ..." counts before the statement it stands behind."""

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the answer in a statement that follows a final-answer marker.

        Args:
            text: The whole text; the statement is ``text[start:end]``.
            start: The place behind the marker.
            end: The end of the statement.
            question: The question, for its options and the form of its gold answer.

        Returns:
            ``NONE_GIVEN`` where the statement refuses or names several answers, which ends the
            search; None where nothing in it fits, so that an earlier statement may count.
        """

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the answer in ``text[:end]``, which has no marker, or None.

        ``NONE_GIVEN`` is as good as None.
        """

    def gold(self, question: Question) -> str:
        """Returns the gold answer in the form in which answers are compared.

        Raises:
            DataError: The gold answer does not fit the type.
        """

    def same(self, answer: str, gold: str) -> bool | None:
        """Says whether an answer as read is the gold answer; None where time ran out."""


AROUND = string.whitespace + string.punctuation.replace("-", "") + "“”\u2018\u2019«»。"
"""Quotes, stops and brackets that may stand around an answer."""

JOINED = "A-Za-z0-9_\u00c0-\u052f"
"""Characters that join into words, for patterns. Chinese and its like need no space between."""


def lowered(text: str) -> str:
    """Returns the text in lower case, every character at its own place."""
    low = text.lower()
    if len(low) != len(text):  # of all characters only this one becomes two
        low = text.replace("\u0130", "i").lower()
    return low


def normalised(text: str) -> str:
    """Returns the text without case, needless spaces, and the signs of ``AROUND`` at its ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(AROUND).split())


def last(items: Iterable[T]) -> T | None:
    """Returns the last of the items; None where there are none."""
    return next(iter(deque(items, maxlen=1)), None)


# The words that open a refusal: "cannot be determined", "is unknown", "not given", "none of these",
# "not enough information", "no single answer", "I don't know"; lead-in words may come first.
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
# Signs between a marker and the first word behind it, as in "**Answer:** \text{unknown}".
_BEFORE_REFUSAL = re.compile(r"[\s*_\"'(:\[{\u201c]{0,12}(?:\\text\{)?")


def refuses(text: str, start: int, end: int) -> bool:
    """Says whether a statement opens by denying an answer ("cannot be determined")."""
    opening = _BEFORE_REFUSAL.match(text, start, end)
    low = lowered(text[opening.end() if opening else start : min(end, start + 120)])
    return _REFUSES.match(low) is not None


_LONGEST_LINE = 80
"""Characters; a longer last line is a sentence of the reasoning and no answer."""

# The end of a sentence, but not the stop of an abbreviation of one or two letters ("J. S. Bach");
# or the words that begin a reason.
_TEXT_END = re.compile(r"(?<=\w\w\w)[.!?](?=\s)|,? (?:because|since)\b")
_WRAPPED = re.compile(r"[\s$*\"']{0,9}\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s?\{")
# Text before the answer in a longer sentence that states it: "is", an article, "'s", ":".
_SAYS = re.compile(r"(?:(?:^|\W)(?:is|are|was|were|be|an?|the|to)|['\u2019]s?|[:=]) [\"'(\[]{0,2}$")
# The result of a sentence without a marker: "Joining them gives 'abc'."
_GIVES = re.compile(
    r"\b(?:gives?|get|gets|is|are|yields?|forms?|makes?|results? in|obtain)(?:\s(?:us|you|me))?:?\s"
    r"(?P<said>[\"'\u201c\u2018*][^\"'\u201c\u201d\u2018\u2019*\n]{1,60}[\"'\u201d\u2019*])[.!*]{0,3}\Z"
)
_NOT = re.compile(r"\bnot\b|n['\u2019]t\b|\bnever\b")
_BRACKETS = re.compile(r"[][(){}<>](?:\s{0,3}[][(){}<>])*")
"""Brackets, of which an answer may consist where it has no letters or digits."""


def _behind_gold(text: str, start: int, end: int, gold: str) -> int:
    """Returns where the gold answer ends that opens a range; ``start`` where none does."""
    if not gold or not _TEXT_END.search(gold):
        return start
    at = lowered(text[start:end]).find(lowered(gold))
    opens = at >= 0 and not text[start : start + at].strip(AROUND)
    return start + at + len(gold) if opens else start


class TextReader:
    """Short strings, equal when the same but for case, spacing, and quotes or stops around them.

    A sentence that ends in the answer, behind "is", "are", an article or "'s", says it as well:
    the answer "the capital is paris" is the gold "paris".
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the statement up to the end of its first sentence or line."""
        return self._stripped(text, start, end, question.answer)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last line that is not empty, where it is short enough to be an answer.

        A longer one may end in what it "gives" or "gets", in quotes.
        """
        stripped_end = len(text[:end].rstrip())
        start = text.rfind("\n", 0, stripped_end) + 1
        if stripped_end - start <= _LONGEST_LINE:
            return self._stripped(text, start, end, question.answer)
        said = _GIVES.search(text, max(start, stripped_end - _LONGEST_LINE), stripped_end)
        if said is None:
            return None
        return self._stripped(text, said.start("said"), said.end("said"), question.answer)

    def gold(self, question: Question) -> str:
        """Returns the gold text in lower case, without quotes and stops around it."""
        gold = normalised(question.answer) or " ".join(question.answer.split())
        if not gold:
            raise DataError(f"question {question.id}: the answer {question.answer!r} is empty.")
        return gold

    def same(self, answer: str, gold: str) -> bool:
        """Says whether the two are the same, or the answer is a sentence that ends in the gold."""
        if answer == gold or not answer.endswith(gold):
            return answer == gold
        before = answer[: -len(gold)]
        return _SAYS.search(before[-9:]) is not None and _NOT.search(before) is None

    def _stripped(self, text: str, start: int, end: int, gold: str) -> AnswerCandidate | None:
        """Returns the first sentence of the range without spaces, quotes and stops at its ends.

        Where the range opens with the gold answer, a stop within that ends no sentence.
        """
        sentence = _TEXT_END.search(text, _behind_gold(text, start, end, gold.strip(AROUND)), end)
        end = sentence.start() if sentence else end
        wrapped = _WRAPPED.match(text, start, end)
        start = wrapped.end() if wrapped else start
        part = text[start:end]
        first = start + len(part) - len(part.lstrip(AROUND))
        stop = end - len(part) + len(part.rstrip(AROUND))
        if first < stop:
            return AnswerCandidate(normalised(text[first:stop]), first, stop)
        brackets = _BRACKETS.search(part)  # an answer such as "])" is nothing but signs
        if brackets is None:
            return None
        answer = " ".join(brackets[0].split())
        return AnswerCandidate(answer, start + brackets.start(), start + brackets.end())
