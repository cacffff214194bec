"""Commands that take a run's data out and bring data in: export, import, push."""

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import click

from potstill.cli.app import main, open_run, progress_meter, quiet_option, set_option
from potstill.cli.documents import add_to_document, plain
from potstill.cli.terminal import echo
from potstill.errors import ConfigError
from potstill.text.number_of import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from potstill.exchange import ExportKind, ImportResult, LogKind
    from potstill.pipeline.run import Run
    from potstill.store import Stage

KINDS: tuple["ExportKind", ...] = (
    "rationales", "completions", "chat", "prompt_completion", "preference", "soft_targets",
)  # fmt: skip
"""The kinds of rows that can be exported and pushed."""

LOG_KINDS: tuple["LogKind", ...] = ("inspect", "lm_eval", "every_eval_ever")
"""The programs in whose form scores and samples can be exported."""

_FORMAT_HELP = (
    "How chat, prompt_completion and preference are worded: a data format. By default that of the "
    "run's students where it is a chat, else chat or fine_tune_cot."
)


@main.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out")
@click.option(
    "--what",
    type=click.Choice([*KINDS, *LOG_KINDS]),
    default="rationales",
    show_default=True,
    help="chat to soft_targets are rows for trainers, the last three scores and samples for other "
    "programs' viewers. What each holds and who reads it: docs/exchange.md.",
)
@click.option("--logprobs", is_flag=True, help="Add the completions' token probabilities.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="STAGE",
    help="Whose completions; may be repeated. generate and import by default.",
)
@click.option("--data-format", metavar="NAME", help=_FORMAT_HELP)
@click.option(
    "--student",
    metavar="NAME",
    help="Whose share of the teacher's thinking chat and prompt_completion hold, or whose tokens "
    "soft_targets.",
)
@click.option("--overwrite", is_flag=True, help="Replace the files of OUT that are there.")
@quiet_option
def export_command(run: Path, out: str, what: "ExportKind | LogKind", **options: Any) -> None:
    """Write rationales, completions, training rows or scores to OUT.

    RUN is its folder, or the recipe. OUT is a file that ends in .parquet, .jsonl or .jsonl.gz, or a
    folder with a slash at its end, which gets Parquet files of 50,000 rows; on this machine or at
    an address such as s3://bucket/folder/. For inspect, lm_eval and every_eval_ever it is a folder
    of this machine. The run may be at work meanwhile.
    """
    from potstill.exchange import export_to

    if what == "inspect" or what == "lm_eval" or what == "every_eval_ever":
        _export_logs(run, Path(out), what, options)
        return
    with open_run(run, (), read_only=True) as opened_run:
        exported = export_to(opened_run, out, what, **options)
        if what != "completions":
            _print_stale(opened_run, "curate", run)
    echo(f"export: {exported.rows:,} {what} rows in {out}")
    _print_without_question(exported.without_question, what)
    _print_left_out(exported.left_out)
    add_to_document(file=out, kind=what, **exported._asdict())


def _export_logs(run: Path, folder: Path, what: "LogKind", options: "Mapping[str, Any]") -> None:
    """Write scores and samples; options are of rows, and none of them fits."""
    from potstill.exchange import export_logs

    given = [name.replace("_", "-") for name, value in options.items() if value]
    if given:
        names = ", ".join(f"--{'stage' if name == 'stages' else name}" for name in given)
        raise ConfigError(f"{names} is for rows, not for {what}, which is of scores and samples.")
    with open_run(run, (), read_only=True) as opened_run:
        exported = export_logs(opened_run, folder, what)
        _print_stale(opened_run, "evaluate", run)
    answers, systems = number_of(exported.samples, "answer"), number_of(exported.systems, "system")
    tasks = number_of(exported.tasks, "task")
    echo(f"export: {answers} of {systems} on {tasks} in {folder}, as {what} reads them")
    _print_left_out(exported.left_out)
    add_to_document(folder=folder, kind=what, **exported._asdict())


