"""Commands beside the stages: init, ask, serve, merge, tasks, score, grade, regrade, schema."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from potstill.cli.app import (
    main,
    on_option,
    open_begun_run,
    open_run,
    progress_meter,
    quiet_option,
    set_option,
)
from potstill.cli.documents import add_to_document, plain, wants_json, write_now
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo

if TYPE_CHECKING:
    from potstill.merge.stage import MergeRun
    from potstill.pipeline.first_recipe import FirstRecipe


@main.command("init")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Takes the recipe; by default FILE's name with .yaml, in the folder you are in.",
)
@set_option("the recipe, e.g. task.question=Frage")
def init_command(file: Path, out: Path | None, changes: tuple[str, ...]) -> None:
    """Write a first recipe for a file of questions.

    FILE is CSV or other separated text, JSON lines, JSON or Parquet. Encoding, separator, columns,
    options and answer type are guessed and shown, with three questions as they will be asked; --set
    says what is guessed wrong.
    """
    from potstill.pipeline.first_recipe import first_recipe, write_first_recipe

    plain = file.with_suffix("") if file.suffix == ".gz" else file
    out = out or Path(f"{plain.stem}.yaml")
    made = first_recipe(file, changes, name=out.stem)
    write_first_recipe(made, out)
    print_first_recipe(made, out)


def print_first_recipe(made: "FirstRecipe", out: Path) -> None:
    """Show what was guessed, and three questions as they will be asked."""
    from potstill.runtime.progress import printable

    counts = {name: len(members) for name, members in made.task.splits.items()}
    total = sum(counts.values())
    divided = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    echo(f"{made.task.source}: {total:,} questions ({divided})")
    for guess in made.guesses:
        echo(f"  {guess}")
    for note in made.task.notes:
        echo(f"  {note}")
    for number, (prompt, answer) in enumerate(zip(made.prompts, made.answers, strict=True), 1):
        echo(f"\nquestion {number}, as it will be asked:")
        for line in prompt.splitlines():
            echo(f"  | {printable(line)}")
        echo(f"  gold answer: {printable(answer)}")
    add_to_document(
        recipe=out,
        source=made.task.source,
        questions=counts,
        guesses=made.guesses,
        notes=made.task.notes,
        prompts=made.prompts,
        answers=made.answers,
        next=f"potstill plan {shlex.quote(str(out))}",
    )
    echo(f"\nwritten: {out}; put your teacher's name there")
    echo(f"next: potstill plan {shlex.quote(str(out))}", whole=True)


@main.command("ask")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("question")
@quiet_option
def ask_command(run: Path, question: str) -> None:
    """Put a question to the student that a run chose.

    RUN is its folder, or the recipe. The student is asked as it was trained and measured. A
    QUESTION of - is read from standard input.
    """
    from potstill.pipeline.chosen_student import ask_student
    from potstill.runtime.progress import printable

    text = sys.stdin.read() if question == "-" else question
    with open_run(run, (), read_only=True) as opened_run:
        answer = ask_student(opened_run, text)
    add_to_document(
        question=text,
        text=answer.text,
        thinking=answer.thinking,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        thinking_ended=answer.thinking_ended,
    )
    for line in answer.text.strip().splitlines():
        echo(printable(line))
    if not answer.text.strip():
        thought = " behind its thinking" if (answer.thinking or "").strip() else ""
        echo(f"(the student's answer is empty: it wrote nothing{thought})", err=True)
    if answer.thinking_ended:
        limit = answer.request.thinking_tokens or 0
        echo(f"(its thinking was ended at {limit:,} tokens, evaluate.thinking_tokens)", err=True)
    if answer.finish_reason == "length":
        limit = answer.request.max_tokens
        echo(f"(cut off: no end within {limit:,} tokens, evaluate.max_tokens)", err=True)


@main.command("serve")
@click.argument("config", metavar="RUN|CONFIG", type=click.Path(path_type=Path))
@set_option("the server, e.g. port=8000")
def serve_command(config: Path, changes: tuple[str, ...]) -> None:
    """Answer as one model: a student, and a teacher that steps in.

    RUN is a run's folder, whose chosen student is served as it was trained. CONFIG is a YAML file
    of settings.
    """
    from potstill.errors import ConfigError, extra
    from potstill.pipeline.recipe import read_yaml
    from potstill.pipeline.settings_file import change_setting
    from potstill.serve.settings import ServeSettings
    from potstill.settings import build

    if config.is_dir():
        from potstill.pipeline.chosen_student import serving

        with open_run(config, (), read_only=True) as run:
            raw = serving(run)
        for change in changes:
            change_setting(raw, change)
    else:
        raw = read_yaml(config, changes)
        if {"task", "train", "evaluate"} & raw.keys():
            folder = shlex.quote(str(raw.get("run", f"runs/{config.stem}")))
            raise ConfigError(f"{config} is a recipe. Serve its run: potstill serve {folder}")
    settings = build(ServeSettings, raw, at=str(config))
    with extra("serve", needed_for="potstill serve"):
        from potstill.serve.server import serve
    serve(settings, lambda url: write_now(url=url, model=settings.served_name))


@main.command("merge")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Takes the results.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="average, fisher, regmean or ensemble; may be repeated. By default all but fisher.",
)
@set_option("merging, e.g. alpha=[0.1,0.9]")
@quiet_option
def merge_command(
    runs: tuple[Path, ...], out: Path, methods: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Merge the students of finished runs into one.

    RUNS are their folders. The members, the merged students and the ensemble are measured on the
    test questions of all their tasks.
    """
    from potstill.errors import extra

    with extra("local", needed_for="potstill merge"):
        from potstill.merge.stage import MergeRun, merge_settings
    with MergeRun(runs, out, merge_settings(methods, changes), progress_meter()) as run:
        run_merge(run)


