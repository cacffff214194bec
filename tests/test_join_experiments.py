"""Joining what ``potstill experiment`` found for other seeds in another place."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from script_modules import script_module
from test_experiments import SHORT, answered

from potstill.experiment.experiment_page import experiment_figures
from potstill.experiment.seeded_runs import SeededRun, seeded_runs


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("join_experiments")


@pytest.fixture
def runs(tmp_path: Path) -> list[SeededRun]:
    recipe = tmp_path / "short.yaml"
    recipe.write_text(f"run: {tmp_path / 'short'}\n{SHORT}")
    runs = seeded_runs([recipe], [0, 1, 2])
    ours = ["1110", "1010", "1111"]
    base = ["0100", "0110", "0001"]
    for run, *verdicts in zip(runs, ours, base, strict=True):
        first, second = (
            {f"q{run.seed}{at}": bit == "1" for at, bit in enumerate(bits)} for bits in verdicts
        )
        answered(run.folder, ours=first, base=second)
    return runs


def written(path: Path, runs: list[SeededRun]) -> Path:
    figures = {"command": f"seeds of {path.stem}", "cores": 2}
    path.write_text(json.dumps(figures | {"short": experiment_figures(runs, ["base"])}))
    return path


def test_joined_parts_are_what_all_seeds_together_would_have_given(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    whole = tmp_path / "all.json"
    parts = [written(tmp_path / f"{run.seed}.json", [run]) for run in runs]
    script.main([str(whole), str(parts[0]), str(parts[2])])
    script.main([str(whole), str(parts[1])])  # into what is there
    found = json.loads(whole.read_text())
    wanted = json.loads(written(tmp_path / "wanted.json", runs).read_text())["short"]
    order = {"0": 0, "2": 1, "1": 2}
    for system, figures in found["short"]["tasks"]["sums"].items():
        assert list(figures["by_seed"]) == list(order)
        expected = wanted["tasks"]["sums"][system]
        assert figures["by_seed"] == expected["by_seed"]
        assert figures["over_runs"] == pytest.approx(expected["over_runs"])
        assert figures["over_questions"] == pytest.approx(expected["over_questions"])
        for other, compared in figures["against"].items():
            for kind, values in compared.items():
                same = expected["against"][other][kind]
                assert values.pop("interval") == pytest.approx(same.pop("interval"))
                assert values == pytest.approx(same)
    assert found["short"]["seconds"] == wanted["seconds"]
    assert found["command"] == "seeds of 0\nseeds of 2\nseeds of 1"


def test_a_seed_of_two_files_is_refused(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    one, two = written(tmp_path / "1.json", runs[:2]), written(tmp_path / "2.json", runs[1:])
    with pytest.raises(SystemExit, match="is in two files"):
        script.main([str(tmp_path / "all.json"), str(one), str(two)])
    assert not (tmp_path / "all.json").exists()


def test_figures_that_counts_do_not_give_are_refused(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    one, two = written(tmp_path / "1.json", runs[:1]), written(tmp_path / "2.json", runs[1:])
    figures = json.loads(two.read_text())
    figures["short"]["guidance"][""]["policies"] = {"first": {}}
    two.write_text(json.dumps(figures))
    with pytest.raises(SystemExit, match="figures of 'guidance' cannot be joined"):
        script.main([str(tmp_path / "all.json"), str(one), str(two)])


def test_seeds_of_other_settings_are_refused(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    longer = runs[1]._replace(changes=("train.steps=9", *runs[1].changes))
    one, two = written(tmp_path / "1.json", runs[:1]), written(tmp_path / "2.json", [longer])
    with pytest.raises(SystemExit, match="short-seed1 differs from other seeds in train"):
        script.main([str(tmp_path / "all.json"), str(one), str(two)])


def test_accuracies_of_several_teachers_are_joined(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    parts = [written(tmp_path / f"{run.seed}.json", [run]) for run in runs]
    for seed, part in enumerate(parts):
        figures = json.loads(part.read_text())
        figures["short"]["teachers"][""] = [
            {"teacher": name, "round": 0, "by_seed": {str(seed): accuracy + seed / 10}}
            for name, accuracy in (("first", 0.2), ("second", 0.5))
        ]
        part.write_text(json.dumps(figures))
    script.main([str(tmp_path / "all.json"), *map(str, parts)])
    first, second = json.loads((tmp_path / "all.json").read_text())["short"]["teachers"][""]
    assert (first["teacher"], second["teacher"]) == ("first", "second")
    assert first["by_seed"] == pytest.approx({"0": 0.2, "1": 0.3, "2": 0.4})
    assert second["mean"] == pytest.approx(0.6)
    # sd 0.1, its error 0.1 / sqrt(3), and t of two degrees of freedom 4.3027
    assert second["over_runs"] == pytest.approx([0.6 - 0.2484, 0.6 + 0.2484], abs=1e-4)


def test_a_task_of_some_parts_alone_is_kept(
    script: ModuleType, runs: list[SeededRun], tmp_path: Path
) -> None:
    parts = [written(tmp_path / f"{run.seed}.json", [run]) for run in runs]
    for part, name in ((parts[0], "early"), (parts[2], "late")):
        figures = json.loads(part.read_text())
        figures["short"]["tasks"][name] = figures["short"]["tasks"]["sums"]
        part.write_text(json.dumps(figures))
    script.main([str(tmp_path / "all.json"), *map(str, parts)])
    tasks = json.loads((tmp_path / "all.json").read_text())["short"]["tasks"]
    assert {task: list(found["ours"]["by_seed"]) for task, found in tasks.items()} == {
        "sums": ["0", "1", "2"], "early": ["0"], "late": ["2"],
    }  # fmt: skip
