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
