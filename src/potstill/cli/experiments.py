"""The command that runs recipes with several seeds: experiment."""

import json
import os
import shlex
import sys
from pathlib import Path

import click

from potstill.cli.app import main, set_option
from potstill.cli.documents import add_to_document
from potstill.cli.terminal import echo
from potstill.errors import ConfigError


@main.command("experiment")
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--seeds",
    default=5,
    show_default=True,
    help="Trainings of each, with seeds 0, 1, 2, ...",
    type=click.IntRange(min=1),
)
@click.option(
    "--first-seed",
    default=0,
    show_default=True,
    help="The first of these seeds, where several machines or a job array share an experiment.",
    type=click.IntRange(min=0),
)
@click.option(
    "--against",
    multiple=True,
    default=["answers_only"],
    show_default=True,
    metavar="SYSTEM",
    help="Compare every other with this system. May be repeated.",
)
@click.option("--jobs", default=1, show_default=True, help="Runs at once.", type=click.IntRange(1))
@click.option(
    "--per-seed",
    multiple=True,
    metavar="NAME",
    help="A further setting that gets the seed's number, e.g. task.split_seed: where questions can "
    "be drawn anew, each seed has its own. May be repeated.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="'NAME SETTING=VALUE ...'",
    help="The recipe once more with other settings; its systems are named NAME/SYSTEM. May be "
    "repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Takes the figures as JSON.")
@set_option("all runs, e.g. train.steps=200")
def experiment_command(
    recipes: tuple[Path, ...],
    seeds: int,
    first_seed: int,
    against: tuple[str, ...],
    jobs: int,
    per_seed: tuple[str, ...],
    variants: tuple[str, ...],
    out: Path | None,
    changes: tuple[str, ...],
) -> None:
    """Run recipes with several seeds, and compare over runs.

    Each seed is one run in a folder of its own, RUN-seed0 and so on. What is done is not done
    again, so an interrupted experiment is repeated to go on. Tables are printed as Markdown:
    intervals and tests are over runs.
    """
    from potstill.experiment.experiment_page import experiment_figures, experiment_page
    from potstill.experiment.seeded_runs import run_all, seeded_runs
    from potstill.whole_files import write_whole

    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it first")
    stems = [recipe.stem for recipe in recipes]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ConfigError(
            f"two recipes are called {twice[0]}, and their figures would stand under one name; "
            "rename one"
        )
    runs = seeded_runs(
        recipes,
        range(first_seed, first_seed + seeds),
        changes=changes,
        per_seed=per_seed,
        variants=[_variant(variant) for variant in variants],
    )
    failed = run_all(runs, jobs, lambda line: echo(line, err=True))
    if failed:
        echo(f"{failed} of {len(runs)} runs failed; repeat the command to go on", err=True)
        click.get_current_context().exit(1)
    figures: dict[str, object] = {
        "command": shlex.join(["potstill", *sys.argv[1:]]),
        "cores": os.cpu_count(),
    }
    for recipe in recipes:
        of_recipe = [run for run in runs if run.recipe == recipe]
        echo(experiment_page(recipe, of_recipe, against) + "\n")
        figures[recipe.stem] = experiment_figures(of_recipe, against)
    add_to_document(**figures)
    if out is not None:
        write_whole(out, json.dumps(figures, indent=2) + "\n")


def _variant(given: str) -> list[str]:
    """Returns a variant's name and settings.

    Raises:
        ConfigError: It lacks either, or a quotation mark is left open.
    """
    try:
        parts = shlex.split(given)
    except ValueError as error:
        raise ConfigError(f"--variant {given}: {error}; close it, or leave it out") from error
    if len(parts) < 2:
        raise ConfigError(
            f"--variant {given!r}: give a name and at least one setting, such as "
            "'d1 generate.samples=1'; without one it would be the recipe once more"
        )
    return parts
