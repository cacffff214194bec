"""Traces of served requests by OpenTelemetry, in the words of its conventions for generative AI.

A request is a span, and each call of the student or the teacher a span in it::

    chat pens                     SERVER    the client's request
      chat openai:gpt-5-mini      CLIENT    the teacher's step
      chat hf:runs/pens/model     INTERNAL  the student's words, on this machine

Names and attributes follow version 1.37 of the conventions (opentelemetry.io/docs/specs/semconv,
gen-ai). Prompts and answers are left out unless OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT
says that they are wanted. Where spans go, and how many, the OTEL_ variables say.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from importlib import import_module
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry import propagate
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
)
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from starlette.types import Scope

import potstill
from potstill.errors import ConfigError, MissingExtraError
from potstill.models.settings import ModelSettings
from potstill.records import Completion, Message, Request
from potstill.serve.metrics import Account
from potstill.serve.request import ClientRequest
from potstill.serve.response import ServedSample
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.tracing import Tracing
from potstill.serve.upstreams import (
    PLAIN,
    Emit,
    Refusal,
    StudentOptions,
    Upstream,
    UpstreamError,
)

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
OURS = "potstill"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CAPTURES = ("true", "1", "span_only", "span_and_event")
"""Values of that variable by which prompts and answers stand in spans."""

CLOSE_SECONDS = 3.0
"""Longest wait for a collector when the server stops."""

Value = str | int | float | Sequence[str]


def span_processor() -> SpanProcessor | None:
    """Returns what takes finished spans, by the OTEL_ variables; None: nothing does.

    Raises:
        ConfigError: A variable names an exporter or a protocol that is not offered.
        ModuleNotFoundError: The exporter is not installed.
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    if exporter == "none":
        return None
    if exporter == "console":
        return BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
    if exporter != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporter!r}. Set otlp, console or none.")
    return BatchSpanProcessor(_otlp())


def _otlp() -> SpanExporter:
    asked = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    protocols = [os.environ[name] for name in asked if os.environ.get(name)]
    protocol = protocols[-1] if protocols else "http/protobuf"
    if protocol == "grpc":
        return _grpc()
    if protocol != "http/protobuf":
        raise ConfigError(f"the OTLP protocol is {protocol!r}. Set http/protobuf or grpc.")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _grpc() -> SpanExporter:
    """Returns the exporter by gRPC, whose package is no part of the extra."""
    try:
        module = import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "OTLP by grpc needs a package that is not installed. Install it with: pip install "
            "opentelemetry-exporter-otlp-proto-grpc; or set OTEL_EXPORTER_OTLP_PROTOCOL to "
            "http/protobuf"
        ) from error
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter


def captures_content() -> bool:
    """Whether prompts and answers are wanted in spans."""
    return os.environ.get(CONTENT, "").strip().lower() in CAPTURES


