"""A trial of two steps of a training, with the student's weights and its longest examples.

It runs in a process of its own, whose peak of memory is that of the trial alone and which may be
ended for want of it. The first step is an ordinary one, which also makes AdamW's moments; the
second has the longest examples. Nothing of it is kept.
"""

import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from potstill.errors import ConfigError
from potstill.models.local.loading import quietly
from potstill.records import Example
from potstill.runtime import Runtime
from potstill.train.batches import Steps
from potstill.train.defaults import ResolvedTraining
from potstill.train.encoding import Encoded
from potstill.train.memory import PROGRAM_BYTES
from potstill.train.settings import StudentSettings
from potstill.train.student import encode_fitting, load_start, with_precision
from potstill.train.trainer_setup import build_trainer


class TriedSteps(NamedTuple):
    """The outcome of a trial."""

    seconds: float
    """Seconds of the second step."""

    tokens: int
    """Tokens of its prompts and targets."""

    together: int
    """The most of them that were computed at once."""

    peak: int
    """Most bytes of memory that the process, or the GPU, had in use."""

    precision: str


def try_steps(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: ResolvedTraining,
    *,
    most_tokens: int,
) -> TriedSteps:
    """Returns what two steps of a student's training take.

    Args:
        student: With its start.
        examples: The longest are among them.
        settings: The student's.
        most_tokens: Most tokens of the longer step, but for a single example.

    Raises:
        ConfigError: The process was ended, as it is where memory is short.
        PotstillError: The start cannot be loaded, or nothing can be trained.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_two_steps, student, list(examples), settings, most_tokens).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f"a trial of two steps of {settings.batch_size} examples was ended from outside, "
                "most often for want of memory. Lower train.batch_tokens, set "
                "train.gradient_checkpointing: true or train.lora: {}, or take a smaller start."
            ) from error


def _two_steps(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: ResolvedTraining,
    most_tokens: int,
) -> TriedSteps:
    assert student.start is not None
    loaded = load_start(student, settings.lora)
    encoded = encode_fitting(loaded, examples, student, settings)
    with TemporaryDirectory() as name, quietly():
        folder = Path(name)
        settings = with_precision(settings, loaded, encoded.examples, folder, Runtime())
        short = settings.model_copy(update={"steps": 2, "epochs": None, "checkpoints": 1})
        trainer, _ = build_trainer(loaded, encoded, short, student, folder, 0)
        longest = _longest(encoded.examples, settings.batch_size, most_tokens)
        ordinary = _first(encoded.examples, settings.batch_size, most_tokens // 2)
        steps = Steps(encoded.examples, [ordinary, longest], batch_tokens=settings.batch_tokens)
        trainer.train_dataset, trainer.save_steps = steps, frozenset()
        clock = _StepClock()
        trainer.add_callback(clock)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    parts = [sum(example.length for example in part) for part in steps[1]]
    return TriedSteps(
        seconds=clock.seconds[-1],
        tokens=sum(parts),
        together=max(parts),
        peak=_peak(on_gpu=loaded.model.device.type == "cuda"),
        precision=settings.precision,
    )


class _StepClock(TrainerCallback):
    """Times each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begin = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Note the time."""
        self._begin = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Keep the seconds since the step began, once the device is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._begin)


def _first(examples: Sequence[Encoded], count: int, most_tokens: int) -> list[int]:
    """Returns the indices of some examples, at least one, of at most so many tokens in all."""
    return _within(range(len(examples)), examples, count, most_tokens)


def _longest(examples: Sequence[Encoded], count: int, most_tokens: int) -> list[int]:
    """Returns the same of the longest examples."""
    by_length = sorted(range(len(examples)), key=lambda index: -examples[index].length)
    return _within(by_length, examples, count, most_tokens)


def _within(
    indices: Sequence[int], examples: Sequence[Encoded], count: int, most_tokens: int
) -> list[int]:
    taken, tokens = [indices[0]], examples[indices[0]].length
    for index in indices[1:count]:
        tokens += examples[index].length
        if tokens > most_tokens:
            break
        taken.append(index)
    return taken


def _peak(*, on_gpu: bool) -> int:
    """Returns the most bytes that this process had in use: of the GPU's memory, or of its own."""
    if on_gpu:
        return torch.cuda.max_memory_reserved() + PROGRAM_BYTES
    try:  # what getrusage says begins with the memory of the process that started this one
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
