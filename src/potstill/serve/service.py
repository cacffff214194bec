"""The two routes that answer: from a client's body to the student's words.

The application: routes, and around them the layer that every request passes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from potstill.errors import ConfigError, ModelError, extra
from potstill.guide.decoder import guided_answer
from potstill.guide.thresholds import FittedGates, read_judging
from potstill.guide.types import GuidedAnswer, GuidedDecoder, Policy
from potstill.serve.access import ACCOUNT, Access, AdmissionLimit, attended, read_body, send_error
from potstill.serve.answering import GuidedSession, Shown
from potstill.serve.metrics import CLIENT_LEFT, Account, Metrics
from potstill.serve.request import ChatRequest, Sides, read_asked
from potstill.serve.response import (
    DONE,
    EXTENSION,
    ApiError,
    Gone,
    Json,
    ResponseWriter,
    event,
    extension,
    invalid,
    too_late,
    usage,
)
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.upstreams import Emit, Upstream, UpstreamError

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Receive, Scope, Send

FAREWELL = 1.0
"""Longest wait, in seconds, for a client to take an error."""


class Service:
    """Answers requests.

    Args:
        settings: Of the server.
        student: Who answers.
        teacher: Who steps in; None: nobody.

    Raises:
        ConfigError: The settings' policy needs a judge that is not there.
    """

    def __init__(
        self,
        settings: ServeSettings,
        student: Upstream,
        teacher: Upstream | None,
    ) -> None:
        self.settings = settings
        self.student = student
        self.gate = AdmissionLimit(in_flight=settings.limits.in_flight, queue=settings.limits.queue)
        self.metrics = Metrics(lambda: self.gate.inside)
        self.teacher: TeacherGuard | None = None
        if teacher is not None:
            self.teacher = TeacherGuard(teacher, settings.teacher_limits, self.metrics.absent)
        self.sides = Sides(settings, student, teacher)
        file = settings.judge
        self.judging = read_judging(Path(file)) if file else FittedGates(thresholds={})
        self.judging.judge(settings.policy)

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

    async def respond(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why there is no answer, within its time."""
        reply = _Reply(self, route, scope[ACCOUNT], send)
        seconds = self.settings.limits.seconds
        try:
            async with asyncio.timeout(seconds) as clock:
                with self.gate.place():
                    content = await read_body(scope, receive, self.settings.limits.body_bytes)
                    asked = read_asked(route, content, self.settings)
                    await attended(reply.write(asked, clock.when() or 0.0), receive)
        except ApiError as error:
            await reply.fail(error)
        except TimeoutError:
            await reply.fail(too_late(seconds))
        except Gone:
            reply.account.status = CLIENT_LEFT

    def plan(self, asked: ChatRequest) -> "AnswerPlan":
        """How a request is answered.

        Raises:
            ApiError: Its policy has no judge.
        """
        try:
            judge = self.judging.judge(asked.policy)
        except ConfigError as error:
            raise invalid(str(error), "guidance", "invalid_guidance") from None
        student, teacher = self.sides.of_student(asked), self.sides.of_teacher(asked)
        answering = guided_answer(student, teacher, asked.policy, self.settings.manner, judge)
        return AnswerPlan(answering, student.lead)


class AnswerPlan(NamedTuple):
    """How a request is answered."""

    answering: GuidedDecoder
    lead: str
    """What the student is given between prompt and first step."""


