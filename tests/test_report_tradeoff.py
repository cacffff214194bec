"""The report on what training gives and takes: trade-off, choice of checkpoint, sizes."""

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from report_run import (
    HOSTILE,
    ROLES,
    RULES,
    SIZES,
    STEPS,
    SWEPT_RECIPE,
    FilledRun,
    Reader,
    SweptRun,
    checkpoint,
    compared,
    score,
    swept_tasks,
)
from rich.console import Console

from potstill.records import Choice, System
from potstill.report import accuracy_table, write_report
from potstill.report.accuracy import Results, read_results
from potstill.report.charts import Line, Point, line_chart, log_axis
from potstill.report.next_steps import next_steps
from potstill.report.text import bounds, count_in_short, label, listed
from potstill.report.tradeoff import (
    Estimate,
    along_training,
    candidates,
    followed,
    mean_of,
    sized,
)
from potstill.store import Store
from potstill.text.points import MINUS

RATIONALES_SMALL, RATIONALES_LARGE = System("rationales", "small"), System("rationales", "large")
NOT_TAKEN = System("rationales", "small", step=100, taken=False)
SECTIONS = ("choice", "scaling")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[SweptRun]:
    (tmp_path / "recipe.yaml").write_text(SWEPT_RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        yield SweptRun(store, swept_tasks())


def results_of(run: SweptRun) -> Results:
    return read_results(run.store, run.tasks, run.store.path.parent, roles=ROLES)


def report_of(run: SweptRun | FilledRun, roles: dict[str, str] = ROLES) -> str:
    files = write_report(run.store, run.tasks, run.store.path.parent, roles=roles)
    return files.html.read_text(encoding="utf-8")


def section(page: str, name: str) -> Reader:
    found = re.search(rf'<section id="{name}".*?</section>', page, flags=re.DOTALL)
    assert found, f"no section {name}"
    return Reader(found[0].replace("<", " <"))  # so that the cells of a table are words apart


def test_mean_of_one_estimate_is_that_estimate() -> None:
    assert mean_of([(0, Estimate(0.3, 0.22, 0.4))]) == pytest.approx((0.3, 0.22, 0.4))


def test_errors_on_different_questions_add_in_squares_and_on_the_same_in_full() -> None:
    one, two = Estimate(0.3, 0.27, 0.36), Estimate(0.5, 0.46, 0.58)
    assert mean_of([(0, one), (1, two)]) == pytest.approx((0.4, 0.4 - 0.05 / 2, 0.4 + 0.1 / 2))
    assert mean_of([(0, one), (0, two)]) == pytest.approx((0.4, 0.4 - 0.07 / 2, 0.4 + 0.14 / 2))


def test_bounds_at_nothing_have_no_sign() -> None:
    assert bounds(Estimate(0.1, -1e-18, 0.2)) == "0.0, 20.0"


def test_mean_of_estimates_stays_a_share_and_is_never_certain() -> None:
    none_right = Estimate(0.0, 0.0, 0.05)
    mean = mean_of([(0, none_right), (1, none_right), (2, none_right)])
    assert mean.low == 0.0
    assert mean.high == pytest.approx(0.05 / math.sqrt(3))


def test_abilities_along_training_begin_at_the_students_own_start(run: SweptRun) -> None:
    run.fill()
    results = results_of(run)
    moments = along_training(results, RATIONALES_LARGE)
    assert [moment.step for moment in moments] == [0, *STEPS]
    assert [moment.step for moment in moments if moment.chosen] == [350]
    generic = [name for name, role in ROLES.items() if role == "generic"]
    for moment, system in ((moments[0], System("start", "large")), (moments[-1], RATIONALES_LARGE)):
        scores = [results.dev_scores(system, name)[-1] for name in generic]
        mean = sum(each.correct / each.total for each in scores) / len(generic)
        assert moment.abilities["generic"].value == pytest.approx(mean)
        target = results.dev_scores(system)[-1]
        assert moment.abilities["target"] == pytest.approx(
            (target.correct / target.total, target.low, target.high)
        )


def test_mean_is_absent_where_one_of_its_tasks_was_not_measured(run: SweptRun) -> None:
    run.fill()
    results = results_of(run)
    scores = [each for each in results.scores if each.task != "boolean, answer_only"]
    moment = along_training(replace(results, scores=scores), RATIONALES_SMALL)[3]
    assert set(moment.abilities) == {"target", "out_of_distribution"}


def test_candidates_hold_the_test_results_of_the_checkpoint_that_a_rule_takes(
    run: SweptRun,
) -> None:
    run.fill()
    results = results_of(run)
    used, pareto, worst = candidates(results, RATIONALES_SMALL)
    assert (used.step, used.rules, used.used, used.gained) == (350, ["in_distribution"], True, {})
    assert worst.rules == ["out_of_distribution", "worst_case"]
    tested = results.test_score(NOT_TAKEN, run.tasks[0].name)
    assert tested is not None
    assert pareto.test["target"].value == pytest.approx(tested.correct / tested.total)
    found = results.comparison(NOT_TAKEN, RATIONALES_SMALL, run.tasks[0].name)
    assert found is not None
    assert found.difference < 0
    assert pareto.gained["target"] == pytest.approx((found.difference, found.low, found.high))


@pytest.mark.parametrize(
    ("rules", "is_advised"),
    [
        (RULES, False),  # at step 100 the target is 23 points lower, generic ability 15 higher
        ({"in_distribution": 350, "pareto": 350}, False),
        ({"in_distribution": 350, "pareto": 300}, True),  # 1 point lower, which shows nothing
        ({"in_distribution": 350}, True),  # not known from this run
    ],
)
def test_pareto_is_advised_where_it_is_not_shown_to_lose_more_than_it_gains(
    run: SweptRun, rules: dict[str, int], is_advised: bool
) -> None:
    run.fill(rules)
    results = results_of(run)
    lost = [
        compared(on, one.first, one.second, -0.2)
        if one.second.model == "start" and on.name == "tracking, few_shot_cot"
        else one
        for one in results.comparisons
        for on in run.tasks
        if on.name == one.task
    ]
    kinds = [step.kind for step in next_steps(replace(results, comparisons=lost))]
    assert "losses" in kinds
    assert ("weigh_price" in kinds, "replay" in kinds) == (is_advised, not is_advised)


def test_page_shows_the_numbers_of_the_store(run: SweptRun) -> None:
    run.fill()
    page, results = report_of(run), results_of(run)
    words = section(page, "tradeoff").words
    for student in results.students:
        for moment in along_training(results, student):
            for each in moment.abilities.values():
                assert f"{each.value:.1%} [{each.low * 100:.1f}, {each.high * 100:.1f}]" in words
    words = section(page, "choice").words
    for student in results.students:
        for candidate in candidates(results, student):
            for each in candidate.test.values():
                assert f"{each.value:.1%} [{each.low * 100:.1f}, {each.high * 100:.1f}]" in words
    assert "step 350, used in distribution 85.0% 37.0% 31.0% 84.7% [79.2, 90.2]" in words


def test_choice_says_what_the_rules_disagree_about_and_what_each_costs(run: SweptRun) -> None:
    run.fill()
    words = section(report_of(run), "choice").words
    assert "Rationale tuning from large: in distribution takes step 350, which is used; " in words
    assert (
        f"Pareto takes step 100: on test {MINUS}27.7 points on the target "
        f"({MINUS}34 to {MINUS}21), " in words
    )
    assert "out of distribution and worst case take step 200: on test " in words


def test_choice_says_where_all_rules_agree(run: SweptRun) -> None:
    run.fill(dict.fromkeys(RULES, 300))
    page = report_of(run)
    assert "Rationale tuning from large: all rules take step 300." in section(page, "choice").words
    assert "@" not in section(page, "before-after").shown


def test_charts_are_drawn_to_one_scale_and_ring_the_chosen_step(run: SweptRun) -> None:
    run.fill()
    reader = section(report_of(run), "tradeoff")
    charts = [attrs for tag, attrs in reader.tags if (tag, attrs.get("class")) == ("svg", "chart")]
    assert len(charts) == len(run.students)
    for attributes in charts:
        spoken = attributes["aria-label"] or ""
        assert "Target: 5% at 0, " in spoken
        assert spoken.count("chosen at 350.") == 3
    rings = [attrs["cx"] for _, attrs in reader.tags if attrs.get("class") == "ring"]
    assert len(rings) == 3 * len(charts)
    assert len(set(rings)) == 1


def test_checkpoints_not_taken_are_in_no_table_but_that_of_the_choice(run: SweptRun) -> None:
    run.fill()
    files = write_report(run.store, run.tasks, run.store.path.parent, roles=ROLES)
    page = files.html.read_text()
    for name in ("before-after", "comparisons", "training"):
        assert "@" not in section(page, name).shown
    assert all(system.taken for system in results_of(run).systems)
    console = Console(width=100, file=StringIO())
    with console.capture() as shown:
        console.print(accuracy_table(run.store, run.tasks))
    assert "rationales_large" in shown.get()
    assert "@" not in shown.get()
    # Programs find them, under the names they were measured by.
    accuracies = json.loads(files.summary.read_text())["tasks"]["two_step_arithmetic"]
    assert {name for name in accuracies if "@" in name} == {
        f"{student.label}@{step}" for student in run.students for step in (100, 200)
    }


def test_other_graders_stand_beside_the_first_and_are_explained(run: SweptRun) -> None:
    run.fill()
    words = section(report_of(run), "before-after").words
    assert "tracking, answer_only generic tracking, answer_only, bbh rule other grader" in words
    assert "hold the same answers as the generic column before them" in words
    roles = {name: role for name, role in ROLES.items() if role != "generic_other_rule"}
    assert "the same answers" not in section(report_of(run, roles), "before-after").words


def test_sizes_are_in_families_with_their_starts(run: SweptRun) -> None:
    run.fill()
    results = results_of(run)
    assert [(each.family, each.system, each.parameters) for each in sized(results)] == [
        (family, System(family, name), size)
        for family in ("rationales", "answers_only")
        for name, size in SIZES.items()
    ] + [
        ("start", System("start"), SIZES["small"]),
        ("start", System("start", "large"), SIZES["large"]),
    ]
    words = section(report_of(run), "scaling").words
    assert "Rationale tuning from large 1.9M 84.7% [79.2, 90.2]" in words


def test_sections_are_absent_without_their_data(run: SweptRun) -> None:
    filled = FilledRun(run.store, run.tasks[:3], random.Random(0))
    filled.train()
    filled.evaluate()
    page = report_of(filled, {})
    for name in SECTIONS:
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
    assert "probabilities reached" not in page
    assert "svg" not in {tag for tag, _ in section(page, "tradeoff").tags}


def test_one_rule_and_one_task_need_no_sections(run: SweptRun) -> None:
    alone = run._replace(tasks=run.tasks[:1])
    alone.fill({"in_distribution": 350})
    assert not followed(results_of(alone))
    page = report_of(alone)
    assert "Nothing but two_step_arithmetic was measured" in section(page, "tradeoff").words
    assert 'id="choice"' not in page


def test_training_says_how_far_the_teachers_probabilities_reached(run: SweptRun) -> None:
    run.fill()
    reader = section(report_of(run), "training")
    assert (
        "Rationale tuning from small: the teacher's probabilities reached 87.1% of the trained "
        "tokens" in reader.words
    )
    assert "Rationale tuning from large: the teacher's probabilities reached none" in reader.words
    assert [attrs.get("class") for _, attrs in reader.tags].count("warning") == 1
    assert "Answer-only tuning from small: the teacher's" not in reader.words


def test_what_holds_for_several_students_is_said_once(run: SweptRun) -> None:
    run.fill()
    checkpoints = [
        replace(one, soft_share=0.0, training="batches of 8") for one in run.store.checkpoints()
    ]
    run.store.replace_training([], checkpoints, settings_hash="b")
    reader = section(report_of(run), "training")
    assert reader.words.count("400 steps on 1,200 examples") == 1
    assert reader.words.count("batches of 8.") == 1
    assert reader.words.count("the teacher's probabilities reached none") == 1
    assert [attrs.get("class") for _, attrs in reader.tags].count("warning") == 1
    names = "Rationale tuning from small and Rationale tuning from large"
    assert f"Answer-only tuning from large, {names}: 400 steps on" in reader.words


def test_training_names_the_rule_that_chose(run: SweptRun) -> None:
    run.fill({"out_of_distribution": 200, "in_distribution": 350})
    words = section(report_of(run), "training").words
    assert "checkpoint is the one with the highest mean accuracy out of distribution" in words


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (RATIONALES_LARGE, "Rationale tuning from large"),
        (System("rationales", "large", "vote"), "Rationale tuning from large, by vote"),
        (
            System("rationales", variant="in_context_cot"),
            "Rationale tuning, asked in in_context_cot",
        ),
        (System("start", variant="in_context_cot"), "Start, asked in in_context_cot"),
        (System("start", "large", "in_context_cot"), "Start large, asked in in_context_cot"),
        (System("start", "large", "zero_shot"), "Start large, asked for the answer"),
        (System("start", variant="zero_shot"), "Start, asked for the answer"),
        (System("my_zero_shot_cot"), "“my_zero_shot_cot”"),
        (System("third", "large", "vote"), "“third” from large, by vote"),
        (NOT_TAKEN, "rationales_small@100"),
        (System("pair", variant="teacher_questions"), "“pair”, on the teacher's questions"),
    ],
)
def test_labels_name_the_model_and_the_way_it_is_asked(system: System, expected: str) -> None:
    assert label(system) == expected


