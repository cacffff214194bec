"""The client of OpenAI-compatible servers, against a real server on this machine."""

import json
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest
from loopback import Body, Fault, Loopback, scripted

from potstill.errors import AuthError, ConfigError, ModelError, ServerError
from potstill.models.openai import client, http_errors
from potstill.models.openai.cost import FRAME_TOKENS, TURN_TOKENS
from potstill.models.openai.logprobs import token_logprobs
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.responses import shares
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Message, Request, TokenLogprobs
from potstill.runtime import Runtime


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def model(server: Loopback, **settings: Any) -> OpenAIModel:
    values = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None} | settings
    return OpenAIModel(OpenAISettings.model_validate(values))


def ask(teacher: OpenAIModel, **fields: Any) -> list[Completion]:
    request = Request(**({"prompt": "2 + 3?"} | fields))
    return sorted(teacher.complete([request]), key=lambda found: found.sample)


def answer_with(server: Loopback, *choices: Any) -> None:
    server.answerer = lambda body: list(choices)


def chat_choice(content: str | None, reason: str | None = "stop", **message: object) -> Body:
    return {"message": {"content": content, **message}, "finish_reason": reason}


def entry(token: str, logprob: float | None, data: bytes | None = None, top: Any = ()) -> Body:
    name = None if data is None else list(data)
    return {"token": token, "logprob": logprob, "bytes": name, "top_logprobs": list(top)}


def names(record: TokenLogprobs) -> list[list[bytes]]:
    assert record.lengths is not None
    found, start = [], 0
    for row in record.lengths.tolist():
        found.append(
            [record.token_bytes[start + sum(row[:n]) :][: row[n]] for n in range(len(row))]
        )
        start += sum(row)
    return found


def test_a_chat_request_says_everything_that_was_asked_for(server: Loopback) -> None:
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="2 + 3?"))
    found = ask(model(server), prompt=turns, samples=(0, 1), temperature=0.7, top_p=0.9,
                max_tokens=99, stop=("\n\n",))  # fmt: skip
    body = server.bodies[0]
    assert body.pop("seed") < 2**31
    assert body == {
        "model": "tiny", "n": 2, "temperature": 0.7, "top_p": 0.9, "max_tokens": 99,
        "stop": ["\n\n"], "messages": [{"role": "system", "content": "Be brief."},
                                       {"role": "user", "content": "2 + 3?"}],
    }  # fmt: skip
    assert server.paths == ["/v1/chat/completions"]
    assert [completion.sample for completion in found] == [0, 1]
    assert all(completion.finish_reason == "stop" for completion in found)
    assert found[0].text != found[1].text


def test_the_completions_route_takes_the_prompt_and_the_prefix_as_text(server: Loopback) -> None:
    [found] = ask(model(server, chat=False), prompt="Q: 2 + 3?\nA:", answer_prefix=" First")
    assert server.paths == ["/v1/completions"]
    assert server.bodies[0]["prompt"] == "Q: 2 + 3?\nA: First"
    assert found.text.endswith(".")


def test_an_answer_prefix_on_the_chat_route_is_a_message_to_be_continued(server: Loopback) -> None:
    ask(model(server), answer_prefix="First, ")
    body = server.bodies[0]
    assert body["messages"][-1] == {"role": "assistant", "content": "First, "}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_messages_on_the_completions_route_are_refused(server: Loopback) -> None:
    with pytest.raises(ConfigError, match="chat messages cannot be sent"):
        ask(model(server, chat=False), prompt=(Message(role="user", content="?"),))


def test_body_settings_win_and_null_leaves_a_field_out(server: Loopback) -> None:
    ask(model(server, body={"max_tokens": None, "top_k": 5}), temperature=1.0)
    assert "max_tokens" not in server.bodies[0]
    assert server.bodies[0]["top_k"] == 5


def test_a_sample_is_the_same_draw_whichever_siblings_it_is_asked_with(server: Loopback) -> None:
    teacher = model(server)
    together = ask(teacher, samples=(0, 1, 2, 3), temperature=1.0)
    apart = ask(teacher, samples=(1, 3), temperature=1.0)
    assert [found.text for found in apart] == [together[1].text, together[3].text]


