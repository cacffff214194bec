"""Guided decoding, worked by hand: who is asked for what, and what the answer is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from driven_decoder import drive

from potstill.errors import ModelError
from potstill.guide.decoder import guided_answer, own_draft
from potstill.guide.types import (
    GuidanceConfig,
    GuidedAnswer,
    ModelCall,
    Participant,
    PolicySettings,
    expand_policy,
)
from potstill.guide.uncertainty import Gate, Signals
from potstill.records import Completion, FinishReason, Request, TokenLogprobs

STUDENT = Participant(request=Request(prompt="S", max_tokens=100, stop=("\nQ:",)), lead=" ")
TEACHER = Participant(request=Request(prompt="T", max_tokens=100), lead=" ")
SENTENCES = (". ", "? ", "! ", "\n")
Reply = str | tuple[str, FinishReason] | None


def reply(request: Request, told: Reply) -> list[Completion]:
    if told is None:
        return []
    whole: tuple[str, FinishReason] = (told, "stop") if isinstance(told, str) else told
    text, reason = whole
    logprobs = None
    if request.top_logprobs:
        # one token of probability 1/2, which is also the only one among the top
        logprobs = TokenLogprobs(logprobs=np.log(np.array([[0.5, 0.5]], dtype=np.float32)))
    return [
        Completion(
            request=request,
            sample=sample,
            text=text,
            finish_reason=reason,
            prompt_tokens=10,
            completion_tokens=len(text.split()),
            cost=0.25,
            logprobs=logprobs,
        )
        for sample in request.samples
    ]


def guided(
    policy: PolicySettings, replies: Sequence[Reply], judge: Gate | None = None, **manner: Any
) -> tuple[list[ModelCall], GuidedAnswer]:
    return drive(
        guided_answer(STUDENT, TEACHER, policy, GuidanceConfig(**manner), judge), replies, reply
    )


def asked_for(asks: Sequence[ModelCall]) -> list[tuple[str, str]]:
    return [(each.who, each.request.answer_prefix) for each in asks]


NEVER, FIRST = PolicySettings(when="never"), PolicySettings(when="first")


def test_never_asks_the_student_for_a_whole_answer() -> None:
    asks, found = guided(NEVER, [" One. Two. --> 2"])
    assert asks == [ModelCall("student", STUDENT.request, last=True)]
    assert (found.texts, found.guidance) == ([" One. Two. --> 2"], ())
    assert (found.student.completion_tokens, found.teacher.completion_tokens) == (4, 0)


def test_first_has_the_teacher_begin_and_the_student_go_on() -> None:
    asks, found = guided(FIRST, [" Ann has 3", " Two. --> 2"])
    step = asks[0].request
    assert (asks[0].who, step.prompt, step.answer_prefix) == ("teacher", "T", "")
    assert (step.stop, step.max_tokens, step.temperature) == (SENTENCES, 64, 0.0)
    last = replace(STUDENT.request, answer_prefix=" Ann has 3.")
    assert asks[1] == ModelCall("student", last, True, "Ann has 3.")
    assert found.texts == ["Ann has 3. Two. --> 2"]
    assert found.guidance == ("Ann has 3.",)
    assert (found.teacher.completion_tokens, found.teacher.prompt_tokens) == (3, 10)
    assert (found.teacher.cost, found.student.cost) == (0.25, 0.25)


def test_at_two_keeps_the_students_first_step() -> None:
    asks, found = guided(
        PolicySettings(when="at", steps=2), [" One. Two. --> 2", " Teacher two", " --> 5"]
    )
    assert asked_for(asks) == [
        ("student", ""),
        ("teacher", " One."),
        ("student", " One. Teacher two."),
    ]
    assert not asks[0].last and asks[2].last
    assert found.texts == ["One. Teacher two. --> 5"]
    assert found.guidance == ("Teacher two.",)
    assert found.student.completion_tokens == 4 + 2


@pytest.mark.parametrize("own", [" Only one --> 5", " One. Two --> 5"])
def test_an_answer_that_ends_before_the_teachers_turn_stands(own: str) -> None:
    asks, found = guided(PolicySettings(when="at", steps=3), [own])
    assert len(asks) == 1
    assert (found.texts, found.guidance, found.silent) == ([own], (), False)


def test_first_n_goes_on_after_the_teachers_own_steps() -> None:
    asks, found = guided(PolicySettings(when="first_n", steps=2), [" One", " And two", " --> 5"])
    assert asked_for(asks) == [("teacher", ""), ("teacher", " One."), ("student", " One. And two.")]
    assert found.guidance == ("One.", "And two.")


def test_a_server_that_finds_a_stop_string_in_what_it_was_given_is_asked_on() -> None:
    """``transformers serve`` finds ". " behind the step that is there and before the next word."""
    policy = PolicySettings(when="first_n", steps=2)
    asks, found = guided(policy, [" One is", " Two", " is more", " --> 5"], steps="sentences")
    assert asked_for(asks) == [
        ("teacher", ""), ("teacher", " One is."), ("teacher", " One is. Two"),
        ("student", " One is. Two is more."),
    ]  # fmt: skip
    assert found.guidance == ("One is.", "Two is more.")
    # A step that is one word and whole costs one request more.
    asks, found = guided(policy, [" One is", " Two", "", " --> 5"], steps="sentences")
    assert found.guidance == ("One is.", "Two.")


def test_steps_in_lines_are_ended_by_a_line_break() -> None:
    asks, found = guided(
        PolicySettings(when="first_n", steps=2), ["a = 1", "b = 2", "c"], steps="lines"
    )
    assert asks[0].request.stop == ("\n",)
    assert asked_for(asks)[1:] == [("teacher", " a = 1\n"), ("student", " a = 1\nb = 2\n")]
    assert found.texts == ["a = 1\nb = 2\nc"]


def test_a_step_that_stopped_before_it_began_is_asked_for_again() -> None:
    asks, found = guided(FIRST, ["", "One", " Two."])
    assert asked_for(asks) == [("teacher", ""), ("teacher", " \n"), ("student", " One.")]
    assert found.guidance == ("One.",)


def test_a_label_alone_is_no_step() -> None:
    asks, found = guided(FIRST, ["1", " Ann has 3", " Two."])
    assert asked_for(asks) == [("teacher", ""), ("teacher", " 1."), ("student", " 1. Ann has 3.")]
    assert found.texts == ["1. Ann has 3. Two."]


def test_a_heading_alone_is_no_step() -> None:
    asks, found = guided(FIRST, ["**Step 1**", "Ann has 3", "Two"], steps="lines")
    assert asked_for(asks)[1] == ("teacher", " **Step 1**\n")
    assert found.guidance == ("**Step 1**\nAnn has 3",)


def test_a_question_keeps_its_mark() -> None:
    _, found = guided(FIRST, ["How many eggs are left", " 13."])
    assert found.guidance == ("How many eggs are left?",)


def test_a_teacher_that_does_not_stop_is_cut_after_its_step() -> None:
    _, found = guided(FIRST, ["One. Two. The answer is 3.", " Two."])
    assert found.guidance == ("One.",)


def test_a_teacher_with_nothing_to_say_leaves_the_student_alone() -> None:
    asks, found = guided(FIRST, ["", "", " Own."])
    assert asks[-1].request == STUDENT.request
    assert (found.texts, found.guidance, found.silent) == ([" Own."], (), False)


@pytest.mark.parametrize("silence", [None, ("", "error")])
def test_a_silent_teacher_leaves_the_student_alone(silence: Reply) -> None:
    asks, found = guided(PolicySettings(when="first_n", steps=3), [silence, " Own."])
    assert len(asks) == 2
    assert (found.texts, found.guidance, found.silent) == ([" Own."], (), True)


def test_a_step_cut_by_its_limit_is_gone_on_from() -> None:
    asks, found = guided(PolicySettings(when="first_n", steps=3), [("Ann has", "length"), " 3."])
    assert asked_for(asks) == [("teacher", ""), ("student", " Ann has")]
    assert found.texts == ["Ann has 3."]
    assert found.guidance == ("Ann has",)


def test_the_budget_of_an_answer_shortens_and_ends_guidance() -> None:
    asks, found = guided(
        PolicySettings(when="first_n", steps=3),
        [" one two", " three four five", " own"],
        budget=5,
        step_tokens=4,
    )
    assert [each.request.max_tokens for each in asks] == [4, 3, 100]
    assert found.guidance == ("one two.", "three four five.")
    assert not found.silent


def test_hints_tell_the_quantities_alone() -> None:
    _, found = guided(FIRST, ["16 - 3 = 13", " So 13."], kind="hint")
    assert found.texts == ["Use 16 and 3. So 13."]


def test_guidance_by_questions_stops_at_the_mark() -> None:
    for layout in ("lines", "sentences"):
        asks, found = guided(FIRST, ["How many", " 13."], kind="question", steps=layout)
        assert asks[0].request.stop == ("?", "\n")
        assert found.guidance == ("How many?",)


SURE, UNSURE = (lambda _: False), (lambda _: True)


def test_a_sure_student_answers_as_it_does_alone() -> None:
    seen: list[Signals] = []

    def judge(signals: Signals) -> bool:
        seen.append(signals)
        return False

    asks, found = guided(
        PolicySettings(when="when_unsure"), [" One", " one", " One. --> 1"], judge, draws=2
    )
    draft, draws, whole = (each.request for each in asks)
    assert (draft.top_logprobs, draft.stop) == (5, ("\nQ:", *SENTENCES))
    assert (draws.samples, draws.temperature) == ((0, 1), 0.7)
    assert whole == STUDENT.request
    assert (found.texts, found.guidance, found.signals) == ([" One. --> 1"], (), seen[0])
    assert found.student.completion_tokens == 1 + 2 + 3
    assert seen[0] == pytest.approx((np.log(2), np.log(2), np.log(2), 0.0, 10), abs=1e-6)


def test_an_unsure_student_is_guided_from_the_beginning() -> None:
    asks, found = guided(PolicySettings(when="learned"), [" Own", " Told", " --> 1"], UNSURE)
    assert asked_for(asks) == [("student", ""), ("teacher", ""), ("student", " Told.")]
    assert found.texts == ["Told. --> 1"]


def test_a_student_that_fails_on_its_draft_is_guided() -> None:
    _, found = guided(PolicySettings(when="learned"), [None, " Told", " --> 1"], SURE)
    assert (found.guidance, found.signals) == (("Told.",), None)


def test_a_student_without_probabilities_cannot_be_judged() -> None:
    answering = own_draft(STUDENT, GuidanceConfig())
    ask = next(answering)
    with pytest.raises(ModelError, match="no token probabilities"):
        answering.send(reply(replace(ask.request, top_logprobs=0), " One"))


def test_disagreement_is_the_share_of_other_first_steps() -> None:
    answering = own_draft(STUDENT, GuidanceConfig(draws=4))
    next(answering)
    draws = answering.send(reply(replace(STUDENT.request, top_logprobs=5), " One  two"))
    texts = ["one two", "One two ", "three", ""]
    with pytest.raises(StopIteration) as end:
        answering.send([replace(reply(draws.request, "x")[0], text=text) for text in texts])
    signals, usage = end.value.value
    assert signals.disagreement == 0.5
    assert usage.completion_tokens == 2 + 4, "the greedy step, and four draws of a token each"


@pytest.mark.parametrize(
    ("lead", "prefix"), [(" ", ""), ("", ""), ("\n", "\n"), ("<think>\n", "<think>\n")]
)
def test_a_lead_that_would_end_a_step_is_given(lead: str, prefix: str) -> None:
    side = replace(STUDENT, lead=lead)
    assert side.next_step("", ("\n",), 9).answer_prefix == prefix
    assert side.next_step("One.", ("\n",), 9).answer_prefix == f"{lead}One."
    assert side.continue_from("").answer_prefix == ""


def test_a_students_lead_is_not_taken_for_a_step() -> None:
    student = replace(STUDENT, lead="<think>\n")
    policy, manner = PolicySettings(when="at", steps=2), GuidanceConfig(steps="lines")
    asks, found = drive(
        guided_answer(student, TEACHER, policy, manner),
        ["<think>\nOne\nTwo\n</think>", "Told", "Done"],
        reply,
    )
    assert asked_for(asks)[1:] == [("teacher", " One\n"), ("student", "<think>\nOne\nTold\n")]
    assert found.texts == ["One\nTold\nDone"]


def test_each_sample_ends_the_answer_in_its_own_way() -> None:
    several = replace(STUDENT, request=replace(STUDENT.request, samples=(0, 1)))
    _, found = drive(
        guided_answer(several, TEACHER, FIRST, GuidanceConfig()), ["One", " Two."], reply
    )
    assert found.texts == ["One. Two."] * 2
    assert (found.student.completion_tokens, found.student.prompt_tokens) == (2, 10)


@pytest.mark.parametrize(
    ("raw", "name"),
    [("never", "never"), ({"at": 2}, "at_2"), ({"first_n": 3}, "first_n_3")],
)
def test_policies_in_short(raw: Any, name: str) -> None:
    make: Callable[..., PolicySettings] = PolicySettings
    assert make(**expand_policy(raw)).label == name  # type: ignore[arg-type]
