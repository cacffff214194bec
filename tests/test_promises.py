"""Promises of thresholds: the tests by hand, and how often a promise is broken in simulation."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from potstill.guide.choice_notes import explain_broken, explain_promise
from potstill.guide.gate_choice import thresholds_at
from potstill.guide.promises import (
    Promise,
    TriedThreshold,
    attainable_accuracy,
    attainable_share,
    choose_keeping,
    keeping,
    p_accuracy_below,
    p_share_above,
    questions_needed,
)
from potstill.guide.types import PolicySettings

NEVER = math.inf


def tried(
    threshold: float, right: float, asked: int, *, total: int = 100, part: float = 1.0
) -> TriedThreshold:
    """Answers of which some are the teacher's, to a part."""
    shares = np.full(total, 0.0)
    shares[:asked] = part
    np.random.default_rng(0).shuffle(shares)
    return TriedThreshold(threshold, total, right, shares, 10.0 * asked, part == 1.0)


def test_counts_are_tested_by_the_binomial_distribution() -> None:
    # None of 10 where the half would be: (1/2)^10; all of 3 where 0.8 would be: 0.8^3.
    assert p_share_above(tried(1.0, 0, 0, total=10), 0.5) == pytest.approx(1 / 1024)
    assert p_accuracy_below(tried(1.0, 3, 0, total=3), 0.8) == pytest.approx(0.512)
    assert p_accuracy_below(tried(1.0, 0, 0, total=3), 0.8) == 1.0


def test_shares_between_0_and_1_are_tested_by_betting() -> None:
    # Two answers, a quarter each, against a half: stakes by the variance 1/4 and then
    # (1/4 + (1/4 - 3/8)^2) / 2, of which 3/2 is the most.
    two = TriedThreshold(1.0, 2, 0, np.array([0.25, 0.25]), 0.0, False)
    stakes = [min(math.sqrt(2 * math.log(20) / (2 * v)), 1.5) for v in (0.25, 0.265625 / 2)]
    assert stakes == [1.5, 1.5]
    assert p_share_above(two, 0.5) == pytest.approx(1 / (1 + 1.5 * 0.25) ** 2)
    many = TriedThreshold(1.0, 100, 0, np.full(100, 0.5), 0.0, False)
    assert p_share_above(many, 0.4) == 1.0
    first = math.sqrt(2 * math.log(20) / (100 * 0.25))
    assert p_share_above(many._replace(shares=np.array([0.1, *[0.9] * 99])), 0.2) == pytest.approx(
        1 / (1 + first * 0.1)
    )  # the capital is at its most after the first bet


def test_parts_are_shown_to_be_few_where_they_are() -> None:
    """The teacher writes a quarter of each of 40 answers among 100: a mean share of 0.1."""
    part = tried(1.0, 0, 40, part=0.25)
    assert p_share_above(part, 0.15) < 0.05 < p_share_above(part, 0.11)


def test_shares_are_tested_from_the_highest_threshold_until_one_fails() -> None:
    ladder = [tried(NEVER, 30, 0), tried(3, 40, 5), tried(2, 50, 30), tried(1, 60, 8)]
    kept = keeping(ladder, Promise(share=0.2))
    assert [one.threshold for one in kept] == [NEVER, 3]  # the last one is no longer looked at
    assert choose_keeping(ladder, Promise(share=0.2)) is ladder[1]


def test_the_highest_threshold_is_tested_for_the_questions_that_a_student_leaves() -> None:
    silent = [tried(NEVER, 50, 40), tried(1, 60, 100)]
    assert keeping(silent, Promise(share=0.3)) == []
    assert choose_keeping(silent, Promise(share=0.5)) is silent[0]
    share = attainable_share(silent, Promise(share=0.3))
    assert share is not None and choose_keeping(silent, Promise(share=share)) is silent[0]
    assert choose_keeping(silent, Promise(share=share - 0.001)) is None
    parts = [tried(NEVER, 50, 80, part=0.5), tried(1, 60, 100)]
    assert keeping(parts, Promise(share=0.3)) == []


