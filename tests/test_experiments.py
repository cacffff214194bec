"""Putting the runs of several seeds together."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.experiment.experiment_page import (
    curve_table,
    experiment_figures,
    experiment_page,
    sharing_note,
)
from potstill.experiment.run_results import (
    development_curves,
    results_by_rule,
    results_on_tests,
)
from potstill.experiment.seeded_runs import RunProcesses, run_one, seeded_runs
from potstill.records import Choice, Prediction, Score, System
from potstill.store import Store

SHORT = "task: two_step_arithmetic\nteacher: bundled:teacher\nstudent: bundled:student\n"


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


def test_every_seed_and_variant_is_a_run_of_its_own(recipe: Path) -> None:
    runs = seeded_runs(
        [recipe],
        [0, 1],
        changes=["train.steps=5"],
        per_seed=["task.split_seed"],
        variants=[["hot", "generate.temperature=2"]],
    )
    assert [run.folder.name for run in runs] == [
        "short-seed0", "short-seed1", "short-hot-seed0", "short-hot-seed1",
    ]  # fmt: skip
    assert runs[3].changes == (
        "train.steps=5", "generate.temperature=2", "seed=1", "task.split_seed=1",
        f"run={runs[3].folder}",
    )  # fmt: skip


def test_two_variants_of_one_name_are_refused(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="short-a-seed0 would take the runs of two"):
        seeded_runs([recipe], [0], variants=[["a", "seed=1"], ["a", "seed=2"]])


def test_comparisons_are_over_runs_and_pairs_stay_within_a_seed(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0, 1])
    answered(
        runs[0].folder,
        ours={"a": True, "b": True, "c": True, "x": False},
        base={"a": False, "b": True, "c": False, "x": False},
    )
    answered(
        runs[1].folder,
        ours={"d": True, "e": False, "f": True, "g": False},
        base={"d": False, "e": True, "f": False, "g": False},
    )
    ours, base = results_on_tests(runs)["sums"]
    assert (ours.right, ours.total) == (5, 8)
    assert ours.accuracies == {0: 0.75, 1: 0.5}
    over_runs, pairs = ours.compared_with(base) or (None, None)
    assert over_runs and pairs
    assert (pairs.only_first, pairs.only_second, pairs.total) == (4, 1, 8)
    assert pairs.p_value == pytest.approx(0.375)  # 2 (C(5,0) + C(5,1)) / 2^5
    # differences 0.5 and 0.25: their mean's standard error is 0.125, t of one degree of freedom 3
    assert (over_runs.runs, over_runs.difference) == (2, 0.375)
    assert over_runs.p_value == pytest.approx(0.2048, abs=1e-4)
    text = experiment_page(recipe, runs, ["base"])
    assert "| ours | 3/4 | 2/4 | 62.5% | 0.0% to 100.0% | 17.7 | 30.6% to 86.3% |" in text
    assert "| base | 1/4 | 1/4 | 25.0% | - | 0.0 | 7.1% to 59.1% |" in text
    assert "| ours | +37.5 | \N{MINUS SIGN}121.3 to +196.3 | 0.2 | 4 | 1 |" in text
    assert "2 runs: an interval over so few is wide" in text
    assert "more than one seed" not in text
    assert text.endswith("Seconds a run: short-seed0 3, short-seed1 3.")


def test_the_table_of_selection_rules_says_what_it_holds(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0])
    answered(runs[0].folder, ours={"a": True, "b": True}, base={"a": False, "b": True})
    with Store(runs[0].folder / "run.sqlite") as store:
        choices = [
            Choice(student="ours", rule=rule, step=10, used=rule == "in_distribution")
            for rule in ("in_distribution", "pareto")
        ]
        predictions = store.predictions()
        store.replace_evaluation([], predictions, [], choices=choices, grader="2", settings_hash="")
    before, heading, after = experiment_page(recipe, runs, []).partition("####")
    assert "| ours |" in before and "/pareto" not in before
    assert heading and after.startswith(" Of the checkpoints that each selection rule chose")


def test_one_run_says_what_its_interval_means(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0])
    answered(runs[0].folder, ours={"a": True, "b": True}, base={"a": False, "b": True})
    text = experiment_page(recipe, runs, ["base", "bass"])
    assert "| ours | 2/2 | 100.0% | - | - | 34.2% to 100.0% |" in text
    assert "95% over this run's questions | McNemar p" in text
    assert "Another training of the same recipe may differ by more" in text
    assert "There is no system bass to compare with; there are ours, base." in text


def test_shared_test_questions_are_told(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0, 1])
    for run in runs:
        answered(run.folder, ours={"a": True, "b": True})
    note = "Of 2 test questions 2 were asked under more than one seed"
    assert note in experiment_page(recipe, runs, [])
    assert sharing_note([]) == ""


def test_systems_of_a_variant_are_paired_where_the_questions_are_the_same(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0], variants=[["same", "seed=0"], ["other", "seed=0"]])
    answered(runs[0].folder, ours={"a": True, "b": True})
    answered(runs[1].folder, ours={"b": False, "a": False})
    answered(runs[2].folder, ours={"a": True, "x": True})
    systems = {system.name: system for system in results_on_tests(runs)["sums"]}
    assert list(systems) == ["ours", "same/ours", "other/ours"]
    compared = systems["same/ours"].compared_with(systems["ours"])
    assert compared and compared.over_questions.only_second == 2
    assert systems["other/ours"].compared_with(systems["ours"]) is None
    assert "| other/ours |" not in experiment_page(recipe, runs, ["ours"]).partition("against")[2]


def test_the_figures_are_plain_values(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0])
    answered(runs[0].folder, ours={"a": True, "b": True}, base={"a": False, "b": True})
    tasks = json.loads(json.dumps(experiment_figures(runs, ["base"])))["tasks"]
    assert tasks["sums"]["ours"]["by_seed"] == {"0": [2, 2]}
    compared = tasks["sums"]["ours"]["against"]["base"]
    assert compared["over_runs"] is None and compared["over_questions"]["difference"] == 0.5
    assert tasks["sums"]["base"]["against"] == {}


def test_a_run_that_fails_is_told_in_its_own_words(recipe: Path, tmp_path: Path) -> None:
    (run,) = seeded_runs([recipe], [0])
    failure = run_one(run._replace(recipe=tmp_path / "gone.yaml"), 1, RunProcesses())
    assert failure and failure.startswith(f"{run.folder}: ended with 2: Error: cannot read")
    assert (run.folder / "log.txt").exists()


@pytest.mark.slow
def test_an_experiment_runs_from_end_to_end(recipe: Path, tmp_path: Path) -> None:
    small = [
        "task={name: two_step_arithmetic, train: 6, dev: 3, test: 5}", "generate.samples=2",
        "generate.max_tokens=40", "train.steps=2", "train.checkpoints=1", "evaluate.max_tokens=40",
    ]  # fmt: skip
    words = ["experiment", str(recipe), "--seeds", "1", "--out", str(tmp_path / "out.json")]
    for change in small:
        words += ["--set", change]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "| rationales |" in done.stdout and "against answers_only" in done.stdout
    results = json.loads((tmp_path / "out.json").read_text())["short"]
    assert list(results["seconds"]) == ["short-seed0"]
    assert results["tasks"]["two_step_arithmetic"]["rationales"]["total"] == 5


def test_a_failed_run_ends_the_command_with_1(recipe: Path) -> None:
    words = shlex.split(f"experiment {recipe} --seeds 1 --set teacher=recorded:gone.jsonl")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "short-seed0: ended with 2" in done.stderr
    assert "1 of 1 runs failed; repeat the command to go on" in done.stderr


def test_figures_that_could_not_be_written_are_told_before_any_run(
    recipe: Path, tmp_path: Path
) -> None:
    words = ["experiment", str(recipe), "--out", str(tmp_path / "gone" / "out.json")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "there is no folder" in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_a_rule_that_agrees_with_the_one_used_has_its_answers(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0, 1])
    for run, pareto in zip(runs, (20, 10), strict=True):
        answered(run.folder, ours={"a": True, "b": True}, **{"ours@20": {"a": True, "b": False}})
        with Store(run.folder / "run.sqlite") as store:
            choices = [
                Choice(student="ours", rule="in_distribution", step=10, used=True),
                Choice(student="ours", rule="pareto", step=pareto, used=False),
            ]
            predictions = store.predictions()
            store.replace_evaluation([], predictions, [], choices, grader="2", settings_hash="")
    first, pareto_of = results_by_rule(runs)["sums"]
    assert (first.name, first.right, first.total) == ("ours/in_distribution", 4, 4)
    assert (pareto_of.name, pareto_of.right, pareto_of.total) == ("ours/pareto", 3, 4)
    assert [system.name for system in results_on_tests(runs)["sums"]] == ["ours"]


def test_development_questions_are_pooled_by_step(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0, 1])
    for run, right in zip(runs, (3, 4), strict=True):
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
        with Store(run.folder / "run.sqlite") as store:
            store.replace_evaluation(scores, [], [], grader="2", settings_hash="")
    assert development_curves(runs) == {"sums": {"start": {0: (7, 20)}, "ours": {40: (7, 20)}}}
    assert "| ours |  | 35.0 [18.1, 56.7] |" in curve_table(development_curves(runs)["sums"])


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("d1 'x", "No closing quotation"),
        ("", "give a name and at least one setting"),
        ("d1", "give a name and at least one setting"),
    ],
)
def test_a_variant_that_is_none_is_refused(tmp_path: Path, variant: str, told: str) -> None:
    recipe = tmp_path / "short.yaml"
    recipe.write_text("run: runs/short\n")
    done = CliRunner().invoke(main, ["experiment", str(recipe), "--variant", variant])
    assert done.exit_code == 2 and told in done.output, done.output


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    recipes = [tmp_path / folder / "short.yaml" for folder in ("a", "b")]
    for recipe in recipes:
        recipe.parent.mkdir()
        recipe.write_text("run: runs/short\n")
    done = CliRunner().invoke(main, ["experiment", *map(str, recipes)])
    assert done.exit_code == 2 and "two recipes are called short" in done.output, done.output
