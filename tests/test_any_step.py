"""Handing over at any step and routing whole answers, worked by hand call by call."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from driven_decoder import drive
from hypothesis import given
from hypothesis import strategies as st

from potstill.errors import ConfigError
from potstill.guide.decoder import guided_answer
from potstill.guide.types import (
    GuidanceConfig,
    GuidedAnswer,
    ModelCall,
    Participant,
    PolicySettings,
    expand_policy,
)
from potstill.guide.uncertainty import Gate, Signals
from potstill.records import Completion, Policy, Request, TokenLogprobs
from potstill.settings import build

STUDENT = Participant(request=Request(prompt="S", max_tokens=100, stop=("\nQ:",)), lead=" ")
TEACHER = Participant(request=Request(prompt="T", max_tokens=100), lead=" ")
ANY_STEP = PolicySettings(when="any_step")
ROUTE = PolicySettings(when="route", signal="entropy")
Reply = str | float | None
"""A text, the probability of a first token, or no answer."""


def completions(request: Request, reply: Reply) -> list[Completion]:
    if reply is None:
        return []
    logprobs, text = None, reply if isinstance(reply, str) else " Well"
    if isinstance(reply, float):
        # A second token that is very unlikely, which is not looked at.
        rows = [[reply, reply, 1 - reply], [0.01, 0.01, 0.01]]
        logprobs = TokenLogprobs(logprobs=np.log(np.array(rows, dtype=np.float32)))
    return [
        Completion(
            request=request,
            sample=sample,
            text=text,
            finish_reason="stop",
            prompt_tokens=10,
            completion_tokens=len(text.split()),
            logprobs=logprobs,
        )
        for sample in request.samples
    ]


def unsure(signals: Signals) -> bool:
    """Whether the entropy of two tokens is that of 0.7 and 0.3, or more."""
    return signals.entropy >= 0.61


def always(signals: Signals) -> bool:
    return True


def decoded(
    policy: PolicySettings,
    replies: Sequence[Reply],
    *,
    student: Participant = STUDENT,
    gate: Gate = unsure,
    **manner: Any,
) -> tuple[list[ModelCall], GuidedAnswer]:
    config = GuidanceConfig(**manner)
    return drive(guided_answer(student, TEACHER, policy, config, gate), replies, completions)


def asked_for(calls: Sequence[ModelCall]) -> list[tuple[str, str, int]]:
    return [(call.who, call.request.answer_prefix, call.request.max_tokens) for call in calls]


def test_a_sure_student_answers_as_it_does_alone() -> None:
    calls, answer = decoded(ANY_STEP, [0.99, " One. Two. --> 2", 0.9, 0.9])
    assert asked_for(calls) == [
        ("student", "", 1), ("student", "", 100), ("student", " One.", 1),
        ("student", " One. Two.", 1),
    ]  # fmt: skip
    assert calls[0].request.top_logprobs == 5
    assert calls[1].request == STUDENT.request
    assert (answer.texts, answer.guidance) == ([" One. Two. --> 2"], ())
    assert answer.student.completion_tokens == 1 + 4 + 1 + 1
    assert (answer.teacher.completion_tokens, answer.silent, answer.routed) == (0, False, False)


def test_the_teacher_writes_the_step_that_begins_unsurely_and_the_student_goes_on() -> None:
    calls, answer = decoded(ANY_STEP, [0.99, " One. Two. --> 2", 0.6, " Told so", 0.9, " --> 5"])
    assert asked_for(calls) == [
        ("student", "", 1), ("student", "", 100), ("student", " One.", 1),
        ("teacher", " One.", 64),
        ("student", " One. Told so.", 1), ("student", " One. Told so.", 100),
    ]  # fmt: skip
    assert calls[3].settled == "One."
    assert (answer.texts, answer.guidance) == (["One. Told so. --> 5"], ("Told so.",))
    assert answer.student.completion_tokens == 1 + 4 + 1 + 1 + 2
    assert answer.teacher.completion_tokens == 2


def test_an_unsure_beginning_takes_no_draft() -> None:
    calls, answer = decoded(ANY_STEP, [0.5, " Told so", 0.5, " Once more", 0.9, " So. --> 5", 0.9])
    assert [call.who for call in calls[:4]] == ["student", "teacher", "student", "teacher"]
    assert answer.texts == ["Told so. Once more. So. --> 5"]
    assert answer.guidance == ("Told so.", "Once more.")


def test_no_more_steps_are_handed_over_than_allowed() -> None:
    policy = PolicySettings(when="any_step", steps=2)
    calls, answer = decoded(policy, [0.5, " Told so", 0.5, " Once more", " So. --> 5"])
    assert calls[-1].last
    assert answer.texts == ["Told so. Once more. So. --> 5"]


def test_the_budget_of_an_answer_ends_the_handing_over() -> None:
    calls, answer = decoded(ANY_STEP, [0.5, " one two", 0.5, " three four", " So."], budget=4)
    assert [call.request.max_tokens for call in calls if call.who == "teacher"] == [4, 2]
    assert answer.guidance == ("one two.", "three four.")


@pytest.mark.parametrize("silence", [None, ""])
def test_without_the_teachers_step_the_student_ends_alone(silence: Reply) -> None:
    tries = 1 if silence is None else 2  # a stop string may have come before the first word
    replies: list[Reply] = [0.9, " One. Two.", 0.5, *[silence] * tries, " Own. --> 1"]
    calls, answer = decoded(ANY_STEP, replies)
    assert calls[-1].request == replace(STUDENT.request, answer_prefix=" One.")
    assert calls[-1].last and calls[-1].settled == "One."
    assert answer.texts == ["One. Own. --> 1"]
    assert answer.silent is (silence is None)


def test_a_step_that_its_limit_cut_off_is_the_students_to_end_and_is_not_looked_at() -> None:
    def cut(request: Request) -> list[Completion]:
        return [replace(completions(request, " Ann has")[0], finish_reason="length")]

    decoder = guided_answer(STUDENT, TEACHER, ANY_STEP, GuidanceConfig(), unsure)
    next(decoder)
    call = decoder.send(completions(STUDENT.request, 0.5))
    call = decoder.send(cut(call.request))
    assert asked_for([call]) == [("student", " Ann has", 100)]
    call = decoder.send(completions(call.request, " three. She eats one. --> 2"))
    assert asked_for([call]) == [("student", " Ann has three.", 1)]
    call = decoder.send(completions(call.request, 0.5))
    assert asked_for([call]) == [("teacher", " Ann has three.", 64)]
    call = decoder.send(completions(call.request, " Told so"))
    call = decoder.send(completions(call.request, 0.9))
    with pytest.raises(StopIteration) as end:
        decoder.send(completions(call.request, ""))
    assert end.value.value.texts == ["Ann has three. Told so."]
    assert end.value.value.guidance == ("Ann has", "Told so.")


def test_a_lead_is_no_step_and_stands_before_what_is_gone_on_from() -> None:
    student = replace(STUDENT, lead="<think>\n")
    replies: list[Reply] = [0.9, "<think>\nOne\nTwo", 0.5, "Told so", 0.9, "Done"]
    calls, answer = decoded(ANY_STEP, replies, student=student, steps="lines")
    prefixes = [call.request.answer_prefix for call in calls]
    assert prefixes == [
        "<think>\n",
        "",
        "<think>\nOne\n",
        " One\n",
        *["<think>\nOne\nTold so\n"] * 2,
    ]
    assert answer.texts == ["One\nTold so\nDone"]


def test_each_sample_ends_in_its_own_way() -> None:
    several = replace(STUDENT, request=replace(STUDENT.request, samples=(0, 1)))
    calls, answer = decoded(
        ANY_STEP,
        [
            0.5,
            " Told so",
            0.9,
            " Two.",
        ],
        student=several,
    )
    assert calls[0].request.samples == (0,)
    assert answer.texts == ["Told so. Two."] * 2


def test_a_student_that_fails_where_it_is_looked_at_is_guided() -> None:
    _, answer = decoded(ANY_STEP, [None, " Told so", 0.9, " --> 1"])
    assert answer.texts == ["Told so. --> 1"]


STEPS = st.lists(st.sampled_from(["One.", "He has 3.5 kg.", "1. Mr. Ray?", "So 5", "**Step**"]))


@given(STEPS, st.sampled_from([" ", "\n", "\n\n", ". "]))
def test_what_is_never_handed_over_is_the_students_own_to_the_letter(
    steps: list[str], gap: str
) -> None:
    text = gap.join(steps)
    decoder = guided_answer(STUDENT, TEACHER, ANY_STEP, GuidanceConfig(), lambda _: False)
    call = next(decoder)
    with pytest.raises(StopIteration) as end:
        while True:
            reply: Reply = 0.9 if call.request.max_tokens == 1 else text
            call = decoder.send(completions(call.request, reply))
    assert end.value.value.texts == [text]
    assert end.value.value.prefix == ""


def test_the_first_token_is_looked_at_alone() -> None:
    seen: list[Signals] = []

    def gate(signals: Signals) -> bool:
        seen.append(signals)
        return False

    decoded(ANY_STEP, [0.6, " One."], gate=gate)
    entropy = -0.6 * np.log(0.6) - 0.4 * np.log(0.4)
    assert seen[0] == pytest.approx((-np.log(0.6), -np.log(0.6), entropy, 0.0, 10), abs=1e-6)


def test_a_routed_answer_is_the_teachers_as_a_whole() -> None:
    student = replace(STUDENT, request=replace(STUDENT.request, temperature=0.5, seed=3))
    calls, answer = decoded(
        ROUTE, [0.5, " All of it. The answer is 5."], student=student, gate=always
    )
    whole = replace(TEACHER.request, temperature=0.5, seed=3)
    assert calls[1] == ModelCall("teacher", whole, True, "")
    assert (answer.texts, answer.routed) == ([" All of it. The answer is 5."], True)
    assert (answer.guidance, answer.prefix) == (("All of it. The answer is 5.",), "")
    assert (answer.student.completion_tokens, answer.teacher.completion_tokens) == (1, 7)


def test_a_sure_student_is_not_routed() -> None:
    calls, answer = decoded(ROUTE, [0.9999, " One. --> 1"], gate=lambda signals: False)
    assert calls[1] == ModelCall("student", STUDENT.request, last=True)
    assert (answer.texts, answer.guidance, answer.routed) == ([" One. --> 1"], (), False)


@pytest.mark.parametrize("silence", [None, " "])
def test_without_the_teachers_answer_the_student_gives_its_own(silence: Reply) -> None:
    calls, answer = decoded(ROUTE, [0.5, silence, " One. --> 1"], gate=always)
    assert calls[-1] == ModelCall("student", STUDENT.request, last=True)
    assert (answer.texts, answer.guidance, answer.silent) == ([" One. --> 1"], (), True)


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("any_step", "any_step_entropy"),
        ({"any_step": {"teacher_share_at_most": 0.3}}, "any_step_entropy_0.3"),
        ({"any_step": {"signal": "min_logprob", "threshold": 1.5}}, "any_step_min_logprob"),
        ("route", "route_min_logprob"),
        ({"route": {"accuracy_at_least": 0.8}}, "route_min_logprob_accuracy_0.8"),
        (
            {"any_step": {"teacher_share_at_most": 0.3, "accuracy_at_least": 0.8}},
            "any_step_entropy_0.3_accuracy_0.8",
        ),
        ({"when": "when_unsure", "teacher_share_at_most": 0.5}, "when_unsure_min_logprob_0.5"),
    ],
)
def test_policies_in_short(raw: object, label: str) -> None:
    values = expand_policy(raw)
    assert isinstance(values, dict)
    settings = build(PolicySettings, values, at="policy")
    assert settings.label == label
    assert settings.policy == Policy(
        kind="policy",
        name=settings.when,
        signal=settings.signal,
        number=settings.teacher_share_at_most,
        accuracy_at_least=settings.accuracy_at_least,
    )
    assert settings.steps == (8 if settings.when == "any_step" else 1)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"any_step": {"signal": "disagreement"}}, "first token, which has no disagreement"),
        ({"when": "learned", "accuracy_at_least": 0.5}, "learned keeps no promise"),
        ({"route": {"threshold": 1.0, "accuracy_at_least": 0.5}}, "not both"),
        ({"route": {"teacher_share_at_most": 1.5}}, "less than 1"),
    ],
)
def test_policies_that_cannot_be_followed_are_refused(raw: object, message: str) -> None:
    values = expand_policy(raw)
    assert isinstance(values, dict)
    with pytest.raises(ConfigError, match=message):
        build(PolicySettings, values, at="policy")
