"""Putting the runs of several seeds together."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from test_recipes import experiments

from potstill.records import Choice, Prediction, Score, System
from potstill.store import Store

SHORT = "task: two_step_arithmetic\nteacher: bundled:teacher\nstudent: bundled:student\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return experiments()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(f"run: {tmp_path / 'runs' / 'short'}\n{SHORT}")
    return path


SYSTEMS = {
    "ours": System("ours", step=10),
    "ours@20": System("ours", step=20, taken=False),
    "base": System("base", step=10),
}


def answered(folder: Path, **systems: dict[str, bool]) -> None:
    """A run in which systems were right or wrong on questions."""
    predictions = [
        Prediction(
            system=SYSTEMS[system],
            task="sums",
            question_id=question,
            text="",
            answer=None,
            correct=correct,
            finish_reason="stop",
            completion_tokens=0,
        )
        for system, answers in systems.items()
        for question, correct in answers.items()
    ]
    with Store(folder / "run.sqlite") as store:
        store.replace_evaluation([], predictions, [], grader="2", settings_hash="")
        store.add_stage_time("train", 2.0)
        store.add_stage_time("evaluate", 1.0)


def jobs(script: ModuleType, recipe: Path, *words: str) -> list:  # type: ignore[type-arg]
    return script.jobs_of(script.parsed([str(recipe), *words]))  # type: ignore[no-any-return]


def test_every_seed_and_variant_is_a_run_of_its_own(script: ModuleType, recipe: Path) -> None:
    words = ["--seeds", "0", "1", "--set", "train.steps=5", "--per-seed", "task.split_seed"]
    made = jobs(script, recipe, *words, "--variant", "hot", "generate.temperature=2")
    assert [job.folder.name for job in made] == [
        "short-seed0", "short-seed1", "short-hot-seed0", "short-hot-seed1",
    ]  # fmt: skip
    assert made[3].changes == (
        "train.steps=5", "generate.temperature=2", "seed=1", "task.split_seed=1",
        f"run={made[3].folder}",
    )  # fmt: skip


def test_seeds_are_pooled_and_pairs_stay_within_a_seed(script: ModuleType, recipe: Path) -> None:
    made = jobs(script, recipe, "--seeds", "0", "1")
    answered(
        made[0].folder,
        ours={"a": True, "b": True, "c": False},
        base={"a": False, "b": True, "c": False},
    )
    answered(
        made[1].folder,
        ours={"d": True, "e": False, "f": True},
        base={"d": False, "e": True, "f": False},
    )
    ours, base = script.pooled(made)["sums"]
    assert (ours.right, ours.total) == (4, 6)
    assert ours.accuracies() == [pytest.approx(2 / 3)] * 2
    result = ours.against(base)
    assert (result.only_first, result.only_second, result.total) == (3, 1, 6)
    assert result.p_value == pytest.approx(0.625)  # 2 (C(4,0) + C(4,1)) / 2^4
    assert script.note_on_sharing([ours, base]) == ""
    text = script.page(recipe, made, ["base"])
    assert "| ours | 2/3 | 2/3 | 66.7% | 30.0% to 90.3% | 0.0 |" in text
    assert "| base | 1/3 | 1/3 | 33.3% | 9.7% to 70.0% | 0.0 |" in text
    assert "| ours | +33.3 |" in text and "| 3 | 1 | 0.62 |" in text
    assert "more than one seed" not in text
    assert text.endswith("Seconds a run: short-seed0 3, short-seed1 3.")


def test_shared_test_questions_are_told(script: ModuleType, recipe: Path) -> None:
    made = jobs(script, recipe, "--seeds", "0", "1")
    for job in made:
        answered(job.folder, ours={"a": True, "b": True})
    told = "Of 2 test questions 2 were asked under more than one seed"
    assert told in script.page(recipe, made, [])


def test_systems_of_a_variant_are_paired_where_the_questions_are_the_same(
    script: ModuleType, recipe: Path
) -> None:
    made = jobs(script, recipe, "--variant", "same", "seed=0", "--variant", "other", "seed=0")
    answered(made[0].folder, ours={"a": True, "b": True})
    answered(made[1].folder, ours={"b": False, "a": False})
    answered(made[2].folder, ours={"a": True, "x": True})
    systems = {each.system: each for each in script.pooled(made)["sums"]}
    assert list(systems) == ["ours", "same/ours", "other/ours"]
    assert systems["same/ours"].against(systems["ours"]).only_second == 2
    assert systems["other/ours"].against(systems["ours"]) is None
    assert "| other/ours |" not in script.page(recipe, made, ["ours"]).partition("against")[2]


def test_the_figures_are_plain_values(script: ModuleType, recipe: Path) -> None:
    made = jobs(script, recipe)
    answered(made[0].folder, ours={"a": True, "b": True}, base={"a": False, "b": True})
    figures = json.loads(json.dumps(script.figures(made, ["base"])))
    assert figures["tasks"]["sums"]["ours"]["by_seed"] == {"0": [2, 2]}
    assert figures["tasks"]["sums"]["ours"]["against"]["base"]["difference"] == 0.5
    assert (
        "against" not in figures["tasks"]["sums"]["base"]
        or not (figures["tasks"]["sums"]["base"]["against"])
    )


def test_a_run_that_fails_is_told_in_its_own_words(
    script: ModuleType, recipe: Path, tmp_path: Path
) -> None:
    (job,) = jobs(script, recipe)
    missing = job._replace(recipe=tmp_path / "gone.yaml")
    told = script.run(missing, 1)
    assert told.startswith(f"{job.folder}: ended with 2: Error: cannot read")
    assert (job.folder / "log.txt").exists()


@pytest.mark.slow
def test_an_experiment_runs_from_end_to_end(
    script: ModuleType, recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = [
        "task={name: two_step_arithmetic, train: 6, dev: 3, test: 5}", "generate.samples=2",
        "generate.max_tokens=40", "train.steps=2", "train.checkpoints=1", "evaluate.max_tokens=40",
    ]  # fmt: skip
    words = [str(recipe), "--seeds", "3", "--out", str(tmp_path / "out.json")]
    for change in small:
        words += ["--set", change]
    assert script.main(words) == 0
    printed = capsys.readouterr().out
    assert "| rationales |" in printed and "against answers_only" in printed
    results = json.loads((tmp_path / "out.json").read_text())["short"]
    assert list(results["seconds"]) == ["short-seed3"]
    assert results["tasks"]["two_step_arithmetic"]["rationales"]["total"] == 5


def test_a_rule_that_agrees_with_the_one_used_has_its_answers(
    script: ModuleType, recipe: Path
) -> None:
    made = jobs(script, recipe, "--seeds", "0", "1")
    for job, pareto in zip(made, (20, 10), strict=True):
        answered(job.folder, ours={"a": True, "b": True}, **{"ours@20": {"a": True, "b": False}})
        with Store(job.folder / "run.sqlite") as store:
            choices = [
                Choice(student="ours", rule="in_distribution", step=10, used=True),
                Choice(student="ours", rule="pareto", step=pareto, used=False),
            ]
            predictions = store.predictions()
            store.replace_evaluation([], predictions, [], choices, grader="2", settings_hash="")
    first, pareto_of = script.by_rule(made)["sums"]
    assert (first.system, first.right, first.total) == ("ours/in_distribution", 4, 4)
    assert (pareto_of.system, pareto_of.right, pareto_of.total) == ("ours/pareto", 3, 4)
    assert [each.system for each in script.pooled(made)["sums"]] == ["ours"]


def test_development_questions_are_pooled_by_step(script: ModuleType, recipe: Path) -> None:
    made = jobs(script, recipe, "--seeds", "0", "1")
    for job, right in zip(made, (3, 4), strict=True):
        scores = [
            Score(
                system=system,
                task="sums",
                split="dev",
                correct=right,
                total=10,
                low=0.0,
                high=1.0,
                no_answer=0,
                truncated=0,
            )
            for system in (System("start"), System("ours", step=40, taken=False))
        ]
        with Store(job.folder / "run.sqlite") as store:
            store.replace_evaluation(scores, [], [], grader="2", settings_hash="")
    assert script.curves(made) == {"sums": {"start": {0: (7, 20)}, "ours": {40: (7, 20)}}}
    assert "| ours |  | 35.0 [18.1, 56.7] |" in script.curve_table(script.curves(made)["sums"])
