"""Small trainings that are made in one process and in several, to be compared step by step."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train import learner, losses, settings, sums

import potstill.train.reporter
from potstill.launched import is_main_process
from potstill.records import Example, TeacherSpan, TokenLogprobs
from potstill.runtime import Runtime
from potstill.train.processes import training_processes
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.student import TrainedStudent, train_student
from potstill.train.training_watch import Unwatched

STEPS = 6


def siblings() -> list[Example]:
    """Examples of unequal numbers of rationales for one question, which share its prompt."""
    return [
        replace(example, prompt=sums()[number // 4].prompt, question_id=str(number // 4))
        for number, example in enumerate(sums())
    ]


def with_probabilities(example: Example) -> Example:
    """Returns an example whose teacher was torn between each of its words and another."""
    words = example.target.split(" ")
    pieces = [(word if place == 0 else f" {word}").encode() for place, word in enumerate(words)]
    rows = [(piece, piece, b" apples") for piece in pieces]
    chances = np.log(np.array([0.6, 0.6, 0.3], np.float32))
    tokens = TokenLogprobs(
        logprobs=np.tile(chances, (len(rows), 1)),
        token_bytes=b"".join(piece for row in rows for piece in row),
        lengths=np.array([[len(piece) for piece in row] for row in rows], np.uint16),
    )
    return replace(
        example,
        teacher=TeacherSpan(tokens=tokens, start=0, end=len(example.target.encode()), shift=0),
    )


def _matching(start: Path) -> StudentSettings:
    return StudentSettings.model_validate(
        {"start": learner(start).start, "matching": "distribution"}
    )


Made = tuple[StudentSettings, list[Example], TrainSettings]

TRAININGS: dict[str, Callable[[Path], Made]] = {
    "plain": lambda start: (learner(start), sums(), settings(steps=STEPS)),
    # A part of a step holds about two examples, so that gradients are added up.
    "accumulation": lambda start: (learner(start), sums(), settings(steps=STEPS, batch_tokens=80)),
    "prefix sharing": lambda start: (
        learner(start),
        siblings(),
        settings(steps=STEPS, batch_tokens=150),
    ),
    "distribution matching": lambda start: (
        _matching(start),
        [with_probabilities(example) for example in sums()],
        settings(steps=STEPS),
    ),
    "lora": lambda start: (
        learner(start),
        sums(),
        settings(steps=STEPS, lora=LoraSettings(rank=4), batch_tokens=120),
    ),
}


def trained(name: str, start: Path, folder: Path, **how: Any) -> TrainedStudent:
    """Returns one of the trainings; how it is made is given as to ``train_student``."""
    student, examples, values = TRAININGS[name](start)
    return train_student(student, examples, values, folder / name.replace(" ", "_"), **how)


def losses_of_all(start: Path, folder: Path) -> dict[str, list[float]]:
    """Returns the losses of all trainings at every step, by their names."""
    with each_step_logged():
        return {name: losses(trained(name, start, folder)) for name in TRAININGS}


@contextmanager
def each_step_logged() -> Iterator[None]:
    """Have trainings in the block log every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(potstill.train.reporter, "LOG_STEPS", 1)
        yield


class StopsAfter(Unwatched):
    """Stops a training after so many steps, as Ctrl-C does."""

    def __init__(self, steps: int, runtime: Runtime) -> None:
        self._left, self._runtime = steps, runtime

    def advances(self, steps: int, tokens: int) -> None:
        self._left -= steps
        if self._left == 0:
            self._runtime.stop.set()


def stop_early(name: str, start: Path, folder: Path) -> None:
    """Make three steps of a training, and leave a checkpoint to go on from."""
    runtime = Runtime()
    with each_step_logged(), pytest.raises(KeyboardInterrupt):
        trained(name, start, folder, runtime=runtime, watch=StopsAfter(3, runtime))


def go_on(name: str, start: Path, folder: Path) -> list[float]:
    """Returns the losses of a training that was stopped, from its first step to its last."""
    with each_step_logged():
        return losses(trained(name, start, folder))


FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
"""The environment that accelerate sets by a configuration file for FSDP2."""


def train_all(start: Path, folder: Path) -> None:
    """Make all trainings in the processes that were started, and leave their losses in a file.

    By FSDP2 one is stopped early, for others to go on with, and one goes on that others stopped.
    """
    with training_processes():
        by_way = {"DDP": losses_of_all(start, folder / "ddp")}
        os.environ.update(FSDP2)
        by_way["FSDP2"] = losses_of_all(start, folder / "fsdp2")
        for name in GOING_ON:
            stop_early(name, start, folder / "by_two")
        resumed = {name: go_on(name, start, folder / "by_one") for name in GOING_ON}
        by_way["FSDP2 after one process"] = resumed
    if is_main_process():
        (folder / "losses.json").write_text(json.dumps(by_way), encoding="utf-8")


def train_all_by_zero(stage: int, start: Path, folder: Path) -> None:
    """Make all trainings by DeepSpeed, and leave their losses in a file.

    One is stopped early, for others to go on with, and some go on that others stopped: one
    process alone, or several that hold parts by FSDP2.
    """
    with training_processes():
        os.environ.update(FSDP2)
        for name in GOING_ON:
            stop_early(name, start, folder / "by_fsdp2")
        os.environ.pop("ACCELERATE_USE_FSDP")
        os.environ.update(
            ACCELERATE_USE_DEEPSPEED="true", ACCELERATE_DEEPSPEED_ZERO_STAGE=f"{stage}"
        )
        by_way = {"ZeRO": losses_of_all(start, folder / "zero")}
        for name in GOING_ON:
            stop_early(name, start, folder / "by_two")
        for way, place in {"one process": "by_one", "FSDP2": "by_fsdp2"}.items():
            resumed = {name: go_on(name, start, folder / place) for name in GOING_ON}
            by_way[f"ZeRO after {way}"] = resumed
    if is_main_process():
        (folder / "losses.json").write_text(json.dumps(by_way), encoding="utf-8")


GOING_ON = ("plain", "lora")
"""The trainings that are stopped early, for others to go on with."""


def left_losses(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Returns what :func:`train_all` has left, by the way in which processes share the work."""
    losses: dict[str, Any] = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    return losses
