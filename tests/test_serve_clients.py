"""Ordinary clients' requests to the guided server: lists, histories, samplers, tools, responses."""

import gzip
import json
import re
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

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
    get,
    own,
    raw,
    served,
    settings_for,
)

from potstill.errors import ConfigError
from potstill.serve import client_fields
from potstill.serve.responses_api import NEUTRAL_FIELDS
from potstill.serve.settings import ServeSettings
from potstill.settings import build

UNGUIDED = {"guidance": "never"}

CALL: Body = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 20, "b": 22}'},
}

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def complete(running: Served, **fields: Any) -> Any:
    fields = {"model": "openai:tiny", "prompt": "Q: 20 + 22?\nA:"} | fields
    return running.client.completions.create(**fields)


def post(running: Served, path: str, body: Body, **headers: str) -> tuple[int, Body]:
    """The status and the JSON that a body gets."""
    data = json.dumps(body).encode()
    asked = HttpRequest(
        running.url + path, data, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urlopen(asked) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def refused(running: Served, route: str = "chat/completions", /, **fields: Any) -> Body:
    """The error that a request gets for a fault of its own."""
    status, answer = post(running, f"/v1/{route}", fields)
    assert status == 400, answer
    error: Body = answer["error"]
    return error


# Lists of prompts


@pytest.mark.parametrize("stream", [False, True])
def test_each_prompt_of_a_list_gets_its_own_answers_in_order(
    server: Served, student: FakeUpstream, teacher: FakeUpstream, stream: bool
) -> None:
    student.script = lambda body: f" {body['messages'][0]['content'][-1]}."
    answer = complete(server, prompt=["one 1", "two 2", "three 3"], n=2, seed=1, stream=stream)
    texts = [""] * 6
    if stream:
        for chunk in answer:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
    else:
        assert [choice.index for choice in answer.choices] == list(range(6))
        texts = [choice.text for choice in answer.choices]
        assert own(answer)["guidance"] == {
            "policy": "first", "guided": True, "silent": False, "steps": 3,
        }  # fmt: skip
        # The teacher reads 2 words for each and writes 4; the student reads 6, and writes 1 twice.
        assert answer.usage.prompt_tokens == 3 * (2 + 6)
        assert answer.usage.completion_tokens == 3 * (4 + 2)
    expected = [f" {STEP} {number}." for number in (1, 2, 3)]
    assert texts == [text for text in expected for _ in range(2)]
    assert len(teacher.bodies) == 3


def test_a_list_of_which_one_prompt_fails_is_an_error(
    server: Served, student: FakeUpstream
) -> None:
    def script(body: Body) -> str:
        if "bad" in body["messages"][0]["content"]:
            raise RuntimeError("this one fails")
        return "Fine."

    student.script = script
    with pytest.raises(openai.InternalServerError, match="the student failed"):
        complete(server, prompt=["good", "bad", "good"], extra_body=UNGUIDED)
    assert server.server._admission.slots._value == 256


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ([], "holds 0 prompts"),
        (["x"] * 129, "holds 129 prompts; this server takes 1 to 128"),
        ("", "empty text"),
        (["x", ""], "empty text"),
        ([["x"]], "a text, a list of texts, token ids"),
        ([1, "x"], "a text, a list of texts, token ids"),
        ([1, -2], "a text, a list of texts, token ids"),
        ([True, False], "a text, a list of texts, token ids"),
        ([[1, 2], []], "a text, a list of texts, token ids"),
        ({"text": "x"}, "a text, a list of texts, token ids"),
        (None, "a text, a list of texts, token ids"),
        ([1, 2, 3], "token ids, which the teacher cannot read; send it as text, or"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused_with_what_can(
    server: Served, prompt: object, told: str
) -> None:
    error = refused(server, "completions", prompt=prompt)
    assert error["param"] == "prompt"
    assert told in error["message"]


def test_token_ids_reach_a_student_that_goes_on_from_texts(student: FakeUpstream) -> None:
    with served(settings_for(student, student={"chat": False})) as running:
        answer = complete(running, prompt=[[5, 6], [7]])
        one = complete(running, prompt=[5, 6, 7])
    assert [choice.text for choice in answer.choices] == [ALONE, ALONE]
    assert len(one.choices) == 1
    prompts = [body["prompt"] for body in student.bodies]
    assert sorted(prompts[:2]) == [[5, 6], [7]] and prompts[2] == [5, 6, 7]


def test_token_ids_are_not_taken_for_a_chat(student: FakeUpstream) -> None:
    with served(settings_for(student)) as running:
        error = refused(running, "completions", prompt=[5, 6])
    assert "in token ids it is for a student that goes on from a text" in error["message"]
    assert student.bodies == []


# Histories

HISTORY: list[Body] = [
    {"role": "user", "content": "What is 20 + 22?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "done"}]},
    {"role": "user", "content": "So?"},
]


def test_a_history_with_tools_reaches_a_student_alone_as_it_came(
    server: Served, student: FakeUpstream
) -> None:
    chat(server, messages=HISTORY, extra_body=UNGUIDED)
    assert student.bodies[0]["messages"] == [
        HISTORY[0],
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        HISTORY[2],
        {"role": "tool", "tool_call_id": "call_2", "content": "done"},
        HISTORY[4],
    ]


def test_a_history_with_tools_is_put_in_words_for_the_teacher(
    server: Served, teacher: FakeUpstream, student: FakeUpstream
) -> None:
    chat(server, messages=HISTORY)
    assert teacher.bodies[0]["messages"] == [
        {"role": "user", "content": "What is 20 + 22?"},
        {"role": "assistant", "content": '{"name":"add","arguments":{"a":20,"b":22}}'},
        {"role": "user", "content": "42\ndone"},
        {"role": "user", "content": "So?"},
    ]
    assert student.bodies[0]["messages"][:4] == teacher.bodies[0]["messages"]


@pytest.mark.parametrize(
    ("turn", "content"),
    [
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None, "tool_calls": []}, ""),
        ({"role": "assistant", "content": None, "tool_calls": None}, ""),
        ({"role": "assistant", "content": None, "refusal": "I will not."}, "I will not."),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}, "Yes."),
    ],
)
def test_an_assistants_turn_may_lack_content(
    server: Served, student: FakeUpstream, turn: Body, content: str
) -> None:
    chat(server, messages=[*QUESTION, turn, *QUESTION], extra_body=UNGUIDED)
    assert student.bodies[0]["messages"][1] == {"role": "assistant", "content": content}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": None},
        {"role": "user"},
        {"role": "assistant", "content": 3},
        {"role": "assistant", "content": None, "tool_calls": "add"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": "add"}]},
        {"role": "tool", "content": [{"type": "image_url"}]},
        {"role": ["user"], "content": "x"},
        "user: x",
    ],
)
def test_a_turn_that_is_none_is_refused_by_its_place(server: Served, turn: object) -> None:
    error = refused(server, messages=[*QUESTION, turn])
    assert error["param"] == "messages[1]"


