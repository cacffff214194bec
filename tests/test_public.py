import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import potstill


def test_every_public_name_is_there() -> None:
    for name in potstill.__all__:
        assert getattr(potstill, name) is not None
    assert sorted(potstill.__all__) == potstill.__all__ == sorted(potstill._HOMES)


def test_the_public_names_are_what_dir_shows() -> None:
    assert dir(potstill) == sorted([*potstill.__all__, "__version__"])


def test_the_version_is_that_of_the_package() -> None:
    installed = [each for each in metadata.distributions() if each.name == "potstill"]
    assert potstill.__version__ == (installed[0].version if installed else "0+unknown")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_recipe_is_loaded_from_a_path_in_either_form(
    kind: type[str] | type[Path], tmp_path: Path
) -> None:
    (tmp_path / "first.yaml").write_text(
        "{task: coin_toss, teacher: bundled:teacher, student: bundled:student}"
    )
    recipe = potstill.load_recipe(kind(tmp_path / "first.yaml"))
    assert recipe.run == "runs/first"


def test_a_recipe_is_made_from_a_mapping_which_stays_as_it_was(tmp_path: Path) -> None:
    values: dict[str, object] = {
        "run": str(tmp_path / "mine"), "task": "coin_toss", "teacher": "bundled:teacher",
        "student": "bundled:student", "train": {"steps": 3},
    }  # fmt: skip
    recipe = potstill.load_recipe(values, ["train.steps=5", "task.train=7"])
    assert (recipe.train.steps, recipe.task.train, recipe.folder) == (5, 7, tmp_path / "mine")
    assert values["train"] == {"steps": 3} and values["task"] == "coin_toss"
    del values["run"]
    with pytest.raises(potstill.PotstillError, match="recipe: run is missing"):
        potstill.load_recipe(values)


def test_a_run_needs_no_meter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    recipe = potstill.load_recipe(
        {"run": str(tmp_path / "mine"), "task": {"name": "coin_toss", "train": 2, "dev": 1,
         "test": 1}, "teacher": "bundled:teacher", "student": "bundled:student",
         "generate": {"samples": 1, "max_tokens": 2}}
    )  # fmt: skip
    with potstill.Run(recipe) as run:
        run.generate()
    assert capfd.readouterr().err == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
        potstill.nonesuch  # noqa: B018


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("potstill", {"torch", "numpy", "pydantic", "rich", "scipy"}),
        ("potstill.cli", {"torch", "numpy", "pydantic", "rich", "scipy"}),
        ("potstill.pipeline.run", {"torch", "transformers"}),
        ("potstill.plan", {"torch", "transformers", "scipy"}),
        ("potstill.exchange", {"torch", "transformers", "pyarrow"}),
    ],
)
def test_what_is_heavy_or_optional_is_loaded_when_it_is_needed(
    module: str, heavy: set[str]
) -> None:
    check = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
