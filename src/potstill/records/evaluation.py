"""The results of evaluation and guidance: systems, predictions, scores, choices, comparisons."""

from dataclasses import dataclass, replace

from potstill.records.completion import FinishReason
from potstill.records.policy import Policy
from potstill.records.task import Split


@dataclass(frozen=True, slots=True)
class System:
    """A measured model in one way of asking: what every score, prediction and comparison is of.

    It is a value: equal ones are the same system, and nothing reads one back out of a text.
    """

    model: str
    """``teacher``, ``start``, or the name of a student or of a Socratic pair in the recipe."""

    start: str | None = None
    """The start checkpoint's name where the recipe has several; None: the recipe's student."""

    variant: str = ""
    """How it is asked beyond its own way: ``zero_shot``, ``few_shot``, ``vote``,
    ``teacher_questions`` or the name of a data format; empty: in its own way."""

    step: int | None = None
    """Optimiser steps behind a checkpoint; None for a model that was not trained here."""

    taken: bool = True
    """False: a checkpoint that the recipe's rule did not take. It stands beside the one that was
    taken under the same model, start and variant, so its label says its step."""

    @property
    def label(self) -> str:
        """The name that people see, such as ``start_zero_shot`` or ``rationales@400``.

        No two systems of a run read the same: a recipe in which they would is refused.
        """
        parts = (self.model, self.start, self.variant)
        at_step = "" if self.taken or self.step is None else f"@{self.step}"
        return "_".join(part for part in parts if part) + at_step

    @property
    def as_shown(self) -> "System":
        """The system as tables name it: without the step of a checkpoint that was taken.

        Two systems of a run with one label are equal in this form.
        """
        return replace(self, step=None) if self.taken else self

    @property
    def bare(self) -> "System":
        """The model alone, without a way of asking and without a step."""
        return System(self.model, self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemEngine:
    """The program that computed a local system's answers to the test questions."""

    system: System
    engine: str
    """``transformers`` in this process, ``vllm``, or the name of another server's program."""

    number_format: str
    """E.g. ``float32``; empty where the program settles it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One system's graded answer to one test question."""

    system: System
    task: str
    question_id: str
    text: str
    answer: str | None
    correct: bool
    finish_reason: FinishReason
    completion_tokens: int
    thinking_ended: bool | None = None
    """The :attr:`potstill.records.Completion.thinking_ended` of the sample that speaks for all."""

    question_digest: str = ""
    """Stands for the question's text and options, see :func:`potstill.keys.question_digest`; empty:
    an older potstill kept its id alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many of a split's questions one system answered rightly."""

    system: System
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

    thinking_ended: int | None = None
    """Answers whose thinking was ended at ``evaluate.thinking_tokens``; None: there was no such
    limit, or an older potstill did not note it."""

    @property
    def step(self) -> int | None:
        """Optimiser steps behind the checkpoint; None for a model that was not trained here."""
        return self.system.step

    @property
    def chosen(self) -> bool:
        """Whether this is the checkpoint that was chosen for its student."""
        return self.system.step is not None and self.system.taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The checkpoint that one selection rule chooses for a student, by development questions."""

    student: str
    """The student's or pair's name in the recipe."""

    start: str | None = None
    """The start it was trained from, as in :attr:`System.start`."""

    rule: str
    step: int
    used: bool
    """Whether it is the recipe's rule, whose checkpoint is the student; the others are shown."""

    @property
    def system(self) -> System:
        """The student or pair, whichever its checkpoint."""
        return System(self.student, self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two systems on the same questions."""

    task: str
    first: System
    second: System
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

    policy: Policy

    task: str
    split: Split
    question_id: str
    text: str
    """The whole answer, guidance included."""

    guidance: str
    """The part of it that the teacher wrote; empty where it did not step in."""

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

    question_digest: str = ""
    """Stands for the question's text and options, see :func:`potstill.keys.question_digest`; empty:
    an older potstill kept its id alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedScore:
    """The accuracy a policy of guidance reaches on a split, and at what price."""

    policy: Policy
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
class JudgeFigures:
    """Counts of a judge: a model that reads answers which the rules cannot read."""

    stage: str
    """The stage whose answers it graded."""

    task: str
    model: str
    """``Model.name`` of the judge."""

    unread: int
    """Texts in which the rules read no answer."""

    answered: int
    """Unread texts in which the judge read an answer."""

    silent: int
    """Unread texts for which the judge was not available, or gave no verdict."""

    compared: int
    """Texts that both the judge and the rules were to read."""

    agreed: int
    """Compared texts in which both read the same answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageMachine:
    """A machine that a stage has worked on, as it was at the stage's end."""

    stage: str
    system: str
    """The operating system with its version, and the kind of processor."""

    processor: str
    """The processor's name; empty where the system does not tell it."""

    cores: int
    """Processor cores that the process may use."""

    memory_bytes: int
    """Bytes of the machine's memory; 0 where the system does not tell it."""

    accelerators: str
    """The accelerators that torch sees, such as ``2 x NVIDIA H200``; empty for none, or where the
    stage had no need of torch."""

    versions: str
    """Python, potstill and the packages that computed, each with its version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """The time and means that a stage has taken."""

    name: str
    seconds: float
    tokens: int
    """Tokens written by models, or trained on."""

    cost: float
    """US dollars."""
