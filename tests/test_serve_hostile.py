"""The guided server among clients that mean it no good."""

import json
import socket
import sys

import pytest
from fakes_upstream import (
    ALONE,
    QUESTION,
    Body,
    FakeUpstream,
    Served,
    chat,
    post_head,
    raw,
    served,
    settings_for,
    wait_for,
)

from potstill.serve import connections

JSON = "Content-Type: application/json"
TOKEN = "a-token-of-clients-0123456789"


def post(running: Served, content: bytes, *headers: str) -> bytes:
    return raw(running, post_head(JSON, f"Content-Length: {len(content)}", *headers) + content)


def test_a_client_that_leaves_its_stream_leaves_nothing_behind(
    server: Served, student: FakeUpstream
) -> None:
    student.gate.clear()
    stream = chat(server, stream=True)
    next(iter(stream))
    wait_for(lambda: student.bodies)  # the first piece goes out before anybody is asked
    stream.close()
    wait_for(lambda: student.cancelled == 1 and server.server._admission.inside == 0)


@pytest.mark.parametrize(
    ("guidance", "told"),
    [
        ({"when": [[["x"]]]}, "is no policy"),
        ({"when": "first", "threshold": {"x": 1}}, "is no policy"),
        ({"when": "x" * 101}, "is no policy"),
        ({"when": "first", **{f"k{place}": 1 for place in range(9)}}, "is no policy"),
        ({"x" * 500: 1}, "is no policy"),
        ({"at": 10**400}, None),
        ({"when": "first", "thresold": 1}, "threshold"),
        ("antigravity:fly_test", "is for this server's own settings"),
        ({"when": "antigravity:fly_test"}, "is for this server's own settings"),
    ],
)
def test_a_policy_that_is_none_is_not_repeated_at_length(
    server: Served, guidance: Body | str, told: str | None
) -> None:
    content = json.dumps({"messages": QUESTION, "guidance": guidance}).encode()
    answer = post(server, content)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(answer) < 1000
    assert told is None or told.encode() in answer
    assert "antigravity" not in sys.modules  # what a client names is never imported


def test_json_that_is_meant_to_hurt_is_a_bad_request(server: Served) -> None:
    for content in (
        b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages": [], "temperature": NaN}',
        b'{"seed": ' + b"9" * 5000 + b', "messages": [{"role": "user", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"stop": "' + b"s" * 1001 + b'", "messages": [{"role": "user", "content": "x"}]}',
        b"\x1f\x8b\x08\x00",
        b"[]",
    ):
        assert post(server, content).startswith(b"HTTP/1.1 400 ")


def test_two_lengths_of_one_body_are_refused(server: Served) -> None:
    head = post_head(JSON, "Content-Length: 4", "Transfer-Encoding: chunked")
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(server, head.replace(b"Connection: close\r\n", b"") + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    twice = post_head(JSON, "Content-Length: 4", "Content-Length: 5")
    assert raw(server, twice).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"Authorization: Bearer {TOKEN}"], 200),
        ([f"authorization: bearer  {TOKEN} "], 200),
        ([f"Authorization: Bearer {TOKEN}", "Authorization: Bearer no"], 401),
        (["Authorization: Bearer no", f"Authorization: Bearer {TOKEN}"], 401),
        ([f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"], 401),
        ([f"Authorization: Basic {TOKEN}"], 401),
        ([f"Authorization: {TOKEN}"], 401),
        (["Authorization: Bearer"], 401),
        (["Authorization: Bearer \xff\xfe"], 401),
        ([f"X-Api-Key: {TOKEN}"], 401),
        ([], 401),
    ],
)
def test_one_right_token_is_let_in_and_nothing_else(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch, headers: list[str], status: int
) -> None:
    monkeypatch.setenv("SERVE_TOKENS", f"another-token-of-clients {TOKEN}")
    with served(settings_for(student, token_env="SERVE_TOKENS")) as running:
        lines = ["GET /v1/models HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
        answer = raw(running, "\r\n".join(lines).encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert TOKEN.encode() not in answer


def test_no_header_or_path_of_a_client_is_repeated(server: Served) -> None:
    for path in ("/v1/modelz", "/healthz/x", "/marked%0d%0aX-Evil:1"):
        lines = [f"GET {path} HTTP/1.1", "Host: localhost:99", "Connection: close"]
        lines += ["X-Request-Id: marked", "Origin: http://marked.example", "", ""]
        answer = raw(server, "\r\n".join(lines).encode())
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"marked" not in answer and b"localhost" not in answer and b"evil" not in answer


def test_a_head_that_never_ends_is_not_waited_for(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    student.delay = 0.8
    with served(settings_for(student)) as running:
        for begun in (
            b"",
            b"POST /v1/ch",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /h",
        ):
            raw(running, begun)  # until the server closes it
        assert chat(running).choices[0].message.content == ALONE  # an answer may take longer


def test_a_body_that_drips_is_over_at_the_deadline(student: FakeUpstream) -> None:
    with served(settings_for(student, limits={"seconds": 0.4})) as running:
        answer = raw(running, post_head(JSON, "Content-Length: 100") + b"{")
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert running.server._admission.inside == 0


def test_a_client_that_reads_nothing_is_let_go(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.3)
    with (
        served(settings_for(student)) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=0.5) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises(OSError):
            for _ in range(100_000):  # each of some kilobytes, and none is read
                client.sendall(page * 100)
        wait_for(lambda: not running.server.server_state.connections, seconds=60.0)
