"""potstill check tells every damage of a run; potstill clean removes only what nothing needs."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_models import build_tiny_causal
from tiny_runs import PLACE, finished_run

from potstill.checksums import REMOVED, write_checksums
from potstill.cli import main
from potstill.errors import StoreError
from potstill.pipeline.run import stored_run
from potstill.pipeline.run_check import check_run
from potstill.pipeline.run_clean import remove, superseded
from potstill.pipeline.stale import StaleStage
from potstill.records import (
    Choice,
    Comparison,
    Completion,
    Prediction,
    Request,
    Score,
    System,
    TokenLogprobs,
    TrainingStep,
)
from potstill.runtime.progress import Meter
from potstill.store import Stage, Store
from potstill.store.integrity import store_faults

LATER = PLACE.replace("000002", "000004")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with rows in the tables, and two checkpoints, of which one is taken."""
    folder = tmp_path_factory.mktemp("whole") / "sums"
    start = build_tiny_causal(folder.with_name("start"), "qwen3")
    finished_run(folder, start, start, sign="+")
    shutil.copytree(folder / PLACE, folder / LATER)
    for checkpoint in (PLACE, LATER):
        write_checksums(folder / checkpoint)
    write_checksums(folder / "model")
    probabilities = TokenLogprobs(
        logprobs=np.log(np.array([[0.5, 0.5, 0.25], [0.1, 0.6, 0.1]], np.float32)),
        ids=None,
        token_bytes=b"aabbcd",
        lengths=np.ones((2, 3), np.uint16),
    )
    request = Request(prompt="2?", top_logprobs=2)
    system = System("rationales", step=4)
    with Store(folder / "run.sqlite") as store:
        answer = Completion(
            request=request, sample=0, text="aa", finish_reason="stop", logprobs=probabilities
        )
        store.add_completions("openai:m", [answer], stage="generate")
        (made,) = store.checkpoints()
        later = replace(made, step=4, folder=LATER)
        steps = [TrainingStep(student="rationales", start=None, step=step, loss=1.0 / step,
                              tokens=10 * step, seconds=1.0) for step in (2, 4)]  # fmt: skip
        store.replace_training(steps, [made, later], settings_hash="x")
        predictions = [
            Prediction(system=system, task="sums_questions", question_id=name, text="So.",
                       answer="4", correct=name == "a", finish_reason="stop", completion_tokens=2)
            for name in ("a", "b")
        ]  # fmt: skip
        score = Score(system=system, task="sums_questions", split="test", correct=1, total=2,
                      low=0.1, high=0.9, no_answer=0, truncated=0)  # fmt: skip
        comparison = Comparison(
            task="sums_questions", first=system, second=System("start"), only_first=1,
            only_second=0, total=2, difference=0.5, low=0.0, high=1.0, p_value=1.0,
        )  # fmt: skip
        choice = Choice(student="rationales", rule="in_distribution", step=4, used=True)
        store.replace_evaluation(
            [score], predictions, [comparison], [choice], grader="1", settings_hash="x"
        )
    return folder


