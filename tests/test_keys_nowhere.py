"""A server's key is nowhere in what a run writes or says, though every error repeats it."""

import base64
import html
import logging
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from batches import BatchServer, Trouble
from chaos import Chaos, chaos_process
from chaos_faults import FAULTS, REFUSALS, SPOILT
from chaos_wire import Habits
from click.testing import CliRunner
from commands import ROOT, SHORT_BACKOFF, Commands, until
from loopback import Loopback
from test_kill import rows, write_questions, write_recipe

from potstill.cli import main
from potstill.errors import ConfigError, ModelError
from potstill.models.openai import client
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Request
from potstill.serve.settings import ServeSettings
from potstill.settings import build

KEY = "sk-potstill/Qx7+marked-key-Zw93/Lk02+end="
VARIABLE = "POTSTILL_TEST_KEY"
TELLING = {
    kind: 1.0 for kind in (*REFUSALS, *SPOILT, "null", "error_in_200")
    if kind in FAULTS
}  # fmt: skip
"""Faults that the client says something about."""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def traces(content: bytes) -> list[str]:
    """Returns the shapes of the key that a content holds: as it is, encoded, or half of it."""
    half = len(KEY) // 2
    shapes = {
        "whole": KEY, "first half": KEY[:half], "second half": KEY[half:],
        "quoted": quote(KEY, safe=""), "first half, quoted": quote(KEY[:half], safe=""),
        "second half, quoted": quote(KEY[half:], safe=""), "in HTML": html.escape(KEY),
        "backwards": KEY[::-1],
        **{f"base64 from byte {n}": base64.b64encode(KEY[n:].encode()).decode()[:24]
           for n in range(3)},
        "in hexadecimal digits": KEY.encode().hex(),
    }  # fmt: skip
    return [name for name, shape in shapes.items() if shape.encode() in content]


def assert_no_trace(folder: Path) -> None:
    """Assert that no file of a folder holds the key; the store's write-ahead log is among them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.name: shapes for path in files if (shapes := traces(path.read_bytes()))}
    assert files and not found


def teacher_settings(url: str) -> dict[str, object]:
    return {"model": "openai:chaos", "base_url": url, "api_key_env": VARIABLE,
            "concurrency": 16, "timeout": 5.0, "retries": 1}  # fmt: skip


def test_the_shapes_of_a_key_are_found() -> None:
    assert traces(f"Bearer {KEY}".encode())[:3] == ["whole", "first half", "second half"]
    assert traces(base64.b64encode(b"Bearer: " + KEY.encode())) == ["base64 from byte 1"]
    assert traces(b"sk-potstill") == []


@pytest.mark.parametrize("kind", TELLING)
def test_no_error_of_a_server_gives_its_key_away(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)
    caplog.set_level(logging.DEBUG)
    with Chaos(Habits(share=1.0, kinds={kind: 1.0})) as server:
        teacher = OpenAIModel(OpenAISettings.model_validate(
            {**teacher_settings(server.url), "timeout": 0.2}
        ))  # fmt: skip
        try:
            told = [f"{each!r}" for each in teacher.complete([Request(prompt="2 + 3?")])]
            assert "finish_reason='error'" in told[0]
        except ModelError as error:
            told = [*traceback.format_exception(error), repr(error)]
    told += [repr(vars(teacher)["_settings"]), repr(teacher), teacher.name, caplog.text]
    assert traces("".join(told).encode()) == []
    assert server.events


@pytest.mark.parametrize("before", [0, 270, 285, 299, 1970, 1985, 2010])
@pytest.mark.parametrize("filling", ["x", " ", "\0"])
@pytest.mark.parametrize("kind", ["500", "html_502"])
def test_a_message_that_is_cut_short_does_not_leave_half_a_key(
    before: int, filling: str, kind: str
) -> None:
    habits = Habits(share=1.0, kinds={kind: 1.0}, words=before * filling + "{key}")
    with Chaos(habits) as server:
        settings = OpenAISettings.model_validate({**teacher_settings(server.url), "retries": 0})
        [found] = OpenAIModel(settings).complete([Request(prompt="2 + 3?")])
    assert found.error
    assert traces(found.error.encode()) == []


def test_a_batch_endpoint_s_errors_give_no_key_away(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    folder = tmp_path / "all"
    folder.mkdir()
    calls = ("list", "upload", "create", "poll", "content")
    with BatchServer() as server:
        server.troubles = {name: [Trouble(status=500)] for name in calls}
        server.refuse = lambda body, tried: (
            (400, f"no {KEY}") if "Ann has 12" in str(body) else None
        )
        teacher = teacher_settings(server.url) | {"mode": "batch", "poll_seconds": 0.01}
        recipe = write_recipe(
            folder, "run", questions=tmp_path / "questions.jsonl", teacher=teacher
        )
        result = CliRunner().invoke(main, ["generate", str(recipe)])
    assert result.exit_code == 0
    assert set(server.headers) == {f"Bearer {KEY}"}
    assert b"sent Bearer ***" in (folder / "run" / "log.jsonl").read_bytes()
    assert "no ***" in result.output
    assert traces(result.output.encode()) == []
    assert_no_trace(folder)


ALL_COMMANDS = """
import sys
from potstill.cli import main
for command in sys.argv[2:]:
    try:
        main([command, sys.argv[1]])
    except SystemExit as end:
        print(command, "ended with", end.code, flush=True)
