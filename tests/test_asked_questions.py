"""Which questions a stored request asks, through the commands: renamed files, new ids, twins."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from exchange_runs import SPLITS
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
        self, rows: list[dict[str, str]], *, file: str = "sums.csv", ids: bool = False
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
        }
        self.recipe.write_text(yaml.safe_dump(values))

    def do(self, command: str, *arguments: object) -> str:
        return done(command, self.recipe, *arguments)

    def regrade(self) -> str:
        """What grading again says, by the recipe as it is now."""
        folder = self.folder / self.name
        shutil.copy(self.recipe, folder / "recipe.yaml")
        return done("regrade", folder)

    def exported(self, what: str = "completions") -> list[dict[str, Any]]:
        file = self.folder / f"{what}.jsonl"
        self.message = self.do("export", file, "--what", what, "--overwrite")
        return [json.loads(line) for line in file.read_text().splitlines()]


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
    assert "6 are not known" in run.message  # the final answers, until generate names them
    run.do("generate")
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
