"""How well rationales suit a student, by three measures of what it gives their tokens.

``likelihood``
    The mean log-probability of the tokens. More is better. Two papers refute it for long traces of
    several teachers: it prefers those that the student would write anyway, and teach it little
    (arXiv 2601.14249), and it is taken over by what each teacher wrote before (arXiv 2510.03988).

``rank_surprisal``
    The rank-surprisal ratio (Yang and others, arXiv 2601.14249). Less is better. Of a trace with
    tokens t = 1 ... T::

        RSR = sum_t min(rank_t, 100)  /  sum_t -log p_t

    rank_t is one more than the number of tokens that are likelier there. It is low where tokens are
    unlikely in themselves and yet among the first that the student would choose: new and within
    reach. Of several traces it is the ratio of the means: that of the traces' mean ranks to that of
    their mean surprisals. Both as the authors' code has it (rsr_cal.py of
    UmeanNever/RankSurprisalRatio), which was read; the paper's text was not.

``local_naturalness``
    See :mod:`potstill.train.local_steps`. More is better.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from potstill.records import Likelihood

SuitabilityMeasure = Literal["likelihood", "rank_surprisal", "local_naturalness"]

MEASURES: tuple[SuitabilityMeasure, ...] = ("rank_surprisal", "local_naturalness", "likelihood")

LESS_IS_BETTER: frozenset[SuitabilityMeasure] = frozenset({"rank_surprisal"})

LEAST_SURPRISAL = 1e-12
"""Nats a token; a student that is sure of every token finds no less, by which ranks are divided."""


def surprisal(likelihood: Likelihood) -> float:
    """Returns the mean negative log-probability of a rationale's tokens, above 0."""
    return max(-likelihood.mean_logprob, LEAST_SURPRISAL)


def suitability(measure: SuitabilityMeasure, likelihoods: Sequence[Likelihood]) -> float | None:
    """Returns a measure of some rationales; None where none of them has it.

    Args:
        measure: The measure; for some less is better, see :data:`LESS_IS_BETTER`.
        likelihoods: The student's likelihood of each of them.
    """
    if measure == "likelihood":
        return _mean([one.mean_logprob for one in likelihoods])
    if measure == "local_naturalness":
        local = (one.local_naturalness for one in likelihoods)
        return _mean([value for value in local if value is not None])
    ranked = [(one.mean_rank, surprisal(one)) for one in likelihoods if one.mean_rank is not None]
    if not ranked:
        return None
    ranks, surprisals = zip(*ranked, strict=True)
    return fmean(ranks) / fmean(surprisals)


def worth(measure: SuitabilityMeasure, likelihoods: Sequence[Likelihood]) -> float | None:
    """Returns the same with the sign by which more is better."""
    value = suitability(measure, likelihoods)
    return -value if value is not None and measure in LESS_IS_BETTER else value


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