class _Reply:
    """The answer to one request on its way to the client."""

    def __init__(self, service: Service, route: Route, account: Account, send: Send) -> None:
        self._service, self._route, self._send = service, route, send
        self.account = account
        self._started = False

    async def write(self, asked: ChatRequest, until: float) -> None:
        """Have the answer written, and send it.

        Raises:
            ApiError: There is none.
        """
        self.account.policy = asked.policy.name
        plan = self._service.plan(asked)
        send = self._stream if asked.stream else self._whole
        async with self._service.gate.slots:
            try:
                await send(asked, plan, until)
            except UpstreamError as error:
                raise _no_answer(error) from None
            except ModelError:
                told = f"the student gives no token probabilities, which {asked.policy.name} needs."
                raise ApiError(HTTPStatus.BAD_GATEWAY, told, code="no_logprobs") from None

    async def _whole(self, asked: ChatRequest, plan: AnswerPlan, until: float) -> None:
        texts = [""] * asked.samples

        async def keep(place: int, text: str) -> None:
            texts[place] += text

        shown = self._shown(asked, plan, keep)
        guided = await self._drive(shown, until).write(plan.answering)
        self.account.settle(guided)
        reasons = await shown.end(guided, written=False)
        wording = ResponseWriter(self._route, self._service.settings.served_name)
        further = {**self._usage(), **self._own(guided, asked.policy)}
        thinking = [ending.thinking for ending in guided.endings]
        content = wording.whole(texts, reasons, thinking, further)
        await self._begin((b"content-type", b"application/json"), _length(content))
        await self._body(content, more=False)

    async def _stream(self, asked: ChatRequest, plan: AnswerPlan, until: float) -> None:
        name = self._service.settings.served_name
        wording = ResponseWriter(self._route, name, usage_field=asked.include_usage)

        async def tell(place: int, text: str) -> None:
            await self._begin_stream(wording, asked.samples)
            await self._body(wording.piece(place, text))

        shown = self._shown(asked, plan, tell)
        drive = self._drive(shown, until)
        drive.emit = shown.piece
        guided = await drive.write(plan.answering)
        self.account.settle(guided)
        reasons = await shown.end(guided, written=drive.ended)
        await self._begin_stream(wording, asked.samples)
        own = self._own(guided, asked.policy)
        ends = [wording.end(place, reason) for place, reason in enumerate(reasons[:-1])]
        if asked.include_usage:
            ends.append(wording.end(asked.samples - 1, reasons[-1]))
            ends.append(wording.totals({**self._usage(), **own}))
        else:
            ends.append(wording.end(asked.samples - 1, reasons[-1], own))
        await self._body(b"".join(ends) + DONE, more=False)

    async def fail(self, error: ApiError) -> None:
        """Send an error, as the answer or at the end of what was sent of it."""
        with suppress(TimeoutError):  # a client that does not read would hold us for ever
            async with asyncio.timeout(FAREWELL):
                if not self._started:
                    await send_error(self._send, error)
                    return
                self.account.status = error.status
                await self._body(event(error.content), more=False)

    def _shown(self, asked: ChatRequest, plan: AnswerPlan, out: Emit) -> Shown:
        """What the client is shown; only an answer with steps before it can hold a stop string."""
        lead: str | None = plan.lead
        if self._route == "chat":
            lead = None if self._service.settings.student_format else ""
        stops = () if asked.policy.when == "never" else asked.stop
        return Shown(lead, stops, asked.samples, out)

    def _drive(self, shown: Shown, until: float) -> GuidedSession:
        return GuidedSession(
            student=self._service.student,
            teacher=self._service.teacher,
            until=until,
            student_spent=self.account.student,
            teacher_spent=self.account.teacher,
            fixed=shown.fixed,
        )

    def _usage(self) -> Json:
        return {"usage": usage(self.account.student, self.account.teacher)}

    def _own(self, guided: GuidedAnswer, policy: Policy) -> Json:
        account = self.account
        return {EXTENSION: extension(account.student, account.teacher, guided, policy.name)}

    async def _begin(self, *headers: tuple[bytes, bytes]) -> None:
        self._started = True
        all_headers = [*headers, (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def _begin_stream(self, wording: ResponseWriter, samples: int) -> None:
        """Send what a stream begins with, once its first words are there."""
        if self._started:
            return
        await self._begin((b"content-type", b"text/event-stream; charset=utf-8"))
        if first := b"".join(wording.first(place) for place in range(samples)):
            await self._body(first)

    async def _body(self, content: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": content, "more_body": more})


def _length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(content)).encode()


def _no_answer(error: UpstreamError) -> ApiError:
    """What a client is told of its student's failure."""
    if error.refused:
        told = f"the student refused the request, most often for its length: {error}."
        return invalid(told, code="refused_by_student")
    return ApiError(HTTPStatus.BAD_GATEWAY, f"the student failed: {error}.", code="student_failed")


with extra("serve", needed_for="potstill serve"):
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.exceptions import HTTPException
    from starlette.types import Receive, Scope, Send


def make_app(service: Service, tokens: Sequence[str]) -> FastAPI:
    """The application of a service.

    Args:
        service: Answers.
        tokens: Bearer tokens that are let in; none: everybody on this machine is.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        lifespan=life, openapi_url=None, redirect_slashes=False, exception_handlers=_HANDLERS
    )
    app.add_middleware(Access, gate=service.gate, metrics=service.metrics, tokens=tokens)
    _add_answers(app, service)
    _add_states(app, service)
    _add_models(app, service.settings.served_name)
    return app


class _Answer(Response):
    """An answer that reads its request and sends itself."""

    def __init__(self, service: Service, route: Route) -> None:
        super().__init__()
        self._service, self._route = service, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._service.respond(self._route, scope, receive, send)


def _add_answers(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def chat() -> Response:
        return _Answer(service, "chat")

    @app.post("/v1/completions")
    async def completions() -> Response:
        return _Answer(service, "completions")


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        student = not service.gate.closing and await service.student.ready()
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
    told = ApiError(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    return JSONResponse(told.content, error.status_code, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    """A fault of ours; the traceback goes to the log."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JSONResponse(ApiError(status, "the server failed.").content, status)


_HANDLERS: dict[int | type[Exception], Any] = {HTTPException: _refused, Exception: _failed}
