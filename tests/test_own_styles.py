"""A recipe's own prompt styles, wherever a recipe names one, from the questions to the report."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from potstill.cli import main

FEW_SHOT = {
    "name": "mine",
    "template": "{exemplars}\nQ: {question}\nA:",
    "exemplar": "Q: {question}\nA: {rationale} The answer is {answer}.",
}
RECIPE = {
    "run": "runs/own",
    "task": {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2},
    "teacher": "bundled:teacher",
    "student": "bundled:student",
    "exemplars": [
        {
            "question": "Ana has 2 pens and buys 3 more. How many pens does she have?",
            "rationale": "She starts with 2 pens. 2 + 3 = 5.",
            "answer": "5",
        }
    ],
    "generate": {"samples": 1, "temperature": 0.0, "max_tokens": 24, "prompt_style": FEW_SHOT},
    "curate": {"right_answer": False},
    "train": {
        "steps": 1,
        "batch_size": 2,
        "checkpoints": 1,
        "students": {"all": {"wrong_answers": True}},
    },
    "evaluate": {"max_tokens": 24},
    "guide": {
        "policies": ["first"],
        "controls": [],
        "draws": 0,
        "routing": False,
        "self_guidance": [{"name": "own", "template": "Q: {question}\nA: Well,"}],
    },
}


def test_a_run_with_styles_of_its_own_asks_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    done = CliRunner().invoke(main, ["run", "own.yaml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "own_" in done.output
    again = CliRunner().invoke(main, ["generate", "own.yaml"], catch_exceptions=False)
    assert "0 completions stored, 4 already there" in again.output
