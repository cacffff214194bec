"""Replies of real servers, also odd, incomplete or contradictory ones, are read correctly."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes import context_of
from loopback import Body, Fault, Loopback

from potstill.models.finish_reasons import finish_reason_of
from potstill.models.openai import client
from potstill.models.openai.lenient_json import read_json
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.sampling.ask import complete_missing
from potstill.store import Store


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def model(server: Loopback, runtime: Runtime | None = None, **settings: Any) -> OpenAIModel:
    values = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None, **settings}
    return OpenAIModel(OpenAISettings.model_validate(values), runtime)


def ask(teacher: OpenAIModel, **fields: Any) -> Completion:
    [completion] = teacher.complete([Request(**({"prompt": "2 + 3?"} | fields))])
    return completion


def choice(content: Any, reason: Any = "stop", **message: Any) -> Body:
    return {"message": {"content": content, **message}, "finish_reason": reason}


def answer_with(server: Loopback, *choices: Body) -> None:
    server.answerer = lambda body: list(choices)


# why a text ended --------------------------------------------------------------------------------

REASONS: dict[str, list[object]] = {
    "stop": ["stop", "STOP", "eos", "eos_token", "EOS_TOKEN", "end_turn", "endTurn", "COMPLETE",
             "stop_sequence", "FinishReason.STOP", "<FinishReason.STOP: 1>", "FINISH_REASON_STOP",
             ["stop"], " Stop ", {"type": "stop"}, "word"],
    "length": ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "maxTokens", "max-tokens",
               "FinishReason.MAX_TOKENS", "<FinishReason.MAX_TOKENS: 2>", "FINISH_REASON_LENGTH",
               "model_length", "max_output_tokens", "model_context_window_exceeded",
               "MAX_OUTPUT_TOKENS_REACHED", {"reason": "length"}, "finish_reason: length",
               "truncated", "stop: max_tokens", "stop:length", {"finish_reason": "length"}],
    "content_filter": ["content_filter", "SAFETY", "FinishReason.RECITATION", "sensitive",
                       "PROHIBITED_CONTENT", "SPII", "contentFilter", "guardrail_intervened",
                       "output_content_filtered"],
    "tool_calls": ["tool_calls", "function_call", "tool_use", "MALFORMED_FUNCTION_CALL"],
    "error": ["error", "abort", "Cancelled", "insufficient_system_resource", "network_error",
              "upstream_error", "TIMEOUT"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "reason"),
    [(written, reason) for reason, spellings in REASONS.items() for written in spellings],
    ids=str,
)
def test_reasons_are_known_in_every_spelling(written: object, reason: str) -> None:
    assert finish_reason_of(written) == reason


def test_no_reason_is_none_and_an_unknown_one_is_itself() -> None:
    absent: list[object] = [None, "", "null", "None", {}]
    assert [finish_reason_of(given) for given in absent] == [None] * 5
    assert finish_reason_of("pondered\x1b enough") == "pondered  enough"
    assert finish_reason_of(7) == "7"
    assert finish_reason_of("stop: quota") == "stop: quota"
    assert finish_reason_of({"why": 5}) == "{'why': 5}"
    # A page in a reason's place is not searched, which would take hours.
    assert finish_reason_of("max" * 1_000_000) == ("max" * 22)[:64]
    assert len(finish_reason_of("x" * 999) or "") == 64


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (choice("so 5", "MAX_TOKENS"), "length"),
        (choice("so 5", "pondered"), "pondered"),
        (choice("so 5", "tool_calls"), "tool_calls"),
        (choice("so 5", "insufficient_system_resource"), "error"),
        ({**choice("so 5", None), "native_finish_reason": "MAX_TOKENS"}, "length"),
        ({**choice("so 5", "stop"), "native_finish_reason": "MAX_TOKENS"}, "length"),
        ({**choice("so 5", "other"), "native_finish_reason": "SAFETY"}, "content_filter"),
        ({**choice("so 5", "stop"), "stop_reason": "length"}, "stop"),
        ({**choice("so 5", "stop"), "stop_reason": "Error:"}, "stop"),
        ({**choice("so 5", "stop"), "native_finish_reason": "error"}, "error"),
        ({**choice("so 5", "stop"), "native_finish_reason": "cancelled"}, "error"),
        ({**choice("so 5", "stop"), "finish_details": {"type": "max_tokens"}}, "length"),
        ({**choice("so 5", "stop"), "native_finish_reason": "OTHER"}, "OTHER"),
        ({**choice("so 5", "stop"), "native_finish_reason": "end_turn"}, "stop"),
        ({**choice("so 5", "stop"), "native_finish_reason": None}, "stop"),
        (choice("so 5", None), "stop"),
    ],
)
def test_only_a_text_that_ended_by_itself_is_whole(
    server: Loopback, given: Body, reason: str
) -> None:
    answer_with(server, given)
    assert ask(model(server)).finish_reason == reason


def test_an_unknown_end_is_said_with_the_first_answer_and_once(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    answer_with(server, choice("so 5", "pondered"))
    asked = model(server)
    ask(asked)
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 1
    assert "'pondered', which potstill does not know" in words[0]
    caplog.clear()
    answer_with(server, choice("so 5", "stop"))
    ask(model(server))
    assert caplog.records == []


@pytest.mark.parametrize("reason", [None, "pondered"])
def test_a_text_as_long_as_allowed_was_cut_where_nothing_says_why_it_ended(
    server: Loopback, reason: str | None
) -> None:
    server.usage = {"prompt_tokens": 5, "completion_tokens": 30}
    answer_with(server, choice("2 + 3 is", reason))
    assert ask(model(server), max_tokens=30).finish_reason == "length"
    assert ask(model(server), max_tokens=31).finish_reason == (reason or "stop")


def test_a_larger_limit_asks_again_for_what_may_be_cut(server: Loopback, tmp_path: Path) -> None:
    reasons = {"a": "pondered", "b": "LENGTH", "c": "stop", "d": "tool_use", "e": "refusal"}
    server.answerer = lambda body: [choice("5", reasons[body["messages"][0]["content"]])]
    with Store(tmp_path / "run.sqlite") as store:
        for limit in (16, 16, 32, 16):
            complete_missing(
                model(server), [Request(prompt=name, max_tokens=limit) for name in reasons],
                context_of(store), label="asking", stage="generate",
            )  # fmt: skip
    asked = [(body["messages"][0]["content"], body["max_tokens"]) for body in server.bodies]
    assert sorted(asked[:5]) == [(name, 16) for name in reasons]
    assert sorted(asked[5:]) == [("a", 32), ("b", 32)]


@pytest.mark.parametrize(
    ("text", "stops", "kept", "reason"),
    [
        ("3 + 4", ("4",), "3 + ", "stop"),
        ("so 7\n\nQ: and", ("\n\n", "Q:"), "so 7", "stop"),
        ("so 7 Q", ("Q:",), "so 7 Q", "length"),
        ("ab cd", ("cd", "b c"), "a", "stop"),
        ("so 7", ("",), "so 7", "length"),
    ],
)
def test_a_stop_string_that_the_server_leaves_in_the_text_ends_it(
    server: Loopback, text: str, stops: tuple[str, ...], kept: str, reason: str
) -> None:
    answer_with(server, choice(text, "length"))
    found = ask(model(server), stop=stops)
    assert (found.text, found.finish_reason) == (kept, reason)


# what stands in a choice -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text", "thinking"),
    [
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "2, 3"}]},
          {"type": "text", "text": "It is "}, {"type": "text", "text": "5."}], "It is 5.", "2, 3"),
        ([{"type": "reasoning", "text": "2, 3"}, {"type": "output_text", "text": "5"}],
         "5", "2, 3"),
        ([{"type": "text", "text": "5"}, {"type": "reference", "reference_ids": [1]}], "5", None),
        (["It is ", "5."], "It is 5.", None),
        ({"type": "text", "text": "5"}, "5", None),
        ([{"text": "5"}], "5", None),
        ([{"type": "text", "text": {"value": "5", "annotations": []}}], "5", None),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "2, 3"}]},
          {"type": "output_text", "text": "5"}], "5", "2, 3"),
        ([{"type": "thinking", "thinking": "2"}, {"type": "thinking", "thinking": "3"}, "5"],
         "5", "23"),
        ([{"text": "2, 3", "thought": True}, {"text": "5"}], "5", "2, 3"),
    ],
)  # fmt: skip
def test_content_in_parts_is_joined(
    server: Loopback, content: Any, text: str, thinking: str | None
) -> None:
    answer_with(server, choice(content))
    found = ask(model(server))
    assert (found.text, found.thinking, found.finish_reason) == (text, thinking, "stop")


def test_a_refusal_among_parts_is_one(server: Loopback) -> None:
    answer_with(server, choice([{"type": "refusal", "refusal": "I cannot."}]))
    found = ask(model(server))
    assert (found.text, found.finish_reason) == ("I cannot.", "content_filter")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (choice([{"type": "hologram", "text": "5"}]), "unknown kind 'hologram'"),
        (choice([{"type": "image_url", "image_url": {}}]), "no text"),
        (choice([5]), "not text"),
        (choice("", reasoning_content="2, 3"), "thinking alone"),
        (choice("\n", reasoning="2, 3"), "thinking alone"),
        (choice([{"type": "thinking", "thinking": "2, 3"}]), "thinking alone"),
        (choice("", reasoning_details=[{"text": "2, 3"}]), "no text"),
        (choice("", thinking="2, 3"), "no text"),
        (choice("", tool_calls=[{"id": "add"}]), "no text"),
        (choice({"parts": [{"text": "5"}]}), "a part without a text: ['parts']"),
        ({**choice("2 +"), "error": {"message": "upstream\nfell", "code": 502}}, "upstream fell"),
        (choice("2 +", "abort"), "finish_reason: abort"),
        ({**choice("2 +"), "native_finish_reason": "ERROR"}, "broke off (finish_reason: ERROR)"),
    ],
)
def test_a_choice_without_an_answer_is_an_error_that_says_why(
    server: Loopback, given: Body, words: str
) -> None:
    answer_with(server, given)
    found = ask(model(server))
    assert found.finish_reason == "error"
    assert words in str(found.error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"message": "upstream fell", "code": 502}, "upstream fell"),
        ({"code": 0, "message": "the model was unloaded"}, "the model was unloaded"),
        ({"code": "overloaded"}, "overloaded"),
        ({"type": "server_error"}, "server_error"),
        ("broken off", "broken off"),
        (["broken off"], "broken off"),
        (True, "True"),
        (None, None),
        ("", None),
        ({}, None),
        (False, None),
        ({"code": 0, "message": ""}, None),
        ({"code": None, "message": None, "type": None}, None),
        ({"code": "200", "message": "Success"}, None),
    ],
)
def test_an_error_beside_the_choices_is_one_of_every_choice(
    server: Loopback, error: object, words: str | None
) -> None:
    whole = {"choices": [choice("It is 5."), choice("It is 6.")], "error": error}
    server.faults = [Fault(payload=json.dumps(whole).encode())]
    found = list(model(server).complete([Request(prompt="2 + 3?", samples=(0, 1))]))
    assert len(server.bodies) == 1
    if words is None:
        assert [completion.text for completion in found] == ["It is 5.", "It is 6."]
    else:
        assert [completion.finish_reason for completion in found] == ["error", "error"]
        assert all(words in str(completion.error) for completion in found)


# an answer's bytes -------------------------------------------------------------------------------

GOOD = {"choices": [choice("It is 5.")], "usage": {"prompt_tokens": 7, "completion_tokens": 9}}
PLAIN = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbf" + PLAIN, "It is 5."),
        (b"\n\n \n" + PLAIN + b"\n\n", "It is 5."),
        (PLAIN + b"\0\0", "It is 5."),
        (PLAIN.replace(b"message", b"delta"), "It is 5."),
        (b": waiting\n\n: waiting\n\n" + PLAIN, "It is 5."),
        (PLAIN.decode().encode("utf-16"), "It is 5."),
        (PLAIN.replace(b"5.", b"5 \\ud83d."), "It is 5 \ufffd."),
        (PLAIN.replace(b"5.", b"5 \\ude00\\ud83d."), "It is 5 \ufffd\ufffd."),
        (PLAIN.replace(b"5.", b"5 \\ud83d\\ude00."), "It is 5 \U0001f600."),
        (PLAIN.replace(b"5.", b"5\n\t."), "It is 5\n\t."),
        (PLAIN.replace(b"5.", b"5 \xe9t\xe9."), "It is 5 été."),
        (PLAIN.replace(b"5.", "5 \xe9".encode() + b"\xe2\x82."), "It is 5 é\ufffd."),
        (PLAIN[:-1] + b', "score": NaN, "low": -Infinity, "high": Infinity}', "It is 5."),
    ],
)
def test_json_that_is_not_quite_is_read_at_the_first_try(
    server: Loopback, content: bytes, text: str
) -> None:
    server.faults = [Fault(payload=content)]
    found = ask(model(server))
    assert (found.text, found.completion_tokens, len(server.bodies)) == (text, 9, 1)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, PLAIN[:-9], b"\xff\xfe{", b"no"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(content)


@pytest.mark.parametrize(
    ("content", "words", "tries"),
    [
        (b'data: {"choices":[{"index":0,"delta":{"content":"5"}}]}\n\ndata: [DONE]\n\n',
         "event stream", 1),
        (b": waiting\n\nevent: message\ndata: {}\n\n", "event stream", 1),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page", 3),
        (b"\n<html>", "web page", 3),
        (b"\xef\xbb\xbf<p>Busy</p>", "web page", 3),
        (b"\xef\xbb\xbfdata: {}\n\n", "event stream", 1),
        (b'{"error": {"message": "model is loading"}}', "model is loading", 3),
        (b'{"choices": [], "error": {"message": "no credit"}}', "no credit", 3),
        (b'{"choices": []}', "empty", 3),
    ],
)  # fmt: skip
def test_what_comes_in_place_of_an_answer_is_named(
    server: Loopback, content: bytes, words: str, tries: int
) -> None:
    server.faults = [Fault(payload=content)] * 3
    found = ask(model(server, retries=2))
    assert words in str(found.error)
    assert len(server.bodies) == tries


def test_an_error_of_any_depth_is_one_line(server: Loopback) -> None:
    deep = b'{"error": ' + b'{"message": ' * 900 + b"1" + b"}" * 901
    server.faults = [Fault(payload=deep)]
    assert "message" in str(ask(model(server, retries=0)).error)
    assert orjson.loads(PLAIN) == read_json(PLAIN)
