"""Small trainings that are made in one process and in several, to be compared step by step."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train import learner, losses, settings, sums

import potstill.train.trainer
from potstill.records import Example, TeacherSpan, TokenLogprobs
from potstill.train.processes import training_processes
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.student import TrainedStudent, train_student

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


def trained(name: str, start: Path, folder: Path) -> TrainedStudent:
    """Returns one of the trainings."""
    student, examples, values = TRAININGS[name](start)
    return train_student(student, examples, values, folder / name.replace(" ", "_"))


def losses_of_all(start: Path, folder: Path) -> dict[str, list[float]]:
    """Returns the losses of all trainings at every step, by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(potstill.train.trainer, "LOG_STEPS", 1)
        return {name: losses(trained(name, start, folder)) for name in TRAININGS}


def train_all(start: Path, folder: Path) -> None:
    """Make all trainings in the processes that were started, and leave their losses in a file."""
    with training_processes():
        by_way = {"DDP": losses_of_all(start, folder / "ddp")}
    (folder / "losses.json").write_text(json.dumps(by_way), encoding="utf-8")


def left_losses(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Returns what :func:`train_all` has left, by the way in which processes share the work."""
    losses: dict[str, Any] = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    return losses
