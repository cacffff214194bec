import math

import pytest

from potstill.statistics import (
    CHANCES,
    DIFFERENCES,
    accuracy_interval,
    compare_runs,
    mean_interval,
    paired_comparison,
    runs_interval,
)


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The score interval as its textbook formula gives it."""
    z, share = 1.959963984540054, correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(
        share * (1 - share) / total + z * z / (4 * total * total)
    )  # fmt: skip
    return centre - half, centre + half


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (7, 10), (186, 300), (300, 300)])
def test_interval_is_wilsons(correct: int, total: int) -> None:
    assert accuracy_interval(correct, total) == pytest.approx(wilson(correct, total), abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ([True] * 20, [True] * 20, -0.1684, 0.1684),  # 1 - 0.025 ** (1 / 20), the exact bound
        ([False] * 20, [False] * 20, -0.1684, 0.1684),
        ([True] * 20, [False] * 20, 0.8316, 1.0),
        ([True], [True], -0.975, 0.975),
    ],
)
def test_pairs_of_one_kind_leave_an_interval_with_a_width(
    first: list[bool], second: list[bool], low: float, high: float
) -> None:
    result = paired_comparison(first, second, resamples=100, seed=0)
    assert result.interval == pytest.approx((low, high), abs=1e-4)


def test_an_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no accuracy of 0"):
        accuracy_interval(0, 0)


def test_mcnemar_worked_by_hand() -> None:
    # 5 questions only the first answers, 1 only the second: of 64 ways to split 6 such questions,
    # 1 + 6 are as far from even on either side
    first = [True] * 5 + [False] + [True] * 4
    second = [False] * 5 + [True] + [True] * 4
    result = paired_comparison(first, second, resamples=1000, seed=0)
    assert (result.only_first, result.only_second, result.total) == (5, 1, 10)
    assert result.difference == pytest.approx(0.4)
    assert result.p_value == pytest.approx(2 * 7 / 64)


def test_equal_systems_do_not_differ() -> None:
    result = paired_comparison([True, False] * 20, [True, False] * 20, resamples=1000, seed=0)
    assert result.p_value == 1.0
    assert result.interval == pytest.approx((-0.0881, 0.0881), abs=1e-4)  # 1 - 0.025 ** (1 / 40)


def test_bootstrap_interval_is_near_the_normal_one() -> None:
    # difference 0.2, paired standard error sqrt((0.3 - 0.2**2) / 400) = 0.0255
    first = [True] * 100 + [False] * 20 + [True] * 280
    second = [False] * 100 + [True] * 20 + [True] * 280
    result = paired_comparison(first, second, resamples=20_000, seed=1)
    error = 1.96 * math.sqrt((120 / 400 - 0.2**2) / 400)
    assert result.interval == pytest.approx((0.2 - error, 0.2 + error), abs=0.004)


def test_a_mean_of_equal_values_is_not_known_for_certain() -> None:
    unseen = 1 - 0.025 ** (1 / 10)
    for value, within, ends in [
        (0.0, CHANCES, (0, unseen)),
        (1.0, CHANCES, (1 - unseen, 1)),
        (0.25, DIFFERENCES, (0.25 - unseen, 0.25 + unseen)),
    ]:
        found = mean_interval([value] * 10, within=within, resamples=100, seed=0)
        assert found == pytest.approx(ends)
    found = mean_interval([0.0, 1.0] * 200, within=CHANCES, resamples=20_000, seed=0)
    assert found == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.004)


def test_unpaired_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot pair 2 answers with 1"):
        paired_comparison([True, False], [True], resamples=100, seed=0)


def test_an_interval_over_runs_worked_by_hand() -> None:
    # 254, 200 and 157 of 300: mean 0.6789, standard deviation 0.1620, t of two degrees 4.3027
    low, high = runs_interval([254 / 300, 200 / 300, 157 / 300]) or (0, 0)
    assert low == pytest.approx(0.6789 - 4.3027 * 0.1620 / 3**0.5, abs=2e-4)
    assert high == 1.0  # no accuracy is above 1


def test_equal_runs_and_single_ones_have_no_interval_over_runs() -> None:
    assert runs_interval([0.1 + 0.2, 0.3]) is None
    with pytest.raises(ValueError, match="run another seed"):
        runs_interval([0.5])


def test_the_paired_t_agrees_with_scipy() -> None:
    from scipy.stats import ttest_rel

    first, second = [0.5, 0.61, 0.4, 0.7, 0.66], [0.45, 0.5, 0.42, 0.6, 0.5]
    result, theirs = compare_runs(first, second), ttest_rel(first, second)
    assert result.runs == 5
    assert result.difference == pytest.approx(0.08)
    assert result.p_value == pytest.approx(theirs.pvalue)
    assert result.interval == pytest.approx(tuple(theirs.confidence_interval()))
