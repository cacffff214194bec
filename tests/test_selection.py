"""Selection rules and early stopping: worked values and properties."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from potstill.evaluate.selection import (
    RULES,
    CheckpointScores,
    SelectionRule,
    applicable,
    choose,
    should_stop,
    undominated,
)


def standing(step: int, target: int, others: str = "", generic: str = "") -> CheckpointScores:
    """A checkpoint with accuracies in percent."""

    def shares(percents: str) -> tuple[Fraction, ...]:
        return tuple(Fraction(int(each), 100) for each in percents.split())

    return CheckpointScores(step, Fraction(target, 100), shares(others), shares(generic))


# The target rises along training, generic ability falls, out of distribution it peaks early.
TRAINING = [
    standing(10, 20, "40 30", "80 90"),
    standing(20, 50, "60 20", "70 80"),
    standing(30, 60, "50 10", "30 40"),
    standing(40, 62, "46 10", "10 0"),
]


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        ("in_distribution", 40),
        ("out_of_distribution", 20),  # means 35, 40, 30, 28
        # regrets on target and the two others: 42 20 0, 12 0 10, 2 10 20, 0 14 20
        ("worst_case", 20),
        # target means 30, 43.3, 40, 39.3 and generic 85, 75, 35, 5: the first two are the front
        ("pareto", 10),
    ],
)
def test_each_rule_takes_its_checkpoint(rule: SelectionRule, step: int) -> None:
    assert choose(rule, TRAINING).step == step


def test_pareto_takes_the_knee_of_the_front() -> None:
    corner = [
        standing(10, 20, generic="90"),
        standing(20, 70, generic="80"),
        standing(30, 80, generic="30"),
    ]
    assert choose("pareto", corner).step == 20  # squared distances 1, 1/36 + 1/36, 1


@pytest.mark.parametrize("rule", RULES)
def test_of_equals_the_earliest_is_taken(rule: SelectionRule) -> None:
    equals = [standing(step, 50, "40", "30") for step in (30, 10, 20)]
    assert choose(rule, equals).step == 10


def test_equal_means_are_equal_whatever_they_are_made_of() -> None:
    """The second mean would be larger in floats: (0.1 + 0.2 + 0.3) / 3 is above 0.2."""
    one, two = standing(10, 50, "20 20 20"), standing(20, 50, "10 20 30")
    assert choose("out_of_distribution", [one, two]).step == 10


def test_rules_apply_where_they_have_their_tasks() -> None:
    assert applicable(standing(1, 50)) == ["in_distribution"]
    family = ["in_distribution", "out_of_distribution", "worst_case"]
    assert applicable(standing(1, 50, "40")) == family
    assert applicable(standing(1, 50, generic="40")) == ["in_distribution", "pareto"]
    on_development = [rule for rule in RULES if rule != "best_on_test"]
    assert applicable(standing(1, 50, "40", "40")) == on_development
    tested = standing(1, 50, "40", "40")._replace(on_test=Fraction(1, 2))
    assert applicable(tested) == list(RULES)


percents = st.integers(0, 10).map(lambda tenths: Fraction(tenths, 10))


@st.composite
def trainings(draw: st.DrawFn) -> list[CheckpointScores]:
    """Checkpoints of one training, on a grid so coarse that ties are frequent."""
    tasks = st.tuples(percents, percents)
    scores = draw(st.lists(st.tuples(percents, tasks, tasks, percents), min_size=1, max_size=8))
    return [CheckpointScores(10 * number, *each) for number, each in enumerate(scores, start=1)]


@given(trainings())
def test_pareto_takes_no_checkpoint_that_another_beats(training: list[CheckpointScores]) -> None:
    taken = choose("pareto", training).trade
    for other in training:
        assert other.trade == taken or not all(
            theirs >= own for theirs, own in zip(other.trade, taken, strict=True)
        )


@given(trainings(), percents, percents)
def test_a_beaten_checkpoint_changes_nothing(
    training: list[CheckpointScores], target: Fraction, generic: Fraction
) -> None:
    beaten = CheckpointScores(5, target, (target, target), (generic, generic))
    if beaten not in undominated([*training, beaten]):
        assert choose("pareto", [*training, beaten]) == choose("pareto", training)


@given(trainings(), st.sampled_from(list(RULES)))
def test_every_rule_is_best_by_its_own_measure(
    training: list[CheckpointScores], rule: SelectionRule
) -> None:
    taken = choose(rule, training)
    best = [max(column) for column in zip(*(each.family for each in training), strict=True)]
    measures: dict[SelectionRule, Callable[[CheckpointScores], Fraction | bool]] = {
        "in_distribution": lambda each: each.in_distribution,
        "out_of_distribution": lambda each: sum(each.out_of_distribution, Fraction(0)),
        "worst_case": lambda each: -max(a - b for a, b in zip(best, each.family, strict=True)),
        "pareto": lambda each: each in undominated(training),
        "best_on_test": lambda each: each.on_test or Fraction(0),
    }
    own = measures[rule](taken)
    assert all(measures[rule](each) <= own for each in training)
    if rule != "pareto":
        earlier = [each for each in training if each.step < taken.step]
        assert all(measures[rule](each) < own for each in earlier)


@given(trainings(), st.sampled_from(list(RULES)), st.randoms())
def test_the_order_of_checkpoints_does_not_matter(
    training: list[CheckpointScores], rule: SelectionRule, random: Random
) -> None:
    shuffled = list(training)
    random.shuffle(shuffled)
    assert choose(rule, shuffled) == choose(rule, training)


@given(trainings(), st.sampled_from(list(RULES)))
def test_one_checkpoint_is_taken_by_every_rule(
    training: list[CheckpointScores], rule: SelectionRule
) -> None:
    assert choose(rule, training[:1]) == training[0]


@pytest.mark.parametrize(
    ("accuracies", "patience", "stops"),
    [
        ([50], 1, False),
        ([50, 50], 1, True),
        ([50, 51], 1, False),
        ([50, 40, 45], 2, True),
        ([50, 40, 51], 2, False),
        ([50, 40], 2, False),
    ],
)
def test_training_ends_when_the_target_has_not_risen(
    accuracies: list[int], patience: int, stops: bool
) -> None:
    history = [standing(step, percent) for step, percent in enumerate(accuracies)]
    assert should_stop(history, patience=patience) is stops


@pytest.mark.parametrize(
    ("generic", "stops"), [("60 80", False), ("60 79", True), ("90 90", False)]
)
def test_training_ends_when_generic_ability_has_fallen(generic: str, stops: bool) -> None:
    """The start's mean is 80%; ten points are allowed, and not a question more."""
    history = [standing(10, 10, generic="10 10"), standing(20, 50, generic=generic)]
    start = standing(0, 0, generic="70 90")
    assert should_stop(history, start, generic_loss=0.1) is stops


def test_generic_loss_needs_the_start() -> None:
    with pytest.raises(ValueError, match="generic accuracy of the start"):
        should_stop([standing(10, 50)], standing(0, 0), generic_loss=0.1)
    assert not should_stop([], None, patience=1, generic_loss=0.1)
