"""Whatever a server sends: a sample gets a completion that can be stored, or the run an error."""

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from chaos import Chaos
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from potstill.errors import ModelError
from potstill.models.openai import client
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget
from potstill.store import Store

TOP = {"token": "5", "logprob": -0.5, "bytes": [53]}
CHAT: dict[str, Any] = {
    "choices": [
        {"index": index, "finish_reason": "stop",
         "message": {"role": "assistant", "content": "5", "reasoning_content": "2 + 3"},
         "logprobs": {"content": [{**TOP, "top_logprobs": [TOP, {**TOP, "token": "6"}]}]}}
        for index in range(2)
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 4,
              "prompt_tokens_details": {"cached_tokens": 3}},
}  # fmt: skip
PLAIN: dict[str, Any] = {
    "choices": [
        {"index": index, "finish_reason": "stop", "text": "5",
         "logprobs": {"tokens": ["5"], "token_logprobs": [-0.5], "top_logprobs": [{"5": -0.5}]}}
        for index in range(2)
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 4},
}  # fmt: skip

ODD: list[Any] = [
    None, True, -1, 0, 2, 2**53, 2**64 - 1, -(2**63), 1e30, -1e308, 0.5, "", "x", "é" * 70_000,
    "\0\x1b[2J", [], {}, [[]], [None], {"": None}, [-1], [256, 1e9], 5_000_000_000,
]  # fmt: skip
JSON = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)  # fmt: skip


class Scripted(Chaos):
    """A server that answers every request with the same bytes, and then hangs up."""

    payload = b""

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
        writer.write(self.payload)
        return False


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    running = Scripted()
    with running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def short_backoff() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "FIRST_BACKOFF", 0.002)
        yield


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a JSON value."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, each in value.items():
            yield (*at, name)
            yield from places(each, (*at, name))


def changed(reply: dict[str, Any], at: tuple[Any, ...], value: object) -> dict[str, Any]:
    found = copy.deepcopy(reply)
    inner: Any = found
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    return found


def http(content: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    length = str(len(content)).encode()
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n" + headers + (
        b"\r\n" + content
    )  # fmt: skip


def check(server: Scripted, store: Store, *, chat: bool = True, top: int = 0) -> None:
    """Ask for two samples, store what comes, and read it again."""
    journal = store.path.with_name("spending.jsonl")
    values = {"model": "openai:m", "base_url": server.url, "api_key_env": None, "chat": chat,
              "retries": 1, "deadline": 0.1, "timeout": 5.0, "prompt_price": 1.0}  # fmt: skip
    request = Request(prompt="2 + 3?", samples=(0, 1), temperature=1.0, top_logprobs=top)
    control = Runtime(Budget(journal=journal))
    teacher = OpenAIModel(OpenAISettings.model_validate(values), control)
    found: list[Completion] = []
    try:
        found.extend(teacher.complete([request]))
    except ModelError as error:
        assert str(error).isprintable()  # an error that says no request can succeed
    else:
        assert sorted(each.sample for each in found) == [0, 1]
    assert control.budget.in_flight.tokens == 0
    assert control.budget.spent.tokens >= 0 and control.budget.spent.usd >= 0
    Budget(journal=journal)
    control.close()
    journal.unlink(missing_ok=True)
    store.add_completions("m", found, stage="generate")
    kept = {each.completion.sample: each for each in store.completions("m", request)}
    for completion in found:
        if completion.error is not None:
            assert completion.finish_reason == "error" and completion.error.isprintable()
            continue
        if completion.logprobs is not None:
            assert completion.logprobs.logprobs.max(initial=0) < 0.02, "no probability"
        again = kept[completion.sample].completion
        assert (again.text, again.thinking) == (completion.text, completion.thinking)
        assert min(again.prompt_tokens, again.completion_tokens, again.cost) >= 0


MANY = settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@MANY
@given(at=st.sampled_from(list(places(CHAT))), value=JSON, top=st.sampled_from([0, 1, 2]))
@example(at=("usage", "prompt_tokens"), value=1e30, top=0)
@example(at=("usage", "completion_tokens"), value=-(2**63), top=0)
@example(at=("choices", 0, "message", "reasoning_content"), value={"a": 1}, top=0)
@example(at=("choices", 0, "logprobs", "content", 0, "bytes"), value=5_000_000_000, top=2)
@example(at=("choices", 0, "logprobs", "content", 0, "bytes"), value=[53] * 70_000, top=2)
def test_a_chat_answer_with_one_thing_wrong(
    server: Scripted, store: Store, at: tuple[Any, ...], value: object, top: int
) -> None:
    server.payload = http(orjson.dumps(changed(CHAT, at, value)))
    check(server, store, top=top)


@MANY
@given(at=st.sampled_from(list(places(PLAIN))), value=JSON, top=st.sampled_from([0, 1, 2]))
def test_an_answer_of_the_completions_route_with_one_thing_wrong(
    server: Scripted, store: Store, at: tuple[Any, ...], value: object, top: int
) -> None:
    server.payload = http(orjson.dumps(changed(PLAIN, at, value)))
    check(server, store, chat=False, top=top)


WORDS = st.sampled_from(["nan", "inf", "-1", "1e9", "²", "٣", "", "soon", "0.01",
                         "Mon, 01 Jan 2024 00:00:00 +9999999999999",
                         "Mon, 01 Jan 0001 00:00:00 +0000", "999999999999999999999"])  # fmt: skip
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Retry-After", "retry-after-ms", "Content-Type", "Content-Encoding",
                         "Transfer-Encoding", "Content-Length", "Location", "Set-Cookie"]),
        WORDS | st.text(max_size=10) | st.sampled_from(["gzip", "br", "chunked", "deflate"]),
    ),
    max_size=3,
)  # fmt: skip


@MANY
@given(
    status=st.integers(100, 999), headers=HEADERS,
    content=st.binary(max_size=40) | JSON.map(orjson.dumps)
    | JSON.map(lambda value: orjson.dumps({"error": value})),
)  # fmt: skip
@example(status=503, headers=[("retry-after-ms", "nan")], content=b"")
@example(status=429, headers=[("retry-after-ms", "nan")], content=b"")
@example(status=503, headers=[("Retry-After", "Mon, 01 Jan 2024 00:00:00 +9999999999999")],
         content=b"")  # fmt: skip
@example(status=400, headers=[], content=b'{"error": {"message": "\\u001b]0;owned\\u0007"}}')
def test_any_status_headers_and_content(
    server: Scripted,
    store: Store,
    status: int,
    headers: list[tuple[str, str]],
    content: bytes,
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    server.payload = http(content, f"{status} x".encode(), lines.encode(errors="replace"))
    check(server, store)


@MANY
@given(payload=st.binary(max_size=80) | st.binary(max_size=40).map(lambda x: b"HTTP/1.1 200 " + x))
def test_any_bytes_at_all(server: Scripted, store: Store, payload: bytes) -> None:
    server.payload = payload
    check(server, store)
