"""The guided server under ``any_step`` and ``route``: texts, streams, counts, a failing teacher."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes_upstream import (
    ALONE,
    REST,
    STEP,
    Body,
    FakeUpstream,
    Served,
    chat,
    get,
    own,
    prefix_of,
    served,
    settings_for,
    student_says,
    wait_for,
)

from potstill.guide.thresholds import FittedGates

GUESS = "We guess."
ANY_STEP = {"any_step": {"threshold": 0.5, "steps": 1}}
ROUTE = {"route": {"signal": "entropy", "threshold": 0.5}}
NEVER = {"any_step": {"threshold": 5.0}}
WHOLE = f"{STEP} And so on."
"""The teacher's whole answer."""


class Wavering(FakeUpstream):
    """A student that is unsure where some step begins, and sure elsewhere."""

    unsure_behind = GUESS

    def _whole(self, body: Body) -> Body:
        reply = super()._whole(body)
        for choice in reply["choices"]:
            for entry in choice.get("logprobs", {}).get("content", ()):
                if prefix_of(body) != self.unsure_behind:
                    entry["logprob"] = entry["top_logprobs"][0]["logprob"] = -0.0001
        return reply


@pytest.fixture
def wavering() -> Iterator[Wavering]:
    upstream = Wavering(student_says)
    with upstream:
        yield upstream


def said(running: Served, guidance: Body, **fields: Any) -> str:
    """The text of an answer, streamed or whole."""
    answer = chat(running, extra_body={"guidance": guidance}, **fields)
    if not fields.get("stream"):
        return str(answer.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer)


def test_the_step_that_begins_unsurely_is_the_teachers(
    wavering: Wavering, teacher: FakeUpstream
) -> None:
    with served(settings_for(wavering, teacher)) as running:
        answer = chat(running, extra_body={"guidance": ANY_STEP})
        assert answer.choices[0].message.content == f"{GUESS} {STEP}{REST}"
        # First tokens at both steps, the draft of 6 words, and the rest behind the teacher's step.
        assert [prefix_of(body) for body in wavering.bodies] == [
            "", "", GUESS, f"{GUESS} {STEP}",
        ]  # fmt: skip
        assert [body["max_tokens"] for body in wavering.bodies[::2]] == [1, 1]
        assert prefix_of(teacher.bodies[0]) == GUESS
        assert own(answer) == {
            "teacher_tokens": {"prompt": 5 + 2, "completion": 4},
            "student_tokens": {"prompt": 5 + 5 + 7 + 11, "completion": 1 + 6 + 1 + 7},
            "cost": 0.0,
            "guidance": {
                "policy": "any_step_entropy", "guided": True, "silent": False, "steps": 1,
            },
        }  # fmt: skip
        stream = chat(running, stream=True, extra_body={"guidance": ANY_STEP})
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert pieces[:4] == ["", GUESS, f" {STEP}", " Then"]
    assert "".join(pieces) == f"{GUESS} {STEP}{REST}"


@pytest.mark.parametrize("stream", [False, True])
def test_a_rest_that_the_student_wrote_before_it_was_looked_at_is_shown_whole(
    wavering: Wavering, teacher: FakeUpstream, stream: bool
) -> None:
    with served(settings_for(wavering, teacher)) as running:
        several = {"any_step": {"threshold": 0.5, "steps": 3}}
        assert said(running, several, stream=stream) == f"{GUESS} {STEP}{REST}"
        assert len(teacher.bodies) == 1
        assert said(running, NEVER, stream=stream) == ALONE
        assert said(running, several, stream=stream, stop=["ones"]) == f"{GUESS} {STEP} Then the "


def test_an_answer_is_no_longer_than_it_may_be(wavering: Wavering, teacher: FakeUpstream) -> None:
    with served(settings_for(wavering, teacher)) as running:
        several = {"any_step": {"threshold": 0.5, "steps": 3}}
        answer = chat(running, max_tokens=8, extra_body={"guidance": several})
    text = answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert text.startswith(f"{GUESS} {STEP}") and len(text.split()) <= 8


@pytest.mark.parametrize("stream", [False, True])
def test_the_whole_answer_is_the_teachers_where_the_student_is_unsure(
    student: FakeUpstream, teacher: FakeUpstream, stream: bool
) -> None:
    with served(settings_for(student, teacher)) as running:
        assert said(running, ROUTE, stream=stream, max_tokens=50) == WHOLE
        assert (teacher.bodies[0]["max_tokens"], "stop" in teacher.bodies[0]) == (50, False)
        assert len(student.bodies) == 1  # the draft that is looked at
        sure = {"route": {"signal": "entropy", "threshold": 5.0}}
        assert said(running, sure, stream=stream) == ALONE
        assert said(running, ROUTE, stream=stream, stop=["add"]) == "First "


