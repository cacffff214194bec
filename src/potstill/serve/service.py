"""The guided server's application: its routes, and how each answer reaches its client.

It speaks OpenAI's HTTP API, so that a client of any OpenAI-compatible server can use a guided
student as one model::

    POST /v1/chat/completions
    {"messages": [{"role": "user", "content": "..."}], "guidance": "first"}

A request passes Access (access.py), AnswerRoute and _Reply here, and GuidedSession (answering.py),
which drives the decoder of guide/decoder.py and asks the two upstreams.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from potstill.errors import ConfigError, ModelError, extra
from potstill.guide.decoder import guided_answer
from potstill.guide.thresholds import FittedGates, read_gates
from potstill.guide.types import GuidedAnswer, GuidedDecoder, Participant, PolicySettings
from potstill.records.policy import ROUTE
from potstill.serve.access import (
    ACCOUNT,
    ROUTES,
    Access,
    AdmissionLimit,
    read_body,
    while_connected,
)
from potstill.serve.answering import GuidedSession, Shown
from potstill.serve.api_error import ApiError, Gone, invalid, too_late
from potstill.serve.conversation import ClientPrompt
from potstill.serve.metrics import CLIENT_LEFT, Account, Metrics
from potstill.serve.participants import ParticipantBuilder
from potstill.serve.request import ClientRequest, read_json_object, request_of
from potstill.serve.response import (
    EXTENSION,
    AnswerWriter,
    CompletionWriter,
    Json,
    ResponseSender,
    ServedSample,
    StreamOutput,
    WholeOutput,
    extension,
    usage,
)
from potstill.serve.responses_api import ResponseObjectWriter, chat_body
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.tracing import Tracing
from potstill.serve.upstreams import Emit, StudentOptions, Upstream, UpstreamError

with extra("serve", needed_for="potstill serve"):
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.exceptions import HTTPException
    from starlette.middleware.cors import CORSMiddleware
    from starlette.routing import Route as PathRoute
    from starlette.types import Receive, Scope, Send

ANSWER_PATHS: Mapping[str, Route] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
}


class Service:
    """The student, its teacher and the limits that all requests share.

    Args:
        settings: The server's settings.
        student: Answers.
        teacher: Steps in; None: nobody does.
        tracing: Traces requests; None: nothing does.

    Raises:
        ConfigError: The settings' policy needs a gate that is not there.
    """

    def __init__(
        self,
        settings: ServeSettings,
        student: Upstream,
        teacher: Upstream | None,
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self.student = student
        self.tracing = tracing or Tracing()
        limits = settings.limits
        self.admission = AdmissionLimit(in_flight=limits.in_flight, queue=limits.queue)
        self.metrics = Metrics(lambda: self.admission.inside)
        self.teacher: TeacherGuard | None = None
        if teacher is not None:
            self.teacher = TeacherGuard(teacher, settings.teacher_limits, self.metrics.absent)
        self.participants = ParticipantBuilder(settings, student, teacher)
        file = settings.judge
        self.gates = read_gates(Path(file)) if file else FittedGates(thresholds={})
        self.gates.gate(settings.policy)

    async def start(self) -> None:
        """Start both upstreams."""
        for upstream in self._upstreams():
            await upstream.start()

    async def close(self) -> None:
        """Stop both upstreams, and hand over what was traced."""
        for upstream in self._upstreams():
            await upstream.close()
        await asyncio.to_thread(self.tracing.close)

    def _upstreams(self) -> list[Upstream]:
        return [self.student] + ([self.teacher.upstream] if self.teacher else [])

    async def _takes_whole_steps(self, policy: PolicySettings) -> bool:
        """Whether the teacher has to be asked for whole steps, before it is paid for one.

        Raises:
            ApiError: One of the two cannot go on from a begun answer, and the policy needs it to.
        """
        if policy.when in ("never", ROUTE) or self.teacher is None:
            return False
        try:
            if not await self.student.can_continue():
                raise _cannot_continue("student", policy)
            whole_steps = not await self.teacher.upstream.can_continue()
        except UpstreamError:
            return False  # asking finds out what it is
        if whole_steps and policy.needs_continuation:
            raise _cannot_continue("teacher", policy)
        return whole_steps

    def check_student(self, options: StudentOptions) -> None:
        """Check that the student can do what else is asked of it.

        Raises:
            ApiError: It cannot.
        """
        refusal = self.student.refusal(options)
        if refusal is not None:
            message = f"{refusal.field} cannot be served: {refusal.reason}."
            raise invalid(message, refusal.field, "unsupported_parameter")

    async def decoder(
        self, request: ClientRequest, asked: ClientPrompt, student: Participant
    ) -> GuidedDecoder:
        """The decoder that writes the answer to one prompt of a request.

        Raises:
            ApiError: Its policy has no gate, or one of the two cannot do what it needs.
        """
        whole_steps = await self._takes_whole_steps(request.policy)
        try:
            gate = self.gates.gate(request.policy)
        except ConfigError as error:
            raise invalid(str(error), "guidance", "invalid_guidance") from None
        teacher = replace(self.participants.teacher(request, asked), whole_steps=whole_steps)
        return guided_answer(student, teacher, request.policy, self.settings.config, gate)


class AnswerRoute:
    """A route that answers, as an ASGI application."""

    def __init__(self, service: Service, route: Route) -> None:
        self._service, self._route = service, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why there is no answer, within its time."""
        with self._service.tracing.request(scope, self._route, scope[ACCOUNT]):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, account = self._service, scope[ACCOUNT]
        limits = service.settings.limits
        sender = ResponseSender(send)
        try:
            async with asyncio.timeout(limits.seconds) as clock:
                with service.admission.admit():
                    content = await read_body(scope, receive, limits.body_bytes)
                    request, writer = self._read(content)
                    service.tracing.asked(request)
                    deadline = clock.when() or 0.0
                    reply = _Reply(service, request, account, deadline)
                    await while_connected(reply.write(sender, writer), receive)
        except ApiError as error:
            await sender.fail(error, account)
        except TimeoutError:
            await sender.fail(too_late(limits.seconds), account)
        except Gone:
            account.status = CLIENT_LEFT

    def _read(self, content: bytes) -> tuple[ClientRequest, AnswerWriter]:
        """The request in a body, and the writer of its answer.

        Raises:
            ApiError: It cannot be served.
        """
        settings, body = self._service.settings, read_json_object(content)
        if self._route == "responses":
            request = request_of("responses", chat_body(body), settings)
            return request, ResponseObjectWriter(settings.served_name, body)
        request = request_of(self._route, body, settings)
        include_usage = request.stream and request.include_usage
        name, by_chat = settings.served_name, request.by_chat
        return request, CompletionWriter(name, by_chat=by_chat, include_usage=include_usage)


