"""The report: one page that loads nothing, and a summary, at any stage of a run."""

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from report_run import (
    ANSWERS_ONLY,
    HOSTILE,
    RATIONALES,
    RECIPE,
    FilledRun,
    Reader,
    checkpoint,
    compared,
    score,
    task,
)
from rich.console import Console

from potstill.errors import ConfigError
from potstill.records import Completion, Request, System, TrainingStep
from potstill.report import accuracy_table, write_report
from potstill.report.accuracy import read_results
from potstill.report.text import TIMES
from potstill.store import Store
from potstill.text.points import MINUS


@pytest.fixture
def run(tmp_path: Path) -> Iterator[FilledRun]:
    tasks = [
        task("two_step_arithmetic", 120, 300),
        task("multi_step_arithmetic", 0, 60),
        task("coin_toss", 0, 60, "yes_no"),
    ]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        yield FilledRun(store, tasks, random.Random(0))


@pytest.fixture
def whole_run(run: FilledRun) -> FilledRun:
    run.generate_and_curate()
    run.train()
    run.evaluate()
    return run


def report_of(run: FilledRun) -> Reader:
    files = write_report(run.store, run.tasks, run.store.path.parent)
    return Reader(files.html.read_text(encoding="utf-8"))


def test_page_loads_nothing_from_anywhere(whole_run: FilledRun) -> None:
    page = report_of(whole_run)
    loading = {"src", "srcset", "data", "poster", "action", "background", "style", "ping"}
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "audio", "video"}
        assert not loading & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page.contents["style"][0]
    assert "@import" not in page.contents["style"][0]


