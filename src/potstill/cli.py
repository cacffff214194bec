"""The command line: one command a stage, and run and demo; no logic.

Nothing heavy is imported before a command needs it, so that ``potstill --help`` answers at once.
"""

import errno
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from potstill.errors import PotstillError

if TYPE_CHECKING:
    from potstill.fuse.run import FusedRun
    from potstill.run import Run


class _Shown(click.ClickException):
    """A user's mistake, shown as one line; the process exits with 2."""

    exit_code = 2


class _Group(click.Group):
    """Shows our own errors as one line. Anything else is a bug and keeps its traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of a run

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
        except KeyboardInterrupt:
            again = shlex.join(["potstill", *sys.argv[1:]])
            click.echo(f"\nStopped. What has arrived is kept; go on with: {again}", err=True)
            ctx.exit(130)


def _changes_of(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that changes settings; ``what`` is whose, with an example."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Change a setting of {what}. May be repeated.",
    )


def _recipe_command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command that works on a recipe."""

    def decorate(function: Callable[..., None]) -> click.Command:
        function = _changes_of("the recipe, e.g. train.steps=200")(function)
        function = click.argument("recipe", type=click.Path(path_type=Path))(function)
        return main.command(name)(function)

    return decorate


@click.group(cls=_Group, context_settings={"max_content_width": 100})
@click.version_option(package_name="potstill")
def main() -> None:
    """Distil multi-step reasoning from a large teacher model into a small student.

    Every command takes a recipe, asks the run's store what is missing and does only that, so it can
    be stopped at any instant and repeated.
    """


@contextmanager
def _opened(recipe: Path, changes: tuple[str, ...], *, read_only: bool = False) -> Iterator["Run"]:
    from potstill.progress import Meter
    from potstill.recipe import load_recipe
    from potstill.run import Run

    with Run(load_recipe(recipe, changes), Meter.on_stderr(), read_only=read_only) as run:
        yield run


@main.command("demo")
@_changes_of("the demonstration, e.g. seed=1")
def demo_command(changes: tuple[str, ...]) -> None:
    """Distil the bundled pair; a few minutes on two cores."""
    with _opened(Path(__file__).parent / "demo.yaml", changes) as run:
        _say_all(run)


@_recipe_command("run")
def run_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Do all stages: generate, curate, train, evaluate, guide where the recipe has it, report."""
    with _opened(recipe, changes) as run:
        _say_all(run)


@_recipe_command("generate")
def generate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Ask the teacher for rationales."""
    with _opened(recipe, changes) as run:
        _say_generate(run)
        _say_next("curate", recipe, changes)


@_recipe_command("curate")
def curate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Keep the rationales that are worth training on."""
    with _opened(recipe, changes) as run:
        _say_curate(run)
        _say_next("train", recipe, changes)


@_recipe_command("train")
def train_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Train the students."""
    with _opened(recipe, changes) as run:
        _say_train(run)
        _say_next("evaluate", recipe, changes)


@_recipe_command("evaluate")
def evaluate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure every system; choose the checkpoint."""
    with _opened(recipe, changes) as run:
        _say_evaluate(run)
        _say_next("guide" if run.recipe.guide else "report", recipe, changes)


@_recipe_command("guide")
def guide_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure what the teacher's steps inside the student's answers bring."""
    with _opened(recipe, changes) as run:
        _say_guide(run)
        _say_next("report", recipe, changes)


@_recipe_command("report")
def report_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Write the run as a page, also while it is at work."""
    with _opened(recipe, changes, read_only=True) as run:
        _say_report(run)


@main.command("serve")
@click.argument("config", type=click.Path(path_type=Path))
@_changes_of("the server, e.g. port=8000")
def serve_command(config: Path, changes: tuple[str, ...]) -> None:
    """Answer as one model: a student, and a teacher that steps in. CONFIG is a YAML file."""
    from potstill.errors import extra
    from potstill.guide.server.settings import ServeSettings
    from potstill.recipe import read_yaml
    from potstill.settings import build

    settings = build(ServeSettings, read_yaml(config, changes), at=str(config))
    with extra("serve", needed_for="potstill serve"):
        from potstill.guide.server.run import serve
    serve(settings)


@main.command("fuse")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Takes what is made.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="average, regmean or ensemble; may be repeated. All three by default.",
)
@_changes_of("fusing, e.g. alpha=[0.1,0.9]")
def fuse_command(
    runs: tuple[Path, ...], out: Path, methods: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Fuse the students of finished runs; RUNS are their folders.

    The members, the fused students and the ensemble are measured on the test questions of all
    their tasks.
    """
    from potstill.fuse.run import FusedRun, fuse_settings
    from potstill.progress import Meter

    with FusedRun(runs, out, fuse_settings(methods, changes), Meter.on_stderr()) as fused:
        _say_fused(fused)


@main.command("tasks")
@click.argument("name", required=False)
def tasks_command(name: str | None) -> None:
    """List the tasks that potstill knows; with NAME, show one and three graded samples."""
    from rich.console import Console

    from potstill.tasks.listing import task_page, tasks_table

    Console(highlight=False).print(tasks_table() if name is None else task_page(name))


