"""The published variants come in as an extension would, and potstill runs without them."""

import ast
import json
import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Commands

from potstill import plugins
from potstill.errors import ConfigError, PotstillError
from potstill.grading.rules import RULES
from potstill.guide.settings import QUESTION_STYLES, GuideSettings
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.prompts.exemplars import PUBLISHED, FewShotSettings, read_few_shot
from potstill.prompts.formats import FORMATS, MIXTURES
from potstill.prompts.styles import STYLES
from potstill.runtime.progress import Meter
from potstill.settings import build
from potstill.tasks.procedural import questions
from potstill.tasks.settings import TASKS
from potstill.train.settings import ALIGNMENTS

PACKAGE = Path(plugins.__file__).parent
PAPERS = PACKAGE / "papers"
REGISTRIES: dict[str, plugins.Registry[Any]] = {
    "potstill.prompt_styles": STYLES,
    "potstill.data_formats": FORMATS,
    "potstill.mixtures": MIXTURES,
    "potstill.exemplars": PUBLISHED,
    "potstill.rules": RULES,
    "potstill.alignments": ALIGNMENTS,
}


def declared() -> ConfigParser:
    """The entry points of the papers."""
    points = ConfigParser(delimiters=("=",), interpolation=None)
    points.read(PAPERS / "entry_points.txt", encoding="utf-8")
    return points


def test_every_declared_variant_is_found_by_its_name() -> None:
    points = declared()
    assert set(points.sections()) == set(REGISTRIES)
    for group, registry in REGISTRIES.items():
        for name, reference in points.items(group):
            assert name in list(registry)
            assert registry[name] is plugins.load_object(reference, expected=registry.kind)
            assert getattr(registry[name], "name", name) == name


def test_every_file_names_its_paper_and_what_is_done_otherwise() -> None:
    used = {
        reference.split(":")[0]
        for group in REGISTRIES
        for _, reference in declared()[group].items()
    }
    files = sorted(path for path in PAPERS.glob("*.py") if path.name != "__init__.py")
    assert {f"potstill.papers.{path.stem}" for path in files} == used
    for path in files:
        head = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert "arXiv " in head and "Published" in head, path.name
        assert "Otherwise here" in head or "Kept as published" in head, path.name


def test_nothing_outside_imports_the_papers() -> None:
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "potstill.papers" in path.read_text(encoding="utf-8") and PAPERS not in path.parents
    }
    assert naming == set()


