"""The results of guidance in several runs of one recipe, their questions taken together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.records.policy import ALONE
from potstill.statistics import Interval, PairedResult, accuracy_interval, paired_comparison
from potstill.store import Store

RESAMPLES = 10_000
"""Bootstrap resamples behind the intervals of differences and of kept shares."""

ALWAYS = Policy(kind="policy", name="first")
"""Guiding the first step of every answer."""

Question = tuple[int, str]
"""The seed of a run, and the question's id."""


class Kept(NamedTuple):
    """The shares of always guiding the first step that a conditional policy keeps."""

    gain: float
    """Share of the gain in right answers."""

    interval: Interval
    """Its 95% interval, by bootstrap over questions; draws without any gain have no share."""

    tokens: float
    """Share of the teacher's tokens."""


class PooledPolicy(NamedTuple):
    """One policy over all runs."""

    name: str
    right: int
    total: int
    teacher_tokens: float
    """Mean a question."""

    unleaked: tuple[int, int]
    """Right and all answers whose guidance does not hold the gold answer."""

    against: PairedResult | None
    """Against the student alone, on the questions that both have; None for itself."""

    kept: Kept | None
    """None where it is not conditional, or always guiding gains nothing or counts no tokens."""


class Expected(NamedTuple):
    """A baseline by its scores alone: routing, pass@k, the teacher alone."""

    name: str
    accuracy: float
    teacher_tokens: float


def guided_results(folders: Mapping[int, Path]) -> tuple[list[PooledPolicy], list[Expected]]:
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
) -> PooledPolicy:
    alone = answers[ALONE]
    pairs = [(each.correct, alone[at].correct) for at, each in given.items() if at in alone]
    against = None
    if policy != ALONE and pairs:
        ours, theirs = zip(*pairs, strict=True)
        against = paired_comparison(ours, theirs, resamples=RESAMPLES, seed=0)
    unleaked = [each.correct for each in given.values() if not each.leaked]
    return PooledPolicy(
        name=policy.label,
        right=sum(each.correct for each in given.values()),
        total=len(given),
        teacher_tokens=sum(each.teacher_tokens for each in given.values()) / len(given),
        unleaked=(sum(unleaked), len(unleaked)),
        against=against,
        kept=_kept(given, answers[ALWAYS], alone) if policy.is_conditional else None,
    )


def _kept(
    given: Mapping[Question, GuidedPrediction],
    always: Mapping[Question, GuidedPrediction],
    alone: Mapping[Question, GuidedPrediction],
) -> Kept | None:
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
    return Kept(kept / most, Interval(float(low), float(high)), tokens / paid)


def _expected(name: str, scores: Sequence[GuidedScore]) -> Expected:
    total = sum(score.total for score in scores)
    accuracy = sum(score.accuracy * score.total for score in scores) / total
    return Expected(name, accuracy, sum(s.teacher_tokens * s.total for s in scores) / total)


def guided_rows(policies: Sequence[PooledPolicy], expected: Sequence[Expected]) -> list[list[str]]:
    """The lines of a table; its heads are ``GUIDED_HEADS``."""
    rows = []
    for each in policies:
        low, high = accuracy_interval(each.right, each.total)
        right, total = each.unleaked
        difference = p = kept = ""
        if each.against is not None:
            ends = each.against.interval
            difference = f"{100 * each.against.difference:+.1f}"
            difference += f" ({100 * ends.low:+.1f} to {100 * ends.high:+.1f})"
            p = f"{each.against.p_value:.2g}"
        if each.kept is not None:
            ends = each.kept.interval
            kept = f"{each.kept.gain:.0%} ({ends.low:.0%} to {ends.high:.0%})"
            kept += f" at {each.kept.tokens:.0%}"
        accuracy = f"{100 * each.right / each.total:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        leaked = f"{100 * right / total:.1f} of {total}" if total else ""
        count = f"{each.right}/{each.total}"
        tokens = f"{each.teacher_tokens:.1f}"
        rows.append([each.name, count, accuracy, difference, p, tokens, leaked, kept])
    for one in expected:
        accuracy, tokens = f"{100 * one.accuracy:.1f}", f"{one.teacher_tokens:.1f}"
        rows.append([one.name, "", accuracy, "", "", tokens, "", ""])
    return rows


GUIDED_HEADS = (
    "policy",
    "right",
    "accuracy",
    "points to the student alone",
    "p",
    "teacher tokens",
    "without leaked",
    "gain kept at tokens",
)


def guided_figures(
    policies: Sequence[PooledPolicy], expected: Sequence[Expected]
) -> dict[str, object]:
    """The same as plain values."""
    return {
        "policies": {
            each.name: {
                **each._asdict(),
                "interval": accuracy_interval(each.right, each.total),
                "against": each.against._asdict() if each.against else None,
                "kept": each.kept._asdict() if each.kept else None,
            }
            for each in policies
        },
        "expected": {each.name: each._asdict() for each in expected},
    }
