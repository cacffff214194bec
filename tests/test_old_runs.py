"""A run made before systems were columns opens, reports and goes on; see ``data/``.

``data/run_of_schema_5`` holds the store, as SQL, the recipe and the results of a small run of that
version: two students from two starts, two selection rules that disagree, votes, a further data
format and guidance. ``models.json`` says by what name the store knows each model.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from potstill.cli import main
from potstill.errors import StoreError
from potstill.models.settings import LocalSettings
from potstill.pipeline.run import stored_run
from potstill.records import Completion, System
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.store.old_names import OldNames
from potstill.store.schema import MIGRATIONS

DATA = Path(__file__).parent / "data" / "run_of_schema_5"
MODELS: dict[str, str] = json.loads((DATA / "models.json").read_text())


def old_store(folder: Path) -> Path:
    path = folder / "run.sqlite"
    folder.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    db.executescript((DATA / "run.sql").read_text())
    db.close()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder as the older version left it, but for the weights."""
    run = tmp_path / "run"
    old_store(run)
    shutil.copy(DATA / "recipe.yaml", run)
    for place in MODELS:
        if place.startswith("checkpoints/"):
            (run / place).mkdir(parents=True)
            (run / place / "config.json").write_text("{}")
    return run


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_an_older_run_reports_what_it_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    done = CliRunner().invoke(main, ["report", "run/recipe.yaml"])
    assert done.exit_code == 0, done.output
    then = json.loads((DATA / "summary.json").read_text())
    now = summary_of(folder)
    assert now["notes"].pop().startswith("An older potstill made the rationales, the students, the")
    assert {name: now[name] for name in then} == then
    assert list(now["tasks"]["fact_chain"]) == list(then["tasks"]["fact_chain"])
    page = (folder / "report.html").read_text()
    for words in (
        "“rationales_all” from big_one, by vote",
        "“answers” from same, asked in zero_shot_cot",
        "Start big_one, asked for the answer",
    ):
        assert words in page


def test_systems_of_an_older_run_are_read_apart_once(folder: Path) -> None:
    with Store(folder / "run.sqlite", read_only=True) as store:
        tested = {s.system for s in store.scores() if s.split == "test"}
        students = {c.system for c in store.checkpoints()}
        assert students == {line.system for line in store.training()}
        assert students == {choice.system for choice in store.choices()}
        assert {p.system for p in store.predictions()} == tested
        compared = {c.first for c in store.comparisons()} | {c.second for c in store.comparisons()}
        assert compared <= tested
    assert students == {
        System(student, start)
        for student in ("answers", "rationales_all")
        for start in ("same", "big_one")
    }
    assert {system for system in tested if system.model in ("teacher", "start")} == {
        System("teacher"),
        *(
            System("start", start, variant)
            for start in (None, "big_one")
            for variant in ("zero_shot", "", "zero_shot_cot")
        ),
    }
    assert System("rationales_all", "big_one", "vote", step=2) in tested
    assert [system for system in tested if not system.taken] == [
        System("answers", "big_one", step=4, taken=False)
    ]


def test_policies_of_an_older_run_keep_their_labels(folder: Path) -> None:
    db = sqlite3.connect(folder / "run.sqlite")
    scored = [name for (name,) in db.execute("SELECT policy FROM guided_scores ORDER BY rowid")]
    answered = {name for (name,) in db.execute("SELECT policy FROM guided_predictions")}
    db.close()
    with Store(folder / "run.sqlite", read_only=True) as store:
        assert [score.policy.label for score in store.guided_scores()] == scored
        assert {answer.policy.label for answer in store.guided_predictions()} == answered
        policies = {score.policy for score in store.guided_scores()}
        assert {answer.policy for answer in store.guided_predictions()} <= policies


class Answered:
    """A model of the run that has answered everything; it refuses to be asked."""

    chat = False
    scores_texts = False

    def __init__(self, name: str) -> None:
        self.name = name

    def opened(self) -> "Answered":
        return self

    def complete(self, requests: Any) -> Iterator[Completion]:
        raise AssertionError(f"{self.name} was asked again: {next(iter(requests))}")

    complete_in_groups = complete