def test_a_routed_answer_is_counted_and_logged(
    server: Served, student: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = chat(server, extra_body={"guidance": ROUTE})
    assert own(answer)["guidance"] == {
        "policy": "route_entropy", "guided": True, "silent": False, "steps": 0,
    }  # fmt: skip
    assert own(answer)["teacher_tokens"] == {"prompt": 5, "completion": 7}
    assert own(answer)["student_tokens"] == {"prompt": 5, "completion": 2}  # "We guess"
    assert answer.usage.total_tokens == 5 + 7 + 5 + 2
    wait_for(lambda: caplog.records)
    page = get(server, "/metrics")[1]
    assert 'potstill_answers_total{guidance="guided"} 1.0' in page
    assert 'potstill_tokens_total{kind="completion",who="teacher"} 7.0' in page
    lines = [json.loads(one.message) for one in caplog.records if one.name == "potstill.serve"]
    (line,) = (one for one in lines if one["route"] == "chat")
    assert (line["policy"], line["guidance"], line["teacher_tokens"]) == (
        "route_entropy", "guided", 7,
    )  # fmt: skip


@pytest.mark.parametrize("guidance", [ANY_STEP, ROUTE])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_teacher_leaves_the_student_its_answer(
    student: FakeUpstream, teacher: FakeUpstream, guidance: Body, stream: bool
) -> None:
    teacher.status = 500
    with served(settings_for(student, teacher)) as running:
        assert said(running, guidance, stream=stream) == ALONE
        assert 'potstill_answers_total{guidance="silent"} 1.0' in get(running, "/metrics")[1]


def test_a_whole_answer_may_take_longer_than_a_step(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    teacher.delay = 0.2
    limits = {"seconds": 0.05}
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        assert said(running, ROUTE) == WHOLE
        assert said(running, ANY_STEP) == ALONE
    limits = {"seconds": 5.0, "answer_seconds": 0.05}
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        assert said(running, ROUTE) == ALONE


def test_a_request_names_the_promise_whose_threshold_it_takes(
    student: FakeUpstream, teacher: FakeUpstream, tmp_path: Path
) -> None:
    thresholds = {"route_entropy_accuracy_0.6": 5.0, "route_entropy_accuracy_0.9": 0.5}
    judge = FittedGates(thresholds=thresholds).write(tmp_path)
    with served(settings_for(student, teacher, judge=str(judge))) as running:
        for accuracy, text in ((0.6, ALONE), (0.9, WHOLE)):
            guidance = {"route": {"signal": "entropy", "accuracy_at_least": accuracy}}
            answer = chat(running, extra_body={"guidance": guidance})
            assert answer.choices[0].message.content == text
            assert own(answer)["guidance"]["policy"] == f"route_entropy_accuracy_{accuracy}"
        with pytest.raises(openai.BadRequestError, match="Chosen were those of route_entropy_acc"):
            said(running, {"route": {"signal": "entropy"}})


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        ("any_step", "any_step_entropy has no threshold"),
        ({"route": {"teacher_share_at_most": 0.5}}, "route_min_logprob_0.5 has no threshold"),
        ({"route": {"accuracy_at_least": 0.5}}, "route_min_logprob_accuracy_0.5 has no threshold"),
        ({"any_step": {"threshold": 0.5, "steps": 9}}, "asks for 9 steps; this server gives 8"),
        ({"any_step": {"signal": "prompt_tokens"}}, "which has no prompt_tokens"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anybody_is_asked(
    server: Served, student: FakeUpstream, teacher: FakeUpstream, guidance: Any, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        said(server, guidance)
    assert (student.bodies, teacher.bodies) == ([], [])


def test_going_on_is_needed_for_steps_and_not_for_whole_answers(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    with served(settings_for(student, teacher, teacher={"prefill": "none"})) as running:
        with pytest.raises(openai.BadRequestError, match="the teacher does not go on"):
            said(running, ANY_STEP)
        assert said(running, ROUTE) == WHOLE
    with served(settings_for(student, teacher, student={"prefill": "none"})) as running:
        with pytest.raises(openai.BadRequestError, match="the student does not go on"):
            said(running, ANY_STEP)
        assert said(running, ROUTE) == WHOLE