def _print_stale(run: "Run", stage: "Stage", place: Path) -> None:
    """Say that what is exported is not of the run's recipe, with the commands to repeat."""
    from potstill.pipeline.stale import stale_stages

    for stale in stale_stages(run, [stage]):
        echo(stale.note(shlex.quote(str(place))), err=True)


def _print_left_out(left_out: "Mapping[str, int]") -> None:
    """Say what is not in it."""
    for phrase, count in left_out.items():
        echo(f"  left out: {phrase}: {count:,}")


def _print_without_question(rows: int, what: "ExportKind") -> None:
    """Say how many rows name no question, and what brings their questions back."""
    if rows and what == "completions":
        echo(
            f"  {rows:,} are not known to ask a question of the task; their question columns are "
            "empty. After the questions' file was renamed or its ids were changed, and in a run of "
            "an older potstill, repeat the stages that asked: nothing that is stored is asked again"
        )
    elif rows:
        echo(
            f"  {rows:,} were curated for a question or a gold answer that the task has not now; "
            "their question columns are empty. Run potstill curate again"
        )


@main.command("import")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file")
@click.option("--question-field", metavar="NAME", help="The question's text. question by default.")
@click.option("--id-field", metavar="NAME", help="The question's id, in place of its text.")
@click.option("--rationale-field", metavar="NAME", help="The rationale, or a list of them.")
@click.option("--answer-field", metavar="NAME", help="The answer, if the rationale lacks it.")
@click.option(
    "--teacher",
    default="teacher",
    show_default=True,
    help="Whose answers they are to be, by its name in the recipe.",
)
@set_option("the recipe, e.g. task.train=100")
@quiet_option
def import_command(
    run: Path, file: str, teacher: str, changes: tuple[str, ...], **fields: str | None
) -> None:
    """Store completions or rationales from FILE. Nobody is asked for them.

    RUN is a run's folder, or a recipe. FILE is what potstill export wrote, or anybody's Parquet,
    JSONL, JSON or CSV of questions and rationales: a file, a folder with a slash at its end, or a
    pattern for names; on this machine or at an address such as s3://bucket/folder/. Importing it
    again changes nothing.
    """
    from potstill.exchange import RowFields, import_from

    names = {option.removesuffix("_field"): field for option, field in fields.items() if field}
    with open_run(run, changes) as opened_run:
        row_fields = RowFields(**names) if names else None
        imported = import_from(opened_run, file, row_fields, teacher=teacher)
        print_imported(opened_run, imported)
    add_to_document(**plain(imported))


def print_imported(run: "Run", imported: "ImportResult") -> None:
    """Show how much was stored, and which rows were left out and why."""
    left_out = f", {imported.left_out:,} left out" if imported.left_out else ""
    echo(
        f"import: {imported.stored:,} {imported.kind} stored, "
        f"{imported.there:,} already there{left_out}"
    )
    if imported.kind == "completions":
        for model, count in imported.models.most_common():
            echo(f"  {count:,} of {model}")
    if imported.beyond:
        samples = run.recipe.generate.samples
        echo(
            f"  {imported.beyond:,} are more than generate.samples ({samples}) of their questions; "
            "raise it to use them"
        )
    for at, why in imported.shown:
        echo(f"  {at}: {why}", err=True)
    if imported.left_out > len(imported.shown):
        more = imported.left_out - len(imported.shown)
        echo(f"  and {more:,} more; all are in {run.folder / 'log.jsonl'}", err=True)