class SpanTracing(Tracing):
    """Traces requests.

    Args:
        settings: The server's settings.
        processor: Takes finished spans; None: nothing does.
    """

    def __init__(self, settings: ServeSettings, processor: SpanProcessor | None) -> None:
        named = {SERVICE_VERSION: potstill.__version__}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            named[SERVICE_NAME] = OURS
        # Not the process's own provider: whoever serves in a process of theirs keeps theirs.
        self._provider = TracerProvider(
            resource=Resource.create(named),
            shutdown_on_exit=False,  # done by close
        )
        if processor is not None:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(OURS, potstill.__version__, schema_url=SCHEMA)
        self._settings = settings

    @contextmanager
    def request(self, scope: Scope, route: Route, account: Account) -> Iterator[None]:
        """Trace a client's request, in the trace that it names, while the block runs."""
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        operation, model = _operation(is_chat=route != "completions"), self._settings.served_name
        host, port = scope.get("server") or (self._settings.host, self._settings.port)
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": OURS,
            "gen_ai.request.model": model,
            "gen_ai.response.id": account.id,
            "server.address": host,
            **({"server.port": port} if port is not None else {}),
        }
        with self._tracer.start_as_current_span(
            f"{operation} {model}",
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
        ) as span:
            try:
                yield
            finally:
                _settle(span, account, model)

    def asked(self, request: ClientRequest) -> None:
        """The request that is traced was read."""
        span = get_current_span()
        span.set_attributes(
            {
                "gen_ai.request.temperature": request.temperature,
                "gen_ai.request.top_p": request.top_p,
                "gen_ai.request.max_tokens": request.max_tokens,
                "potstill.guidance.policy": request.policy.label,
                **_counted(request.samples),
            }
        )
        if captures_content():
            prompts = [prompt.text for prompt in request.prompts]
            span.set_attribute("gen_ai.input.messages", _input(prompts))

    def answered(self, samples: list[ServedSample]) -> None:
        """The request that is traced has its answers."""
        _answered(get_current_span(), [(sample.text, sample.reason) for sample in samples])

    def upstream(self, upstream: Upstream, settings: ModelSettings, role: str) -> Upstream:
        """Returns an upstream whose calls are traced."""
        return _TracedUpstream(self, upstream, settings, role)

    @contextmanager
    def call(self, request: Request, settings: ModelSettings, role: str) -> Iterator[Span]:
        """Trace a call of a model while the block runs."""
        operation = _operation(is_chat=not isinstance(request.prompt, str))
        address = urlsplit(settings.address) if settings.address else None
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "openai" if address else OURS,  # which API it speaks
            "gen_ai.request.model": settings.model,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.top_p": request.top_p,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.request.seed": request.seed,
            "potstill.role": role,
            **_counted(len(request.samples)),
            **(_server(address.hostname, address.port, address.scheme) if address else {}),
        }
        if captures_content():
            attributes["gen_ai.input.messages"] = _input([request.prompt], request.answer_prefix)
        with self._tracer.start_as_current_span(
            f"{operation} {settings.model}",
            kind=SpanKind.CLIENT if address else SpanKind.INTERNAL,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except UpstreamError as error:  # its words are our own, without any of the upstream's
                _failed(span, "refused" if error.refused else "failed", str(error))
                raise
            except (asyncio.CancelledError, TimeoutError) as error:
                is_timeout = isinstance(error, TimeoutError)
                _failed(span, "timeout" if is_timeout else "cancelled")
                raise
            except Exception as error:
                _failed(span, type(error).__name__)
                raise

    def close(self) -> None:
        """Hand over what was not handed over yet, unless that takes long."""
        # In a thread of its own, since a collector that is away is tried again for half a minute.
        thread = Thread(target=self._provider.shutdown, name="potstill-spans", daemon=True)
        thread.start()
        thread.join(CLOSE_SECONDS)


class _TracedUpstream:
    """An upstream whose calls are spans; all else is its own.

    Args:
        tracing: Makes the spans.
        upstream: Answers.
        settings: The upstream's settings.
        role: ``student`` or ``teacher``.
    """

    def __init__(
        self, tracing: SpanTracing, upstream: Upstream, settings: ModelSettings, role: str
    ) -> None:
        self._tracing, self._upstream = tracing, upstream
        self._settings, self._role = settings, role
        self.chat, self.encoder_decoder = upstream.chat, upstream.encoder_decoder

    async def start(self) -> None:
        await self._upstream.start()

    async def close(self) -> None:
        await self._upstream.close()

    async def ready(self) -> bool:
        return await self._upstream.ready()

    async def can_continue(self) -> bool:
        return await self._upstream.can_continue()

    def refusal(self, options: StudentOptions) -> Refusal | None:
        return self._upstream.refusal(options)

    async def answer(
        self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
    ) -> list[Completion]:
        with self._tracing.call(request, self._settings, self._role) as span:
            completions = await self._upstream.answer(request, emit, options)
            read = max((completion.prompt_tokens for completion in completions), default=0)
            written = sum(completion.completion_tokens for completion in completions)
            _used(span, read, written, self._settings.model)
            _answered(span, [(each.text, each.finish_reason) for each in completions])
            return completions


def _operation(*, is_chat: bool) -> str:
    return "chat" if is_chat else "text_completion"


def _server(host: str | None, port: int | None, scheme: str) -> dict[str, Value]:
    """Returns where a server is, its port as its scheme has it where none is named."""
    if host is None:
        return {}
    return {"server.address": host, "server.port": port or (443 if scheme == "https" else 80)}


def _counted(samples: int) -> Mapping[str, int]:
    return {} if samples == 1 else {"gen_ai.request.choice.count": samples}


def _used(span: Span, read: int, written: int, model: str) -> None:
    """Note the tokens, those that are known."""
    span.set_attribute("gen_ai.response.model", model)
    if read:
        span.set_attribute("gen_ai.usage.input_tokens", read)
    if written:
        span.set_attribute("gen_ai.usage.output_tokens", written)


def _answered(span: Span, texts: Sequence[tuple[str, str]]) -> None:
    span.set_attribute("gen_ai.response.finish_reasons", [reason for _, reason in texts])
    if captures_content():
        messages = [_message("assistant", text, finish_reason=reason) for text, reason in texts]
        span.set_attribute("gen_ai.output.messages", json.dumps(messages))


def _settle(span: Span, account: Account, model: str) -> None:
    """Note how a request ended, and what both models took for it."""
    student, teacher = account.student, account.teacher
    read = student.prompt_tokens + teacher.prompt_tokens
    _used(span, read, student.completion_tokens + teacher.completion_tokens, model)
    span.set_attribute("http.response.status_code", int(account.status))
    if account.outcome is not None:
        span.set_attribute("potstill.guidance.outcome", account.outcome)
    if account.status >= HTTPStatus.BAD_REQUEST:
        span.set_attribute("error.type", str(int(account.status)))
    if account.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(Status(StatusCode.ERROR))


def _failed(span: Span, kind: str, words: str | None = None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, words))


def _input(prompts: Sequence[str | tuple[Message, ...]], begun: str = "") -> str:
    """Returns prompts, and the answer that is begun behind them, as the conventions have them."""
    messages = []
    for prompt in prompts:
        if isinstance(prompt, str):
            messages.append(_message("user", prompt))
        else:
            messages += [_message(turn.role, turn.content) for turn in prompt]
    if begun:
        messages.append(_message("assistant", begun))
    return json.dumps(messages)


def _message(role: str, text: str, **more: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}], **more}
