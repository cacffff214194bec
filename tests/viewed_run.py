"""A small run that can be served: its recipe draws its questions, its records are made up."""

import asyncio
import json
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from report_run import FilledRun

from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.view.page_server import OpenedView, open_view
from potstill.view.settings import ViewSettings

RECIPE = """\
task: {name: two_step_arithmetic, train: 30, dev: 20, test: 60}
teacher: bundled:teacher
student: bundled:student
"""


def make_run(folder: Path, *, seed: int = 0) -> FilledRun:
    """A run with rationales, training and evaluation; its store is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder.with_suffix(".yaml")
    recipe.write_text(RECIPE)
    with Run(load_recipe(recipe, (f"run={json.dumps(str(folder))}",))) as run:
        run.identity.claim()
        filled = FilledRun(run.store, [run.task], random.Random(seed))
        filled.generate_and_curate()
        filled.train()
        filled.evaluate()
        run.report()
    return filled


class Answered(NamedTuple):
    """The response to a request."""

    status: int
    headers: Message
    text: str

    @property
    def json(self) -> Any:
        """The answer as JSON."""
        return json.loads(self.text)


class Viewing(NamedTuple):
    """A running server."""

    opened: OpenedView

    def get(self, path: str = "", **headers: str) -> Answered:
        """Ask for a path."""
        request = urllib.request.Request(self.opened.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answered(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, error.headers, error.read().decode())


@contextmanager
def viewing(folder: Path) -> Iterator[Viewing]:
    """Serve a folder for the time of a block."""
    opened = open_view(folder, ViewSettings(port=0))
    listens = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(opened.run(lambda _: listens.set())), daemon=True
    )
    thread.start()
    try:
        assert listens.wait(60)
        yield Viewing(opened)
    finally:
        opened.server.should_exit = True
        thread.join(30)
