"""A command a stage, and run and demo.

What the commands say about what they did.

plan: what a run will ask, cost and take.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from potstill.cli.app import changes_of, main, opened, recipe_command


@main.command("demo")
@changes_of("the demonstration, e.g. seed=1")
def demo_command(changes: tuple[str, ...]) -> None:
    """Distil the bundled pair; a few minutes on two cores."""
    with opened(Path(__file__).parents[1] / "demo.yaml", changes) as run:
        say_all(run)


@recipe_command("run")
def run_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Do all stages: generate, curate, train, evaluate, guide where the recipe has it, report."""
    with opened(recipe, changes) as run:
        say_all(run)


@recipe_command("generate")
def generate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Ask the teacher for rationales."""
    with opened(recipe, changes) as run:
        say_generate(run)
        say_next("curate", recipe, changes)


@recipe_command("curate")
def curate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Keep the rationales that are worth training on."""
    with opened(recipe, changes) as run:
        say_curate(run)
        say_next("train", recipe, changes)


@recipe_command("train")
def train_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Train the students."""
    with opened(recipe, changes) as run:
        say_train(run)
        say_next("evaluate", recipe, changes)


@recipe_command("evaluate")
def evaluate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure every system; choose the checkpoint."""
    with opened(recipe, changes) as run:
        say_evaluate(run)
        say_next("guide" if run.recipe.guide else "report", recipe, changes)


@recipe_command("guide")
def guide_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure what the teacher's steps inside the student's answers bring."""
    with opened(recipe, changes) as run:
        say_guide(run)
        say_next("report", recipe, changes)


@recipe_command("report")
def report_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Write the run as a page, also while it is at work."""
    with opened(recipe, changes, read_only=True) as run:
        say_report(run)


if TYPE_CHECKING:
    from potstill.generate import GenerateResult
    from potstill.merge.stage import MergeRun
    from potstill.pipeline.run import Run


def say_fused(fused: "MergeRun") -> None:
    """Fuse the members, measure what came of it, and say so."""
    from rich.console import Console

    from potstill.report import accuracy_table

    for method, folder in fused.fuse().items():
        click.echo(f"fuse: {method} of {len(fused.members)} students in {folder}")
    fused.evaluate()
    files = fused.report()
    Console(highlight=False).print(accuracy_table(fused.store, fused.tasks))
    click.echo(f"report: {files.html}")


def say_generate(run: "Run") -> None:
    """Ask the teacher, and say what came."""
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
    for name, each in drawn.items():
        whose = f", {name}" if len(drawn) > 1 else ""
        _say_drawn(run, each, f"generate{whose}")
    for reason, count in run.store.failures().items():
        click.echo(f"  {count:,} failed: {reason}", err=True)


def _say_drawn(run: "Run", drawn: "GenerateResult", label: str) -> None:
    """What came from one teacher."""
    counts, settings = drawn.counts, run.recipe.generate
    click.echo(
        f"{label}: {counts.stored:,} completions stored, {counts.there:,} already there"
        + (f", {counts.failed:,} failed" if counts.failed else "")
        + (f", {counts.absent:,} not to be had" if counts.absent else "")
    )
    if drawn.enough is not None:
        questions = len(run.task.splits["train"])
        click.echo(
            f"  {drawn.enough:,} of {questions:,} questions have {settings.enough_right} right "
            f"rationales; {counts.wanted:,} samples in place of {questions * settings.samples:,}"
        )


def say_curate(run: "Run") -> None:
    """Curate, and say what was kept."""
    verdicts = run.curate()
    dropped = ", ".join(
        f"{count:,} {verdict}" for verdict, count in verdicts.most_common() if verdict != "kept"
    )
    total = verdicts.total()
    kept = f"curate: {verdicts['kept']:,} of {total:,} rationales kept"
    click.echo(f"{kept}; dropped: {dropped}" if dropped else kept)
    if run.recipe.teachers:
        from rich.console import Console

        from potstill.report import teachers_table

        Console(highlight=False).print(teachers_table(run.store))


def say_train(run: "Run") -> None:
    """Train the students, and say on what."""
    newest = {checkpoint.student: checkpoint for checkpoint in run.train()}
    for name, checkpoint in newest.items():
        left_out = f"; {checkpoint.too_long:,} too long" if checkpoint.too_long else ""
        trained = f"{checkpoint.step:,} steps on {checkpoint.examples:,} examples"
        click.echo(f"train: {name}, {trained}{left_out}")


def say_evaluate(run: "Run") -> None:
    """Measure, and say which checkpoint was chosen."""
    evaluation = run.evaluate()
    for reason in evaluation.left_out:
        click.echo(f"evaluate: {reason}")
    chosen = evaluation.chosen
    if chosen is not None:
        click.echo(
            f"evaluate: {chosen.student} step {chosen.step} is best on development questions; "
            f"copied to {run.folder / 'model'}"
        )


def say_guide(run: "Run") -> None:
    """Guide the student, and show what it brought."""
    from rich.console import Console

    from potstill.report.tables import guided_table

    found = run.guide()
    Console(highlight=False).print(guided_table(found.scores))
    for note in found.notes:
        click.echo(f"guide: {note}")


def say_report(run: "Run") -> None:
    """Write the report, and say where."""
    from rich.console import Console

    from potstill.report import accuracy_table

    files = run.report()
    Console(highlight=False).print(accuracy_table(run.store, run.measured_tasks))
    click.echo(f"report: {files.html}")


def say_all(run: "Run") -> None:
    """All stages, one after the other."""
    run.check()
    guided = (say_guide,) if run.recipe.guide else ()
    for say in (say_generate, say_curate, say_train, say_evaluate, *guided, say_report):
        say(run)


def say_next(stage: str, recipe: Path, changes: tuple[str, ...]) -> None:
    """The command that goes on."""
    again = [str(recipe), *(word for change in changes for word in ("--set", change))]
    click.echo(f"next: potstill {stage} {shlex.join(again)}")


@recipe_command("plan")
@click.option(
    "--probe",
    default=0,
    metavar="N",
    type=click.IntRange(min=0),
    help="First ask N of the requests that lack, and go by their answers, which are kept.",
)
def plan_command(recipe: Path, changes: tuple[str, ...], probe: int) -> None:
    """Say what a run will ask, cost and take, before its first request."""
    from rich.console import Console

    from potstill.pipeline.recipe import load_recipe
    from potstill.plan import plan_page, plan_run, probe_run

    probes = None
    if probe:
        with opened(recipe, changes) as run:
            probes = probe_run(run, probe)
    Console(highlight=False).print(plan_page(plan_run(load_recipe(recipe, changes), probes)))
