"""Notebook views of tasks, recipes, runs, evaluations and scored texts, all of them escaped."""

import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from exchange_runs import curated_run, write_recipe
from report_run import HOSTILE, score

from potstill.evaluate.stage import Evaluation
from potstill.html_tables import html_table, html_text, shortened
from potstill.models.score_texts import ScoredText, ScoredToken
from potstill.pipeline.recipe import load_recipe
from potstill.records import Comparison, Question, System, Task
from potstill.start_comparison import StartComparison
from potstill.text.points import MINUS

KNOWN = {"p", "b", "pre", "table", "thead", "tbody", "tr", "th", "td"}


class Shown(HTMLParser):
    """Reads HTML as a page would, and fails on tags that nobody here writes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN and not attrs, tag
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.cells:
            self.cells[-1] += data


def test_texts_are_shown_and_never_read_as_html() -> None:
    shown = Shown(html_table((HOSTILE,), [(HOSTILE,), (None,)], title=HOSTILE, notes=[HOSTILE]))
    assert shown.text.count(HOSTILE) == 4
    assert shown.cells[1] == HOSTILE
    assert Shown(html_text(f"a\n  {HOSTILE}")).text == f"a\n  {HOSTILE}"
    assert shortened("a \n b") == "a b" and len(shortened("x" * 999)) == 160


def test_a_task_shows_its_splits_and_first_questions() -> None:
    questions = tuple(Question(id=f"q{n}", text=HOSTILE, answer=str(n)) for n in range(5))
    task = Task(
        name="sums", answer_type="number",
        splits={"train": questions, "dev": questions[:1], "test": questions[:3]},
    )  # fmt: skip
    shown = Shown(task._repr_html_())
    assert "sums: 5 train, 1 dev, 3 test questions" in shown.text
    assert shown.cells[4:8] == ["train", "q0", " ".join(HOSTILE.split()), "0"]


def test_a_recipe_shows_what_differs_from_the_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path))
    text = Shown(recipe._repr_html_()).text
    assert "max_tokens: 50" in text and "temperature" not in text


def test_a_run_shows_what_it_holds(tmp_path: Path) -> None:
    with curated_run(write_recipe(tmp_path)) as run:
        shown = Shown(run._repr_html_())
        assert "6 (kept 3, wrong_answer 3)" in shown.cells
        name = run.task.name
        scores = [score(System("rationales", step=9), name, 3, 4)]
        run.store.replace_evaluation(scores, [], [], grader="1", settings_hash="x")
        assert "rationales 75.0 [69.5, 80.5]" in Shown(run._repr_html_()).cells


def test_an_evaluation_shows_scores_difference_and_what_was_left_out() -> None:
    student, start = System("rationales", step=9), System("start")
    held = Comparison(
        task="sums", first=student, second=start, only_first=3, only_second=1, total=4,
        difference=0.5, low=-0.1, high=0.9, p_value=0.3,
    )  # fmt: skip
    evaluation = Evaluation(
        [score(student, "sums", 3, 4), score(student, "sums", 1, 4, "dev")], [], [], None,
        [HOSTILE], StartComparison(held, 0.6, 2),
    )  # fmt: skip
    shown = Shown(evaluation._repr_html_())
    assert shown.cells[4:7] == ["sums", "rationales", "75.0 [69.5, 80.5]"]
    assert (
        f"rationales less start on sums: +50.0 points, 95% interval {MINUS}10.0 to +90.0."
        in shown.text
    )
    assert HOSTILE in shown.text and len(shown.cells) == 8


def test_a_scored_text_shows_its_tokens() -> None:
    tokens = (
        ScoredToken(bytes=b"<b>", logprob=None, top=()),
        ScoredToken(bytes=b"\xff", logprob=math.log(0.25), top=()),
        ScoredToken(bytes=b"", logprob=math.log(0.5), top=()),
    )
    shown = Shown(ScoredText(tokens=tokens)._repr_html_())
    assert shown.cells[2:] == ["'<b>'", "", r"'\\xff'", "0.25", "(the end)", "0.5"]
    assert f"{math.log(0.125):.2f} nats over 3 tokens" in shown.text


@pytest.mark.parametrize("cls", [Task, Evaluation, ScoredText])
def test_a_notebook_finds_them(cls: type) -> None:
    assert callable(cls._repr_html_)  # type: ignore[attr-defined]