def test_a_server_that_ignores_n_is_asked_again_for_the_rest(server: Loopback) -> None:
    together = ask(model(server), samples=(0, 1, 2), temperature=1.0)
    server.largest_n = 1
    server.bodies.clear()
    assert [found.text for found in ask(model(server), samples=(0, 1, 2), temperature=1.0)] == [
        found.text for found in together
    ]
    assert [body.get("n", 1) for body in server.bodies] == [3, 1, 1]


def test_choices_are_matched_by_their_index(server: Loopback) -> None:
    answer_with(server, {**chat_choice("b"), "index": 1}, {**chat_choice("a"), "index": 0})
    assert [found.text for found in ask(model(server), samples=(4, 5))] == ["a", "b"]


def test_probabilities_keep_tokens_of_the_same_text_apart(server: Loopback) -> None:
    top = [entry("\ufffd", -0.5, b"\xf0\x9f"), entry("\ufffd", -1.5, b"\xf0\x9e")]
    content = [entry("\ufffd", -0.5, b"\xf0\x9f", top), entry("\ufffd", -0.1, b"\x98\x80", top[:1])]
    answer_with(server, {**chat_choice("😀"), "logprobs": {"content": content}})
    [found] = ask(model(server), top_logprobs=2)
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 2)
    assert found.logprobs is not None
    rows = names(found.logprobs)
    assert rows == [[b"\xf0\x9f", b"\xf0\x9f", b"\xf0\x9e"], [b"\x98\x80", b"\xf0\x9f", b""]]
    assert (rows[0][0] + rows[1][0]).decode() == "😀"
    expected = np.array([[-0.5, -0.5, -1.5], [-0.1, -0.5, -np.inf]], np.float32)
    np.testing.assert_array_equal(found.logprobs.logprobs, expected)


def test_the_completions_route_s_dictionaries_are_read(server: Loopback) -> None:
    logprobs = {
        "tokens": [" 5", "bytes:\\xe2\\x80"], "token_logprobs": [-0.25, None],
        "top_logprobs": [{" 6": -2.0, " 5": -0.25, " 7": -3.0}, {"x": -9999.0}],
    }  # fmt: skip
    answer_with(server, {"text": " 5…", "finish_reason": "length", "logprobs": logprobs})
    [found] = ask(model(server, chat=False), top_logprobs=2)
    assert server.bodies[0]["logprobs"] == 2
    assert found.finish_reason == "length"
    assert found.logprobs is not None
    assert names(found.logprobs) == [[b" 5", b" 5", b" 6"], [b"\xe2\x80", b"x", b""]]
    infinite = -np.inf
    expected = np.array([[-0.25, -0.25, -2.0], [infinite] * 3], np.float32)
    np.testing.assert_array_equal(found.logprobs.logprobs, expected)


def test_likeliest_tokens_out_of_order_are_sorted_with_their_names() -> None:
    top = [entry("c", -3.0), entry("a", -1.0), entry("bb", -2.0)]
    record = token_logprobs([entry("c", -3.0, None, top), entry("a", -1.0, None, top)], 3)
    assert names(record) == [[b"c", b"a", b"bb", b"c"], [b"a", b"a", b"bb", b"c"]]
    assert record.logprobs[:, 1:].tolist() == [[-1.0, -2.0, -3.0]] * 2


def test_a_server_without_probabilities_is_refused_when_they_are_asked_for(
    server: Loopback,
) -> None:
    with pytest.raises(ModelError, match=r"127\.0\.0\.1.*gives no token prob.*top_logprobs to 0"):
        ask(model(server), top_logprobs=5)


def test_a_refusal_without_probabilities_takes_no_other_answer_with_it(server: Loopback) -> None:
    answer_with(server, chat_choice(None, refusal="I cannot."))
    [found] = ask(model(server), top_logprobs=5)
    assert (found.finish_reason, found.logprobs) == ("content_filter", None)


