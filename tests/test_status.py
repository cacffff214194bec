"""potstill status: how far a run is, from its store, its account and the end of its log."""

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from potstill.cli import main
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.plan.run_status import run_status
from potstill.plan.status_table import work_words
from potstill.records import Completion, Score, System
from potstill.runtime.run_activity import last_activity
from potstill.store import Store, lock_holder
from potstill.store.schema import MIGRATIONS

ROOT = Path(__file__).parents[1]
SPLITS = ("train", "train", "train", "dev", "test")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def begun_run(name: str = "sums", *, answered: int = 2, **teacher_settings: object) -> Path:
    """A run of three questions with two samples each, some of which are answered."""
    rows = [
        {"question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
        for n, split in enumerate(SPLITS)
    ]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "run": name,
        "task": {"file": "q.jsonl"},
        "teacher": {
            "model": "openai:big",
            "base_url": "http://127.0.0.1:9/v1",
            "prompt_price": 1,
            "completion_price": 2,
            **teacher_settings,
        },
        "student": "bundled:student",
        "generate": {"samples": 2},
        "budget": {"usd": 5},
    }
    Path(f"{name}.yaml").write_text(yaml.safe_dump(values))
    with Run(load_recipe(Path(f"{name}.yaml"))) as run:
        teacher = run.teachers.known()
        requests = list(run.asking.requests(run.task.splits["train"], task=run.task.name))
        for request in requests[:answered]:
            completions = [
                Completion(
                    request=request, sample=sample, text="So 4.", finish_reason="stop",
                    completion_tokens=3, prompt_tokens=9,
                )
                for sample in request.samples
            ]  # fmt: skip
            run.store.add_completions(teacher.name, completions, stage="generate")
    journal = {"spent": True, "tokens": 1200, "usd": 0.25}
    Path(name, "spending.jsonl").write_text(json.dumps(journal) + "\n")
    return Path(name)


def logged(folder: Path, *events: Mapping[str, object], end: str = "") -> None:
    """Write a log: one event a second, or at its own time; ``end`` is left behind it."""
    lines = [{"time": 1000.0 + place, **event} for place, event in enumerate(events)]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text + end)


def progress(
    label: str, done: int, total: int | None, seconds: float, tokens: int = 0
) -> dict[str, object]:
    return {
        "event": "progress", "label": label, "done": done, "total": total, "new": done - 100,
        "seconds": seconds, "tokens": tokens, "retries": {"429": 7}, "given_up": {},
    }  # fmt: skip


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", *arguments])


STARTED = {"event": "started", "command": "generate", "version": "0.1.0"}
BEGINS = {"event": "stage_begins", "stage": "generate"}


@pytest.fixture
def held() -> Iterator[Path]:
    """A run that this process writes."""
    folder = begun_run()
    with Store(folder / "run.sqlite"):
        yield folder


# what the log says -------------------------------------------------------------------------------


def test_the_last_command_is_read_with_its_rate_over_the_last_minute(tmp_path: Path) -> None:
    logged(
        tmp_path,
        STARTED | {"command": "plan"},
        {"event": "ended", "seconds": 1.0, "error": "BudgetError"},
        STARTED,
        BEGINS,
        progress("loading", 0, None, 1.0),
        progress("rationales", 100, 400, 0.0),
        progress("rationales", 120, 400, 40.0, 100),
        progress("rationales", 180, 400, 90.0, 700),
        progress("rationales", 200, 400, 100.0, 1000),
        end='{"time":1009,"event":"progr',
    )
    activity = last_activity(tmp_path / "log.jsonl")
    assert activity is not None and activity.work is not None
    assert (activity.command, activity.stage, activity.began) == ("generate", "generate", 1002.0)
    assert not activity.ended and not activity.error and activity.retries == {"429": 7}
    # Rates over 60 s: from 120 at 40 s to 200 at 100 s, and from 100 tokens to 1,000.
    assert activity.work.rate == pytest.approx(80 / 60)
    assert activity.work.token_rate == pytest.approx(15.0)
    assert activity.work.seconds_left == pytest.approx(150.0)
    assert work_words(activity.work) == "rationales 200/400  1.3/s  15 tokens/s  2:30 left"


