"""The figure of start, student and teacher on every task: its places, its colours, its links."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from report_run import RATIONALES, RECIPE, START, TEACHER, FilledRun, Reader, compared, score, task

from potstill.records import System
from potstill.report import write_report
from potstill.report.accuracy import Results, read_results
from potstill.report.before_after import before_after
from potstill.report.dumbbell import DumbbellRow, Ends, dumbbell
from potstill.report.question_links import changed_questions
from potstill.store import Store
from potstill.text.points import MINUS

ROW = DumbbellRow(
    name="sums",
    note="trained for",
    before=0.2,
    after=Ends(0.7, 0.6, 0.8),
    goal=1.0,
    change="+50",
    verdict="gain",
    link="#questions?task=sums",
)


def by_class(row: DumbbellRow, name: str) -> list[dict[str, str | None]]:
    """Returns the attributes of a row's elements of a class, in the wide and the narrow drawing."""
    tags = Reader(dumbbell([row], title="Accuracy")).tags
    return [own for _, own in tags if (own.get("class") or "").split(" ")[0] == name]


def test_values_stand_where_they_are() -> None:
    wide, narrow = by_class(ROW, "after")
    # 260 of 960 are for the name and 90 for the change: 260 + 0.7 * 610. Narrow: 12 + 0.7 * 324.
    assert (wide["cx"], narrow["cx"]) == ("687.0", "238.8")
    assert [one["cx"] for one in by_class(ROW, "before")] == ["382.0", "76.8"]
    (interval, _) = by_class(ROW, "range")
    assert (interval["x"], interval["width"]) == ("626.0", "122.0")
    assert [one["x1"] for one in by_class(ROW, "way")] == ["382.0", "76.8"]


def test_a_start_that_the_student_would_cover_stands_around_it() -> None:
    level = ROW._replace(before=0.703, change="0", verdict="unshown")
    before, _ = by_class(level, "before")
    assert (before["class"], before["r"]) == ("before around", "10")


def test_a_long_task_name_is_whole_in_the_figure() -> None:
    long = ROW._replace(name="tracking_shuffled_objects_of_seven, asked in zero_shot_cot")
    page = Reader(dumbbell([long, ROW], title="Accuracy"))
    assert "…" not in page.words  # in both drawings: under the pointer, and as lines
    assert page.words.replace("\n", "").replace(" ", "").count(long.name.replace(" ", "")) == 4
    # The wide drawing has three lines more than for a short name, the narrow one two.
    feet = [float(own["y2"] or 0) for own in by_class(long, "grid")[::5]]
    assert [tall - low for tall, low in zip(
        feet, [float(own["y2"] or 0) for own in by_class(ROW, "grid")[::5]], strict=True
    )] == [36, 16]  # fmt: skip


def test_a_row_says_all_its_values_and_leads_to_its_questions() -> None:
    page = Reader(dumbbell([ROW], title="Accuracy"))
    links = [own for tag, own in page.tags if tag == "a"]
    assert {own["href"] for own in links} == {"#questions?task=sums"}
    assert links[0]["aria-label"] == (
        "sums: start 20.0%; student 70.0% [60.0%, 80.0%]; teacher 100.0%; +50 points. "
        "The questions that changed"
    )


def test_what_was_not_measured_is_not_drawn() -> None:
    alone = ROW._replace(before=None, goal=None, change="", link="")
    assert (
        not by_class(alone, "before") and not by_class(alone, "way") and not by_class(alone, "goal")
    )
    assert not [tag for tag, _ in Reader(dumbbell([alone], title="Accuracy")).tags if tag == "a"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[FilledRun]:
    tasks = [task("sums", 10, 100), task("coins", 0, 100), task("letters", 0, 100)]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        filled = FilledRun(store, tasks, random.Random(0))
        changes, ps = (0.3, -0.2, 0.02), (0.001, 0.01, 0.4)
        scores, comparisons = [score(RATIONALES, "sums", 70, 100, "dev")], []
        for on, change, p in zip(tasks, changes, ps, strict=True):
            scores += [
                score(TEACHER, on.name, 90, 100),
                score(START, on.name, 50, 100),
                score(RATIONALES, on.name, 50 + round(100 * change), 100),
            ]
            comparisons.append(compared(on, RATIONALES, START, change, p))
        store.replace_evaluation(scores, [], comparisons, grader="2", settings_hash="c")
        yield filled


def read(run: FilledRun) -> Results:
    return read_results(run.store, run.tasks, run.store.path.parent)


def test_a_difference_is_coloured_only_where_holm_shows_it(run: FilledRun) -> None:
    found = before_after(read(run))
    assert found is not None
    assert [(row.task, row.verdict) for row in found.rows] == [
        ("sums", "gain"), ("coins", "loss"), ("letters", "unshown"),
    ]  # fmt: skip
    adjusted = [row.against_start.adjusted_p for row in found.rows if row.against_start]
    assert adjusted == pytest.approx([0.003, 0.02, 0.4])
    rows = [own.get("class") for tag, own in Reader(found.chart).tags if tag == "g"]
    assert rows == 2 * ["row gain", "row loss", "row unshown"]


def test_a_row_leads_to_what_was_lost_or_gained(run: FilledRun) -> None:
    found = before_after(read(run))
    assert found is not None
    assert [row.link for row in found.rows] == [
        "#questions?task=sums&start=wrong&student=right",
        "#questions?task=coins&start=right&student=wrong",
        "#questions?task=letters&start=wrong&student=right",
    ]


def test_other_systems_than_the_pages_two_are_named_in_the_address(run: FilledRun) -> None:
    link = changed_questions(read(run), "two sums", right="start_zero_shot", wrong="rationales")
    assert link == "#questions?task=two+sums&right=start_zero_shot&student=wrong"


def test_the_section_has_its_numbers_as_a_table(run: FilledRun) -> None:
    page = Reader(write_report(run.store, run.tasks, run.store.path.parent).html.read_text("utf-8"))
    words = " ".join(page.words.split())
    assert (
        "coins50.0%Start, asked to reason30.0%[24.5, 35.5]90.0%"
        f"{MINUS}20.0[{MINUS}27.0, {MINUS}13.3]0.020727" in words
    )
    tables = {own.get("id") for tag, own in page.tags if tag == "table"}
    saved = [own["data-csv"] for tag, own in page.tags if own.get("data-csv")]
    assert saved and set(saved) <= tables


def test_a_run_without_a_start_is_drawn_without_one(run: FilledRun) -> None:
    results = read(run)
    alone = replace(
        results,
        comparisons=[],
        scores=[one for one in results.scores if one.system != System("start")],
    )
    found = before_after(alone)
    assert found is not None
    assert [(row.start, row.link, row.verdict) for row in found.rows] == 3 * [(None, "", "unshown")]


def test_the_table_of_systems_can_be_sorted_and_read_as_cards(run: FilledRun) -> None:
    page = Reader(write_report(run.store, run.tasks, run.store.path.parent).html.read_text("utf-8"))
    cells = [own for tag, own in page.tags if tag == "td" and own.get("data-label")]
    assert [(own["data-label"], own["data-sort"]) for own in cells[:3]] == [
        ("sums", "0.9"), ("coins", "0.9"), ("letters", "0.9"),
    ]  # fmt: skip