# Samplers


def test_samplers_reach_the_student_and_its_drafts_and_nobody_else(
    server: Served, student: FakeUpstream, teacher: FakeUpstream
) -> None:
    sent = {
        "top_k": 20,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "chat_template_kwargs": {"enable_thinking": False},
    }
    chat(server, extra_body={**sent, "guidance": {"when": "when_unsure", "threshold": 0.1}})
    assert len(student.bodies) == 2  # its draft, and its answer
    for body in student.bodies:
        assert {name: body[name] for name in sent} == sent
    assert not teacher.bodies[0].keys() & sent.keys()


def test_what_changes_nothing_is_taken_and_left_out(server: Served, student: FakeUpstream) -> None:
    neutral = {
        name: value for name, rule in client_fields.FORWARDED.items() for value in rule.neutral
    }
    neutral |= {
        name: value for name, values in client_fields.NOT_OFFERED.items() for value in values
    }
    neutral |= dict.fromkeys(client_fields.WITHOUT_EFFECT, "anything")
    unset = dict.fromkeys(("seed", "stop", "stream", "logprobs", "echo", "n", "unheard"))
    neutral |= {"tool_choice": "auto", "parallel_tool_calls": True}
    body = {"messages": QUESTION, **neutral, **unset}
    status, _ = post(server, "/v1/chat/completions", body)
    assert status == 200
    assert student.bodies[0].keys() == {
        "model", "messages", "temperature", "max_tokens", "continue_final_message",
        "add_generation_prompt",
    }  # fmt: skip