def test_a_single_line_tells_the_rate_since_the_work_began(tmp_path: Path) -> None:
    logged(tmp_path, STARTED, progress("rationales", 130, 160, 60.0))
    activity = last_activity(tmp_path / "log.jsonl")
    assert activity and activity.work
    assert activity.work.rate == pytest.approx(0.5)  # 100 were there before
    assert activity.work.seconds_left == pytest.approx(60.0)


def test_the_time_that_is_left_is_that_of_all_students(tmp_path: Path) -> None:
    line = {**progress("training answers_only", 130, 160, 60.0), "stage_left": 190}
    logged(tmp_path, STARTED, line)
    activity = last_activity(tmp_path / "log.jsonl")
    assert activity and activity.work
    assert activity.work.seconds_left == pytest.approx(380.0)  # of 190 steps at 0.5 a second
    assert work_words(activity.work).endswith("6:20 left of the stage")


def test_work_of_unknown_length_has_no_time_left(tmp_path: Path) -> None:
    logged(tmp_path, STARTED, progress("loading", 100, None, 75.0))
    activity = last_activity(tmp_path / "log.jsonl")
    assert activity and activity.work and activity.work.seconds_left is None
    assert work_words(activity.work) == "loading, 1:15 so far"


def test_a_log_longer_than_a_block_is_read_back_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.runtime.run_activity.BLOCK", 64)
    retry = {"event": "retry", "kind": "429", "wait": 1, "message": "slow down " * 9}
    logged(tmp_path, STARTED | {"command": "run"}, *[retry] * 20, {"event": "ended", "seconds": 3})
    activity = last_activity(tmp_path / "log.jsonl")
    assert activity and (activity.command, activity.ended, activity.last) == ("run", True, 1021.0)
    assert last_activity(tmp_path / "none.jsonl") is None


# what the run holds ------------------------------------------------------------------------------


def test_what_is_there_and_what_is_missing_is_counted() -> None:
    status = run_status(begun_run())
    states = {one.stage: (one.state, one.done, one.missing) for one in status.stages}
    assert states == {
        "generate": ("begun", 4, 2),
        "curate": ("missing", 0, None),
        "train": ("missing", 0, 2),
        "evaluate": ("missing", 0, None),
        "report": ("missing", 0, 1),
    }
    assert (status.spent.tokens, status.spent.usd, status.limit.usd) == (1200, 0.25, 5)
    assert status.next == "potstill run sums"
    shown = command("sums")
    assert shown.exit_code == 0
    assert "generate  begun    4 samples, 2 missing" in shown.stdout
    assert "spent: $0.25 of $5.00 for 1,200 tokens" in shown.stdout
    assert "no command has worked on it" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize("words", [("status", "sums.yaml"), ("compare", "sums.yaml", "other")])
def test_a_recipe_that_was_not_run_yet_is_answered_with_the_command_that_begins_it(
    words: tuple[str, ...],
) -> None:
    shutil.rmtree(begun_run())
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "sums.yaml was not run yet: sums holds no run. potstill run sums.yaml begins it." in (
        result.stderr
    )


def test_a_recipe_stands_for_its_run() -> None:
    begun_run(answered=3)
    told = command("sums.yaml").stdout
    assert "generate  done     6 samples" in told and "changes it" not in told


def test_a_recipe_that_was_edited_since_is_told_of() -> None:
    begun_run(answered=3)
    edited = Path("sums.yaml")
    edited.write_text(edited.read_text() + "train: {steps: 7}\n")
    told = " ".join(command("sums.yaml").stdout.split())
    assert "told of the run as it is; sums.yaml changes it: train.steps was" in told
    assert "See: potstill plan sums.yaml" in told
    assert "changes it" not in command("sums").stdout