def test_an_older_run_goes_on_and_asks_nothing_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def opened(settings: LocalSettings, *_: object, **__: object) -> Answered:
        place = settings.model.removeprefix(f"hf:{folder}/")
        return Answered(MODELS[place])

    monkeypatch.setattr("potstill.pipeline.students.open_model", opened)
    monkeypatch.setattr("potstill.pipeline.teachers.open_model", opened)
    with stored_run(folder, Meter(None)) as run:
        run.evaluate()
        run.report()
    assert "since its last command" not in caplog.text  # its settings say the same as then
    then, now = json.loads((DATA / "summary.json").read_text()), summary_of(folder)
    assert now["notes"].pop().startswith("An older potstill made the rationales, the students and")
    for results in (then, now):  # an interval of few questions is another one by now
        for comparison in results["comparisons"]:
            del comparison["low"], comparison["high"]
    assert {name: now[name] for name in then} == then
    assert (folder / "model" / "README.md").exists()


def test_an_older_run_is_exported(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "rationales.jsonl"
    done = CliRunner().invoke(main, ["export", str(folder), str(file)])
    assert done.exit_code == 0, done.output
    assert len(file.read_text().splitlines()) == 16


def test_an_older_run_that_is_being_written_says_so(folder: Path) -> None:
    path = folder / "run.sqlite"
    lock = path.with_suffix(".lock")
    lock.touch()
    import fcntl

    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"of schema 5, older than .* being written by"):
            Store(path, read_only=True)


def test_a_step_that_fails_leaves_the_older_file_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "run.sqlite"

    def fails(db: sqlite3.Connection, place: Path) -> None:
        db.execute("DELETE FROM predictions")
        raise RuntimeError("power cut")

    steps = (*MIGRATIONS[:5], fails)
    monkeypatch.setattr("potstill.store.database.MIGRATIONS", steps)
    with pytest.raises(RuntimeError, match="power cut"):
        Store(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (5,)
    assert db.execute("SELECT count(*) FROM predictions").fetchone() == (80,)
    db.close()


def test_without_its_recipe_the_scores_say_where_a_students_name_ends(tmp_path: Path) -> None:
    with Store(old_store(tmp_path)) as store:
        students = {checkpoint.system for checkpoint in store.checkpoints()}
    # "same" is the recipe's own student, so that no system is called start_same.
    assert students == {
        System("answers", "big_one"),
        System("rationales_all", "big_one"),
        System("answers_same"),
        System("rationales_all_same"),
    }


BASELINES = {"teacher", "start", "start_zero_shot"}


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("ours", System("ours")),
        ("ours@20", System("ours", step=20, taken=False)),
        ("ours_vote", System("ours", variant="vote")),
        ("ours_vote_zero_shot_cot", System("ours", variant="vote_zero_shot_cot")),
        ("pair_teacher_questions", System("pair", variant="teacher_questions")),
        ("start_own", System("start", "own")),
        ("start_own_few_shot", System("start", "own", "few_shot")),
        ("own", System("own")),
        ("a_b_c", System("a_b", "c")),  # the last of a name won
        ("a_b_c_vote", System("a_b", "c", "vote")),
        ("weights_mean", System("weights_mean")),  # a merged model, no name of this recipe
    ],
)
def test_old_names(name: str, system: System) -> None:
    recipe: dict[str, Any] = {
        "train": {"students": {"a": {}, "a_b": {}}, "starts": {"b_c": {}, "c": {}}}
    }
    names = OldNames(
        systems=BASELINES | {"start_own", "start_own_zero_shot"},
        students=["ours", "own", "pair", "a_b_c", "a_c", "a_b_b_c"],
        recipe=recipe,
    )
    assert names.system(name) == system


WORD = st.text("ab", min_size=1, max_size=3)
WORDS = st.lists(WORD, min_size=1, max_size=3).map("_".join)


@given(
    students=st.lists(WORDS, max_size=4),
    starts=st.lists(WORDS, max_size=3),
    name=WORDS | st.sampled_from(["start_a", "a_vote", "teacher", "start_b_zero_shot"]),
)
def test_an_old_name_is_the_label_of_its_system(
    students: list[str], starts: list[str], name: str
) -> None:
    measured = {f"start_{start}{way}" for start in starts for way in ("", "_zero_shot")}
    swept = [f"{student}_{start}" for student in students for start in starts]
    names = OldNames(BASELINES | measured, [*students, *swept], recipe={})
    for known in (name, *students, *swept, *measured):
        assert names.system(known).label == known
    for student in (*students, *swept):
        assert names.system(f"{student}@30").label == f"{student}@30"
