"""Yes and no, true and false, as answers.

"No, he would not", "False" and "not true" say no. To the question "Is the coin still heads up?" so
does "the coin is tails up": where a question asks for a state that has an opposite, naming either
state answers it.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from potstill.errors import DataError
from potstill.grading.answers.base import (
    NONE_GIVEN,
    AnswerCandidate,
    last,
    lowered,
    refuses,
)
from potstill.grading.answers.yes_no_letters import letter_of_text, lone_letter
from potstill.grading.answers.yes_no_prose import implied, leaves_open
from potstill.grading.answers.yes_no_words import (
    bare_gold,
    denied_from,
    gold_meaning,
    is_ambiguous,
    words_of,
)
from potstill.records import Question

_WINDOW = 300
"""Characters of the end of a text that are searched first: they hold most answers."""

_LONGEST = 100_000
"""Characters of a text that are searched at all."""

_LEAD_WORDS = 4
"""Words before a yes or no that answers; one that comes later may only be spoken of."""

_LONGEST_PARAGRAPH = 1_500
"""Characters of a last paragraph that are read for what it says without yes or no."""

_BREAK = re.compile(r"[.!?]\s|\n")
_SENTENCE_END = re.compile(r"[.!?\n]")
_WORD_FOLLOWS = re.compile(r"\s\w")
_FILLER = re.compile(r"[\s\W]*")
# A question for a state: an auxiliary verb at the beginning of a sentence, and before the question
# mark one word, or one with "up" or "down": "Is the coin still heads up?"
_STATE_QUESTION = re.compile(
    r"(?:^|(?<=[.!?:\n]))\s{0,9}(?:is|are|was|were|will|would|does|do|did|can|could|has|have)\b"
    r"[^.!?\n]{0,500}?\b(?P<state>[a-z]+(?: up| down)?)\s?\?"
)
_OPPOSITES = {
    "heads up": "tails up", "heads": "tails", "on": "off", "open": "closed", "even": "odd",
    "plausible": "implausible", "possible": "impossible", "valid": "invalid", "likely": "unlikely",
    "correct": "incorrect", "legal": "illegal", "safe": "unsafe", "alive": "dead",
}  # fmt: skip
_OPPOSITES |= {second: first for first, second in _OPPOSITES.items()}
# "no information", "no one knows": what begins so answers neither yes nor no.
_NO_SUCH = re.compile(
    r"\s(?:one|body)\s(?:(?:really|quite)\s)?(?:knows?\b|can\s(?:say|tell|know)|is\s(?:sure|certain))"
    r"|\s(?:(?:clear|specific|further|reliable|such|available|other|direct)\s)?(?:information|idea"
    r"|clue|data|evidence|mention|indication|record|consensus|proof|details|context)s?\b",
    re.IGNORECASE,
)
# "It is false that it is not true": a word on another one, and what stands before the other one.
_OF_ANOTHER = re.compile(
    r"\sthat\s(?:it|this|that|the\s\w+)(?:\s(?:is|was)|['\u2019]s)(?:\snot|n['\u2019]t)?\s"
    r"(?:true|false)\b",
    re.IGNORECASE,
)
_FALSE_THAT = re.compile(
    r"(?:\b(?:false|untrue|incorrect|wrong|not\s(?:true|correct|right|the\scase))"
    r"|n['\u2019]t\s(?:true|correct|right|the\scase))\sthat\s(?:it|this|that|the\s\w+)"
    r"(?:\s(?:is|was)|['\u2019]s|(?:\sis|\swas)(?=n['\u2019]t))\s?\Z",
    re.IGNORECASE,
)
# "I don't know whether yes": what stands before a word that is only wondered about.
_WONDERS = re.compile(
    r"(?:\bnot\b|n['\u2019]t\b|\bcannot\b|\b(?:un(?:clear|known|certain|sure|able)|impossible|hard"
    r"|difficult)\b)[^.!?\n]{0,60}\b(?:whether|if)\b[^.!?\n]{0,80}\Z",
    re.IGNORECASE,
)


class YesNoReader:
    """Yes or no, also said as true or false.

    Where the question's text asks for a state that has an opposite ("Is the coin still heads up?"),
    naming the state or its opposite says it too.
    """

    concludes = False

    def marked(self, text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the letter that is all of it, the first word that says yes or no, else the state.

        Else what the statement's sentences say without such a word (``yes_no_prose``).
        """
        end = min(end, start + _LONGEST)
        if letter := lone_letter(text, start, end, bare_gold(question.answer)):
            return letter
        answer = next(self._words(text, start, end, question), None)
        answer = answer or next(self._states(text, start, end, question), None)
        if answer is None:
            if refuses(text, start, end):
                return NONE_GIVEN
            said = _implied(text, start, end, question)
            return None if said is NONE_GIVEN and text[end:].strip() else said
        if _WONDERS.search(text, start, answer.start):
            return NONE_GIVEN
        late = len(text[start : answer.start].split()) > _LEAD_WORDS
        late = late and text[answer.end : end].strip("\"' *_).") != ""
        return NONE_GIVEN if late and leaves_open(text, start, end) else answer

    def last(self, text: str, end: int, question: Question) -> AnswerCandidate | None:
        """Returns the last word that says yes or no, or the last sentence's state if it is later.

        Where neither stands in the last paragraph, what its sentences say without them comes first,
        unless the text begins with the word. Both are looked for in the last 100,000 characters.
        """
        if letter := letter_of_text(text, end, bare_gold(question.answer)):
            return letter
        begin = max(0, end - _LONGEST)
        start = text.find(" ", max(begin, end - _WINDOW), end)
        word = None
        if end > _WINDOW and start > 0:
            word = last(self._words(text, start, end, question))
        word = word or last(self._words(text, begin, end, question))
        stop = len(text[begin:end].rstrip()) + begin
        closing = last(_BREAK.finditer(text, max(begin, stop - _WINDOW), stop))
        state = last(self._states(text, closing.end() if closing else begin, stop, question))
        answers = [answer for answer in (word, state) if answer]
        named = max(answers, key=lambda answer: answer.start, default=None)
        paragraph = max(text.rfind("\n", begin, stop) + 1, begin, stop - _LONGEST_PARAGRAPH)
        if named and (named.start >= paragraph or not text[begin : named.start].strip("\n *_")):
            if not _is_aside(text, named):
                return named
            return _implied(text, paragraph, stop, question) or NONE_GIVEN
        return _implied(text, paragraph, stop, question) or named

    def gold(self, question: Question) -> str:
        """Returns ``yes`` or ``no``."""
        gold = gold_meaning(question.answer)
        if gold is None:
            raise DataError(f"question {question.id}: {question.answer!r} is neither yes nor no.")
        return gold

    def same(self, answer: str, gold: str) -> bool:
        """Says whether both are yes or both no."""
        return answer == gold

    def _words(
        self, text: str, start: int, end: int, question: Question
    ) -> Iterator[AnswerCandidate]:
        """Yields words that say yes or no; the determiner in "no coins" does not."""
        opening = _FILLER.match(text, start, end)
        first = opening.end() if opening else start
        words = words_of(question.answer)
        for match in words.pattern.finditer(text, start, end):
            word = (match["word"] or "").casefold()
            if not word:
                continue
            if _is_another_word(text, match, end, word, opens=match.start() <= first):
                continue
            if _OF_ANOTHER.match(text, match.end(), end):
                continue
            denied = denied_from(text, start, match.start())
            yes = (words.meanings[word] == "yes") == (denied is None)
            begin = match.start() if denied is None else denied
            if _FALSE_THAT.search(text, max(start, begin - 60), begin):
                yes = not yes
            yield AnswerCandidate("yes" if yes else "no", begin, match.end())

    def _states(
        self, text: str, start: int, end: int, question: Question
    ) -> Iterator[AnswerCandidate]:
        """Yields where the state that the question asks for, or its opposite, is named."""
        asked_for = _state_asked(question.text)
        if asked_for is None:
            return
        state, either = asked_for
        for match in either.finditer(text, start, end):
            if _repeats(text, match, question.text):
                continue
            yes = (match["state"].casefold() == state) != bool(match["negated"])
            yield AnswerCandidate("yes" if yes else "no", *match.span())


