"""A run knows its recipe and its questions: no other takes its folder, and no file is missed."""

import copy
import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from exchange_runs import curated_run, open_run, write_recipe
from test_stale import SmallRun, small
from tiny_runs import finished_run

from potstill.cli import main
from potstill.errors import ConfigError, DataError
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run, stored_run
from potstill.records import Completion, Question, Task
from potstill.runtime.progress import Meter
from potstill.store import Store

assert small  # a fixture


def do(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


OTHERS = {
    "task": ({"task": {"name": "coin_toss"}}, "task was {folder}/sums.jsonl, is coin_toss"),
    "teacher": (
        {"teacher": "recorded:{folder}/two.jsonl"},
        "teacher was recorded:{folder}/one.jsonl, is recorded:{folder}/two.jsonl",
    ),
    "student": ({"student": "bundled:guide"}, "student was bundled:student, is bundled:guide"),
}


@pytest.mark.parametrize("part", OTHERS)
def test_a_folder_does_not_take_another_run_without_a_word_of_consent(
    small: SmallRun, part: str
) -> None:
    small.do("generate", "curate")
    before = (small.folder / "run" / "recipe.yaml").read_text()
    changes, words = OTHERS[part]
    place = str(small.folder)
    small.write(json.loads(json.dumps(changes).replace("{folder}", place)))
    for stage in ("generate", "curate", "run"):
        done = small.command(stage)
        assert done.exit_code == 2
        start = f"Error: {place}/run is a run of another {part}: {words.replace('{folder}', place)}"
        assert done.output.startswith(start)
        assert f"--set run={place}/run-2, or go on in this one with --set reuse=true" in done.output
    assert (small.folder / "run" / "recipe.yaml").read_text() == before
    done = small.command("generate", "--set", "reuse=true")
    if part == "task":  # the recordings hold no coins
        assert "belongs to the task" in done.output
    else:
        assert done.exit_code == 0, done.output
        assert small.command("curate").exit_code == 0  # consent is given once
    assert (small.folder / "run" / "recipe.yaml").read_text() != before


def test_a_recipe_of_another_task_does_not_read_a_runs_results(small: SmallRun) -> None:
    small.do("generate", "curate")
    small.write({"task": {"name": "coin_toss"}})
    for words in (["report", small.recipe], ["export", small.recipe, small.folder / "x.jsonl"]):
        done = do(*words)
        assert done.exit_code == 2
        assert "is a run of another task" in done.output


def test_a_recipe_of_the_same_name_does_not_take_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run = SmallRun(tmp_path / name)
        del run.settings["run"]
        if name == "b":
            run.settings["task"] = {"name": "coin_toss", "train": 2}
        run.write()
        run.recipe.rename(tmp_path / name / "pens.yaml")
    assert do("generate", "a/pens.yaml").exit_code == 0
    done = do("generate", "b/pens.yaml")
    assert done.exit_code == 2
    assert "Error: runs/pens is a run of another task: " in done.output


def test_what_a_recipe_changes_is_said_once(
    small: SmallRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    small.do("generate")
    assert caplog.messages == []
    small.write({"generate.samples": 3, "train.lora": {"rank": 4}, "evaluate.vote": {"samples": 5}})
    small.do("generate", "curate")
    (told,) = caplog.messages
    assert told == (
        f"{small.folder}/run since its last command: generate.samples was 2, is 3; "
        'train.lora is new: {"rank":4}; evaluate.vote is new: {"samples":5}'
    )


def told_after(small: SmallRun, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    small.do("generate")
    return "".join(message.partition(" command: ")[2] for message in caplog.messages)


def test_of_sections_and_lists_only_what_a_recipe_says_is_told(
    small: SmallRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    own = {"data_format": "zero_shot_answer"}
    small.do("generate")
    plain = copy.deepcopy(small.settings)
    small.write({"guide": {}, "train.students": {"own": own}})
    assert told_after(small, caplog) == (
        'train.students.own is new: {"data_format":"zero_shot_answer"}; guide is new'
    )
    small.settings = copy.deepcopy(plain)
    small.write({"evaluate.tasks": [{"name": "coin_toss"}]})
    assert told_after(small, caplog) == (
        "train.students.own is gone; "
        'evaluate.tasks was [], is [{"name":"coin_toss"}]; guide is gone'
    )
    small.write({"evaluate.tasks": [{"name": "coin_toss", "test": 5}]})
    assert told_after(small, caplog) == "evaluate.tasks[0].test was null, is 5"
    small.settings = plain
    small.write()
    assert told_after(small, caplog) == 'evaluate.tasks was [{"name":"coin_toss","test":5}], is []'


@pytest.mark.parametrize(
    ("command", "changes", "why"),
    [
        ("generate", {"task.dev": 0}, "the dev split"),
        ("train", {"train.students": {"own": {"start": "hf:/nowhere"}}}, "/nowhere"),
    ],
)
def test_a_refused_recipe_is_not_taken_for_the_runs(
    small: SmallRun,
    caplog: pytest.LogCaptureFixture,
    command: str,
    changes: dict[str, object],
    why: str,
) -> None:
    caplog.set_level(logging.WARNING)
    plain = copy.deepcopy(small.settings)
    if command == "generate":  # the first of all, too
        small.write(changes)
        assert why in small.command(command).output
    small.settings = copy.deepcopy(plain)
    small.write()
    assert told_after(small, caplog) == ""
    small.do("curate")
    before = (small.folder / "run" / "recipe.yaml").read_text()
    small.write(changes)
    done = small.command(command)
    assert done.exit_code == 2 and why in done.output
    assert (small.folder / "run" / "recipe.yaml").read_text() == before
    small.settings = plain
    small.write()
    assert told_after(small, caplog) == ""


def test_a_moved_recording_and_a_renamed_file_are_no_other_run(small: SmallRun) -> None:
    small.do("generate")
    (small.folder / "one.jsonl").rename(small.folder / "bought.jsonl")
    small.questions = small.folder / "pens.jsonl"
    small.rows[0]["question"] = "What is 2 plus 2?"  # a word edited meanwhile
    small.write(
        {"teacher": f"recorded:{small.folder}/bought.jsonl", "task.file": str(small.questions)}
    )
    assert small.command("curate").exit_code == 2  # its answers go by the file's name
    done = small.command("generate")
    assert done.exit_code == 0, done.output


# the questions' file ------------------------------------------------------------------------------


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    recipe = write_recipe(tmp_path / "made")
    curated_run(recipe).__exit__()
    return recipe


MOVES = ("deleted", "renamed", "called from elsewhere", "whole folder moved")


def moved(curated: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Do what makes the recipe's path to its questions wrong; returns the run's folder."""
    questions, run = curated.parent / "sums.jsonl", curated.parent / "run"
    recipe = yaml.safe_load(curated.read_text())
    recipe["task"]["file"], recipe["run"] = "sums.jsonl", "run"
    curated.write_text(yaml.safe_dump(recipe))
    shutil.rmtree(run)
    monkeypatch.chdir(curated.parent)
    curated_run(Path(curated.name)).__exit__()
    if how == "deleted":
        questions.unlink()
    elif how == "renamed":
        questions.rename(questions.with_name("pens.jsonl"))
    elif how == "called from elsewhere":
        elsewhere = curated.parent.parent / "elsewhere"
        elsewhere.mkdir()
        # Another file at the same relative path is not the run's.
        (elsewhere / "sums.jsonl").write_text('{"id": "q2", "question": "Why?", "answer": "1"}\n')
        monkeypatch.chdir(elsewhere)
    else:
        run = Path(shutil.move(curated.parent, curated.parent.parent / "archive")) / "run"
        monkeypatch.chdir(curated.parent.parent)
    return run.resolve()


@pytest.mark.parametrize("how", MOVES)
def test_a_run_outlives_its_file_of_questions(
    curated: Path, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = moved(curated, how, monkeypatch)
    file = tmp_path / "out.jsonl"
    assert do("export", run, file).exit_code == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted({row["question"] for row in rows}) == [f"What is {n} + {n}?" for n in (2, 3, 4)]
    done = do("push", run, "me/sums", "--to", tmp_path / "pushed")
    assert done.exit_code == 0, done.output
    done = do("regrade", run)
    assert done.exit_code == 0, done.output
    assert "6 rationales" in done.output
    done = do("report", run / "recipe.yaml", "--set", f"run={run}")
    assert done.exit_code == 0 or how == "called from elsewhere", done.output


def test_a_recipe_whose_file_is_gone_goes_on_with_the_stores_copy(
    curated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (curated.parent / "sums.jsonl").unlink()
    with open_run(curated) as run:
        run.curate()
        run.report()
    assert f"{curated.parent}/sums.jsonl is not there any more" in caplog.text
    assert (curated.parent / "run" / "report.html").exists()


def test_a_mistyped_file_is_not_taken_from_the_store(curated: Path) -> None:
    recipe = yaml.safe_load(curated.read_text())
    recipe["task"]["file"] += "x"
    curated.write_text(yaml.safe_dump(recipe))
    with pytest.raises((ConfigError, DataError)), open_run(curated) as run:
        run.curate()


def test_an_edited_gold_answer_is_told_wherever_the_run_is_called_from(
    curated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    questions = curated.parent / "sums.jsonl"
    questions.write_text(questions.read_text().replace('"answer": "4"', '"answer": "5"'))
    monkeypatch.chdir(tmp_path)
    done = do("export", curated.parent / "run", tmp_path / "out.jsonl")
    assert "2 were curated for a question or a gold answer that the task has not now" in done.output
    done = do("train", curated)
    assert done.exit_code == 2
    assert "the gold answers are others than then; 2 of 6 rationales were curated" in done.output


def test_a_task_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    question = Question(id="a", text="Which?\n", answer="B", choices=("x", "y"), template_id="t")
    task = Task(
        name="own", answer_type="choice", rule="bbh", source="s", licence="mit", notes=("one",),
        splits={"train": (question,), "dev": (), "test": (Question(id="b", text="?", answer=""),)},
    )  # fmt: skip
    with Store(tmp_path / "run.sqlite") as store:
        assert store.task("k") is None
        store.keep_task(task, key="k", places={"file": "/a"})
        store.keep_task(task, key="other", places={})
        assert store.task("k") == task
        assert store.task_places("k") == {"file": "/a"}
        assert store.task_places("other") == store.task_places("third") == {}
        store.keep_task(Task(name="own", answer_type="choice", splits={}), key="k", places={})
        kept = store.task("k")
        assert kept is not None and not any(kept.splits.values())
        assert store.task("other") == task


def test_a_run_made_before_takes_its_recipe_from_its_folder(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    (start / "config.json").write_text("{}")
    finished_run(tmp_path / "sums", start, start, sign="+")
    recipe = yaml.safe_load((tmp_path / "sums" / "recipe.yaml").read_text())
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump({**recipe, "teacher": "bundled:guide"}))
    done = do("generate", path)
    assert done.exit_code == 2
    assert (
        "is a run of another teacher: teacher was bundled:teacher, is bundled:guide" in done.output
    )
    with stored_run(tmp_path / "sums", Meter(None)) as run:
        assert len(run.task.splits["train"]) == 3


def test_a_run_outlives_its_recording(small: SmallRun) -> None:
    small.do("generate", "curate")
    (small.folder / "one.jsonl").unlink()
    for stage in ("generate", "curate", "train"):
        done = small.command(stage)
        assert done.exit_code == 0, done.output
    done = small.command("generate", "--set", "generate.samples=3")
    assert done.exit_code == 2
    assert "cannot read" in done.output


def test_an_export_says_that_its_rationales_are_stale(small: SmallRun) -> None:
    small.do("generate", "curate")
    small.write({"curate.right_answer": False})
    file = small.folder / "out.jsonl"
    words = "The rationales are not of this recipe: curate.right_answer was true, is false. Run: "
    assert words in do("export", small.recipe, file).output
    assert words not in do("export", small.folder / "run", file, "--overwrite").output


def test_a_teacher_that_only_failed_is_given_up_without_consent(small: SmallRun) -> None:
    with Run(load_recipe(small.recipe), Meter(None)) as run:
        request = run.asking.request(run.task.splits["train"][0], task=run.task.name)
        failed = Completion(
            request=request, sample=0, text="", finish_reason="error", error="no such model"
        )
        run.store.add_completions(run.asked_teacher.name, [failed], stage="generate")
    small.write({"teacher": f"recorded:{small.folder}/two.jsonl"})
    done = small.command("generate")
    assert done.exit_code == 0, done.output


def test_the_commands_to_repeat_hold_the_consent_that_they_need(small: SmallRun) -> None:
    small.do("generate", "curate")
    small.write({"teacher": f"recorded:{small.folder}/two.jsonl"})
    told = small.command("train").output
    assert f"Run: potstill generate {small.recipe} --set reuse=true, then potstill curate" in told
    for command in told.partition("Run: ")[2].strip().split(", then "):
        done = do(*command.split()[1:])
        assert done.exit_code == 0, done.output
    assert small.command("train").exit_code == 0


@pytest.mark.parametrize(
    ("done", "stage", "change"),
    [
        (["generate"], "curate", "generate.temperature=0.3"),
        (["generate", "curate"], "train", "generate.temperature=0.3"),
        (["generate", "curate"], "evaluate", "curate.max_per_question=1"),
    ],
)
def test_a_refused_command_leaves_the_recipe_of_the_run(
    small: SmallRun, done: list[str], stage: str, change: str
) -> None:
    small.do(*done)
    recipe = small.folder / "run" / "recipe.yaml"
    before = recipe.read_text()
    refused = small.command(stage, "--set", change)
    assert refused.exit_code == 2, refused.output
    assert recipe.read_text() == before
