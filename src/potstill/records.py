"""The records that flow through a run: frozen, with no work in them.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FinishReason = Literal["stop", "length", "content_filter", "error"]
AnswerType = Literal["number", "choice", "yes_no", "text", "date", "list", "math"]
RuleName = Literal["potstill", "fine_tune_cot", "flan_t5_cot", "zero_shot_cot", "bbh"]
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
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one model is asked once; the same request gets the same stored completions."""

    prompt: str | tuple[Message, ...]
    """Plain text to continue, or the turns of a chat."""

    answer_prefix: str = ""
    """Text the answer must begin with; it is not repeated in the completion's text."""

    samples: tuple[int, ...] = (0,)
    """The indices of the samples wanted; index i is the same draw in every run."""

    temperature: float = 0.0
    """Softmax temperature; 0 is greedy."""

    top_p: float = 1.0
    """Nucleus mass sampled from; 1 keeps every token."""

    max_tokens: int = 512
    """Longest completion, in the model's own tokens."""

    stop: tuple[str, ...] = ()
    """The completion ends before the first of these strings."""

    top_logprobs: int = 0
    """K: how many likeliest tokens to return at each position; 0 returns none."""

    seed: int = 0
    """Seeds the draws, together with the sample index."""

    question: str = ""
    """The bare question, for models that look their answer up; not part of the request's key."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenLogprobs:
    """Natural-log probabilities of T tokens and of the K likeliest at each position.

    Column 0 is the token that was chosen, columns 1..K the likeliest ones, best first (the
    chosen one usually stands there again). Where a position has fewer than K entries, the rest
    have logprob -inf and id -1 or length 0. Tokens are named by id or by bytes, never by text:
    distinct tokens can decode to the same text.
    """

    logprobs: NDArray[np.float32]
    """``(T, 1 + K)``, nats, at the sampling distribution's temperature 1."""

    ids: NDArray[np.int32] | None = None
    """``(T, 1 + K)`` ids in the model's vocabulary, where the model is local."""

    token_bytes: bytes = b""
    """The bytes of all tokens one after the other, row by row, where the model is a server."""

    lengths: NDArray[np.uint16] | None = None
    """``(T, 1 + K)``: how many of ``token_bytes`` belong to each token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What a model wrote for one sample of one request."""

    request: Request
    """The request that was answered."""

    sample: int
    """Which of ``request.samples`` this is."""

    text: str
    """The answer, without ``request.answer_prefix``."""

    finish_reason: FinishReason
    """``stop``: ended by itself; ``length``: cut at ``max_tokens``; ``error``: see ``error``."""

    thinking: str | None = None
    """Thinking text, where the server separates it from the answer."""

    prompt_tokens: int = 0
    """Tokens of the prompt, as the model counts them."""

    completion_tokens: int = 0
    """Tokens written, thinking included."""

    cost: float = 0.0
    """US dollars, by the price given for the model; 0 where none was given."""

    logprobs: TokenLogprobs | None = None
    """Token probabilities, where ``request.top_logprobs`` asked for them."""

    error: str | None = None
    """Why there is no answer, when ``finish_reason`` is ``error``; such a sample is asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A model as far as it must be known to find what it wrote."""

    name: str
    """``Model.name``: its completions are stored by it."""

    chat: bool
    """Whether it is asked in chat messages, which settles its prompt style."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """What a grader read in a text, and whether it is right."""

    answer: str | None
    """The answer as read, normalised; None where the text gives none."""

    correct: bool
    rule: str
    """Which rule found the answer, e.g. ``marker`` or ``last``."""

    span: tuple[int, int] | None = None
    """Where in the text the answer stands, as a half-open range of characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rationale:
    """A completion read as reasoning steps and an answer."""

    question_id: str
    completion_id: int
    sample: int
    """Which of the question's samples it is, counted from 0."""

    text: str
    """The reasoning, without the closing answer statement."""

    answer: str | None
    """The answer as graded; None where none was found."""

    verdict: str
    """``kept``, or the reason for being dropped."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TeacherSpan:
    """Where a target repeats the teacher's own text, with the teacher's probabilities of it.

    Offsets count bytes of UTF-8.
    """

    tokens: TokenLogprobs
    """Of the teacher's whole completion, its tokens named by bytes."""

    start: int
    """Where the repeated text begins in the target."""

    end: int
    """Where it ends in the target."""

    shift: int
    """Target byte i is byte i + shift of the completion, from ``start`` to ``end``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One training example: the loss counts on the target only."""

    prompt: str | tuple[Message, ...]
    """Plain text to continue, or the turns of a chat."""

    target: str
    weight: float = 1.0
    question_id: str = ""
    data_format: str = ""
    """Which part of a mixture it belongs to."""

    teacher: TeacherSpan | None = None
    """The teacher's probabilities of the target's rationale, where they are learned."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SoftTargets:
    """The teacher's probabilities carried to a target's T student tokens, K candidates each.

    At each token the probabilities and the tail sum to 1. A hard position has its own token as
    the only candidate, with probability 1.
    """

    ids: NDArray[np.int32]
    """``(T, K)`` student tokens, likeliest first; -1 where a position has fewer."""

    probabilities: NDArray[np.float32]
    """``(T, K)``; 0 where there is no candidate."""

    tail: NDArray[np.float32]
    """``(T,)`` mass of all tokens that are no candidates."""

    soft: NDArray[np.bool_]
    """``(T,)``: whether the teacher's probabilities reached this position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingStep:
    """One line of a student's training log."""

    student: str
    step: int
    """Optimiser steps taken."""

    loss: float
    """Mean over the trained tokens since the last line, in nats a token."""

    tokens: int
    """Tokens trained on so far, prompts left out."""

    seconds: float
    """Time spent so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A student's weights after some steps, as a folder that ``hf:`` loads."""

    student: str
    step: int
    folder: str
    """Where the weights are, seen from the run's folder."""

    data_format: str
    """The format it was trained on, or a mixture's first, and is asked in."""

    encoder_decoder: bool

    examples: int
    """Examples that the student was trained on."""

    too_long: int
    """Examples that were left out because they are longer than ``max_length``."""

    parameters: int = 0
    """Weights of the model."""

    soft_share: float | None = None
    """Share of trained tokens with the teacher's probabilities; None: sample matching alone."""


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
class StageRecord:
    """What a stage has taken."""

    name: str
    seconds: float
    tokens: int
    """Tokens written by models, or trained on."""

    cost: float
    """US dollars."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A set of questions with splits, an answer type and a grader named by it."""

    name: str
    answer_type: AnswerType
    splits: Mapping[Split, tuple[Question, ...]]
    rule: RuleName = "potstill"
    """How answers are read and compared."""

    source: str = ""
    """Where the questions come from."""

    licence: str = ""
    """The licence of the questions, or ``none`` where their source states none."""

    notes: tuple[str, ...] = ()
    """What was left out of the splits and why, one sentence each, for the report."""