def test_samples_are_rationales_and_final_answers_are_no_samples_of_their_own() -> None:
    part = begun_run(answered=2, chat=False)  # asked in two steps: a rationale, then its answer
    (generate, *_) = run_status(part).stages
    assert (generate.done, generate.missing) == (4, 6)
    assert generate.detail == "4 samples, 2 missing, 4 final answers missing"
    folder = begun_run(answered=3, chat=False)
    # Both rationales of a question are the same text here, whose answer is asked for once.
    assert "generate  begun    6 samples, 3 final answers missing" in command("sums").stdout
    with Run(load_recipe(folder / "recipe.yaml"), is_moved=True) as run:
        teacher, store = run.teachers.known(), run.store
        for request in run.asking.requests(run.task.splits["train"], task=run.task.name):
            for row in store.completions(teacher.name, request):
                final = run.asking.answer_request(row.completion)
                assert final is not None
                completion = Completion(
                    request=final, sample=final.samples[0], text="4.", finish_reason="stop",
                    completion_tokens=1, prompt_tokens=9,
                )  # fmt: skip
                store.add_completions(teacher.name, [completion], stage="generate")
    (generate, *_) = run_status(folder).stages
    assert (generate.state, generate.done, generate.missing) == ("done", 6, 0)
    assert generate.detail == "6 samples"


def test_a_task_from_a_file_is_named_as_on_the_page() -> None:
    assert run_status(begun_run(), counted=False).task == "q"
    assert command("sums").stdout.startswith("sums: q, openai:big into ")


def test_a_run_at_work_says_who_is_at_it_how_fast_and_how_long_still(held: Path) -> None:
    logged(
        held, STARTED, BEGINS,
        progress("rationales of the teacher", 100, 400, 20.0),
        progress("rationales of the teacher", 160, 400, 50.0),
    )  # fmt: skip
    shown = command(str(held)).stdout
    assert f"process {os.getpid()} works on it: potstill generate" in shown
    assert "rationales of the teacher 160/400 2.0/s 2:00 left" in " ".join(shown.split())
    assert "next: potstill status sums" in shown
    values = json.loads(command(str(held), "--json").stdout)
    assert values["holder"] == f"process {os.getpid()}" and values["reached"] == "generate"
    assert values["stages"][0]["state"] == "at work"
    assert values["activity"]["seconds_left"] == 120.0
    assert values["activity"]["work"]["rate"] == 2.0


def test_a_command_that_was_killed_is_told_from_one_that_ended() -> None:
    folder = begun_run()
    logged(folder, STARTED, BEGINS)
    assert "potstill generate, did not come to its end" in command("sums").stdout
    assert json.loads(command("sums", "--json").stdout)["killed"] is True
    logged(folder, STARTED, {"event": "ended", "seconds": 2.0, "error": "BudgetError"})
    assert "potstill generate, ended with BudgetError" in command("sums").stdout
    logged(folder, STARTED, {"event": "interrupted", "signal": 2}, {"event": "ended"})
    assert "potstill generate, was stopped" in command("sums").stdout


def test_failures_are_shown_with_their_reason() -> None:
    folder = begun_run(answered=2)
    with Run(load_recipe(Path("sums.yaml"))) as run:
        *_, request = run.asking.requests(run.task.splits["train"], task=run.task.name)
        failed = Completion(
            request=request, sample=0, text="", finish_reason="error", error="HTTP 400: no \x1b[2J"
        )
        run.store.add_completions(run.teachers.known().name, [failed], stage="generate")
    shown = command(str(folder)).stdout
    assert "1 failed: HTTP 400: no \\x1b[2J" in shown and "\x1b" not in shown