def test_names_are_escaped_in_the_new_sections(tmp_path: Path) -> None:
    tasks = [replace(each, name=f"{each.name}{HOSTILE}") for each in swept_tasks()[:2]]
    roles = {tasks[0].name: "target", tasks[1].name: "out_of_distribution"}
    student = f"s{HOSTILE}"
    taken, other = System(student, step=50), System(student, step=100, taken=False)
    scores = [
        score(system, on.name, 40, 60, split)
        for on in tasks
        for system, split in [
            (System("start"), "dev"),
            (taken, "dev"),
            (other, "dev"),
            (taken, "test"),
            (other, "test"),
        ]
    ]
    (tmp_path / "recipe.yaml").write_text(json.dumps({"train": {"starts": {HOSTILE: {}}}}))
    with Store(tmp_path / "run.sqlite") as store:
        choices = [
            Choice(student=student, rule="in_distribution", step=50, used=True),
            Choice(student=student, rule="worst_case", step=100, used=False),
        ]
        made = [checkpoint(System(student), step) for step in (50, 100)]
        store.replace_training([], made, settings_hash="b")
        store.replace_evaluation(
            scores,
            [],
            [compared(on, taken, other, 0.1) for on in tasks],
            choices,
            grader="2",
            settings_hash="c",
        )
        page = write_report(store, tasks, tmp_path, roles=roles).html.read_text()
    for name in ("tradeoff", "choice"):
        reader = section(page, name)
        assert not {"img", "script"} & {tag for tag, _ in reader.tags}
        assert "<img src=x onerror=alert(2)>" in reader.shown


