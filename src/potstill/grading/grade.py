r"""The grader that curation and evaluation share: reads a final answer, compares it to the gold.

In "4 bags of 5 make 20, and 2 are lost. The answer is 18 apples." the marker "The answer is" leads
to the statement "18 apples.", the reader for numbers takes 18 from it, and 18 is the gold answer
"18.0": correct, by the rule ``marker``. In general, one rule decides which candidate is the answer:

0. Thinking is no part of the text (``text.thinking``); where it has not ended there is no answer.
1. A text that has answered and runs on into a next question ends before it.
2. Of the statements that mark a final answer ("The answer is 18", "**Answer:** 18", "#### 18",
   "--> 18", "\boxed{18}", '{"answer": 18}', "18 is the answer" and their kin, in any case and in
   many languages, see ``markers``), the last one that holds a fitting candidate counts.
3. Without one, the last fitting candidate of the text counts, unless the text ends in a loop.
4. A statement that refuses ("cannot be determined") or names several options ends the search.
5. Where there is none, the answer is None and not correct.

The answer type says what fits, and which candidate of a statement is meant where it holds several
(``answers``): mostly the first. Nothing but the text, the form of the gold answer and the question
is looked at; no rule belongs to one model or one data set.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from potstill.errors import ConfigError, DataError, shortened
from potstill.grading.answers import READERS, AnswerCandidate, Reader
from potstill.grading.answers.base import NONE_GIVEN
from potstill.grading.markers import statements, text_end
from potstill.grading.rules import JUDGE_RULE, OWN_RULE, grade_by_rule
from potstill.records import Grade, Question, Task
from potstill.text.thinking import separate

GRADER_VERSION = "4"
"""Stored with every verdict; it changes whenever some text may be graded differently."""

Grader = Callable[[Task, str, Question], Grade]
"""Reads a text's answer to a question of a task and compares it to the gold, as :func:`grade`."""

_LOOP_TAIL = 600
"""Characters at the end of a text that are searched for a loop."""

_LOOP_PROBE = 12
"""Characters at the very end that must stand before in the same words."""

_SHORTEST_LOOP = 60
"""Characters that must repeat; less may be the answer said twice."""

# Words that lead up to a marker: "So the final [answer is]", "among A through E, [the answer is]".
_LEAD = re.compile(
    r"(?:\b(?:so|thus|therefore|hence|and|then|finally),? )?(?:among A through [A-Z], )?"
    r"(?:\b(?:the|my|our|la|le|die|der|a|o|il|de|het) )?"
    r"(?:\bfinal )?(?:\b(?:correct|right|best) )?\Z",
    re.IGNORECASE,
)
# Signs that open the line or stand before the marker: "**[Answer:]**", "> ", "```json {".
_DECORATION = re.compile(
    r"(?:^|(?<=\s))(?:```\w{0,9}\s{0,9})?[*#_>$<{\"(-]{1,9}\s{0,9}[\"_]{0,2}\Z"
)
_CONCLUDES = re.compile(r"[\s*_]{0,9}(?:Therefore|Thus|Hence|So),? ")
_WORD = re.compile(r"\w")
# Another sentence or line: a stop and a word behind it, or a line with a word on it.
_SENTENCE_FOLLOWS = re.compile(r"[.!?][^\w\n]{1,9}\w|\n\s{0,99}[^\w\n]{0,9}\w")
# A sub-question of the text's own and the reply to it: "Question 2: How much?", "Answer:".
_SUBQUESTION = re.compile(
    r"[^\w\n]{0,9}(?:(?:sub[- ]?)?question|q)(?P<number>\s?\d[\d.]{0,5})?[\s*_]{0,3}[:.)]",
    re.IGNORECASE,
)
_REPLY = re.compile(r"a(?:ns|nswer)?[\s*_]{0,3}:", re.IGNORECASE)


def grade(task: Task, text: str, question: Question) -> Grade:
    """Reads the final answer of a text and compares it to the gold answer.

    Args:
        task: The task, which says what counts as an answer and by which rule it is read.
        text: The text as a model wrote it.
        question: The question with its gold answer, and the options of a choice.

    Returns:
        The answer as read, with the rule ``marker``, ``last`` or ``no_answer``; ``timeout`` where
        mathematics could not be compared in time; the name of the published rule that read it. By
        the rule ``judge`` only what the rules read is graded here; no model is asked.

    Raises:
        DataError: The gold answer does not fit the answer type.
        ConfigError: A reader or a rule of a user's own returned something else than it has to.
    """
    if task.rule not in (OWN_RULE, JUDGE_RULE):
        return grade_by_rule(task, text, question)
    parts = separate(text)
    before = parts.start
    text = text if parts.thinking is None else parts.answer(text)
    reader = READERS[task.answer_type]
    question, gold = plain_gold(reader, question)
    answer, rule = _find_answer(text, reader, question)
    if answer is None or answer is NONE_GIVEN:
        return Grade(answer=None, correct=False, rule="no_answer")
    if not isinstance(answer, AnswerCandidate):
        raise _misread(task, rule.replace("marker", "marked"), answer, "an AnswerCandidate or None")
    if not isinstance(gold, str):
        raise _misread(task, "gold", gold, "the gold answer as text")
    correct = reader.same(answer.answer, gold)
    if correct is None:
        correct, rule = False, "timeout"
    elif not isinstance(correct, bool):
        raise _misread(task, "same", correct, "True, False or, where time ran out, None")
    span = (before + answer.start, before + answer.end)
    return Grade(answer=answer.answer, correct=correct, rule=rule, span=span)