@pytest.mark.parametrize(
    ("choice", "text", "thinking", "reason"),
    [
        (chat_choice("5", reasoning_content="2, 3"), "5", "2, 3", "stop"),
        (chat_choice("5", reasoning="2, 3"), "5", "2, 3", "stop"),
        (chat_choice("<think>\n2, 3\n</think>\n\n5"), "5", "2, 3", "stop"),
        (chat_choice("<think>\n2, 3", "length"), "", "2, 3", "length"),
        (chat_choice("so <think>x</think> 5"), "so <think>x</think> 5", None, "stop"),
        (chat_choice(None, "length", reasoning="2, 3"), "", "2, 3", "length"),
        (chat_choice("5", None), "5", None, "stop"),
        (chat_choice("5", "eos"), "5", None, "stop"),
        (chat_choice("", "stop"), "", None, "stop"),
        (chat_choice("no", "content_filter"), "no", None, "content_filter"),
        (chat_choice(None, refusal="I cannot."), "I cannot.", None, "content_filter"),
    ],
)
def test_thinking_and_finish_reasons(
    server: Loopback, choice: Body, text: str, thinking: str | None, reason: str
) -> None:
    answer_with(server, choice)
    [found] = ask(model(server))
    assert (found.text, found.thinking, found.finish_reason) == (text, thinking, reason)


@pytest.mark.parametrize(
    "choices",
    [[chat_choice(None)], [chat_choice(None, "tool_calls")], [chat_choice("5", "abort")],
     [chat_choice("", None)], [{"finish_reason": "stop"}], [{"message": {"content": [5]}}]],
)  # fmt: skip
def test_an_answer_without_text_is_an_error_of_its_sample(
    server: Loopback, choices: list[Body]
) -> None:
    answer_with(server, *choices)
    [found] = ask(model(server))
    assert (found.finish_reason, found.text) == ("error", "")
    assert found.error


def test_an_answer_without_choices_is_an_error_of_its_sample(server: Loopback) -> None:
    answer_with(server)
    [found] = ask(model(server, retries=2))
    assert (found.finish_reason, found.error) == ("error", "the server's answer is empty")


def test_cost_counts_the_prompt_once_and_every_token(server: Loopback) -> None:
    server.usage = {"prompt_tokens": 1000, "completion_tokens": 11}
    answer_with(server, *[chat_choice("It is 5.")] * 3)
    found = ask(model(server, prompt_price=2.0, completion_price=10.0), samples=(0, 1, 2))
    assert [completion.completion_tokens for completion in found] == [4, 4, 3]
    assert [completion.prompt_tokens for completion in found] == [1000] * 3
    assert sum(completion.cost for completion in found) == pytest.approx(2e-3 + 11e-5)
    assert found[1].cost == pytest.approx(4e-5)
    server.usage = None
    [free, *_] = ask(model(server, prompt_price=2.0))
    assert (free.completion_tokens, free.prompt_tokens) == (0, 0)
    assert free.cost == pytest.approx((len("2 + 3?") + TURN_TOKENS + FRAME_TOKENS) * 2e-6)


def test_shares_hold_to_the_total() -> None:
    assert shares(10, [3, 4]) == [5, 5]
    assert shares(7, [3, 4]) == [3, 4]
    assert shares(5, [3, 4]) == [3, 2]


@pytest.mark.parametrize(
    "fault",
    [*(Fault(status=status) for status in sorted(http_errors.RETRIED)), Fault(reset=True),
     Fault(truncate=True), Fault(payload=b"[]"), Fault(payload=b'{"error": "busy"}')],
    ids=str,
)  # fmt: skip
def test_a_fault_that_may_pass_is_tried_again(server: Loopback, fault: Fault) -> None:
    server.faults = [fault, fault]
    [found] = ask(model(server, retries=2))
    assert found.finish_reason == "stop"
    assert len(server.bodies) == 3


def test_a_fault_that_stays_is_an_error_of_each_sample(server: Loopback) -> None:
    server.faults = [Fault(status=500, message="out of\nmemory")] * 3
    found = ask(model(server, retries=2), samples=(0, 1))
    assert [completion.error for completion in found] == ["HTTP 500: out of memory"] * 2


def test_a_timeout_is_tried_again(server: Loopback) -> None:
    server.faults = [Fault(delay=5.0)]
    [found] = ask(model(server, timeout=0.1))
    assert found.finish_reason == "stop"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_tried_again_and_the_others_go_on(
    server: Loopback, status: int
) -> None:
    server.faults = [Fault(status=status, message="too long " * 100)]
    requests = [Request(prompt=str(n)) for n in range(3)]
    found = list(model(server).complete(requests))
    errors = [completion.error for completion in found if completion.error]
    assert len(errors) == 1
    assert errors[0].startswith(f"HTTP {status}: too long") and len(errors[0]) < 330
    assert len(server.bodies) == 3


