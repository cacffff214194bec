"""The section on several teachers: figures, words, and what a page and a terminal show of them."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fakes import context_of, sums
from rich.console import Console
from several_teachers import chats, draw, sums_to

from potstill.curate import CurateSettings, curate
from potstill.records import TeacherScore
from potstill.report import teachers_table, write_report
from potstill.report.accuracy import read_results
from potstill.report.teacher_tables import change_of, finding, nats, share, teachers
from potstill.store import Store

TASK = sums()
HOSTILE = "openai:<script>alert(1)</script>"
RECIPE = f"""\
teacher: {{model: 'bundled:teacher'}}
teachers: {{other: {{model: '{HOSTILE}'}}}}
"""


def score(teacher: str, round_: int = 0, **changes: Any) -> TeacherScore:
    values: dict[str, Any] = {
        "accuracy": 0.5, "low": 0.4, "high": 0.6, "total": 100, "samples": 200, "kept": 0,
        "chosen": 0, "mean_logprob": None, "difference": None, "difference_low": None,
        "difference_high": None,
    }  # fmt: skip
    return TeacherScore(teacher=teacher, round=round_, **{**values, **changes})


PLAIN = [
    score("teacher", accuracy=0.62, kept=30, chosen=20),
    score("other", kept=90, chosen=60),
    score("consensus", accuracy=0.7, kept=120, chosen=80),
]
MOVED = {"difference": 0.05, "difference_low": -0.01, "difference_high": 0.11}
DEBATED = [
    score("teacher"), score("teacher", 1, kept=30, chosen=20, mean_logprob=-2.5),
    score("other"), score("other", 1, kept=90, chosen=60),
    score("consensus", accuracy=0.7),
    score("consensus", 1, accuracy=0.75, kept=120, chosen=80, mean_logprob=-2.5, **MOVED),
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


def keep(store: Store, scores: list[TeacherScore]) -> None:
    store.replace_rationales([], scores, grader="1", settings_hash="x")
    assert store.teacher_scores() == scores


def printed(store: Store, width: int = 80) -> list[str]:
    written = StringIO()
    Console(file=written, width=width).print(teachers_table(store))
    return [line.strip() for line in written.getvalue().splitlines() if line.strip()]


def test_one_teacher_has_no_section(store: Store, tmp_path: Path) -> None:
    keep(store, [score("teacher")])
    assert teachers(read_results(store, [TASK], tmp_path)) is None
    assert printed(store) == []


def test_the_terminal_shows_teachers_side_by_side(store: Store) -> None:
    keep(store, PLAIN)
    title, heads, _, first, second, both = printed(store)
    assert title == "teachers on training questions, with 95% intervals"
    assert heads.split() == ["teacher", "right", "questions", "kept", "chosen"]
    assert first.split() == ["teacher", "62.0", "[40,", "60]", "100", "30", "(25%)", "20", "(25%)"]
    assert second.split()[-4:] == ["90", "(75%)", "60", "(75%)"]
    assert both.split()[-4:] == ["120", "(100%)", "80", "(100%)"]


def test_a_debate_and_likelihoods_fit_a_narrow_terminal(store: Store) -> None:
    keep(store, DEBATED)
    _, heads, _, first, second, both = printed(store)
    assert heads.split() == ["teacher", "right", "questions", "debated", "kept", "chosen", "nats"]
    assert first.endswith("\N{MINUS SIGN}2.500") and second.endswith("\N{EN DASH}")
    assert "+5.0 [\N{MINUS SIGN}1, +11]" in both


def test_the_page_names_models_as_text(store: Store, tmp_path: Path) -> None:
    keep(store, DEBATED)
    found = teachers(read_results(store, [TASK], tmp_path))
    assert found is not None and (found.kept, found.asked, found.debated) == (120, 80, 1)
    assert [side.model for side in found.rows] == ["bundled:teacher", HOSTILE, ""]
    assert finding(found) == (
        "After one round of debate the answer that most samples give is right for 75.0% of 100 "
        "training questions, 70.0% before: +5.0 [\N{MINUS SIGN}1.0, +11.0] points."
    )
    assert change_of(found.rows[0]) == ""


def test_the_page_shows_the_section_and_who_wrote_each_rationale(
    store: Store, tmp_path: Path
) -> None:
    asked = draw(store, TASK, chats(teacher=sums_to(2), other=sums_to(3)))
    curate(TASK, asked, context_of(store), CurateSettings(right_answer=False))
    page = write_report(store, [TASK], tmp_path).html.read_text(encoding="utf-8")
    assert "The teachers wrote 8 rationales" in page and "Right at first" in page
    assert "openai:&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page
    assert '"teacher":"other"' in page


def test_small_words() -> None:
    assert share(3, 12) == "3 (25%)"
    assert share(0, 0) == "\N{EN DASH}"
    assert nats(None) == "\N{EN DASH}"
