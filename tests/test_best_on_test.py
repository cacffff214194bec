"""The checkpoint with the best test accuracy: taken where a recipe says so, and said everywhere."""

import html
import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes import ScriptedModel, context_of
from report_run import FilledRun, task
from rich.console import Console
from test_evaluate import ENTRIES, against, checkpoint, right_up_to

from potstill.cli import main
from potstill.evaluate import EvaluateSettings, Evaluation, StudentOrigin, evaluate
from potstill.evaluate.model_card import gain, model_card
from potstill.evaluate.selection import CheckpointScores, choose
from potstill.experiment.experiment_page import experiment_figures, experiment_page
from potstill.experiment.seeded_runs import seeded_runs
from potstill.merge.evaluate import merged_model_card
from potstill.pipeline.recipe import load_recipe
from potstill.plan import plan_page, plan_run
from potstill.records import Checkpoint, Choice, Comparison, Prediction, System
from potstill.report import write_report
from potstill.report.tables import accuracy_table, guided_table
from potstill.start_comparison import StartComparison
from potstill.store import Store
from potstill.text.chosen_on_test import BEST_ON_TEST, CHOSEN_ON_TEST, SHORT

ABILITY = {10: 7, 20: 12, 30: 14, 40: 14}
"""Questions about numbers up to this are answered rightly at each step. Development has 5 to 8, so
steps 20 to 40 are equal there (3, 4, 4, 4 of 4); test has 9 to 14: 0, 4, 6 and 6 of 6."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


class Opened:
    """Opens checkpoints, and counts the answers that each gave."""

    def __init__(self) -> None:
        self.models: dict[str, ScriptedModel] = {}

    def __call__(self, checkpoint: Checkpoint) -> ScriptedModel:
        folder = checkpoint.folder
        highest = ABILITY[int(folder.rpartition("/")[2])]
        fresh = ScriptedModel(lambda r, s: right_up_to(highest, r), name=folder)
        return self.models.setdefault(folder, fresh)

    @property
    def asked(self) -> dict[int, int]:
        return {int(at.rpartition("/")[2]): len(one.asked) for at, one in self.models.items()}


def run(store: Store, opened: Opened, **settings: object) -> Evaluation:
    trained = [checkpoint("rationales", step) for step in ABILITY]
    store.replace_training([], trained, settings_hash="h")
    teacher = ScriptedModel(lambda r, s: right_up_to(14, r), chat=True, name="teacher")
    start = ScriptedModel(lambda r, s: right_up_to(9, r), name="start")
    chosen = EvaluateSettings.model_validate({"bootstrap": 500, **settings})
    models = against(teacher, start, opened)
    return evaluate(ENTRIES, models, chosen, context_of(store), seed=0)


def words(text: str) -> str:
    return " ".join(text.split())


# the choice --------------------------------------------------------------------------------------


def test_the_rule_is_no_default() -> None:
    assert EvaluateSettings().select == "in_distribution"


def test_the_highest_test_accuracy_is_taken_and_of_equals_the_earliest() -> None:
    standings = [
        CheckpointScores(step, Fraction(dev, 10), on_test=Fraction(test, 10))
        for step, dev, test in ((10, 9, 4), (20, 3, 7), (30, 8, 7), (40, 5, 6))
    ]
    assert choose("best_on_test", standings).step == 20
    assert choose("in_distribution", standings).step == 10


def test_it_takes_what_development_questions_would_not(store: Store) -> None:
    evaluation = run(store, Opened(), select="best_on_test")
    assert evaluation.chosen is not None and evaluation.chosen.step == 30
    assert {(one.rule, one.step, one.used) for one in store.choices()} == {
        ("in_distribution", 20, False),
        ("best_on_test", 30, True),
    }
    right = {one.system.label: one.correct for one in store.scores() if one.split == "test"}
    assert (right["rationales"], right["rationales@20"]) == (6, 4)
    # The price of honesty stands beside it, paired on the same questions.
    (paired,) = [one for one in store.comparisons() if "rationales@20" in one.second.label]
    assert (paired.first.label, paired.only_first, paired.only_second) == ("rationales", 2, 0)


def test_without_it_no_checkpoint_but_the_chosen_one_sees_the_test(store: Store) -> None:
    opened = Opened()
    run(store, opened)
    assert opened.asked == {10: 4, 20: 4 + 6, 30: 4, 40: 4}
    assert {one.rule for one in store.choices()} == {"in_distribution"}


def test_a_changed_rule_asks_for_what_is_missing_alone(store: Store) -> None:
    """The same checkpoints serve both: of 6 test questions step 20 has answered all."""
    run(store, Opened())
    opened = Opened()
    run(store, opened, select="best_on_test")
    assert opened.asked == {10: 6, 20: 0, 30: 6, 40: 6}
    back = Opened()
    assert run(store, back).chosen == checkpoint("rationales", 20)
    assert set(back.asked.values()) == {0}


# what is said ------------------------------------------------------------------------------------


def test_the_card_says_so_wherever_it_gives_a_figure(store: Store) -> None:
    chosen = run(store, Opened(), select="best_on_test").chosen
    assert chosen is not None
    origin = StudentOrigin(task="sums", start="hf:small", formats=["fine_tune_cot"])
    compared = Comparison(
        task="sums", first=System("rationales", step=30), second=System("start"), only_first=5,
        only_second=0, total=6, difference=0.8, low=0.5, high=1.0, p_value=0.06,
    )  # fmt: skip
    against = StartComparison(compared, compared.p_value, 1)
    of_test = replace(origin, rule="best_on_test")
    card = words(model_card(chosen, store.scores(), of_test, against))
    assert "by the accuracy on its task, on test questions. " + CHOSEN_ON_TEST in card
    assert f"## Accuracy on test questions {CHOSEN_ON_TEST}" in card
    assert f"test questions of sums ({SHORT})" in card
    assert f"95% interval 61.0% to 100.0%, {SHORT}" in card  # the hub's metric
    assert "chose nothing" not in card
    honest = words(model_card(chosen, store.scores(), origin, against))
    assert "The test split chose nothing." in honest and "too high" not in honest
    assert SHORT not in gain(against)


def reported(folder: Path, *, rule: str) -> tuple[Store, str]:
    """A filled run's store and page."""
    store = Store(folder / "run.sqlite")
    tasks = [task("two_step_arithmetic", 40, 300), task("coin_toss", 0, 200, "yes_no")]
    filled = FilledRun(store, tasks, random.Random(3))
    filled.generate_and_curate()
    filled.train()
    filled.evaluate()
    choices = [
        Choice(student=student, rule=rule, step=350, used=True)
        for student in ("answers_only", "rationales")
    ]
    store.replace_evaluation(
        store.scores(), store.predictions(), store.comparisons(), choices, grader="1",
        settings_hash="c",
    )  # fmt: skip
    written = write_report(store, tasks, folder)
    return store, html.unescape(written.html.read_text())


