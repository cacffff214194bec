"""The tutorial, run: its questions, its recipe, its commands and its server's settings."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from potstill.cli import main
from potstill.serve.settings import ServeSettings
from potstill.settings import build

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = ("task.train=24", "task.dev=4", "task.test=8", "train.steps=4", "generate.samples=1")
"""Changes that keep every step of the page and make it short."""


def blocks(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(PAGE) if found == language]


def test_the_tutorial_is_short() -> None:
    assert PAGE.count("\n") <= 150


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (questions,) = blocks("python")
    exec(compile(questions, "tutorial.md", "exec"), {})
    made = CliRunner().invoke(main, ["init", "pens.csv"], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    recipe, server = blocks("yaml")
    task = yaml.safe_load(Path("pens.yaml").read_text(encoding="utf-8"))["task"]
    assert task == yaml.safe_load(recipe)["task"]
    Path("pens.yaml").write_text(recipe, encoding="utf-8")
    sets = [word for change in SMALL for word in ("--set", change)]
    for command in ("plan", "run", "generate", "curate", "train", "evaluate", "report"):
        done = CliRunner().invoke(main, [command, "pens.yaml", *sets], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    exported = CliRunner().invoke(main, ["export", "pens.yaml", "rationales.jsonl"])
    assert exported.exit_code == 0, exported.output
    asked = CliRunner().invoke(main, ["ask", "runs/pens", "Ana has 3 pens. How many?"])
    assert asked.exit_code == 0, asked.output
    settings = build(ServeSettings, yaml.safe_load(server), at="serve.yaml")
    assert settings.student.model == "hf:runs/pens/model"
    assert f'"model": "{settings.name}"' in PAGE
    assert Path("runs/pens/model/model.safetensors").is_file()
    assert Path("runs/pens/report.html").is_file()


def test_every_command_of_the_tutorial_is_one() -> None:
    for text in blocks("sh"):
        for command in re.findall(r"^potstill (\w+)", text, re.MULTILINE):
            assert command in main.commands, command
