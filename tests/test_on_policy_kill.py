"""On-policy rounds, killed at random instants: the same student, and nothing scored twice."""

from pathlib import Path
from typing import Any

import pytest
from commands import Commands
from safetensors.numpy import load_file
from test_kill import LOSSES, killed_until_done, rows, write_questions, write_recipe

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
                "on_policy": {"steps_per_round": 3, "max_tokens": 24, "top": 5},
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
    met = killed_until_done(commands, 5, longest, "train", str(recipes["killed"]), kills=25)
    assert met >= 5
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    assert rows(killed, WRITTEN) == rows(calm, WRITTEN)
    assert rows(killed, SCORED) == rows(calm, SCORED)
    assert rows(killed, LOSSES) == rows(calm, LOSSES)
    found = sorted((calm / "checkpoints").rglob("model.safetensors"))
    assert len(found) == 4
    for weights in found:
        expected, other = load_file(weights), load_file(killed / weights.relative_to(calm))
        assert all((expected[name] == other[name]).all() for name in expected)