def test_the_page_says_so_in_every_section_with_figures(tmp_path: Path) -> None:
    store, page = reported(tmp_path, rule=BEST_ON_TEST)
    sections = {part.partition('"')[0]: part for part in page.split('<section id="')[1:]}
    for name in ("before-after", "comparisons", "training"):
        assert CHOSEN_ON_TEST in sections[name], name
    head = page.split("<main>")[0]
    assert SHORT[1:] in head  # it begins a sentence there
    assert "Test questions choose nothing" not in page
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["chosen_on_test"] == CHOSEN_ON_TEST
    console = Console(width=100)
    with console.capture() as capture:
        console.print(accuracy_table(store, [task("two_step_arithmetic", 40, 300)]))
        console.print(guided_table([], on_test=True))
    assert words(capture.get()).count(CHOSEN_ON_TEST) == 2


def test_a_page_of_an_honest_choice_says_nothing_of_it(tmp_path: Path) -> None:
    _, page = reported(tmp_path, rule="in_distribution")
    assert "too high" not in page and "Test questions choose nothing" in page
    assert json.loads((tmp_path / "summary.json").read_text())["chosen_on_test"] is None


def test_what_is_merged_of_such_students_says_so() -> None:
    of_test = merged_model_card("average", "", {"a": "sums"}, [], start="hf:x", on_test=True)
    assert CHOSEN_ON_TEST in of_test
    assert "too high" not in merged_model_card("average", "", {"a": "sums"}, [], start="hf:x")


