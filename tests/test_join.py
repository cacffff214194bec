"""Several workers' runs in one: questions are shared out, answers are told apart by their keys."""

import json
import os
import sqlite3
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import sums
from test_old_runs import old_store
from test_store import answer

from potstill.cli import main
from potstill.errors import ConfigError, StoreError
from potstill.exchange.join import join_runs
from potstill.models.settings import OpenAISettings
from potstill.pipeline.part_recipe import part_recipe
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Amount, FinishReason, Question, Request, TokenLogprobs
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.tasks.part import TaskPart

ASKED = Request(prompt="Q: 2 + 2?", samples=(0, 1), temperature=0.7, question_id="q", task="sums")
SILENT = Meter(None)


# the parts ----------------------------------------------------------------------------------------


def test_parts_share_out_the_questions_and_equal_texts_stay_together() -> None:
    task = sums(train=200)
    twice = Question(id="again", text=task.splits["train"][0].text, answer="0")
    task = replace(task, splits={**task.splits, "train": (*task.splits["train"], twice)})
    parts = [TaskPart(number, 4).of(task).splits["train"] for number in (1, 2, 3, 4)]
    assert Counter(q.id for part in parts for q in part) == Counter(
        q.id for q in task.splits["train"]
    )
    assert all(30 <= len(part) <= 70 for part in parts), "about a quarter each"
    (both,) = [part for part in parts if twice in part]
    assert task.splits["train"][0] in both
    assert TaskPart(1, 1).of(task).splits["train"] == task.splits["train"]
    assert TaskPart(2, 4).of(task).splits["test"] == task.splits["test"]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1.5/3", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Give its number and how many there are"):
        TaskPart.parsed(text)


def test_more_parts_than_questions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"none of the 1 training questions is in part"):
        for number in range(1, 4):
            TaskPart(number, 3).of(sums(train=1))


def test_each_part_has_its_share_of_the_limits() -> None:
    teacher = {
        "model": "openai:m", "prompt_price": 1, "completion_price": 1,
        "requests_per_minute": 100, "tokens_per_minute": None,
    }  # fmt: skip
    whole = load_recipe(
        {
            "run": "runs/x", "task": "two_step_arithmetic", "student": "bundled:student",
            "teacher": teacher, "teachers": {"other": "bundled:guide"},
            "budget": {"usd": 10.0, "tokens": 1001},
        }
    )  # fmt: skip
    part = part_recipe(whole, TaskPart(2, 4))
    assert part.run == "runs/x-part-2-of-4"
    assert part.budget is not None and (part.budget.usd, part.budget.tokens) == (2.5, 250)
    assert isinstance(part.teacher, OpenAISettings)
    assert (part.teacher.requests_per_minute, part.teacher.tokens_per_minute) == (25, None)
    assert part.teachers == whole.teachers
    assert part_recipe(whole.model_copy(update={"budget": None}), TaskPart(1, 2)).budget is None


# the join -----------------------------------------------------------------------------------------


def filled(folder: Path, *texts: str, reason: FinishReason = "stop", model: str = "m") -> Path:
    """A run whose store has the answers to one request, by sample."""
    with Store(folder / "run.sqlite") as store:
        answers = [answer(ASKED, sample, text, reason) for sample, text in enumerate(texts)]
        store.add_completions(model, answers, stage="generate")
    return folder


def texts_of(folder: Path, model: str = "m") -> list[str]:
    with Store(folder / "run.sqlite", read_only=True) as store:
        return [stored.completion.text for stored in store.completions(model, ASKED)]


def test_answers_come_together_and_a_second_join_finds_them_there(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "a", "4"), filled(tmp_path / "b", "5", model="other")
    join_runs([first, second], tmp_path / "whole", SILENT)
    joined = join_runs([first, second], tmp_path / "whole", SILENT)
    assert (joined.answers.stored, joined.answers.there, joined.answers.differing) == (0, 2, 0)
    assert texts_of(tmp_path / "whole") == ["4"] and texts_of(tmp_path / "whole", "other") == ["5"]
    with Store(tmp_path / "whole" / "run.sqlite") as store:
        (missing,) = store.missing("m", [ASKED])
        assert missing.samples == (1,)
        assert {one.question_id for one in [ASKED]} == {"q"}
        assert [row[1:] for row in store._db.execute("SELECT * FROM request_questions")] == [
            ("sums", "q"), ("sums", "q"),
        ]  # fmt: skip


def test_of_two_answers_to_one_sample_the_first_stays_and_it_is_said(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "a", "4", "four"), filled(tmp_path / "b", "4", "5")
    joined = join_runs([first, second], tmp_path / "whole", SILENT)
    assert texts_of(tmp_path / "whole") == ["4", "four"]
    assert joined.by_run[str(second)].there == joined.by_run[str(second)].differing == 1


def test_an_answer_takes_the_place_of_a_failure_and_never_the_other_way(tmp_path: Path) -> None:
    failed = filled(tmp_path / "failed", "", reason="error")
    right = filled(tmp_path / "right", "4")
    for order, place in (([failed, right], "one"), ([right, failed], "other")):
        join_runs(order, tmp_path / place, SILENT)
        assert texts_of(tmp_path / place) == ["4"]


