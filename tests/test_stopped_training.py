"""Ctrl-C and SIGTERM in training: the step is finished, a checkpoint kept, and training goes on."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from commands import Commands, until
from test_train import learner, settings, start, sums, weights

from potstill.pipeline.recipe import load_recipe
from potstill.plan import plan_run
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.runtime.signals import Terminated, terminating
from potstill.train.settings import LoraSettings
from potstill.train.student import train_student
from potstill.train.training_watch import LogLine, Unwatched

__all__ = ["start"]  # the fixture


class SignalAfter(Unwatched):
    """Sends a signal to this process after so many steps, and counts those that were taken."""

    def __init__(self, steps: int, number: signal.Signals) -> None:
        self.done, self._steps, self._number = 0, steps, number

    def begins(self, *, steps: int, step: int, tokens: int, log: Sequence[LogLine]) -> None:
        pass

    def advances(self, steps: int, tokens: int) -> None:
        self.done += steps
        if steps and self.done == self._steps:
            os.kill(os.getpid(), self._number)


@pytest.mark.parametrize(
    ("number", "lora"), [(signal.SIGINT, None), (signal.SIGTERM, LoraSettings(rank=2))]
)
def test_a_stopped_training_goes_on_from_the_step_that_it_was_at(
    start: Path, tmp_path: Path, number: signal.Signals, lora: LoraSettings | None
) -> None:
    if lora:
        pytest.importorskip("peft")
    wanted = settings(steps=8, checkpoints=2, lora=lora)
    whole = train_student(learner(start), sums(), wanted, tmp_path / "whole")
    log, cut = tmp_path / "log.jsonl", tmp_path / "cut"
    runtime, watch = Runtime(events=EventLog(log)), SignalAfter(3, number)
    with pytest.raises(KeyboardInterrupt) as stopped, terminating():
        train_student(learner(start), sums(), wanted, cut, watch=watch, runtime=runtime)
    assert isinstance(stopped.value, Terminated) == (number == signal.SIGTERM)
    assert watch.done == 3 and not runtime.stop.is_set()
    written = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    assert (written["event"], written["signal"]) == ("interrupted", number.name)
    assert [place.name for place in cut.glob("checkpoint-*")] == ["checkpoint-000003"]
    watch = SignalAfter(99, number)
    resumed = train_student(learner(start), sums(), wanted, cut, watch=watch)
    assert watch.done == 5
    assert [step for step, _ in resumed.checkpoints] == [4, 8]
    assert not (cut / "checkpoint-000003").exists(), "the next one that was due took its place"
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_sigterm_outside_of_training_and_asking_ends_the_block_as_ctrl_c_does() -> None:
    with pytest.raises(Terminated), terminating():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_a_command_that_trains_ends_on_sigterm_with_a_word_and_143(
    commands: Commands, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    values: dict[str, Any] = {
        "run": str(tmp_path / "run"),
        "task": {"name": "coin_toss", "train": 8, "dev": 2, "test": 2},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "generate": {"samples": 1, "max_tokens": 64},
        "train": {"steps": 5000, "batch_size": 4, "students": {"answers": {
            "data_format": "zero_shot_answer"}}},
    }  # fmt: skip
    recipe.write_text(json.dumps(values), encoding="utf-8")
    assert commands.run("generate", str(recipe)) == 0
    assert commands.run("curate", str(recipe)) == 0
    log = tmp_path / "run" / "log.jsonl"
    with commands.start("train", str(recipe)) as command:
        until(lambda: '"training answers"' in log.read_text())
        command.send(signal.SIGTERM)
        assert command.wait(60) == 143
    told = commands.log.read_text()
    assert f"go on with: potstill train {recipe}" in told and "Traceback" not in told
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["error"]) == ("ended", "Terminated")
    (place,) = (tmp_path / "run" / "checkpoints").glob("answers-*/checkpoint-*")
    taken = int(place.name.rpartition("-")[2])
    assert 0 < taken < 5000
    assert planned_steps(recipe) == (taken, 5000)
    values["train"]["batch_size"] = 8  # another training, which begins anew
    recipe.write_text(json.dumps(values), encoding="utf-8")
    assert planned_steps(recipe) == (0, 5000)


def planned_steps(recipe: Path) -> tuple[int, int]:
    """Returns the steps of the only student that are done, and all of them, as a plan has them."""
    (student,) = plan_run(load_recipe(recipe)).students.students
    return student.done, student.steps.number
