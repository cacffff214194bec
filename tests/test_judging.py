"""The judge of when the teacher is worth asking: classifier, thresholds and their file."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from potstill.errors import ConfigError
from potstill.guide.thresholds import DevOutcome, FittedGates, choose_threshold, read_gates
from potstill.guide.types import PolicySettings
from potstill.guide.uncertainty import Classifier, Signals, fit, learn

DRAWN = np.random.default_rng(0)


def test_logistic_regression_agrees_with_another_method() -> None:
    x = DRAWN.normal(size=(60, 4))
    y = (x[:, 0] - x[:, 2] + DRAWN.normal(size=60) > 0).astype(float)

    def loss(parameters: np.ndarray) -> float:
        z = x @ parameters[:4] + parameters[4]
        p = 1 / (1 + np.exp(-z))
        told = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        return float(told + 0.05 * (parameters[:4] ** 2).sum())

    options = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 20_000, "maxfev": 20_000}
    reference = minimize(loss, np.zeros(5), method="Nelder-Mead", options=options).x
    weights, bias = fit(x, y, 0.1)
    assert [*weights, bias] == pytest.approx(reference, abs=1e-5)


def test_without_inputs_that_differ_the_bias_is_the_log_odds() -> None:
    weights, bias = fit(np.zeros((8, 2)), np.array([1.0, 1, 0, 0, 0, 0, 0, 0]), 1.0)
    assert weights == pytest.approx([0, 0], abs=1e-8)
    assert bias == pytest.approx(math.log(2 / 6), abs=1e-6)


def test_one_binary_input_without_penalty_gives_both_log_odds() -> None:
    # of four with 0 one is right, of four with 1 three
    x = np.array([[0.0]] * 4 + [[1.0]] * 4)
    weights, bias = fit(x, np.array([1.0, 0, 0, 0, 1, 1, 1, 0]), 0.0)
    assert bias == pytest.approx(math.log(1 / 3), abs=1e-4)
    assert weights[0] == pytest.approx(2 * math.log(3), abs=1e-4)


def drawn_signals(count: int) -> list[Signals]:
    return [Signals(*row) for row in DRAWN.gamma(2.0, size=(count, 5)).tolist()]


def test_doubt_that_tells_is_learned_and_calibrated() -> None:
    signals = drawn_signals(400)
    chance = [1 / (1 + math.exp(-3 * (each.entropy - 2))) for each in signals]
    turned = [bool(DRAWN.random() < each) for each in chance]
    found = learn(signals, turned, seed=0)
    probabilities = [found.classifier.probability(each) for each in signals]
    assert np.corrcoef(probabilities, chance)[0, 1] > 0.95
    assert np.mean(found.held_out) == pytest.approx(np.mean(turned), abs=0.02)
    assert np.abs(np.array(found.held_out) - probabilities).mean() < 0.05
    assert learn(signals, turned, seed=0) == found


def test_doubt_that_tells_nothing_says_the_same_of_all() -> None:
    signals = drawn_signals(300)
    turned = [bool(each) for each in DRAWN.random(300) < 0.3]
    found = learn(signals, turned, seed=1)
    assert np.std(found.held_out) < 0.05


@pytest.mark.parametrize(("turned", "share"), [(0, 1 / 12), (1, 2 / 12), (10, 11 / 12)])
def test_too_few_of_a_kind_give_laplaces_share(turned: int, share: float) -> None:
    found = learn(drawn_signals(10), [place < turned for place in range(10)], seed=0)
    assert found.held_out == pytest.approx([share] * 10)
    assert found.classifier.probability(Signals(9, 9, 9, 9, 9)) == pytest.approx(share)
    assert found.strength == 0


TRIED = [
    DevOutcome(4.0, 1, 30),  # guided from 4 on: gain 1 for 30 tokens
    DevOutcome(3.0, 0, 20),  # from 3: 1 for 50
    DevOutcome(2.0, 1, 20),  # from 2: 2 for 70
    DevOutcome(1.0, -1, 20),  # from 1: 1 for 90
    DevOutcome(0.5, 1, 10),  # all: 2 for 100
]


@pytest.mark.parametrize(("keep", "threshold"), [(0.5, 4.0), (0.51, 2.0), (0.9, 2.0), (1.0, 2.0)])
def test_the_cheapest_threshold_that_keeps_the_gain(keep: float, threshold: float) -> None:
    assert choose_threshold(TRIED, keep) == threshold


@pytest.mark.parametrize("gain", [0, -1])
def test_no_gain_on_development_questions_means_never(gain: int) -> None:
    assert choose_threshold([DevOutcome(1.0, gain, 5)], 0.9) == math.inf


def test_equal_signals_stand_or_fall_together() -> None:
    assert (
        choose_threshold(
            [DevOutcome(1.0, 1, 5), DevOutcome(1.0, -1, 5), DevOutcome(0.0, 1, 5)], 0.9
        )
        == 0.0
    )


@given(
    st.lists(
        st.builds(DevOutcome, st.integers(0, 5), st.sampled_from([-1, 0, 1]), st.integers(1, 9)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.25, 0.5, 0.9, 1.0]),
)
def test_thresholds_are_the_best_of_all_by_trying(tried: list[DevOutcome], keep: float) -> None:
    wanted = keep * sum(each.gain for each in tried)
    found = choose_threshold(tried, keep)
    if wanted <= 0:
        assert found == math.inf
        return

    def price(threshold: float) -> int:
        return sum(each.tokens for each in tried if each.score >= threshold)

    def keeps(threshold: float) -> bool:
        return sum(each.gain for each in tried if each.score >= threshold) >= wanted - 1e-9

    assert keeps(found)
    assert price(found) == min(price(each) for each in range(7) if keeps(each))


CLASSIFIER = Classifier(
    mean=(1.0, 0, 0, 0, 0), scale=(2.0, 1, 1, 1, 1), weights=(3.0, 0, 0, 1, 0), bias=0.5, slope=2.0,
    offset=-1.0,
)  # fmt: skip


def test_probability_by_hand() -> None:
    # ((3 - 1) / 2) * 3 + 2 * 1 + 0.5 = 5.5; 2 * 5.5 - 1 = 10
    assert CLASSIFIER.probability(Signals(3, 7, 7, 2, 7)) == pytest.approx(1 / (1 + math.exp(-10)))


def test_what_was_written_judges_as_what_was_learned(tmp_path: Path) -> None:
    thresholds = {"learned": 0.25, "when_unsure_entropy": 1.5, "when_unsure_disagreement": math.inf}
    judging = FittedGates(thresholds=thresholds, classifier=CLASSIFIER)
    file = judging.write(tmp_path)
    assert file.name == "guide.json"
    assert json.loads(file.read_text())["thresholds"]["when_unsure_disagreement"] is None
    assert read_gates(file) == judging
    scorer = read_gates(file).help_score(PolicySettings(when="learned"))
    for values in product([0.0, 1.0, 2.0], repeat=5):
        signals = Signals(*values)
        assert scorer(signals) == CLASSIFIER.probability(signals)
        judge = read_gates(file).gate(PolicySettings(when="learned"))
        assert judge is not None
        assert judge(signals) is (CLASSIFIER.probability(signals) >= 0.25)
        unsure = read_gates(file).gate(PolicySettings(when="when_unsure", signal="entropy"))
        never = read_gates(file).gate(PolicySettings(when="when_unsure", signal="disagreement"))
        assert unsure is not None and never is not None
        assert unsure(signals) is (signals.entropy >= 1.5)
        assert never(signals) is False


def test_a_policys_own_threshold_goes_first() -> None:
    judge = FittedGates(thresholds={}).gate(
        PolicySettings(when="when_unsure", signal="entropy", threshold=0.5)
    )
    assert judge is not None
    assert [judge(Signals(0, 0, entropy, 0, 60)) for entropy in (0.49, 0.5)] == [False, True]
    assert FittedGates(thresholds={}).gate(PolicySettings(when="first")) is None


@pytest.mark.parametrize(
    ("policy", "content", "message"),
    [
        (PolicySettings(when="when_unsure"), '{"version": 1, "thresholds": {}, "classifier": null}',
         "when_unsure_min_logprob has no threshold"),
        (PolicySettings(when="learned", threshold=0.5),
         '{"version": 1, "thresholds": {}, "classifier": null}', "there is none"),
        (PolicySettings(when="learned"), "{", "is not JSON"),
        (PolicySettings(when="learned"), "[]", "no judge of version 1"),
        (PolicySettings(when="learned"), '{"version": 2}', "no judge of version 1"),
        (PolicySettings(when="learned"), '{"version": 1}', "is damaged"),
        (PolicySettings(when="learned"),
         '{"version": 1, "thresholds": {"learned": 1}, "classifier": {"mean": [1], "scale": [1],'
         ' "weights": [1], "bias": 0, "slope": 1, "offset": 0}}', "it has not 5 signals"),
    ],
)  # fmt: skip
def test_files_that_cannot_judge_are_refused(
    tmp_path: Path, policy: PolicySettings, content: str, message: str
) -> None:
    file = tmp_path / "guide.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_gates(file).gate(policy)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Run potstill guide"):
        read_gates(tmp_path / "guide.json")
    with pytest.raises(ConfigError, match="there is none"):
        FittedGates(thresholds={}).gate(PolicySettings(when="learned", threshold=0.5))