def test_five_questions_without_silence_do_not_show_that_it_is_rare() -> None:
    few = [tried(NEVER, 1, 0, total=5), tried(1, 5, 1, total=5)]
    assert choose_keeping(few, Promise(share=0.4)) is None  # 0.6^5 is 0.078
    assert choose_keeping(few, Promise(share=0.46)) is few[0]  # 0.54^5 is 0.046
    needed = questions_needed(few, Promise(share=0.1))
    assert needed is not None and 0.9**needed <= 0.05


def test_a_silent_student_breaks_a_promised_share_in_5_of_100_draws_at_most() -> None:
    """A student leaves 31% of the questions, and 30% are promised."""
    drawn_silent = np.random.default_rng(0).binomial(100, 0.31, SIMULATIONS)
    kept = sum(
        bool(keeping([tried(NEVER, 50, int(silent))], Promise(share=0.3)))
        for silent in drawn_silent
    )
    assert kept <= 0.05 * SIMULATIONS


def test_of_those_that_reach_an_accuracy_the_cheapest_is_taken() -> None:
    ladder = [tried(NEVER, 55, 0), tried(3, 75, 20), tried(2, 85, 50), tried(1, 84, 100)]
    # 0.05 / 4 for the likeliest, and more for each after it: 85 and 84 of 100 against 0.7 pass.
    assert [one.threshold for one in keeping(ladder, Promise(accuracy=0.7))] == [2, 1]
    chosen = choose_keeping(ladder, Promise(accuracy=0.7))
    assert chosen is not None and chosen.threshold == 2
    assert choose_keeping(ladder, Promise(accuracy=0.8)) is None


def test_holm_gives_the_least_likely_the_whole_chance() -> None:
    # 60 of 100 against one half: 0.028, which passes as the last of two and not as the first.
    assert p_accuracy_below(tried(1, 60, 0), 0.5) == pytest.approx(0.0284, abs=1e-4)
    assert len(keeping([tried(1, 60, 0), tried(2, 90, 0)], Promise(accuracy=0.5))) == 2
    assert keeping([tried(1, 60, 0), tried(2, 50, 0)], Promise(accuracy=0.5)) == []


def test_both_promises_share_the_chance() -> None:
    ladder = [tried(NEVER, 40, 0), tried(2, 80, 12), tried(1, 95, 90)]
    assert p_share_above(ladder[1], 0.2) == pytest.approx(0.0253, abs=1e-4)  # above 0.025
    assert choose_keeping(ladder, Promise(share=0.2)) is ladder[1]
    assert choose_keeping(ladder, Promise(share=0.2, accuracy=0.6)) is None
    assert choose_keeping(ladder, Promise(share=0.25, accuracy=0.6)) is ladder[1]


def test_what_could_be_promised_is_promised_then() -> None:
    ladder = [tried(NEVER, 55, 0), tried(2, 80, 30)]
    reached = attainable_accuracy(ladder, Promise(accuracy=0.9))
    assert choose_keeping(ladder, Promise(accuracy=reached)) is ladder[1]
    assert choose_keeping(ladder, Promise(accuracy=reached + 0.001)) is None
    share = attainable_share(ladder, Promise(share=0.1))
    assert share is not None
    assert choose_keeping(ladder, Promise(share=share)) is ladder[1]
    assert choose_keeping(ladder, Promise(share=share - 0.001)) is ladder[0]
    assert attainable_share([ladder[0], tried(0, 99, 100)], Promise(share=0.5)) is None


def test_more_questions_help_where_the_rates_do() -> None:
    ladder = [tried(NEVER, 55, 0), tried(2, 80, 30)]
    needed = questions_needed(ladder, Promise(accuracy=0.78))
    assert needed is not None and 500 < needed < 3_000
    # that many would: 80% of them against 0.78, at half of the chance for the likelier of two
    assert binom.sf(round(0.8 * needed) - 1, needed, 0.78) <= 0.025
    assert questions_needed(ladder, Promise(accuracy=0.85)) is None