# The command's former name, for scripts that were written with it.
main.add_command(
    click.Command(
        "fuse",
        params=merge_command.params,
        callback=merge_command.callback,
        help=merge_command.help,
        hidden=True,
    )
)


def run_merge(run: "MergeRun") -> None:
    """Merge the members, then measure them beside what came of it."""
    from potstill.report import accuracy_table

    merged = run.merge()
    for method, folder in merged.items():
        echo(f"merge: {method} of {len(run.members)} students in {folder}")
    run.evaluate()
    files = run.report()
    print_table(accuracy_table(run.store, run.tasks))
    echo(f"report: {files.html}")
    add_to_document(merged=merged, report=files, scores=run.store.scores())


@main.command("tasks")
@click.argument("name", required=False)
def tasks_command(name: str | None) -> None:
    """List the tasks that potstill knows. With NAME, show one and three graded samples."""
    from potstill.tasks.listing import task_page, task_values, tasks_table, tasks_values

    print_table(tasks_table() if name is None else task_page(name))
    if wants_json():
        add_to_document(**(tasks_values() if name is None else task_values(name)))


@main.command("grade")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--task",
    "name",
    required=True,
    help="What is answered: a task of potstill tasks; or number, choice, yes_no, text, date, "
    "list or math; or module:name of a reader of your own.",
)
@click.option("--text-field", default="completion", show_default=True, help="The completion.")
@click.option(
    "--gold-field", help="The gold answer; gold_answer where rows have it, else answer, by default."
)
@click.option("--choices-field", default="choices", show_default=True, help="A choice's options.")
@click.option("--question-field", default="question", show_default=True, help="The question.")
@click.option("--verdict-field", help="Somebody else's verdict, to compare with.")
@click.option(
    "--rule",
    default="potstill",
    show_default=True,
    help="Whose rule reads the answers: potstill; of published code fine_tune_cot, flan_t5_cot, "
    "zero_shot_cot or bbh; or module:name of one of your own.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Takes one JSON line for each row.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out if it is there.")
