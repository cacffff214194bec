"""Figures on the teachers' answers to the training questions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from potstill.curate.suitability import SuitabilityMeasure, suitability
from potstill.curate.teacher_selection import Consensus
from potstill.curate.verdicts import KEPT, GradedSample
from potstill.records import Likelihood, Rationale, TeacherScore
from potstill.statistics import CHANCES, DIFFERENCES, Interval, accuracy_interval, mean_interval

CONSENSUS = "consensus"
"""The name that stands for the answer that most samples of all teachers give."""

RESAMPLES = 10_000
"""Bootstrap resamples of each interval."""


class JudgedRound(NamedTuple):
    """One round's samples of a question, of all teachers."""

    samples: Sequence[GradedSample]
    consensus: Consensus

    def right(self, who: str) -> float | None:
        """Share of a teacher's samples that are right; None where there are none."""
        if who == CONSENSUS:
            held = zip(self.samples, self.consensus.held, strict=True)
            first = next((sample for sample, holds in held if holds), None)
            return float(first is not None and first.right) if self.samples else None
        own = [sample.right for sample in self.samples if sample.teacher == who]
        return fmean(own) if own else None


def teacher_scores(
    questions: Sequence[Sequence[JudgedRound]],
    teachers: Sequence[str],
    rationales: Sequence[Rationale],
    likelihoods: Mapping[int, Likelihood],
    *,
    seed: int,
    measure: SuitabilityMeasure | None = None,
) -> Iterator[TeacherScore]:
    """The scores of every teacher in every round, and of the consensus where there are several.

    Args:
        questions: The rounds of each question that has an answer; all have as many.
        teachers: Their names, in the order of the recipe.
        rationales: The last round's samples with their verdicts.
        likelihoods: The measured likelihoods, by completion.
        seed: The bootstrap's seed.
        measure: The one that teachers were chosen by; None: by none under the student.
    """
    last = len(questions[0]) - 1
    for who in [*teachers, *([CONSENSUS] if len(teachers) > 1 else [])]:
        own = [rationale for rationale in rationales if who in (CONSENSUS, rationale.teacher)]
        for number in range(last + 1):
            right = [[judged.right(who) for judged in rounds] for rounds in questions]
            if not any(rounds[number] is not None for rounds in right):
                continue
            yield _score(
                who,
                number,
                right,
                samples=sum(_samples(rounds[number], who) for rounds in questions),
                kept=[
                    rationale for rationale in own if rationale.verdict == KEPT and number == last
                ],
                likelihoods=_measured(own, likelihoods) if number == last else [],
                measure=measure,
                seed=seed,
            )


def _score(
    who: str,
    number: int,
    right: Sequence[Sequence[float | None]],
    *,
    samples: int,
    kept: Sequence[Rationale],
    likelihoods: Sequence[Likelihood],
    measure: SuitabilityMeasure | None,
    seed: int,
) -> TeacherScore:
    """One score; ``right`` holds each question's shares, round by round."""
    shares = [now for rounds in right if (now := rounds[number]) is not None]
    pairs = [
        now - first
        for rounds in right
        if (now := rounds[number]) is not None and (first := rounds[0]) is not None
    ]
    again = bool(number and pairs)
    interval = _interval(shares, seed)
    ends = None
    if again:
        ends = mean_interval(pairs, within=DIFFERENCES, resamples=RESAMPLES, seed=seed)
    chosen_by = None if measure is None else suitability(measure, likelihoods)
    return TeacherScore(
        teacher=who,
        round=number,
        accuracy=fmean(shares),
        low=interval.low,
        high=interval.high,
        total=len(shares),
        samples=samples,
        kept=len(kept),
        chosen=len({rationale.question_id for rationale in kept}),
        mean_logprob=suitability("likelihood", likelihoods),
        difference=fmean(pairs) if again else None,
        difference_low=ends.low if ends else None,
        difference_high=ends.high if ends else None,
        rank_surprisal=chosen_by if measure == "rank_surprisal" else None,
        local_naturalness=chosen_by if measure == "local_naturalness" else None,
    )


def _interval(shares: Sequence[float], seed: int) -> Interval:
    """Wilson's where each question is right or wrong; of shares the bootstrap's."""
    if all(share in (0.0, 1.0) for share in shares):
        return accuracy_interval(round(sum(shares)), len(shares))
    return mean_interval(shares, within=CHANCES, resamples=RESAMPLES, seed=seed)


def _samples(judged: JudgedRound, who: str) -> int:
    return sum(who in (CONSENSUS, sample.teacher) for sample in judged.samples)


def _measured(
    rationales: Iterable[Rationale], likelihoods: Mapping[int, Likelihood]
) -> list[Likelihood]:
    measured = (likelihoods.get(rationale.completion_id) for rationale in rationales)
    return [likelihood for likelihood in measured if likelihood is not None]
