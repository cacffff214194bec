"""potstill compare: recipes, paired differences, statistics over seeds, cautions, and the page."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

import potstill
from potstill.cli import main
from potstill.cli.documents import plain
from potstill.errors import ConfigError
from potstill.experiment.compared_runs import read_runs
from potstill.experiment.comparison_html import comparison_html
from potstill.experiment.comparison_text import (
    SHARES_NO_STUDENT,
    comparison_values,
    findings,
    group_accuracy,
    meaning,
    pair_cells,
)
from potstill.experiment.run_comparison import ComparedRuns, compared_runs
from potstill.records import (
    Checkpoint,
    Choice,
    Comparison,
    Completion,
    Prediction,
    Request,
    Score,
    System,
    SystemEngine,
)
from potstill.statistics import adjusted_p_values
from potstill.store import Store
from potstill.text.points import MINUS

RATIONALES, ANSWERS = System("rationales", step=10), System("answers_only", step=10)
TEACHER = System("teacher")
RECIPE = {"task": "two_step_arithmetic", "teacher": "bundled:teacher", "student": "bundled:student"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def measured(
    name: str,
    answers: Mapping[System, Mapping[str, bool]],
    *,
    task: str = "sums",
    grader: str = "7",
    choices: Sequence[Choice] = (),
    comparisons: Sequence[Comparison] = (),
    engines: Sequence[SystemEngine] = (),
    digests: bool = True,
    recipe: Mapping[str, object] | None = None,
) -> Path:
    """A run in which systems were right or wrong on questions, each known by its text's letter."""
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"run": name, **RECIPE, **(recipe or {})}))
    predictions = [
        Prediction(
            system=system, task=task, question_id=f"{name}-{place}", text="", answer=None,
            correct=correct, finish_reason="stop", completion_tokens=0,
            question_digest=question if digests else "",
        )
        for system, verdicts in answers.items()
        for place, (question, correct) in enumerate(verdicts.items())
    ]  # fmt: skip
    with Store(folder / "run.sqlite") as store:
        store.replace_evaluation(
            [], predictions, comparisons, choices, engines, grader=grader, settings_hash=""
        )
        store.add_stage_time("train", 75.0)
    return folder


def right(questions: str, of: str) -> dict[str, bool]:
    """The verdicts of a system that is right on some questions, a letter each, of others."""
    return {question: question in questions for question in of}


def compare(*folders: Path) -> ComparedRuns:
    return compared_runs(read_runs(folders))


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


# paired differences ------------------------------------------------------------------------------