def test_a_training_under_way_tells_its_students_checkpoint_and_loss() -> None:
    folder = begun_run(answered=3)
    trained = folder / "checkpoints" / "answers_only-0123abcd"
    (trained / "checkpoint-000063" / "resume").mkdir(parents=True)
    (trained / "checkpoint-000125" / "resume").mkdir(parents=True)
    (trained / "checkpoint-000188.partial").mkdir()
    state = {"log_history": [{"step": 120, "loss": 0.5, "tokens": 1}, {"step": 125, "other": 1}]}
    (trained / "checkpoint-000125" / "resume" / "trainer_state.json").write_text(json.dumps(state))
    values = {"answers_only": {"of": "x", "values": {"steps": 250}}}
    (folder / "training_values.json").write_text(json.dumps(values))
    status = run_status(folder)
    train = next(one for one in status.stages if one.stage == "train")
    assert (train.state, train.done, train.missing) == ("begun", 0, 2)
    assert train.detail == "0 of 2 students; checkpoint of answers_only at step 125 of 250"
    assert status.newest is not None
    assert (status.newest.student, status.newest.step) == ("answers_only", 125)
    assert (status.newest.loss, status.newest.loss_step) == (0.5, 120)
    finished = {"steps": [125], "log": [[125, 0.25, 900, 3.0]]}
    (trained / "finished.json").write_text(json.dumps(finished))
    status = run_status(folder)
    assert next(one for one in status.stages if one.stage == "train").done == 1
    assert status.newest and (status.newest.loss, status.newest.loss_step) == (0.25, 125)


def test_a_training_of_another_length_is_no_part_of_the_recipes() -> None:
    folder = begun_run(answered=3)
    former = folder / "checkpoints" / "answers_only-0123abcd"
    (former / "checkpoint-000151").mkdir(parents=True)
    (former / "training.json").write_text(json.dumps({"identity": "0", "steps": 300}))
    values = {"answers_only": {"of": "x", "values": {"steps": 30}}}
    (folder / "training_values.json").write_text(json.dumps(values))
    status = run_status(folder)
    assert status.newest is None
    assert next(one for one in status.stages if one.stage == "train").state == "missing"
    own = folder / "checkpoints" / "answers_only-4567abcd"
    (own / "checkpoint-000015").mkdir(parents=True)
    (own / "training.json").write_text(json.dumps({"identity": "4", "steps": 30}))
    os.utime(own, (500, 500))  # the former one was touched last
    status = run_status(folder)
    train = next(one for one in status.stages if one.stage == "train")
    assert train.detail == "0 of 2 students; checkpoint of answers_only at step 15 of 30"
    assert status.newest is not None and status.newest.step == 15


def test_a_report_older_than_the_results_is_stale() -> None:
    folder = begun_run(answered=3)
    score = Score(
        system=System("start"), task="sums", split="test", correct=0, total=1, low=0, high=1,
        no_answer=0, truncated=0,
    )  # fmt: skip
    with Store(folder / "run.sqlite") as store:
        store.replace_evaluation([score], [], [], grader="1", settings_hash="x")
    (folder / "report.html").write_text("")
    os.utime(folder / "report.html", (500, 500))
    logged(folder, STARTED, {"event": "stage_ends", "stage": "evaluate", "seconds": 1})
    states = {one.stage: one.state for one in run_status(folder).stages}
    assert states["report"] == "stale"
    os.utime(folder / "report.html", (2000, 2000))
    states = {one.stage: one.state for one in run_status(folder).stages}
    assert states["report"] == "done"


def test_a_task_that_cannot_be_read_hides_nothing_else() -> None:
    folder = begun_run()
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("q.jsonl", "gone.jsonl"))
    shown = command(str(folder))
    assert shown.exit_code == 0
    assert "note: what is missing is not known: " in shown.stdout
    assert "generate  begun    4 answers" in shown.stdout


# a folder of runs, and what is none --------------------------------------------------------------


def test_a_folder_of_runs_lists_each_on_a_line() -> None:
    begun_run("first")
    begun_run("second")
    Path("runs/deep").mkdir(parents=True)
    Path("first").rename("runs/first")
    Path("second").rename("runs/deep/second")
    Path("runs/broken").mkdir()
    Path("runs/broken/run.sqlite").write_bytes(b"no store at all")
    logged(Path("runs/first"), STARTED, BEGINS, progress("rationales", 100, 400, 5.0))
    with Store(Path("runs/first/run.sqlite")):
        shown = command("runs")
        values = json.loads(command("runs", "--json").stdout)["runs"]
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "broken       unreadable; potstill status runs/broken says why",
        "deep/second  generate begun  $0.25",
        "first        generate at work, 100/400  $0.25",
    ]
    assert [Path(one["folder"]).name for one in values] == ["broken", "second", "first"]
    assert "error" in values[0] and values[1]["reached"] == "generate"


