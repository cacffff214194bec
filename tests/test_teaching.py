"""Runs with several teachers, over real HTTP and with the bundled models."""

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import Commands, until
from loopback import Body, Fault, Loopback, prompt_of
from several_teachers import QUIET, write_recipe

from potstill.cli import main
from potstill.errors import ConfigError, ModelError
from potstill.grading.grade import GRADER_VERSION
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.train.teacher_texts import TeacherTexts


def adds(body: Body) -> list[str]:
    """Adds rightly, in words of its own for every choice."""
    prompt, seed = prompt_of(body), body.get("seed", 0)
    total = sum(map(int, prompt.partition("What is ")[2].partition("?")[0].split(" + ")))
    ways = (sha256(f"{seed + n} {prompt}".encode()).hexdigest() for n in range(body.get("n", 1)))
    end = f"The answer is {total}."
    if body.get("stop") == ["\n"]:  # what comes behind a line's end is not wanted
        return [end for _ in ways]
    return [f"Way {way[:8]}: add them.\n{end}" for way in ways]


def counts(body: Body) -> list[str]:
    """Is always one too high."""
    return [text.replace("add", "count").replace(".\n", " on fingers.\n") for text in adds(body)]


@pytest.fixture
def servers() -> Iterator[tuple[Loopback, Loopback]]:
    with Loopback(adds) as one, Loopback(counts) as two:
        yield one, two


def at(server: Loopback, **changes: Any) -> dict[str, Any]:
    return {"model": "openai:m", "base_url": server.url, "api_key_env": None, "retries": 0,
            **changes}  # fmt: skip


def run(path: Path, *changes: str) -> Run:
    return Run(load_recipe(path, changes), QUIET)