def test_p_values_are_adjusted_as_holm_has_it() -> None:
    # In order .005 * 4, .01 * 3, .03 * 2, and .04 * 1, which is not below the one before it.
    assert adjusted_p_values([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted_p_values([0.6, 0.9]) == [1.0, 1.0]
    assert adjusted_p_values([]) == []


def test_students_are_paired_on_the_questions_that_both_runs_asked() -> None:
    first = measured(
        "first",
        {RATIONALES: right("ab", "abcdefghxy"), ANSWERS: right("ac", "abcdefghxy")},
    )
    second = measured(
        "second",
        {RATIONALES: right("abcdefgh", "abcdefghz"), ANSWERS: right("ab", "zhgfedcba")},
        recipe={"generate": {"samples": 6}},
    )
    compared = compare(first, second)
    rationales, answers = compared.pairs
    assert (rationales.system, rationales.first, rationales.second) == (
        "rationales", "second", "first",
    )  # fmt: skip
    assert (rationales.shared, rationales.of_first, rationales.of_second) == (8, 9, 10)
    assert rationales.compared is not None and rationales.compared.over_runs is None
    pairs = rationales.compared.over_questions
    assert (pairs.only_first, pairs.only_second, pairs.difference) == (6, 0, 0.75)
    assert rationales.p_value == pytest.approx(2 / 2**6)  # exact McNemar: six of six one way
    assert answers.p_value == 1.0  # one either way
    assert rationales.adjusted == pytest.approx(2 * 2 / 2**6) and answers.adjusted == 1.0
    assert pair_cells(answers)[3:] == ("1 against 1", "8 of 9 and 10")
    # The first run alone has none right that the second has wrong: it stands first.
    assert pair_cells(rationales)[3] == "6 against 0"
    assert findings(compared) == [
        "No run is shown to differ: p after Holm is 0.05 or more in all 2 comparisons.",
        "1 difference whose interval leaves out 0 does not count as shown: an interval looks at "
        "one difference alone, and among 2 tested together some like it can come by chance.",
    ]
    assert compared.cautions == [
        "sums: first was tested on 10 questions and second on 9, of which 8 are shared; only those "
        "are paired."
    ]


def test_a_difference_that_holds_is_told_with_its_interval() -> None:
    asked = "abcdefghij"
    first = measured("first", {RATIONALES: right("", asked)})
    second = measured("second", {RATIONALES: right(asked, asked)}, recipe={"seed": 3})
    compared = compare(first, second)
    *_, found = findings(compared)
    assert found.startswith("sums: rationales of second is +100.0 points [")
    assert found.endswith("against that of first, on 10 shared answers (p 0.002 after Holm).")
    assert compared.pairs[0].p_value == pytest.approx(2 / 2**10)


def test_a_question_that_is_asked_twice_is_paired_in_its_order() -> None:
    folders = list[Path]()
    for name, verdicts in (("first", (True, False)), ("second", (True, True))):
        folder = measured(name, {}, recipe={"seed": len(folders)})
        with Store(folder / "run.sqlite") as store:
            predictions = [
                Prediction(
                    system=RATIONALES, task="sums", question_id=str(place), text="", answer=None,
                    correct=correct, finish_reason="stop", completion_tokens=0,
                    question_digest="same",
                )
                for place, correct in enumerate(verdicts)
            ]  # fmt: skip
            store.replace_evaluation([], predictions, [], grader="7", settings_hash="")
        folders.append(folder)
    (pair,) = compare(*folders).pairs
    assert pair.compared is not None
    assert pair.compared.over_questions[:3] == (1, 0, 2)


def test_teacher_and_start_are_compared_only_where_no_student_is_there() -> None:
    first = measured("first", {RATIONALES: right("a", "ab"), TEACHER: right("a", "ab")})
    second = measured(
        "second", {RATIONALES: right("a", "ab"), TEACHER: right("b", "ab")}, recipe={"seed": 1}
    )
    assert [pair.system for pair in compare(first, second).pairs] == ["rationales"]
    third = measured("third", {TEACHER: right("a", "ab")})
    fourth = measured("fourth", {TEACHER: right("b", "ab")}, recipe={"seed": 1})
    assert [pair.system for pair in compare(third, fourth).pairs] == ["teacher"]


def that_chose(
    system: System,
    name: str,
    answers: Mapping[System, Mapping[str, bool]],
    *,
    recipe: Mapping[str, object],
    comparisons: Sequence[Comparison] = (),
) -> Path:
    """A run that chose a student."""
    choice = Choice(student=system.model, rule="in_distribution", step=10, used=True)
    folder = measured(name, answers, choices=[choice], recipe=recipe, comparisons=comparisons)
    checkpoint = Checkpoint(
        student=system.model, step=10, folder="c", data_format="fine_tune_cot",
        encoder_decoder=False, examples=1, too_long=0,
    )  # fmt: skip
    with Store(folder / "run.sqlite") as store:
        store.replace_training([], [checkpoint], settings_hash="")
    return folder


def test_the_chosen_student_leads_and_what_does_not_vary_is_said_in_words() -> None:
    verdicts = {ANSWERS: right("a", "abcd"), RATIONALES: right("abc", "abcd")}
    for seed in (0, 1):
        that_chose(RATIONALES, f"ours-seed{seed}", verdicts, recipe={"seed": seed})
    for seed in (0, 1):
        recipe = {"seed": seed, "train": {"steps": 9}}
        that_chose(RATIONALES, f"theirs-seed{seed}", verdicts, recipe=recipe)
    first, second, _ = findings(compare(Path("ours-seed0"), Path("ours-seed1")))
    mean = "is right in {}% on average over 2 seeds (the same in all)."
    assert (first, second) == (
        f"sums: rationales {mean.format('75.0')}", f"sums: answers_only {mean.format('25.0')}",
    )  # fmt: skip
    both = [Path(f"{name}-seed{seed}") for name in ("ours", "theirs") for seed in (0, 1)]
    ours = "sums: rationales of the runs ours (2 seeds) is right in 75.0% on average"
    assert findings(compare(*both))[1] == f"{ours} (the same in all)."
    shown = command("ours-seed0", "ours-seed1").stdout
    assert re.search(r"rationales +75\.0 +the same in all +0\.0 +75\.0, 75\.0", shown)
    assert re.search(r"ours-seed0 +\$0 +0 +", shown)  # nobody was paid, which is no missing figure


def test_a_shown_difference_of_the_chosen_student_comes_before_the_others() -> None:
    asked = "abcdefghij"
    for name, correct in (("first", ""), ("second", asked)):
        verdicts = {ANSWERS: right(correct, asked), RATIONALES: right(correct, asked)}
        that_chose(RATIONALES, name, verdicts, recipe={"train": {"steps": len(name)}})
    headline, other = findings(compare(Path("first"), Path("second")))
    assert headline.startswith("sums: rationales of second is +100.0 points")
    assert other.startswith("sums: answers_only of second is +100.0 points")


def test_students_of_other_names_are_compared_as_those_that_were_chosen() -> None:
    first, second = right("ab", "abcd"), right("abc", "abcd")
    recipe = {"train": {"steps": 9}}
    folders = [
        that_chose(RATIONALES, "first", {RATIONALES: first}, recipe=recipe),
        that_chose(ANSWERS, "second", {ANSWERS: second}, recipe=recipe),
    ]
    (pair,) = compare(*folders).pairs
    assert pair.system == "chosen (answers_only, rationales)"
    assert pair.compared is not None and pair.compared.over_questions.difference == 0.25


def test_students_that_are_not_shown_to_gain_on_their_start_are_told_of() -> None:
    def against_start(difference: float, p: float) -> Comparison:
        return Comparison(
            task="two_step_arithmetic", first=RATIONALES, second=System("start"), only_first=1,
            only_second=1, total=100, difference=difference, low=difference - 0.08,
            high=difference + 0.08, p_value=p,
        )  # fmt: skip

    changes = {"gains": (0.3, 1e-9), "level": (0.02, 0.7), "other": (0.03, 0.6), "loses": (-0.2, 0)}
    runs = [
        that_chose(
            RATIONALES, name, {RATIONALES: right("ab", "abcd")},
            recipe={"train": {"steps": place + 1}}, comparisons=[against_start(change, p)],
        )
        for place, (name, (change, p)) in enumerate(changes.items())
    ]  # fmt: skip
    student = "The chosen student is "
    told = [one for one in compare(*runs).cautions if one.startswith(student)]
    assert told == [
        f"{student}not shown to be better than its start on two_step_arithmetic in level (+2.0 "
        f"points, 95% interval {MINUS}6 to +10) and other (+3.0 points, 95% interval {MINUS}5 to "
        "+11).",
        f"{student}shown to be worse than its start on two_step_arithmetic in loses ({MINUS}20.0 "
        f"points, 95% interval {MINUS}28 to {MINUS}12).",
    ]


# over seeds --------------------------------------------------------------------------------------


def seeded(name: str, *correct: int, recipe: Mapping[str, object] | None = None) -> list[Path]:
    """Runs of one recipe with seeds 0, 1, ...: each has ten questions, and so many right."""
    return [
        measured(
            f"{name}-seed{seed}",
            {RATIONALES: {f"{seed}, {place}": place < count for place in range(10)}},
            recipe={
                **(recipe or {}),
                "seed": seed,
                "task": {"name": "two_step_arithmetic", "split_seed": seed},
            },
        )
        for seed, count in enumerate(correct)
    ]


def test_runs_that_differ_in_seeds_alone_have_an_interval_over_runs() -> None:
    compared = compare(*seeded("ours", 5, 6, 7))
    assert [group.name for group in compared.groups] == ["ours (3 seeds)"]
    ((_, task, results),) = compared.over_runs
    assert task == "sums" and results.accuracies == {0: 0.5, 1: 0.6, 2: 0.7}
    # sd 0.1, its error 0.1 / sqrt(3), and t of two degrees of freedom 4.3027: 0.2484 either way.
    assert results.over_runs is not None
    assert results.over_runs.low == pytest.approx(0.6 - 0.2484, abs=1e-4)
    assert results.over_runs.high == pytest.approx(0.6 + 0.2484, abs=1e-4)
    mean = "is right in 60.0% on average over 3 seeds (95% over runs 35.2 to 84.8)."
    assert f"sums: rationales {mean}" in findings(compared)


def test_two_recipes_with_the_same_seeds_are_compared_over_runs() -> None:
    ours = seeded("ours", 5, 6, 7)
    theirs = seeded("theirs", 7, 7, 9, recipe={"train": {"steps": 9}})
    compared = compare(*ours, *theirs)
    assert [group.name for group in compared.groups] == ["ours (3 seeds)", "theirs (3 seeds)"]
    (pair,) = compared.pairs
    assert (pair.first, pair.shared) == ("theirs (3 seeds)", 30)
    assert pair.compared is not None and pair.compared.over_runs is not None
    over_runs = pair.compared.over_runs
    # Differences .2, .1, .2: mean 1/6, error .0577 / sqrt(3) = 1/30, so t is 5.
    assert over_runs.difference == pytest.approx(1 / 6)
    assert over_runs.interval is not None
    assert over_runs.interval.low == pytest.approx(1 / 6 - 4.3027 / 30, abs=1e-4)
    assert pair.p_value == pytest.approx(0.03775, abs=1e-5)
    assert not compared.cautions  # each seed's questions are the same in both
    assert {one.setting: one.of_group(compared.groups[1]) for one in compared.recipes} == {
        "seed": "0, 1, 2", "task.split_seed": "0, 1, 2", "train.steps": "9",
    }  # fmt: skip


def test_a_seed_that_was_not_measured_yet_is_told_and_the_others_are_compared() -> None:
    ours = seeded("ours", 5, 6, 7)
    theirs = seeded("theirs", 7, 7, 9, recipe={"train": {"steps": 9}})
    with Store(ours[0] / "run.sqlite") as store:
        store.replace_evaluation([], [], [], grader="2", settings_hash="")
    compared = compare(*ours, *theirs)
    (pair,) = compared.pairs
    assert (pair.first, pair.second, pair.shared) == ("theirs (3 seeds)", "ours (2 seeds)", 20)
    means = {group.name: results.accuracies for group, _, results in compared.over_runs}
    assert means == {
        "ours (2 seeds)": {1: 0.6, 2: 0.7},
        "theirs (3 seeds)": {0: 0.7, 1: 0.7, 2: 0.9},
    }
    assert group_accuracy(compared.groups[0], "rationales", "sums").endswith("2 runs")
    (caution,) = compared.cautions
    assert "ours-seed0 has no test results yet" in caution
    alone = compare(*ours[:2])
    assert SHARES_NO_STUDENT not in findings(alone) and meaning(alone).startswith("One run")


def test_groups_without_a_common_seed_are_not_paired() -> None:
    ours = seeded("ours", 5, 6, 7)
    theirs = seeded("theirs", 7, 7, 9, recipe={"train": {"steps": 9}})
    (pair,) = compare(ours[0], ours[1], theirs[2]).pairs
    assert pair.compared is None and pair.why_not == "no seed in common"


def test_the_same_recipe_and_seed_again_is_no_further_seed() -> None:
    first = measured("first", {RATIONALES: right("a", "ab")})
    again = measured("again", {RATIONALES: right("b", "ab")})
    assert [group.name for group in compare(first, again).groups] == ["first", "again"]


# recipes -----------------------------------------------------------------------------------------


def test_only_settings_that_differ_are_named_with_their_values() -> None:
    first = measured("first", {RATIONALES: right("a", "ab")})
    second = measured(
        "second", {RATIONALES: right("a", "ab")},
        recipe={
            "teacher": {"model": "recorded:r.jsonl"},
            "generate": {"samples": 6},
            "train": {"students": {"rationales": {}, "plain": {"data_format": "fine_tune_answer"}}},
        },
    )  # fmt: skip
    differing = {one.setting: dict(one.values) for one in compare(first, second).recipes}
    assert differing["generate.samples"]["second"] == "6"
    assert differing["teacher.model"] == {"first": "bundled:teacher", "second": "recorded:r.jsonl"}
    assert differing["train.students.plain"] == {"second": '{"data_format":"fine_tune_answer"}'}
    # A recorded teacher has no device; where that is left to its default it is no difference.
    assert "teacher.device" not in differing and "run" not in differing


# cautions ----------------------------------------------------------------------------------------


def test_what_keeps_figures_from_being_compared_is_said() -> None:
    on_test = Choice(student="rationales", rule="best_on_test", step=10, used=True)
    engines = [
        SystemEngine(system=RATIONALES, engine=engine, number_format="float32")
        for engine in ("transformers", "vllm")
    ]
    first = measured("first", {RATIONALES: right("a", "ab")}, engines=engines[:1])
    second = measured(
        "second", {RATIONALES: right("a", "ab")}, engines=engines[1:], grader="8",
        choices=[on_test], recipe={"seed": 1},
    )  # fmt: skip
    empty = measured("empty", {}, recipe={"seed": 2})
    said = "\n".join(compare(first, second, empty).cautions)
    assert "empty has no test results yet; potstill evaluate empty brings them." in said
    assert "In second: Checkpoints were chosen by their accuracy on these very test" in said
    assert "(first by version 7; second by version 8)" in said
    assert "transformers in float32 in first; vllm in float32 in second." in said


def test_gold_answers_and_ways_of_reading_that_differ_are_said() -> None:
    folders = list[Path]()
    for name, answers, rule in (("first", "x", "potstill"), ("second", "y", "bbh")):
        folder = measured(name, {RATIONALES: right("a", "ab")}, recipe={"seed": len(folders)})
        inputs = {
            "task.rule": rule, "task.answer_type": "number",
            "the test questions of sums": {"count": 2, "texts": "t", "answers": answers},
        }  # fmt: skip
        with Store(folder / "run.sqlite") as store:
            predictions = store.predictions()
            store.keep_provenance("evaluate", inputs, settings_hash="h", recipe_hash="r")
            # Provenance is known by the hash that the scores have.
            score = Score(
                system=RATIONALES, task="sums", split="test", correct=1, total=2, low=0, high=1,
                no_answer=0, truncated=0,
            )  # fmt: skip
            store.replace_evaluation([score], predictions, [], grader="7", settings_hash="h")
        folders.append(folder)
    said = "\n".join(compare(*folders).cautions)
    assert "Gold answers of the test questions of sums differ in first and second." in said
    assert "(task.rule: first by potstill; second by bbh)" in said
    assert "task.answer_type" not in said


def test_runs_that_know_only_ids_say_so() -> None:
    old = measured("old", {RATIONALES: right("a", "ab")}, digests=False)
    new = measured("new", {RATIONALES: right("a", "ab")}, recipe={"seed": 1})
    compared = compare(old, new)
    assert compared.pairs[0].why_not == "no test question in common"
    assert any("kept only the ids of test questions" in one for one in compared.cautions)


# what is shown -----------------------------------------------------------------------------------


def test_the_terminal_keeps_to_80_columns_and_json_to_standard_output() -> None:
    asked = "abcdefgh"
    first = measured("first", {RATIONALES: right("ab", asked), TEACHER: right("a", asked)})
    measured("second", {RATIONALES: right("abcdefgh", "abcdefgh")}, recipe={"seed": 1})
    with Store(first / "run.sqlite") as store:
        completion = Completion(
            request=Request(prompt="q"), sample=0, text="a", finish_reason="stop",
            prompt_tokens=10, completion_tokens=5, cost=0.25,
        )  # fmt: skip
        store.add_completions("openai:big", [completion], stage="generate")
    shown = command("first", "second")
    assert shown.exit_code == 0
    tables = [line for line in shown.stdout.splitlines() if line.endswith(" ")]
    assert tables and max(map(len, tables)) <= 80
    row = r"rationales +25\.0 \[7\.1, 59\.1\] 2/8 +100\.0 \[67\.6, 100\.0\] 8/8"
    assert re.search(row, shown.stdout)
    assert re.search(r"first +\$0\.25 +15 +1 min 15 s +train 1 min 15 s", shown.stdout)
    written = command("first", "second", "--json", "--out", "page.html")
    values = json.loads(written.stdout)
    assert values["tasks"]["sums"]["rationales"]["first"]["correct"] == 2
    assert values["pairs"][0]["p_value"] == pytest.approx(2 / 2**6)
    assert values["pairs"][0]["compared"]["over_questions"]["only_first"] == 6
    assert values["recipe_differences"] == {"seed": {"first": "0", "second": "1"}}
    assert [run["usd"] for run in values["runs"]] == [0.25, 0.0]
    assert values["page"] == "page.html" and "rationales" in written.stderr


def test_the_page_asks_nobody_and_shows_hostile_names_as_text() -> None:
    hostile = System("<img src=x onerror=alert(1)>", step=1)
    first = measured("a <script>", {hostile: right("a", "ab")})
    second = measured("b", {hostile: right("b", "ab")}, recipe={"seed": 1})
    text = comparison_html(compare(first, second))
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<script" not in text and "a &lt;script&gt;" in text
    assert "default-src 'none'; style-src 'sha256-" in text and "script-src" not in text
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert text.count("<section") == text.count("</section>") == 5


def test_a_comparison_shows_itself_in_a_notebook() -> None:
    right, wrong = dict.fromkeys("abcdefghij", True), dict.fromkeys("abcdefghij", False)
    hostile = "<img src=x onerror=alert(1)>"
    measured("one", {RATIONALES: right}, task=hostile)
    measured("two", {RATIONALES: wrong}, task=hostile, recipe={"seed": 1, "train": {"steps": 9}})
    compared = potstill.compare("one", Path("two"))
    shown = compared._repr_html_()
    assert "<img" not in shown and "&lt;img src=x" in shown
    assert "<b>2 runs: one, two</b>" in shown
    assert "<td>train.steps</td>" in shown and shown.count("<table>") == 4
    assert all(finding.replace("<", "&lt;") in shown or "&" in shown for finding in
               findings(compared))  # fmt: skip
    (pair,) = compared.pairs
    assert f"<td>{pair_cells(pair)[0]}</td>" in shown.replace("&amp;", "&")
    with pytest.raises(ConfigError, match="Give two or more runs"):
        potstill.compare("one")


def test_values_are_what_json_can_hold() -> None:
    compared = compare(*seeded("ours", 5, 6, 7))
    values = json.loads(json.dumps(plain(comparison_values(compared))))
    (over_runs,) = values["over_runs"]
    assert over_runs["by_seed"] == {"0": [5, 10], "1": [6, 10], "2": [7, 10]}
    assert over_runs["mean"] == pytest.approx(0.6)


# mistakes ----------------------------------------------------------------------------------------


def one_line(*arguments: str) -> str:
    shown = command(*arguments)
    assert (shown.exit_code, shown.stdout) == (2, "") and len(shown.stderr.splitlines()) == 1
    return shown.stderr


def test_mistakes_are_one_line() -> None:
    measured("first", {RATIONALES: right("a", "ab")})
    measured("other", {RATIONALES: right("a", "ab")}, task="products")
    Path("link").symlink_to("first")
    Path("empty").mkdir()
    Path("damaged").mkdir()
    Path("damaged/run.sqlite").write_bytes(b"no store at all")
    assert "empty is no run" in one_line("first", "empty")
    assert "Give two or more runs" in one_line("first")
    assert "link is given twice (first is the same run)" in one_line("first", "link")
    assert "on no common task: first has sums; other has products" in one_line("first", "other")
    assert "is damaged or is not a potstill store" in one_line("first", "damaged")
    assert "there is no folder" in one_line("first", "other", "--out", "nowhere/page.html")


def test_runs_of_one_name_are_told_apart_by_the_folders_above() -> None:
    first = measured("one/pens", {RATIONALES: right("a", "ab")})
    second = measured("two/pens", {RATIONALES: right("a", "ab")}, recipe={"seed": 1})
    assert [run.name for run in compare(first, second).runs] == ["one/pens", "two/pens"]
