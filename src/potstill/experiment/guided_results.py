"""Reads what guidance brought in several runs of one recipe, and compares policies over the runs.

A policy says when and with what the teacher steps in. Its gain is to the same student alone, on the
questions that both answered under the same seed.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from potstill.experiment.run_results import (
    RESAMPLES,
    SystemComparison,
    SystemResults,
    comparison_figures,
    difference_cells,
    system_figures,
)
from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.records.policy import ALONE, TEACHER_ALONE
from potstill.statistics import Interval, RunsComparison, compare_runs
from potstill.store import Store
from potstill.text.points import points

ALWAYS = Policy(kind="policy", name="first")
"""Guiding the first step of every answer."""

Question = tuple[int, str]
"""The seed of a run, and the question's id."""


class KeptGain(NamedTuple):
    """The shares of always guiding the first step that a conditional policy keeps."""

    gain: float
    """Share of the gain in right answers."""

    interval: Interval
    """The 95% interval of ``gain`` by bootstrap over questions; draws without gain are left out."""

    tokens: float
    """Share of the teacher's tokens."""


class PolicyResults(NamedTuple):
    """One policy in all runs."""

    results: SystemResults
    teacher_tokens: float
    """Mean a question."""

    unleaked: tuple[int, int]
    """Right and all answers whose guidance does not hold the gold answer."""

    against: SystemComparison | None
    """Against the student alone, on the questions that both have; None for itself."""

    routed: RunsComparison | None
    """Against sending whole questions to the teacher at random for as many teacher tokens, over
    runs; None where the teacher alone is not known question by question, or there is one run."""

    kept: KeptGain | None
    """The kept shares; None without spared first steps, or a gain and tokens of always guiding."""


class ExpectedPolicy(NamedTuple):
    """A baseline by its scores alone: routing, pass@k, the teacher alone."""

    name: str
    accuracy: float
    teacher_tokens: float


def guided_results(folders: Mapping[int, Path]) -> tuple[list[PolicyResults], list[ExpectedPolicy]]:
    """Read the guided answers of some runs.

    Args:
        folders: The folder of each run, by its seed.

    Returns:
        Nothing where no run has any.
    """
    answers: dict[Policy, dict[Question, GuidedPrediction]] = defaultdict(dict)
    scores: dict[Policy, list[GuidedScore]] = defaultdict(list)
    for seed, folder in folders.items():
        with Store(folder / "run.sqlite", read_only=True) as store:
            for each in store.guided_predictions():
                if each.split == "test":
                    answers[each.policy][seed, each.question_id] = each
            for score in store.guided_scores():
                if score.split == "test":
                    scores[score.policy].append(score)
    policies = [_pool(policy, given, answers) for policy, given in answers.items()]
    expected = [
        _expected(policy.label, given) for policy, given in scores.items() if policy not in answers
    ]
    return policies, expected


def _pool(
    policy: Policy,
    given: Mapping[Question, GuidedPrediction],
    answers: Mapping[Policy, Mapping[Question, GuidedPrediction]],
) -> PolicyResults:
    alone = answers[ALONE]
    both = {at: answer for at, answer in given.items() if at in alone}
    against = None
    if policy != ALONE and both:
        ours = _verdicts(policy, both)
        against = ours.compared_with(_verdicts(ALONE, {at: alone[at] for at in both}))
    unleaked = [answer.correct for answer in given.values() if not answer.leaked]
    return PolicyResults(
        results=_verdicts(policy, given),
        teacher_tokens=sum(answer.teacher_tokens for answer in given.values()) / len(given),
        unleaked=(sum(unleaked), len(unleaked)),
        against=against,
        routed=_against_routing(policy, given, answers),
        kept=_kept(given, answers[ALWAYS], alone) if policy.spares_first_step else None,
    )


def _against_routing(
    policy: Policy,
    given: Mapping[Question, GuidedPrediction],
    answers: Mapping[Policy, Mapping[Question, GuidedPrediction]],
) -> RunsComparison | None:
    """Each run's accuracy against the line between the student and the teacher alone."""
    alone, teacher = answers.get(ALONE, {}), answers.get(TEACHER_ALONE, {})
    if policy.kind != "policy" or not all(at in alone and at in teacher for at in given):
        return None
    ours, routed = list[float](), list[float]()
    for seed in sorted({seed for seed, _ in given}):
        asked = [at for at in given if at[0] == seed]
        price, whole = (
            sum(answered[at].teacher_tokens for at in asked) for answered in (given, teacher)
        )
        if not whole:
            return None
        low, high, reached = (
            sum(answered[at].correct for at in asked) / len(asked)
            for answered in (alone, teacher, given)
        )
        ours.append(reached)
        routed.append(low + (high - low) * min(1.0, price / whole))
    return compare_runs(ours, routed) if len(ours) > 1 else None


