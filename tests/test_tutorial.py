"""The tutorial, run: its questions, its recipe, its commands and its servers, in its order."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from click.testing import CliRunner

from potstill.cli import main
from potstill.serve.settings import ServeSettings
from potstill.settings import build

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = ("task.train=24", "task.dev=4", "task.test=8", "train.steps=4", "train.checkpoints=1")
"""Changes that keep every step of the page and make it short."""

CHANGED = ("init", "plan", "run", "generate", "curate", "train", "evaluate", "report")
"""Commands that are given the recipe and take changes; the first writes it."""


def blocks(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(PAGE) if found == language]


def commands() -> list[list[str]]:
    """The words of each command that the page gives whole, in its order, those of sentences too."""
    found = re.findall(r"(?:^|`)(potstill [^`\n]+)", PAGE, re.MULTILINE)
    words = [shlex.split(line, comments=True)[1:] for line in found]
    return [one[: one.index(">")] if ">" in one else one for one in words if len(one) > 1]


def invoked(words: list[str]) -> str:
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, f"potstill {shlex.join(words)}: {done.output}"
    return done.output


def test_the_tutorial_is_short() -> None:
    assert PAGE.count("\n") <= 170


def test_the_page_gives_every_step_as_a_command() -> None:
    names = [words[0] for words in commands()]
    assert {*CHANGED, "compare", "ask", "serve", "verify", "export"} <= set(names)
    assert names.index("init") < names.index("plan") < names.index("run") < names.index("serve")


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute of processor time, beside whatever else works
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (questions,) = blocks("python")
    exec(compile(questions, "tutorial.md", "exec"), {})
    recipe, server = blocks("yaml")
    Path("serve.yaml").write_text(server, encoding="utf-8")
    build(ServeSettings, yaml.safe_load(server), at="serve.yaml")
    sets = [word for change in SMALL for word in ("--set", change)]
    for words in commands():
        if words[0] == "serve":
            answers_the_page(words)
        if words[0] in ("serve", "verify", "view"):  # tests/test_view.py has the last
            continue
        small = words[0] in CHANGED[1:]
        output = invoked([*words, *sets] if small else words)
        if words[0] == "init":
            task = yaml.safe_load(Path("pens.yaml").read_text(encoding="utf-8"))["task"]
            assert task == yaml.safe_load(recipe)["task"]
            Path("pens.yaml").write_text(recipe, encoding="utf-8")
        if words[0] == "compare":
            assert "on average over 2 seeds" in output, "two runs that differ in more"
        if words[0] == "schema":
            assert "$defs" in json.loads(output)
    (query,) = re.findall(r'^sqlite3 -readonly runs/pens/run\.sqlite "(.+)"$', PAGE, re.MULTILINE)
    db = sqlite3.connect("file:runs/pens/run.sqlite?mode=ro", uri=True)
    assert dict(db.execute(query)).get("kept", 0) > 0
    db.close()
    for made in ("runs/pens/model/model.safetensors", "runs/pens/report.html", "compare.html"):
        assert Path(made).is_file(), made
    assert Path("rationales.jsonl").stat().st_size > 0


def answers_the_page(words: list[str]) -> None:
    """Start a server as the page does, on a free port, and put the page's request to it."""
    (body,) = re.findall(r"-d '(\{.+\})'", PAGE)
    with serving(words) as address:
        (name,) = [one["id"] for one in asked(f"{address}/models")["data"]][:1]
        request = json.loads(body) | {"model": name, "max_tokens": 16}
        answer = asked(f"{address}/chat/completions", request)
        assert isinstance(answer["choices"][0]["message"]["content"], str)
        if words[1] == "serve.yaml":
            assert json.loads(body)["model"] == name
            return
        (verify,) = [one for one in commands() if one[0] == "verify"]
        assert verify[:3] == ["verify", words[1], "--server"]
        assert "8 of 8 predictions equal" in invoked([*verify[:3], address])


@contextmanager
def serving(words: list[str]) -> Iterator[str]:
    """The address that a server tells once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "potstill", *words, "--set", "port=0"],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        told = next(line for line in lines if "http://" in line)
        yield next(word for word in told.split() if word.startswith("http://")).rstrip(",.;")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def asked(address: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    with urlopen(Request(address, data=data, headers=headers), timeout=120) as reply:
        return json.loads(reply.read())
