"""Served requests as OpenTelemetry spans: names, attributes, errors, traces that go on, no text."""

import json
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

import openai
import pytest
from fakes_upstream import ALONE, QUESTION, REST, STEP, FakeUpstream, chat, served, settings_for

from potstill.errors import ConfigError, MissingExtraError

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from potstill.serve import spans
from potstill.serve.spans import CONTENT, span_processor

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Takes the spans of the servers of a test, in place of a collector."""
    kept = InMemorySpanExporter()
    monkeypatch.setattr(spans, "span_processor", lambda: SimpleSpanProcessor(kept))
    monkeypatch.delenv(CONTENT, raising=False)
    yield kept


def by_role(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The finished spans: the request's as ``request``, each call's by who was called."""
    return {
        str((span.attributes or {}).get("potstill.role", "request")): span
        for span in exporter.get_finished_spans()
    }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_guided_answer_is_a_span_with_one_for_each_call(
    student: FakeUpstream, teacher: FakeUpstream, exporter: InMemorySpanExporter
) -> None:
    with served(settings_for(student, teacher, telemetry=True, name="pens")) as running:
        answer = chat(running, model="pens", max_tokens=50)
    assert answer.choices[0].message.content == STEP + REST
    found = by_role(exporter)
    request, asked, written = found["request"], found["teacher"], found["student"]
    assert (request.name, request.kind) == ("chat pens", SpanKind.SERVER)
    assert (asked.name, asked.kind) == ("chat openai:tiny", SpanKind.CLIENT)
    assert request.context is not None
    assert {span.parent and span.parent.span_id for span in (asked, written)} == {
        request.context.span_id
    }
    own = attributes(request)
    assert own["gen_ai.operation.name"] == "chat" and own["gen_ai.provider.name"] == "potstill"
    assert own["gen_ai.request.model"] == own["gen_ai.response.model"] == "pens"
    # The teacher reads 5 words and writes 4, the student reads 5 + 4 and writes 7.
    assert (own["gen_ai.usage.input_tokens"], own["gen_ai.usage.output_tokens"]) == (14, 11)
    assert own["gen_ai.response.finish_reasons"] == ("stop",)
    assert own["gen_ai.request.max_tokens"] == 50
    assert (own["server.address"], own["server.port"]) == ("127.0.0.1", running.port)
    assert (own["potstill.guidance.policy"], own["potstill.guidance.outcome"]) == (
        "first",
        "guided",
    )
    assert own["gen_ai.response.id"].startswith("req_") and "error.type" not in own
    calls = attributes(asked), attributes(written)
    assert [call["gen_ai.usage.input_tokens"] for call in calls] == [5, 9]
    assert [call["gen_ai.usage.output_tokens"] for call in calls] == [4, 7]
    assert [call["server.port"] for call in calls] == [teacher.port, student.port]
    assert {call["server.address"] for call in calls} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("wanted", "is_shown"),
    [
        ("", False),
        ("NO_CONTENT", False),
        ("EVENT_ONLY", False),
        ("SPAN_ONLY", True),
        ("True", True),
    ],
)
def test_no_text_stands_in_a_span_unless_it_is_wanted(
    wanted: str,
    is_shown: bool,
    student: FakeUpstream,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CONTENT, wanted)
    with served(settings_for(student, telemetry=True)) as running:
        chat(running)
    found = by_role(exporter)
    assert found.keys() == {"request", "student"}
    everything = "".join(span.to_json() for span in found.values())
    assert (QUESTION[0]["content"] in everything) == (ALONE in everything) == is_shown
    for span in found.values() if is_shown else ():
        assert json.loads(attributes(span)["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": QUESTION[0]["content"]}]}
        ]
        (message,) = json.loads(attributes(span)["gen_ai.output.messages"])
        assert message["parts"] == [{"type": "text", "content": ALONE}]
        assert message["finish_reason"] == "stop"


