"""The rules of the house, enforced: imports go one way, a name stands once, pieces stay small."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "potstill"
LAYERS = [  # lowest first; names on one line never import each other
    {"errors", "statistics"},
    {"html_tables", "launched", "module_folders"},
    {"plugins", "records", "settings", "tables", "text", "whole_files", "yaml_text"},
    {"checksums", "keys", "setting_names", "start_comparison"},
    {"store"},
    {"runtime"},
    {"grading", "models", "prompts"},
    {"tasks"},
    {"sampling"},
    {"generate", "curate", "train", "evaluate", "guide", "report"},
    {"pipeline", "serve"},
    {"deploy", "exchange", "experiment", "merge", "plan"},
    {"advise", "view"},
    {"cli"},
    {"__main__", "__init__", "papers"},  # papers come in as an extension: nobody imports them
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))
FAMILIES = {
    "model.py": {"models/local", "models/openai", "models/openai/batch", "models/vllm"},
    "math.py": {"grading/answers", "tasks/datasets"},
}
"""File names that stand more than once beside those of every stage, and the folders they are in."""


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_parts(tree: ast.Module) -> set[str]:
    """Parts of our own package that a module imports, e.g. {"errors", "store"}."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "potstill":
            names += [f"potstill.{node.attr}"] if node.attr != "__version__" else []
    return {name.split(".")[1] for name in names if name.startswith("potstill.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_lower_layers(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = imported_parts(tree_of(path)) - {part}
    wrong = {other for other in others if RANK[other] >= RANK[part]}
    assert not wrong, f"{path.name} (layer {RANK[part]}) imports {sorted(wrong)}; see LAYERS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500, "two names may explain each half better than one"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, f"{node.name} is long"


def test_a_class_name_stands_once() -> None:
    trees = [ast.walk(tree_of(path)) for path in FILES]
    names = Counter(
        node.name for nodes in trees for node in nodes if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_file_name_stands_once_outside_the_listed_families() -> None:
    names = Counter(path.name for path in FILES)
    repeated = {name for name, times in names.items() if times > 1}
    folders = {
        name: {path.parent.relative_to(PACKAGE).as_posix() for path in FILES if path.name == name}
        for name in repeated - {"__init__.py", "settings.py", "stage.py"}
    }
    assert folders == FAMILIES


def tuples_for_splatting(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yields tuples that a function makes or takes, and uses as ``*name`` in calls alone."""
    parameters = (
        *function.args.posonlyargs,
        *function.args.args,
        *function.args.kwonlyargs,
    )
    tuples = {name.arg for name in parameters if is_tuple(name.annotation)}
    splats, loads = Counter[str](), Counter[str]()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            tuples |= {name for target in node.targets for name in tuples_in(target, node.value)}
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            tuples |= {*tuples_in(node.target, node.value)}
        elif isinstance(node, ast.Call):
            starred = [item.value for item in node.args if isinstance(item, ast.Starred)]
            splats.update(value.id for value in starred if isinstance(value, ast.Name))
            yield from (ast.unparse(value) for value in starred if isinstance(value, ast.Tuple))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            loads[node.id] += 1
    yield from (name for name in tuples if splats[name] and splats[name] == loads[name])


def is_tuple(annotation: ast.expr | None) -> bool:
    """Whether a type is a tuple of a known length; of any length it is a sequence."""
    text = ast.unparse(annotation) if annotation is not None else ""
    return text.startswith("tuple[") and not text.endswith("...]")


def tuples_in(target: ast.expr, value: ast.expr) -> Iterator[str]:
    """Names that an assignment binds to a tuple literal."""
    if isinstance(value, ast.Tuple):
        if isinstance(target, ast.Name):
            yield target.id
        elif isinstance(target, ast.Tuple):
            for inner_target, inner in zip(target.elts, value.elts, strict=False):
                yield from tuples_in(inner_target, inner)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_tuple_is_made_to_be_splatted(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    splatted = {node.name: names for node in functions if (names := [*tuples_for_splatting(node)])}
    assert not splatted, "pass the arguments themselves"


def test_tuples_for_splatting_are_seen() -> None:
    text = """
def call(a, b, taken: tuple[int, str], many: tuple[int, ...], used: tuple[int, str]):
    both, more = (a, b), [a]
    third = a, b
    fourth: tuple[int, int] = (a, b)
    kept = a, b
    other(*both, *fourth, *taken, *many)
    other(*third, *more, *(1, 2))
    other(*kept, *used)
    return kept, used
"""
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    seen = ["(1, 2)", "both", "fourth", "taken", "third"]
    assert sorted(tuples_for_splatting(function)) == seen


def test_every_form_of_import_is_seen() -> None:
    text = "import potstill\nimport potstill.cli\nfrom potstill import store\n"
    text += "from potstill.tasks.files import read\npotstill.merge.stage.MergeRun\n"
    assert imported_parts(ast.parse(text)) == {"cli", "store", "tasks", "merge"}
    assert not imported_parts(ast.parse("import potstill\nprint(potstill.__version__)"))


def test_only_the_store_speaks_sql() -> None:
    for word in ("sqlite3", "potstill.store.database"):
        users = {path for path in FILES if word in path.read_text(encoding="utf-8")}
        assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"store"}, word


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_group_is_repeated_possessively(path: Path) -> None:
    """Python before 3.11.5 matches ``(...)*+`` wrongly (gh-106052); ``(?>(...)*)`` is right."""
    patterns = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+(?!\w)")
    assert not patterns.search(path.read_text(encoding="utf-8"))


FRAGMENTS = re.compile(
    r"(Of|What|That|Which|Those|Whose|Where|As|(In|By|For|With|From|To) (which|whom))\b"
)
"""The beginnings of docstrings that are half a sentence, whose other half is a name elsewhere."""


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "scripts"])
def test_docstrings_state_what_they_are_of(folder: str) -> None:
    fragments = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value.value[:60]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str) and FRAGMENTS.match(node.value.value)
    ]
    assert not fragments
