"""The table of real students, from result files as ``potstill experiment`` writes them."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from script_modules import script_module

RECIPES = Path(__file__).parents[1] / "recipes" / "real"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("real_table")


def measured(*counts: int, total: int = 150, over_runs: list[float] | None = None) -> object:
    mean = sum(counts) / (total * len(counts))
    by_seed = {str(seed): [right, total] for seed, right in enumerate(counts)}
    return {
        "mean": mean,
        "by_seed": by_seed,
        "right": sum(counts),
        "over_runs": over_runs,
        "against": {
            "answers_only": {
                "over_runs": {"difference": 0.32, "interval": [-0.1, 0.7]} if over_runs else None,
                "over_questions": {"difference": 0.32, "interval": [0.24, 0.4]},
            }
        },
    }


def test_every_recipe_of_real_data_has_its_place_in_the_table(script: ModuleType) -> None:
    assert set(script.TASKS) == {path.stem for path in RECIPES.glob("*.yaml")}


def test_a_line_holds_the_best_start_and_the_mean_of_the_trainings(
    script: ModuleType, tmp_path: Path
) -> None:
    systems = {
        "start_zero_shot": measured(0),
        "start_few_shot": measured(2, 4, over_runs=[-0.06, 0.1]),  # of two processors
        "start": measured(1),
        "answers_only": measured(3, 6, over_runs=[0.01, 0.05]),
        "rationales": measured(45, 60, over_runs=[-0.1, 0.8]),
    }
    found = {"last-letters": {"tasks": {"last_letter_concatenation": systems}}}
    (tmp_path / "real-last-letters.json").write_text(json.dumps(found))
    lines = script.table(script.rows(tmp_path)).splitlines()
    cells = dict(zip(script.HEAD, lines[2].strip("| ").split(" | "), strict=True))
    # Wilson's interval of 3 of 150: no training makes a start's answers other ones.
    assert cells["best start"] == "2.0 [0.7, 5.7] (`start_few_shot`)"
    assert cells["answers alone"] == "3.0 [1.0, 5.0]; 2 seeds"  # (3 + 6) of 300
    assert cells["rationales, all"].startswith("35.0 [-10.0, 80.0]")  # (45 + 60) of 300
    assert cells["points beyond answers alone"] == "+32.0 [-10.0, +70.0]"
    assert cells["beyond the best start"] == "not compared"
    assert cells["LoRA"] == "not run" and cells["GPT-2 124M"] == "1.3, 4.7, 6.0"
    assert script.not_run(tmp_path).startswith("Not run: `recipes/real/coin-flip.yaml`, ")
    short = script.table(script.rows(tmp_path), script.SHORT).splitlines()
    assert short[0].startswith("| task | best start | answers alone | rationales, all |")
    assert short[2].split(" | ")[-3] == "1.3, 4.7, 6.0"


def test_figures_of_checkpoints_that_were_chosen_on_test_say_so(
    script: ModuleType, tmp_path: Path
) -> None:
    systems = {name: measured(3) for name in ("start", "answers_only", "rationales")}
    found = {"svamp": {"tasks": {"svamp": systems}, "chosen_on_test": "They were."}}
    (tmp_path / "real-svamp.json").write_text(json.dumps(found))
    for heads in (script.HEAD, script.SHORT):
        line = script.table(script.rows(tmp_path), heads).splitlines()[2]
        assert "| SVAMP (150 questions; checkpoint chosen on these test questions, so" in line


def test_a_page_without_the_marks_is_left_alone(script: ModuleType) -> None:
    assert script.replaced(f"a\n{script.BEGIN}old{script.END}\nb", "new").split("\n") == [
        "a", script.BEGIN, "new", script.END, "b"
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="the page has no"):
        script.replaced("a page", "new")
