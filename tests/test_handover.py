"""The guide stage with steps handed over anywhere and whole questions routed, worked by hand."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import sums
from speakers import Speaker, number, student_is_sure, student_says
from speakers import teacher_says as begins_anew
from test_guide import asked, right, run, score
from test_guide import parties as any_parties

from potstill.errors import ConfigError
from potstill.guide import GuidanceResult, GuideModels
from potstill.guide.decoder import guided_answer
from potstill.guide.thresholds import read_gates
from potstill.guide.types import GuidanceConfig, Participant, PolicySettings
from potstill.records import Request, Task
from potstill.store import Store

UNSURE = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
"""The entropy of the student's tokens on even numbers; on odd ones it is 0.325."""

ANY_STEP = {"any_step": {"threshold": 0.45}}
ROUTE = {"route": {"signal": "entropy", "threshold": 0.45}}
PLAIN: Mapping[str, Any] = {"routing": False, "draws": 0, "bootstrap": 100}


def teacher_says(request: Request, sample: int) -> str:
    """Right, and nothing more once the answer is given."""
    return "" if "The answer is" in request.answer_prefix else begins_anew(request, sample)


def parties(**changes: Any) -> GuideModels:
    return any_parties(**{"teacher": Speaker(teacher_says, name="teacher"), **changes})


def measured(folder: Path, *policies: object, task: Task | None = None) -> GuidanceResult:
    settings = {**PLAIN, "policies": policies}
    return run(folder, parties(), settings, task or sums(train=4, dev=4, test=4))


def test_steps_that_begin_unsurely_are_the_teachers(tmp_path: Path) -> None:
    result = measured(tmp_path, ANY_STEP, {"any_step": {"signal": "min_logprob", "threshold": 9.0}})
    one, never = score(result, "any_step_entropy"), score(result, "any_step_min_logprob")
    assert right(tmp_path, "any_step_entropy") == [9, 10, 11, 12]
    # "Take 10 twice", "It is 20" and "The answer is 20." for two of four questions
    assert (one.guided, one.teacher_tokens) == (2, (3 + 3 + 4) * 2 / 4)
    assert one.difference == 0.5
    assert (never.guided, never.teacher_tokens) == (0, 0)
    with Store(tmp_path / "run.sqlite", read_only=True) as store:
        texts = {
            (each.policy.label, each.question_id): each.text for each in store.guided_predictions()
        }
    for n in range(9, 13):  # what is never handed over is the student's own to the letter
        key = f"test/{n}"
        assert texts["any_step_min_logprob", key] == texts["never", key]
    assert texts["any_step_entropy", "test/10"] == (
        "Take 10 twice. It is 20. The answer is 20. --> 20"
    )


def test_a_limit_of_steps_and_a_budget_of_tokens_hold(tmp_path: Path) -> None:
    limited = measured(tmp_path, {"any_step": {"threshold": 0.45, "steps": 1}})
    assert score(limited, "any_step_entropy").teacher_tokens == 3 * 2 / 4
    (tmp_path / "other").mkdir()
    settings = {**PLAIN, "policies": [ANY_STEP], "budget": 4}
    result = run(tmp_path / "other", parties(), settings)
    assert score(result, "any_step_entropy").teacher_tokens == 4 * 2 / 4
    (tmp_path / "third").mkdir()
    settings = {**PLAIN, "policies": [ANY_STEP], "overall_budget": 17, "step_tokens": 4}
    result = run(tmp_path / "third", parties(), settings)
    with Store(tmp_path / "third" / "run.sqlite", read_only=True) as store:
        steps = [
            stored.completion.completion_tokens
            for stored in store.pool(("guide",))
            if stored.model == "teacher" and ". " in stored.completion.request.stop
        ]
    assert sum(steps) <= 17
    assert any("guide.overall_budget was used up" in note for note in result.notes)


def test_questions_that_begin_unsurely_go_to_the_teacher(tmp_path: Path) -> None:
    result = measured(tmp_path, ROUTE)
    one = score(result, "route_entropy")
    assert right(tmp_path, "route_entropy") == [9, 10, 11, 12]
    # two chains of 10 tokens; a draft of 2 each, and the two others' own 4
    assert (one.guided, one.teacher_tokens, one.student_tokens) == (2, 10 * 2 / 4, 2 + 4 * 2 / 4)
    assert (one.leaked, one.difference) == (0, 0.5)


