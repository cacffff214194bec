"""Words on what wins at which price: student alone, the teacher's steps, routing, teacher alone.

Sending whole questions to the teacher at random is to be had at any price: it reaches the straight
line between the student alone and the teacher alone. So every policy is held against that line at
its own price, question by question::

    student alone 40% for 0 tokens, teacher alone 90% for 100: the line has 50% at 20 tokens
    first step    60% for 20 tokens, 10 points above the line

What is recommended is chosen on development questions where they were answered in these ways, and
shown on test questions. A policy is recommended only where it is shown to be above the line on the
questions that choose: the best of many by chance is no reason to leave the line.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.records.policy import ALONE, ANY_STEP, RANDOM, ROUTE, TEACHER_ALONE
from potstill.report.accuracy import Results
from potstill.report.guidance import gains
from potstill.report.guidance_text import label, signal
from potstill.report.text import listed, percent
from potstill.statistics import DIFFERENCES, Interval, mean_interval
from potstill.text.points import points

RESAMPLES = 10_000
"""Draws behind the interval of a difference to the line."""

TIE = 1e-9
"""Accuracies that are no further apart are equal."""


class RoutingLine(NamedTuple):
    """The expected accuracy, by teacher tokens, of sending questions to the teacher at random."""

    alone: GuidedScore
    teacher: GuidedScore

    def at(self, tokens: float) -> float:
        """The expected accuracy for so many teacher tokens a question."""
        return self.alone.accuracy + self.share(tokens) * self._rise

    def share(self, tokens: float) -> float:
        """The share of the questions that so many teacher tokens a question pay for."""
        return min(1.0, tokens / self.teacher.teacher_tokens)

    def price_of(self, accuracy: float) -> float | None:
        """The teacher tokens a question at which an accuracy is reached; None where none does."""
        if self._rise <= TIE or accuracy > self.teacher.accuracy:
            return None
        share = max(0.0, accuracy - self.alone.accuracy) / self._rise
        return share * self.teacher.teacher_tokens

    @property
    def _rise(self) -> float:
        return self.teacher.accuracy - self.alone.accuracy


class Way(NamedTuple):
    """A way of answering that was measured."""

    policy: Policy
    basis: GuidedScore
    """The score that the choice between ways goes by."""

    tested: GuidedScore


class LineComparison(NamedTuple):
    """A policy against routing at random for as many teacher tokens, on test questions."""

    difference: float
    interval: Interval | None
    """The 95% interval over questions; None without the teacher's own answers one by one."""

    @property
    def words(self) -> str:
        """The difference, its interval, and whether there is one to be seen."""
        if self.interval is None:
            return f"{points(self.difference)} points"
        low, high = self.interval
        shown = "" if low > 0 or high < 0 else ", so that no difference is shown"
        return (
            f"{points(self.difference)} points, 95% interval {points(low)} to {points(high)}{shown}"
        )


def recommended(results: Results, task: str) -> list[str]:
    """The sentences of :func:`recommendations` for one task of a run."""
    return recommendations(
        [score for score in results.guided_scores if score.task == task],
        [one for one in results.guided_predictions if one.task == task],
        results.teacher_tokens,
    )


def recommendations(
    scores: Sequence[GuidedScore],
    predictions: Sequence[GuidedPrediction],
    tokens: float | None,
) -> list[str]:
    """Sentences on the line to beat, on what lies above it, and on what to take.

    Args:
        scores: One task's guided scores.
        predictions: Its guided predictions.
        tokens: Most teacher tokens a question that the user would pay for; None: not said.

    Returns:
        Nothing where no policy was measured beside the student alone.
    """
    tested = _by_policy(scores, "test")
    if ALONE not in tested or not any(policy.kind == "policy" for policy in tested):
        return []
    basis = _by_policy(scores, "dev")
    if ALONE not in basis or (TEACHER_ALONE in tested and TEACHER_ALONE not in basis):
        basis = tested
    ways = [
        Way(policy, basis[policy], score) for policy, score in tested.items() if policy in basis
    ]
    line = _line(basis)
    level = {way.policy for way in ways if line and _is_level(way.basis, line, predictions)}
    chooser = _PriceChooser(ways, line, _line(tested), level)
    return [
        _opening(_line(tested)),
        *_compared(chooser, predictions),
        *chooser.advice(tokens, _basis_words(basis[ALONE], tested[ALONE]), predictions),
        *_left_out(scores, _line(tested)),
    ]


def _by_policy(scores: Sequence[GuidedScore], split: str) -> dict[Policy, GuidedScore]:
    return {
        score.policy: score
        for score in scores
        if score.split == split and score.policy.kind in ("alone", "policy")
    }


def _line(scores: Mapping[Policy, GuidedScore]) -> RoutingLine | None:
    """The line between the two alone; None where the teacher was not measured, or not counted."""
    teacher = scores.get(TEACHER_ALONE)
    if teacher is None or not teacher.teacher_tokens:
        return None
    return RoutingLine(scores[ALONE], teacher)


