"""Records of the data a student learns from, and of its training.

Shape suffixes: T tokens of a target, K candidates at each token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from potstill.records.completion import Message, TokenLogprobs
from potstill.records.evaluation import System

PREFIX_FILE = "learned_prefix.safetensors"
"""The file of a student's learned prefix, beside its weights."""

ADAPTER = "adapter"
"""The folder beside a checkpoint's merged weights that holds low-rank additions, for peft."""


SPARE_VERDICTS = ("other_teacher", "duplicate", "over_cap")
"""The verdicts of rationales that are as good as the kept ones, and more than are wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rationale:
    """A completion read as reasoning steps and an answer."""

    question_id: str
    completion_id: int
    sample: int
    """The sample's index among those of its question, from 0."""

    text: str
    """The reasoning, without the closing answer statement."""

    answer: str | None
    """The answer as graded; None where none was found."""

    verdict: str
    """``kept``, or the reason for being dropped."""

    teacher: str = "teacher"
    """The teacher that wrote it, by the name in the recipe."""

    question_digest: str = ""
    """Stands for the text and the options of the question that it was graded on, see
    :func:`potstill.keys.question_digest`; empty: an older potstill kept the question's id alone."""

    gold: str | None = None
    """The gold answer that it was graded by; None where ``question_digest`` is empty."""

    mark: bool | None = None
    """Whether people found it sound; None: nobody has marked it."""

    right: bool | None = None
    """Whether it ended by itself with the gold answer; None: an older potstill did not keep it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Likelihood:
    """How a student finds a rationale before it has learned anything."""

    completion_id: int
    student: str
    """The start checkpoint, by its model's name in the recipe."""

    mean_logprob: float
    """Natural-log probability of the target, mean over its tokens."""

    tokens: int
    """Tokens of the target, the end of the text included."""

    mean_rank: float | None = None
    """Mean over its tokens of each one's rank among all by probability, 1 the likeliest, none above
    :data:`potstill.train.target_scores.RANK_LIMIT`; None: an older potstill did not measure it."""

    local_naturalness: float | None = None
    """Mean log-probability of its steps, each behind the prompt and the few steps before it alone;
    see :mod:`potstill.train.local_steps`. None: it was not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherScore:
    """A teacher's answers to the training questions, and the verdicts on them."""

    teacher: str
    """Its name in the recipe; ``consensus`` is the answer most samples of all teachers give."""

    round: int
    """The round of the debate; 0 holds the first answers."""

    accuracy: float
    """Share of its samples that are right, mean over the questions."""

    low: float
    """Lower end of the 95% interval of the accuracy, between 0 and 1."""

    high: float
    total: int
    """Questions that it answered."""

    samples: int
    """Samples that the accuracy is counted on; with ``generate.enough_right`` the first ones of
    each question, since later ones are drawn only where answers were wrong."""

    kept: int
    """Rationales that were kept; those of a debate are of its last round."""

    chosen: int
    """Questions with a kept rationale of this teacher."""

    mean_logprob: float | None
    """Mean of :attr:`Likelihood.mean_logprob` over its rationales, where it was measured."""

    difference: float | None
    """Accuracy less that of its first answers, on the same questions; None for these."""

    difference_low: float | None
    difference_high: float | None
    """The 95% interval of the difference, by paired bootstrap."""

    rank_surprisal: float | None = None
    """The rank-surprisal ratio of its rationales, where teachers were chosen by it."""

    local_naturalness: float | None = None
    """Mean of :attr:`Likelihood.local_naturalness` over its rationales, where teachers were chosen
    by it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TeacherSpan:
    """The part of a target that repeats the teacher's own text, with the teacher's probabilities.

    Offsets count bytes of UTF-8.
    """

    tokens: TokenLogprobs
    """The teacher's whole completion, its tokens named by bytes."""

    start: int
    """The offset in the target at which the repeated text begins."""

    end: int
    """The offset in the target behind its last byte."""

    shift: int
    """Target byte i is byte i + shift of the completion, from ``start`` to ``end``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One training example: the loss counts on the target only."""

    prompt: str | tuple[Message, ...]
    """Plain text to continue, or the turns of a chat."""

    target: str

    thinking: str | None = None
    """The teacher's thinking, which is learned before the target, between marks; None: none is."""

    weight: float = 1.0
    question_id: str = ""
    data_format: str = ""
    """The part of a mixture that it belongs to."""

    teacher: TeacherSpan | None = None
    """The teacher's probabilities of the target's rationale, where they are learned."""

    unlikely: bool = False
    """Whether it is learned not to write the target, see
    :class:`potstill.train.wrong_chains.UnlikelihoodSettings`."""


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
    """The student's name in the recipe."""

    start: str | None = None
    """The start it is trained from, as in :attr:`System.start`."""

    step: int
    """Optimiser steps taken."""

    loss: float
    """Mean over the trained tokens since the last line, in nats a token."""

    tokens: int
    """Tokens trained on so far, prompts left out."""

    seconds: float
    """Time spent so far."""

    learning_rate: float | None = None
    """The step's learning rate; None where an older potstill kept none."""

    @property
    def system(self) -> System:
        """The student, whichever its step."""
        return System(self.student, self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A student's weights after some steps, as a folder that ``hf:`` loads."""

    student: str
    """The student's name in the recipe."""

    start: str | None = None
    """The start it was trained from, as in :attr:`System.start`."""

    step: int
    """Optimiser steps behind it."""

    folder: str
    """The folder of the weights, relative to the run's folder."""

    data_format: str
    """The format it was trained on, or a mixture's first, and is asked in."""

    encoder_decoder: bool

    examples: int
    """Examples that the student was trained on."""

    too_long: int
    """Examples that were left out because they are longer than ``max_length``."""

    parameters: int = 0
    """Weights of the model."""

    trained_parameters: int = 0
    """Weights that were trained: all, or those of low-rank additions; 0 where that is not known."""

    soft_share: float | None = None
    """Share of trained tokens with the teacher's probabilities; None: sample matching alone, or an
    on-policy student, each of whose rounds has its own."""

    training: str = ""
    """How it was trained, in words: learning rate, batches, length; empty where that is not kept.
    """

    @property
    def system(self) -> System:
        """The student that it is a checkpoint of."""
        return System(self.student, self.start)
