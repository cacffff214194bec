"""``potstill check``: what the servers that a recipe or a model names can do."""

from pathlib import Path

import click

from potstill.cli.app import main, open_run, set_option
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo


@main.command("check")
@click.argument("what")
@set_option("the recipe or the model, e.g. base_url=http://127.0.0.1:8000/v1")
def check_command(what: str, changes: tuple[str, ...]) -> None:
    """Find out what a server can do, by a few tokens.

    WHAT is a recipe, whose teachers are asked and which is held against the outcome, or a model as
    openai:NAME.
    """
    path = Path(what)
    if path.is_file():
        _check_recipe(path, changes)
        return
    from potstill.models import model_settings
    from potstill.pipeline.recipe import change_setting
    from potstill.pipeline.server_checks import check_server
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


def _check_recipe(path: Path, changes: tuple[str, ...]) -> None:
    from potstill.errors import ConfigError
    from potstill.pipeline.server_checks import check_server
    from potstill.pipeline.server_needs import lacks
    from potstill.plan.server_table import server_table

    with open_run(path, changes) as run:
        found = {}
        for name, settings in run.recipe.named_teachers.items():
            before = run.runtime.budget.spent
            if settings.address is None:  # of its own, or none
                echo(f"{name}: {settings.model} is no server")
                continue
            found[name] = check_server(settings, run.runtime, run.store)
            spent = run.runtime.budget.spent.minus(before)
            print_table(server_table(settings, found[name], spent))
        if lines := lacks(run.recipe, found):
            raise ConfigError("\n".join(lines))