def _basis_words(basis: GuidedScore, tested: GuidedScore) -> str:
    if basis.split == "dev":
        return f"chosen on {basis.total:,} development questions"
    return (
        f"chosen on the same {tested.total:,} test questions, for lack of development questions "
        "that were answered in these ways, and so likely to look a little better than it is"
    )


def _opening(line: RoutingLine | None) -> str:
    if line is None:
        return (
            "What sending whole questions to the teacher would reach is not known, as the tokens "
            "and answers of the teacher alone are not."
        )
    return (
        "The line to beat is sending whole questions to the teacher at random, from "
        f"{percent(line.alone.accuracy)} of the student alone for nothing to "
        f"{percent(line.teacher.accuracy)} of the teacher alone for "
        f"{line.teacher.teacher_tokens:,.1f} teacher tokens a question, in proportion to what is "
        "paid."
    )


def _left_out(scores: Sequence[GuidedScore], line: RoutingLine | None) -> list[str]:
    """Returns why no row of routing by a signal is recommended, where one lies above the line."""
    rows = [
        score
        for score in scores
        if (score.policy.kind, score.split) == ("routing", "test")
        and score.policy.signal not in (None, RANDOM)
    ]
    if line is None or not rows:
        return []
    best = max(rows, key=lambda score: score.accuracy - line.at(score.teacher_tokens))
    reached = line.at(best.teacher_tokens)
    if best.accuracy <= reached + TIE:
        return []
    among = f"of {len(rows)} such rows the furthest above it" if len(rows) > 1 else "above it"
    return [
        f"Routing by {signal(best.policy.signal or RANDOM)} reaches {percent(best.accuracy)} for "
        f"{best.teacher_tokens:,.1f} tokens, where the line has {percent(reached)}: {among}, found "
        "on these test questions, with no threshold to send questions by, and so not recommended. "
        "The policy route takes such a threshold from development questions and is held against "
        "the line."
    ]


def _is_level(
    score: GuidedScore, line: RoutingLine, predictions: Sequence[GuidedPrediction]
) -> bool:
    """Whether a policy is not shown to be above the line, where its answers are known."""
    if score.policy.kind != "policy" or not score.teacher_tokens:
        return False
    interval = compare_with_line(score, line, predictions).interval
    return interval is not None and interval.low <= 0


def _compared(chooser: "_PriceChooser", predictions: Sequence[GuidedPrediction]) -> list[str]:
    """The policy of each family that is furthest above the line, held against it on test."""
    line = chooser.tested_line
    if line is None:
        return []
    parts = []
    for way in chooser.foremost():
        score = way.tested
        against = compare_with_line(score, line, predictions)
        parts.append(
            f"“{label(way.policy)}” reaches {percent(score.accuracy)} for "
            f"{score.teacher_tokens:,.1f} tokens, where the line has "
            f"{percent(line.at(score.teacher_tokens))} ({against.words})"
        )
    if not parts:
        return []
    return [f"On {line.alone.total:,} test questions {'; '.join(parts)}."]


def compare_with_line(
    score: GuidedScore, line: RoutingLine, predictions: Sequence[GuidedPrediction]
) -> LineComparison:
    """Hold a policy against routing at random for as many teacher tokens.

    Args:
        score: The policy's, on test questions.
        line: Routing at random between the two alone, on the same questions.
        predictions: The answers to them, of both alone and under the policy.
    """
    share, verdicts = line.share(score.teacher_tokens), dict[Policy, dict[str, bool]]()
    for one in predictions:
        if (one.task, one.split) == (score.task, score.split):
            verdicts.setdefault(one.policy, {})[one.question_id] = one.correct
    ours, alone, teacher = (
        verdicts.get(policy, {}) for policy in (score.policy, ALONE, TEACHER_ALONE)
    )
    differences = [
        right - (1 - share) * alone[id_] - share * teacher[id_]
        for id_, right in ours.items()
        if id_ in alone and id_ in teacher
    ]
    if len(differences) < len(ours) or not differences:
        return LineComparison(score.accuracy - line.at(score.teacher_tokens), None)
    ends = mean_interval(differences, within=DIFFERENCES, resamples=RESAMPLES, seed=0)
    return LineComparison(sum(differences) / len(differences), ends)


