"""Counts of things, and intervals in points, in words."""

from potstill.text.number_of import number_of
from potstill.text.points import MINUS, interval_in_points


def test_one_thing_is_named_in_the_singular() -> None:
    assert number_of(1, "step") == "1 step"
    assert number_of(0, "step") == "0 steps"
    assert number_of(2400, "policy", "policies") == "2,400 policies"


def test_an_interval_that_leaves_out_0_is_not_rounded_to_it() -> None:
    assert interval_in_points(0.026, 0.0783) == "+3 to +8"
    assert interval_in_points(0.003, 0.097) == "+0.3 to +9.7"
    assert interval_in_points(0.0, 0.097) == "0 to +10"
    assert interval_in_points(-0.0804, -0.004) == f"{MINUS}8.0 to {MINUS}0.4"