def test_the_settings_of_the_students_server_come_before_a_client(student: FakeUpstream) -> None:
    ours = {"body": {"top_k": 5, "min_p": None}}
    with served(settings_for(student, student=ours)) as running:
        chat(running, extra_body={"top_k": 50, "top_a": 0.2})
    assert student.bodies[0]["top_k"] == 5
    assert student.bodies[0]["top_a"] == 0.2


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("top_k", "20", "top_k has to be a number"),
        ("top_k", True, "top_k has to be a number"),
        ("logit_bias", [1], "logit_bias has to be an object"),
        ("reasoning_effort", 3, "reasoning_effort has to be a text"),
        ("chat_template_kwargs", {"chat_template": "{{ x }}"}, "may not set chat_template"),
        ("chat_template_kwargs", {"tokenize": True}, "may not set tokenize"),
        ("suffix", "!", "suffix is not offered"),
        ("best_of", 3, "best_of is not offered"),
        ("functions", [{"name": "f"}], "functions is not offered"),
        ("audio", {"voice": "x"}, "audio is not offered"),
        ("modalities", ["audio"], "modalities is not offered"),
        ("tool_choice", "required", "there are no tools"),
        ("no_such_field", 1, "'no_such_field' is no field that this server knows"),
        ("x" * 5000, 1, "is no field that this server knows"),
        ("echo", True, "echo is for the route /v1/completions"),
        ("top_logprobs", 3, "needs logprobs: true"),
        ("tools", [TOOL], "offered where the student is asked alone"),
        ("response_format", {"type": "json_object"}, '"guidance": "never"'),
        ("logprobs", True, "offered where the student is asked alone"),
    ],
)
def test_what_is_not_offered_is_refused_and_never_ignored(
    server: Served, student: FakeUpstream, field: str, value: Any, told: str
) -> None:
    error = refused(server, messages=QUESTION, **{field: value})
    assert told in error["message"] and len(error["message"]) < 300
    assert student.bodies == []


def test_a_field_that_the_students_server_refuses_is_named(
    server: Served, student: FakeUpstream
) -> None:
    student.status = 400
    error = refused(server, messages=QUESTION, guidance="never", top_k=3, min_p=0.1)
    assert "min_p, top_k was passed on to it" in error["message"]


def test_fields_of_chats_are_refused_for_a_student_of_the_text_route(student: FakeUpstream) -> None:
    with served(settings_for(student, student={"chat": False})) as running:
        fields: list[tuple[str, Any]] = [
            ("reasoning_effort", "low"),
            ("chat_template_kwargs", {"enable_thinking": True}),
            ("tools", [TOOL]),
            ("logprobs", True),
        ]
        for field, value in fields:
            error = refused(running, messages=QUESTION, **{field: value})
            assert error["param"] == field
            assert "chat: false" in error["message"]
    assert student.bodies == []


def test_best_of_as_many_as_are_wanted_changes_nothing(server: Served) -> None:
    assert len(complete(server, best_of=2, n=2).choices) == 2


# Tools and shapes of answers


@pytest.mark.parametrize("guidance", ["never", "first"])
def test_tools_that_may_not_be_called_are_left_out(
    student: FakeUpstream, teacher: FakeUpstream, guidance: str
) -> None:
    with served(settings_for(student, teacher)) as running:
        further = {"guidance": guidance}
        answer = chat(running, tools=[TOOL], tool_choice="none", extra_body=further)
        body = {"input": "6 + 1?", "tools": [TOOL], "tool_choice": "none", **further}
        status, _ = post(running, "/v1/responses", body)
    assert answer.choices[0].message.content and status == 200
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & student.bodies[0].keys()


