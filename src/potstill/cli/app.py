"""The ``potstill`` command itself: how errors are shown, and the options that commands share."""

import errno
import json
import resource
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

import potstill
from potstill.cli.documents import json_option, write_document
from potstill.cli.terminal import clean_warnings, echo
from potstill.errors import ConfigError, OutdatedError, PotstillError, extra, repeat_commands
from potstill.launched import is_main_process, process_count, refuse_several, tells_ending
from potstill.text.terminal_text import terminal_text

if TYPE_CHECKING:
    from potstill.pipeline.run import Run
    from potstill.runtime.events import EventLog
    from potstill.runtime.progress import Meter
    from potstill.tasks.part import TaskPart


ORDER = (
    *("init", "check", "demo", "plan", "advise", "run", "status", "view"),
    *("generate", "curate", "train", "evaluate", "guide", "report"),
    *("ask", "serve", "export-model", "verify", "export", "import", "join", "push", "clean"),
    *("compare", "experiment", "merge", "fuse", "tasks", "score", "grade", "regrade", "schema"),
)
"""The commands as help lists them: a run, its stages, its data, and the tools beside them."""


HELP_OPTIONS = ["-h", "--help"]
"""The options by which every command shows its help."""

IN_SEVERAL_PROCESSES = ("train",)
"""The commands that several processes do together, as torchrun and accelerate start them."""


class _UserError(click.ClickException):
    """A user's mistake, shown on a line, or on one for each fault; the process exits with 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.format_message().splitlines():
            echo(f"Error: {line}", file=file, err=file is None, whole=True, by_any=True)


class _CommandGroup(click.Group):
    """Shows our own errors as one line. Anything else is a bug and keeps its traceback."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, which gets ``--json`` and ``-h`` as all have them."""
        # click keeps a command's option for help as its first caller found it.
        cmd.context_settings.setdefault("help_option_names", HELP_OPTIONS)
        if not any(parameter.name == "json" for parameter in cmd.params):
            cmd.params.append(json_option())
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=ORDER.index)

    def invoke(self, ctx: click.Context) -> Any:
        _raise_file_limit()
        clean_warnings()
        try:
            return self._explained(ctx)
        except click.ClickException as error:
            if not tells_ending():
                ctx.exit(error.exit_code)
            raise
        except KeyboardInterrupt as stopped:
            if tells_ending():
                _tell_stopped()
            ctx.exit(128 + getattr(stopped, "signal", signal.SIGINT))

    def _explained(self, ctx: click.Context) -> Any:
        """Do what the command does; what the user can mend is an error for one line."""
        try:
            return self._answered(ctx)
        except click.ClickException as error:
            vars(error)["message"] = terminal_text(error.message + _setting_hint(error))
            raise
        except PotstillError as error:
            raise _UserError(str(error)) from error
        except OSError as error:
            reason = _system_reason(error)
            if reason is None:
                raise
            raise _UserError(reason) from error

    def _answered(self, ctx: click.Context) -> Any:
        """Do what the command does, then write its document, if ``--json`` asks for one.

        Commands that end with another code than 0, for what they have found, have one too.
        """
        try:
            returned = super().invoke(ctx)
        except click.exceptions.Exit:
            write_document(ctx)
            raise
        write_document(ctx)
        return returned


def _setting_hint(error: click.ClickException) -> str:
    """Returns how a setting is given, for an option that a command with settings does not have."""
    if not isinstance(error, click.NoSuchOption) or error.possibilities or error.ctx is None:
        return ""
    if not any(parameter.name == "changes" for parameter in error.ctx.command.params):
        return ""
    name = error.option_name.lstrip("-").replace("-", "_")
    return f" Settings are changed by --set, as in --set {name}=VALUE."


def _tell_stopped() -> None:
    again = shlex.join(["potstill", *sys.argv[1:]])
    line = f"\nStopped. What has arrived is kept; go on with: {again}"
    echo(line, err=True, whole=True, by_any=True)