def test_thresholds_are_those_that_shares_of_the_doubts_reach() -> None:
    doubts = [place / 100 for place in range(1, 101)]
    assert thresholds_at(doubts) == [NEVER, 0.96, 0.91, 0.81, 0.66, 0.51, 0.26, 0.0]
    assert thresholds_at([0.0, 0.0, math.inf]) == [NEVER, 0.0]
    assert thresholds_at([]) == [NEVER, 0.0]


Simulated = tuple[np.ndarray, np.ndarray]
SIMULATIONS, QUESTIONS = 1_000, 150
LADDER = [0.95, 0.9, 0.8, 0.65, 0.5, 0.25, 0.0]
"""The doubts are even between 0 and 1, so that 1 less a threshold is the share that it asks for."""


def accuracy_at(doubt: np.ndarray, *, asked: bool) -> np.ndarray:
    """The student's chance falls with its doubt; the teacher's is 0.9 of any question."""
    return np.full_like(doubt, 0.9) if asked else 1 - 0.9 * doubt


def true_accuracy(threshold: float) -> float:
    """Over all questions: the student's up to the threshold, the teacher's from there on."""
    below = min(threshold, 1.0)
    return below - 0.45 * below**2 + 0.9 * (1 - below)


def drawn(seed: int, *, parts: bool) -> list[TriedThreshold]:
    """Development questions as they are answered at each threshold."""
    generator = np.random.default_rng(seed)
    doubt, luck = generator.random(QUESTIONS), generator.random(QUESTIONS)
    # The teacher writes a random part of an answer that is handed over, half on average.
    part = generator.random(QUESTIONS) if parts else np.ones(QUESTIONS)
    ladder = []
    for threshold in [NEVER, *LADDER]:
        asked = doubt >= threshold
        right = luck < np.where(
            asked, accuracy_at(doubt, asked=True), accuracy_at(doubt, asked=False)
        )
        shares = asked * part
        ladder.append(
            TriedThreshold(
                threshold, QUESTIONS, int(right.sum()), shares, float(shares.sum()), not parts
            )
        )
    return ladder


def broken(
    promise: Promise,
    *,
    parts: bool = False,
    choose: Callable[[Sequence[TriedThreshold], Promise], TriedThreshold | None] = choose_keeping,
) -> tuple[int, int]:
    """Returns how often the chosen threshold breaks a promise, and how often none is chosen."""
    failures = none = 0
    for seed in range(SIMULATIONS):
        chosen = choose(drawn(seed, parts=parts), promise)
        if chosen is None:
            none += 1
            continue
        share = (1 - min(chosen.threshold, 1.0)) * (0.5 if parts else 1.0)
        too_much = promise.share is not None and share > promise.share + 1e-12
        too_few = (
            promise.accuracy is not None
            and true_accuracy(chosen.threshold) < promise.accuracy - 1e-12
        )
        failures += too_much or too_few
    return failures, none


@pytest.mark.parametrize(
    ("promise", "parts"),
    [
        (Promise(share=0.345), False),  # half a point below what the threshold 0.65 asks for
        (Promise(share=0.17), True),
        (Promise(accuracy=true_accuracy(0.5) + 0.005), False),
        (Promise(accuracy=true_accuracy(NEVER) + 0.005), False),
        (Promise(share=0.499, accuracy=0.75), False),
        (Promise(share=0.249, accuracy=0.75), True),
    ],
)
def test_a_promise_is_kept_in_95_of_100_draws_of_the_development_questions(
    promise: Promise, parts: bool
) -> None:
    failures, none = broken(promise, parts=parts)
    assert failures <= 0.05 * SIMULATIONS
    assert none < SIMULATIONS  # it is not kept by promising nothing


def test_at_the_very_edge_it_is_kept_as_often_but_for_what_draws_differ_by() -> None:
    """An accuracy that the student alone misses by nothing: 5 of 100 may break it, and no more."""
    failures, _ = broken(Promise(accuracy=true_accuracy(NEVER) + 1e-9))
    assert failures <= binom.ppf(0.99, SIMULATIONS, 0.05)


