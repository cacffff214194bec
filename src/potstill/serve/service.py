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
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from potstill.errors import ConfigError, ModelError, extra
from potstill.guide.decoder import guided_answer
from potstill.guide.thresholds import FittedGates, read_gates
from potstill.guide.types import GuidedDecoder, Participant, PolicySettings
from potstill.serve.access import (
    ACCOUNT,
    Access,
    AdmissionLimit,
    read_body,
    while_connected,
)
from potstill.serve.answering import GuidedSession, Shown
from potstill.serve.metrics import CLIENT_LEFT, Account, Metrics
from potstill.serve.request import ChatRequest, ParticipantBuilder, read_request
from potstill.serve.response import (
    EXTENSION,
    ApiError,
    Gone,
    Json,
    ResponseSender,
    ResponseWriter,
    StreamOutput,
    WholeOutput,
    extension,
    invalid,
    too_late,
    usage,
)
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.upstreams import Upstream, UpstreamError

with extra("serve", needed_for="potstill serve"):
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.exceptions import HTTPException
    from starlette.routing import Route as PathRoute
    from starlette.types import Receive, Scope, Send

ANSWER_PATHS: Mapping[str, Route] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
}


class Service:
    """The student, its teacher and the limits that all requests share.

    Args:
        settings: The server's.
        student: Answers.
        teacher: Steps in; None: nobody does.

    Raises:
        ConfigError: The settings' policy needs a gate that is not there.
    """

    def __init__(
        self,
        settings: ServeSettings,
        student: Upstream,
        teacher: Upstream | None,
    ) -> None:
        self.settings = settings
        self.student = student
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
        """Stop both upstreams."""
        for upstream in self._upstreams():
            await upstream.close()

    def _upstreams(self) -> list[Upstream]:
        return [self.student] + ([self.teacher.upstream] if self.teacher else [])

    async def _takes_whole_steps(self, policy: PolicySettings) -> bool:
        """Whether the teacher has to be asked for whole steps, before it is paid for one.

        Raises:
            ApiError: One of the two cannot go on from a begun answer, and the policy needs it to.
        """
        if policy.when == "never" or self.teacher is None:
            return False
        try:
            if not await self.student.can_continue():
                raise _cannot_continue("student", policy)
            whole_steps = not await self.teacher.upstream.can_continue()
        except UpstreamError:
            return False  # asking finds out what it is
        if whole_steps and policy.places.stop > 1:
            raise _cannot_continue("teacher", policy)
        return whole_steps

    async def decoder(self, request: ChatRequest, student: Participant) -> GuidedDecoder:
        """The decoder that writes the answer to a request.

        Raises:
            ApiError: Its policy has no gate, or one of the two cannot do what it needs.
        """
        whole_steps = await self._takes_whole_steps(request.policy)
        try:
            gate = self.gates.gate(request.policy)
        except ConfigError as error:
            raise invalid(str(error), "guidance", "invalid_guidance") from None
        teacher = replace(self.participants.teacher(request), whole_steps=whole_steps)
        return guided_answer(student, teacher, request.policy, self.settings.config, gate)


class AnswerRoute:
    """A route that answers, as an ASGI application."""

    def __init__(self, service: Service, route: Route) -> None:
        self._service, self._route = service, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why there is no answer, within its time."""
        service, account = self._service, scope[ACCOUNT]
        limits = service.settings.limits
        sender = ResponseSender(send)
        try:
            async with asyncio.timeout(limits.seconds) as clock:
                with service.admission.admit():
                    content = await read_body(scope, receive, limits.body_bytes)
                    request = read_request(self._route, content, service.settings)
                    reply = _Reply(service, self._route, account, sender)
                    await while_connected(reply.write(request, clock.when() or 0.0), receive)
        except ApiError as error:
            await sender.fail(error, account)
        except TimeoutError:
            await sender.fail(too_late(limits.seconds), account)
        except Gone:
            account.status = CLIENT_LEFT


class _Reply:
    """The answer to one request on its way to the client."""

    def __init__(
        self, service: Service, route: Route, account: Account, sender: ResponseSender
    ) -> None:
        self._service, self._route, self._account = service, route, account
        self._sender = sender

    async def write(self, request: ChatRequest, deadline: float) -> None:
        """Have the answer written, and send it.

        Args:
            request: The client's.
            deadline: When the answer is due, by the event loop's clock.

        Raises:
            ApiError: There is none.
        """
        service, account = self._service, self._account
        account.policy = request.policy.label
        student = service.participants.student(request)
        decoder = await service.decoder(request, student)
        output = self._output(request)
        shown = self._shown(request, student.lead, output)
        session = GuidedSession(
            student=service.student,
            teacher=service.teacher,
            deadline=deadline,
            student_usage=account.student,
            teacher_usage=account.teacher,
            show_steps=shown.steps,
            emit=shown.piece if request.stream else None,
        )
        async with service.admission.slots:
            try:
                answer = await session.run(decoder)
                account.settle(answer)
                written = request.stream and session.ending_asked
                reasons = await shown.end(answer, written=written)
                usage_field: Json = {"usage": usage(account.student, account.teacher)}
                label = request.policy.label
                own = {EXTENSION: extension(account.student, account.teacher, answer, label)}
                await output.finish(reasons, answer, usage_field, own)
            except UpstreamError as error:
                raise _student_failed(error) from None
            except ModelError:
                message = f"the student gives no token probabilities, which {account.policy} needs."
                raise ApiError(HTTPStatus.BAD_GATEWAY, message, code="no_logprobs") from None

    def _output(self, request: ChatRequest) -> WholeOutput | StreamOutput:
        name = self._service.settings.served_name
        if not request.stream:
            writer = ResponseWriter(self._route, name)
            return WholeOutput(self._sender, writer, request.samples)
        include_usage = request.include_usage
        writer = ResponseWriter(self._route, name, usage_field=include_usage)
        return StreamOutput(self._sender, writer, request.samples, include_usage=include_usage)

    def _shown(self, request: ChatRequest, lead: str, output: WholeOutput | StreamOutput) -> Shown:
        """The texts for the client; only an answer with steps before it can hold a stop string."""
        shown_lead: str | None = lead
        if self._route == "chat":
            shown_lead = None if self._service.settings.student_format else ""
        stops = () if request.policy.when == "never" else request.stop
        return Shown(shown_lead, stops, request.samples, output.piece)


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
        message = f"the student refused the request, most often for its length: {error}."
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
    fault = ApiError(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    return JSONResponse(fault.content, error.status_code, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    """A fault of ours; the traceback goes to the log."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JSONResponse(ApiError(status, "the server failed.").content, status)


_HANDLERS: dict[int | type[Exception], Any] = {HTTPException: _refused, Exception: _failed}
