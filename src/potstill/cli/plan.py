"""plan: what a run will ask, cost and take."""

from pathlib import Path

import click

from potstill.cli.app import opened, recipe_command


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

    from potstill.plan import plan_page, plan_run, probe_run
    from potstill.recipe import load_recipe

    probes = None
    if probe:
        with opened(recipe, changes) as run:
            probes = probe_run(run, probe)
    Console(highlight=False).print(plan_page(plan_run(load_recipe(recipe, changes), probes)))