def test_the_experiment_and_the_decoder_route_alike(tmp_path: Path) -> None:
    pair = parties()
    run(tmp_path, pair, {**PLAIN, "policies": [ROUTE]})
    with Store(tmp_path / "run.sqlite", read_only=True) as store:
        found = {e.question_id: e for e in store.guided_predictions() if e.policy.name == "route"}
    settings = PolicySettings(when="route", signal="entropy", threshold=0.45)
    for question in sums(train=4, dev=4, test=4).splits["test"]:
        student = Participant(request=pair.student_asking.request(question), lead=" ")
        teacher = Participant(request=pair.teacher_asking.request(question), lead=" ")
        decoder = guided_answer(
            student, teacher, settings, GuidanceConfig(), lambda signals: signals.entropy >= 0.45
        )
        call = next(decoder)
        with pytest.raises(StopIteration) as end:
            while True:
                model = pair.student if call.who == "student" else pair.teacher
                call = decoder.send(list(model.complete([call.request])))
        answer, prediction = end.value.value, found[question.id]
        assert answer.texts == [prediction.text]
        assert bool(answer.guidance) is bool(prediction.guidance)
        tokens = answer.student.completion_tokens, answer.teacher.completion_tokens
        assert tokens == (prediction.student_tokens, prediction.teacher_tokens)


def test_thresholds_keep_the_gain_for_the_fewest_tokens(tmp_path: Path) -> None:
    result = measured(tmp_path, "any_step", {"route": {"signal": "entropy"}})
    kept = json.loads((tmp_path / "guide.json").read_text())["thresholds"]
    assert kept == pytest.approx({"any_step_entropy": UNSURE, "route_entropy": UNSURE}, abs=1e-6)
    for policy, always in (
        ("any_step_entropy", "handing every step over"),
        ("route_entropy", "asking the teacher for every answer"),
    ):
        assert score(result, policy, "dev").accuracy == 1.0
        assert score(result, policy).teacher_tokens == 5
        assert any(
            note.startswith(f"{policy} asks the teacher from 0.5004 on")
            and f"2 of 4 development questions gained by {always}" in note
            for note in result.notes
        )
    assert score(result, "teacher", "dev").accuracy == 1.0


PROMISED = sums(train=4, dev=40, test=4)


def test_a_promise_is_kept_by_the_threshold_that_is_shown_to(tmp_path: Path) -> None:
    policies = [
        {"any_step": {"accuracy_at_least": 0.8}},
        {"route": {"signal": "entropy", "teacher_share_at_most": 0.8}},
    ]
    result = measured(tmp_path, *policies, task=PROMISED)
    assert score(result, "any_step_entropy_accuracy_0.8", "dev").guided == 20
    assert score(result, "route_entropy_0.8", "dev").guided == 20
    assert score(result, "route_entropy_0.8").accuracy == 1.0
    gates = read_gates(tmp_path / "guide.json")
    assert gates.thresholds["route_entropy_0.8"] == pytest.approx(UNSURE, abs=1e-6)
    notes = " ".join(result.notes)
    assert "an accuracy of 0.8 or more with 95% confidence (32 of 32 right" in notes
    assert "the teacher's share of the questions at 0.8 or less with 95% confidence" in notes