def test_new_sections_load_nothing_and_style_nothing_in_place(run: SweptRun) -> None:
    run.fill()
    page = report_of(run)
    for name in SECTIONS:
        for tag, attributes in section(page, name).tags:
            assert tag not in {"img", "script", "link", "style", "iframe", "image", "use"}
            assert not {"src", "href", "style"} & set(attributes)


def test_logarithmic_axis_spaces_equal_ratios_equally() -> None:
    axis = log_axis([1e6, 1e7, 1e8], count_in_short, "weights")
    first, second, third = (axis.share(value) for value in (1e6, 1e7, 1e8))
    assert second - first == pytest.approx(third - second)
    assert 0 < first < third < 1
    assert axis.ticks == [1e6, 1e7, 1e8]
    crowded = log_axis([1e6, 1.05e6, 1e8], count_in_short, "weights")
    assert crowded.ticks == [1e6, 1e8]


def test_chart_of_one_size_shows_its_interval() -> None:
    chart = line_chart(
        [Line("alone", [Point(5e6, 0.4, 0.3, 0.5)])],
        title="Accuracy",
        x_label="weights",
        show=lambda share: f"{share:.0%}",
        show_x=count_in_short,
        log_x=True,
    )
    reader = Reader(chart)
    assert "alone: 40% at 5M weights." in (reader.tags[0][1]["aria-label"] or "")
    whisker = next(attrs for _, attrs in reader.tags if attrs.get("class") == "whisker s1")
    assert float(whisker["y2"] or 0) < float(whisker["y1"] or 0)


def test_sizes_and_lists_in_words() -> None:
    counts = (480, 460_000, 999_900, 1_900_000, 124_439_808, 7.1e9)
    shown = ["480", "460k", "1M", "1.9M", "124M", "7.1B"]
    assert [count_in_short(count) for count in counts] == shown
    names = ["a", "b", "c"]
    assert [listed(names[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
