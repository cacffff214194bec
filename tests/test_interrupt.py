"""Ctrl-C and SIGTERM: what is in flight is kept, nothing new is asked, and the command goes on."""

import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from commands import Commands, until
from loopback import Loopback

from potstill.runtime import Runtime, signals
from potstill.runtime.events import EventLog
from potstill.runtime.signals import Terminated, stoppable

FLYING = 4
QUESTIONS = 40


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def recipe(tmp_path: Path, server: Loopback) -> Path:
    rows = [
        {"q": f"Ann has {n} pens and buys {n} more. How many has she?", "a": 2 * n,
         "split": "train" if n < QUESTIONS else "dev" if n == QUESTIONS else "test"}
        for n in range(QUESTIONS + 2)
    ]  # fmt: skip
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "run": str(tmp_path / "run"),
        "task": {"file": str(questions), "question": "q", "answer": "a", "answer_type": "number"},
        "teacher": {"model": "openai:scripted", "base_url": server.url, "api_key_env": None,
                    "concurrency": FLYING},
        "student": "bundled:student",
        "generate": {"samples": 1},
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def stored(recipe: Path) -> int:
    with sqlite3.connect(recipe.parent / "run" / "run.sqlite") as db:
        (count,) = db.execute("SELECT count(*) FROM completions").fetchone()
    db.close()
    return int(count)


def events(recipe: Path) -> list[dict[str, object]]:
    log = (recipe.parent / "run" / "log.jsonl").read_text()
    return [json.loads(line) for line in log.splitlines()]


@pytest.mark.slow
def test_the_first_ctrl_c_keeps_what_is_in_flight_and_sends_nothing_new(
    commands: Commands, recipe: Path, server: Loopback
) -> None:
    server.hold()
    with commands.start("generate", str(recipe)) as command:
        until(lambda: server.in_flight == FLYING)
        command.send(signal.SIGINT)
        stopping = f"Stopping: {FLYING} requests in flight are awaited and kept"
        until(lambda: stopping in commands.log.read_text())
        server.release()
        assert command.wait(60) == 130
    assert f"go on with: potstill generate {recipe}" in commands.log.read_text()
    assert len(server.bodies) == FLYING and server.cancelled == 0
    assert stored(recipe) == FLYING
    written = events(recipe)
    stopped = next(event for event in written if event["event"] == "interrupted")
    assert (stopped["signal"], stopped["in_flight"]) == ("SIGINT", FLYING)
    assert stopped["dropped"] is False
    assert written[-1]["error"] == "KeyboardInterrupt"

    assert commands.run("generate", str(recipe)) == 0
    assert stored(recipe) == QUESTIONS
    asked = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    assert len(asked) == QUESTIONS and set(asked.values()) == {1}


@pytest.mark.slow
def test_the_second_ctrl_c_drops_it_at_once(
    commands: Commands, recipe: Path, server: Loopback
) -> None:
    server.hold()  # the answers never come: were they awaited, the command would not end
    with commands.start("generate", str(recipe)) as command:
        until(lambda: server.in_flight == FLYING)
        command.send(signal.SIGINT)
        until(lambda: "Ctrl-C again drops them" in commands.log.read_text())
        command.send(signal.SIGINT)
        assert command.wait(60) == 130
    until(lambda: server.cancelled == FLYING)
    assert stored(recipe) == 0 and len(server.bodies) == FLYING
    assert [event["dropped"] for event in events(recipe) if event["event"] == "interrupted"] == [
        True
    ]


@pytest.mark.slow
def test_sigterm_is_as_the_first_ctrl_c(commands: Commands, recipe: Path, server: Loopback) -> None:
    server.hold()
    with commands.start("generate", str(recipe)) as command:
        until(lambda: server.in_flight == FLYING)
        command.send(signal.SIGTERM)
        until(lambda: "Stopping" in commands.log.read_text())
        server.release()
        assert command.wait(60) == 128 + signal.SIGTERM
    assert "go on with: potstill generate" in commands.log.read_text()
    assert stored(recipe) == len(server.bodies) == FLYING


@pytest.mark.slow
def test_sigterm_to_an_experiment_ends_its_runs_too(
    commands: Commands, recipe: Path, server: Loopback
) -> None:
    server.hold()
    with commands.start("experiment", str(recipe), "--seeds", "2") as command:
        until(lambda: server.in_flight == FLYING)
        command.send(signal.SIGTERM)
        log = recipe.parent / "run-seed0" / "log.txt"
        until(lambda: "Stopping" in log.read_text())
        server.release()
        assert command.wait(60) == 128 + signal.SIGTERM
    assert "go on with: potstill experiment" in commands.log.read_text()
    assert len(server.bodies) == FLYING
    written = (recipe.parent / "run-seed0" / "log.jsonl").read_text().splitlines()
    assert json.loads(written[-1])["error"] == "Terminated"
    assert not (recipe.parent / "run-seed1").exists()


def test_what_sigterm_left_in_flight_is_dropped_when_the_grace_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "GRACE", 0.1)
    control = Runtime()
    with pytest.raises(Terminated), stoppable(control):
        signal.raise_signal(signal.SIGTERM)
        assert control.stop.wait(1)
        time.sleep(30)


def test_the_handlers_are_put_back_and_the_run_can_be_asked_again(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    control = Runtime(events=EventLog(tmp_path / "log.jsonl"))
    with pytest.raises(KeyboardInterrupt), stoppable(control):
        signal.raise_signal(signal.SIGINT)
        assert control.stop.is_set()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert not control.stop.is_set()
    with stoppable(control):
        pass
    assert (tmp_path / "log.jsonl").read_text().count("interrupted") == 1


def test_a_brake_set_by_other_code_ends_the_block_as_well() -> None:
    control = Runtime()
    with pytest.raises(KeyboardInterrupt), stoppable(control):
        control.stop.set()
    assert control.stop.is_set(), "whoever set it clears it"


def test_an_error_of_the_block_is_not_hidden() -> None:
    control = Runtime()
    with pytest.raises(ValueError, match="mine"), stoppable(control):
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")
    assert not control.stop.is_set()


def test_handlers_of_the_application_stay() -> None:
    caught: list[int] = []
    own = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        with stoppable(Runtime()):
            signal.raise_signal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with stoppable(Runtime()):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, own)
    assert caught == [signal.SIGINT]


def test_blocks_inside_each_other_and_in_other_threads_share_the_outer_handlers() -> None:
    control, ended = Runtime(), list[str]()

    def inner() -> None:
        try:
            with stoppable(control):
                control.stop.wait(10)
        except KeyboardInterrupt:
            ended.append("stopped")

    with pytest.raises(KeyboardInterrupt), stoppable(control):
        thread = threading.Thread(target=inner)
        thread.start()
        with stoppable(control):
            signal.raise_signal(signal.SIGINT)
            thread.join()
    assert ended == ["stopped"] and not control.stop.is_set()
