"""The recipes that come with the project load, and so do the commands that they name."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from potstill.cli.experiments import experiment_command
from potstill.experiment.seeded_runs import seeded_runs
from potstill.pipeline.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted(ROOT.glob("recipes/**/*.yaml"))
BASELINES = {"teacher", "start", "start_zero_shot", "start_few_shot"}


def commands(path: Path) -> list[list[str]]:
    """The commands in a recipe's comments, as words."""
    lines = [line[1:] for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    text = re.sub(r"\\\n *", "", "\n".join(lines))
    found = re.findall(r"^ {2,}(potstill .+)$", text, re.MULTILINE)
    return [shlex.split(command) for command in found]


def systems(recipe: Recipe) -> set[str]:
    students = set(recipe.train.students)
    starts = {f"start_{name}" for name in recipe.train.starts}
    asked = {
        f"{name}_{style}" for name in {"start", *students} for style in recipe.evaluate.asked_in
    }
    return BASELINES | students | starts | asked


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_recipe_loads_into_a_run_of_its_own_name(path: Path) -> None:
    assert load_recipe(path).run == f"runs/{path.stem}"


def test_no_two_recipes_share_a_folder() -> None:
    assert len({path.stem for path in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/fine-tune-cot/*.yaml")), ids=str)
def test_an_experiment_states_what_was_published_and_how_it_is_run(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\ntask:")[0]
    assert "ublished" in head and "Fine-tune-CoT" in head
    assert all(line.startswith("#") for line in head.splitlines())
    assert commands(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param(path, words, id=f"{path.stem}-{number}")
        for path in RECIPES
        for number, words in enumerate(commands(path))
        if words[:2] in (["potstill", "run"], ["potstill", "experiment"])
    ],
)
def test_the_commands_in_a_recipe_load(path: Path, words: list[str]) -> None:
    named = path.relative_to(ROOT).as_posix()
    assert named in words
    if words[1] == "run":
        changes = [word for flag, word in pairwise(words) if flag == "--set"]
        load_recipe(path, changes)
        return
    here = [str(path) if word == named else word for word in words[2:]]
    options = experiment_command.make_context("experiment", here).params
    runs = seeded_runs(
        options["recipes"],
        range(options["seeds"]),
        changes=options["changes"],
        per_seed=options["per_seed"],
        variants=[shlex.split(variant) for variant in options["variants"]],
    )
    known = set()
    for run in runs:
        prefix = f"{run.variant}/" if run.variant else ""
        known |= {prefix + system for system in systems(load_recipe(path, run.changes))}
    assert set(options["against"]) <= known
