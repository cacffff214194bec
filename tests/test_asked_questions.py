"""The questions that a stored request asks, by the commands: renamed files, new ids, twins."""

import csv
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from exchange_runs import SPLITS, fill, open_run, write_recipe
from loopback import Loopback
from test_old_runs import DATA, MODELS, Answered, old_store

from potstill.cli import main
from potstill.models.settings import LocalSettings
from potstill.tasks import TaskSettings, load_task

ROWS = [
    {"id": f"q{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
    for n, split in enumerate(SPLITS, start=2)
]
TRAINING = {row["question"] for row in ROWS if row["split"] == "train"}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as started:
        yield started


class SumsRun:
    """A run of sums whose teacher is a server and answers in two steps."""

    def __init__(self, folder: Path, server: Loopback, name: str = "run") -> None:
        self.folder, self._server, self.name = folder, server, name
        self.recipe = folder / f"{name}.yaml"

    def write(
        self,
        rows: list[dict[str, str]],
        *,
        file: str = "sums.csv",
        ids: bool = False,
        **sections: object,
    ) -> None:
        """Write the questions, and the recipe that names their file."""
        path = self.folder / file
        with path.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        task = {"file": str(path), "answer_type": "number", **({"id": "id"} if ids else {})}
        teacher = {
            "model": "openai:t", "base_url": self._server.url, "api_key_env": None, "chat": False,
        }  # fmt: skip
        values = {
            "run": str(self.folder / self.name),
            "task": task,
            "teacher": teacher,
            "student": "bundled:student",
            "generate": {"samples": 2},
            "curate": {"right_answer": False},
            **sections,
        }
        self.recipe.write_text(yaml.safe_dump(values))

    def do(self, command: str, *arguments: object) -> str:
        return done(command, self.recipe, *arguments)

    def regrade(self) -> str:
        """Returns the output of ``regrade`` under the recipe as it is now."""
        folder = self.folder / self.name
        shutil.copy(self.recipe, folder / "recipe.yaml")
        return done("regrade", folder)

    def exported(self, what: str = "completions") -> list[dict[str, Any]]:
        file = self.folder / f"{what}.jsonl"
        self.message = self.do("export", file, "--what", what, "--overwrite")
        return [json.loads(line) for line in file.read_text().splitlines()]


def refused(*arguments: object) -> str:
    """Returns the error of a command that is refused, which is one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert result.output.count("\n") == 1
    return result.output


def done(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def run(tmp_path: Path, server: Loopback) -> SumsRun:
    return SumsRun(tmp_path, server)


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("file", ["sums.csv", "renamed.csv"])
def test_completions_name_the_questions_of_a_renamed_file(
    run: SumsRun, server: Loopback, file: str, *, ids: bool
) -> None:
    run.write(ROWS)
    assert "generate: 6 completions stored" in run.do("generate")
    asked = len(server.bodies)
    run.write(ROWS, file=file, ids=ids)
    assert "0 completions stored, 6 already there" in run.do("generate")
    run.do("curate")
    rows = run.exported()
    assert len(server.bodies) == asked
    assert len(rows) == 12  # rationales and final answers
    assert {row["task"] for row in rows} == {file.removesuffix(".csv")}
    for row in rows:
        assert row["question"] in row["prompt"]
    assert Counter(row["question"] for row in rows) == dict.fromkeys(TRAINING, 4)
    if ids:
        assert {row["question_id"] for row in rows} == {"q2", "q3", "q4"}
    assert "not known" not in run.message


def test_what_a_renamed_file_asks_is_said_by_the_rationales_until_a_stage_asks_again(
    run: SumsRun,
) -> None:
    run.write(ROWS, ids=True)
    run.do("generate")
    run.do("curate")
    run.write(ROWS, file="renamed.csv", ids=True)
    rows = run.exported()
    named = [row for row in rows if row["question_id"]]
    assert [row["verdict"] is not None for row in named] == [True] * 6
    assert all(row["question"] in row["prompt"] for row in named)
    assert "6 are not known to ask a question" in run.message
    assert "repeat the stages that asked" in run.message
    run.do("generate")  # as the message says
    assert all(row["question_id"] for row in run.exported())
    assert "not known" not in run.message


def test_two_ids_of_one_text_share_what_is_asked_and_have_a_row_each(
    run: SumsRun, server: Loopback, tmp_path: Path
) -> None:
    twin = {"id": "twin", "question": ROWS[0]["question"], "answer": "4", "split": "train"}
    run.write([*ROWS, twin], ids=True)
    assert "generate: 6 completions stored, 0 already there" in run.do("generate")
    assert "generate: 0 completions stored, 6 already there" in run.do("generate")
    run.do("curate")
    rows = run.exported()
    assert "export: 16 completions rows" in run.message
    ids = Counter(row["question_id"] for row in rows)
    assert ids == {"q2": 4, "twin": 4, "q3": 4, "q4": 4}
    read = {(row["completion_id"], row["question_id"]) for row in run.exported("rationales")}
    judged = {(row["completion_id"], row["question_id"]) for row in rows if row["verdict"]}
    assert read == judged and len(read) == 8
    assert len({row["completion_id"] for row in rows}) == 12

    other = SumsRun(tmp_path, server, "other")
    other.write([*ROWS, twin], ids=True)
    file, asked = tmp_path / "completions.jsonl", len(server.bodies)
    pool = tmp_path / "pool.jsonl"
    file.rename(pool)
    assert "import: 12 completions stored, 4 already there" in other.do("import", pool)
    assert "import: 0 completions stored, 16 already there" in other.do("import", pool)
    imported = other.exported()
    assert [(row["question_id"], row["text"]) for row in imported] == [
        (row["question_id"], row["text"]) for row in rows
    ]
    assert "generate: 0 completions stored, 6 already there" in other.do("generate")
    assert len(server.bodies) == asked


def test_an_edited_gold_answer_and_new_ids_stay_with_their_question(run: SumsRun) -> None:
    run.write(ROWS)
    run.do("generate")
    run.do("curate")
    (said, *_) = [row for row in run.exported("rationales") if row["question"] == "What is 3 + 3?"]
    edited = [{**row, "answer": said["answer"]} if row["id"] == "q3" else row for row in ROWS]
    run.write(edited, ids=True)
    recipe = yaml.safe_load(run.recipe.read_text())
    recipe["curate"] = {"right_answer": True}
    run.recipe.write_text(yaml.safe_dump(recipe))
    told = run.regrade()
    assert "5 verdicts of rationales flipped" in told
    assert f"q3 sample {said['sample']}" not in told  # the one that is right now
    assert told.count("-> wrong_answer") == 5
    assert told.count("  q3 sample") == 1 and told.count("  q2 sample") == 2
    gold = {"q2": "4", "q3": said["answer"], "q4": "8", None: None}
    for row in run.exported():
        assert row["gold_answer"] == gold[row["question_id"]]
        assert row["question_id"] is None or row["question"] in row["prompt"]
    assert Counter(row["question_id"] for row in run.exported()) == {"q2": 4, "q3": 4, "q4": 4}


def test_an_id_that_another_text_has_now_is_not_that_of_the_former_request(run: SumsRun) -> None:
    run.write(ROWS, ids=True)
    run.do("generate")
    run.do("curate")
    edited = [{**row, "question": "What is 30 + 30?"} if row["id"] == "q3" else row for row in ROWS]
    run.write(edited, ids=True)
    rows: list[dict[str, Any]] = []
    for again in (False, True):
        if again:
            assert "generate: 2 completions stored, 4 already there" in run.do("generate")
            assert "  0 verdicts of rationales flipped" in run.regrade()
        rows = run.exported()
        assert all(row["question"] in row["prompt"] for row in rows if row["question_id"])
        assert sum(row["question_id"] is None for row in rows) == 4
    assert Counter(row["question_id"] for row in rows) == {"q2": 4, "q3": 4, "q4": 4, None: 4}


def test_an_older_run_names_its_questions_after_its_task_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    old_store(folder)
    recipe = yaml.safe_load((DATA / "recipe.yaml").read_text())
    task = load_task(TaskSettings(name="fact_chain", train=8, dev=2, test=2))
    rows = [
        {"question": question.text, "answer": question.answer, "split": split}
        for split, questions in task.splits.items()
        for question in questions
    ]
    (tmp_path / "copied.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe["run"], recipe["task"] = str(folder), {"file": str(tmp_path / "copied.jsonl")}
    path, file = tmp_path / "recipe.yaml", tmp_path / "completions.jsonl"
    path.write_text(yaml.safe_dump(recipe))

    def exported() -> list[dict[str, Any]]:
        done("export", path, file, "--what", "completions", "--overwrite")
        return [json.loads(line) for line in file.read_text().splitlines()]

    def opened(settings: LocalSettings, *_: object, **__: object) -> Answered:
        return Answered(MODELS[settings.model])

    monkeypatch.setattr("potstill.pipeline.teachers.open_model", opened)
    assert {row["question_id"] for row in exported()} == {None}
    assert "generate: 0 completions stored, 16 already there" in done("generate", path)
    named = exported()
    assert len(named) == 32
    assert all(row["task"] == "copied" and row["question"] in row["prompt"] for row in named)
    done("curate", path)
    assert [row["verdict"] is None for row in exported()] == [False] * 16 + [True] * 16


def test_curate_names_the_questions_of_both_steps_after_new_ids(
    run: SumsRun, server: Loopback
) -> None:
    run.write(ROWS)
    run.do("generate")
    asked = len(server.bodies)
    run.write(ROWS, file="renamed.csv", ids=True)
    assert {row["question_id"] for row in run.exported()} == {None}
    run.do("curate")
    assert Counter(row["question_id"] for row in run.exported()) == {"q2": 4, "q3": 4, "q4": 4}
    assert {row["task"] for row in run.exported()} == {"renamed"}
    assert len(server.bodies) == asked


def test_curate_names_the_questions_of_a_debate_after_new_ids(
    run: SumsRun, server: Loopback
) -> None:
    other = {"model": "openai:u", "base_url": server.url, "api_key_env": None, "chat": False}
    sections: dict[str, Any] = {
        "teachers": {"other": other}, "generate": {"samples": 1, "debate": {"rounds": 1}},
    }  # fmt: skip
    run.write(ROWS, **sections)
    run.do("generate")
    run.write(ROWS, ids=True, **sections)
    run.do("curate")
    rows = run.exported()
    assert Counter(row["question_id"] for row in rows) == {"q2": 8, "q3": 8, "q4": 8}
    assert sum("how others answered" in row["prompt"] for row in rows) == 12


# rows of a file that shift -----------------------------------------------------------------------


def numbered(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows with their numbers as ids."""
    return [{**row, "id": str(number)} for number, row in enumerate(rows, start=1)]


@pytest.fixture(params=["curated today", "curated by an older potstill"])
def shifted(run: SumsRun, request: pytest.FixtureRequest) -> SumsRun:
    """A curated run whose file has lost its first row since, so that row numbers have shifted."""
    run.write(numbered(ROWS), ids=True)
    run.do("generate")
    run.do("curate")
    if "older" in request.param:
        with closing(sqlite3.connect(run.folder / "run" / "run.sqlite")) as db, db:
            db.execute("UPDATE rationales SET question_digest = '', gold = NULL")
    run.write(numbered(ROWS[1:]), ids=True)
    return run


def test_rationales_are_not_paired_with_the_rows_that_took_their_place(shifted: SumsRun) -> None:
    rows = shifted.exported("rationales")
    assert len(rows) == 6
    assert {row["question"] for row in rows} == {None}
    assert "6 were curated for a question or a gold answer" in shifted.message
    assert "Run potstill curate again" in shifted.message
    shifted.do("report")
    page = (shifted.folder / "run" / "report.html").read_text()
    assert "6 rationales are left out" in page and "We begin with" not in page

    assert "0 completions" in shifted.do("generate")
    shifted.do("curate")
    rows = shifted.exported("rationales")
    assert Counter(row["question"] for row in rows) == {
        "What is 3 + 3?": 2, "What is 4 + 4?": 2,
    }  # fmt: skip
    assert "curate again" not in shifted.message
    prompts = {row["completion_id"]: row["prompt"] for row in shifted.exported()}
    assert all(row["question"] in prompts[row["completion_id"]] for row in rows)
    shifted.do("report")
    page = (shifted.folder / "run" / "report.html").read_text()
    assert "are left out" not in page and page.count("We begin with") == 4


@pytest.mark.parametrize("what", ["chat", "prompt_completion"])
def test_trainers_get_no_rationale_of_another_row(shifted: SumsRun, what: str) -> None:
    file = shifted.folder / "rows.jsonl"
    told = refused("export", shifted.recipe, file, "--what", what)
    assert "potstill curate" in told
    assert not file.exists()
    shifted.do("curate")
    for row in shifted.exported(what):
        assert "2 + 2" not in json.dumps(row)


def test_no_student_learns_a_rationale_of_another_row(shifted: SumsRun) -> None:
    told = refused("train", shifted.recipe)
    assert "6 of 6 rationales were curated for other training questions" in told
    assert "potstill curate" in told


def test_no_exemplar_is_made_of_a_rationale_of_another_row(shifted: SumsRun) -> None:
    told = refused("evaluate", shifted.recipe, "--set", "evaluate.asked_in=[in_context_cot]")
    assert "potstill curate" in told


def test_a_rationale_is_not_paired_with_a_gold_answer_that_it_was_not_graded_by(
    run: SumsRun,
) -> None:
    run.write(ROWS)
    run.do("generate")
    run.do("curate")
    run.write([{**row, "answer": "7"} if row["id"] == "q3" else row for row in ROWS])
    rows = run.exported("rationales")
    assert Counter(row["gold_answer"] for row in rows) == {"4": 2, "8": 2, None: 2}
    assert "2 were curated for a question or a gold answer" in run.message
    judged = [row["verdict"] is not None for row in run.exported() if row["gold_answer"] == "7"]
    assert judged == [False] * 4
    assert "2 of 6 rationales" in refused("train", run.recipe)


def test_a_file_of_rationales_finds_its_questions_where_ids_have_shifted(
    run: SumsRun, server: Loopback, tmp_path: Path
) -> None:
    run.write(numbered(ROWS), ids=True)
    run.do("generate")
    run.do("curate")
    rows = run.exported("rationales")
    other = SumsRun(tmp_path, server, "other")
    other.write(numbered(ROWS[1:]), file="shifted.csv", ids=True)
    told = other.do("import", tmp_path / "rationales.jsonl")
    assert "import: 4 rationales stored, 0 already there, 2 left out" in told
    assert "no question of the task has this" in told
    written = {(row["question"], row["rationale"]) for row in rows}
    first_steps = [row for row in other.exported() if row["temperature"] > 0]
    assert len(first_steps) == 4
    assert written >= {(row["question"], row["text"]) for row in first_steps}


def test_a_run_recognises_the_rationales_that_it_exported_itself(tmp_path: Path) -> None:
    recipe, file = write_recipe(tmp_path), tmp_path / "own.jsonl"
    with open_run(recipe) as run:
        fill(run, ["We double it, and so the answer is {answer}!", " We guess. Answer: 1"])
        run.curate()
    done("export", recipe, file)
    assert "import: 0 rationales stored, 6 already there" in done("import", recipe, file)
    # In a run that has other answers to the same questions they are new.
    other = write_recipe(tmp_path, "other")
    with open_run(other) as run:
        fill(run, ["It is {answer}.\nThe answer is {answer}.", "Who knows?"])
        run.curate()
    assert "import: 6 rationales stored, 0 already there" in done("import", other, file)


def test_a_test_answer_is_not_shown_or_graded_as_one_to_the_row_that_took_its_place(
    run: SumsRun,
) -> None:
    short: dict[str, Any] = {"evaluate": {"max_tokens": 8, "bootstrap": 100}}
    run.write(numbered(ROWS), ids=True, **short)
    run.do("generate")
    run.do("curate")
    run.do("evaluate")
    folder = run.folder / "run"
    run.do("report")
    assert "test answers are to questions" not in (folder / "report.html").read_text()
    assert "not graded" not in run.regrade()

    extra = {"id": "", "question": "What is 60 + 60?", "answer": "120", "split": "test"}
    with sqlite3.connect(folder / "run.sqlite") as db:
        (answers,) = db.execute("SELECT count(*) FROM predictions").fetchone()
    db.close()
    # Only the test question has changed, under the id that it had.
    run.write(numbered([*ROWS[:4], extra]), ids=True, **short)
    assert f"{answers} more are not graded" in run.regrade()
    run.do("report")
    page = (folder / "report.html").read_text()
    assert f"{answers} test answers are to questions that have changed" in page
    embedded = page.partition('id="questions-data">')[2].partition("</script>")[0]
    (row,) = next(each["rows"] for each in json.loads(embedded)["sets"] if each["split"] == "test")
    assert (row["text"], row["answers"]) == ("What is 60 + 60?", [])
