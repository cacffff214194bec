"""``potstill check`` and ``potstill clean``: what servers can do, whether a run is whole."""

from pathlib import Path

import click

from potstill.cli.app import main, open_begun_run, open_run, quiet_option, set_option
from potstill.cli.documents import add_to_document, wants_json, write_document
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo
from potstill.errors import ConfigError
from potstill.text.chosen_on_test import BEST_ON_TEST, CHOSEN_ON_TEST
from potstill.text.terminal_text import terminal_text


@main.command("check")
@click.argument("what")
@set_option("the recipe or the model, e.g. base_url=http://127.0.0.1:8000/v1")
@quiet_option
def check_command(what: str, changes: tuple[str, ...]) -> None:
    """Find out what a server can do, or whether a run is whole.

    WHAT is a recipe, whose teachers are asked a few tokens and which is held against the outcome; a
    model as openai:NAME; or a run's folder, which is looked over for damage and for what is stale:
    nobody is asked, nothing is written, and what is found ends the command with 1.
    """
    path = Path(what)
    if path.is_dir():
        _check_run(path)
        return
    if path.is_file():
        _check_recipe(path, changes)
        return
    if ":" not in what:
        raise ConfigError(
            f"there is no {what}. Give a recipe, a run's folder, or a model as openai:NAME."
        )
    from potstill.models import model_settings
    from potstill.pipeline.server_checks import check_server
    from potstill.pipeline.settings_file import change_setting
    from potstill.plan.server_table import server_table
    from potstill.runtime import Runtime

    raw: dict[str, object] = {"model": what}
    for change in changes:
        change_setting(raw, change)
    settings, runtime = model_settings(raw, at=what), Runtime()
    try:
        found = check_server(settings, runtime, None)
    finally:
        runtime.close()
    print_table(server_table(settings, found, runtime.budget.spent))
    add_to_document(model=what, capabilities=found, spent=runtime.budget.spent)


def _check_run(folder: Path) -> None:
    """Show what is wrong with a run, and end with 1 where anything is."""
    from rich.table import Table
    from rich.text import Text

    from potstill.pipeline.run_check import check_run

    checked = check_run(folder)
    add_to_document(folder=folder, **checked._asdict())
    for note in checked.notes:
        echo(f"check: {note}")
    removed = f", {checked.removed:,} of them removed by potstill clean" if checked.removed else ""
    held = f"{checked.completions:,} completions, {checked.checkpoints:,} checkpoints{removed}"
    if not checked.faults:
        echo(f"check: {folder} is whole: {held}")
        return
    table = Table("where", "what is wrong", "what to do", box=None, padding=(0, 2, 0, 0))
    for fault in checked.faults:
        table.add_row(*(Text(terminal_text(word), overflow="fold") for word in fault))
    print_table(table)
    count = "1 fault" if len(checked.faults) == 1 else f"{len(checked.faults):,} faults"
    echo(f"check: {count} in {folder} ({held})")
    click.get_current_context().exit(1)


@main.command("clean")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Remove without asking.")
@quiet_option
def clean_command(run: Path, yes: bool) -> None:
    """Remove what a run needs no more. What and how many bytes is said first.

    RUN is its folder, or the recipe. The weights of checkpoints that were not chosen go, optimizer
    states of finished trainings, trainings of former recipes, and what killed processes left.
    Nothing goes that a repeated command would have to ask, or train, again.
    """
    from potstill.pipeline.run_clean import remove, superseded

    with open_begun_run(run) as opened:
        things = superseded(opened)
        for thing in things:
            echo(f"{thing.size:>15,} bytes  {thing.path.relative_to(opened.folder)}: {thing.what}")
        total = sum(thing.size for thing in things)
        add_to_document(folder=opened.folder, superseded=things, bytes=total, removed=False)
        if not things:
            echo(f"clean: {opened.folder} holds nothing that could go")
            return
        if not yes:
            _confirm_removal(total)
        remove(things)
        add_to_document(removed=True)
        echo(f"clean: {total:,} bytes removed")


def _confirm_removal(total: int) -> None:
    """Asks whether so many bytes may go; a no ends the command with 1.

    Raises:
        ConfigError: Nobody is there to answer.
    """
    try:
        may_go = click.confirm(f"Remove these {total:,} bytes?", err=wants_json())
    except click.Abort:
        raise ConfigError(
            "nothing was removed, as nobody answered. Give --yes to remove without being asked."
        ) from None
    if not may_go:
        raise click.Abort


def _check_recipe(path: Path, changes: tuple[str, ...]) -> None:
    from potstill.models.settings import ServerSettings
    from potstill.pipeline.server_checks import check_server
    from potstill.pipeline.server_needs import lacks
    from potstill.plan.server_table import server_table

    with open_run(path, changes) as run:
        if run.recipe.evaluate.select == BEST_ON_TEST:
            echo(f"check: {CHOSEN_ON_TEST}")
        if run.recipe.judge is not None:
            run.recipe.judge.check_key()
        found = {}
        servers: dict[str, object] = {}
        for name, settings in run.recipe.named_teachers.items():
            before = run.runtime.budget.spent
            if not isinstance(settings, ServerSettings):
                echo(f"{name}: {settings.model} is no server")
                continue
            found[name] = check_server(settings, run.runtime, run.store)
            spent = run.runtime.budget.spent.minus(before)
            servers[name] = {"capabilities": found[name], "spent": spent}
            print_table(server_table(settings, found[name], spent))
        add_to_document(servers=servers)
        if lines := lacks(run.recipe, found):
            write_document(click.get_current_context())
            raise ConfigError("\n".join(lines))
