"""Commands beside the stages: serve, fuse, tasks, grade, regrade."""

from pathlib import Path

import click

from potstill.cli.app import changes_of, main
from potstill.cli.stages import say_fused


@main.command("serve")
@click.argument("config", type=click.Path(path_type=Path))
@changes_of("the server, e.g. port=8000")
def serve_command(config: Path, changes: tuple[str, ...]) -> None:
    """Answer as one model: a student, and a teacher that steps in. CONFIG is a YAML file."""
    from potstill.errors import extra
    from potstill.pipeline.recipe import read_yaml
    from potstill.serve.settings import ServeSettings
    from potstill.settings import build

    settings = build(ServeSettings, read_yaml(config, changes), at=str(config))
    with extra("serve", needed_for="potstill serve"):
        from potstill.serve.server import serve
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
@changes_of("fusing, e.g. alpha=[0.1,0.9]")
def fuse_command(
    runs: tuple[Path, ...], out: Path, methods: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Fuse the students of finished runs; RUNS are their folders.

    The members, the fused students and the ensemble are measured on the test questions of all
    their tasks.
    """
    from potstill.merge.stage import MergeRun, fuse_settings
    from potstill.runtime.progress import Meter

    with MergeRun(runs, out, fuse_settings(methods, changes), Meter.on_stderr()) as fused:
        say_fused(fused)


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
    from potstill.pipeline.grade_file import described, grade_file
    from potstill.runtime.progress import Meter
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
    from potstill.pipeline.regrade import described
    from potstill.pipeline.run import stored_run
    from potstill.runtime.progress import Meter

    with stored_run(run, Meter.on_stderr()) as stored:
        for line in described(stored.regrade()):
            click.echo(line)
