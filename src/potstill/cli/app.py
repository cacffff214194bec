"""The command itself: how errors are shown, and what its commands share."""

import errno
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from potstill.errors import PotstillError

if TYPE_CHECKING:
    from potstill.pipeline.run import Run
    from potstill.runtime.events import EventLog


ORDER = (
    *("demo", "plan", "run"),
    *("generate", "curate", "train", "evaluate", "guide", "report"),
    *("export", "import", "push"),
    *("serve", "fuse", "tasks", "grade", "regrade"),
)
"""The commands as help lists them: a run, its stages, its data, and what stands beside."""


class _Shown(click.ClickException):
    """A user's mistake, shown as one line; the process exits with 2."""

    exit_code = 2


class _Group(click.Group):
    """Shows our own errors as one line. Anything else is a bug and keeps its traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=ORDER.index)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PotstillError as error:
            raise _Shown(str(error)) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _Shown(
                f"the disk is full ({error.filename or 'while writing'}). What was stored before "
                "is safe; free some space, then repeat the command."
            ) from error
        except KeyboardInterrupt as stopped:
            again = shlex.join(["potstill", *sys.argv[1:]])
            click.echo(f"\nStopped. What has arrived is kept; go on with: {again}", err=True)
            ctx.exit(128 + getattr(stopped, "signal", signal.SIGINT))


@click.group(cls=_Group, context_settings={"max_content_width": 100})
@click.version_option(package_name="potstill")
def main() -> None:
    """Distil multi-step reasoning from a large teacher model into a small student.

    Every command takes a recipe, asks the run's store what is missing and does only that, so it can
    be stopped at any instant and repeated.
    """


def changes_of(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that changes settings; ``what`` is whose, with an example."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Change a setting of {what}. May be repeated.",
    )


def recipe_command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command that works on a recipe."""

    def decorate(function: Callable[..., None]) -> click.Command:
        function = changes_of("the recipe, e.g. train.steps=200")(function)
        function = click.argument("recipe", type=click.Path(path_type=Path))(function)
        return main.command(name)(function)

    return decorate


@contextmanager
def opened(recipe: Path, changes: tuple[str, ...], *, read_only: bool = False) -> Iterator["Run"]:
    """The run of a recipe."""
    from potstill.pipeline.recipe import load_recipe
    from potstill.pipeline.run import Run
    from potstill.runtime.progress import Meter

    with (
        Run(load_recipe(recipe, changes), Meter.on_stderr(), read_only=read_only) as run,
        _logged(run.control.events),
    ):
        yield run


def _version() -> str | None:
    """The installed version; None where the package is run from its source folder."""
    try:
        return version("potstill")
    except PackageNotFoundError:
        return None


@contextmanager
def _logged(events: "EventLog") -> Iterator[None]:
    """The command's beginning and end in the run's log."""
    context = click.get_current_context()
    begin = time.monotonic()
    events.record("started", command=context.info_name, version=_version())
    error: dict[str, str] = {}
    try:
        yield
    except BaseException as ending:
        error = {"error": type(ending).__name__}
        raise
    finally:
        events.record("ended", seconds=round(time.monotonic() - begin, 3), **error)
