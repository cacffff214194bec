"""The two routes that answer: from a client's body to the student's words."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError, ModelError, extra
from potstill.guide.decoding import guided_answer
from potstill.guide.judging import Judging, read_judging
from potstill.guide.parts import Answering, Guided
from potstill.guide.policies import Policy
from potstill.guide.server.access import ACCOUNT, Gate, send_error
from potstill.guide.server.asked import Asked, read_asked
from potstill.guide.server.bodies import attended, read_body
from potstill.guide.server.driving import Drive, Shown
from potstill.guide.server.faults import ApiError, Gone, invalid, too_late
from potstill.guide.server.guard import Guard
from potstill.guide.server.metrics import CLIENT_LEFT, Account, Metrics
from potstill.guide.server.replies import DONE, EXTENSION, Json, Wording, event, extension, usage
from potstill.guide.server.settings import Route, ServeSettings
from potstill.guide.server.sides import Sides
from potstill.guide.server.upstreams import Emit, Upstream, UpstreamError

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
        self.gate = Gate(in_flight=settings.limits.in_flight, queue=settings.limits.queue)
        self.metrics = Metrics(lambda: self.gate.inside)
        self.teacher: Guard | None = None
        if teacher is not None:
            self.teacher = Guard(teacher, settings.teacher_limits, self.metrics.absent)
        self.sides = Sides(settings, student, teacher)
        file = settings.judge
        self.judging = read_judging(Path(file)) if file else Judging(thresholds={})
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

    def plan(self, asked: Asked) -> "Plan":
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
        return Plan(answering, student.lead)


class Plan(NamedTuple):
    """How a request is answered."""

    answering: Answering
    lead: str
    """What the student is given between prompt and first step."""


class _Reply:
    """The answer to one request on its way to the client."""

    def __init__(self, service: Service, route: Route, account: Account, send: Send) -> None:
        self._service, self._route, self._send = service, route, send
        self.account = account
        self._started = False

    async def write(self, asked: Asked, until: float) -> None:
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

    async def _whole(self, asked: Asked, plan: Plan, until: float) -> None:
        texts = [""] * asked.samples

        async def keep(place: int, text: str) -> None:
            texts[place] += text

        shown = self._shown(asked, plan, keep)
        guided = await self._drive(shown, until).write(plan.answering)
        self.account.settle(guided)
        reasons = await shown.end(guided, written=False)
        wording = Wording(self._route, self._service.settings.served_name)
        further = {**self._usage(), **self._own(guided, asked.policy)}
        thinking = [ending.thinking for ending in guided.endings]
        content = wording.whole(texts, reasons, thinking, further)
        await self._begin((b"content-type", b"application/json"), _length(content))
        await self._body(content, more=False)

    async def _stream(self, asked: Asked, plan: Plan, until: float) -> None:
        name = self._service.settings.served_name
        wording = Wording(self._route, name, usage_field=asked.include_usage)

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

    def _shown(self, asked: Asked, plan: Plan, out: Emit) -> Shown:
        """What the client is shown; only an answer with steps before it can hold a stop string."""
        lead: str | None = plan.lead
        if self._route == "chat":
            lead = None if self._service.settings.student_format else ""
        stops = () if asked.policy.when == "never" else asked.stop
        return Shown(lead, stops, asked.samples, out)

    def _drive(self, shown: Shown, until: float) -> Drive:
        return Drive(
            student=self._service.student,
            teacher=self._service.teacher,
            until=until,
            student_spent=self.account.student,
            teacher_spent=self.account.teacher,
            fixed=shown.fixed,
        )

    def _usage(self) -> Json:
        return {"usage": usage(self.account.student, self.account.teacher)}

    def _own(self, guided: Guided, policy: Policy) -> Json:
        account = self.account
        return {EXTENSION: extension(account.student, account.teacher, guided, policy.name)}

    async def _begin(self, *headers: tuple[bytes, bytes]) -> None:
        self._started = True
        all_headers = [*headers, (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def _begin_stream(self, wording: Wording, samples: int) -> None:
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
