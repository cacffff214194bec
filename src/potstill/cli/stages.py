"""A command a stage, and run and demo."""

from pathlib import Path

from potstill.cli.app import changes_of, main, opened, recipe_command
from potstill.cli.said import (
    say_all,
    say_curate,
    say_evaluate,
    say_generate,
    say_guide,
    say_next,
    say_report,
    say_train,
)


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