def test_page_allows_its_own_script_and_style_alone(whole_run: FilledRun) -> None:
    page = report_of(whole_run)
    policy = next(
        attributes["content"] or "" for tag, attributes in page.tags if "http-equiv" in attributes
    )
    assert policy.startswith("default-src 'none'")
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    scripts = zip(kinds, page.contents["script"], strict=True)
    run = [text for kind, text in scripts if kind is None]
    assert len(run) == 2
    for text in (*run, page.contents["style"][0]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_text_of_models_stays_text(whole_run: FilledRun) -> None:
    page = report_of(whole_run)
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds == ["application/json", "application/json", None, None]
    for data in page.contents["script"][:2]:
        assert not set("<>&\u2028\u2029") & set(data)
    assert HOSTILE in json.dumps(page.data, ensure_ascii=False)


def test_names_and_errors_are_escaped_in_the_page(tmp_path: Path) -> None:
    tasks = [task(f"two{HOSTILE}", 3, 4)]
    (tmp_path / "recipe.yaml").write_text(json.dumps({"teacher": HOSTILE}))
    with Store(tmp_path / "run.sqlite") as store:
        run = FilledRun(store, tasks, random.Random(0))
        failed = Completion(
            request=Request(prompt="?"), sample=0, text="", finish_reason="error", error=HOSTILE
        )
        store.add_completions("openai:large", [failed], stage="generate")
        run.evaluate()
        page = report_of(run)
    assert "img" not in {tag for tag, _ in page.tags}
    assert page.shown.count("<img src=x onerror=alert(2)>") > 3
    assert "{{ 7 * 7 }}" in page.shown


def test_examples_left_out_are_told(whole_run: FilledRun) -> None:
    words = " ".join(report_of(whole_run).words.split())
    assert "steps on 1,200 examples, 3 left out as longer than max_length." in words


def test_headline_says_how_much_was_gained(whole_run: FilledRun) -> None:
    assert (
        "Rationale tuning reaches 72.0% on two_step_arithmetic, 41.3 points above answer-only "
        f"tuning (95% interval 35 to 48, p = 2.1 {TIMES} 10⁻²⁰, 300 questions), and 67.0 points "
        "above the start checkpoint (60 to 74)." in report_of(whole_run).words
    )


def test_headline_says_how_much_was_lost(run: FilledRun) -> None:
    run.train()
    run.evaluate(p=0.001, difference=-0.2)
    assert "20.0 points below answer-only tuning (95% interval 13 to 27" in report_of(run).words


def test_headline_claims_nothing_that_is_not_shown(run: FilledRun) -> None:
    run.train()
    run.evaluate(p=0.41, difference=0.02)
    headline = report_of(run).words
    assert "No difference is shown between rationale tuning (72.0%)" in headline
    assert f"+2.0 points, 95% interval {MINUS}5 to +9, p = 0.410" in headline


@pytest.mark.parametrize(("right", "subject"), [((7, 5), "d1"), ((5, 7), "d8"), ((6, 6), "d8")])
def test_the_page_is_about_the_student_that_development_questions_chose(
    run: FilledRun, right: tuple[int, int], subject: str
) -> None:
    name = run.tasks[0].name
    students = [System("d1", step=10), System("d8", step=10)]
    scores = [
        score(student, name, correct, 10, split="dev")
        for student, correct in zip(students, right, strict=True)
    ]
    tested = [score(student, name, 150, 300) for student in students]
    run.store.replace_training([], [checkpoint(s.bare, 10) for s in students], settings_hash="b")
    run.store.replace_evaluation([*scores, *tested], [], [], grader="2", settings_hash="c")
    found = read_results(run.store, run.tasks).chosen
    assert found is not None and found.model == subject


def test_a_pair_is_never_the_student_of_the_page(run: FilledRun) -> None:
    name = run.tasks[0].name
    student, pair = System("rationales", step=10), System("socratic", step=10)
    scores = [score(student, name, 3, 10, "dev"), score(pair, name, 9, 10, "dev")]
    scores += [score(student, name, 90, 300), score(pair, name, 270, 300)]
    run.store.replace_training([], [checkpoint(student.bare, 10)], settings_hash="b")
    run.store.replace_evaluation(scores, [], [], grader="2", settings_hash="c")
    found = read_results(run.store, run.tasks)
    assert found.chosen == student.bare
    assert pair.bare in found.students


def test_headline_of_baselines_alone_says_that_no_student_is_measured(run: FilledRun) -> None:
    teacher = score(System("teacher"), run.tasks[0].name, 285, 300)
    run.store.replace_evaluation([teacher], [], [], grader="2", settings_hash="c")
    words = report_of(run).words
    assert "Teacher reaches 95.0% on two_step_arithmetic (95% interval 89.5 to 100.0" in words
    assert "no student is measured" in words
    assert "there is nothing to compare" in words


def test_every_number_of_the_run_is_on_the_page(whole_run: FilledRun) -> None:
    words = report_of(whole_run).words
    for text in (
        "72.0% [66.5, 77.5] 216 of 300",
        "5 without an answer",
        "3 cut off",
        "not adjusted for the number of comparisons",
        "bundled:teacher",
        "1 h 10 min",
        "120 training questions",
        "The seed of this run is 7.",
        "steps: 400",
    ):
        assert text in words


@pytest.mark.parametrize(
    ("stages", "headline", "commands"),
    [
        ([], "This run has no results yet.", ["evaluate", "train", "curate", "run", "generate"]),
        (["generate_and_curate"], "rationales are kept", ["evaluate", "train"]),
        (["generate_and_curate", "train"], "The students are trained", ["evaluate"]),
    ],
)
def test_unfinished_run_says_which_commands_are_left(
    run: FilledRun, stages: list[str], headline: str, commands: list[str]
) -> None:
    for stage in stages:
        getattr(run, stage)()
    words = report_of(run).words
    assert headline in words
    for command in commands:
        assert f"potstill {command} recipe.yaml" in words


def test_a_run_whose_students_are_being_trained_draws_their_losses_so_far(run: FilledRun) -> None:
    run.generate_and_curate()
    steps = [
        TrainingStep(student="rationales", step=step, loss=3.0 / step, tokens=9 * step, seconds=1.0)
        for step in (1, 10)
    ]
    run.store.add_to_training_log(steps, settings_hash="")
    page = report_of(run)
    assert "The students are being trained; no test question" in page.words
    assert "The students are not trained to their end yet." in page.words
    assert "Nats a trained token" in page.words


def test_recipe_that_is_missing_or_broken_does_not_stop_the_report(run: FilledRun) -> None:
    recipe = run.store.path.parent / "recipe.yaml"
    recipe.write_text("task: [unclosed")
    assert "task: [unclosed" in report_of(run).words
    recipe.unlink()
    assert "This folder holds no recipe.yaml" in report_of(run).words


def test_many_comparisons_stand_folded_but_the_chosen_students(whole_run: FilledRun) -> None:
    leading, students = whole_run.tasks[0], [System(f"d{number}") for number in range(5)]
    pairs = [(RATIONALES, other) for other in (ANSWERS_ONLY, *students)]
    pairs += [(one, two) for one in students for two in students if one.label < two.label]
    whole_run.store.replace_evaluation(
        [
            score(RATIONALES, leading.name, 60, 100, split="dev"),
            *(score(one, leading.name, 99, 300) for one in (RATIONALES, ANSWERS_ONLY, *students)),
        ],
        [],
        [compared(leading, first, second, 0.1, p=0.5) for first, second in pairs],
        grader="2",
        settings_hash="c",
    )
    page = write_report(whole_run.store, whole_run.tasks, whole_run.store.path.parent).html
    section = page.read_text(encoding="utf-8").partition('<section id="comparisons"')[2]
    section = section.partition("Every comparison with its interval")[2]
    shown, _, rest = section.partition("<details")
    folded = rest.partition("</details>")[0]
    assert "10 further comparisons, in which rationale tuning has no part" in folded
    assert (shown.count("<small>against "), folded.count("<small>against ")) == (6, 10)


def test_few_comparisons_all_stand_open(whole_run: FilledRun) -> None:
    assert "further comparisons, in which" not in report_of(whole_run).words


def test_only_what_happened_is_said_of_answers(run: FilledRun) -> None:
    name = run.tasks[0].name
    cut = replace(score(System("teacher"), name, 9, 30), no_answer=0, truncated=3)
    run.store.replace_evaluation([cut], [], [], grader="2", settings_hash="c")
    words = report_of(run).words
    assert "9 of 30 3 cut off" in words
    assert "0 without an answer" not in words


def test_names_stay_in_one_piece_in_a_terminal_of_80_columns(run: FilledRun) -> None:
    system = System("answers_only", "second", "zero_shot_cot", step=10)
    names = [each.name for each in run.tasks]
    scores = [score(system, name, 9, 30) for name in names]
    run.store.replace_evaluation(scores, [], [], grader="2", settings_hash="c")
    console = Console(width=80, file=StringIO())
    with console.capture() as shown:
        console.print(accuracy_table(run.store, run.tasks))
    lines = shown.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert sum("answers_only_second_zero_shot_cot " in line for line in lines) == len(names) > 2


def test_large_run_embeds_a_share_of_every_set_and_says_so(run: FilledRun) -> None:
    tasks = [task("leading", 10, 3000), task("second", 0, 3000), task("third", 0, 40)]
    large = FilledRun(run.store, tasks, run.random)
    large.evaluate()
    page = report_of(large)
    embedded = [len(each["rows"]) for each in page.data["sets"]]  # type: ignore[arg-type]
    assert embedded == [980, 980, 40]
    assert (
        "Not all questions stand on this page, but those first on which answers differ: "
        "leading test, 980 of 3,000; second test, 980 of 3,000. potstill view has all of them."
    ) in page.words


def test_summary_holds_counts_intervals_and_p_values(whole_run: FilledRun) -> None:
    folder = whole_run.store.path.parent
    summary = json.loads(write_report(whole_run.store, whole_run.tasks, folder).summary.read_text())
    assert summary["leading_task"] == "two_step_arithmetic"
    assert set(summary["tasks"]) == {each.name for each in whole_run.tasks}
    accuracies = summary["tasks"]["two_step_arithmetic"]
    assert set(accuracies) >= {"teacher", "start", "answers_only", "rationales"}
    assert accuracies["rationales"] == pytest.approx(
        {"correct": 216, "total": 300, "low": 0.665, "high": 0.775}
    )
    assert summary["paired"]["rationales vs answers_only"] == 2.1e-20
    assert {each["task"] for each in summary["comparisons"]} == set(summary["tasks"])
    assert summary["stages"]["generate"] == {
        "seconds": 731.2,
        "tokens": 120 * 4 * 60,
        "cost": pytest.approx(0.192),
    }
    assert summary["stages"]["train"] == {"seconds": 4205.0, "tokens": 2 * 400 * 900}


def test_summary_of_a_run_without_results_has_the_same_shape(run: FilledRun) -> None:
    folder = run.store.path.parent
    summary = json.loads(write_report(run.store, run.tasks[:1], folder).summary.read_text())
    assert summary["tasks"] == {"two_step_arithmetic": {}}
    assert summary["paired"] == {}
    assert summary["stages"] == {}


@pytest.mark.parametrize("count", [1, 3])
def test_accuracy_table_fits_a_terminal(whole_run: FilledRun, count: int) -> None:
    whole_run.store.replace_evaluation([], [], [], grader="2", settings_hash="c")
    FilledRun(whole_run.store, whole_run.tasks[:count], random.Random(0)).evaluate()
    console = Console(width=100, file=StringIO())
    with console.capture() as shown:
        console.print(accuracy_table(whole_run.store, whole_run.tasks[:count]))
    lines = shown.get().splitlines()
    assert max(len(line) for line in lines) <= 100
    assert any("rationales" in line and "72.0% [66.5, 77.5]  216/300" in line for line in lines)


def test_accuracy_table_without_results_says_so(run: FilledRun) -> None:
    console = Console(width=100, file=StringIO())
    with console.capture() as shown:
        console.print(accuracy_table(run.store, run.tasks))
    assert "No test question has been answered yet." in shown.get()


def test_report_that_cannot_be_written_keeps_the_earlier_one(whole_run: FilledRun) -> None:
    folder = whole_run.store.path.parent
    write_report(whole_run.store, whole_run.tasks, folder)
    earlier = (folder / "report.html").read_bytes()
    (folder / "summary.json").unlink()
    (folder / "summary.json").mkdir()
    with pytest.raises(ConfigError, match=r"cannot write .*summary\.json"):
        write_report(whole_run.store, whole_run.tasks, folder)
    assert (folder / "report.html").read_bytes() == earlier
    assert not list(folder.glob(".*"))