Output = WholeOutput | StreamOutput


class _Reply:
    """The answer to one request on its way to the client.

    Args:
        service: Answers.
        request: The client's request.
        account: Counts what it takes.
        deadline: When the answer is due, by the event loop's clock.
    """

    def __init__(
        self, service: Service, request: ClientRequest, account: Account, deadline: float
    ) -> None:
        self._service, self._request, self._account = service, request, account
        self._deadline = deadline
        account.policy = request.policy.label

    async def write(self, sender: ResponseSender, writer: AnswerWriter) -> None:
        """Have the answers to all prompts written, and send them as one.

        Raises:
            ApiError: One has none.
        """
        request, account = self._request, self._account
        samples = len(request.prompts) * request.samples
        kind = StreamOutput if request.stream else WholeOutput
        output: Output = kind(sender, writer, samples)
        written = await _together(
            [
                self._answer(asked, output, place * request.samples)
                for place, asked in enumerate(request.prompts)
            ]
        )
        answers = [answer for answer, _ in written]
        account.settle(answers)
        usage_field: Json = {"usage": usage(account.student, account.teacher)}
        label = request.policy.label
        own = {EXTENSION: extension(account.student, account.teacher, answers, label)}
        texts = [sample for _, part in written for sample in part]
        self._service.tracing.answered(texts)
        await output.finish(texts, usage_field, own)

    async def _answer(self, asked: ClientPrompt, output: Output, first: int) -> "Part":
        """Have the answer to one prompt written.

        Args:
            asked: The prompt.
            output: Takes the texts.
            first: The place of its first sample among those of all prompts.

        Raises:
            ApiError: There is none.
        """
        service, account, request = self._service, self._account, self._request
        options = service.participants.options(request, asked)
        service.check_student(options)
        student = service.participants.student(request, asked)
        decoder = await service.decoder(request, asked, student)

        async def out(place: int, text: str) -> None:
            await output.piece(first + place, text)

        shown = self._shown(student.lead, out)
        session = GuidedSession(
            student=service.student,
            teacher=service.teacher,
            deadline=self._deadline,
            longest=request.max_tokens,
            student_usage=account.student,
            teacher_usage=account.teacher,
            show_steps=shown.steps,
            emit=shown.piece if request.stream else None,
            options=options,
        )
        async with service.admission.slots:
            try:
                answer = await session.run(decoder)
            except UpstreamError as error:
                raise _student_failed(error) from None
            except ModelError:
                message = f"the student gives no token probabilities, which {account.policy} needs."
                raise ApiError(HTTPStatus.BAD_GATEWAY, message, code="no_logprobs") from None
        reasons = await shown.end(answer, written=request.stream and session.ending_asked)
        texts = output.texts[first:]
        return answer, [
            ServedSample.of(text, reason, ending)
            for text, reason, ending in zip(texts, reasons, answer.endings, strict=False)
        ]

    def _shown(self, lead: str, out: Emit) -> Shown:
        """The texts for the client; only an answer with steps before it can hold a stop string."""
        request = self._request
        shown_lead: str | None = lead
        if request.by_chat:
            shown_lead = None if self._service.settings.student_format else ""
        stops = () if request.is_alone else request.stop
        return Shown(shown_lead, stops, request.samples, out)