def test_a_trace_that_a_client_names_goes_on(
    student: FakeUpstream, exporter: InMemorySpanExporter
) -> None:
    with served(settings_for(student, telemetry=True)) as running:
        header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        stream = chat(running, stream=True, extra_headers=header)
        assert "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
        running.client.completions.create(
            model="openai:tiny", prompt="Q: 20 + 22?\nA:", n=2, extra_headers=header
        )
    found = exporter.get_finished_spans()
    assert {format(span.context.trace_id, "032x") for span in found if span.context} == {TRACE}
    served_spans = [span for span in found if span.kind == SpanKind.SERVER]
    assert {format(span.parent.span_id, "016x") for span in served_spans if span.parent} == {PARENT}
    streamed, text = served_spans
    assert attributes(streamed)["gen_ai.response.finish_reasons"] == ("stop",)
    assert text.name == "text_completion openai:tiny"
    assert attributes(text)["gen_ai.request.choice.count"] == 2
    assert attributes(text)["gen_ai.response.finish_reasons"] == ("stop", "stop")


def test_failures_have_their_type_and_none_of_an_upstreams_words(
    student: FakeUpstream, exporter: InMemorySpanExporter
) -> None:
    student.status, student.echo = 500, True
    with served(settings_for(student, telemetry=True)) as running:
        with pytest.raises(openai.InternalServerError):
            chat(running)
        with pytest.raises(openai.BadRequestError):
            chat(running, temperature=9)
    found = exporter.get_finished_spans()
    call = next(span for span in found if span.kind == SpanKind.CLIENT)
    assert attributes(call)["error.type"] == "failed"
    assert call.status.status_code == StatusCode.ERROR
    failed, refused = (span for span in found if span.kind == SpanKind.SERVER)
    assert attributes(failed)["error.type"] == "502"
    assert failed.status.status_code == StatusCode.ERROR
    assert attributes(refused)["error.type"] == "400"
    assert refused.status.status_code == StatusCode.UNSET  # the client's mistake
    assert QUESTION[0]["content"] not in "".join(span.to_json() for span in found)


def test_a_teacher_that_fails_is_a_span_of_its_own_in_an_answer_that_is_none(
    student: FakeUpstream, teacher: FakeUpstream, exporter: InMemorySpanExporter
) -> None:
    teacher.status = 500
    with served(settings_for(student, teacher, telemetry=True)) as running:
        assert chat(running).choices[0].message.content == ALONE
    found = by_role(exporter)
    assert attributes(found["teacher"])["error.type"] == "failed"
    assert "error.type" not in attributes(found["request"])
    assert attributes(found["request"])["potstill.guidance.outcome"] == "silent"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER is 'zipkin'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "the OTLP protocol is 'http/json'"),
    ],
)
def test_variables_that_cannot_be_followed_are_said(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        span_processor()


def test_the_usual_variables_choose_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    processor = span_processor()
    assert processor is not None
    processor.shutdown()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert span_processor() is None
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc", None)
    with pytest.raises(
        MissingExtraError, match="pip install opentelemetry-exporter-otlp-proto-grpc"
    ):
        span_processor()


def test_a_collector_that_hangs_does_not_keep_the_server_from_stopping(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Event()

    class Hanging(InMemorySpanExporter):
        def shutdown(self) -> None:
            go_on.wait(30)

    monkeypatch.setattr(spans, "span_processor", lambda: SimpleSpanProcessor(Hanging()))
    monkeypatch.setattr(spans, "CLOSE_SECONDS", 0.05)
    with served(settings_for(student, telemetry=True)) as running:
        assert chat(running).choices[0].message.content == ALONE
    assert not running.thread.is_alive()
    go_on.set()


def test_missing_packages_are_named_with_their_extra(
    student: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "potstill.serve.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with (
        pytest.raises(MissingExtraError, match=r"telemetry needs .*'potstill\[telemetry\]'"),
        served(settings_for(student, telemetry=True)),
    ):
        pass


def test_nothing_of_it_is_loaded_where_it_is_not_asked_for() -> None:
    code = (
        "import sys\n"
        "from potstill.serve.server import make_server\n"
        "from potstill.serve.settings import ServeSettings\n"
        "values = {'student': {'model': 'openai:x', 'base_url': 'http://127.0.0.1:9/v1',"
        " 'api_key_env': None}, 'port': 0}\n"
        "make_server(ServeSettings.model_validate(values))[1].close()\n"
        # transformers itself loads the interface, not the SDK, where it is installed
        "print({'opentelemetry.sdk', 'potstill.serve.spans'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