def test_tools_are_passed_on_and_their_calls_come_back(
    student: FakeUpstream,
) -> None:
    student.further = {
        "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        "finish_reason": "tool_calls",
    }
    with served(settings_for(student)) as running:
        answer = chat(running, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
        whole = [answer.choices[0]]
        student.streams = False
        chunks = list(chat(running, tools=[TOOL], stream=True))
    sent = student.bodies[0]
    assert (sent["tools"], sent["tool_choice"]) == ([TOOL], "required")
    assert sent["parallel_tool_calls"] is False
    assert whole[0].finish_reason == "tool_calls"
    assert whole[0].message.content is None
    assert whole[0].message.tool_calls[0].model_dump() == CALL
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.id, call.function.name) for call in calls] == [(0, "call_1", "add")]
    assert calls[0].function.arguments == CALL["function"]["arguments"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_calls_that_come_in_pieces_are_put_together(student: FakeUpstream) -> None:
    from aiohttp import web

    async def pieces(request: Any, body: Body) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        first = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": ""}}
        deltas: list[Body] = [
            {"role": "assistant", "content": "Let me see."},
            {"tool_calls": [first]},
        ]
        arguments = CALL["function"]["arguments"]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
            for part in (arguments[:5], arguments[5:])
        ]
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        await response.write(f"data: {json.dumps({'choices': [end]})}\n\ndata: [DONE]\n\n".encode())
        return response

    student._stream = pieces  # type: ignore[method-assign]
    with served(settings_for(student)) as running:
        chunks = list(chat(running, tools=[TOOL], stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert text == "Let me see."
    assert [call.model_dump() for call in calls] == [{"index": 0, **CALL}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_shape_of_the_answer_is_passed_on(student: FakeUpstream) -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    student.script = lambda body: '{"answer": 42}'
    with served(settings_for(student)) as running:
        answer = chat(running, response_format=shape)
    assert student.bodies[0]["response_format"] == shape
    assert answer.choices[0].message.content == '{"answer": 42}'


# Lengths


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": -1}, 4096),
        ({"max_completion_tokens": -1}, 4096),
        ({"max_tokens": 16.0}, 16),
        ({"max_completion_tokens": 5, "max_tokens": 7}, 5),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({}, 512),
    ],
)
def test_the_longest_answer(server: Served, student: FakeUpstream, fields: Body, sent: int) -> None:
    status, _ = post(server, "/v1/chat/completions", {"messages": QUESTION, **UNGUIDED, **fields})
    assert status == 200
    assert student.bodies[0]["max_tokens"] == sent


@pytest.mark.parametrize("value", [0, -2, 1.5, True, "5", 4097])
def test_lengths_that_are_none(server: Served, value: object) -> None:
    assert refused(server, messages=QUESTION, max_tokens=value)["param"] == "max_tokens"


# Probabilities of a student behind a server


@pytest.mark.parametrize("stream", [False, True])
def test_probabilities_of_a_chat_are_passed_on(student: FakeUpstream, stream: bool) -> None:
    student.streams = False
    with served(settings_for(student)) as running:
        answer = chat(running, logprobs=True, top_logprobs=1, stream=stream)
        choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices
    assert (student.bodies[0]["logprobs"], student.bodies[0]["top_logprobs"]) == (True, 1)
    entries = [entry for choice in choices if choice.logprobs for entry in choice.logprobs.content]
    assert [entry.logprob for entry in entries] == [-0.5] * len(ALONE.split())
    assert entries[0].top_logprobs[0].bytes == [97]


def test_probabilities_of_a_text_that_come_in_pieces_are_put_together(
    student: FakeUpstream,
) -> None:
    from aiohttp import web

    async def pieces(request: Any, body: Body) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for place, (text, logprob) in enumerate([(" 4", -0.5), ("2", -0.25)]):
            listed = {"tokens": [text], "token_logprobs": [logprob], "text_offset": [place]}
            choice = {"index": 0, "text": text, "logprobs": listed, "finish_reason": None}
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        end = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
        await response.write(f"data: {json.dumps({'choices': [end]})}\n\ndata: [DONE]\n\n".encode())
        return response

    student._stream = pieces  # type: ignore[method-assign]
    with served(settings_for(student, student={"chat": False})) as running:
        chunks = list(complete(running, logprobs=1, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == " 42"
    listed = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [(one.tokens, one.token_logprobs) for one in listed] == [([" 4", "2"], [-0.5, -0.25])]


def test_a_student_without_probabilities_is_said_to_have_none(student: FakeUpstream) -> None:
    student.further = {"logprobs": None}
    with served(settings_for(student)) as running:
        status, answer = post(
            running, "/v1/chat/completions", {"messages": QUESTION, "logprobs": True}
        )
    assert (status, answer["error"]["code"]) == (502, "student_failed")
    assert "no token probabilities" in answer["error"]["message"]


def test_a_prompt_is_echoed_by_the_students_server(student: FakeUpstream) -> None:
    listed = {
        "tokens": ["Q", "A", "!"], "token_logprobs": [None, -1.0, -2.0],
        "top_logprobs": [None, {"A": -1.0}, {"?": -0.5}], "text_offset": [0, 1, 2],
    }  # fmt: skip
    student.further = {"text": "<think>QA!", "logprobs": listed}
    with served(settings_for(student, student={"chat": False})) as running:
        answer = complete(
            running, prompt="<think>QA", echo=True, logprobs=1, max_tokens=0, stop="Q"
        )
    sent = student.bodies[0]
    assert (sent["echo"], sent["logprobs"], sent["max_tokens"]) == (True, 1, 0)
    assert answer.choices[0].text == "<think>QA!"  # neither cut at Q nor read as thinking
    assert answer.choices[0].logprobs.token_logprobs == [None, -1.0, -2.0]


# Pages in a browser


def preflight(running: Served, origin: str) -> bytes:
    lines = ["OPTIONS /v1/chat/completions HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"Origin: {origin}", "Access-Control-Request-Method: POST"]
    lines += ["Access-Control-Request-Headers: authorization,content-type", "", ""]
    return raw(running, "\r\n".join(lines).encode()).lower()


def test_pages_of_named_origins_may_ask_and_no_others(student: FakeUpstream) -> None:
    page = "http://localhost:3000"
    with served(settings_for(student, cors_origins=[page])) as running:
        allowed = preflight(running, page)
        assert allowed.startswith(b"http/1.1 200")
        assert f"access-control-allow-origin: {page}".encode() in allowed
        assert b"authorization" in allowed
        other = preflight(running, "http://evil.example")
        assert other.startswith(b"http/1.1 400")
        assert b"allow-origin" not in other
        asked = HttpRequest(f"{running.url}/v1/models", headers={"Origin": page})
        with urlopen(asked) as response:
            assert response.headers["Access-Control-Allow-Origin"] == page
            assert "x-request-id" in response.headers["Access-Control-Expose-Headers"].lower()


def test_without_the_setting_no_page_may_ask(server: Served) -> None:
    answer = preflight(server, "http://localhost:3000")
    assert answer.startswith(b"http/1.1 405")
    assert b"access-control" not in answer


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        (["*"], "no token is asked for"),
        (["localhost:3000"], "no origin"),
        (["http://localhost:3000/"], "no origin"),
        (["null"], "no origin"),
    ],
)
def test_origins_that_are_none_are_refused(origins: list[str], told: str) -> None:
    values = {"student": "bundled:student", "cors_origins": origins}
    with pytest.raises(ConfigError, match=told):
        build(ServeSettings, values, at="serve.yaml")


# Readiness


def test_a_student_that_answers_and_lists_no_models_is_ready(student: FakeUpstream) -> None:
    student.models_status = 500
    with served(settings_for(student)) as running:
        for _ in range(2):
            assert get(running, "/readyz")[0] == 200
    assert [body["max_tokens"] for body in student.bodies] == [1]  # asked once, for a token


def test_an_answer_shows_as_well_that_it_is_ready(student: FakeUpstream) -> None:
    student.models_status = 403
    with served(settings_for(student)) as running:
        chat(running)
        assert get(running, "/readyz")[0] == 200
        assert len(student.bodies) == 1


# Responses


def test_a_response_in_one_object(server: Served, teacher: FakeUpstream) -> None:
    answer: Any = server.client.responses.create(
        model="openai:tiny", input="What is 20 + 22?", instructions="Be brief.",
        max_output_tokens=50, reasoning={"effort": "low"}, store=True, metadata={"a": "b"},
    )  # fmt: skip
    assert answer.output_text == STEP + REST
    assert (answer.status, answer.object, answer.store) == ("completed", "response", False)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7 + 11, 4 + 7)
    assert own(answer)["guidance"]["guided"] is True
    assert teacher.bodies[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 20 + 22?"},
    ]


def test_a_response_in_events_says_the_same(server: Served) -> None:
    talk: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "What is 20 + 22?"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {
            "type": "message", "role": "assistant", "id": "m", "status": "completed",
            "content": [{"type": "output_text", "text": "Hm.", "annotations": []}],
        },
        {"role": "user", "content": "So?"},
    ]  # fmt: skip
    with server.client.responses.stream(model="openai:tiny", input=talk) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events][:4] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added",
    ]  # fmt: skip
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == STEP + REST and len(deltas) > 2
    assert [event.type for event in events][-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == STEP + REST


def test_a_response_that_is_cut_is_incomplete(server: Served) -> None:
    answer: Any = server.client.responses.create(
        model="openai:tiny", input="x", max_output_tokens=3, extra_body=UNGUIDED
    )
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text == "We guess. The"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "messages[0]"),
        ({"instructions": 3}, "instructions"),
        ({"reasoning": "low"}, "reasoning"),
        ({"messages": QUESTION}, "messages"),
        ({"n": 2}, "n"),
        ({"max_output_tokens": 0}, "max_completion_tokens"),
        ({"unheard_of": 2}, "unheard_of"),
    ],
)
def test_what_a_response_cannot_have_is_refused(server: Served, fields: Body, param: str) -> None:
    assert refused(server, "responses", **{"input": "x", **fields})["param"] == param