@main.command("join")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...", type=click.Path(path_type=Path))
@click.option(
    "--into",
    required=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="The folder of the run that takes the answers; it is made where it is not there.",
)
@quiet_option
def join_command(runs: tuple[Path, ...], into: Path) -> None:
    """Take the answers of RUNS into one run. Nobody is asked.

    RUNS are folders, as workers without a driver leave them (potstill generate --part). Answers are
    told apart by what was asked of which model, so that the joined run asks for none of them again.
    What else the runs hold (verdicts, students, scores) stays there; the stages make it anew.
    Repeated, it takes over what came since.
    """
    from potstill.exchange.join import join_runs
    from potstill.runtime.cost_words import dollars

    joined = join_runs(runs, into, progress_meter())
    for folder, answers in joined.by_run.items():
        differing = f", {answers.differing:,} there otherwise and kept" if answers.differing else ""
        echo(f"join: {folder}: {answers.stored:,} answers, {answers.there:,} there{differing}")
    for folder, writer in joined.at_work.items():
        echo(f"  {folder} is being written by {writer}; join it again when that is done", err=True)
    spent, lost = joined.spent, joined.lost
    echo(f"the answers in {into} cost {dollars(spent.usd)} for {spent.tokens:,} tokens")
    if lost.tokens or lost.usd:
        echo(
            f"  tries without an answer may have cost up to {dollars(lost.usd)} and "
            f"{lost.tokens:,} tokens more, which the joined run's account does not know"
        )
    echo(f"next: potstill run RECIPE --set run={shlex.quote(str(into))}")
    add_to_document(**plain(joined))


@main.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name", metavar="OWNER/NAME")
@click.option(
    "--what", type=click.Choice([*KINDS, "model"]), default="rationales", show_default=True
)
@click.option("--private/--public", default=True, show_default=True, help="Who may see it.")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Write the folder here, and push nothing."
)
@click.option("--licence", metavar="NAME", help="Of the questions, or of the model; e.g. mit.")
@click.option("--language", metavar="CODE", help="Of the questions; e.g. en.")
@click.option("--logprobs", is_flag=True, help="Add the completions' token probabilities.")
@click.option("--data-format", metavar="NAME", help=_FORMAT_HELP)
@quiet_option
def push_command(
    run: Path,
    name: str,
    what: "ExportKind | Literal['model']",
    private: bool,
    to: Path | None,
    **options: Any,
) -> None:
    """Push a run's data or student to the Hugging Face hub. A card goes along.

    RUN is its folder, or the recipe. The token is that of HF_TOKEN or of hf auth login.
    """
    from potstill.exchange import check_push, push_folder

    if to is None:
        check_push(name)
    with open_run(run, (), read_only=True) as opened_run, TemporaryDirectory() as temporary:
        folder = to or Path(temporary) / "pushed"
        _write_folder(opened_run, folder, name, what, linked=to is None, **options)
        if to is not None:
            echo(f"push: {folder} holds what would be pushed to {name}")
            add_to_document(name=name, kind=what, folder=folder, url=None)
            return
        kind: Literal["model", "dataset"] = "model" if what == "model" else "dataset"
        pushed = push_folder(folder, name, kind, private=private, message=f"{what}, by potstill")
    echo(f"push: {pushed.url} ({'private' if pushed.private else 'public'})")
    add_to_document(name=name, kind=what, url=pushed.url, private=pushed.private)


def _write_folder(
    run: "Run",
    folder: Path,
    name: str,
    what: "ExportKind | Literal['model']",
    *,
    linked: bool,
    licence: str | None,
    language: str | None,
    **options: Any,
) -> None:
    """Write the folder to be pushed; a model takes no options of its own."""
    from potstill.exchange import DatasetDescription, HubStudent, dataset_folder, model_folder

    if what == "model":
        model_folder(run, folder, HubStudent(name, licence), linked=linked)
        return
    words = ["potstill", "push", run.folder.name, name, "--what", what]
    if options["data_format"]:
        words += ["--data-format", options["data_format"]]
    description = DatasetDescription(name, shlex.join(words), licence, language)
    written = dataset_folder(run, folder, what, description, **options)
    if what != "completions":
        _print_stale(run, "curate", run.folder)
    _print_without_question(written.without_question, what)
    _print_left_out(written.left_out)
