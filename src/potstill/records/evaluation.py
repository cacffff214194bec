"""What was measured."""

from dataclasses import dataclass
from typing import Literal

from potstill.records.completion import FinishReason
from potstill.records.task import Split

GuidedKind = Literal["policy", "control", "routing", "alone", "self", "sampled"]
"""``routing``: whole questions go to the teacher; ``self``: the student questions itself;
``sampled``: pass@k, right if one of k samples is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One system's graded answer to one test question."""

    system: str
    """``teacher``, ``start``, or a student's name; NAME@STEP is a checkpoint not taken."""

    task: str
    question_id: str
    text: str
    answer: str | None
    correct: bool
    finish_reason: FinishReason
    completion_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many of a split's questions one system answered rightly."""

    system: str
    step: int | None
    """Optimiser steps behind the checkpoint; None for a model that was not trained here."""

    task: str
    split: Split
    correct: int
    total: int
    low: float
    """Lower end of the 95% interval of correct / total, between 0 and 1."""

    high: float
    """Upper end of the interval."""

    no_answer: int
    """Answers in which the grader found none."""

    truncated: int
    """Answers cut off at ``max_tokens``."""

    chosen: bool
    """Whether this is the checkpoint that was chosen for its student."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The checkpoint that one selection rule chooses for a student, by development questions."""

    student: str
    rule: str
    step: int
    used: bool
    """Whether it is the recipe's rule, whose checkpoint is the student; the others are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two systems on the same questions."""

    task: str
    first: str
    second: str
    only_first: int
    """Questions that only the first answered rightly."""

    only_second: int
    """Questions that only the second answered rightly."""

    total: int
    difference: float
    """Accuracy of the first less that of the second."""

    low: float
    """Lower end of the 95% interval of the difference, by paired bootstrap."""

    high: float
    """Upper end of the interval."""

    p_value: float
    """Exact McNemar test, two-sided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedPrediction:
    """One graded answer that a student wrote under a policy of guidance."""

    policy: str
    """Unique in a run, e.g. ``never``, ``first`` or ``at_2``; controls begin with ``control_``."""

    task: str
    split: Split
    question_id: str
    text: str
    """The whole answer, guidance included."""

    guidance: str
    """What the teacher wrote of it; empty where it did not step in."""

    answer: str | None
    correct: bool
    leaked: bool
    """Whether the guidance holds the gold answer."""

    student_tokens: int
    teacher_tokens: int
    cost: float
    """US dollars, of both."""

    steps: int | None = None
    """Steps of the teacher's own chain for the question; None where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedScore:
    """What a policy of guidance reaches on a split, and at what price."""

    policy: str
    kind: GuidedKind

    task: str
    split: Split
    accuracy: float
    """Between 0 and 1; the expected one where questions are routed or sampled at random."""

    low: float
    """Lower end of the 95% interval of the accuracy."""

    high: float
    total: int
    guided: int
    """Questions in whose answer the teacher's words stand."""

    teacher_tokens: float
    """Mean tokens of the teacher a question."""

    student_tokens: float
    cost: float
    """Mean US dollars a question, of both."""

    leaked: int
    """Questions whose guidance holds the gold answer."""

    unleaked_accuracy: float | None
    """Over the other questions; None where all leaked."""

    difference: float | None
    """Accuracy less that of the student alone on the same questions; None for itself."""

    difference_low: float | None
    difference_high: float | None
    """The 95% interval of the difference, by paired bootstrap."""

    p_value: float | None
    """Exact McNemar test against the student alone, two-sided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """What a stage has taken."""

    name: str
    seconds: float
    tokens: int
    """Tokens written by models, or trained on."""

    cost: float
    """US dollars."""
