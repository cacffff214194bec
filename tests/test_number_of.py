"""Counts of things in words."""

from potstill.text.number_of import number_of


def test_one_thing_is_named_in_the_singular() -> None:
    assert number_of(1, "step") == "1 step"
    assert number_of(0, "step") == "0 steps"
    assert number_of(2400, "policy", "policies") == "2,400 policies"
