import ast
import re
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

import potstill
from potstill.cli import main
from potstill.pipeline.recipe import load_recipe
from potstill.serve.settings import ServeSettings
from potstill.settings import Settings, build

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "potstill"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEXT = {".cfg", ".css", ".html", ".jinja", ".js", ".json", ".md", ".py", ".toml", ".txt", ".yaml"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Base classes: their settings stand in the tables of the classes below them. And a class below
# another, which is made of its settings and not given in a recipe.
SHARED = {"ModelSettings", "ServerSettings", "GuidanceSettings", "OwnTexts", "ResolvedTraining"}
WHOLE = {"task": "gsm8k", "teacher": "bundled:teacher", "student": "bundled:student"}

# Joined from parts, so that this file does not hold what it looks for.
MACHINE_PATHS = ("/" + "work/", "/" + "tmp/", "/" + "home/", "/" + "Users/", "/" + "root/")
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "download." + "pytorch", "index" + "-url")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language, with the page that holds it."""
    return [
        (page.relative_to(ROOT).as_posix(), text)
        for page in PAGES
        for found, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


def first_line(module: Path) -> str:
    """The first line of a module's docstring, without marks of code."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring, f"{module} says nothing of itself"
    return docstring.partition("\n")[0].replace("``", "")


def settings_classes(cls: type[Settings] = Settings) -> list[type[Settings]]:
    load_every_module()
    found = []
    for below in cls.__subclasses__():
        if below.__module__.startswith("potstill."):
            found += [below, *settings_classes(below)]
    return found


def load_every_module() -> None:
    for module in ("pipeline.recipe", "serve.settings", "merge.settings", "view.settings"):
        __import__(f"potstill.{module}")


def test_every_command_is_in_the_readme_with_the_function_behind_it() -> None:
    assert isinstance(main, click.Group)
    rows = dict(
        re.findall(r"^\| `potstill ([\w-]+)[^|]*\| [^|]+ \| (.+) \|$", README, re.MULTILINE)
    )
    assert set(rows) == {name for name, command in main.commands.items() if not command.hidden}
    for cell in rows.values():
        for name in re.findall(r"`(potstill\.[\w.]+)`", cell):
            module, _, function = name.rpartition(".")
            assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_the_file_map_says_what_the_modules_say() -> None:
    parts = [path for path in PACKAGE.iterdir() if path.suffix == ".py"]
    folders = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    expected = {path.name: first_line(path) for path in parts}
    expected |= {f"{path.name}/": first_line(path / "__init__.py") for path in folders}
    text = next(text for page, text in blocks("") if text.startswith("src/potstill/\n"))
    shown = dict(re.findall(r"^  (\S+)\s+(.+)$", text, re.MULTILINE))
    data = {name for name in shown if not name.endswith((".py", "/"))}
    assert {name: line for name, line in shown.items() if name not in data} == expected
    assert all((PACKAGE / name).is_file() for name in data)


