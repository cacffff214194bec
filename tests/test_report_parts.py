"""The parts of the report: charts, shares of a limit, numbers in words."""

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from report_run import Reader

from potstill.evaluate import gain
from potstill.records import Comparison, Completion, Rationale, Request, System, Task
from potstill.report.accuracy import read_results
from potstill.report.charts import Line, Point, label_places, line_chart, thinned, ticks
from potstill.report.clipped_text import clipped
from potstill.report.page import page
from potstill.report.questions import MOST_QUESTIONS, fair_shares
from potstill.report.rationale_counts import count_rationales
from potstill.report.text import (
    DASH,
    NARROW,
    TIMES,
    cost_note,
    dollars,
    duration,
    p_phrase,
    p_value,
)
from potstill.start_comparison import StartComparison
from potstill.store import Store
from potstill.store.stored_rows import StoredRecords, records_at
from potstill.text.points import MINUS, points, signed
from potstill.text.short_paths import in_lines


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("sums", ["sums"]),
        ("date_understanding, zero_shot_cot", ["date_", "understanding,", "zero_shot_cot"]),
        ("supercalifragilistic", ["supercalifragi", "listic"]),
        ("letters, zero_shot_cot", ["letters,", "zero_shot_cot"]),  # at the space, not in a word
        ("", [""]),
    ],
)
def test_long_names_stand_in_several_lines_and_none_is_cut(name: str, lines: list[str]) -> None:
    assert in_lines(name, 14) == lines


def test_labels_keep_apart_and_above_the_axis() -> None:
    # The axis lies at 198; a line of text takes 14.
    assert label_places([20.0, 100.0], [1, 1], 198.0) == [20.0, 100.0]
    assert label_places([20.0, 25.0], [2, 1], 198.0) == [20.0, 48.0]  # below the first's two lines
    assert label_places([198.0, 198.0, 198.0], [1, 1, 1], 198.0) == [170.0, 184.0, 198.0]


def test_a_chart_leaves_room_for_the_marks_of_its_axis() -> None:
    lines = [Line("rate", [Point(0, 0.0), Point(10, 1.0)])]
    charts = [
        line_chart(lines, title="Rate", x_label="steps", show=lambda _: "1"),
        line_chart(lines, title="Rate", x_label="steps", show=lambda _: "0.000000012"),
    ]
    begins = [float(re.findall(r'polyline points="([\d.]+)', chart)[0]) for chart in charts]
    assert begins[0] == 42.0 and begins[1] >= 11 * 6.6


def test_chart_scales_chosen_point_and_spoken_text() -> None:
    lines = [
        Line("a <b>", [Point(0, 0.1, 0.0, 0.2), Point(100, 0.5, 0.4, 0.6)], marked=100),
        Line("other", [Point(0, 0.1), Point(100, 0.5)]),
        Line("empty", []),
    ]
    chart = line_chart(lines, title="Accuracy", x_label="steps", show=lambda y: f"{y:.0%}")
    parsed = Reader(chart)
    assert "a <b>: 10% at 0, 50% at 100 steps; chosen at 100." in str(parsed.tags[0][1])
    classes = [attributes.get("class") for _, attributes in parsed.tags]
    assert classes.count("ring") == 1
    assert classes.count("band s1") == 1
    ends = [a["y"] for tag, a in parsed.tags if (a.get("class") or "").startswith("end")]
    assert abs(float(ends[0] or 0) - float(ends[1] or 0)) >= 14


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [
        (1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (0.81, [0, 0.25, 0.5, 0.75, 1.0]),
        (400, [0, 100, 200, 300, 400]),
        (0.0, [0, 1]),
        (float("inf"), [0, 1]),
    ],
)
def test_axis_ticks_are_round_and_reach_the_maximum(maximum: float, expected: list[float]) -> None:
    assert ticks(maximum) == expected


def test_thinned_log_keeps_its_mean_and_its_last_step() -> None:
    points = [Point(step, step % 2) for step in range(1, 1201)]
    few = thinned(points)
    assert len(few) == 300
    assert few[-1] == Point(1200, 0.5)


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [([10, 20], [10, 20]), ([3000, 40, 3000], [980, 40, 980]), ([], []), ([2001], [2000])],
)
def test_fair_shares_fill_the_limit(sizes: list[int], shares: list[int]) -> None:
    assert fair_shares(sizes, MOST_QUESTIONS) == shares