def _verdicts(policy: Policy, given: Mapping[Question, GuidedPrediction]) -> SystemResults:
    by_seed: dict[int, dict[str, bool]] = defaultdict(dict)
    for (seed, question), answer in given.items():
        by_seed[seed][question] = answer.correct
    return SystemResults(name=policy.label, by_seed=by_seed)


def _kept(
    given: Mapping[Question, GuidedPrediction],
    always: Mapping[Question, GuidedPrediction],
    alone: Mapping[Question, GuidedPrediction],
) -> KeptGain | None:
    gains = np.array(
        [(each.correct - alone[at].correct, always[at].correct - alone[at].correct)
         for at, each in given.items()],
        dtype=np.int64,
    )  # fmt: skip
    kept, most = (int(total) for total in gains.sum(axis=0))
    paid = sum(always[at].teacher_tokens for at in given)
    if most <= 0 or not paid:
        return None
    kinds, counts = np.unique(gains, axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(gains), counts / len(gains), size=RESAMPLES)
    sums = drawn @ kinds
    gaining = sums[sums[:, 1] > 0]
    low, high = np.quantile(gaining[:, 0] / gaining[:, 1], [0.025, 0.975])
    tokens = sum(each.teacher_tokens for each in given.values())
    return KeptGain(kept / most, Interval(float(low), float(high)), tokens / paid)


def _expected(name: str, scores: Sequence[GuidedScore]) -> ExpectedPolicy:
    total = sum(score.total for score in scores)
    accuracy = sum(score.accuracy * score.total for score in scores) / total
    return ExpectedPolicy(name, accuracy, sum(s.teacher_tokens * s.total for s in scores) / total)


GUIDED_HEADS = (
    "policy",
    "right",
    "mean",
    "95% over runs",
    "points to the student alone",
    "95%",
    "p",
    "teacher tokens",
    "points to routing at these",
    "without leaked",
    "gain kept at tokens",
)
"""The columns of ``guided_rows``; a difference is over runs, for a single run over questions."""


def guided_rows(
    policies: Sequence[PolicyResults], expected: Sequence[ExpectedPolicy]
) -> list[list[str]]:
    """Returns the rows of a table, whose heads are ``GUIDED_HEADS``."""
    rows = []
    for policy in policies:
        results, (right, total) = policy.results, policy.unleaked
        accuracy = statistics.fmean(results.accuracies.values())
        ends = results.over_runs
        kept = ""
        if policy.kept is not None:
            share = policy.kept.interval
            kept = f"{policy.kept.gain:.0%} ({share.low:.0%} to {share.high:.0%})"
            kept += f" at {policy.kept.tokens:.0%}"
        rows.append(
            [
                results.name,
                f"{results.right}/{results.total}",
                f"{100 * accuracy:.1f}",
                f"{100 * ends.low:.1f} to {100 * ends.high:.1f}" if ends else "-",
                *difference_cells(policy.against),
                f"{policy.teacher_tokens:.1f}",
                _routed_cell(policy.routed),
                f"{100 * right / total:.1f} of {total}" if total else "",
                kept,
            ]
        )
    for one in expected:
        cells = f"{100 * one.accuracy:.1f}", *([""] * 4), f"{one.teacher_tokens:.1f}"
        rows.append([one.name, "", *cells, "", "", ""])
    return rows


def _routed_cell(routed: RunsComparison | None) -> str:
    """The difference to routing at random for the same price, with its interval over runs."""
    if routed is None:
        return ""
    ends = routed.interval
    within = f" ({points(ends.low)} to {points(ends.high)})" if ends else ""
    return f"{points(routed.difference)}{within}"


def guided_figures(
    policies: Sequence[PolicyResults], expected: Sequence[ExpectedPolicy]
) -> dict[str, object]:
    """Returns the same as plain values."""
    return {
        "policies": {
            policy.results.name: {
                **system_figures(policy.results),
                "teacher_tokens": policy.teacher_tokens,
                "unleaked": policy.unleaked,
                "against": comparison_figures(policy.against),
                "routed": policy.routed._asdict() if policy.routed else None,
                "kept": policy.kept._asdict() if policy.kept else None,
            }
            for policy in policies
        },
        "expected": {one.name: one._asdict() for one in expected},
    }
