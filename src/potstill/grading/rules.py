"""Rules: ways to read and compare answers other than potstill's own, such as published code's.

The rule ``potstill`` is the grader of ``grade.py``, for verdicts that are right. Every other rule
is one function of task, text and question, found by its name; those of published code, which keep
its defects so that its figures can be recomputed, stand in ``papers/``::

    evaluate: {generic: {tasks: [bbh_navigate], rules: [potstill, flan_t5_cot, bbh]}}
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from potstill.errors import ConfigError
from potstill.plugins import Registry
from potstill.records import Grade, Question, Task

OWN_RULE = "potstill"
"""The name of potstill's own grader among the rules."""


class RuleVerdict(NamedTuple):
    """The answer that a rule reads in a text, and whether it is right."""

    answer: str | None
    """The answer as the rule writes it; None or empty where it finds none."""

    correct: bool


Rule = Callable[[Task, str, Question], RuleVerdict]
"""Reads a text's answer to a question of a task. Raises ConfigError where it has no way to read
the task's answer type, and DataError where the gold answer does not fit it."""

RULES = Registry[Rule]("rule", {}, group="potstill.rules", by_reference=True, fits=callable)


def rule_named(name: str) -> str:
    """The name of a rule that there is.

    Raises:
        ConfigError: There is none.
    """
    if name != OWN_RULE and name not in RULES:
        raise ConfigError(f"{RULES.unknown(name)}. Our own is {OWN_RULE}.")
    if name != OWN_RULE:
        RULES.named(name)
    return name


AnyRule = Annotated[str, AfterValidator(rule_named)]
"""A rule in a recipe, by name."""


def grade_by_rule(task: Task, text: str, question: Question) -> Grade:
    """Grade by the rule that ``task.rule`` names.

    Returns:
        The answer as that rule reads it, with the rule's name or ``no_answer`` as the rule. Such an
        answer has no span.

    Raises:
        ConfigError: The rule has no way to read the task's answer type.
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
    rule = "" if task.rule == OWN_RULE else f"{task.rule} rule"
    return replace(task, name=", ".join(filter(None, (task.name, style, rule))))


def set_of(task: Task) -> str:
    """The set that a task's questions are of, whichever way it is measured."""
    return task.name.partition(", ")[0]


def asks_for_answers_alone(task: Task) -> bool:
    """Whether a task is measured in a prompt style that asks for no reasoning."""
    return not {"answer_only", "zero_shot"}.isdisjoint(task.name.split(", ")[1:])


def bracketed_gold(task: Task, question: Question) -> str:
    """The gold answer as BIG-Bench Hard writes it: options in brackets."""
    answer = question.answer.strip()
    return f"({answer})" if task.answer_type == "choice" and len(answer) == 1 else answer
