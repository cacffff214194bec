r"""Finds the expression that is the answer of a sentence of prose.

"There are 256 integers of the form $1+9n$" answers 256, "the magnitude of $5-12i$ is 13" answers
13, and "the car travels 256 miles on 8 gallons", to a question with the 8 in it, 256.
"""

import re
from collections.abc import Sequence

from potstill.grading.answers import number_spans
from potstill.grading.answers.base import AnswerCandidate

_SENTENCE_END = re.compile(r"(?<![\\.])[.!?](?=\s|$)|\n\n")
_CONCLUDES = re.compile(r"\b(?:[Tt]hus|[Ss]o|[Hh]ence|[Tt]herefore|[Ww]e conclude that)\b,?\s")
_FEW = (
    r"(?:(?:only|exactly|just|about|approximately|an?|the|total|of|at|most|least|equal|to|still"
    r"|also|now|either|simply|precisely|indeed)\s){0,4}"
)
_COUNTS = re.compile(
    r"(?<!since )(?<!because )(?<!if )(?<!where )"
    r"\b(?:there|it)\s(?:are|is|were|was|exists?|(?:will|must|can)\sbe)\s"
    rf"{_FEW}[\s$\\(\[]{{0,4}}\Z",
    re.IGNORECASE,
)
_STATES = re.compile(
    r"(?:[=\u2248:]|\b(?:is|are|was|were|be|been|equals?|becomes?|gives?|yields?|has|have|gets?"
    rf"|obtain|contains?|costs?|takes?|needs?|total)\s{_FEW})[\s$\\(\[*]{{0,4}}\Z",
    re.IGNORECASE,
)
_STATES_ALONE = re.compile(
    rf"\b(?:is|equals|becomes|total)\s{_FEW}[\s$\\(\[*]{{0,4}}\Z", re.IGNORECASE
)
_CLAUSE = re.compile(r"\s*(?:Since|Because|If|When|As|Given|After)\b[^.\n]{1,300}?, (?=[A-Za-z])")
# Words before an expression that only describes the subject: "of the form $1+9n$", "on 8 gallons".
_DESCRIBES = re.compile(
    r"\b(?:of|for|on|in|to|from|between|and|by|with|than|that|when|where|if|since|such|form|using|over"
    r"|under|after|before|into|side|angle|triangle|segment|point|number|integer|variable|function"
    r"|length|line|value|all|any|every|each|divisible|equation|base)\s[\s$\\(\[]{0,4}\Z",
    re.IGNORECASE,
)


def closing_sentence(text: str, end: int) -> tuple[int, int]:
    """Returns where the last sentence of a text up to ``end`` begins and ends."""
    stop = len(text[:end].rstrip())
    begin = max(0, stop - 600)
    begin = _last_end(_SENTENCE_END, text, begin, max(begin, stop - 1))
    return _last_end(_CONCLUDES, text, begin, stop), stop


def _last_end(pattern: re.Pattern[str], text: str, begin: int, stop: int) -> int:
    """Returns where the last match of a range ends; its beginning where there is none."""
    return max((match.end() for match in pattern.finditer(text, begin, stop)), default=begin)


def stated(text: str, start: int, candidates: Sequence[AnswerCandidate]) -> AnswerCandidate | None:
    """Returns the candidate that a sentence states; None where its words do not tell.

    Args:
        text: The whole text.
        start: The index at which the sentence begins.
        candidates: Its formulas and numbers, in order.
    """
    clause = _CLAUSE.match(text, start)
    if clause and any(candidate.start >= clause.end() for candidate in candidates):
        start = clause.end()
    candidates = [
        candidate
        for candidate in candidates
        if candidate.start >= start and (len(candidate.answer) > 1 or candidate.answer.isdigit())
    ]
    for candidate in candidates:
        if _COUNTS.search(text, max(start, candidate.start - 60), candidate.start):
            later = [other for other in candidates if other.start > candidate.start]
            return _last_behind(_STATES_ALONE, text, start, later) or candidate
    return _last_behind(_STATES, text, start, candidates)


def _last_behind(
    pattern: re.Pattern[str], text: str, start: int, candidates: Sequence[AnswerCandidate]
) -> AnswerCandidate | None:
    """Returns the last candidate that stands behind what a pattern matches."""
    for candidate in reversed(candidates):
        if pattern.search(text, max(start, candidate.start - 60), candidate.start):
            return candidate
    return None


def new_in(
    text: str, start: int, candidates: Sequence[AnswerCandidate], question: str
) -> AnswerCandidate | None:
    """Returns the one number of a sentence that the question does not give.

    None where the last candidate is no mere description, or where there are several new ones.
    """
    if len(candidates) < 2:
        return None
    final = candidates[-1]
    if not _DESCRIBES.search(text, max(start, final.start - 40), final.start):
        return None
    known = {number.value for number in number_spans.numbers(question)}
    new = [
        candidate
        for candidate in candidates
        if (value := number_spans.parse(candidate.answer)) is not None and value not in known
    ]
    return new[0] if len(new) == 1 else None