def _misread(task: Task, method: str, returned: object, wanted: str) -> ConfigError:
    """Returns the error that a reader, of a user's own, gave something else than it has to."""
    return ConfigError(
        f"the answer type {task.answer_type} returned {shortened(returned)} from {method}. It has "
        f"to return {wanted}."
    )


def plain_gold(reader: Reader, question: Question) -> tuple[Question, str]:
    """Returns the question with its gold answer alone, and that answer in the form to compare in.

    A gold answer may be given as a worked solution ("... #### 18"); then the answer is the one that
    its final-answer marker marks.

    Raises:
        DataError: The gold answer does not fit the type, and marks none that does.
    """
    try:
        return question, reader.gold(question)
    except DataError:
        solution = question.answer
        for statement in statements(solution, len(solution)):
            marked = reader.marked(solution, statement.start, statement.end, question)
            if marked and marked is not NONE_GIVEN:
                question = replace(question, answer=marked.answer)
                return question, reader.gold(question)
        raise


def split_rationale(text: str, grade: Grade) -> str:
    """Returns the reasoning of a graded text, without the closing statement of its answer.

    Args:
        text: The text as a model wrote it.
        grade: The grade that :func:`grade` gave it.

    Returns:
        The text behind its thinking, up to its final-answer marker where nothing but the answer
        follows, else all of it.
        A boxed number stays: it is part of the reasoning's last sentence. So does what
        answers a labelled sub-question ("Question 2: How much? Answer: 13 * 2 = 26"): it is a step.
    """
    parts = separate(text)
    text = parts.answer(text)
    if grade.rule != "marker" or grade.span is None:
        return text.strip()
    text = text[: text_end(text)]
    closing = next(statements(text, len(text)), None)
    if closing is None or not closing.start <= grade.span[0] - parts.start < closing.end:
        return text.strip()
    for _ in range(3):  # "So the answer is 18.\n#### 18" closes twice
        if closing is None or closing.boxed or _goes_on(text, closing.start):
            break
        if _answers_subquestion(text, closing.begin):
            break
        text = _DECORATION.sub("", text[: _lead_start(text, closing.begin)]).rstrip(" \n,;")
        closing = next(statements(text, len(text)), None)
    return text.strip()


def _lead_start(text: str, begin: int) -> int:
    """Returns where the words begin that lead up to a marker, such as "So the final"."""
    before = text[max(0, begin - 80) : begin]
    lead = _LEAD.search(before)
    return begin - len(lead[0]) if lead else begin


def _answers_subquestion(text: str, begin: int) -> bool:
    """Says whether a statement answers a question labelled on its line or the one before.

    Without a number, a label that opens the text may as well stand before the task's question.
    """
    if _REPLY.match(text, begin) is None:
        return False
    asked = text[:begin].rstrip(" \t*_#>-")
    if not asked.endswith(("?", "\n")):
        return False
    asked = asked.rstrip()
    line = asked.rfind("\n") + 1
    label = _SUBQUESTION.match(asked, line)
    return label is not None and (line > 0 or label["number"] is not None)


def _find_answer(
    text: str, reader: Reader, question: Question
) -> tuple[AnswerCandidate | None, str]:
    """Returns the final answer and the rule that found it."""
    end = text_end(text)
    for statement in statements(text, end):
        if marked := reader.marked(text, statement.start, statement.end, question):
            may_conclude = reader.concludes and marked is not NONE_GIVEN
            closing = _conclusion(text, statement.end, end) if may_conclude else None
            later = reader.marked(text, *closing, question) if closing else None
            return later if later and later is not NONE_GIVEN else marked, "marker"
    return None if _ends_in_loop(text, end) else reader.last(text, end, question), "last"


def _ends_in_loop(text: str, end: int) -> bool:
    """Says whether a text ends in a loop, as small models do until they are cut off."""
    tail = text[max(0, end - _LOOP_TAIL) : end]
    # The period is the distance to where the last characters stood before. The text loops where
    # four periods, and no less than the shortest loop, are the same as one period earlier.
    before = tail.rfind(tail[-_LOOP_PROBE:], 0, -1)
    period = len(tail) - _LOOP_PROBE - before
    looped = max(4 * period, _SHORTEST_LOOP)
    return before >= 0 and looped <= len(tail) and tail[-looped:-period] == tail[period - looped :]


def _conclusion(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Returns where the last line behind a statement concludes from it ("Therefore, ...")."""
    end = start + len(text[start:end].rstrip())
    line = max(start, text.rfind("\n", start, end) + 1)
    opening = _CONCLUDES.match(text, line, end)
    return (opening.end(), end) if opening else None


def _goes_on(text: str, start: int) -> bool:
    """Says whether another sentence or line follows the one at ``start``."""
    word = _WORD.search(text, start)
    return word is not None and _SENTENCE_FOLLOWS.search(text, word.start()) is not None