def _implied(text: str, start: int, end: int, question: Question) -> AnswerCandidate | None:
    """Returns what sentences say that use neither word; ``NONE_GIVEN`` where they leave it open."""
    said = implied(text, start, end, question.text)
    if said is None:
        return None
    return AnswerCandidate(said.answer, said.start, said.end) if said.answer else NONE_GIVEN


def _is_another_word(text: str, match: re.Match[str], end: int, word: str, *, opens: bool) -> bool:
    """Says whether a word says neither: the "no" of "has no coins", or of "No one knows"."""
    if word == "no" and _NO_SUCH.match(text, match.end(), end):
        return True
    if opens:
        return False
    if match["word"][0] > "\u3000" and re.match(r"\w", text[match.start() - 1]):
        return True  # part of a word in a script without spaces
    return is_ambiguous(word) and _WORD_FOLLOWS.match(text, match.end(), end) is not None


def _is_wondered(text: str, named: AnswerCandidate) -> bool:
    """Says whether a yes or no is what a text does not know: "I can't tell whether it is true"."""
    return _WONDERS.search(text, max(0, named.start - 200), named.start) is not None


def _is_aside(text: str, named: AnswerCandidate) -> bool:
    """Says whether a late yes or no stands in a sentence that leaves the question open."""
    if _is_wondered(text, named):
        return True
    begin = max(text.rfind(sign, 0, named.start) for sign in ".!?\n") + 1
    late = len(text[begin : named.start].split()) > _LEAD_WORDS
    end = _SENTENCE_END.search(text, named.end)
    stop = end.start() if end else len(text)
    goes_on = text[named.end : stop].strip("\"' *_)") != ""
    return late and goes_on and leaves_open(text, begin, stop)


def _repeats(text: str, match: re.Match[str], question: str) -> bool:
    """Says whether a sentence asks, or repeats one of the question, and so answers nothing."""
    begin = max(text.rfind(sign, 0, match.start()) for sign in ".!?:\n") + 1
    stop = _SENTENCE_END.search(text, match.end(), match.end() + _WINDOW)
    if stop is not None and stop[0] == "?":
        return True
    sentence = text[begin : stop.start() if stop else match.end()].strip()
    return len(sentence.split()) > 2 and sentence in question


@lru_cache(maxsize=2048)
def _state_asked(text: str) -> tuple[str, re.Pattern[str]] | None:
    """Returns the state that a question asks for, and a pattern for it and its opposite.

    None where it asks for none.
    """
    question = last(_STATE_QUESTION.finditer(lowered(text)))
    state = question["state"] if question else ""
    opposite = _OPPOSITES.get(state) or _OPPOSITES.get(state.rpartition(" ")[2])
    if not opposite:
        return None
    state = _OPPOSITES[opposite]
    pattern = rf"\b(?P<negated>not )?(?P<state>{state}|{opposite})\b"
    return state, re.compile(pattern, re.IGNORECASE)
