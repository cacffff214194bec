"""Differences that are not shown although their intervals leave out 0: said at every door."""

import pytest
from report_run import RATIONALES, START, compared, task

from potstill.evaluate.model_card import gain
from potstill.start_comparison import start_comparisons
from potstill.text.unshown_difference import interval_note, several_note

TASKS = [task("sums", 0, 100), task("coins", 0, 100)]


@pytest.mark.parametrize(
    ("ends", "p_value", "tested", "told"),
    [
        ((-0.01, 0.2), 0.04, 5, ""),
        ((0.0, 0.2), 0.04, 5, ""),
        ((0.01, 0.2), 0.04, 5, "among 5 tasks tested together"),
        ((-0.2, -0.01), 0.04, 5, "among 5 tasks tested together"),
        ((0.01, 0.2), 0.06, 5, "the exact test, which decides"),
        ((0.01, 0.2), 0.06, 1, "the exact test, which decides"),
    ],
)
def test_the_reason_is_named(
    ends: tuple[float, float], p_value: float, tested: int, told: str
) -> None:
    note = interval_note(ends, p_value, tested, "tasks")
    assert told in note and bool(told) == bool(note)
    assert note.count(".") <= 1  # one sentence


def test_several_are_counted() -> None:
    assert several_note(0, 9) == ""
    assert "the exact test, which decides" in several_note(1, 1)
    assert several_note(1, 9).startswith("1 difference whose interval leaves out 0 does not")
    assert several_note(2, 9).startswith("2 differences whose interval leaves out 0 do not")


def test_a_students_card_says_it_where_holm_alone_shows_nothing() -> None:
    pairs = [compared(TASKS[0], RATIONALES, START, 0.1, p=0.03),
             compared(TASKS[1], RATIONALES, START, 0.1, p=0.9)]  # fmt: skip
    alone = start_comparisons(pairs[:1], RATIONALES, START)["sums"]
    among = start_comparisons(pairs, RATIONALES, START)["sums"]
    assert alone.is_gain and alone.interval_note == ""
    assert not among.is_shown and "among 2 tasks tested together" in among.interval_note
    assert among.interval_note in gain(among) and "leaves out 0" not in gain(alone)