def test_retry_after_pauses_every_request(server: Loopback) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "0.4"})]
    requests = [Request(prompt=str(n)) for n in range(6)]
    found = list(model(server, concurrency=1).complete(requests))
    assert all(completion.finish_reason == "stop" for completion in found)
    assert min(later - server.times[0] for later in server.times[1:]) >= 0.39


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert http_errors.retry_after({"retry-after-ms": "250", "Retry-After": "9"}) == 0.25
    assert http_errors.retry_after({"Retry-After": "3"}) == 3.0
    date = formatdate(time.time() + 30, usegmt=True)
    assert 28 < http_errors.retry_after({"Retry-After": date}) <= 30
    assert http_errors.retry_after({"Retry-After": "soon"}) == 0
    assert http_errors.retry_after({"Retry-After": "99999"}) == 99999
    assert http_errors.retry_after({"Retry-After": "1" * 400}) == 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("wait", "deadline", "most"),
    [("86400", 8.0, "0:08"), ("86400", 99999.0, "1:00:00"), ("9", 8.0, "0:08")],
)
def test_a_pause_that_nobody_would_wait_for_ends_the_command(
    server: Loopback, status: int, wait: str, deadline: float, most: str
) -> None:
    answer_with(server, "5")
    server.faults = [Fault(), Fault(status=status, headers={"Retry-After": wait})]
    teacher = model(server, deadline=deadline, concurrency=1)
    with pytest.raises(ServerError) as caught:
        list(teacher.complete([Request(prompt=str(n)) for n in range(9)]))
    asked = "24:00:00" if wait == "86400" else "0:09"
    assert f"asks to be left alone for {asked} (HTTP {status}" in str(caught.value)
    assert f"longer than the {most} that are waited at most" in str(caught.value)
    assert len(server.bodies) <= 3


def test_the_view_tells_of_a_pause(server: Loopback) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "0.4"})]
    runtime = Runtime()
    settings = OpenAISettings(model="openai:tiny", base_url=server.url, api_key_env=None)
    asking = OpenAIModel(settings, runtime)
    notes: list[str] = []

    def note() -> None:
        while not notes:
            notes.extend(runtime.events.notes.values())

    watching = threading.Thread(target=note, daemon=True)
    watching.start()
    assert [one.finish_reason for one in asking.complete([Request(prompt="2 + 3?")])] == ["stop"]
    watching.join(5)
    assert notes[0].startswith("paused until ") and server.url in notes[0]
    assert runtime.events.notes == {}, "and no longer than it lasts"


def test_a_refused_key_names_the_variable_and_never_the_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-wrong-secret")
    server.key = "sk-right"
    teacher = model(server, api_key_env="TEACHER_KEY")
    with pytest.raises(AuthError, match="refused the key in TEACHER_KEY") as caught:
        ask(teacher)
    told = "".join(traceback.format_exception(caught.value)) + repr(teacher) + teacher.name
    assert "secret" not in told
    monkeypatch.setenv("TEACHER_KEY", "sk-right")
    assert ask(model(server, api_key_env="TEACHER_KEY"))[0].finish_reason == "stop"


def test_a_missing_key_is_an_error_except_on_this_machine(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    assert ask(model(server, api_key_env="TEACHER_KEY"))[0].finish_reason == "stop"
    with pytest.raises(AuthError, match="set the environment variable TEACHER_KEY"):
        model(server, api_key_env="TEACHER_KEY", base_url="https://example.org/v1")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(status=404), "does not know the model 'tiny'"),
        (Fault(status=302, headers={"Location": "http://elsewhere/"}), "redirects to"),
        (Fault(status=402), "wants to be paid"),
    ],
)
def test_a_fault_of_every_request_is_raised(server: Loopback, fault: Fault, message: str) -> None:
    server.faults = [fault]
    with pytest.raises(ServerError, match=message):
        ask(model(server))


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_told_in_one_line(server: Loopback) -> None:
    with pytest.raises(ServerError, match=r"cannot reach .* check base_url") as caught:
        ask(model(server, base_url=f"http://127.0.0.1:{unused_port()}/v1"))
    assert "\n" not in str(caught.value)


