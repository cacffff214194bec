"""Yes and no, true and false, as answers."""

import re
from collections.abc import Iterator
from functools import lru_cache

from potstill.errors import DataError
from potstill.grading.answers.base import (
    JOINED,
    NONE_GIVEN,
    AnswerCandidate,
    last,
    lowered,
    refuses,
)
from potstill.records import Question

_YES_NO = re.compile(
    rf"(?:(?<![{JOINED}])|(?-i:(?<=[a-z])(?=True|False)))(?:"  # also in "TheanswerisTrue"
    rf"(?:yes|true)\W(?:or\W)?(?:no|false)(?![{JOINED}])"  # "(Yes or No)" and "yes/no" say neither
    rf"|(?P<negated>(?:not|\w{{1,9}}n['\u2019]t)\s{{1,3}})?(?P<word>yes|no|true|false)(?![{JOINED}]))",
    re.IGNORECASE,
)
_BREAK = re.compile(r"[.!?]\s|\n")
_SENTENCE_END = re.compile(r"[.!?\n]")
_FILLER = re.compile(r"[\s\W]*")
_GOLD = {"yes": "yes", "true": "yes", "y": "yes", "1": "yes"}
_GOLD |= {"no": "no", "false": "no", "n": "no", "0": "no"}
_WINDOW = 300
_LONGEST = 100_000
_ASKED = re.compile(
    r"(?:^|(?<=[.!?:\n]))\s{0,9}(?:is|are|was|were|will|would|does|do|did|can|could|has|have)\b"
    r"[^.!?\n]{0,500}?\b(?P<state>[a-z]+(?: up| down)?)\s?\?"
)
_OPPOSITES = {
    "heads up": "tails up", "heads": "tails", "on": "off", "open": "closed", "even": "odd",
    "plausible": "implausible", "possible": "impossible", "valid": "invalid", "likely": "unlikely",
    "correct": "incorrect", "legal": "illegal", "safe": "unsafe", "alive": "dead",
}  # fmt: skip
_OPPOSITES |= {second: first for first, second in _OPPOSITES.items()}


class YesNoReader:
    """Yes or no, also said as true or false.

    Where the question's text asks for a state that has an opposite ("Is the coin still heads up?"),
    naming the state or its opposite says it too.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """The first word that says yes or no."""
        end = min(end, start + _LONGEST)
        found = next(self._words(text, start, end), None)
        found = found or next(self._states(text, start, end, question), None)
        return found or (NONE_GIVEN if refuses(text, start, end) else None)

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """The last word that says yes or no, in the last 100,000 characters."""
        begin = max(0, end - _LONGEST)
        start = text.find(" ", max(begin, end - _WINDOW), end)
        found = last(self._words(text, start, end)) if end > _WINDOW and start > 0 else None
        found = found or last(self._words(text, begin, end))
        stop = len(text[begin:end].rstrip()) + begin
        closing = last(_BREAK.finditer(text, max(begin, stop - _WINDOW), stop))
        state = last(self._states(text, closing.end() if closing else begin, stop, question))
        return max((one for one in (found, state) if one), key=_begin, default=None)

    def gold(self, question: Question) -> str:
        """``yes`` or ``no``."""
        gold = _GOLD.get(question.answer.strip().strip(".()\"'").casefold())
        if gold is None:
            raise DataError(f"question {question.id}: {question.answer!r} is neither yes nor no.")
        return gold

    def same(self, answer: str, gold: str) -> bool:
        """Whether both say the same."""
        return answer == gold

    def _words(self, text: str, start: int, end: int) -> Iterator[AnswerCandidate]:
        """Words that say yes or no; the determiner in "no coins" does not."""
        opening = _FILLER.match(text, start, end)
        first = opening.end() if opening else start
        for match in _YES_NO.finditer(text, start, end):
            word = (match["word"] or "").casefold()
            if not word:
                continue
            if (
                word == "no"
                and match.start() > first
                and re.match(r"\s\w", text[match.end() : min(end, match.end() + 2)])
            ):
                continue
            yes = (word in ("yes", "true")) != bool(match["negated"])
            yield AnswerCandidate("yes" if yes else "no", *match.span())

    def _states(
        self, text: str, start: int, end: int, question: Question
    ) -> Iterator[AnswerCandidate]:
        """Where the state that the question asks for, or its opposite, is named."""
        asked = _state_asked(question.text)
        if asked is None:
            return
        state, named = asked
        for match in named.finditer(text, start, end):
            if _repeats(text, match, question.text):
                continue
            yes = (match["state"].casefold() == state) != bool(match["negated"])
            yield AnswerCandidate("yes" if yes else "no", *match.span())


def _repeats(text: str, match: re.Match[str], question: str) -> bool:
    """Whether a sentence asks, or repeats one of the question, and so answers nothing."""
    begin = max(text.rfind(sign, 0, match.start()) for sign in ".!?:\n") + 1
    stop = _SENTENCE_END.search(text, match.end(), match.end() + _WINDOW)
    if stop is not None and stop[0] == "?":
        return True
    sentence = text[begin : stop.start() if stop else match.end()].strip()
    return len(sentence.split()) > 2 and sentence in question


def _begin(candidate: AnswerCandidate) -> int:
    return candidate.start


@lru_cache(maxsize=2048)
def _state_asked(text: str) -> tuple[str, re.Pattern[str]] | None:
    """The state that a question ends on, and what finds it or its opposite."""
    asked = last(_ASKED.finditer(lowered(text)))
    state = asked["state"] if asked else ""
    opposite = _OPPOSITES.get(state) or _OPPOSITES.get(state.rpartition(" ")[2])
    if not opposite:
        return None
    state = _OPPOSITES[opposite]
    pattern = rf"\b(?P<negated>not )?(?P<state>{state}|{opposite})\b"
    return state, re.compile(pattern, re.IGNORECASE)