Part = tuple[GuidedAnswer, list[ServedSample]]


async def _together(works: Sequence[Coroutine[None, None, Part]]) -> list[Part]:
    """Do all at once; where one fails the others are given up."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cannot_continue(who: str, policy: PolicySettings) -> ApiError:
    return invalid(
        f"the {who} does not go on from an answer that is begun, which {policy.label} needs; this "
        f"server's settings can name a way with {who}.prefill and {who}.chat_template.",
        "guidance",
        "no_continuation",
    )


def _student_failed(error: UpstreamError) -> ApiError:
    """A student's failure, as the client is told of it."""
    if error.refused:
        message = f"the student refused the request: {error}."
        return invalid(message, code="refused_by_student")
    message = f"the student failed: {error}."
    return ApiError(HTTPStatus.BAD_GATEWAY, message, code="student_failed")


def make_app(service: Service, tokens: Sequence[str]) -> FastAPI:
    """The application of a service.

    Args:
        service: Answers.
        tokens: Bearer tokens that are let in; none: everybody on this machine is.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        lifespan=lifespan, openapi_url=None, redirect_slashes=False, exception_handlers=_HANDLERS
    )
    app.add_middleware(Access, admission=service.admission, metrics=service.metrics, tokens=tokens)
    if origins := service.settings.cors_origins:  # added last, so it words every answer's headers
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=("x-request-id",),
        )
    for path, route in ANSWER_PATHS.items():
        app.router.routes.append(
            PathRoute(path, endpoint=AnswerRoute(service, route), methods=["POST"])
        )
    _add_states(app, service)
    _add_models(app, service.settings.served_name)
    return app


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        student = not service.admission.closing and await service.student.ready()
        teacher = await service.teacher.state() if service.teacher else "none"
        status = HTTPStatus.OK if student else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"student": student, "teacher": teacher}, status)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


def _add_models(app: FastAPI, name: str) -> None:
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "potstill"}

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/models/{wanted:path}")
    async def one_model(wanted: str) -> Response:
        if wanted != name:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return JSONResponse(model)


async def _refused(_: Request, error: Exception) -> Response:
    """A request that no route takes, in the shape of OpenAI's errors."""
    assert isinstance(error, HTTPException)
    message = f"{HTTPStatus(error.status_code).phrase}."
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"there is nothing here; this server answers at {', '.join(ROUTES)}."
    allowed = (error.headers or {}).get("Allow")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and allowed:
        message = f"this is no method of this route, which takes {allowed}."
    fault = ApiError(error.status_code, message)
    return JSONResponse(fault.content, error.status_code, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    """A fault of ours; the traceback goes to the log."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JSONResponse(ApiError(status, "the server failed.").content, status)


_HANDLERS: dict[int | type[Exception], Any] = {HTTPException: _refused, Exception: _failed}