@pytest.fixture(autouse=True)
def nothing_is_stale(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are made by hand, by no recipe."""
    if "stale" not in request.node.name:
        for module in ("run_check", "run_clean"):
            monkeypatch.setattr(f"potstill.pipeline.{module}.stale_stages", lambda _: [])
        monkeypatch.setattr("potstill.pipeline.run_clean.untrained_students", lambda _: [])


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "sums"
    shutil.copytree(whole, folder)
    return folder


def sql(*statements: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        with sqlite3.connect(run / "run.sqlite") as db:
            for statement in statements:
                db.execute(statement)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    return damage


def bytes_at(share: float, count: int = 64) -> Callable[[Path], None]:
    """Other bytes at a share of the file; from 1 on, at so many bytes."""

    def damage(run: Path) -> None:
        sql()(run)
        path = run / "run.sqlite"
        content = bytearray(path.read_bytes())
        place = int(share if share >= 1 else len(content) * share)
        content[place : place + count] = b"\xa5" * count
        path.write_bytes(content)

    return damage


def root_page(run: Path) -> None:
    """The page on which the completions begin."""
    with sqlite3.connect(run / "run.sqlite") as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'completions'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray((run / "run.sqlite").read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    (run / "run.sqlite").write_bytes(content)


def cut(share: float) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        sql()(run)
        path = run / "run.sqlite"
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return damage


PLAIN = (
    f"UPDATE logprobs SET logprobs = x'{6 * '000080bf'}', token_bytes = x'616162626364',"
    f" lengths = x'{6 * '0100'}'"
)
"""Makes token probabilities those of an older potstill, with -1 in the place of each."""

DAMAGES: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda run: (run / "run.sqlite").write_bytes(b""),
    "a text": lambda run: (run / "run.sqlite").write_text("no store\n" * 200),
    "half a file": cut(0.5),
    "a header alone": cut(0.002),
    "another header": bytes_at(0.0, 16),
    "a page of noise": root_page,
    "the schema overwritten": bytes_at(100, 60),  # where the schema's first page says what it has
    "a table gone": sql("DROP TABLE logprobs"),
    "a column gone": sql("ALTER TABLE scores RENAME COLUMN low TO lowest"),
    "a newer version": sql("PRAGMA user_version = 999"),
    "no version": sql("PRAGMA user_version = 0"),
    "a request changed": sql("UPDATE requests SET body = replace(body, '2?', '3?')"),
    "a request of no JSON": sql("UPDATE requests SET body = 'x' WHERE model = 'openai:m'"),
    "a request of another model": sql("UPDATE requests SET model = 'openai:other'"),
    "a request gone": sql("DELETE FROM requests WHERE model = 'openai:m'"),
    "a completion gone": sql("DELETE FROM completions WHERE id = 1"),
    "tokens below zero": sql("UPDATE completions SET completion_tokens = -1 WHERE id = 1"),
    "an endless cost": sql("UPDATE completions SET cost = 9e999 WHERE id = 1"),
    "words for a number": sql("UPDATE completions SET max_tokens = 'many' WHERE id = 1"),
    "bytes for a text": sql("UPDATE completions SET text = x'ff00' WHERE id = 1"),
    "no UTF-8": sql("UPDATE completions SET text = CAST(x'ff41' AS TEXT) WHERE id = 1"),
    "an unknown end": sql("UPDATE completions SET finish_reason = '' WHERE id = 1"),
    "a failure that was kept": sql("UPDATE completions SET finish_reason = 'error', error = 'x'"),
    "probabilities cut": sql("UPDATE logprobs SET logprobs = substr(logprobs, 1, 7)"),
    "probabilities above one": sql(PLAIN, f"UPDATE logprobs SET logprobs = x'{6 * '0000803f'}'"),
    "other probabilities": sql(PLAIN),
    "names cut": sql(PLAIN, "UPDATE logprobs SET token_bytes = x'616162'"),
    "names as text": sql(PLAIN, "UPDATE logprobs SET token_bytes = 'aabbcd'"),
    "no names": sql(PLAIN, "UPDATE logprobs SET lengths = NULL, token_bytes = NULL"),
    "ids and names": sql(PLAIN, "UPDATE logprobs SET ids = logprobs"),
    "more tokens": sql("UPDATE logprobs SET tokens = 5"),
    "collisions": sql("UPDATE logprobs SET collisions = 4"),
    "kept without an answer": sql("UPDATE rationales SET answer = NULL"),
    "a rationale of no completion": sql("UPDATE rationales SET completion_id = completion_id + 99"),
    "another sample": sql("UPDATE rationales SET sample = 3"),
    "more right than asked": sql("UPDATE scores SET correct = 3"),
    "a score beside its interval": sql("UPDATE scores SET low = 0.8"),
    "a score of other answers": sql("UPDATE scores SET correct = 2, high = 1.0"),
    "a verdict turned": sql("UPDATE predictions SET correct = 0"),
    "a prediction gone": sql("DELETE FROM predictions WHERE question_id = 'a'"),
    "a difference turned": sql("UPDATE comparisons SET difference = -0.5"),
    "a p-value of two": sql("UPDATE comparisons SET p_value = 2.0"),
    "steps below zero": sql("UPDATE training SET step = -step"),
    "tokens that go back": sql("UPDATE training SET tokens = 1 WHERE step = 4"),
    "a checkpoint elsewhere": sql("UPDATE checkpoints SET folder = '../../etc' WHERE step = 2"),
    "weights gone": lambda run: (run / PLACE / "model.safetensors").unlink(),
    "a checkpoint gone": lambda run: shutil.rmtree(run / LATER),
    "a bit of a checkpoint": lambda run: (run / LATER / "config.json").write_text("{}"),
    "the model damaged": lambda run: (run / "model" / "model.safetensors").write_bytes(b"x"),
    "the model emptied": lambda run: [*map(os.remove, (run / "model").iterdir())],
    "the account damaged": lambda run: (run / "spending.jsonl").write_text("x\n"),
    "no recipe": lambda run: (run / "recipe.yaml").unlink(),
    "a damaged recipe": lambda run: (run / "recipe.yaml").write_text("a: &a [*a]"),
    "the model gone": lambda run: shutil.rmtree(run / "model"),
    "a mark emptied": lambda run: (run / PLACE).parent.joinpath("finished.json").write_bytes(b""),
}


def test_a_whole_run_is_whole_and_nothing_is_written(run: Path) -> None:
    sql()(run)
    files = [path for path in run.rglob("*") if path.is_file() and "sqlite-" not in path.name]
    before = {path: path.stat().st_mtime_ns for path in files}
    result = CliRunner().invoke(main, ["check", str(run)])
    assert result.exit_code == 0, result.output
    assert "is whole: 4 completions, 2 checkpoints" in result.output
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls", "pause_turn"])
def test_an_end_in_the_servers_own_words_is_no_damage(run: Path, reason: str) -> None:
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        db.execute("UPDATE completions SET finish_reason = ?", (reason,))
        db.execute("UPDATE rationales SET verdict = 'unfinished'")
    assert store_faults(run / "run.sqlite") == []


def test_what_is_stale_is_told_with_the_commands_to_repeat(run: Path) -> None:
    """The teacher that is named in the store is none of the recipe's."""
    faults = check_run(run).faults
    assert [(fault.where, fault.way_out) for fault in faults] == [
        ("curate", f"potstill generate {run}, then potstill curate {run}"),
        ("train", f"potstill train {run}"),
        ("evaluate", f"potstill evaluate {run}"),
    ]
    with stored_run(run, Meter(None)) as opened:
        assert superseded(opened) == []  # who knows what the trainings to come will need


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_is_told_with_a_way_out(run: Path, damage: Callable[[Path], object]) -> None:
    damage(run)
    checked = check_run(run)
    assert checked.faults
    assert all(fault.where and fault.fault and fault.way_out for fault in checked.faults)


def told(run: Path) -> list[tuple[str, str]]:
    return [(fault.where, fault.fault) for fault in check_run(run).faults]


def test_a_missing_account_is_told_where_answers_were_bought(run: Path) -> None:
    (run / "spending.jsonl").unlink(missing_ok=True)
    assert told(run) == []  # nothing was paid for
    sql(
        "UPDATE completions SET prompt_tokens = 5, completion_tokens = 7, cost = 0.25"
        " WHERE request_key = (SELECT key FROM requests WHERE model = 'openai:m')"
    )(run)
    ((where, fault),) = told(run)
    assert where == "spending.jsonl"
    assert "the file is missing, though answers were bought (12 tokens and $0.2500" in fault
    (run / "spending.jsonl").write_text('{"spent": true, "tokens": 12, "usd": 0.25}\n')
    assert told(run) == []
    (run / "spending.jsonl").unlink()
    sql("UPDATE completions SET stage = 'import'")(run)
    assert told(run) == []  # another run paid


def test_a_missing_model_is_told_where_a_student_was_chosen(run: Path) -> None:
    shutil.rmtree(run / "model")
    (fault,) = check_run(run).faults
    assert (fault.where, fault.fault) == (
        "model", "the folder is missing, though a student was chosen"
    )  # fmt: skip
    assert fault.way_out.startswith(f"potstill evaluate {run}")
    for command in (["ask", str(run), "1?"], ["serve", str(run)]):
        refused = CliRunner().invoke(main, command)
        assert refused.exit_code == 2
        assert "model is missing, though a student was chosen. Run potstill evaluate" in (
            refused.output
        )
    sql("DELETE FROM choices")(run)
    assert told(run) == []


@pytest.mark.parametrize(
    ("stage", "place"), [("evaluate", "model"), ("train", PLACE), ("train", LATER)]
)
def test_missing_checksums_are_told(run: Path, stage: Stage, place: str) -> None:
    (run / place / "checksums.sha256").unlink()
    weights = run / place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    checked = check_run(run)
    assert checked.faults == []  # of results that a version without checksums may have made
    assert any(note.startswith(f"{place}: checksums.sha256 is missing") for note in checked.notes)
    with Store(run / "run.sqlite") as store:
        store.keep_provenance(stage, {"seed": 0}, settings_hash="x", recipe_hash="r")
    (fault,) = check_run(run).faults
    assert (fault.where, fault.fault.partition(",")[0]) == (place, "checksums.sha256 is missing")
    assert f"potstill {stage} {run}" in fault.way_out


@pytest.mark.parametrize("lost", ["tokenizer.json", "config.json", "model.safetensors"])
def test_a_student_without_a_file_of_its_folder_is_damaged(run: Path, lost: str) -> None:
    (run / "model" / lost).unlink()
    refused = CliRunner().invoke(main, ["ask", str(run), "1?"])
    assert refused.exit_code == 2
    assert f"model is damaged: {lost} is missing." in refused.output
    assert "written again by potstill evaluate" in refused.output


COMMANDS = (["report"], ["ask", "1?"], ["export"], ["curate"], ["plan"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_emptied_store_is_told_as_what_it_is(run: Path, command: list[str]) -> None:
    sql()(run)
    (run / "run.sqlite").write_bytes(b"")
    name, *rest = command
    if name == "export":
        rest = [str(run.with_name("out.jsonl"))]
    refused = CliRunner().invoke(main, [name, str(run), *rest])
    assert refused.exit_code == 2
    assert refused.output.count("Error: ") == 1
    assert "run.sqlite is empty, though it was not: checkpoints, model beside it" in refused.output
    assert (run / "run.sqlite").stat().st_size == 0


def test_a_store_that_a_killed_writer_left_empty_is_begun(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"")
    with pytest.raises(StoreError, match=r"run\.sqlite is empty\. Restore it from a copy"):
        Store(tmp_path / "run.sqlite", read_only=True)
    with Store(tmp_path / "run.sqlite") as store:
        assert not store.has_results()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE scores", "no such table: scores"),
        ("ALTER TABLE scores RENAME COLUMN low TO lowest", "no such column: low"),
        ("PRAGMA user_version = 0", "already exists"),
    ],
)
def test_a_store_of_other_tables_is_told_as_damaged(run: Path, statement: str, words: str) -> None:
    sql(statement)(run)
    refused = CliRunner().invoke(main, ["report", str(run)])
    assert refused.exit_code == 2
    assert "run.sqlite is damaged or is not a potstill store" in refused.output
    assert words in refused.output
    assert f"potstill check {run} says what is wrong" in refused.output
    assert "free some space" not in refused.output


def test_a_damage_names_its_table(run: Path) -> None:
    sql("UPDATE logprobs SET collisions = 4")(run)
    result = CliRunner().invoke(main, ["check", str(run)])
    assert result.exit_code == 1
    assert "run.sqlite, logprobs" in result.output
    assert "check: 1 fault in" in result.output
    (fault,) = store_faults(run / "run.sqlite")
    assert fault.table == "logprobs"
    assert fault.fault == "those of completion 4 count other collisions than they have"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "is no run" in result.output


# Media that cannot be written


def read_only_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite opens a WAL file on such a medium only as one that does not change."""
    connect: Any = sqlite3.connect

    def on_medium(name: object, *rest: object, **options: object) -> Any:
        if "mode=ro" in str(name) and "immutable" not in str(name):
            return connect(":memory:", factory=Refusing)
        return connect(name, *rest, **options)

    monkeypatch.setattr("sqlite3.connect", on_medium)


class Refusing(sqlite3.Connection):
    def execute(self, *_: object) -> sqlite3.Cursor:
        raise sqlite3.OperationalError("unable to open database file")


@pytest.mark.parametrize("left", [False, True])
def test_a_run_on_a_medium_that_cannot_be_written_is_read(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left: bool
) -> None:
    writer = sqlite3.connect(run / "run.sqlite")
    writer.execute("INSERT INTO stages VALUES ('train', 2.5)")
    writer.commit()
    medium = tmp_path / "medium"
    shutil.copytree(run, medium) if left else None
    writer.close()
    if not left:
        shutil.copytree(run, medium)
    assert bool(list(medium.glob("run.sqlite-wal"))) is left
    names = {path.name for path in medium.iterdir()}
    with monkeypatch.context() as patch:
        read_only_sqlite(patch)
        with Store(medium / "run.sqlite", read_only=True) as store:
            assert [stage.seconds for stage in store.stages()] == [2.5]
            assert len(store.checkpoints()) == 2
        assert store_faults(medium / "run.sqlite") == []
    assert {path.name for path in medium.iterdir()} == names


def test_the_report_of_a_run_that_cannot_be_written_comes_to_the_working_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: path != run and access(path, mode))
    monkeypatch.chdir(tmp_path)
    with stored_run(run, Meter(None), read_only=True) as opened:
        assert opened.report().html == tmp_path / "report-of-sums" / "report.html"


# clean


def test_clean_removes_what_was_not_chosen_and_says_how_much(run: Path) -> None:
    weights = run / PLACE / "model.safetensors"
    size = weights.stat().st_size
    (run / LATER / "resume").mkdir()
    (run / LATER / "resume" / "optimizer.pt").write_bytes(b"12345")
    (run / LATER).parent.joinpath("finished.json").write_text('{"steps": [2, 4]}')
    (run / ".model.unfinished").mkdir()
    (run / ".report.html.99.unfinished").write_bytes(b"123")
    stale = run / "checkpoints" / "rationales-former"
    stale.mkdir()
    (stale / "finished.json").write_text("{}")
    interrupted = run / "checkpoints" / "rationales-begun" / "checkpoint-000002" / "resume"
    interrupted.mkdir(parents=True)
    refused = CliRunner().invoke(main, ["clean", str(run)], input="n\n")
    assert refused.exit_code == 1
    assert f"{size:,} bytes  {PLACE}: weights of a checkpoint that was not chosen" in refused.output
    assert f"Remove these {size + 5 + 3 + 2:,} bytes?" in refused.output
    unanswered = CliRunner().invoke(main, ["clean", str(run)])
    assert unanswered.exit_code == 2
    assert "Give --yes to remove without being asked" in unanswered.output
    assert weights.exists()
    result = CliRunner().invoke(main, ["clean", str(run), "--yes"])
    assert result.exit_code == 0, result.output
    assert not weights.exists()
    assert (run / PLACE / REMOVED).exists()
    assert (run / LATER / "model.safetensors").exists()
    assert not (run / LATER / "resume").exists()
    assert not stale.exists()
    assert interrupted.exists()
    assert not list(run.glob(".*.unfinished"))
    again = CliRunner().invoke(main, ["clean", str(run), "--yes"])
    assert "holds nothing that could go" in again.output
    checked = CliRunner().invoke(main, ["check", str(run)])
    assert "2 checkpoints, 1 of them removed by potstill clean" in checked.output
    assert checked.exit_code == 0


def test_clean_keeps_all_checkpoints_where_none_was_chosen(run: Path) -> None:
    sql("DELETE FROM choices")(run)
    with stored_run(run, Meter(None)) as opened:
        assert superseded(opened) == []


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_clean_keeps_former_trainings_where_a_stage_is_stale(
    run: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    former = run / "checkpoints" / "rationales-former"
    former.mkdir()
    (former / "finished.json").write_text('{"steps": []}')
    outdated = StaleStage(stage, (), (), (stage,))
    clean = "potstill.pipeline.run_clean"
    monkeypatch.setattr(f"{clean}.untrained_students", lambda _: [])
    with stored_run(run, Meter(None)) as opened:
        monkeypatch.setattr(f"{clean}.stale_stages", lambda _: [outdated])
        assert superseded(opened) == []
        monkeypatch.setattr(f"{clean}.stale_stages", lambda _: [])
        assert former in [thing.path for thing in superseded(opened)]


def test_a_removal_that_was_killed_is_ended_by_the_next(run: Path) -> None:
    (run / PLACE / REMOVED).write_text("removed\n")
    with stored_run(run, Meter(None)) as opened:
        (thing,) = superseded(opened)
        remove([thing])
        assert superseded(opened) == []
    assert not (run / PLACE / "model.safetensors").exists()


def test_a_removed_checkpoint_answers_from_the_store_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name under which its answers are stored is told by its checksums."""
    with stored_run(run, Meter(None)) as opened:
        (checkpoint,) = [one for one in opened.store.checkpoints() if one.folder == PLACE]
        name = opened.students._open_student(checkpoint).name
        remove(superseded(opened))
        monkeypatch.setattr("potstill.models.local.model.HFModel.__init__", None)
        assert opened.students._open_student(checkpoint).name == name
