"""``potstill view``: the pages of runs over HTTP, on this machine, read and never written."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from urllib.parse import parse_qs

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from potstill.errors import ConfigError, PotstillError
from potstill.plan.run_status import runs_below
from potstill.serve.connections import address_of, listen, server_config
from potstill.store import lock_holder
from potstill.view.access_rules import POLICY, LocalAccess
from potstill.view.run_list import run_list
from potstill.view.run_snapshot import RunSnapshot, UnknownQuestionError
from potstill.view.settings import ViewSettings
from potstill.view.viewed_runs import ViewedRun, ViewedRuns

MOST_PARAMETERS = 200
"""Parameters of one address."""


TO_STRANGERS = "whoever does can read all that the runs hold, without a password"
"""The risk of a page that is open to the network, in words."""


class ViewServer(uvicorn.Server):
    """A server that ends in peace when it is told to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told again, stop at once."""
        self.force_exit, self.should_exit = self.should_exit, True


class OpenedView(NamedTuple):
    """A server that is ready to run."""

    server: ViewServer
    listening: socket.socket
    runs: ViewedRuns
    address: str

    async def run(self, listens: Callable[[str], None] = lambda _: None) -> None:
        """Serve until the server is told to stop; arguments as for :func:`view`.

        Raises:
            PotstillError: The one run that there is cannot be read.
        """
        with self.listening:
            if "" in self.runs.folders():
                await self.runs.named("")  # what is wrong with it is told before anybody looks
            listens(self.address)
            await self.server.serve([self.listening])


def view(
    folder: Path, settings: ViewSettings, listens: Callable[[str], None] = lambda _: None
) -> None:
    """Serve the page of a run, or those of a folder of runs, until SIGINT or SIGTERM.

    Args:
        folder: The run's folder, or one that runs are in.
        settings: The server's settings.
        listens: Called with the page's address, once it can be opened.

    Raises:
        ConfigError: There is no run, or the port is taken.
        PotstillError: The run cannot be read.
    """
    asyncio.run(open_view(folder, settings).run(listens))


def open_view(folder: Path, settings: ViewSettings) -> OpenedView:
    """Returns a server for a run or a folder of runs; arguments as for :func:`view`.

    Raises:
        ConfigError: There is no run, or the port is taken.
    """
    viewed = ViewedRuns(viewable(folder))
    listening = listen(settings.host, settings.port, open_to=TO_STRANGERS)
    config = server_config(view_app(folder, viewed, settings.host))
    return OpenedView(ViewServer(config), listening, viewed, f"{address_of(listening)}/")


def viewable(folder: Path) -> Callable[[], dict[str, Path]]:
    """Returns what finds the runs to be viewed: by the empty name the folder itself, if it is one.

    Raises:
        ConfigError: There is none.
    """
    if (folder / "run.sqlite").is_file():
        return lambda: {"": folder}
    if not folder.is_dir() or not runs_below(folder):
        raise ConfigError(
            f"{folder} is no run and holds none: there is no run.sqlite. Give a run's folder, or "
            "one that runs are in."
        )
    return lambda: {place.relative_to(folder).as_posix(): place for place in runs_below(folder)}


def view_app(folder: Path, viewed: ViewedRuns, host: str) -> LocalAccess:
    """Returns the application.

    Args:
        folder: The run's folder, or one that runs are in.
        viewed: The runs in it.
        host: The host that requests may name beside addresses.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await viewed.close()

    async def listed(_: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(run_list, folder, viewed.folders()))

    answers = {
        "version.json": _version, "questions.json": _questions, "question.json": _question,
        "answers.csv": _answers,
        "": _page,  # the last: it would take the others for a run's name
    }  # fmt: skip
    is_one = "" in viewed.folders()
    place = "/" if is_one else "/runs/{name:path}/"
    routes = [Route(place + name, _answering(viewed, answer)) for name, answer in answers.items()]
    further = [] if is_one else [Route("/", listed)]
    further.append(Route("/favicon.ico", _no_picture))
    return LocalAccess(Starlette(routes=[*routes, *further], lifespan=lifespan), host)


Answer = Callable[[ViewedRun, RunSnapshot, Request], Awaitable[Response]]


def _answering(viewed: ViewedRuns, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Returns a route that answers of the run that its path names."""

    async def respond(request: Request) -> Response:
        try:
            run = await viewed.named(request.path_params.get("name", ""))
            if run is None:
                return _refused("there is no such run", 404)
            return await answer(run, await run.snapshot(), request)
        except UnknownQuestionError as error:
            return _refused(str(error), 404)
        except PotstillError as error:
            return _refused(str(error), 500)

    return respond


def _refused(reason: str, status: int) -> Response:
    return PlainTextResponse(reason, status, {"content-security-policy": POLICY})


def _json(body: bytes) -> Response:
    return Response(
        body, headers={"content-security-policy": POLICY}, media_type="application/json"
    )


async def _no_picture(_: Request) -> Response:
    """Browsers ask for one, and would note that there is none."""
    return Response(status_code=204)


async def _page(run: ViewedRun, snapshot: RunSnapshot, request: Request) -> Response:
    run.look()
    policy = {"content-security-policy": "frame-ancestors 'none'"}  # the page itself has the rest
    return Response(await snapshot.opened(), headers=policy, media_type="text/html")


async def _version(run: ViewedRun, snapshot: RunSnapshot, request: Request) -> Response:
    """The version that a page would have now, and whether the run is at work."""
    run.look()
    at_work = await asyncio.to_thread(lock_holder, run.folder / "run.sqlite")
    return _json(
        orjson.dumps(
            {"version": snapshot.version, "at_work": at_work is not None, "fault": run.fault}
        )
    )


async def _questions(run: ViewedRun, snapshot: RunSnapshot, request: Request) -> Response:
    return _json(await snapshot.questions(_parameters(request)))


async def _question(run: ViewedRun, snapshot: RunSnapshot, request: Request) -> Response:
    return _json(await snapshot.question(_parameters(request)))


async def _answers(run: ViewedRun, snapshot: RunSnapshot, request: Request) -> Response:
    headers = {
        "content-security-policy": POLICY,
        "content-disposition": 'attachment; filename="answers.csv"',
    }
    return StreamingResponse(snapshot.answers(), headers=headers, media_type="text/csv")


def _parameters(request: Request) -> dict[str, list[str]]:
    try:
        return parse_qs(request.url.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise ConfigError(f"the address has more than {MOST_PARAMETERS} parameters.") from error
