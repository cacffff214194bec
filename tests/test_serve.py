"""Answers of the guided server, asked by the unmodified openai client and by a plain socket."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes_upstream import (
    ALONE,
    QUESTION,
    REST,
    STEP,
    Body,
    FakeUpstream,
    Served,
    chat,
    even_at,
    get,
    own,
    post_head,
    prefix_of,
    raw,
    served,
    settings_for,
)


def test_the_teacher_writes_the_first_step_and_tokens_are_counted_apart(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    prices = {"prompt_price": 1000.0, "completion_price": 2000.0}
    with served(settings_for(student, teacher, teacher=prices)) as running:
        answer = chat(running)
    assert answer.choices[0].message.content == STEP + REST
    assert answer.choices[0].finish_reason == "stop"
    # The teacher reads 5 words and writes 4, the student reads 5 + 4 and writes 7.
    assert own(answer) == {
        "teacher_tokens": {"prompt": 5, "completion": 4},
        "student_tokens": {"prompt": 9, "completion": 7},
        "cost": pytest.approx((5 * 1000 + 4 * 2000) / 1e6),
        "guidance": {"policy": "first", "guided": True, "silent": False, "steps": 1},
    }
    assert answer.usage.prompt_tokens == 14
    assert answer.usage.completion_tokens == 11
    assert answer.usage.total_tokens == 25


def test_without_guidance_the_student_is_asked_once_and_the_teacher_never(
    server: Served, student: FakeUpstream, teacher: FakeUpstream
) -> None:
    answer = chat(server, extra_body={"guidance": "never"})
    assert answer.choices[0].message.content == ALONE
    assert (len(student.bodies), len(teacher.bodies)) == (1, 0)
    assert own(answer)["guidance"] == {
        "policy": "never", "guided": False, "silent": False, "steps": 0,
    }  # fmt: skip


def test_plain_text_gets_a_space_before_the_step(server: Served, student: FakeUpstream) -> None:
    asking = server.client.completions
    answer = asking.create(model="openai:tiny", prompt="Q: 20 + 22?\nA:")
    flat = asking.create(model="openai:tiny", prompt=["Q: 20 + 22?\n"])
    assert answer.object == "text_completion"
    assert answer.choices[0].text == f" {STEP}{REST}"
    assert flat.choices[0].text == STEP + REST


def test_a_student_of_the_plain_route_is_asked_in_its_data_format(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    settings = settings_for(
        student, teacher, student={"chat": False}, student_format="fine_tune_cot"
    )
    with served(settings) as running:
        answer = chat(running)
    assert student.bodies[-1]["prompt"] == f"What is 20 + 22? ### {STEP}"
    assert answer.choices[0].message.content == STEP + REST


def test_the_teacher_is_asked_in_its_prompt_style(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    with served(settings_for(student, teacher, teacher_style="instruct_cot")) as running:
        chat(running)
    assert teacher.bodies[0]["messages"][0]["content"].startswith("What is 20 + 22?\n\nThink step")
    assert student.bodies[0]["messages"][0] == QUESTION[0]


def test_a_stream_says_the_same_as_a_whole_answer(server: Served) -> None:
    stream = chat(server, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == STEP + REST
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]].count("stop") == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 25
    assert own(chunks[-1])["guidance"]["guided"] is True
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_the_events_of_a_stream_have_the_shape_of_server_sent_events(server: Served) -> None:
    body = json.dumps({"messages": QUESTION, "stream": True}).encode()
    head = post_head("Content-Type: application/json", f"Content-Length: {len(body)}")
    head = head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)  # no chunks in between
    headers, _, content = raw(server, head + body).partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in headers.lower()
    events = content.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    parsed = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert all(event["object"] == "chat.completion.chunk" for event in parsed)
    assert all("usage" not in event for event in parsed)
    assert [event["choices"][0]["finish_reason"] for event in parsed][-2:] == [None, "stop"]
    assert "potstill" in parsed[-1]


def test_steps_and_words_are_passed_on_while_the_student_still_writes(
    server: Served, student: FakeUpstream
) -> None:
    student.gate.clear()
    stream = iter(chat(server, stream=True))
    begun = [next(stream).choices[0].delta.content for _ in range(3)]
    assert begun == ["", STEP, " Then"]
    student.gate.set()
    rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert rest == REST.removeprefix(" Then")


def test_every_step_is_passed_on_once(server: Served) -> None:
    stream = chat(server, stream=True, extra_body={"guidance": {"first_n": 2}})
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert pieces[:4] == ["", STEP, " Then add the ones.", " Then"]
    assert "".join(pieces) == f"{STEP} Then add the ones.{REST}"


def test_thinking_stands_beside_the_answer(server: Served, student: FakeUpstream) -> None:
    student.script = lambda body: "<think>\nHm.\n</think>\n\nThe answer is 42."
    answer = chat(server, extra_body={"guidance": "never"})
    assert answer.choices[0].message.content == "The answer is 42."
    assert answer.choices[0].message.reasoning_content == "Hm."


def test_samples_share_the_steps_and_the_teacher_is_asked_once(
    server: Served, student: FakeUpstream, teacher: FakeUpstream
) -> None:
    answer = chat(server, n=3, temperature=0.7, seed=1)
    assert [choice.message.content for choice in answer.choices] == [STEP + REST] * 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(teacher.bodies) == 1
    assert student.bodies[0]["n"] == 3
    assert own(answer)["student_tokens"] == {"prompt": 9, "completion": 21}


@pytest.mark.parametrize("stream", [False, True])
def test_samples_that_the_student_leaves_out_are_asked_for_again(
    server: Served, student: FakeUpstream, stream: bool
) -> None:
    student.largest_n = 1
    answer = chat(server, n=2, temperature=0.7, stream=stream)
    if stream:
        texts = ["", ""]
        for chunk in answer:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    else:
        texts = [choice.message.content for choice in answer.choices]
    assert texts == [STEP + REST] * 2
    assert len(student.bodies) == 2


def test_a_student_that_does_not_stream_is_passed_on_whole(
    server: Served, student: FakeUpstream
) -> None:
    student.streams = False
    pieces = [chunk.choices[0].delta.content for chunk in chat(server, stream=True)]
    assert pieces == ["", STEP, REST, None]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (" ones", f"{STEP} Then the"),
        ("the tens", "First add "),  # in the teacher's step: nothing is asked after it
        ("s. Then", "First add the ten"),  # across the seam
        (["nowhere", "42"], f"{STEP} Then the ones. The answer is "),
    ],
)
def test_an_answer_ends_before_a_stop_string(
    server: Served, student: FakeUpstream, stop: Any, text: str, stream: bool
) -> None:
    answer = chat(server, stop=stop, stream=stream)
    if stream:
        chunks = list(answer)
        found = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        found, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (found, reason) == (text, "stop")
    assert len(student.bodies) == (0 if stop == "the tens" else 1)


def test_the_longest_answer_includes_the_teachers_step(
    server: Served, student: FakeUpstream
) -> None:
    answer = chat(server, max_tokens=6)
    assert student.bodies[0]["max_tokens"] == 2
    # The fake joins words by one space and drops the first.
    assert answer.choices[0].message.content == f"{STEP}Then the"
    assert answer.choices[0].finish_reason == "length"
    full = chat(server, max_completion_tokens=4)
    assert (full.choices[0].message.content, full.choices[0].finish_reason) == (STEP, "length")
    assert len(student.bodies) == 1


def test_a_request_may_name_its_policy(
    server: Served, student: FakeUpstream, teacher: FakeUpstream
) -> None:
    answer = chat(server, extra_body={"guidance": {"first_n": 2}})
    assert own(answer)["guidance"]["policy"] == "first_n_2"
    assert own(answer)["guidance"]["steps"] == len(teacher.bodies) == 2
    assert prefix_of(student.bodies[-1]) == f"{STEP} Then add the ones."
    second = chat(server, extra_body={"guidance": {"when": "at", "steps": 2}})
    # The student's own first step stays, and the teacher writes on from it.
    assert prefix_of(teacher.bodies[-1]) == "We guess."
    assert second.choices[0].message.content.startswith(f"We guess. {STEP}")


@pytest.mark.parametrize(("threshold", "guided"), [(0.4, True), (0.6, False)])
@pytest.mark.parametrize("when", ["when_unsure", "learned"])
def test_a_doubtful_student_gets_its_step_from_the_teacher(
    student: FakeUpstream,
    teacher: FakeUpstream,
    tmp_path: Path,
    when: str,
    threshold: float,
    guided: bool,
) -> None:
    # Every token of the fake has probability exp(-0.5); the classifier makes 0.5 of that.
    judge = even_at(0.5).write(tmp_path)
    with served(settings_for(student, teacher, judge=str(judge))) as running:
        answer = chat(running, extra_body={"guidance": {"when": when, "threshold": threshold}})
    assert own(answer)["guidance"]["guided"] is guided
    # Where the teacher is not called, the student answers as it does alone.
    assert answer.choices[0].message.content == (STEP + REST if guided else ALONE)
    # Draft: 5 words read and 2 written. Then 5 + 4 and 7, or 5 and 6.
    student_tokens = {"prompt": 14, "completion": 9} if guided else {"prompt": 10, "completion": 8}
    assert own(answer)["student_tokens"] == student_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"extra_body": {"guidance": "sometimes"}}, "guidance"),
        ({"extra_body": {"guidance": {"at": 0}}}, "guidance"),
        ({"extra_body": {"guidance": {"first_n": 99}}}, "guidance"),
        ({"extra_body": {"guidance": 3}}, "guidance"),
        ({"extra_body": {"guidance": "when_unsure"}}, "guidance"),
        ({"extra_body": {"guidance": {"when": "learned", "threshold": 0.5}}}, "guidance"),
        ({"n": 99}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": 2.5}, "temperature"),
        ({"extra_body": {"temperature": "warm"}}, "temperature"),
        ({"extra_body": {"seed": True}}, "seed"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "messages"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"extra_body": {"stream": 1}}, "stream"),
        ({"extra_body": {"stream_options": 1}}, "stream_options"),
    ],
)
def test_what_cannot_be_served_is_a_bad_request_that_names_the_field(
    server: Served, student: FakeUpstream, fields: Body, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(server, **fields)
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == param
    assert student.bodies == []


def test_content_in_parts_and_newer_roles_are_understood(
    server: Served, student: FakeUpstream
) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "20 + 22?"}]
    developer = {"role": "developer", "content": "Be brief."}
    chat(server, messages=[developer, {"role": "user", "content": parts}], user="someone")
    assert student.bodies[0]["messages"][:2] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 20 + 22?"},
    ]


def test_models_are_listed_and_others_are_not_found(server: Served) -> None:
    models = server.client.models
    assert [model.id for model in models.list()] == ["openai:tiny"]
    assert models.retrieve("openai:tiny").owned_by == "potstill"
    with pytest.raises(openai.NotFoundError):
        models.retrieve("openai:other")
    with pytest.raises(openai.NotFoundError) as caught:
        chat(server, model="openai:other")
    assert caught.value.code == "model_not_found"
    status, content = get(server, "/v1/nothing")
    assert (status, json.loads(content)["error"]["type"]) == (404, "invalid_request_error")