def test_a_response_that_breaks_off_ends_with_an_error(student: FakeUpstream) -> None:
    with served(settings_for(student, limits={"seconds": 0.4})) as running:
        student.gate.clear()
        events = list(running.client.responses.create(model="openai:tiny", input="x", stream=True))
    assert events[-2].type == "response.output_text.delta"
    assert events[-1].type == "error"
    assert "within 0.4 seconds" in events[-1].message


# The page of what clients may send


def named_in(page: str, heading: str) -> set[str]:
    """The names in the first column of the table, or in the list, below a heading."""
    section = re.split(r"^#+ ", page.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith(("| `", "- `"))]
    firsts = [re.sub(r"\(.*?\)|:.*", "", row.strip("|").split("|")[0]) for row in rows]
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


def test_the_page_lists_every_field_in_its_place() -> None:
    page = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    assert named_in(page, "Read") == set(client_fields.READ)
    assert named_in(page, "Passed on") == set(client_fields.FORWARDED)
    assert named_in(page, "Without effect") == set(client_fields.WITHOUT_EFFECT)
    assert named_in(page, "Not offered") == set(client_fields.NOT_OFFERED)
    assert named_in(page, "Not offered in responses") == set(NEUTRAL_FIELDS)


BODY = json.dumps({"messages": QUESTION, "guidance": "never"}).encode()