class _PriceChooser:
    """Says what wins at a price.

    Args:
        ways: The ways of answering that were measured.
        line: Routing at random on the questions that the choice goes by; None: not known.
        tested_line: Routing at random on test questions.
        level: The policies that are not shown to be above the line, which win at no price.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        line: RoutingLine | None,
        tested_line: RoutingLine | None,
        level: Collection[Policy],
    ) -> None:
        self._ways, self._line, self.tested_line, self._level = ways, line, tested_line, level

    def foremost(self) -> list[Way]:
        """The policy of each family that is furthest above the line, by what it is chosen by."""
        families: dict[str, list[Way]] = {"steps": [], ANY_STEP: [], ROUTE: []}
        for way in self._ways:
            if way.policy.kind == "policy" and way.basis.teacher_tokens > 0:
                name = way.policy.name
                families[name if name in families else "steps"].append(way)
        return [max(family, key=self._lead) for family in families.values() if family]

    def _lead(self, way: Way) -> float:
        base = self._line.at(way.basis.teacher_tokens) if self._line else 0.0
        return way.basis.accuracy - base

    def winner(self, tokens: float) -> Way | None:
        """The best way for so many teacher tokens a question; None for routing at random."""
        within = [
            way
            for way in self._ways
            if way.basis.teacher_tokens <= tokens + TIE and way.policy not in self._level
        ]
        best = max(within, key=lambda way: (way.basis.accuracy, -way.basis.teacher_tokens))
        if self._line is not None and self._line.at(tokens) > best.basis.accuracy + TIE:
            return None
        return best

    def advice(
        self, tokens: float | None, basis: str, predictions: Sequence[GuidedPrediction]
    ) -> list[str]:
        """Returns the recommended ways of answering: for one price, or for each range of prices."""
        if tokens is not None:
            return [self._at_price(tokens, basis, predictions)]
        parts, stages = [], self._by_price()
        for place, (_, way) in enumerate(stages):
            until = stages[place + 1][0] if place + 1 < len(stages) else None
            unit = "" if place else " teacher tokens a question"
            reach = f"up to {until:,.1f}{unit}" if until else "beyond that"
            parts.append(f"{'at any price' if len(stages) == 1 else reach} {_named(way)}")
        return [
            f"Recommended by price, {basis}: {listed(parts)}. Set guide.teacher_tokens to what a "
            "question may cost, and one of them is held against the others at that price."
        ]

    def _by_price(self) -> list[tuple[float, Way | None]]:
        """The winners by ascending price, each from its first teacher token on."""
        prices = {way.basis.teacher_tokens for way in self._ways if way.basis.teacher_tokens > 0}
        if self._line is not None:  # where the line overtakes a way that is ahead of it
            met = (self._line.price_of(way.basis.accuracy) for way in self._ways)
            prices |= {price * (1 + 1e-6) for price in met if price}
        stages: list[tuple[float, Way | None]] = []
        for price in (min(prices, default=1.0) / 1000, *sorted(prices)):
            way = self.winner(price)
            if not stages or way != stages[-1][1]:
                stages.append((price, way))
        return stages

    def _at_price(self, tokens: float, basis: str, predictions: Sequence[GuidedPrediction]) -> str:
        best, line = self.winner(tokens), self.tested_line
        start = f"Recommended within {tokens:,.10g} teacher tokens a question, {basis}: "
        if best is None:
            assert line is not None, "what is chosen by a line is tested against one"
            share = line.share(tokens)
            return (
                f"{start}{_named(None)}, {share:.0%} of them. On {line.alone.total:,} test "
                f"questions that comes to an expected {percent(line.at(tokens))}"
                f"{self._runner_up(tokens, predictions)}."
            )
        score = best.tested
        words = (
            f"{start}{_named(best)}. On {score.total:,} test questions it reaches "
            f"{percent(score.accuracy)} for {score.teacher_tokens:,.1f} tokens"
        )
        if best.policy.kind == "policy" and line is not None:
            against = compare_with_line(score, line, predictions)
            words += (
                f", routing at random for as many {percent(line.at(score.teacher_tokens))} "
                f"({against.words})"
            )
        if best.policy != ALONE and not gains(score):
            words += "; it is not shown to be above the student alone"
        if score.teacher_tokens > tokens * (1 + TIE):
            words += "; on these it costs more than that"
        return f"{words}."

    def _runner_up(self, tokens: float, predictions: Sequence[GuidedPrediction]) -> str:
        """The best policy within a price at which routing wins, held against routing on test."""
        within = [
            way
            for way in self._ways
            if way.policy.kind == "policy" and 0 < way.basis.teacher_tokens <= tokens + TIE
        ]
        if not within or self.tested_line is None:
            return ""
        way = max(within, key=lambda way: way.basis.accuracy)
        against = compare_with_line(way.tested, self.tested_line, predictions)
        return (
            f"; “{label(way.policy)}” reaches {percent(way.tested.accuracy)} for "
            f"{way.tested.teacher_tokens:,.1f} tokens, held against routing for as many "
            f"{against.words}"
        )


def _named(way: Way | None) -> str:
    if way is None:
        return "whole questions sent to the teacher at random"
    if way.policy == ALONE:
        return "the student alone"
    return "the teacher alone" if way.policy == TEACHER_ALONE else f"“{label(way.policy)}”"
