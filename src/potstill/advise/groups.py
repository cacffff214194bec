"""The trial's rationales in groups, each with the measures under the student and their places.

Teachers are compared, the same model with and without thinking, and rationales by their length. A
group's measure comes with its 95% interval over questions, and so does the difference between the
best group and each other, paired on the questions that both have.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from potstill.advise.trial import TriedRationale
from potstill.advise.ways import ThinkingPair, WayOfAsking
from potstill.curate.suitability import LESS_IS_BETTER, MEASURES, SuitabilityMeasure, surprisal
from potstill.records import Likelihood
from potstill.statistics import (
    ClusterSums,
    Interval,
    RatioEstimate,
    accuracy_interval,
    difference_of_ratios,
    ratio_of_sums,
)

Kind = Literal["teacher", "thinking", "length"]

THIRDS = ("short", "middle", "long")


class PlacedMeasure(NamedTuple):
    """A group's measure, and its place among the groups beside it."""

    estimate: RatioEstimate
    place: int
    """1 is the best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialGroup:
    """Some rationales of the trial."""

    kind: Kind
    name: str
    rationales: int
    """Answers of the trial; of lengths only those that are kept."""

    questions: int
    right: int
    """Answers that are right."""

    right_interval: Interval | None
    """The 95% interval of the share of right ones, over questions; None where there is no answer.
    """

    kept: int
    measured: int
    """Kept ones that are not too long to be learned."""

    tokens: float | None
    """Tokens written for each kept rationale, those of dropped ones among them; None where nothing
    is kept, or nobody counted them, as of recorded rationales."""

    usd: float | None
    """US dollars likewise; None where nothing is kept, or prices are not known."""

    words: tuple[int, int] | None
    """The fewest and the most words of a kept rationale."""

    measures: Mapping[SuitabilityMeasure, PlacedMeasure]
    """The group's measures, those without a measured rationale left out."""


class GroupDifference(NamedTuple):
    """The best group by a measure, and another."""

    kind: Kind
    measure: SuitabilityMeasure
    best: str
    other: str
    estimate: RatioEstimate
    """The best's less the other's."""

    @property
    def is_shown(self) -> bool:
        """Whether the 95% interval leaves out that there is none."""
        interval = self.estimate.interval
        return interval is not None and (interval.low > 0 or interval.high < 0)


class GroupComparison(NamedTuple):
    """Groups beside each other."""

    groups: list[TrialGroup]
    differences: list[GroupDifference]


def by_teacher(
    tried: Sequence[TriedRationale], ways: Sequence[WayOfAsking], priced: Mapping[str, bool]
) -> GroupComparison:
    """Returns the recipe's teachers, as it asks them.

    Args:
        tried: All rationales of the trial.
        ways: The ways of asking.
        priced: By a way's label, whether its prices are known.
    """
    named = {way.label: _of(tried, [way.label]) for way in ways if way.is_recipes}
    return _compared("teacher", named, priced)


def by_thinking(
    tried: Sequence[TriedRationale], pair: ThinkingPair, priced: Mapping[str, bool]
) -> GroupComparison:
    """Returns a model with its thinking on and off; arguments as for :func:`by_teacher`."""
    named = {way.thinking_label: _of(tried, [way.label]) for way in (pair.on, pair.off)}
    known = {way.thinking_label: priced[way.label] for way in (pair.on, pair.off)}
    return _compared("thinking", named, known)


def by_length(
    tried: Sequence[TriedRationale], ways: Sequence[WayOfAsking], priced: Mapping[str, bool]
) -> GroupComparison:
    """Returns the kept rationales of all teachers in thirds by their words, as cut-offs would.

    Rationales of one length stay together, so that thirds may be unequal, or fewer.
    """
    own = [way.label for way in ways if way.is_recipes]
    kept = [one for one in _of(tried, own) if one.kept]
    lengths = sorted(one.words for one in kept)
    count = len(lengths)
    ends = [lengths[math.ceil(count * third / 3) - 1] for third in (1, 2, 3)] if count else []
    named, begin = dict[str, list[TriedRationale]](), -1
    for third, end in zip(THIRDS, ends, strict=False):
        members = [one for one in kept if begin < one.words <= end]
        if members:
            named[third] = members
        begin = end
    known = all(priced[label] for label in own)
    return _compared("length", named, dict.fromkeys(named, known))