def test_numbers_in_words() -> None:
    assert [points(value) for value in (0.413, -0.02, 0.0, -0.0001)] == [
        "+41.3",
        f"{MINUS}2.0",
        "0.0",
        "0.0",
    ]
    assert [p_value(value) for value in (1.0, 0.0412, 0.0004)] == [
        "1.000",
        "0.041",
        f"4.0{NARROW}{TIMES}{NARROW}10⁻⁴",
    ]
    assert p_phrase(0.0).split() == ["p", "<", "10⁻³⁰⁰"]
    assert [duration(value) for value in (0.84, 59.6, 200, 7500)] == [
        "0.8 s",
        "1 min 00 s",
        "3 min 20 s",
        "2 h 05 min",
    ]
    assert [dollars(value) for value in (0, 0.0012, 3.5)] == ["$0", "$0.0012", "$3.50"]
    assert dollars(0, ["openai:new"]) == DASH  # nothing is known of it


def test_a_long_text_keeps_its_beginning_its_end_and_the_answer_that_was_graded() -> None:
    text = "first words " + "a" * 5_000 + " The answer is 42. " + "b" * 5_000 + " last words"
    span = (text.index("42"), text.index("42") + 2)
    shown = clipped(text, span)
    assert shown.startswith("first words ") and shown.endswith(" last words")
    assert " The answer is 42. " in shown
    assert shown.count("characters left out] … ") == 2
    left_out = sum(int(number.replace(",", "")) for number in re.findall(r"\[([\d,]+) char", shown))
    whole = re.sub(r" … \[[\d,]+ characters left out\] … ", "", shown)
    assert len(whole) + left_out == len(text)


def test_a_text_that_fits_and_one_whose_answer_is_at_an_end_are_shown_in_one_or_two_parts() -> None:
    assert clipped("x" * 3_000) == "x" * 3_000
    assert clipped("x" * 3_001).count("[1 characters left out]") == 1
    end = "x" * 9_000 + " 42"
    assert clipped(end, (9_001, 9_003)).count("left out") == 1


def test_every_difference_on_a_page_has_the_same_minus_sign() -> None:
    worse = Comparison(
        task="sums", first=System("rationales"), second=System("start"), only_first=10,
        only_second=40, total=300, difference=-0.1, low=-0.15, high=0.02, p_value=0.01,
    )  # fmt: skip
    told = gain(StartComparison(worse, worse.p_value, 1))
    assert f"{MINUS}10.0 points, 95% interval {MINUS}15.0 to +2.0" in told
    assert (signed(-3), signed(0), signed(1200)) == (f"{MINUS}3", "0", "+1,200")


def test_a_cost_without_counts_is_said_to_be_a_most(tmp_path: Path) -> None:
    assert cost_note(0) == ""
    assert cost_note(1) == (
        "1 answer came without some count of tokens; they stand at the most that they can cost."
    )
    request = Request(prompt="2 + 3?", samples=(0, 1, 2, 3))
    counts = [(9, 4), (0, 0), (0, 7), (9, 0)]
    answers = [
        Completion(
            request=request, sample=sample, text="5", finish_reason="stop",
            prompt_tokens=read, completion_tokens=written, cost=0.001,
        )
        for sample, (read, written) in enumerate(counts)
    ]  # fmt: skip
    with Store(tmp_path / "run.sqlite") as store:
        store.add_completions("teacher", answers, stage="generate")
        assert store.uncounted() == 3
        store.add_stage_time("generate", 1.0)
        task = Task(name="sums", answer_type="number", splits={"train": (), "dev": (), "test": ()})
        shown = page(read_results(store, [task]))
    assert "3 answers came without some count of tokens" in shown


def test_rationales_are_counted_in_one_pass_and_some_are_read_by_one_query() -> None:
    def rationale(number: int, question: str, verdict: str, teacher: str) -> Rationale:
        return Rationale(
            question_id=question, completion_id=number, sample=0, text="", answer="1",
            verdict=verdict, teacher=teacher,
        )  # fmt: skip

    written = [
        rationale(0, "a", "wrong_answer", "one"),
        rationale(1, "a", "wrong_answer", "two"),
        rationale(2, "b", "kept", "one"),
        rationale(3, "b", "kept", "one"),
    ]
    counts = count_rationales(iter(written))
    assert counts.verdicts == {"wrong_answer": 2, "kept": 2} and counts.kept == 2
    assert counts.kept_by_question == {"a": 0, "b": 2} and counts.questions_with_kept == 1
    assert counts.teachers == {"one", "two"}

    asked: list[list[int]] = []

    def read(rows: Sequence[int]) -> list[Rationale]:
        asked.append([*rows])
        return [written[row - 10] for row in rows]

    stored = StoredRecords(array("q", [10, 11, 12, 13]), read)
    assert records_at(stored, [1, 3]) == records_at(written, [1, 3]) == [written[1], written[3]]
    assert records_at(stored, []) == []
    assert asked == [[11, 13]]
