"""Questions, the task they belong to, and the verdict on an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from potstill.html_tables import html_table, shortened

AnswerType = str
"""``number``, ``choice`` or another that ``grading/answers`` reads; ``module:name`` of a reader."""

RuleName = str
"""``potstill``, the name of a published code's rule, or ``module:name`` of a rule."""

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One problem of a task."""

    id: str
    """Unique within its task, and the same in every run."""

    text: str
    """The problem as a person would read it; options are left out, unless its source lists them."""

    answer: str
    """The gold answer; for a choice task the letter of the right option."""

    choices: tuple[str, ...] = ()
    """The texts of options A, B, C ... of a choice task."""

    template_id: str | None = None
    """Questions that differ only in names and numbers share one, where it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A set of questions with splits, an answer type and a grader named by it."""

    name: str
    """Unique in a run: the set's name, followed by the prompt style and the rule where one set is
    measured in several ways, as in ``bbh_navigate, answer_only, bbh rule``."""

    answer_type: AnswerType
    splits: Mapping[Split, tuple[Question, ...]]
    rule: RuleName = "potstill"
    """How answers are read and compared."""

    measured_set: str = ""
    """The set that the questions are of, where one set is measured in several ways; empty: its name
    is the task's."""

    prompt_style: str = ""
    """The prompt style that every system is asked in; empty: each in its own."""

    source: str = ""
    """The source of the questions."""

    licence: str = ""
    """The licence of the questions, or ``none`` where their source states none."""

    notes: tuple[str, ...] = ()
    """The questions left out of the splits and why, one sentence each, for the report."""

    def _repr_html_(self) -> str:
        """Returns the task as notebooks show it: its splits, and its first questions."""
        counts = ", ".join(f"{len(questions):,} {name}" for name, questions in self.splits.items())
        rows = [
            (name, question.id, shortened(question.text), question.answer)
            for name, questions in self.splits.items()
            for question in questions[:2]
        ]
        title = f"{self.name}: {counts} questions"
        return html_table(("split", "id", "question", "gold answer"), rows, title=title)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """The answer a grader read in a text, and whether it is right."""

    answer: str | None
    """The answer as read, normalised; None where the text gives none."""

    correct: bool
    rule: str
    """The rule that found the answer, e.g. ``marker`` or ``last``."""

    span: tuple[int, int] | None = None
    """The answer's place in the text, as a half-open range of characters."""