def test_probabilities_and_scored_texts_come_along(tmp_path: Path) -> None:
    record = TokenLogprobs(
        logprobs=np.full((2, 2), -1.0, np.float32), ids=np.array([[1, 2], [3, 4]], np.int32)
    )
    with Store(tmp_path / "a" / "run.sqlite") as store:
        one = replace(answer(ASKED, 0), logprobs=record)
        store.add_completions("m", [one], stage="generate")
        store._db.execute("INSERT INTO scored_texts SELECT 'text', 5, key FROM requests")
    join_runs([tmp_path / "a"], tmp_path / "whole", SILENT)
    with Store(tmp_path / "whole" / "run.sqlite", read_only=True) as store:
        (stored,) = store.completions("m", ASKED, logprobs=True)
        assert stored.completion.logprobs is not None
        np.testing.assert_array_equal(stored.completion.logprobs.ids, record.ids)
        assert store._db.execute("SELECT top FROM scored_texts").fetchall() == [(5,)]


def test_what_was_paid_is_known_to_the_joined_run(tmp_path: Path) -> None:
    first = filled(tmp_path / "a", "4", "5", model="openai:m@x")
    journal = [{"spent": True, "tokens": 0, "usd": 0.0}, {"begin": 1, "tokens": 100, "usd": 1.75}]
    (first / "spending.jsonl").write_text("".join(json.dumps(one) + "\n" for one in journal))
    joined = join_runs([first], tmp_path / "whole", SILENT)
    assert joined.spent == Amount(6, 1.0), "two answers of three tokens at half a dollar"
    assert joined.lost == Amount(94, 0.75), "the try without an answer, beyond what is stored"


def test_an_older_store_is_joined_and_left_as_it_is(tmp_path: Path) -> None:
    path = old_store(tmp_path / "old")
    before = path.read_bytes()
    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT count(*) FROM completions").fetchone()
    joined = join_runs([path.parent], tmp_path / "whole", SILENT)
    assert joined.answers.stored == count > 0
    assert path.read_bytes() == before


def test_a_join_that_is_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("potstill.store.joined._REQUESTS_AT_ONCE", 2)
    requests = [replace(ASKED, prompt=str(number)) for number in range(7)]
    with Store(tmp_path / "a" / "run.sqlite") as store:
        store.add_completions("m", [answer(one, 0) for one in requests], stage="generate")
    with (
        Store(tmp_path / "a" / "run.sqlite", read_only=True) as source,
        Store(tmp_path / "whole" / "run.sqlite") as whole,
    ):
        taking = whole.join(source)
        assert (next(taking).stored, next(taking).stored) == (2, 2)
        del taking
        assert [(one.stored, one.there) for one in whole.join(source)] == [
            (0, 2), (0, 2), (2, 0), (1, 0),
        ]  # fmt: skip


def test_a_damaged_or_missing_run_is_refused_in_one_line(tmp_path: Path) -> None:
    good = filled(tmp_path / "a", "4")
    for arguments, words in (
        ([str(good), str(tmp_path / "none"), "--into", "whole"], "none holds no run"),
        ([str(good), "--into", str(good)], "joined into itself"),
        (["--into", "whole"], "Missing argument 'RUNS...'"),
    ):
        done = CliRunner().invoke(main, ["join", *arguments])
        assert done.exit_code == 2 and words in done.output.replace("\n", "")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.sqlite").write_bytes(os.urandom(4096))
    with pytest.raises(StoreError, match="damaged or is not a potstill store"):
        join_runs([tmp_path / "torn"], tmp_path / "whole", SILENT)


def test_workers_and_a_join_come_to_what_one_run_asks(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    whole = tmp_path / "whole"
    values = {
        "run": str(whole),
        "task": {"name": "two_step_arithmetic", "train": 12, "dev": 2, "test": 2},
        "teacher": "bundled:teacher", "student": "bundled:student",
        "generate": {"samples": 2, "max_tokens": 8},
    }  # fmt: skip
    recipe.write_text(json.dumps(values), encoding="utf-8")
    for number in (1, 2):
        done = CliRunner().invoke(
            main, ["generate", str(recipe), "--part", f"{number}/2", "--quiet"]
        )
        assert done.exit_code == 0, done.output
        assert "potstill join" in done.output
    parts = sorted(str(place) for place in tmp_path.glob("whole-part-*-of-2"))
    assert len(parts) == 2 and not whole.exists()
    done = CliRunner().invoke(main, ["join", *parts, "--into", str(whole), "--quiet"])
    assert done.exit_code == 0, done.output
    assert "answers" in done.output
    with Run(load_recipe(recipe)) as run:
        drawn = run.generate()
    assert drawn["teacher"].counts.stored == 0
    assert drawn["teacher"].counts.there == 24


def test_a_task_of_the_array_asks_its_part(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples" / "slurm" / "generate.sbatch"
    potstill = tmp_path / "potstill"
    potstill.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    potstill.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", script, "my recipe.yaml"], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["generate", "my recipe.yaml", "--part", "3/8"]
