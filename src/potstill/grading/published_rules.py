"""The grading rules of published code, defects included, to recompute published figures.

=================  ============================================================================
``fine_tune_cot``  Fine-tune-CoT (reasoning-teacher @ a2ca4d2, src/evaluation/evaluator.py)
``flan_t5_cot``    FlanT5-CoT-Specialization (@ a8ffd51, src/utils.py and test_bbh.py)
``zero_shot_cot``  Zero-shot-CoT (zero_shot_cot, answer_cleansing in utils.py)
``bbh``            BIG-Bench Hard: exact match of what follows "answer is"
=================  ============================================================================

For verdicts that are right rather than the same as theirs, use the rule ``potstill``.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from potstill.errors import ConfigError, DataError
from potstill.grading.answers import READERS
from potstill.records import AnswerType, Grade, Question, Task


class _Verdict(NamedTuple):
    answer: str | None
    correct: bool


_Rule = Callable[[Task, str, Question], _Verdict]


def grade_by_rule(task: Task, text: str, question: Question) -> Grade:
    """Grade as the code that ``task.rule`` names does.

    Returns:
        The answer as that code reads it, with the rule's name or ``no_answer`` as the rule. Such an
        answer has no span.

    Raises:
        ConfigError: That code has no rule for the task's answer type.
        DataError: The gold answer does not fit the answer type.
    """
    answer, correct = RULES[task.rule](task, text, question)
    if not answer:
        return Grade(answer=None, correct=False, rule="no_answer")
    return Grade(answer=answer, correct=correct, rule=task.rule)


def measured_as(task: Task, *, style: str = "") -> Task:
    """The task as one of several ways to measure it, named ``SET, STYLE, RULE rule``.

    Args:
        task: With the rule it is graded by; ours is not named.
        style: The prompt style that its questions are put in; empty: each system's own.
    """
    rule = "" if task.rule == "potstill" else f"{task.rule} rule"
    return replace(task, name=", ".join(filter(None, (task.name, style, rule))))


def _set_of(task: Task) -> str:
    """The set that a task's questions are of, whichever way it is measured."""
    return task.name.partition(", ")[0]


def _asks_for_answers_alone(task: Task) -> bool:
    return not {"answer_only", "zero_shot"}.isdisjoint(task.name.split(", ")[1:])


_CUES = ("-->", "Therefore, the answer is", "The answer is")


def _fine_tune_cot(task: Task, text: str, question: Question) -> _Verdict:
    """The first candidate after the answer prefix's first occurrence; without one, the last.

    There each prompt template has its own prefix. Here the text shows its template: the first of
    "-->" (students), "Therefore, the answer is" (the teacher's second step, whose completion starts
    there) and "The answer is" (few-shot) that occurs. Numbers of gsm8k and multiarith are compared
    as strings, others within 1e-6; letters count inside words.
    """
    cue = next((cue for cue in _CUES if cue in text), None)
    answer_part = text.partition(cue)[2] if cue else text
    found = _candidates(task, answer_part, question, number=r"-?\d+(?:\.\d+)?")
    answer = (found[0] if cue else found[-1]) if found else None
    gold = _gold(task, question)
    if task.answer_type != "number" or _set_of(task) in ("gsm8k", "multiarith"):
        return _Verdict(answer, answer == gold)
    return _Verdict(answer, answer is not None and abs(float(answer) - _float(gold)) <= 1e-6)


_TRIGGERS: Mapping[AnswerType, str] = {
    "number": r"Therefore, the answer \(arabic numerals\) is",
    "choice": r"Therefore, among A through [A-Z], the answer is",
    "yes_no": r"Therefore, the answer \(Yes or No\) is",
}
_PLAIN_TRIGGER = r"Therefore, the answer is"