def _of(tried: Iterable[TriedRationale], labels: Sequence[str]) -> list[TriedRationale]:
    return [one for one in tried if one.label in labels]


def _compared(
    kind: Kind, named: Mapping[str, Sequence[TriedRationale]], priced: Mapping[str, bool]
) -> GroupComparison:
    """Returns groups with the places of their measures, and how far the best are from the others.

    Args:
        kind: The kind of the groups.
        named: Their rationales, by the names of the groups.
        priced: Whether their cost is known, by the same names.
    """
    places = dict[str, dict[SuitabilityMeasure, PlacedMeasure]]()
    differences = []
    for measure in MEASURES:
        sums = {name: _sums(measure, members) for name, members in named.items()}
        values = {name: ratio_of_sums(own) for name, own in sums.items() if own}
        sign = 1 if measure in LESS_IS_BETTER else -1
        order = sorted(values, key=lambda name: sign * values[name].value)
        for place, name in enumerate(order, 1):
            places.setdefault(name, {})[measure] = PlacedMeasure(values[name], place)
        differences += [
            GroupDifference(
                kind, measure, order[0], other, difference_of_ratios(sums[order[0]], sums[other])
            )
            for other in order[1:]
        ]
    groups = [
        _group(kind, name, members, places.get(name, {}), priced=priced[name])
        for name, members in named.items()
    ]
    return GroupComparison(groups, differences)


def _sums(measure: SuitabilityMeasure, members: Sequence[TriedRationale]) -> dict[str, ClusterSums]:
    """Returns the sums of a measure by question, as :mod:`potstill.curate.suitability` has them."""
    sums: dict[str, ClusterSums] = {}
    for one in members:
        part = None if one.likelihood is None else _part(measure, one.likelihood)
        if part is not None:
            before = sums.get(one.question_id, ClusterSums(0.0, 0.0))
            sums[one.question_id] = ClusterSums(
                before.numerator + part.numerator, before.denominator + part.denominator
            )
    return sums


def _part(measure: SuitabilityMeasure, likelihood: Likelihood) -> ClusterSums | None:
    """Returns one rationale's part of the sums; None where it lacks the measure."""
    if measure == "rank_surprisal":
        ranks = likelihood.mean_rank
        return None if ranks is None else ClusterSums(ranks, surprisal(likelihood))
    value = likelihood.mean_logprob if measure == "likelihood" else likelihood.local_naturalness
    return None if value is None else ClusterSums(value, 1.0)


def _group(
    kind: Kind,
    name: str,
    members: Sequence[TriedRationale],
    measures: Mapping[SuitabilityMeasure, PlacedMeasure],
    *,
    priced: bool,
) -> TrialGroup:
    kept = [one for one in members if one.kept]
    words = [one.words for one in kept]
    counted = all(one.tokens or not one.words for one in members)
    return TrialGroup(
        kind=kind,
        name=name,
        rationales=len(members),
        questions=len({one.question_id for one in members}),
        right=sum(one.right for one in members),
        right_interval=_right_interval(members),
        kept=len(kept),
        measured=sum(one.likelihood is not None for one in kept),
        tokens=sum(one.tokens for one in members) / len(kept) if kept and counted else None,
        usd=sum(one.usd for one in members) / len(kept) if kept and priced else None,
        words=(min(words), max(words)) if words else None,
        measures=measures,
    )


def _right_interval(members: Sequence[TriedRationale]) -> Interval | None:
    """Wilson's where each question has one answer; of several the t interval over questions."""
    if not members:
        return None
    sums: dict[str, ClusterSums] = {}
    for one in members:
        before = sums.get(one.question_id, ClusterSums(0.0, 0.0))
        sums[one.question_id] = ClusterSums(before.numerator + one.right, before.denominator + 1)
    right = sum(one.right for one in members)
    spread = ratio_of_sums(sums).interval
    if len(sums) == len(members) or spread is None:
        return accuracy_interval(right, len(members))
    return Interval(max(spread.low, 0.0), min(spread.high, 1.0))
