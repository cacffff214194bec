"""Choosing among several teachers' answers: the consensus, and the teacher to learn from.

A stronger teacher is not always the better one for a student, even on average (Yuan et al., arXiv
2012.06048), so teachers are chosen question by question: by how far their samples agree with
everybody's, or by how well their words suit the student (``suitability.py``).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from potstill.curate.suitability import SuitabilityMeasure, worth
from potstill.curate.verdicts import GradedSample
from potstill.grading.votes import Same, ballot
from potstill.records import Likelihood, Question


class TeacherCandidate(NamedTuple):
    """A rationale whose likelihood is wanted."""

    question: Question
    completion_id: int
    text: str


Measure = Callable[[Sequence[TeacherCandidate]], Mapping[int, Likelihood]]
"""Gives rationales' likelihoods by completion, without rationales too long to be learned."""


class Consensus(NamedTuple):
    """The answer that more samples of a question give than any other answer."""

    answer: str | None
    """The answer; None where no sample gives one, or where the most votes are a tie."""

    held: tuple[bool, ...]
    """Whether each sample gives it."""


def consensus(samples: Sequence[GradedSample], same: Same) -> Consensus:
    """Count the votes of a question; the gold answer plays no part.

    Args:
        samples: All teachers' samples of the question; one that was cut off has no vote.
        same: Whether two answers are one.
    """
    votes = ballot((sample.vote for sample in samples), same)
    counts = Counter(vote for vote in votes if vote is not None)
    most = max(counts.values(), default=0)
    elected = [answer for answer, count in counts.items() if count == most]
    answer = elected[0] if len(elected) == 1 else None
    return Consensus(answer, tuple(vote is not None and vote == answer for vote in votes))


def agreement(samples: Sequence[GradedSample], held: Sequence[bool]) -> dict[str, Fraction]:
    """The share of each teacher's samples that give the consensus answer.

    Args:
        samples: All teachers' samples of a question.
        held: :attr:`Consensus.held` of these.
    """
    by_teacher: dict[str, list[bool]] = {}
    for sample, holds in zip(samples, held, strict=True):
        by_teacher.setdefault(sample.teacher, []).append(holds)
    return {name: Fraction(sum(agrees), len(agrees)) for name, agrees in by_teacher.items()}


def worths(
    samples: Sequence[GradedSample],
    likelihoods: Mapping[int, Likelihood],
    measure: SuitabilityMeasure,
) -> dict[str, float]:
    """Each measured teacher's worth by its rationales; more is better.

    Args:
        samples: All teachers' samples of a question that are kept so far.
        likelihoods: The student's likelihoods of them, by completion.
        measure: The measure of a teacher's worth.
    """
    by_teacher: dict[str, list[Likelihood]] = {}
    for sample in samples:
        likelihood = likelihoods.get(sample.completion_id)
        if likelihood is not None:
            by_teacher.setdefault(sample.teacher, []).append(likelihood)
    measured = ((name, worth(measure, own)) for name, own in by_teacher.items())
    return {name: value for name, value in measured if value is not None}


def best(measured: Mapping[str, Fraction] | Mapping[str, float], among: Sequence[str]) -> str:
    """The teacher worth most; of equals, and where nothing is known of any, the first.

    Args:
        measured: The measured worth of the teachers.
        among: Whom to choose from, in the order of the recipe; one or more.
    """
    known = [name for name in among if name in measured]
    return max(known, key=lambda name: measured[name]) if known else among[0]
