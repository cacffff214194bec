"""The application: routes, and around them the layer that every request passes."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from potstill.errors import extra
from potstill.guide.server.access import Access
from potstill.guide.server.faults import ApiError
from potstill.guide.server.service import Service
from potstill.guide.server.settings import Route

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