def test_a_server_that_dies_does_not_turn_every_question_into_an_error() -> None:
    found = []
    with Loopback() as server:
        completions = model(server, concurrency=1, retries=3).complete(
            Request(prompt=str(n)) for n in range(1000)
        )
        found += [next(completions) for _ in range(5)]
    with pytest.raises(ServerError, match="not reached any more"):
        found += completions
    assert len(found) < 20
    assert all(completion.finish_reason == "stop" for completion in found)


def test_requests_that_all_fail_end_the_run(server: Loopback) -> None:
    server.faults = [Fault(status=500)] * 1000
    with pytest.raises(ServerError, match="requests in a row"):
        list(model(server, retries=0).complete(Request(prompt=str(n)) for n in range(500)))


def test_no_more_than_the_concurrency_is_in_flight_and_requests_are_taken_lazily(
    server: Loopback,
) -> None:
    server.delay = 0.01
    taken = 0

    def requests() -> Iterator[Request]:
        nonlocal taken
        for taken in range(1, 100_001):
            yield Request(prompt=str(taken))

    completions = model(server, concurrency=4).complete(requests())
    assert len([next(completions) for _ in range(40)]) == 40
    assert taken <= 40 + 2 * 4 + 1
    assert isinstance(completions, Iterator)
    getattr(completions, "close")()  # noqa: B009 - an iterator by its type, a generator by nature
    assert server.most_in_flight == 4


def test_answers_that_are_not_stored_count_as_in_flight(server: Loopback) -> None:
    requests = [Request(prompt=str(number)) for number in range(40)]
    stored = 0
    for group in model(server, concurrency=4).complete_in_groups(requests):
        time.sleep(0.05)  # while it is being stored, the server answers all that it is sent
        assert len(server.bodies) <= stored + 4
        stored += len(group)
    assert stored == 40


def test_an_answer_does_not_wait_for_those_of_its_other_samples(server: Loopback) -> None:
    server.largest_n = 1
    server.faults = [Fault(), Fault(delay=30.0)]
    request = Request(prompt="2 + 3?", samples=(0, 1), temperature=1.0)
    groups = model(server).complete_in_groups([request])
    assert [found.sample for found in next(groups)] == [0]
    groups.close()


@pytest.mark.timeout(60)
def test_closing_gives_up_what_is_in_flight_and_ends_the_thread(server: Loopback) -> None:
    completions = model(server).complete([Request(prompt=str(n)) for n in range(5)])
    server.faults = [Fault(), *[Fault(delay=1000.0)] * 4]
    next(completions)
    arriving = time.monotonic() + 5
    while server.in_flight < 4 and time.monotonic() < arriving:
        time.sleep(0.01)
    start = time.monotonic()
    getattr(completions, "close")()  # noqa: B009
    assert "potstill-openai" not in {thread.name for thread in threading.enumerate()}
    while server.in_flight and time.monotonic() - start < 5:
        time.sleep(0.01)
    assert server.cancelled == 4


def test_the_name_tells_what_determines_the_answers() -> None:
    def name(**settings: Any) -> str:
        values = {"model": "openai:m", "base_url": "http://localhost:8000/v1/"} | settings
        return OpenAIModel(OpenAISettings.model_validate(values)).name

    assert name() == "openai:m@localhost:8000/v1"
    assert name(chat=False) == "openai:m@localhost:8000/v1/completions"
    assert name(body={"top_k": 5}) != name(body={"top_k": 6})


@pytest.mark.parametrize("url", ["http://me:pw@localhost/v1", "localhost/v1", "http://h/v1?a=b"])
def test_a_base_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        OpenAIModel(OpenAISettings(model="openai:m", base_url=url))
    assert "me:pw" not in str(caught.value)


def test_the_server_s_log_has_a_line_for_every_answer(tmp_path: Any) -> None:
    with Loopback(scripted, log=tmp_path / "log") as server:
        ask(model(server), samples=(0, 1))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"prompt": "2 + 3?", "seed": None, "n": 2}]


@pytest.mark.slow
def test_the_bundled_teacher_behind_a_server() -> None:
    from loopback import bundled

    with Loopback(bundled()) as server:
        [found] = ask(model(server), prompt="Ann has 3 pens and buys 4 more. How many has she?")
    assert found.finish_reason == "stop" and found.text
