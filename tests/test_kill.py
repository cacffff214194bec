"""Killed at random instants, then the same command again: nothing is lost, nothing paid twice."""

import json
import random
import signal
import sqlite3
from pathlib import Path

import pytest
import yaml
from commands import Commands
from safetensors.numpy import load_file

KILLS = 20
SAMPLES = 4


def write_questions(path: Path, count: int) -> None:
    rows = [
        {"q": f"Ann has {n} pens and buys {n % 7 + 2} more. How many has she?",
         "a": n + n % 7 + 2, "split": split}
        for n in range(10, 10 + count)
        for split in ["test" if n % 5 == 0 else "dev" if n % 5 == 1 else "train"]
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_recipe(folder: Path, name: str, *, questions: Path, **sections: object) -> Path:
    recipe = {
        "task": {"file": str(questions), "question": "q", "answer": "a",
                 "answer_type": "number"},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "generate": {"samples": SAMPLES, "max_tokens": 64},
        "run": str(folder / name),
        **sections,
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def rows(run: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(run / "run.sqlite") as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


COMPLETIONS = "SELECT hex(request_key), sample, text, finish_reason FROM completions ORDER BY 1, 2"
SCORES = (
    "SELECT model, start, variant, step, taken, task, split, correct, total"
    " FROM scores ORDER BY rowid"
)
LOSSES = "SELECT student, step, loss, tokens FROM training ORDER BY 1, 2"


def killed_until_done(
    commands: Commands, seed: int, longest: float, *arguments: str, kills: int = KILLS
) -> int:
    """Kill the command at random instants, then let it end; how often it had not ended before.

    ``longest`` is in seconds of a processor.
    """
    instants = random.Random(seed)
    met = 0
    for _ in range(kills):
        code = commands.run(*arguments, kill_after=instants.uniform(0.0, longest))
        assert code in (0, -signal.SIGPROF)
        met += code != 0
    assert commands.run(*arguments) == 0
    return met


@pytest.mark.slow
def test_train_and_evaluate_killed_twenty_times_equal_an_undisturbed_run(
    commands: Commands, tmp_path: Path
) -> None:
    small = {
        "train": {"steps": 24, "batch_size": 4, "checkpoints": 3, "precision": "float32"},
        "evaluate": {"max_tokens": 24},
        "generate": {"samples": 1, "max_tokens": 64},
        "curate": {"right_answer": False},
    }
    questions = tmp_path / "questions.jsonl"
    write_questions(questions, 60)
    calm, killed = (
        write_recipe(tmp_path, name, questions=questions, **small) for name in ("calm", "killed")
    )
    for recipe in (calm, killed):
        assert commands.run("generate", str(recipe)) == 0
        assert commands.run("curate", str(recipe)) == 0
    assert commands.run("train", str(calm)) == 0
    longest = commands.processor_seconds / 3
    met_training = killed_until_done(commands, 2, longest, "train", str(killed))
    assert commands.run("evaluate", str(calm)) == 0
    longest = commands.processor_seconds / 3
    met_evaluating = killed_until_done(commands, 3, longest, "evaluate", str(killed))
    assert met_training >= 3 and met_evaluating >= 3
    assert rows(tmp_path / "killed", LOSSES) == rows(tmp_path / "calm", LOSSES)
    for weights in sorted((tmp_path / "calm" / "checkpoints").rglob("model.safetensors")):
        twin = tmp_path / "killed" / weights.relative_to(tmp_path / "calm")
        expected, found = load_file(weights), load_file(twin)
        assert all((expected[name] == found[name]).all() for name in expected)
    assert rows(tmp_path / "killed", SCORES) == rows(tmp_path / "calm", SCORES)
    assert rows(tmp_path / "killed", COMPLETIONS) == rows(tmp_path / "calm", COMPLETIONS)