RECIPE = "task: two_step_arithmetic\nteacher: bundled:teacher\nstudent: bundled:student\n"


def test_an_experiment_says_so_and_by_how_much_the_choice_gains(tmp_path: Path) -> None:
    recipe = tmp_path / "best.yaml"
    recipe.write_text(f"run: {tmp_path / 'best'}\n{RECIPE}evaluate: {{select: best_on_test}}\n")
    runs = seeded_runs([recipe], [0, 1, 2])
    # Right answers of 4 by test's choice and by development's: 4 and 2, 3 and 3, 3 and 2.
    for seeded, (best, honest) in zip(runs, ((4, 2), (3, 3), (3, 2)), strict=True):
        fill(seeded.folder, best, honest)
    page = experiment_page(recipe, runs, [])
    assert page.count(CHOSEN_ON_TEST) == 2  # below the name, above the task's table
    # Differences of 50, 0 and 25 points: mean 25, standard error 14.43, t of two degrees 4.303.
    assert "| ours | +25.0 | \N{MINUS SIGN}37.1 to +87.1 |" in page
    figures = experiment_figures(runs, [])
    assert figures["chosen_on_test"] == CHOSEN_ON_TEST
    inflation = figures["inflation"]
    assert isinstance(inflation, dict)
    over_runs = inflation["sums"]["ours"]["over_runs"]
    assert (over_runs["runs"], over_runs["difference"]) == (3, pytest.approx(0.25))


def fill(folder: Path, best: int, honest: int) -> None:
    """A run of 4 test questions in which the two rules chose steps 20 and 10."""
    answers = {
        System("ours", step=20): best,
        System("ours", step=10, taken=False): honest,
    }
    predictions = [
        Prediction(
            system=system, task="sums", question_id=f"q{place}", text="", answer=None,
            correct=place < right, finish_reason="stop", completion_tokens=0,
        )
        for system, right in answers.items()
        for place in range(4)
    ]  # fmt: skip
    choices = [
        Choice(student="ours", rule="best_on_test", step=20, used=True),
        Choice(student="ours", rule="in_distribution", step=10, used=False),
    ]
    with Store(folder / "run.sqlite") as store:
        store.replace_evaluation([], predictions, [], choices, grader="2", settings_hash="")


@pytest.mark.parametrize("rule", ["in_distribution", "best_on_test"])
def test_plan_and_check_warn_before_anything_is_asked(tmp_path: Path, rule: str) -> None:
    recipe = tmp_path / "best.yaml"
    recipe.write_text(
        f"run: {tmp_path / 'best'}\n"
        "task: {name: two_step_arithmetic, train: 4, dev: 2, test: 3}\n"
        "teacher: bundled:teacher\nstudent: bundled:student\n"
        "train: {steps: 2, checkpoints: 2, students: {ours: {data_format: fine_tune_answer}}}\n"
        f"evaluate: {{select: {rule}, teacher: false}}\n"
    )
    plan = plan_run(load_recipe(recipe))
    warned = rule == "best_on_test"
    assert plan.warnings == [CHOSEN_ON_TEST] * warned
    # Development: start and 2 checkpoints, 2 questions each. Test: 3 questions to the start in two
    # ways, and to one checkpoint, or to each.
    assert plan.students.measured_here == 2 * 3 + 3 * (2 + (2 if warned else 1))
    console = Console(width=100)
    with console.capture() as capture:
        console.print(plan_page(plan))
    assert (CHOSEN_ON_TEST in words(capture.get())) == warned
    checked = CliRunner().invoke(main, ["check", str(recipe)])
    assert (CHOSEN_ON_TEST in words(checked.output)) == warned