@pytest.mark.parametrize("made", ["nothing", "folder", "file", "newer"])
def test_what_is_no_run_is_one_line(made: str) -> None:
    place = Path("place")
    if made in ("folder", "newer"):
        place.mkdir()
    if made == "file":
        place.write_text("[")
    if made == "newer":
        place = begun_run()
        Path(place, "run.sqlite").unlink()
        with sqlite3.connect(place / "run.sqlite") as db:
            db.execute("PRAGMA user_version = 999")
        db.close()
    shown = command(str(place))
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.startswith("Error: ") and len(shown.stderr.splitlines()) == 1
    assert command(str(place), "--json").stdout == ""


def older_store(folder: Path) -> None:
    """Puts a store of the schema before today's in the place of a run's."""
    path = folder / "run.sqlite"
    for file in folder.glob("run.sqlite*"):
        file.unlink()
    db = sqlite3.connect(path, isolation_level=None)
    for step in MIGRATIONS[:-1]:
        if isinstance(step, str):
            db.executescript(step)
        else:
            step(db, folder)
    db.execute("INSERT INTO stages VALUES ('train', 75.0)")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    db.close()


def test_a_run_of_an_older_potstill_is_left_to_it_also_while_it_works() -> None:
    folder, other = begun_run("sums"), begun_run("more")
    for place in (folder, other):
        older_store(place)
    before = [(place / "run.sqlite").read_bytes() for place in (folder, other)]
    with (folder / "run.lock").open("w") as lock:
        lock.write("process 7\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        shown = command(str(folder))
    assert shown.exit_code == 0, shown.stderr
    assert "process 7 works on it" in shown.stdout and "time: 1:15" in shown.stdout
    compared = CliRunner().invoke(main, ["compare", "sums", "more"])
    assert compared.exit_code == 0, compared.stderr
    assert command(".").exit_code == 0
    assert before == [(place / "run.sqlite").read_bytes() for place in (folder, other)]


# the lock ----------------------------------------------------------------------------------------


def test_asking_for_the_holder_makes_no_file_and_keeps_no_writer_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.sqlite"
    assert lock_holder(path) is None and not list(tmp_path.iterdir())
    with Store(path):
        assert lock_holder(path) == f"process {os.getpid()}"
    assert lock_holder(path) is None
    reader = os.open(path.with_suffix(".lock"), os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)  # as one has it who asks in this very instant
    monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(reader, fcntl.LOCK_UN))
    with Store(path):
        assert lock_holder(path) == f"process {os.getpid()}"
    os.close(reader)


def test_neither_torch_nor_a_model_is_loaded() -> None:
    folder = begun_run()
    code = (
        "import sys; from pathlib import Path; from potstill.plan.run_status import run_status;"
        f"run_status(Path({str(folder)!r}));"
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


def test_workers_on_a_cluster_and_why_some_were_lost_are_told() -> None:
    folder = begun_run()
    worker = {"event": "worker", "model": "openai:big@127.0.0.1:9/v1"}
    logged(
        folder,
        {"event": "started", "command": "generate", "version": "1"},
        *({**worker, "number": n, "status": "ready"} for n in (1, 2, 3)),
        {**worker, "number": 1, "status": "lost", "message": "its node was lost", "samples": 9},
        {**worker, "number": 2, "status": "lost", "message": "its node was lost", "samples": 7},
        {**worker, "number": 4, "status": "starting"},
        {**worker, "number": 5, "status": "ready"},
    )
    activity = last_activity(folder / "log.jsonl")
    assert activity is not None and activity.workers.at_work == 2
    lost = "2 workers were lost, and what they had in flight was asked again: its node was lost"
    shown = command("sums").stdout
    assert lost in " ".join(shown.split()) and "at work on the cluster" not in shown
    with (folder / "run.lock").open("w") as held:
        held.write("process 7\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "workers at work on the cluster: 2" in command("sums").stdout