@quiet_option
def grade_command(
    file: Path, name: str, rule: str, out: Path | None, overwrite: bool, **fields: str | None
) -> None:
    """Grade a file of completions: JSONL, JSON, CSV or Parquet.

    A field is named as it stands in a row; cot.answer is the field answer inside cot. A row may
    hold a list of completions. The options and the question are used where a row has them.
    """
    from potstill.pipeline.grade_file import describe_graded, grade_file
    from potstill.tasks import task_named
    from potstill.tasks.fields import Fields

    names = {option.removesuffix("_field"): field for option, field in fields.items() if field}
    task, meter = task_named(name, rule=rule), progress_meter()
    graded = grade_file(file, task, Fields(**names), meter, out=out, overwrite=overwrite)
    for line in describe_graded(graded):
        echo(line)
    add_to_document(**plain(graded), out=out)
    if out is not None:
        echo(f"written: {out}")


@main.command("score")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model", "name", required=True, metavar="KIND:WHERE", help="The model, as in a recipe."
)
@click.option(
    "--prompt-field",
    default="prompt",
    show_default=True,
    help="What stands before the text: text, or a list of chat messages.",
)
@click.option("--text-field", default="text", show_default=True, help="The text to be scored.")
@click.option(
    "--top",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="Likeliest tokens listed at each place.",
)
@click.option("--ends", is_flag=True, help="Score the end of the answer behind each text, too.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Takes one JSON line for each row.",
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder that keeps what was scored; by default that of --out with .run behind it.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --out if it is there.")
@set_option("the model and the budget, e.g. model.base_url=http://127.0.0.1:8000/v1, budget.usd=2")
@quiet_option
@on_option
def score_command(
    file: Path,
    name: str,
    out: Path,
    folder: Path | None,
    overwrite: bool,
    changes: tuple[str, ...],
    prompt_field: str,
    text_field: str,
    top: int,
    ends: bool,
) -> None:
    """Score a file of texts: JSONL, JSON, CSV or Parquet.

    Each row has a prompt and a text, which the model did not write. Its line in OUT has the
    log-probability of the text and of each of its tokens, with the likeliest tokens beside it, all
    by their bytes. Short fields of the row, such as its id, are kept beside. What was scored is not
    paid for again.
    """
    from potstill.pipeline.score_file import (
        ScoringJob,
        describe_scored,
        score_file,
        score_settings,
    )
    from potstill.pipeline.settings_file import change_setting
    from potstill.runtime.signals import terminating

    raw: dict[str, object] = {"model": {"model": name}}
    for change in changes:
        change_setting(raw, change)
    model, budget, run_on = score_settings(raw)
    job = ScoringJob(
        path=file,
        model=model,
        out=out,
        folder=folder or out.with_name(f"{out.name}.run"),
        prompt_field=prompt_field,
        text_field=text_field,
        top=top,
        ends=ends,
        budget=budget,
        run_on=run_on,
    )
    with terminating():
        scored = score_file(job, progress_meter(), overwrite=overwrite)
    for line in describe_scored(scored):
        echo(line)
    echo(f"written: {out}")
    add_to_document(out=out, **plain(scored))


@main.command("regrade")
@click.argument("run", type=click.Path(path_type=Path))
@quiet_option
def regrade_command(run: Path) -> None:
    """Grade a run's stored answers again, by today's grader. RUN is its folder, or the recipe."""
    from potstill.pipeline.regrade import describe_regraded

    with open_begun_run(run) as opened:
        regraded = opened.regrade()
        for line in describe_regraded(regraded):
            echo(line)
    add_to_document(**regraded._asdict())


@main.command("schema")
def schema_command() -> None:
    """Print the JSON schema of recipes. By it an editor completes and checks them."""
    import json

    from potstill.pipeline.recipe_schema import recipe_schema

    if wants_json():
        add_to_document(**recipe_schema())
    else:
        echo(json.dumps(recipe_schema(), indent=2))
