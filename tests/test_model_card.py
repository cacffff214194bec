"""Cards say who wrote what a student learned, how it was chosen, and whether it gained anything."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from exchange_runs import TEACHER, curated_run, fill, open_run, write_recipe
from test_stale import write_checkpoints

from potstill.cli import main
from potstill.evaluate import Evaluation, StudentOrigin, gain
from potstill.evaluate.model_card import CHOICES, model_card
from potstill.evaluate.selection import RULES
from potstill.evaluate.tie import tie_of
from potstill.records import Checkpoint, Comparison, Score, System, Teacher
from potstill.start_comparison import start_comparisons
from potstill.store import Writer
from potstill.text.points import MINUS

CHOSEN = Checkpoint(
    student="own", step=4, folder="c", data_format="fine_tune_cot", encoder_decoder=False,
    examples=3, too_long=0,
)  # fmt: skip
ORIGIN = StudentOrigin(task="sums", start="hf:small", formats=["fine_tune_cot"])


def wrote(model: str, kept: int, imported: int = 0) -> Writer:
    return Writer("teacher", model, 0.7, 1.0, 0, kept, imported, kept + 1)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("formats", "writers", "told"),
    [
        (["fine_tune_answer"], [wrote("openai:a@h", 9)],
         "on the gold answers alone; it learned nothing that a model wrote."),
        (["fine_tune_cot"], [wrote("openai:a@h:8000/v1", 9)],
         "on rationales of `openai:a`, closed by the gold answers."),
        (["fine_tune_cot"],
         [wrote("openai:a@h", 1200), wrote("bundled:teacher@12", 7, 5), wrote("hf:none@1", 0)],
         "on rationales of `openai:a` (1,200) and `bundled:teacher` (7) (of which 5 came from "
         "files), closed by the gold answers."),
        (["fine_tune_cot", "fine_tune_answer"], [wrote("openai:a@h", 9)],
         "on the gold answers, and on rationales of `openai:a`, closed by the gold answers."),
        (["fine_tune_cot"], [], "on rationales of a model that the store does not name, closed"),
    ],
)  # fmt: skip
def test_the_card_says_what_was_learned_of_whom(
    formats: list[str], writers: list[Writer], told: str
) -> None:
    card = model_card(CHOSEN, [], replace(ORIGIN, formats=formats, writers=writers))
    assert told in words(card)
    assert "h:8000" not in card


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "best_on_test"])
def test_the_card_says_by_which_rule_the_checkpoint_was_chosen(rule: Any) -> None:
    card = words(model_card(CHOSEN, [], replace(ORIGIN, rule=rule)))
    assert f"by {words(CHOICES[rule])}, on development questions. The test split" in card
    assert "students" not in card
    several = words(model_card(CHOSEN, [], replace(ORIGIN, rule=rule, students=3)))
    assert "of 3 students it is the one with the most right answers" in several


def dev_score(student: str, step: int, correct: int, *, taken: bool = True) -> Score:
    return Score(
        system=System(student, step=step, taken=taken), task="sums", split="dev",
        correct=correct, total=9, low=0.0, high=1.0, no_answer=0, truncated=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([dev_score("other", 8, 4)], "of 2 students it is the one with the most right answers"),
        ([dev_score("other", 8, 5), dev_score("pair", 8, 5)],
         "of 2 students none has more right answers to the development questions of its task. "
         "other has as many right answers to the development questions of its task (5 of 9); of "
         "equal students the one named last is taken. The test split"),
        ([dev_score("own", 4, 5, taken=False), dev_score("own", 9, 5, taken=False),
          dev_score("own", 12, 4, taken=False), dev_score("other", 8, 4)],
         "step 9 has as many right answers to the development questions of its task (5 of 9); of "
         "equals the earliest is taken. The test split"),
    ],
)  # fmt: skip
def test_the_card_says_a_tie_as_a_tie(others: list[Score], told: str) -> None:
    chosen = replace(CHOSEN, student="own", start=None, step=5)
    scores = [dev_score("own", 5, 5), *others]
    alone = {System("own"), System("other")}
    tie = tie_of(chosen, scores, task="sums", alone=alone, by_accuracy=True)
    card = words(model_card(chosen, [], replace(ORIGIN, students=2, tie=tie)))
    assert told in card
    by_another_rule = tie_of(chosen, scores, task="sums", alone=alone, by_accuracy=False)
    assert by_another_rule is not None and not by_another_rule.steps


def compared(variant: str, difference: float, p: float, first: str = "own") -> Comparison:
    return Comparison(
        task="sums", first=System(first, step=4), second=System("start", None, variant),
        only_first=1, only_second=1, total=50, difference=difference, low=difference - 0.1,
        high=difference + 0.1, p_value=p,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("comparisons", "told"),
    [
        ([compared("", 0.2, 0.001), compared("zero_shot", 0.3, 0.001)],
         "Against its start (start): +20.0 points, 95% interval +10.0 to +30.0, "
         "p = 0.001 by McNemar's exact test, which decides, on 50 test"),
        ([compared("", 0.2, 0.001), compared("zero_shot", 0.05, 0.3)],
         "It is not shown to be better than its start (start_zero_shot): +5.0 points"),
        ([compared("", 0.7, 0.0625)],  # its interval excludes 0, and the test does not show it
         "It is not shown to be better than its start (start): +70.0 points, 95% interval +60.0 "
         "to +80.0, p = 0.062 by McNemar's exact test, which decides, on 50"),
        ([compared("", 0.9, 1e-9)], "p < 0.001 by McNemar's exact test"),
        ([compared("", -0.2, 0.001)],
         f"It is shown to be worse than its start (start): {MINUS}20.0"),
        ([compared("", -0.2, 0.2)],
         f"It is not shown to be better than its start (start): {MINUS}20.0"),
        # Alone 0.03 would be shown; with a task that is lost, Holm has 2 times 0.03.
        ([compared("", 0.2, 0.03), replace(compared("", -0.5, 0.04), task="letters")],
         "It is not shown to be better than its start (start): +20.0 points, 95% interval +10.0 "
         "to +30.0, p = 0.06 by McNemar's exact test, over 2 tasks by Holm, "
         "which decides"),
        ([compared("few_shot", 0.02, 0.5), compared("fine_tune_cot", -0.9, 0.5)],
         "than its start (start_few_shot): +2.0 points"),
    ],
)  # fmt: skip
def test_the_card_says_whether_the_student_gained(comparisons: list[Comparison], told: str) -> None:
    others = [compared("", -0.5, 0.5, "other"), replace(compared("", -0.5, 0.5), task="coins")]
    against = start_comparisons(
        [*others, *comparisons], CHOSEN.system, System("start"), left_out=["coins"]
    )["sums"]
    assert told in gain(against)
    assert told in words(model_card(CHOSEN, [], ORIGIN, against))


def test_a_run_tells_what_its_own_store_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(entries: object, models: object, settings: object, context: Any, **_: Any) -> Any:
        (chosen,) = [c for c in context.store.checkpoints() if c.student == "rationales"]
        (context.folder / chosen.folder).mkdir(parents=True)
        against = replace(compared("", 0.01, 0.9, "rationales"))
        return Evaluation([], [against], [], chosen, [])

    monkeypatch.setattr("potstill.pipeline.run.train", write_checkpoints)
    monkeypatch.setattr("potstill.pipeline.run.evaluate", choose)
    monkeypatch.setattr("potstill.pipeline.run.refuse_damaged", lambda *_: None)
    recipe = write_recipe(tmp_path, evaluate={"teacher": False})
    with curated_run(recipe) as run:
        run.train()
    # By another teacher's name in the recipe, but with the first one's answers in the store.
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as db:
        db.execute("UPDATE requests SET model = 'openai:really@secret.example:8000/v1'")
        db.commit()
    done = CliRunner().invoke(main, ["evaluate", str(recipe)])
    assert done.exit_code == 0, done.output
    assert "evaluate: It is not shown to be better than its start (start): +1.0" in done.output
    card = words((tmp_path / "run" / "model" / "README.md").read_text())
    assert "rationales of `openai:really`, closed" in card
    assert "of 2 students it is the one" in card
    assert CliRunner().invoke(main, ["report", str(recipe)]).exit_code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<dt>Teacher</dt><dd>openai:really</dd>" in page


def test_a_datasets_card_names_who_wrote_it_and_how(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    curated_run(recipe).__exit__()
    other = write_recipe(
        tmp_path, reuse=True, seed=5, curate={"right_answer": False},
        teacher={"model": "openai:new", "base_url": "http://secret.example:8000/v1"},
    )  # fmt: skip
    done = CliRunner().invoke(main, ["push", str(other), "me/x", "--to", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- teacher: `openai:big`\n" in card
    assert '"seed": 0' in card or "seed 0" in card
    assert "right_answer true" in card
    assert "openai:new" not in card


def test_every_teacher_that_wrote_is_named(tmp_path: Path) -> None:
    second = {"model": "openai:second", "base_url": "http://h.example/v1", "api_key_env": None}
    recipe = write_recipe(tmp_path, teachers={"other": second})
    with open_run(recipe) as run:
        fill(run, ["Two.\nThe answer is {answer}."])
        asking = run.teachers.asking("other")
        for question in run.task.splits["train"]:
            request = asking.request(question, task=run.task.name)
            from potstill.records import Completion

            done = Completion(
                request=request, sample=0, text=f"It is.\nThe answer is {question.answer}.",
                finish_reason="stop",
            )  # fmt: skip
            run.store.add_completions(run.teachers.known("other").name, [done], stage="import")
        run.curate()
        writers = run.store.writers()
    assert [(w.teacher, w.model, w.kept, w.imported) for w in writers] == [
        ("teacher", TEACHER.name, 3, 0),
        ("other", Teacher(name="openai:second@h.example/v1", chat=True).name, 3, 3),
    ]