MOST_FILES = 4096
"""Files that a command may want to have open at once."""

SYSTEM_REASONS = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        "the disk is full ({at}). What was stored before is safe; "
        "free some space, then repeat the command.",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        "too many files are open at once. Raise the limit with "
        "ulimit -n 4096, or lower the concurrency of the models that are asked, then repeat.",
    ),
    errno.EFBIG: "a file may not grow so large here ({at}). Raise the limit with ulimit -f, or "
    "work on another disk, then repeat the command.",
    errno.EROFS: "{at} is on a medium that can only be read. Copy it, or work elsewhere.",
    errno.EACCES: "permission denied ({at}).",
    errno.EPERM: "it is not permitted ({at}).",
    errno.EIO: "the disk cannot be read or written ({at}: input/output error). Look after it, then "
    "repeat the command.",
    errno.ENAMETOOLONG: "a name is too long for this disk ({at}).",
    errno.ENOTDIR: "a file stands where a folder is needed ({at}).",
    errno.EISDIR: "a folder stands where a file is needed ({at}).",
}
"""Messages for errors of the system that are no fault of ours, by errno; ``{at}`` is the path."""


def _raise_file_limit() -> None:
    """Allow as many open files as this process may have: some systems begin with 256.

    Requests in flight take one each.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _system_reason(error: OSError) -> str | None:
    """Returns why the system refused something, in a line; None where it may be our own fault."""
    reason = SYSTEM_REASONS.get(error.errno or 0)
    return reason and reason.format(at=error.filename or "while writing")


@click.group(
    cls=_CommandGroup,
    context_settings={"max_content_width": 100, "help_option_names": HELP_OPTIONS},
)
@click.version_option(package_name="potstill")
def main() -> None:
    """Distil multi-step reasoning from a large teacher model into a small student.

    Every command takes a recipe, asks the run's store what is missing and does only that, so it can
    be stopped at any instant and repeated.
    """
    command = click.get_current_context().invoked_subcommand
    if command not in IN_SEVERAL_PROCESSES:
        refuse_several(str(command))


def set_option(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option ``--set``; ``example`` names the settings it changes, with one of them."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Change a setting of {example}. May be repeated.",
    )


_QUIET = "potstill.quiet"
"""The name under which the context keeps whether progress is hidden."""


def _keep_quiet(context: click.Context, _: click.Parameter, quiet: bool) -> None:
    context.find_root().meta[_QUIET] = quiet


def quiet_option(function: Callable[..., None]) -> Callable[..., None]:
    """The option ``--quiet``."""
    return click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_keep_quiet,
        help="Show no progress: results and errors alone. The run's log has it all the same.",
    )(function)


def progress_meter() -> "Meter":
    """A meter on standard error; one that shows nothing under ``--quiet``."""
    from potstill.runtime.progress import Meter

    quiet = click.get_current_context().find_root().meta.get(_QUIET, False)
    quiet = quiet or not is_main_process()
    return Meter(None) if quiet else Meter.on_stderr()


def on_option(function: Callable[..., None]) -> Callable[..., None]:
    """The option ``--on``, which reaches the function as a change of the settings."""

    @wraps(function)
    def placed(*arguments: Any, on: str | None, changes: tuple[str, ...], **options: Any) -> None:
        if on is not None:
            engine, is_address, _ = on.partition("://")
            place = (f"run_on.address={on}",) if is_address else ()
            changes = (*changes, f"run_on.engine={engine}", *place)
        function(*arguments, changes=changes, **options)

    return click.option(
        "--on",
        metavar="ray|ray://HOST:PORT",
        help="Ask the models by workers on a Ray cluster: that of run_on.address, or this one.",
    )(placed)


def recipe_command(
    name: str, *, asks: bool = False
) -> Callable[[Callable[..., None]], click.Command]:
    """A command that works on a recipe.

    Args:
        name: The command.
        asks: Whether it asks models, which may be done elsewhere.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        function = on_option(function) if asks else function
        function = quiet_option(set_option("the recipe, e.g. train.steps=200")(function))
        function = click.argument("recipe", type=click.Path(path_type=Path))(function)
        return main.command(name)(function)

    return decorate