def test_the_likeliest_looking_threshold_without_correction_breaks_it_more_often() -> None:
    """The naive choice is the cheapest threshold that merely seems to reach an accuracy."""

    def naively(ladder: Sequence[TriedThreshold], promise: Promise) -> TriedThreshold | None:
        enough = [one for one in ladder if one.right >= (promise.accuracy or 0) * one.total]
        return min(enough, key=lambda one: one.tokens, default=None)

    failures, _ = broken(Promise(accuracy=true_accuracy(0.5) + 1e-6), choose=naively)
    assert failures > 0.25 * SIMULATIONS


ROUTE = PolicySettings(when="route", signal="entropy", accuracy_at_least=0.9)
LADDER_OF_TWO = [tried(NEVER, 55, 0), tried(2, 80, 30)]


def test_what_is_not_kept_is_said_with_a_way_out() -> None:
    note = explain_broken(ROUTE, Promise(accuracy=0.9), LADDER_OF_TWO, 0.8)
    assert note == (
        "route_entropy_accuracy_0.9 is not followed: none of 2 thresholds is shown to keep an "
        "accuracy of 0.9 or more with 95% confidence. The best of them has 80 of 100 development "
        "questions right, "
        "by which accuracy_at_least: 0.708 could be promised; more questions of the kind would not "
        "do, a stronger teacher might."
    )
    more = explain_broken(ROUTE, Promise(accuracy=0.78), LADDER_OF_TWO)
    assert "development questions would do (task.dev)" in more


def test_the_best_threshold_has_the_most_right_where_none_is_near_what_is_promised() -> None:
    far = [tried(NEVER, 2, 0, total=32), tried(2, 4, 9, total=32), tried(1, 3, 32, total=32)]
    note = explain_broken(ROUTE, Promise(accuracy=0.99), far)
    assert p_accuracy_below(far[0], 0.99) == p_accuracy_below(far[1], 0.99)
    assert "The best of them has 4 of 32 development questions right" in note


def test_a_stronger_teacher_is_advised_only_where_the_teacher_is_too_weak() -> None:
    promise = Promise(accuracy=0.9)
    advice = "a stronger teacher might"
    assert advice in explain_broken(ROUTE, promise, LADDER_OF_TWO, 0.89)
    for accuracy in (0.9, 1.0, None):  # not known where no answer is the teacher's alone
        note = explain_broken(ROUTE, promise, LADDER_OF_TWO, accuracy)
        assert advice not in note and "more questions of the kind would not do." in note


def test_a_share_that_not_even_the_highest_threshold_keeps_is_said_with_a_way_out() -> None:
    policy = PolicySettings(when="route", signal="entropy", teacher_share_at_most=0.3)
    silent = [tried(NEVER, 50, 40), tried(1, 60, 100)]
    note = explain_broken(policy, Promise(share=0.3), silent)
    assert "none of 2 thresholds is shown to keep the teacher's share" in note
    assert note.endswith("Teacher_share_at_most: 0.488 could be.")
    alone = explain_broken(policy, Promise(share=0.3), silent[1:])
    assert alone.endswith("No share below 1 would change that.")
    both = explain_broken(policy, Promise(share=0.3, accuracy=0.9), silent)
    assert "60 of 100 development questions right, but no accuracy could be promised" in both


def test_what_is_kept_is_said_with_its_figures() -> None:
    promise = Promise(share=0.4)
    chosen = choose_keeping(LADDER_OF_TWO, promise)
    assert chosen is not None
    policy = PolicySettings(when="route", signal="entropy", teacher_share_at_most=0.4)
    assert explain_promise(policy, promise, chosen, LADDER_OF_TWO) == (
        "route_entropy_0.4 asks the teacher from 2 on: of 2 thresholds that were tried, the one "
        "with the most right answers among those that keep the teacher's share of the questions at "
        "0.4 or less with 95% confidence (80 of 100 right, teacher's share of the questions 30.0%)."
    )
    closer = Promise(share=0.31)
    chosen = choose_keeping(LADDER_OF_TWO, closer)
    assert chosen is not None
    note = explain_promise(policy, closer, chosen, LADDER_OF_TWO)
    assert "only where the student does not answer: no other threshold keeps" in note
    assert "Teacher_share_at_most: 0.385 could be" in note