@pytest.fixture
def without_papers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The registries as they are where the folder is missing."""
    monkeypatch.setattr(plugins, "PAPERS", tmp_path / "papers")
    plugins._entry_points.cache_clear()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


@pytest.mark.usefixtures("without_papers")
@pytest.mark.parametrize(
    "settings",
    [
        {"generate": {"prompt_style": "instruct_quest_cot"}},
        {"train": {"students": {"a": {"data_format": "specialization"}}}},
        {"train": {"students": {"a": {"data_format": "in_context_cot"}}}},
        {"task": {"name": "gsm8k", "rule": "flan_t5_cot"}},
        {"train": {"students": {"a": {"matching": {"alignment": "time_warping"}}}}},
        {"guide": {"kind": "question"}},
        {"guide": {"controls": ["question"]}},
    ],
)
def test_a_name_of_the_papers_is_told_as_such_without_them(settings: dict[str, object]) -> None:
    raw = {"run": "r", "task": "gsm8k", "teacher": "bundled:teacher", "student": "bundled:student"}
    with pytest.raises(ConfigError, match=r"potstill/papers, which this copy of potstill lacks"):
        build(Recipe, {**raw, **settings}, at="recipe")


@pytest.mark.usefixtures("without_papers")
@pytest.mark.parametrize("file", ["formats.yaml", "matching.yaml", "gsm8k.yaml"])
def test_every_missing_variant_of_a_recipe_is_told_in_one_line(file: str) -> None:
    path = PACKAGE.parents[1] / "recipes" / "specialization" / file
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    lines = str(caught.value).splitlines()
    missing = [re.findall(r"there is no [a-z ]+ '(\w+)'", line) for line in lines]
    assert all(len(names) == 1 for names in missing)
    faults = [line.split(": there is no ")[1] for line in lines]
    assert len(set(faults)) == len(faults), "places of one fault share a line"
    assert all(line.endswith("which this copy of potstill lacks.") for line in lines)


@pytest.mark.usefixtures("without_papers")
def test_a_mixture_of_the_papers_is_told_in_a_whole_sentence() -> None:
    raw = {"run": "r", "task": "gsm8k", "teacher": "bundled:teacher", "student": "bundled:student"}
    students = {"a": {"data_format": "socratic"}, "b": {"data_format": "predict"}}
    with pytest.raises(ConfigError) as caught:
        build(Recipe, {**raw, "train": {"students": students}}, at="recipe")
    socratic, predict = str(caught.value).splitlines()
    ending = " for one of your own; published variants live in potstill/papers, which this copy of "
    for line in (socratic, predict):
        assert line.endswith(f"or a mapping with prompt and target{ending}potstill lacks.")


@pytest.mark.usefixtures("without_papers")
def test_where_guidance_asks_in_a_style_of_the_papers_is_told() -> None:
    for setting, value in (("kind", "question"), ("controls", ["question"])):
        told = rf"^guide: {setting}: question is asked in quest_cot, and there is no prompt style "
        with pytest.raises(ConfigError, match=told):
            build(GuideSettings, {setting: value}, at="guide")


@pytest.mark.usefixtures("without_papers")
def test_nothing_is_asked_for_a_recipe_that_a_later_stage_cannot_follow(tmp_path: Path) -> None:
    file = tmp_path / "ex.txt"
    file.write_text("Question: 1 + 1?\nLet's think step by step\nCount.\nThe answer is 2\n")
    generic = {"tasks": [SMALL], "asked": ["few_shot_cot"], "exemplars": {"file": str(file)}}
    raw = {
        "run": str(tmp_path / "run"), "task": SMALL, "teacher": "bundled:teacher",
        "student": "bundled:student", "generate": {"samples": 1, "max_tokens": 8},
    }  # fmt: skip
    refused = build(Recipe, {**raw, "evaluate": {"generic": generic}}, at="recipe")
    with Run(refused, Meter(None)) as run:
        with pytest.raises(ConfigError, match="which this copy of potstill lacks"):
            run.generate()
        assert run.store.pool_size(["generate"]) == 0


def test_a_machine_that_cannot_load_the_student_can_generate(tmp_path: Path) -> None:
    raw = {
        "run": str(tmp_path / "run"), "task": SMALL, "teacher": "bundled:teacher",
        "student": f"hf:{tmp_path / 'nowhere'}", "generate": {"samples": 1, "max_tokens": 8},
    }  # fmt: skip
    with Run(build(Recipe, raw, at="recipe"), Meter(None)) as run:
        assert run.generate()["teacher"].counts.stored == 2
        with pytest.raises(PotstillError, match="nowhere"):
            run.check()


SMALL = {"name": "two_step_arithmetic", "train": 2, "dev": 2, "test": 2}


def test_every_variant_that_the_core_names_is_asked_for_when_a_recipe_is_read() -> None:
    """Names of the papers stand in two files outside: one checks them, one is for the report."""
    points = declared()
    # Some names mean something else too: a style, a format, a task, or the setting socratic.
    own = {*STYLES._own, *FORMATS._own, *TASKS, "socratic"}
    names = {name for group in REGISTRIES for name in points[group]} - own
    naming = {
        (path.relative_to(PACKAGE).as_posix(), node.value)
        for path in PACKAGE.rglob("*.py")
        if PAPERS not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {name for file, name in naming if file == "guide/settings.py"} == set(QUESTION_STYLES)
    assert {file for file, _ in naming} == {"guide/settings.py", "report/guidance_text.py"}


@pytest.mark.usefixtures("without_papers")
def test_published_exemplars_are_told_as_such_without_them(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    file.write_text('{"gsm8k": {"prompt": "Q: a\\nA: b. The answer is c."}}')
    with pytest.raises(ConfigError, match="which this copy of potstill lacks"):
        read_few_shot(FewShotSettings(file=file), "gsm8k")


SHORT = (
    "task.train=8", "task.dev=2", "task.test=2", "generate.samples=1", "generate.max_tokens=48",
    "train.steps=2", "train.batch_size=4", "train.checkpoints=1", "evaluate.max_tokens=8",
    "evaluate.tasks=[]", "evaluate.bootstrap=100",
)  # fmt: skip


OF_THE_COPY = """
import sys

for name in [name for name in sys.modules if name.partition(".")[0] == "potstill"]:
    del sys.modules[name]
sys.path.insert(0, "source")
from potstill import __file__
from potstill.cli import main

assert __file__.endswith("/source/potstill/__init__.py"), __file__
main(prog_name="potstill")
"""
"""The command ``potstill`` of the package in ``source``, whichever was imported before."""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["demo", "own"])
def test_a_copy_without_the_papers_runs_the_demo_and_a_file_of_ones_own(
    recipe: str, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "source" / "potstill"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("papers", "__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(copy.parent))  # of what it starts itself
    drawn = questions("two_step_arithmetic", "train", 40, seed=1)
    rows = [{"question": question.text, "answer": question.answer} for question in drawn]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {
        "task": {"file": "own.jsonl"},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "train": {"students": {"rationales": {}}},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    shutil.copy(copy / "demo.yaml", tmp_path / "demo.yaml")
    changes = [word for change in SHORT for word in ("--set", change)]
    with commands.start("run", f"{recipe}.yaml", *changes, code=OF_THE_COPY) as command:
        code = command.wait()
    log = commands.log.read_text(encoding="utf-8")
    assert code == 0, log
    assert (tmp_path / "runs" / recipe / "report.html").exists()
    assert "papers" not in log