@pytest.mark.parametrize(
    ("page", "text"),
    [block for block in blocks("yaml") if block[0] != "docs/extending.md"],  # test_extending's
)
def test_recipes_in_the_docs_load(page: str, text: str, tmp_path: Path) -> None:
    if text.startswith("# serve.yaml\n"):
        build(ServeSettings, yaml.safe_load(text), at=page)
        return
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(WHOLE | yaml.safe_load(text)), encoding="utf-8")
    load_recipe(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*.yaml")), ids=lambda path: path.name)
def test_the_recipes_load(path: Path) -> None:
    assert load_recipe(path).run == f"runs/{path.stem}"


def test_the_demonstration_loads() -> None:
    assert load_recipe(PACKAGE / "demo.yaml").run == "runs/demo"


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_in_the_docs_uses_public_names(page: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "potstill" or node.attr in potstill.__all__


@pytest.mark.parametrize(("page", "text"), blocks("sql"))
def test_sql_in_the_docs_runs_on_the_store(page: str, text: str, tmp_path: Path) -> None:
    potstill.Store(tmp_path / "run.sqlite").close()
    db = sqlite3.connect(tmp_path / "run.sqlite")
    db.execute(text)
    db.close()


def test_the_docs_name_every_table_of_the_store(tmp_path: Path) -> None:
    evaluation = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    section = evaluation.partition("\nThe tables:\n")[2].partition("\nFrom Python:\n")[0]
    potstill.Store(tmp_path / "run.sqlite").close()
    db = sqlite3.connect(tmp_path / "run.sqlite")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == tables


def test_commands_in_the_docs_exist() -> None:
    assert isinstance(main, click.Group)
    for page, text in [*blocks(""), *blocks("sh")]:
        for command in re.findall(r"^potstill ([\w-]+)", text, re.MULTILINE):
            assert command in main.commands, f"{page}: potstill {command}"


def test_make_verbs_in_the_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        told = set(re.findall(r"`make ([\w-]+)", page.read_text(encoding="utf-8")))
        assert told <= verbs, f"{page.name} names {told - verbs}"


def test_the_extras_table_is_complete() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    section = README.partition("## Install")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert set(shown) == set(project["optional-dependencies"])


def test_the_reference_is_current() -> None:
    script = ROOT / "scripts" / "reference.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_settings_class_has_one_table_in_the_reference() -> None:
    script = (ROOT / "scripts" / "reference.py").read_text(encoding="utf-8")
    section = script.partition("SECTIONS: ")[2].partition("\n}")[0]
    classes = re.findall(r'^    "\w+": Section\(".+", (\w+)\),$', section, re.MULTILINE)
    assert set(classes) == {cls.__name__ for cls in settings_classes()} - SHARED
    assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("cls", settings_classes(), ids=lambda cls: cls.__name__)
def test_every_setting_says_what_it_does(cls: type[Settings]) -> None:
    assert cls.__doc__
    for name, field in cls.model_fields.items():
        section = field.annotation
        own = isinstance(section, type) and issubclass(section, Settings) and section.__doc__
        inherited = any(
            name in base.model_fields and base.model_fields[name].description
            for base in cls.__bases__
            if issubclass(base, Settings)
        )
        assert field.description or own or inherited, f"{cls.__name__}.{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        file, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        place = page.parent / file if file else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads
            }


PUBLISHED = {"src/evaluation/evaluator.py", "src/utils.py"}
"""Files of other repositories that the pages name: the published code of Fine-tune-CoT."""


def paths_named(text: str) -> set[str]:
    """The files of the checkout and of the package that a page names between backticks."""
    folders = "src|docs|scripts|recipes|tests|benchmarks|potstill"
    in_folders = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    return {*in_folders, *re.findall(r"`(\w+/[\w./-]+\.(?:py|yaml|jinja|txt|css))`", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = paths_named(page.read_text(encoding="utf-8")) - PUBLISHED
    assert len(named) > 10 or page.name != "papers.md"
    roots = (ROOT, PACKAGE, PACKAGE.parent)
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


def test_every_setting_that_the_papers_page_names_is_there() -> None:
    from potstill.pipeline.recipe import Recipe

    page = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    named = re.findall(r"`(generate|curate|train|evaluate)\.(\w+)[`:]", page)
    assert named
    for section, name in named:
        assert name in type(Recipe.model_fields[section].default).model_fields, name


def test_no_text_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    texts = [path for path in paths if path.is_file() and path.suffix in TEXT | {""}]
    for path in texts:
        if path.name == "tokenizer.json":
            continue
        text = path.read_text(encoding="utf-8")
        for word in (*MACHINE_PATHS, *REGISTRIES):
            assert word not in text, f"{path.relative_to(ROOT)} holds {word}"


def test_the_architecture_names_a_file_for_every_command_of_the_readme() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`potstill .+) \| `(src/[\w/]+\.py)` \|$", page, re.MULTILINE)
    files = {name: file for cell, file in rows for name in re.findall(r"`potstill ([\w-]+)`", cell)}
    assert files.keys() == set(re.findall(r"^\| `potstill ([\w-]+)", README, re.MULTILINE))
    assert all(first_line(ROOT / file) for file in files.values())


def test_every_function_of_the_reading_paths_is_where_they_say() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Reading paths\n")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w.]+)` \(`([\w/]+\.py)`\)", section)
    assert len(named) > 15
    for name, file in named:
        source = (PACKAGE / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"(?:def|class) {part}\b", source), f"{file} has no {name}"


def test_the_package_of_the_extending_page_installs_what_its_entry_points_name() -> None:
    (_, text), *others = blocks("toml")
    assert not others
    package = tomllib.loads(text)
    groups = package["project"]["entry-points"].values()
    modules = {value.partition(":")[0] for points in groups for value in points.values()}
    assert modules == set(package["tool"]["setuptools"]["py-modules"])
