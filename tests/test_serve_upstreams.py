"""The guided server in front of upstreams that fail, hang, or answer nonsense."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator
from threading import Thread
from typing import Any

import openai
import pytest
from aiohttp import web
from fakes import ScriptedModel
from fakes_upstream import (
    ALONE,
    REST,
    Body,
    FakeUpstream,
    Served,
    chat,
    get,
    own,
    served,
    settings_for,
)

from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.serve.http_upstream import HttpUpstream
from potstill.serve.settings import TeacherLimits
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.upstreams import (
    PLAIN,
    Emit,
    LocalUpstream,
    StudentOptions,
    UpstreamError,
)


def text_of(answer: Any, *, stream: bool) -> str:
    if stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    return str(answer.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_takes_two_requests_is_shown_as_it_is_kept(
    server: Served, teacher: FakeUpstream, stream: bool
) -> None:
    # The first time a stop string comes before any word.
    teacher.script = lambda body: (
        "\nFirst" if len(teacher.bodies) == 1 else "First add the tens. And"
    )
    assert text_of(chat(server, stream=stream), stream=stream) == "First add the tens." + REST


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_is_broken_off_is_not_shown(
    server: Served, teacher: FakeUpstream, stream: bool
) -> None:
    def script(body: Body) -> str:
        if len(teacher.bodies) > 1:
            raise RuntimeError("the second request for this step fails")
        return "1. Add the tens."

    teacher.script = script
    assert text_of(chat(server, stream=stream), stream=stream) == ALONE
    assert len(teacher.bodies) == 2


@pytest.mark.parametrize("count", [-5, 1e30, 10**18])
def test_tokens_that_no_answer_has_are_not_counted(
    server: Served, student: FakeUpstream, teacher: FakeUpstream, count: float
) -> None:
    def lie(body: Body, answers: object) -> Body:
        return {"prompt_tokens": count, "completion_tokens": count}

    told = text_of(chat(server), stream=False)
    teacher._usage = lie  # type: ignore[method-assign]
    student._usage = lie  # type: ignore[method-assign]
    for stream in (False, True):
        assert text_of(chat(server, stream=stream), stream=stream) == told
    unknown = {"prompt": None, "completion": None}
    assert own(chat(server))["teacher_tokens"] == own(chat(server))["student_tokens"] == unknown
    assert chat(server).usage is None


@pytest.mark.parametrize(
    "event",
    [
        b"data: {",
        b'data: {"choices": 5}',
        b'data: {"choices": [5]}',
        b'data: {"choices": [{"index": -9, "delta": {}}]}',
        b'data: {"choices": [{"index": "0", "delta": {"content": "x"}}]}',
        b'data: {"choices": [{"index": 0, "delta": {"content": ["x"]}}]}',
        b'data: {"choices": [{"index": 0, "delta": {"content": "\xff"}}]}',
        b'data: {"error": {"message": "MARKED"}}',
        b"data: [DONE]",
        b"nothing known",
        b"data: " + b"[" * 5000,
        b"x" * 300_000,
    ],
)
def test_a_garbled_stream_is_an_error_without_its_words(
    server: Served, student: FakeUpstream, event: bytes
) -> None:
    async def garbled(request: Any, body: Body) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": a comment\n\n" + event + b"\n\n")
        return response

    student._stream = garbled  # type: ignore[method-assign]
    with pytest.raises(openai.APIError, match="the student failed") as caught:
        text_of(chat(server, stream=True), stream=True)
    assert "MARKED" not in str(caught.value)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "<think>\nHm, hm.\n</think>\n\nThe answer is 42.",
        " <think> </think>42",
        "<thin ice",
        "<thi",
        "  42",
        "No <think> at the beginning </think>",
    ],
)
def test_a_stream_leaves_thinking_out_as_a_whole_answer_does(
    server: Served, student: FakeUpstream, text: str, streams: bool
) -> None:
    student.script = lambda body: text
    student.streams = streams
    alone = {"guidance": "never"}
    whole = text_of(chat(server, extra_body=alone), stream=False)
    assert text_of(chat(server, stream=True, extra_body=alone), stream=True) == whole


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_thinking_without_an_answer_is_a_failure(
    server: Served, student: FakeUpstream, streams: bool, stream: bool
) -> None:
    student.script = lambda body: "<think> and no end"
    student.streams = streams
    with pytest.raises(openai.APIError, match="gave no text"):
        text_of(chat(server, stream=stream, extra_body={"guidance": "never"}), stream=stream)


def test_words_before_a_fault_are_followed_by_the_error(
    server: Served, student: FakeUpstream
) -> None:
    async def failing(request: Any, body: Body) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        said = {"index": 0, "delta": {"content": " 42"}, "finish_reason": None}
        await response.write(f"data: {json.dumps({'choices': [said]})}\n\n".encode())
        return response  # without a finish reason

    student._stream = failing  # type: ignore[method-assign]
    pieces: list[str] = []
    with pytest.raises(openai.APIError, match="its answer has no end"):
        for chunk in chat(server, stream=True, extra_body={"guidance": "never"}):
            pieces.append(chunk.choices[0].delta.content or "")
    assert pieces == ["", " 42"]
    page = get(server, "/metrics")[1]
    assert 'potstill_requests_total{route="chat",status="502"} 1.0' in page


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
    ],
)
def test_a_teacher_that_hangs_anywhere_is_left_out(student: FakeUpstream, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        settings = settings_for(
            student,
            student,
            teacher={"base_url": url},
            teacher_limits={"seconds": 0.3},
        )

        def hang() -> None:
            connection, _ = listening.accept()
            connection.sendall(answer)
            connections.append(connection)

        connections: list[socket.socket] = []
        hanging = Thread(target=hang)
        hanging.start()
        with served(settings) as running:
            assert own(chat(running))["guidance"]["silent"] is True
        hanging.join()
        for each in connections:
            each.close()


def test_a_letter_that_is_cut_between_two_packets_arrives_whole(
    server: Served, student: FakeUpstream
) -> None:
    async def halved(request: Any, body: Body) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        said = {"index": 0, "delta": {"content": " 42 €"}, "finish_reason": "stop"}
        content = b"data: " + json.dumps({"choices": [said]}, ensure_ascii=False).encode()
        middle = content.index("€".encode()) + 1
        await response.write(content[:middle])
        await asyncio.sleep(0.05)
        await response.write(content[middle:] + b"\n\ndata: [DONE]\n\n")
        return response

    student._stream = halved  # type: ignore[method-assign]
    answer = chat(server, stream=True, extra_body={"guidance": "never"})
    assert text_of(answer, stream=True) == " 42 €"


def test_many_probes_at_once_ask_the_upstream_once(student: FakeUpstream) -> None:
    probes: list[float] = []
    with served(settings_for(student)) as running:

        async def reached(_: object) -> bool:
            probes.append(time.monotonic())
            await asyncio.sleep(0.2)
            return True

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HttpUpstream, "_reached", reached)
            request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            clients = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(8)]
            for client in clients:
                client.sendall(request)
            answers = [client.recv(4096) for client in clients]
            for client in clients:
                client.close()
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len(probes) == 1


def test_what_the_teacher_refuses_does_not_make_it_rest(
    student: FakeUpstream, teacher: FakeUpstream
) -> None:
    teacher.status = 400
    limits = {"failures": 2, "rest": 60.0}
    with served(settings_for(student, teacher, teacher_limits=limits)) as running:
        assert all(own(chat(running))["guidance"]["silent"] for _ in range(4))
        teacher.status = 200
        assert own(chat(running))["guidance"]["guided"] is True


class Held:
    """A teacher that answers when it is let go."""

    chat, encoder_decoder = True, False

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()
        self.error: UpstreamError | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def ready(self) -> bool:
        return True

    async def can_continue(self) -> bool:
        return True

    def refusal(self, options: StudentOptions) -> None: ...

    async def answer(
        self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
    ) -> list[Completion]:
        self.asked += 1
        await self.let_go.wait()
        if self.error:
            raise self.error
        return [
            Completion(
                request=request,
                sample=0,
                text="x",
                finish_reason="stop",
                prompt_tokens=6,
                completion_tokens=4,
            )
        ]


def test_what_is_under_way_counts_against_the_hourly_limit() -> None:
    request = Request(prompt="x" * 40, max_tokens=30)  # guessed at 40 / 4 + 30 tokens

    async def scenario() -> None:
        upstream, absences = Held(), list[str]()
        guard = TeacherGuard(upstream, TeacherLimits(tokens_per_hour=100), absences.append)
        until = asyncio.get_running_loop().time() + 60
        asking = [asyncio.create_task(guard.ask(request, until)) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert upstream.asked == 3  # 40 and 80 are under 100
        asking[0].cancel()  # given up, and paid for as guessed: 40
        await asyncio.sleep(0)
        upstream.let_go.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert sum(answer != [] for answer in answers) == 3
        assert guard._budget.spent == 40 + 2 * 10
        assert absences == ["budget"] * 47
        upstream.error = UpstreamError("down")  # not paid for
        assert await guard.ask(request, until) == []
        assert (guard._budget.spent, guard._budget.under_way) == (60, 0)
        upstream.error = UpstreamError("broke off", tokens=None)  # nobody tells what it took
        assert await guard.ask(request, until) == []
        assert (guard._budget.spent, guard._budget.under_way) == (60 + 40, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("read", "written", "text", "spent"),
    [(6, 4, "x", 10), (0, 4, "x", 14), (6, 0, "x", 36), (0, 0, "x", 40), (6, 0, "", 6)],
)
def test_tokens_that_the_teacher_does_not_count_are_spent_as_guessed(
    read: int, written: int, text: str, spent: int
) -> None:
    request = Request(prompt="x" * 40, max_tokens=30)  # guessed at 40 / 4 + 30 tokens

    class Teacher(Held):
        async def answer(
            self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
        ) -> list[Completion]:
            return [
                Completion(request=request, sample=0, text=text, finish_reason="stop",
                           prompt_tokens=read, completion_tokens=written)
            ]  # fmt: skip

    async def scenario() -> None:
        guard = TeacherGuard(Teacher(), TeacherLimits(tokens_per_hour=100), lambda reason: None)
        await guard.ask(request, asyncio.get_running_loop().time() + 60)
        assert guard._budget.spent == spent

    asyncio.run(scenario())


def test_after_a_rest_one_of_many_tries_the_teacher() -> None:
    async def scenario() -> None:
        upstream, absences = Held(), list[str]()
        guard = TeacherGuard(upstream, TeacherLimits(failures=1, rest=0.05), absences.append)
        until = asyncio.get_running_loop().time() + 60
        upstream.error = UpstreamError("down")
        upstream.let_go.set()
        await guard.ask(Request(prompt="x"), until)
        await asyncio.sleep(0.06)
        upstream.let_go.clear()
        asking = [asyncio.create_task(guard.ask(Request(prompt="x"), until)) for _ in range(9)]
        await asyncio.sleep(0.01)
        assert upstream.asked == 2
        upstream.error = None
        upstream.let_go.set()
        answers = await asyncio.gather(*asking)
        assert [len(answer) for answer in answers] == [1] + [0] * 8
        assert absences == ["failed"] + ["resting"] * 8

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kept_open", "wait", "posts"),
    [
        (False, 0.0, 1),  # a new connection: the server has read the request, and may bill it
        (True, 0.0, 3),  # an answer, a connection that was closed in between, the same once more
        (True, 0.5, 2),  # an answer, and a request that was worked on
    ],
)
def test_only_what_a_closed_connection_lost_at_once_is_sent_again(
    kept_open: bool, wait: float, posts: int
) -> None:
    bodies: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
            bodies.append(await reader.readexactly(int(length)))
            if not kept_open or len(bodies) == 2:
                break
            choice = {"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}
            content = json.dumps({"choices": [choice], "usage": {"completion_tokens": 2}}).encode()
            told = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            )
            writer.write(told % len(content) + content)
        await asyncio.sleep(wait)
        writer.close()

    async def scenario() -> None:
        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}/v1"
        upstream = HttpUpstream(
            OpenAISettings(model="openai:m", base_url=address, api_key_env=None)
        )
        await upstream.start()
        request = Request(prompt="Is it?", max_tokens=9)
        if kept_open:
            assert [one.text for one in await upstream.answer(request)] == ["Yes."]
        if posts == 3:
            assert [one.text for one in await upstream.answer(request)] == ["Yes."]
        else:
            with pytest.raises(UpstreamError) as failed:
                await upstream.answer(request)
            assert failed.value.tokens is None  # nobody knows what it cost
        await upstream.close()
        listening.close()

    asyncio.run(scenario())
    assert len(bodies) == posts


def test_a_prompt_that_fails_in_a_local_model_fails_alone() -> None:
    class Batching(ScriptedModel):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            batch = list(requests)
            if any(request.prompt == "bad" for request in batch):
                raise ValueError("roles must alternate")
            yield from super().complete(batch)

    async def scenario() -> None:
        upstream = LocalUpstream(Batching(lambda request, sample: f"{request.prompt} {sample}"))
        prompts = ["one", "bad", "two"]
        asking = [
            asyncio.create_task(upstream.answer(Request(prompt=prompt, samples=(0, 1))))
            for prompt in prompts
        ]
        await asyncio.sleep(0)  # all wait before the thread begins
        await upstream.start()
        one, bad, two = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(bad, UpstreamError) and str(bad) == "the model failed"
        for prompt, found in (("one", one), ("two", two)):
            assert isinstance(found, list)
            assert [each.text for each in found] == [f"{prompt} 0", f"{prompt} 1"]
        await upstream.close()

    asyncio.run(scenario())