def _zero_shot_cot(task: Task, text: str, question: Question) -> _Verdict:
    """The first candidate after the answer trigger, compared as a string.

    The trigger is the zero-shot one of the answer type, or "Therefore, the answer is", or, the last
    time it occurs, the few-shot one: "The answer is". A text with none of them is what a model
    wrote after a prompt that ended in the trigger.
    """
    triggers = (_TRIGGERS.get(task.answer_type, _PLAIN_TRIGGER), _PLAIN_TRIGGER)
    trigger = next(filter(None, (re.search(each, text) for each in triggers)), None)
    answer_part = text[trigger.end() :] if trigger else text.rpartition("The answer is")[2]
    found = _candidates(task, answer_part, question, number=r"-?\d+\.?\d*")
    answer = found[0].removesuffix(".") if found else None
    return _Verdict(answer, answer == _gold(task, question))


def _flan_t5_cot(task: Task, text: str, question: Question) -> _Verdict:
    """The last number of text and gold answer, as floats; in BIG-Bench Hard, a substring.

    Numbers have neither sign nor thousands there. Where the gold answer holds none, it is wrong.
    In BIG-Bench Hard and for other types, the gold answer must occur in what stands between the
    first and the second "the answer is", spelt in lower case; where answers alone were asked for,
    it must occur anywhere.
    """
    if task.answer_type == "number" and not task.name.startswith("bbh"):
        answer, gold = _last_number(text), _last_number(question.answer)
        same = answer is not None and gold is not None and float(answer) == float(gold)
        return _Verdict(answer, same)
    if _asks_for_answers_alone(task):
        return _Verdict(text.strip(), _target(task, question) in text)
    parts = text.split("the answer is", maxsplit=2)
    answer = parts[1].strip() if len(parts) > 1 else None
    return _Verdict(answer, answer is not None and _target(task, question) in parts[1])


def _bbh(task: Task, text: str, question: Question) -> _Verdict:
    """All that follows "answer is", less a full stop; without it, the whole text."""
    answer = text.rpartition("answer is ")[2].strip().removesuffix(".")
    return _Verdict(answer, answer == _target(task, question))


RULES: Mapping[str, _Rule] = {
    "fine_tune_cot": _fine_tune_cot,
    "flan_t5_cot": _flan_t5_cot,
    "zero_shot_cot": _zero_shot_cot,
    "bbh": _bbh,
}


def _candidates(task: Task, text: str, question: Question, *, number: str) -> list[str]:
    """All that fits the answer type, as both Fine-tune-CoT and Zero-shot-CoT find it."""
    match task.answer_type:
        case "number":
            return re.findall(number, text.replace(",", ""))
        case "choice":
            # Five options or six, date_understanding's pattern is [ABCDEF].
            count = 6 if _set_of(task) == "date_understanding" else len(question.choices) or 5
            return [sign for sign in text if "A" <= sign < chr(ord("A") + count)]
        case "yes_no":
            words = re.sub(r"[\"'\n.\s:,]", " ", text.lower()).split(" ")
            return [word for word in words if word in ("yes", "no")]
        case "text":
            return [re.sub(r"[\"'\n.\s]", "", text)]
        case other:
            raise ConfigError(
                f"task {task.name}: rule {task.rule} has no way to read answers of type {other}; "
                "use the rule potstill."
            )


def _gold(task: Task, question: Question) -> str:
    """The gold answer as both write it."""
    match task.answer_type:
        case "number":
            number = question.answer.rpartition("####")[2].strip()
            return number.replace(",", "").removesuffix(".0")
        case "choice" | "yes_no" as kind:
            return READERS[kind].gold(question)
        case _:
            return question.answer.strip()


def _float(gold: str) -> float:
    try:
        return float(gold)
    except ValueError:
        raise DataError(f"the gold answer {gold!r} is no number.") from None


def _last_number(text: str) -> str | None:
    found = deque(re.finditer(r"\d*\.?\d+", text), maxlen=1)
    return found[0][0] if found else None


def _target(task: Task, question: Question) -> str:
    """The gold answer as BIG-Bench Hard writes it: options in brackets."""
    answer = question.answer.strip()
    return f"({answer})" if task.answer_type == "choice" and len(answer) == 1 else answer
