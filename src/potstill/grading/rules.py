"""Rules: ways to read and compare answers other than potstill's own, such as published code's.

The rule ``potstill`` is the grader of ``grade.py``, for verdicts that are right. Every other rule
is one function of task, text and question, found by its name; those of published code, which keep
its defects so that its figures can be recomputed, stand in ``papers/``::

    evaluate: {generic: {tasks: [bbh_navigate], rules: [potstill, flan_t5_cot, bbh]}}
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, NamedTuple

from potstill.errors import ConfigError, shortened
from potstill.plugins import Registry
from potstill.records import Grade, Question, Task
from potstill.setting_names import NameOf

OWN_RULE = "potstill"
"""The name of potstill's own grader among the rules."""

JUDGE_RULE = "judge"
"""The name of the rule by which a model reads what potstill's own grader cannot."""


class RuleVerdict(NamedTuple):
    """The answer that a rule reads in a text, and whether it is right."""

    answer: str | None
    """The answer as the rule writes it; None or empty where it finds none."""

    correct: bool


Rule = Callable[[Task, str, Question], RuleVerdict]
"""Reads a text's answer to a question of a task. Raises ConfigError where it has no way to read
the task's answer type, and DataError where the gold answer does not fit it."""

RULES = Registry[Rule](
    "rule",
    {},
    group="potstill.rules",
    by_reference=True,
    fits=callable,
    calls={"": ("task", "text", "question")},
)


def rule_named(name: str) -> str:
    """The name of a rule that there is.

    Raises:
        ConfigError: There is none, or it cannot be loaded.
    """
    try:
        _RULE_NAME.check(name)
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    _RULE_NAME.resolve(name)
    return name


_RULE_NAME = NameOf(RULES, further=(OWN_RULE, JUDGE_RULE))

AnyRule = Annotated[str, _RULE_NAME]
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
    answer, correct = _checked(RULES[task.rule](task, text, question), task.rule)
    if not answer:
        return Grade(answer=None, correct=False, rule="no_answer")
    return Grade(answer=answer, correct=correct, rule=task.rule)


def _checked(verdict: object, rule: str) -> tuple[str | None, bool]:
    """Returns the answer and whether it is right, as a rule (maybe a user's own) gave them.

    Raises:
        ConfigError: The rule did not return such a pair.
    """
    match verdict:
        case (str() | None as answer, bool() as correct):
            return answer, correct
    raise ConfigError(
        f"the rule {rule} returned {shortened(verdict)}. It has to return the answer as text, or "
        "None, and whether it is right."
    )


_BY_RULE = "{} rule"
"""The part of a measured task's name that tells the rule it is graded by."""


def is_named_by_rule(name: str, rule: str) -> bool:
    """Whether :func:`measured_as` has named a task by this rule."""
    return name.endswith(f", {_BY_RULE.format(rule)}")


def measured_as(task: Task, *, style: str = "") -> Task:
    """The task as one of several ways to measure it, named ``SET, STYLE, RULE rule``.

    Args:
        task: With the rule it is graded by; ours is not named.
        style: The prompt style that its questions are put in; empty: each system's own.
    """
    rule = "" if task.rule == OWN_RULE else _BY_RULE.format(task.rule)
    if not style and not rule:
        return task
    name = ", ".join(filter(None, (task.name, style, rule)))
    return replace(task, name=name, measured_set=set_of(task), prompt_style=style)


def set_of(task: Task) -> str:
    """The set that a task's questions are of, whichever way it is measured."""
    return task.measured_set or task.name


def asks_for_answers_alone(task: Task) -> bool:
    """Whether a task is measured in a prompt style that asks for no reasoning."""
    return task.prompt_style in ("answer_only", "zero_shot")


def bracketed_gold(task: Task, question: Question) -> str:
    """The gold answer as BIG-Bench Hard writes it: options in brackets."""
    answer = question.answer.strip()
    return f"({answer})" if task.answer_type == "choice" and len(answer) == 1 else answer