"""


@pytest.mark.parametrize("key", [KEY, "sk-short-one", "gsk_a1B2c3D4e5F6g7H8i9J0k1", "a key"])
def test_a_key_in_the_place_of_its_variable_is_neither_shown_nor_kept(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    settings = teacher_settings("http://127.0.0.1:9/v1") | {"api_key_env": key}
    place = tmp_path / "run.yaml"
    place.write_text(yaml.safe_dump({
        "run": str(tmp_path / "run"), "task": {"file": str(tmp_path / "questions.jsonl")},
        "teacher": settings, "student": "bundled:student",
    }))  # fmt: skip
    result = CliRunner().invoke(main, ["generate", str(place)])
    assert result.exit_code == 2 and "name of an environment variable" in result.output
    assert key not in result.output and not (tmp_path / "run").exists()
    with pytest.raises(ConfigError) as refused:
        build(ServeSettings, {"student": "bundled:student", "token_env": key}, at="serve.yaml")
    assert key not in str(refused.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "my_key", "KEY2", "_", "AZURE_OPENAI_KEY_2024"])
def test_names_of_variables_are_taken(name: str) -> None:
    values = {"model": "openai:m", "api_key_env": name}
    assert OpenAISettings.model_validate(values).api_key_env == name


@pytest.mark.slow
def test_what_commands_write_and_say_holds_no_key(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 60)
    folder = tmp_path / "all"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONASYNCIODEBUG": "1"}
    names_of_commands = ("plan", "generate", "curate", "report")
    with chaos_process(tmp_path, Habits(seed=5, share=0.7, kinds=TELLING, steady=10)) as (url, _):
        recipe = write_recipe(
            folder, "run", questions=tmp_path / "questions.jsonl", teacher=teacher_settings(url)
        )
        with (folder / "output.txt").open("wb") as output:
            subprocess.run(
                [sys.executable, "-X", "dev", "-c", ALL_COMMANDS, str(recipe), *names_of_commands],
                stdout=output, stderr=output, env=environment, check=False,
            )  # fmt: skip
    output_text = (folder / "output.txt").read_text()
    codes = (0, 0, 2, 0)  # the server knows no sums, so that nothing is kept
    ended = zip(names_of_commands, codes, strict=True)
    assert all(f"{command} ended with {code}" in output_text for command, code in ended)
    names = {path.name for path in (folder / "run").iterdir()}
    assert names >= {"run.sqlite", "recipe.yaml", "log.jsonl", "report.html"}
    assert b"HTTP 5" in (folder / "run" / "run.sqlite").read_bytes()
    assert_no_trace(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["401", "402", "404", "redirect"])
def test_a_command_that_ends_in_an_error_holds_no_key(
    kind: str, commands: Commands, tmp_path: Path
) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    folder = tmp_path / "all"
    folder.mkdir()
    with Chaos(Habits(share=1.0, kinds={kind: 1.0})) as server:
        recipe = write_recipe(
            folder, "run", questions=tmp_path / "questions.jsonl",
            teacher=teacher_settings(server.url),
        )  # fmt: skip
        assert commands.run("generate", str(recipe)) == 2
    assert b"***" in commands.log.read_bytes()
    assert traces(commands.log.read_bytes()) == []
    assert_no_trace(folder)


@pytest.mark.slow
def test_a_whole_run_killed_on_its_way_holds_no_key(commands: Commands, tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 60)
    folder = tmp_path / "all"
    folder.mkdir()
    commands.before = SHORT_BACKOFF
    habits = Habits(seed=6, kinds=TELLING, steady=10**9)
    with chaos_process(tmp_path, habits) as (url, log):
        recipe = write_recipe(
            folder, "run", questions=tmp_path / "questions.jsonl",
            teacher=teacher_settings(url),
            train={"steps": 4, "batch_size": 4, "checkpoints": 1, "precision": "float32"},
            curate={"right_answer": False}, evaluate={"max_tokens": 8},
        )  # fmt: skip
        for _ in range(3):
            with commands.start("generate", str(recipe)) as command:
                goal = log.stat().st_size + 2000  # a few requests
                until(lambda: log.stat().st_size >= goal)  # noqa: B023
                command.kill()
                assert command.wait() == -signal.SIGKILL
            assert_no_trace(folder)
        assert commands.run("run", str(recipe)) == 0
    names = {path.name for path in (folder / "run").iterdir()}
    assert names >= {
        "run.sqlite",
        "recipe.yaml",
        "log.jsonl",
        "report.html",
        "model",
        "checkpoints",
    }
    assert traces(commands.log.read_bytes()) == []
    assert_no_trace(folder)


def test_an_answer_that_repeats_the_key_is_stored_without_it(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    write_questions(questions, 6)
    with Loopback(lambda body: [f"Your key is {KEY}. The answer is 5."]) as server:
        teacher = teacher_settings(server.url)
        recipe = write_recipe(
            tmp_path, "echo", questions=questions, teacher=teacher, generate={"samples": 1}
        )
        result = CliRunner().invoke(main, ["generate", str(recipe)])
    assert result.exit_code == 0, result.output
    texts = [str(text) for (text,) in rows(tmp_path / "echo", "SELECT text FROM completions")]
    assert texts and all(text == "Your key is ***. The answer is 5." for text in texts)
    assert_no_trace(tmp_path / "echo")
