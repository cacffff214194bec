"""The import rule of the design, enforced: a layer imports only layers below it."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "potstill"
LAYERS = [  # lowest first; names on one line never import each other
    {"errors", "statistics"},
    {"records", "settings", "text"},
    {"keys"},
    {"store"},
    {"runtime"},
    {"grading", "models", "prompts"},
    {"tasks"},
    {"sampling"},
    {"generate", "curate", "train", "evaluate", "guide", "report"},
    {"pipeline", "serve"},
    {"exchange", "merge", "plan"},
    {"cli"},
    {"__main__", "__init__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_parts(tree: ast.Module) -> set[str]:
    """Parts of our own package that a module imports, e.g. {"errors", "store"}."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("potstill.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_lower_layers(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = imported_parts(ast.parse(path.read_text(encoding="utf-8"))) - {part}
    wrong = {other for other in others if RANK[other] >= RANK[part]}
    assert not wrong, f"{path.name} (layer {RANK[part]}) imports {sorted(wrong)}; see LAYERS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "two names may explain each half better than one"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, f"{node.name} is long"


def test_only_the_store_speaks_sql() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    assert {name for name, text in texts.items() if "sqlite3" in text} == {"database.py"}
    users = {
        path for path in FILES if "potstill.store.database" in path.read_text(encoding="utf-8")
    }
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"store"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_group_is_repeated_possessively(path: Path) -> None:
    """Python before 3.11.5 matches ``(...)*+`` wrongly (gh-106052); ``(?>(...)*)`` is right."""
    patterns = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+(?!\w)")
    assert not patterns.search(path.read_text(encoding="utf-8"))