def test_every_teacher_is_asked_and_nothing_twice(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    path = write_recipe(tmp_path / "r.yaml", [at(one), at(two, chat=False)])
    with run(path) as made:
        drawn = made.generate()
        assert {name: each.counts.stored for name, each in drawn.items()} == {"teacher": 8, "b": 8}
        assert made.curate() == {"kept": 16}
    assert one.paths == ["/v1/chat/completions"] * 4
    assert set(two.paths) == {"/v1/completions"}
    asked = len(two.bodies)
    with run(path) as made:
        assert made.generate()["b"].counts.there == 8
        assert {each.teacher for each in made.store.rationales()} == {"teacher", "b"}
    assert (len(one.bodies), len(two.bodies)) == (4, asked)


def test_a_debate_over_http_buys_each_round_once(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    path = write_recipe(
        tmp_path / "r.yaml", [at(one), at(two)],
        generate={"samples": 2, "debate": {"rounds": 2}}, curate={"right_answer": False},
    )  # fmt: skip
    for _ in range(2):
        with run(path) as made:
            made.generate()
            made.curate()
    # a request for both samples at first, then one for each sample and round
    assert len(one.bodies) == len(two.bodies) == 4 + 2 * 2 * 4
    with run(path) as made:
        assert [each.round for each in made.store.teacher_scores()] == [0, 1, 2] * 3
    assert all("on fingers" in prompt_of(body) for body in one.bodies[4:])


def test_a_teacher_that_fails_keeps_nobody_from_being_asked(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    one.faults = [Fault(status=401)] * 4
    path = write_recipe(
        tmp_path / "r.yaml", [at(one, concurrency=1), at(two)],
        generate={"samples": 2, "debate": {"rounds": 1}},
    )  # fmt: skip
    with run(path) as made, pytest.raises(ModelError, match=r"teacher: .*What b wrote is stored"):
        made.generate()
    asked = len(two.bodies)
    assert asked == 4, "no debate without everybody's first answers"
    one.faults = []
    with run(path) as made:
        assert made.generate()["b"].counts.there == 8
    assert len(two.bodies) == asked + 2 * 4


def test_teachers_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, _ = servers
    path = write_recipe(tmp_path / "r.yaml", [at(one), at(one, concurrency=2)])
    with run(path) as made, pytest.raises(ConfigError, match="cannot be told apart"):
        made.generate()
    assert len(one.bodies) == 4, "the second is not asked"


def test_regrading_names_the_teacher_of_each_flip(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    path = write_recipe(tmp_path / "r.yaml", [at(one), at(two)])
    with run(path) as made:
        made.generate()
        made.curate()
    with sqlite3.connect(made.folder / "run.sqlite") as db:
        db.execute("UPDATE rationales SET verdict = 'no_answer' WHERE rowid IN (2, 3)")
    db.close()
    result = CliRunner().invoke(main, ["regrade", str(made.folder)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"regrade: 16 rationales, grader version {GRADER_VERSION} before, " + (
        f"{GRADER_VERSION} now"
    )
    assert "b sample 0: no_answer" in lines[2] and "teacher sample 1: no_answer" in lines[3]


def test_each_local_teacher_is_read_by_its_own_tokenizer(tmp_path: Path) -> None:
    from tiny_models import build_tiny_causal

    tiny = build_tiny_causal(tmp_path / "tiny")
    path = write_recipe(
        tmp_path / "r.yaml",
        [{"model": "bundled:teacher", "device": "cpu"}, {"model": f"hf:{tiny}", "device": "cpu"}],
        generate={"samples": 1, "max_tokens": 12, "top_logprobs": 2},
    )
    with run(path) as made:
        made.generate()
        made.curate()
        rationales = made.store.rationales()
        writers = {each.completion_id: each.teacher for each in rationales}
        texts = TeacherTexts(made.store, made.recipe.named_teachers, writers)
        for asked in made.teachers.asked:
            for question in made.task.splits["train"]:
                request = asked.asking.request(question)
                for id_, completion in made.store.completions(asked.model, request):
                    found = texts(id_)
                    assert found is not None
                    assert found[0].strip().startswith(completion.text.strip())
    assert set(writers.values()) == {"teacher", "b"}


LIKELY = {"choose": "local_naturalness", "right_answer": False}
KEPT = (
    "SELECT completion_id, mean_logprob, mean_rank, local_naturalness FROM likelihoods ORDER BY 1"
)
VERDICTS = "SELECT completion_id, teacher, verdict FROM rationales ORDER BY 1"


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "run.sqlite") as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def killed_after(commands: Commands, path: Path, measured: int) -> None:
    """Curate in a process of its own, and kill it once so many likelihoods are stored."""
    with commands.start("curate", str(path)) as process:
        until(lambda: process.ended or len(rows(path.with_suffix(""), KEPT)) >= measured)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_likelihoods_killed_twice_equal_an_undisturbed_run(
    commands: Commands, tmp_path: Path
) -> None:
    teachers = [{"model": "bundled:teacher", "device": "cpu"},
                {"model": "bundled:guide", "device": "cpu"}]  # fmt: skip
    calm, killed = (
        write_recipe(
            tmp_path / f"{name}.yaml", teachers,
            student={"model": "bundled:student", "device": "cpu", "batch_tokens": 1},
            task={"name": "two_step_arithmetic", "train": 30, "dev": 4, "test": 4},
            generate={"samples": 3, "max_tokens": 64}, curate=LIKELY,
        )
        for name in ("calm", "killed")
    )  # fmt: skip
    with run(calm) as made:
        made.generate()
    shutil.copytree(tmp_path / "calm", tmp_path / "killed")
    with run(calm) as made:
        made.curate()
    for measured in (10, 40):
        killed_after(commands, killed, measured)
    before = rows(tmp_path / "killed", KEPT)
    with run(killed) as made:
        made.curate()
    expected = rows(tmp_path / "calm", KEPT)
    assert 40 <= len(before) < len(expected), "killed in the middle of it"
    assert rows(tmp_path / "killed", KEPT) == expected
    assert set(before) < set(expected), "what was measured stays as it is"
    verdicts = rows(tmp_path / "calm", VERDICTS)
    assert rows(tmp_path / "killed", VERDICTS) == verdicts
    assert {verdict for *_, verdict in verdicts} >= {"kept", "other_teacher"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_with_two_teachers(tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path / "r.yaml",
        [{"model": "bundled:teacher", "device": "cpu"},
         {"model": "bundled:guide", "device": "cpu"}],
        task={"name": "two_step_arithmetic", "train": 20, "dev": 6, "test": 10},
        generate={"samples": 2, "max_tokens": 64, "temperature": 1.3},
        curate=LIKELY,
        train={"steps": 6, "batch_size": 4, "checkpoints": 1},
        evaluate={"max_tokens": 48},
    )  # fmt: skip
    result = CliRunner().invoke(main, ["run", str(path)])
    assert result.exit_code == 0, result.output
    assert "generate, teacher: " in result.stdout and "generate, b: " in result.stdout
    assert "teachers on training questions, with 95% intervals" in result.stdout
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "bundled:guide" in page and "Right at first" in page
    figures = json.loads((tmp_path / "r" / "summary.json").read_text())["teachers"]
    assert [each["teacher"] for each in figures] == ["teacher", "b", "consensus"]
    assert figures[0]["chosen"] + figures[1]["chosen"] == figures[2]["chosen"]
    assert all(each["mean_logprob"] < 0 for each in figures)