@main.command("grade")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--task",
    "name",
    required=True,
    help="What is answered: a task of potstill tasks, or number, choice, yes_no, text, date, "
    "list or math.",
)
@click.option("--text-field", default="completion", show_default=True, help="The completion.")
@click.option("--gold-field", default="answer", show_default=True, help="The gold answer.")
@click.option("--choices-field", default="choices", show_default=True, help="A choice's options.")
@click.option("--question-field", default="question", show_default=True, help="The question.")
@click.option("--verdict-field", help="Somebody else's verdict, to compare with.")
@click.option(
    "--rule",
    default="potstill",
    show_default=True,
    help="Whose rule reads the answers: potstill, or of published code fine_tune_cot, flan_t5_cot, "
    "zero_shot_cot or bbh.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Takes one JSON line for each row.")
def grade_command(file: Path, name: str, rule: str, out: Path | None, **fields: str | None) -> None:
    """Grade a file of completions: JSONL, JSON, CSV or Parquet.

    A field is named as it stands in a row; cot.answer is the field answer inside cot. A row may
    hold a list of completions. The options and the question are used where a row has them.
    """
    from potstill.graded_files import described, grade_file
    from potstill.progress import Meter
    from potstill.tasks import task_named
    from potstill.tasks.fields import Fields

    given = {key.removesuffix("_field"): value for key, value in fields.items() if value}
    task, meter = task_named(name, rule=rule), Meter.on_stderr()
    graded = grade_file(file, task, Fields(**given), meter, out=out)
    for line in described(graded):
        click.echo(line)
    if out is not None:
        click.echo(f"written: {out}")


@main.command("regrade")
@click.argument("run", type=click.Path(path_type=Path))
def regrade_command(run: Path) -> None:
    """Grade a run's stored answers again, by today's grader; RUN is its folder."""
    from potstill.progress import Meter
    from potstill.regrade import described
    from potstill.run import stored_run

    with stored_run(run, Meter.on_stderr()) as stored:
        for line in described(stored.regrade()):
            click.echo(line)


def _say_fused(fused: "FusedRun") -> None:
    from rich.console import Console

    from potstill.report import accuracy_table

    for method, folder in fused.fuse().items():
        click.echo(f"fuse: {method} of {len(fused.members)} students in {folder}")
    fused.evaluate()
    files = fused.report()
    Console(highlight=False).print(accuracy_table(fused.store, fused.tasks))
    click.echo(f"report: {files.html}")


def _say_generate(run: "Run") -> None:
    for note in run.task.notes:
        click.echo(f"{run.task.name}: {note}")
    for note in run.few_shot.notes if run.few_shot else ():
        click.echo(f"exemplars: {note}")
    overlap = ", ".join(
        f"{each.training:,} with {each.task} {each.split}" for each in run.overlaps if each.training
    )
    if overlap:
        did = "left out" if run.recipe.overlap.drop else "kept; overlap.drop leaves them out"
        click.echo(f"overlap: of the training questions {overlap} ({did})")
    drawn = run.generate()
    counts, settings = drawn.counts, run.recipe.generate
    click.echo(
        f"generate: {counts.stored:,} completions stored, {counts.there:,} already there"
        + (f", {counts.failed:,} failed" if counts.failed else "")
        + (f", {counts.absent:,} not to be had" if counts.absent else "")
    )
    if drawn.enough is not None:
        questions = len(run.task.splits["train"])
        click.echo(
            f"  {drawn.enough:,} of {questions:,} questions have {settings.enough_right} right "
            f"rationales; {counts.wanted:,} samples in place of {questions * settings.samples:,}"
        )
    for reason, count in run.store.failures().items():
        click.echo(f"  {count:,} failed: {reason}", err=True)


def _say_curate(run: "Run") -> None:
    verdicts = run.curate()
    dropped = ", ".join(
        f"{count:,} {verdict}" for verdict, count in verdicts.most_common() if verdict != "kept"
    )
    total = verdicts.total()
    kept = f"curate: {verdicts['kept']:,} of {total:,} rationales kept"
    click.echo(f"{kept}; dropped: {dropped}" if dropped else kept)


def _say_train(run: "Run") -> None:
    newest = {checkpoint.student: checkpoint for checkpoint in run.train()}
    for name, checkpoint in newest.items():
        left_out = f"; {checkpoint.too_long:,} too long" if checkpoint.too_long else ""
        trained = f"{checkpoint.step:,} steps on {checkpoint.examples:,} examples"
        click.echo(f"train: {name}, {trained}{left_out}")


def _say_evaluate(run: "Run") -> None:
    evaluation = run.evaluate()
    for reason in evaluation.left_out:
        click.echo(f"evaluate: {reason}")
    chosen = evaluation.chosen
    if chosen is not None:
        click.echo(
            f"evaluate: {chosen.student} step {chosen.step} is best on development questions; "
            f"copied to {run.folder / 'model'}"
        )


def _say_guide(run: "Run") -> None:
    from rich.console import Console

    from potstill.guide import guided_table

    found = run.guide()
    Console(highlight=False).print(guided_table(found.scores))
    for note in found.notes:
        click.echo(f"guide: {note}")


def _say_report(run: "Run") -> None:
    from rich.console import Console

    from potstill.report import accuracy_table

    files = run.report()
    Console(highlight=False).print(accuracy_table(run.store, run.measured_tasks))
    click.echo(f"report: {files.html}")


def _say_all(run: "Run") -> None:
    run.check()
    guided = (_say_guide,) if run.recipe.guide else ()
    for say in (_say_generate, _say_curate, _say_train, _say_evaluate, *guided, _say_report):
        say(run)


def _say_next(stage: str, recipe: Path, changes: tuple[str, ...]) -> None:
    again = [str(recipe), *(word for change in changes for word in ("--set", change))]
    click.echo(f"next: potstill {stage} {shlex.join(again)}")