@contextmanager
def open_run(
    recipe: Path,
    changes: tuple[str, ...],
    *,
    read_only: bool = False,
    part: "TaskPart | None" = None,
) -> Iterator["Run"]:
    """The run of a recipe, or the run in a folder, wherever it was moved to; or that of a part.

    Its progress is on the terminal, and the command in its log.
    """
    from potstill.pipeline.part_recipe import part_recipe
    from potstill.pipeline.recipe import load_recipe
    from potstill.pipeline.run import Run
    from potstill.runtime.signals import terminating

    read, is_moved = load_recipe(*recipe_of(recipe, changes)), recipe.is_dir()
    read = part_recipe(read, part) if part else read
    with (
        _processes(),
        terminating(),
        Run(read, progress_meter(), read_only=read_only, is_moved=is_moved) as run,
        _logged(run.context.events),
    ):
        try:
            yield run
        except OutdatedError as error:
            consent = ("reuse=true",) if run.identity.needs_consent else ()
            words = arguments_of(recipe, (*changes, *consent))
            raise OutdatedError(error.reason, error.commands, words) from error


def _processes() -> AbstractContextManager[None]:
    """The group of the processes that a launcher has started, where there are several."""
    if process_count() == 1:
        return nullcontext()
    with extra("local", needed_for="work in several processes"):
        from potstill.train.processes import training_processes
    return training_processes()


def begun_folder(place: Path) -> Path:
    """Returns a folder as it is given, or that of a recipe's run.

    Raises:
        ConfigError: The recipe cannot be read, or no command has worked on its run.
    """
    from potstill.pipeline.recipe import load_recipe

    if place.is_dir():
        return place
    folder = load_recipe(place).folder
    if not (folder / "run.sqlite").is_file():
        begin = repeat_commands(["run"], shlex.quote(str(place)))
        raise ConfigError(f"{place} was not run yet: {folder} holds no run. {begin} begins it.")
    return folder


@contextmanager
def open_begun_run(place: Path) -> Iterator["Run"]:
    """The run of a recipe or in a folder, which is there already.

    Raises:
        ConfigError: There is none.
    """
    folder = begun_folder(place)
    if not (folder / "run.sqlite").is_file():
        raise ConfigError(
            f"{place} is no run: it holds no run.sqlite. Give a run's folder, or the recipe of one."
        )
    with open_run(place, ()) as run:
        yield run


def recipe_of(place: Path, changes: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """Returns a recipe with its changes; of a run's folder its own recipe, which keeps to it.

    Raises:
        ConfigError: The folder holds no recipe.
    """
    if not place.is_dir():
        return place, changes
    if not (place / "recipe.yaml").exists():
        raise ConfigError(
            f"{place} is no run: it holds no recipe.yaml. Give a run's folder or a recipe."
        )
    return place / "recipe.yaml", (*changes, f"run={json.dumps(str(place))}")


def arguments_of(recipe: Path, changes: tuple[str, ...]) -> str:
    """The arguments that give a command the same recipe with the same changes."""
    return shlex.join([str(recipe), *(word for change in changes for word in ("--set", change))])


@contextmanager
def _logged(events: "EventLog") -> Iterator[None]:
    """Write the command's beginning and end to the run's log."""
    context = click.get_current_context()
    begin = time.monotonic()
    events.record("started", command=context.info_name, version=potstill.__version__)
    failure: dict[str, str] = {}
    try:
        yield
    except BaseException as error:
        failure = {"error": type(error).__name__}
        raise
    finally:
        events.record("ended", seconds=round(time.monotonic() - begin, 3), **failure)
