"""Clients that the guided server lets in, and its behaviour when something fails."""

import json
import logging
import socket
import threading
import time
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import fakes_upstream
import openai
import pytest
from fakes_upstream import (
    ALONE,
    QUESTION,
    STEP,
    Body,
    FakeUpstream,
    Served,
    chat,
    client_of,
    get,
    own,
    post_head,
    raw,
    served,
    settings_for,
    wait_for,
)

from potstill.errors import AuthError, ConfigError
from potstill.serve.connections import listen
from potstill.serve.server import make_server, read_tokens
from potstill.serve.settings import ServeSettings
from potstill.serve.teacher_limits import Breaker
from potstill.settings import build

TOKEN = "a-token-of-clients-0123456789"
KEY = "sk-MARKED-key-of-the-teacher"


def client(running: Served, key: str) -> openai.OpenAI:
    return client_of(running.url, key)


def test_overrides_can_be_forbidden(student: FakeUpstream, teacher: FakeUpstream) -> None:
    settings = settings_for(student, teacher, overrides=False)
    with (
        served(settings) as running,
        pytest.raises(openai.BadRequestError, match="fixed by this server"),
    ):
        chat(running, extra_body={"guidance": "never"})


def test_only_the_right_token_is_let_in(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE_TOKENS", f"{TOKEN} another-token-of-clients")
    with served(settings_for(student, token_env="SERVE_TOKENS")) as running:
        for token in (TOKEN, "another-token-of-clients"):
            with client(running, token) as asking:
                asking.chat.completions.create(model="openai:tiny", messages=QUESTION)
        for wrong in (TOKEN[:-1], f"{TOKEN}x", "unused"):
            with client(running, wrong) as asking, pytest.raises(openai.AuthenticationError) as no:
                asking.models.list()
            assert no.value.code == "invalid_api_key"
        assert get(running, "/metrics")[0] == 401
        assert get(running, "/healthz")[0] == 200
        assert get(running, "/readyz")[0] == 200
    assert len(student.bodies) == 2


def test_tokens_have_to_be_there_and_long(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServeSettings.model_validate({"student": "openai:x", "token_env": "SERVE_TOKENS"})
    monkeypatch.delenv("SERVE_TOKENS", raising=False)
    with pytest.raises(AuthError, match="SERVE_TOKENS, which is not set"):
        read_tokens(settings)
    monkeypatch.setenv("SERVE_TOKENS", "short")
    with pytest.raises(AuthError, match="shorter than 16"):
        read_tokens(settings)


def test_strangers_are_only_served_with_a_token() -> None:
    assert ServeSettings.model_validate({"student": "openai:x"}).host == "127.0.0.1"
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        values = {"student": "openai:x", "host": host}
        with pytest.raises(ConfigError, match="no token is asked for"):
            build(ServeSettings, values, at="serve.yaml")
        build(ServeSettings, {**values, "token_env": "SERVE_TOKENS"}, at="serve.yaml")
    for host in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        build(ServeSettings, {"student": "openai:x", "host": host}, at="serve.yaml")


@pytest.mark.parametrize(("host", "lines"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_a_server_that_is_open_to_the_network_warns_in_one_line(
    host: str, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        listen(host, 0, open_to="whoever has a token can ask").close()
    told = [record.getMessage() for record in caplog.records]
    line = f"host is {host}, which other machines reach: whoever has a token can ask."
    assert told == [line] * lines


def test_without_a_token_other_host_names_are_refused(server: Served) -> None:
    request = HttpRequest(f"{server.url}/healthz", headers={"Host": "rebound.example"})
    with pytest.raises(OSError, match="403"):
        urlopen(request)


def test_a_body_that_is_too_large_is_refused(server: Served, student: FakeUpstream) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        chat(server, messages=[{"role": "user", "content": "x" * (3 * 2**20)}])
    assert caught.value.status_code == 413
    head = post_head("Content-Type: application/json", "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    answer = raw(server, head + chunk * 17 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    told = raw(server, post_head("Content-Type: application/json", "Content-Length: 99999999999"))
    assert told.startswith(b"HTTP/1.1 413 ")
    assert student.bodies == []


def test_only_json_is_read(server: Served) -> None:
    plain = post_head("Content-Type: text/plain", "Content-Length: 2") + b"{}"
    assert raw(server, plain).startswith(b"HTTP/1.1 415 ")
    broken = post_head("Content-Type: application/json", "Content-Length: 1") + b"{"
    assert raw(server, broken).startswith(b"HTTP/1.1 400 ")


def test_beyond_the_queue_clients_are_told_to_come_again(student: FakeUpstream) -> None:
    student.delay = 0.5
    limits = {"in_flight": 1, "queue": 1}
    with served(settings_for(student, limits=limits)) as running:
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(chat(running))) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(student.bodies) == 1 and running.server._admission.inside == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(running)
        assert caught.value.response.headers["retry-after"] == "1"
        for thread in threads:
            thread.join()
    assert len(found) == 2
    assert len(student.bodies) == 2


def lines(caplog: pytest.LogCaptureFixture) -> list[Body]:
    """The lines that were logged of requests."""
    return [json.loads(each.message) for each in caplog.records if each.name == "potstill.serve"]


@pytest.mark.parametrize("status", [401, 500, 302])
def test_a_key_that_an_upstream_repeats_reaches_nobody(
    student: FakeUpstream,
    teacher: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    monkeypatch.setenv("MARKED_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    key = {"api_key_env": "MARKED_KEY"}
    seen: list[str] = []
    with served(settings_for(student, teacher, student=key, teacher=key)) as running:
        student.echo = teacher.echo = True
        teacher.status = status
        answer = chat(running)
        seen.append(f"{answer} {answer.model_extra}")
        assert own(answer)["guidance"]["silent"] is True
        student.status = status
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                chat(running, stream=stream)
            assert caught.value.status_code == 502
            seen.append(f"{caught.value} {caught.value.body} {caught.value.response.headers}")
        seen += [get(running, path)[1] for path in ("/metrics", "/readyz", "/v1/models")]
    assert f"Bearer {KEY}" in student.keys and f"Bearer {KEY}" in teacher.keys
    text = "\n".join([*seen, caplog.text])
    assert "MARKED" not in text
    assert "Bearer" not in text
    assert "20 + 22" not in text.replace(str(QUESTION), "")  # no prompt in a log or an error


def test_the_log_has_a_line_a_request_without_its_words(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = server.client.chat.completions.with_raw_response.create(
        model="openai:tiny",
        messages=QUESTION,
    )
    wait_for(lambda: lines(caplog))
    line = lines(caplog)[-1]
    assert line.pop("ms") > 0
    assert line == {
        "id": answer.headers["x-request-id"], "route": "chat", "status": 200, "policy": "first",
        "guidance": "guided", "student_tokens": 7, "teacher_tokens": 4,
    }  # fmt: skip
    assert "20 + 22" not in caplog.text


def test_a_slow_teacher_is_not_waited_for(student: FakeUpstream, teacher: FakeUpstream) -> None:
    teacher.delay = 30.0
    with served(settings_for(student, teacher, teacher_limits={"seconds": 0.2})) as running:
        begun = time.monotonic()
        answer = chat(running)
        took = time.monotonic() - begun
        assert 0.2 <= took < teacher.delay
        assert answer.choices[0].message.content == ALONE
        assert own(answer)["guidance"] == {
            "policy": "first", "guided": False, "silent": True, "steps": 0,
        }  # fmt: skip
        wait_for(lambda: teacher.cancelled == 1)


def test_a_slow_teacher_leaves_the_student_half_of_the_time(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    teacher.delay = 30.0
    student.delay = 0.3
    with served(settings_for(student, teacher, limits={"seconds": 1.5})) as running:
        answer = chat(running)
    assert own(answer)["guidance"]["silent"] is True


def test_a_dead_teacher_is_left_alone_for_a_while(
    student: FakeUpstream, teacher: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher.status = 503
    limits = {"failures": 2, "rest": 60}
    now = [1000.0]
    monkeypatch.setattr(Breaker.__init__, "__defaults__", (lambda: now[0],))
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        answers = [chat(running) for _ in range(4)]
        assert all(own(answer)["guidance"]["silent"] for answer in answers)
        assert len(teacher.bodies) == 2
        assert json.loads(get(running, "/readyz")[1]) == {"student": True, "teacher": "resting"}
        teacher.status = 200
        now[0] += 61
        assert own(chat(running))["guidance"]["guided"] is True
        page = get(running, "/metrics")[1]
    assert 'potstill_teacher_errors_total{reason="failed"} 2.0' in page
    assert 'potstill_teacher_errors_total{reason="resting"} 2.0' in page


def test_over_its_budget_the_teacher_is_not_asked(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    # One step takes 5 + 4 tokens, so the second request still finds one left.
    with served(settings_for(student, teacher, teacher_limits={"tokens_per_hour": 10})) as running:
        silent = [own(chat(running))["guidance"]["silent"] for _ in range(3)]
        assert json.loads(get(running, "/readyz")[1])["teacher"] == "over budget"
    assert silent == [False, False, True]
    assert len(teacher.bodies) == 2


def test_a_stream_may_hold_its_usage_under_another_name(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = fakes_upstream._send

    async def renamed(response: Any, content: Body) -> None:
        if "usage" in content:
            content = {"choices": [], "x_groq": {"usage": content["usage"]}}
        await send(response, content)

    usages = []
    for sender in (send, renamed):
        monkeypatch.setattr(fakes_upstream, "_send", sender)
        with served(settings_for(student)) as running:
            options = {"include_usage": True}
            usages.append(list(chat(running, stream=True, stream_options=options))[-1].usage)
    assert usages[0].prompt_tokens > 0
    assert usages[0] == usages[1]


def test_an_error_that_states_what_it_billed_counts(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    teacher.status, teacher.beside_error = 504, {"usage": {"total_tokens": 9}}
    limits = {"tokens_per_hour": 10, "failures": 99}
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        for _ in range(3):
            assert own(chat(running))["guidance"]["silent"]
    assert len(teacher.bodies) == 2


@pytest.mark.parametrize("choices", [None, [], [{"index": 0, "error": {"message": "down"}}]])
def test_what_a_failing_teacher_says_it_billed_counts(
    student: FakeUpstream,
    teacher: FakeUpstream,
    choices: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = {"promptTokens": 5, "completionTokens": "4"}
    monkeypatch.setattr(teacher, "_whole", lambda body: {"choices": choices, "usage": usage})
    limits = {"tokens_per_hour": 10, "failures": 99}
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        for _ in range(3):
            assert own(chat(running))["guidance"]["silent"]
        assert json.loads(get(running, "/readyz")[1])["teacher"] == "over budget"
    assert len(teacher.bodies) == 2


def test_a_student_that_fails_is_a_bad_gateway(server: Served, student: FakeUpstream) -> None:
    student.status = 500
    with pytest.raises(openai.InternalServerError, match="HTTP status 500") as caught:
        chat(server)
    assert (caught.value.status_code, caught.value.code) == (502, "student_failed")
    student.status = 400
    with pytest.raises(openai.BadRequestError, match="HTTP status 400, most often for the length"):
        chat(server)


def test_a_fault_of_ours_has_the_shape_of_an_error(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("potstill.serve.service.request_of", fail)
    with pytest.raises(openai.InternalServerError, match="the server failed") as caught:
        chat(server)
    assert (caught.value.status_code, caught.value.type) == (500, "server_error")
    assert server.server._admission.inside == 0


def test_a_student_that_is_down_is_not_ready(student: FakeUpstream) -> None:
    with served(settings_for(student)) as running:
        student.status = 500
        assert get(running, "/readyz") == (503, '{"student":false,"teacher":"none"}')
        assert get(running, "/healthz") == (200, '{"alive":true}')


def test_a_student_that_breaks_off_ends_the_stream_with_an_error(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    with served(settings_for(student, teacher, limits={"seconds": 0.5})) as running:
        student.gate.clear()
        stream = chat(running, stream=True)
        text = ""
        with pytest.raises(openai.APIError, match=r"within 0\.5 seconds"):
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        assert text.startswith(STEP)
        wait_for(lambda: student.cancelled == 1)


def test_no_answer_comes_after_the_deadline(student: FakeUpstream) -> None:
    student.delay = 30.0
    with served(settings_for(student, limits={"seconds": 0.3})) as running:
        begun = time.monotonic()
        with pytest.raises(openai.InternalServerError) as caught:
            chat(running)
        assert caught.value.status_code == 504
        assert time.monotonic() - begun < student.delay


def test_a_client_that_leaves_takes_its_work_along(
    student: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    student.delay = 30.0
    with served(settings_for(student)) as running:
        body = json.dumps({"messages": QUESTION}).encode()
        head = post_head("Content-Type: application/json", f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(head + body)
            wait_for(lambda: len(student.bodies) == 1)
        wait_for(lambda: student.cancelled == 1)
        wait_for(lambda: lines(caplog))
        assert lines(caplog)[-1]["status"] == 499
        assert running.server._admission.inside == 0


def test_counters_tell_what_was_served(server: Served, teacher: FakeUpstream) -> None:
    chat(server)
    chat(server, extra_body={"guidance": "never"})
    teacher.status = 500
    chat(server)
    with pytest.raises(openai.BadRequestError):
        chat(server, n=99)
    get(server, "/made/up/path")
    get(server, "/another/made/up/path")
    page = get(server, "/metrics")[1].splitlines()
    for line in (
        'potstill_requests_total{route="chat",status="200"} 3.0',
        'potstill_requests_total{route="chat",status="400"} 1.0',
        'potstill_requests_total{route="other",status="404"} 2.0',
        'potstill_request_seconds_count{route="chat"} 4.0',
        'potstill_answers_total{guidance="guided"} 1.0',
        'potstill_answers_total{guidance="unguided"} 1.0',
        'potstill_answers_total{guidance="silent"} 1.0',
        'potstill_tokens_total{kind="completion",who="teacher"} 4.0',
        'potstill_tokens_total{kind="completion",who="student"} 19.0',  # 7 + 6 + 6
        'potstill_teacher_errors_total{reason="failed"} 1.0',
        "potstill_in_flight 0.0",
    ):
        assert line in page
    assert not any("made" in line for line in page)


def test_a_policy_needs_its_teacher_its_threshold_and_its_judge(student: FakeUpstream) -> None:
    with pytest.raises(ValueError, match="there is no teacher"):
        settings_for(student, guidance="first")
    for policy, told in (
        ("when_unsure", "has no threshold"),
        ({"when": "learned", "threshold": 0.5}, "needs the classifier"),
    ):
        with pytest.raises(ConfigError, match=told):
            make_server(settings_for(student, student, guidance=policy))
    with pytest.raises(ConfigError, match=r"cannot read missing\.json"):
        make_server(settings_for(student, judge="missing.json"))
    with served(settings_for(student)) as running:
        assert own(chat(running))["guidance"]["policy"] == "never"
        with pytest.raises(openai.BadRequestError, match="has no teacher"):
            chat(running, extra_body={"guidance": "first"})


def test_a_port_that_is_taken_is_told(student: FakeUpstream) -> None:
    settings = settings_for(student).model_copy(update={"port": student.port})
    with pytest.raises(ConfigError, match=f"port {student.port}: Address already in use"):
        make_server(settings)


def test_a_missing_key_is_told_before_anything_is_served(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARKED_KEY", raising=False)
    far = {"base_url": "http://student.invalid/v1", "api_key_env": "MARKED_KEY"}
    with pytest.raises(AuthError, match="MARKED_KEY"):
        make_server(settings_for(student, student=far))
