"""On-policy rounds, killed at random instants: the same student, and nothing scored twice."""

import random
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chaos import Event, bought_again, chaos_process, read_events, sent_after_success
from chaos_faults import ASTRAY, FAULTS
from chaos_wire import Habits
from commands import SHORT_BACKOFF, Commands
from safetensors.numpy import load_file
from test_chaos import wait_until_grown
from test_kill import LOSSES, killed_until_done, rows, write_questions, write_recipe

from potstill.errors import ModelError
from potstill.models import BUNDLED_FOLDER
from potstill.models.openai import client
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import GivenText, Request

KILLS = 50
WINDOW = 8
"""Requests in flight at most."""

WRITTEN = (
    "SELECT model, sample, text, finish_reason FROM completions JOIN requests ON key = request_key"
    " WHERE stage = 'train' AND model LIKE 'on_policy:%' ORDER BY 1, hex(request_key), 2"
)
SCORED = (
    "SELECT hex(request_key), text, hex(logprobs) FROM completions"
    " JOIN requests ON key = request_key JOIN logprobs ON completion_id = completions.id"
    " WHERE stage = 'train' AND model NOT LIKE 'on_policy:%' ORDER BY 1"
)
SMALL: dict[str, Any] = {
    "train": {
        "steps": 12, "batch_size": 4, "checkpoints": 4, "precision": "float32",
        "students": {
            "own": {
                "data_format": {
                    "prompt": "Q: {question}\nA: Let's think step by step.",
                    "target": " {rationale}\nTherefore, the answer is {answer}",
                },
                "matching": {"divergence": "reverse_kl"},
                "on_policy": {"steps_per_round": 3, "max_tokens": 24, "top": 5, "limits": None},
            }
        },
    },
    "curate": {"right_answer": False},
    "generate": {"samples": 1, "max_tokens": 64},
}  # fmt: skip


@pytest.mark.slow
def test_rounds_killed_at_any_instant_equal_an_undisturbed_training(
    commands: Commands, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.jsonl"
    write_questions(questions, 30)
    recipes = {
        name: write_recipe(tmp_path, name, questions=questions, **SMALL)
        for name in ("calm", "killed")
    }
    for recipe in recipes.values():
        assert commands.run("generate", str(recipe)) == 0
        assert commands.run("curate", str(recipe)) == 0
    assert commands.run("train", str(recipes["calm"])) == 0
    longest = commands.processor_seconds / 2
    met = killed_until_done(commands, 5, longest, "train", str(recipes["killed"]), kills=15)
    assert met >= 3
    check_same(tmp_path / "calm", tmp_path / "killed")


def check_same(calm: Path, killed: Path) -> None:
    """Both runs wrote, bought and learned the same, to the last bit."""
    assert rows(killed, WRITTEN) == rows(calm, WRITTEN)
    assert rows(killed, SCORED) == rows(calm, SCORED)
    assert rows(killed, LOSSES) == rows(calm, LOSSES)
    found = sorted((calm / "checkpoints").rglob("model.safetensors"))
    assert len(found) == 4
    for weights in found:
        expected, other = load_file(weights), load_file(killed / weights.relative_to(calm))
        assert all((expected[name] == other[name]).all() for name in expected)


def served(url: str) -> dict[str, Any]:
    """A teacher whose tokens are known, so that it is asked in them and scores ends, too."""
    return {
        "model": "openai:chaos", "base_url": url, "api_key_env": None, "timeout": 2.0,
        "concurrency": WINDOW, "chat": False, "chat_template": str(BUNDLED_FOLDER / "teacher"),
    }  # fmt: skip


def make_probes_calm(url: str) -> None:
    """Ask for scores until the server does well by the text that every command tries first."""
    for _ in range(8):
        asked = OpenAIModel(OpenAISettings.model_validate(served(url)))
        with suppress(ModelError):
            request = Request(prompt="Q:", given=GivenText(text=" A"), top_logprobs=5)
            list(asked.complete([request]))


def without_probes(log: Path, before: int) -> list[Event]:
    """Returns the commands' requests without their probes, whose text the first event also has."""
    events = read_events(log)
    return [event for event in events[before:] if event["prompt"] != events[0]["prompt"]]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_rounds_of_a_server_of_faults_killed_fifty_times_equal_an_undisturbed_training(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.before = SHORT_BACKOFF
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.02)
    kinds = {
        kind: weight for kind, weight in FAULTS.items() if kind not in (*ASTRAY, "stall", "late")
    }
    habits = Habits(seed=4, kinds=kinds, latency=0.01, calm_after=6)
    questions = tmp_path / "questions.jsonl"
    write_questions(questions, 40)
    logs, instants, port, whole = dict[str, list[Event]](), random.Random(6), 0, 0
    for name in ("calm", "killed"):
        with chaos_process(tmp_path, habits, name=name, port=port) as (url, log):
            port = int(url.split(":")[2].removesuffix("/v1"))
            make_probes_calm(url)
            recipe = write_recipe(
                tmp_path, name, questions=questions, **SMALL | {"teacher": served(url)}
            )
            begun, before = log.stat().st_size, len(read_events(log))
            for _ in range(KILLS if name == "killed" else 0):
                # By what the server was asked: half of the work is left after the last kill.
                growth = max(0.0, instants.uniform(-0.2, 1.0)) * whole / KILLS
                wait = partial(wait_until_grown, log, growth, instants.uniform(0.0, 0.02))
                assert commands.run("train", str(recipe), kill_after=wait) == -9
            assert commands.run("train", str(recipe)) == 0
            whole = log.stat().st_size - begun
            logs[name] = without_probes(log, before)
    check_same(tmp_path / "calm", tmp_path / "killed")
    assert len(rows(tmp_path / "calm", SCORED)) >= 30
    assert not sent_after_success(logs["calm"])
    assert bought_again(logs["killed"]) <= KILLS * WINDOW
