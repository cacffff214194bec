"""potstill check tells stored verdicts that do not follow from the stored texts."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_stale import SmallRun

from potstill.grading.grade import GRADER_VERSION
from potstill.pipeline import verdict_checks
from potstill.pipeline.run_check import CheckedRun, check_run
from potstill.pipeline.verdict_checks import spread
from potstill.records import Prediction, Score, System
from potstill.store import Store

TEXT = "Said one, 0."


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Three questions with two right rationales each, curated by today's potstill."""
    small = SmallRun(tmp_path_factory.mktemp("curated"))
    small.do("generate", "curate")
    return small


@pytest.fixture
def run(curated: SmallRun, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(curated.folder / "run", folder)
    return folder


def checked(run: Path, *statements: str) -> CheckedRun:
    """The outcome of a check after these statements."""
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement)
    return check_run(run)


def test_verdicts_that_follow_are_no_fault(run: Path) -> None:
    assert checked(run).faults == []


WAYS: dict[str, dict[str, Any]] = {
    "two steps": {"generate.prompt_style": "zero_shot_cot"},
    "any answer": {"curate.right_answer": False, "task.answer_type": "yes_no"},
    "too short": {"curate.min_words": 9},
    "too long": {"curate.max_words": 1},
    "few of a question": {"curate.max_per_question": 1},
    "by the most votes": {"teachers": {"other": "recorded:{folder}/two.jsonl"},
                          "curate.choose": "agreement"},
    "another rule": {"task.rule": "zero_shot_cot"},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_verdicts_of_every_kind_follow(tmp_path: Path, way: str) -> None:
    small = SmallRun(tmp_path)
    if way == "any answer":
        for place, row in enumerate(small.rows):
            row["answer"] = "yes" if place % 2 else "no"
    small.write(json.loads(json.dumps(WAYS[way]).replace("{folder}", str(tmp_path))))
    small.do("generate", "curate")
    assert checked(tmp_path / "run").faults == []


ROW = "WHERE completion_id = (SELECT min(completion_id) FROM rationales)"
LATER_TEXT = f"UPDATE completions SET text = '{TEXT} The answer is 5.' WHERE id = 1"
FAULTS = {
    "a verdict that none gives": (
        f"UPDATE rationales SET verdict = 'foo' {ROW}", "1 have the verdict 'foo'"
    ),
    "right, and stored as wrong": (
        f"UPDATE rationales SET verdict = 'wrong_answer' {ROW}",
        "q2 teacher sample 0 is stored as wrong_answer, and its text is kept",
    ),
    "short, and stored as such": (
        f"UPDATE rationales SET verdict = 'too_short' {ROW}",
        "q2 teacher sample 0 is stored as too_short, and its text is kept",
    ),
    "whole, and stored as cut": (
        f"UPDATE rationales SET verdict = 'unfinished' {ROW}", "row 1 contradicts itself or another"
    ),
    "another answer": (
        f"UPDATE rationales SET answer = '9' {ROW}",
        "q2 teacher sample 0 is stored with the answer '9', and its text gives '4'",
    ),
    "another text": (
        f"UPDATE rationales SET text = 'So it is.' {ROW}",
        "q2 teacher sample 0 has another text than its completion",
    ),
    "a completion of another answer": (
        LATER_TEXT, "q2 teacher sample 0 is stored with the answer '4', and its text gives '5'"
    ),
    "a completion emptied": (
        "UPDATE completions SET text = '' WHERE id = 1", "row 1 contradicts itself or another"
    ),
    "a completion cut": (
        "UPDATE completions SET finish_reason = 'length' WHERE id = 1",
        "row 1 contradicts itself or another",
    ),
    "a reason that is stored as another": (
        "UPDATE completions SET finish_reason = 'MAX_TOKENS' WHERE id = 1",
        "1 ended for the reason 'MAX_TOKENS', which none is stored as",
    ),
    "another gold answer": (
        "UPDATE rationales SET gold = '7'",
        "6 say another question or gold answer than they were curated by",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_row_that_does_not_follow_is_told(run: Path, damage: str, words: str) -> None:
    faults = checked(run, damage).faults
    assert words in [fault.fault for fault in faults]
    assert all(fault.way_out for fault in faults)


@pytest.mark.parametrize(
    ("damage", "count"),
    [
        ("UPDATE questions SET answer = '9' WHERE place = 0", 5),
        ("UPDATE questions SET split = 'train' WHERE split = 'test'", 5),
        ("DELETE FROM questions WHERE place = 1", 4),
    ],
)
def test_kept_questions_that_were_changed_are_told(run: Path, damage: str, count: int) -> None:
    (fault,) = checked(run, damage).faults
    assert fault.where == "run.sqlite, questions"
    assert fault.fault.startswith(f"the {count} of ")
    assert fault.fault.endswith(" are not those that were read")


def test_many_are_told_by_their_number(run: Path) -> None:
    faults = checked(run, "UPDATE rationales SET answer = '9'").faults
    assert [fault.fault for fault in faults][-1] == "and 1 more rows"
    assert faults[0].way_out.startswith(f"potstill regrade {run}")


@pytest.mark.parametrize(
    "unknown",
    [
        "UPDATE rationales SET grader = '0'",  # which may have read it otherwise
        "DELETE FROM provenance",  # so that it is not known by what settings it was curated
    ],
)
def test_what_may_have_been_graded_otherwise_is_not_held_against_it(
    run: Path, unknown: str
) -> None:
    assert checked(run, LATER_TEXT, unknown).faults == []


def test_an_end_that_only_the_server_knows_is_noted(run: Path) -> None:
    outcome = checked(
        run,
        "UPDATE completions SET finish_reason = 'banana' WHERE id = 1",
        f"UPDATE rationales SET verdict = 'unknown_end' {ROW}",
    )
    assert "1 completion ended for a reason that is not known: 'banana'" in outcome.notes
    assert outcome.faults == []


@pytest.mark.parametrize(("text", "is_right"), [("The answer is 12.", True), ("No.", False)])
def test_a_test_answer_that_was_turned_is_told(run: Path, text: str, is_right: bool) -> None:
    system = System("teacher")
    for stored in (is_right, not is_right):
        prediction = Prediction(
            system=system, task="sums", question_id="q6", text=text, correct=stored,
            answer="12" if is_right else None, finish_reason="stop", completion_tokens=2,
        )  # fmt: skip
        score = Score(
            system=system, task="sums", split="test", correct=int(stored), total=1, low=0, high=1,
            no_answer=0, truncated=0,
        )  # fmt: skip
        with Store(run / "run.sqlite") as store:
            store.keep_provenance("evaluate", {"seed": 0}, settings_hash="x", recipe_hash="r")
            store.replace_evaluation(
                [score], [prediction], [], [], grader=GRADER_VERSION, settings_hash="x"
            )
        told = [fault.fault for fault in checked(run).faults if "predictions" in fault.where]
        follows = stored is is_right or not is_right  # without an answer none is right
        now = "right" if is_right else "no answer"
        was = "wrong" if is_right else "no answer"
        expected = [f"teacher on sums q6 is stored as {was}, and its text is {now}"]
        assert told == ([] if follows else expected)


def test_of_many_rows_some_are_looked_at_evenly(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spread([], 2) == []
    assert spread([1, 2], 2) == [1, 2]
    assert spread([*range(10)], 4) == [0, 3, 6, 9]
    assert spread([*range(9)], 4) == [0, 3, 6]
    monkeypatch.setattr(verdict_checks, "MOST_GRADED", 1)
    assert checked(run, LATER_TEXT.replace("id = 1", "id = 6")).faults == []
    assert len(checked(run, LATER_TEXT).faults) == 1