def test_policies_that_promise_other_accuracies_are_told_apart(tmp_path: Path) -> None:
    policies = [
        {name: {"signal": "entropy", "accuracy_at_least": accuracy}}
        for name in ("any_step", "route")
        for accuracy in (0.3, 0.8)
    ]
    result = measured(tmp_path, *policies, task=PROMISED)
    gates = read_gates(tmp_path / "guide.json")
    for name in ("any_step_entropy_accuracy", "route_entropy_accuracy"):
        # alone the student has half of them right; it is unsure of the other half
        assert gates.thresholds[f"{name}_0.3"] == math.inf
        assert gates.thresholds[f"{name}_0.8"] == pytest.approx(UNSURE, abs=1e-6)
        assert right(tmp_path, f"{name}_0.3") == [45, 47]
        assert right(tmp_path, f"{name}_0.8") == [45, 46, 47, 48]
        assert score(result, f"{name}_0.3", "dev").guided == 0
        assert score(result, f"{name}_0.8", "dev").guided == 20
    gate = gates.gate(PolicySettings(when="route", signal="entropy", accuracy_at_least=0.8))
    assert gate is not None
    for unknown in (0.7, None):
        with pytest.raises(ConfigError, match="Chosen were those of any_step_entropy_acc"):
            gates.gate(PolicySettings(when="route", signal="entropy", accuracy_at_least=unknown))
    again = parties()
    assert run(tmp_path, again, {**PLAIN, "policies": policies}, PROMISED) == result
    assert asked(again) == (0, 0)


def test_a_promise_that_is_not_kept_is_not_followed_and_said(tmp_path: Path) -> None:
    policy = {"any_step": {"accuracy_at_least": 0.99}}
    result = measured(tmp_path, policy, task=PROMISED)
    assert not [each for each in result.scores if each.policy.name == "any_step"]
    notes = " ".join(result.notes)
    assert "any_step_entropy_accuracy_0.99 is not followed: none of" in notes
    assert "accuracy_at_least: 0.87" in notes and "development questions would do" in notes
    gates = read_gates(tmp_path / "guide.json")
    with pytest.raises(ConfigError, match="no threshold keeps what is promised"):
        gates.gate(PolicySettings(when="any_step", accuracy_at_least=0.99))


@pytest.mark.parametrize("last", [(5, None), (None, 3), (60, None), (None, 20)])
def test_a_run_that_broke_down_buys_nothing_twice(
    tmp_path: Path, last: tuple[int | None, int | None]
) -> None:
    settings = {**PLAIN, "policies": ["any_step", {"route": {"signal": "entropy"}}]}
    whole, broken, rest = (
        parties(),
        parties(
            student=Speaker(student_says, name="student", sure=student_is_sure, last=last[0]),
            teacher=Speaker(teacher_says, name="teacher", last=last[1]),
        ),
        parties(),
    )
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        folder.mkdir()
    result = run(folders[0], whole, settings)
    with pytest.raises(ConnectionError):
        run(folders[1], broken, settings)
    assert run(folders[1], rest, settings) == result
    both = [a + b for a, b in zip(asked(broken), asked(rest), strict=True)]
    assert both == list(asked(whole))
    again = parties()
    assert run(folders[1], again, settings) == result
    assert asked(again) == (0, 0)


def test_a_teacher_that_fails_leaves_the_student_its_answer(tmp_path: Path) -> None:
    class Failing(Speaker):
        def completion(self, request: Any, sample: int) -> Any:
            made = super().completion(request, sample)
            if number(request) != 10:
                return made
            return type(made)(
                request=request, sample=sample, text="", finish_reason="error", error="HTTP 500"
            )

    pair = parties(teacher=Failing(teacher_says, name="teacher"))
    result = run(tmp_path, pair, {**PLAIN, "policies": [ANY_STEP, ROUTE]})
    for policy in ("any_step_entropy", "route_entropy"):
        assert right(tmp_path, policy) == [9, 11, 12]
        told = f"{policy}: the teacher did not answer for 1 of 4 questions"
        assert any(note.startswith(told) for note in result.notes)


@pytest.mark.parametrize(
    "teacher", [{"continues": False}, {"continues": False, "whole_steps": True}]
)
def test_a_teacher_that_cannot_go_on_is_refused_before_it_is_paid(
    tmp_path: Path, teacher: Mapping[str, bool]
) -> None:
    pair = parties(**teacher)
    with pytest.raises(ConfigError, match=r"any_step_entropy.*learned or route"):
        run(tmp_path, pair, {**PLAIN, "policies": ["any_step"]})
    assert asked(pair) == (0, 0)
    assert score(run(tmp_path, pair, {**PLAIN, "policies": [ROUTE]}), "route_entropy").guided == 2
