"""Records of on-policy training: what came of each round, and where a limit ended a training."""

from dataclasses import dataclass

from potstill.records.evaluation import System


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRound:
    """Figures of one round: the answers that a student wrote, and its teacher's scores of them."""

    student: str
    """The student's name in the recipe."""

    start: str | None = None
    """The start it is trained from, as in :attr:`System.start`."""

    number: int
    """The round's number, from 0."""

    rounds: int
    """Rounds that the training has, if nothing ends it before."""

    step: int
    """Optimiser steps that the student who wrote it had taken."""

    oldest: int
    """How old the answers are when the last of them are learned, in optimiser steps."""

    answers: int
    ended: int
    """Answers that ended by themselves, within what was written."""

    right: int | None
    """Answers with the gold answer of their training question; None where only beginnings are
    written."""

    student_tokens: int
    """Tokens that the student wrote."""

    teacher_tokens: int
    """Tokens that the teacher read for the scores, prompts included, answers of one text once, also
    where a round before had bought it; 0: it was not asked."""

    usd: float
    """US dollars of the scores; of those that were stored before, what they cost then."""

    encoded_again: int
    """Answers whose tokens are not those that were written."""

    unlearned: int | None
    """Answers of which nothing can be learned: empty, without scores or too long; None: the teacher
    was not asked."""

    places: int
    """Tokens of the answers, the end among them, that could have been learned."""

    learned: int
    """Tokens of the answers that are learned, each counted once."""

    entropy: float | None
    """The student's, in nats a token: its mean surprise at what it wrote, which at temperature 1
    estimates the entropy without bias. None where no token is known."""

    repeated: float | None
    """Share of runs of four tokens that stood in the same answer before (seq-rep-4 of arXiv
    1908.04319); None where no answer has four."""

    mass: float | None
    """Share of tokens that are among the teacher's top K, by the teacher's tokens: at temperature 1
    an estimate of the student's probability mass there. None: the teacher gave no scores."""

    teacher_logprob: float | None
    """The teacher's log-probability of what the student wrote, in nats a token, at least -100 each.
    None as of ``mass``."""

    teacher_entropy: float | None
    """The teacher's on the same text, in nats a token of the student's: its top K and the rest as
    one, so at most its entropy. None as of ``mass``."""

    end_probability: float | None
    """The teacher's mean probability that the answer ends where the student ended it; None where
    fewer than four such ends were scored."""

    @property
    def system(self) -> System:
        """The student, whichever its step."""
        return System(self.student, self.start)

    @property
    def length(self) -> float:
        """Mean tokens of an answer."""
        return self.student_tokens / max(self.answers, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse:
    """An on-policy training that a limit has ended before its last step."""

    student: str
    """The student's name in the recipe."""

    start: str | None = None
    """The start it was trained from, as in :attr:`System.start`."""

    sign: str
    """The limit that was passed, by its setting's name."""

    value: float
    """The figure of the round that ended it."""

    bound: float
    """The value of that figure at which the limit lies, in this training."""

    setting: float
    """The limit as the recipe has it, by which it may be relative to the first round."""

    number: int
    """The round that ended it, counted from 0."""

    reached: int
    """Optimiser steps taken by then."""

    step: int
    """Optimiser steps behind the checkpoint that was kept: the last one before the decline."""

    message: str
    """The figure, the round and the limit, in words."""

    advice: str
    """The change that may help, in words."""

    @property
    def system(self) -> System:
        """The student, whichever its step."""
        return System(self.student, self.start)