def sent(running: Served, path: str, content: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    return raw(running, "\r\n".join(lines).encode() + content)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions//",
        "/v1/chat%2Fcompletions",
        "/v1/%63hat/completions?api-version=2024-06-01",
        "http://localhost/v1/chat/completions",
    ],
)
def test_a_path_is_read_as_clients_and_proxies_mean_it(server: Served, path: str) -> None:
    head = ("Content-Type: application/json", f"Content-Length: {len(BODY)}")
    assert sent(server, path, BODY, *head).startswith(b"HTTP/1.1 200 ")


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n3;x=y\r\n%b\r\n0\r\n\r\n" % (len(content) - 3, content[:-3], content[-3:])


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"\xef\xbb\xbf" + BODY, []),
        (BODY, ["Content-Encoding: identity"]),
        (BODY, ["Content-Type: application/json; charset=utf-8"]),
        (BODY, ["Expect: 100-continue"]),
        (chunked(BODY), ["Transfer-Encoding: chunked"]),
    ],
)
def test_a_body_is_read_however_it_is_sent(
    server: Served, content: bytes, headers: list[str]
) -> None:
    if not any(name.startswith("Transfer") for name in headers):
        headers = [*headers, f"Content-Length: {len(content)}"]
    if not any(name.startswith("Content-Type") for name in headers):
        headers = [*headers, "Content-Type: application/json"]
    answer = sent(server, "/v1/chat/completions", content, *headers)
    assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("content", "header", "status", "told"),
    [
        (gzip.compress(BODY, mtime=0), "Content-Encoding: gzip", 415, "without Content-Encoding"),
        (BODY, "Content-Encoding: br", 415, "without Content-Encoding"),
        (BODY.decode().encode("utf-16"), "X: y", 400, "send UTF-8"),
        (BODY[:-1], "X: y", 400, "is not valid JSON: "),
    ],
)
def test_a_body_that_is_not_taken_is_refused_with_what_is(
    server: Served, content: bytes, header: str, status: int, told: str
) -> None:
    head = ("Content-Type: application/json", f"Content-Length: {len(content)}", header)
    answer = sent(server, "/v1/chat/completions", content, *head)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) and told.encode() in answer


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/v1/models", 200), ("/v1/chat/completions", 405), ("/v2", 404)],
)
def test_head_asks_for_what_get_does_without_its_content(
    server: Served, path: str, status: int
) -> None:
    answer = sent(server, path, b"", method="HEAD")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(b"\r\n\r\n"), "a head, and no content"


def test_a_route_or_method_that_is_not_there_is_told_what_is(server: Served) -> None:
    assert b"answers at /v1/chat/completions" in sent(server, "/chat/completions", b"")
    refused = sent(server, "/v1/chat/completions", b"", method="GET")
    assert refused.startswith(b"HTTP/1.1 405 ") and b"which takes POST" in refused
