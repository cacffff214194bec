"""`potstill regrade`: the stored pool under another grader, without a model."""

import json
import sqlite3
from pathlib import Path

import pytest
import test_guide as guided_pair
import yaml
from click.testing import CliRunner
from fakes import ScriptedModel, context_of
from guided_run import predicted, scored

from potstill.cli import main
from potstill.curate import CurateSettings, curate
from potstill.grading.grade import GRADER_VERSION
from potstill.guide import baselines, experiment, scoring
from potstill.pipeline import students, teachers
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.regrade import regrade
from potstill.pipeline.run import Run
from potstill.records import Grade, GuidedPrediction, Prediction, Question, Rationale, System, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import sample_requests
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store
from potstill.tasks import grade, load_task

SAYS = {0: "2 + 2 = 4. The answer is 4.", 1: "2 + 2 = 5. The answer is 5.", 2: "I do not know."}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A curated run whose model cannot be opened any more."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"What is 2 + 2, asked {n} times?", "answer": "4", "split": split}
        for n, split in enumerate(["train", "dev", "test"])
    ]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "task": {"file": "sums.jsonl"},
        "teacher": {"model": "openai:gone", "api_key_env": None},
        "student": "bundled:student",
        "generate": {"samples": 3},
    }
    Path("sums.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    teacher = ScriptedModel(lambda request, sample: SAYS[sample], chat=True, name="gone")
    with monkeypatch.context() as opened:
        opened.setattr(teachers, "open_model", lambda settings, control: teacher)
        with Run(load_recipe(Path("sums.yaml")), Meter(None)) as made:
            made.generate()
            made.curate()
            made.store.replace_evaluation(
                [], [_prediction(made)], [], grader="1", settings_hash="h"
            )
            stored = made.store.rationales()
            made.store.replace_rationales(
                [*stored[:1], *(_kept(each) for each in stored[1:2]), *stored[2:]],
                grader="1",
                settings_hash="h",
            )

    def closed(settings: object) -> None:
        raise AssertionError("regrading opens no model")

    for module in (students, teachers):
        monkeypatch.setattr(module, "open_model", closed)
    return Path("runs/sums")


def _kept(rationale: Rationale) -> Rationale:
    return Rationale(
        question_id=rationale.question_id,
        completion_id=rationale.completion_id,
        sample=rationale.sample,
        text=rationale.text,
        answer="4",
        verdict="kept",
    )


def _prediction(made: Run) -> Prediction:
    """A test answer that an older grader did not find."""
    return Prediction(
        system=System("rationales"),
        task=made.task.name,
        question_id=made.task.splits["test"][0].id,
        text="So it is. The answer is four.",
        answer=None,
        correct=False,
        finish_reason="stop",
        completion_tokens=6,
    )


def test_flipped_verdicts_are_listed_by_grader(folder: Path) -> None:
    result = CliRunner().invoke(main, ["regrade", str(folder)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"regrade: 3 rationales, grader version 1 before, {GRADER_VERSION} now"
    assert lines[1] == "  1 verdicts of rationales flipped"
    assert lines[2].endswith("sample 1: kept (read 4) -> wrong_answer (read 5)")
    assert lines[3] == "  1 of 3 rationales are kept now"
    assert lines[5] == "  1 verdicts of test answers flipped"
    assert lines[6].endswith(": no answer (read nothing) -> right (read 4)")
    assert "potstill train" in lines[7]
    again = CliRunner().invoke(main, ["regrade", str(folder)])
    assert "  0 verdicts of rationales flipped" in again.stdout
    assert "potstill train" not in again.stdout


def test_a_folder_without_a_run_is_told_and_stays_as_it_was(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["regrade", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds no run.sqlite" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_recipe_names_its_run(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "again.yaml"
    recipe.write_text((folder / "recipe.yaml").read_text())
    by_recipe = CliRunner().invoke(main, ["regrade", str(recipe), "--quiet"])
    assert by_recipe.exit_code == 0 and "regrade: 3 rationales" in by_recipe.output
    cleaned = CliRunner().invoke(main, ["clean", str(recipe), "--yes"])
    assert cleaned.exit_code == 0 and f"clean: {folder} holds nothing" in cleaned.output


@pytest.mark.parametrize("command", ["regrade", "clean"])
def test_a_recipe_without_a_run_begins_none(folder: Path, tmp_path: Path, command: str) -> None:
    recipe = tmp_path / "again.yaml"
    values = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe.write_text(yaml.safe_dump(values | {"run": str(tmp_path / "none")}))
    result = CliRunner().invoke(main, [command, str(recipe)])
    assert result.exit_code == 2
    assert f"was not run yet: {tmp_path / 'none'} holds no run. potstill run" in result.output
    assert not (tmp_path / "none").exists()


def test_a_recipe_of_another_task_regrades_nothing(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "again.yaml"
    values = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe.write_text(yaml.safe_dump(values | {"task": {"name": "coin_toss"}}))
    result = CliRunner().invoke(main, ["regrade", str(recipe)])
    assert result.exit_code == 2 and "is a run of another task" in result.output


def test_answers_to_questions_that_are_no_more_are_said_not_to_be_graded(folder: Path) -> None:
    Path("sums.jsonl").rename("renamed.jsonl")
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_text(text.replace("sums.jsonl", "renamed.jsonl"), "utf-8")
    lines = CliRunner().invoke(main, ["regrade", str(folder)]).stdout.splitlines()
    assert lines[1] == "  1 verdicts of rationales flipped"
    assert lines[4:6] == ["regrade: 0 test answers", "  0 verdicts of test answers flipped"]
    assert lines[6] == ("  1 more are not graded: the recipe's tasks have no such questions now")


def test_the_folder_that_is_named_is_graded_even_if_it_was_moved(folder: Path) -> None:
    moved = folder.rename("moved run: 2")
    result = CliRunner().invoke(main, ["regrade", str(moved)])
    assert "  1 verdicts of rationales flipped" in result.stdout
    assert not folder.exists()
    assert "  0 verdicts" in CliRunner().invoke(main, ["regrade", str(moved)]).stdout


def test_a_store_that_does_not_know_its_teacher_says_what_to_do(folder: Path) -> None:
    with sqlite3.connect(folder / "run.sqlite") as db:
        db.execute("DELETE FROM teachers")
    result = CliRunner().invoke(main, ["regrade", str(folder)])
    assert result.exit_code == 2
    assert "Run potstill curate on it once" in result.stderr


def test_curation_needs_no_teacher_once_it_was_asked(folder: Path) -> None:
    """A server that is gone, or a model that takes minutes to load, is not needed for verdicts."""
    result = CliRunner().invoke(main, ["curate", "sums.yaml"])
    assert "curate: 1 of 3 rationales kept" in result.stdout


def _guided(folder: Path) -> list[GuidedPrediction]:
    """Answers to a test and a development question, under the verdicts of an older grader."""
    task = load_task(load_recipe(folder / "recipe.yaml").task)
    test, dev = task.splits["test"][0].id, task.splits["dev"][0].id
    said = {"task": task.name, "question_id": test, "answer": None}
    return [
        predicted("never", 0, True, **{**said, "text": "So 4. The answer is 4.", "answer": "4"}),
        predicted("first", 0, False, **{**said, "text": "Add 2 to 2. The answer is 4."}),
        predicted("at_2", 0, False, **{**said, "text": ""}),
        predicted(
            "first",
            0,
            True,
            **{**said, "text": "The answer is 5.", "answer": "4", "question_id": dev},
            split="dev",
        ),
        predicted("first", 0, False, **{**said, "text": "The answer is 4.", "question_id": "gone"}),
    ]


def _keep(folder: Path, guided: list[GuidedPrediction], first: float, grader: str) -> None:
    scores = [
        scored("never", 1.0, task=guided[0].task),
        scored("teacher", 0.5, task=guided[0].task),
        scored("first", first, task=guided[0].task),
    ]
    with Store(folder / "run.sqlite") as store:
        store.replace_guidance(scores, guided, grader=grader, settings_hash="h")


AGAIN = (
    "Guided scores, and the thresholds behind them, stand as they were; count them again with: "
    "potstill guide, which asks for nothing that is stored"
)


def test_guided_answers_get_new_verdicts_and_their_scores_stay(folder: Path) -> None:
    before = _guided(folder)
    _keep(folder, before, first=0.0, grader="1")
    result = CliRunner().invoke(main, ["regrade", str(folder)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    place = lines.index("regrade: 3 guided answers")
    test, dev = before[0].question_id, before[3].question_id
    assert lines[place + 1 : place + 4] == [
        "  2 verdicts of guided answers flipped",
        f"  first on {before[0].task} test {test}: no answer (read nothing) -> right (read 4)",
        f"  first on {before[0].task} dev {dev}: right (read 4) -> wrong (read 5)",
    ]
    assert lines[-1] == AGAIN
    with Store(folder / "run.sqlite", read_only=True) as store:
        after, scores = store.guided_predictions(), store.guided_scores()
        assert store.graders("guided_predictions") == ["1", GRADER_VERSION]
    verdicts = [(each.answer, each.correct) for each in after]
    # an answer that was never written, and one to a question that is gone, have theirs still
    assert verdicts == [("4", True), ("4", True), (None, False), ("5", False), (None, False)]
    assert [each.text for each in after] == [each.text for each in before]
    assert [each.accuracy for each in scores] == [1.0, 0.5, 0.0]


def test_guided_scores_are_called_old_until_they_are_counted_again(folder: Path) -> None:
    never, first = _guided(folder)[:2]
    _keep(folder, [never, first], first=0.0, grader="1")
    invoke = CliRunner().invoke
    assert AGAIN in invoke(main, ["regrade", str(folder)]).stdout
    again = invoke(main, ["regrade", str(folder)]).stdout
    assert "  0 verdicts of guided answers flipped" in again
    assert AGAIN in again
    with Store(folder / "run.sqlite", read_only=True) as store:
        assert store.graders("guided_predictions") == [GRADER_VERSION]
        guided = store.guided_predictions()
    _keep(folder, guided, first=1.0, grader=GRADER_VERSION)
    assert AGAIN not in invoke(main, ["regrade", str(folder)]).stdout
    # the teacher alone and samples may have other verdicts, though none of these flips
    _keep(folder, guided, first=1.0, grader="1")
    assert AGAIN in invoke(main, ["regrade", str(folder)]).stdout


UNREAD = ("dev/6", "test/9", "test/10")


def _older(task: Task, text: str, question: Question) -> Grade:
    """A grader that finds no answer to some questions."""
    if question.id in UNREAD:
        return Grade(answer=None, correct=False, rule="no_answer")
    return grade(task, text, question)


@pytest.mark.parametrize("controls_too", [False, True])
def test_guiding_again_under_another_grader_asks_for_nothing_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controls_too: bool
) -> None:
    settings = {**guided_pair.EVERYTHING}
    if not controls_too:
        settings["controls"] = []
    for name in ("before", "fresh"):
        (tmp_path / name).mkdir()
    pair = guided_pair.parties()
    with monkeypatch.context() as older:
        for module in (baselines, experiment, scoring):
            older.setattr(module, "grade", _older)
        found = guided_pair.run(tmp_path / "before", pair, settings)
    fresh = guided_pair.run(tmp_path / "fresh", guided_pair.parties(), settings)
    assert found.scores != fresh.scores

    task, asking = guided_pair.TASK, pair.teacher_asking
    with Store(tmp_path / "before" / "run.sqlite") as store:
        train = task.splits["train"]
        context, requests = context_of(store), asking.requests(train)
        sample_requests(pair.teacher, requests, asking, context, label="", stage="generate")
        regraded = regrade(
            [task],
            store,
            lambda: curate(
                task,
                [AskedTeacher("teacher", pair.teacher.name, asking)],
                context,
                CurateSettings(),
            ),
        )
        now = _verdicts(store)
    assert regraded.guided.flips and not regraded.guided.scores_fit
    assert {flip.what.rpartition(" ")[2] for flip in regraded.guided.flips} == {*UNREAD}
    with Store(tmp_path / "fresh" / "run.sqlite", read_only=True) as store:
        assert now == _verdicts(store)

    again = guided_pair.parties()
    assert guided_pair.run(tmp_path / "before", again, settings).scores == fresh.scores
    student, teacher = guided_pair.asked(again)
    assert teacher == 0
    # a chain that counts as wrong by now, and other steps of a chain, are new to the student
    assert (student > 0) == controls_too


def _verdicts(store: Store) -> list[tuple[str | bool | None, ...]]:
    """Returns the verdicts on answers whose guidance does not depend on a verdict."""
    sure = ("never", "first", "at_2", "first_n_2", "zero_shot")
    return [
        (each.policy.label, each.question_id, each.text, each.answer, each.correct)
        for each in store.guided_predictions()
        if each.policy.label in sure and each.split == "test"
    ]
