"""Decides when a training saves and stops, and reports its loss."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from potstill.train.training_watch import LogLine, Unwatched, Watch

if TYPE_CHECKING:
    from potstill.train.trainer import StudentTrainer

LOG_STEPS = 10
"""The loss is read from the device, and reported, every so many steps and at each checkpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainProgress:
    """The progress of a training."""

    step: int
    """Optimiser steps taken."""

    steps: int
    """Optimiser steps to take in all."""

    loss: float
    """Mean over the trained tokens since the last report, in nats a token."""

    tokens: int
    """Tokens trained on so far, prompts left out."""

    seconds: float
    """Time spent so far, in all processes that worked on it one after the other."""

    tokens_per_second: float
    """Trained tokens a second of this process."""

    seconds_left: float

    learning_rate: float | None = None
    """The learning rate of the last step."""

    grad_norm: float | None = None
    """The gradient's norm at the last step, over all trained weights, before it was clipped."""


OnStep = Callable[[TrainProgress], None]


EndsAt = Callable[[TrainerState], bool]
"""Called after each checkpoint has been written; True ends the training there."""


def log_lines(state: TrainerState) -> list[LogLine]:
    """Returns what a trainer has logged so far."""
    lines = [line for line in state.log_history if "loss" in line]
    return [LogLine(**{name: line.get(name) for name in LogLine._fields}) for line in lines]  # type: ignore[arg-type]


class Reporter(TrainerCallback):
    """Decides when to save and when to stop, and reports the loss.

    Args:
        tokens: The number of trained tokens in each step of the plan; about so many, where a step
            is made when it is reached.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._set_tokens([*tokens])
        self.trainer: StudentTrainer
        self._on_step: OnStep
        self._watch: Watch = Unwatched()
        self._watched = 0
        self._ends_at: EndsAt | None
        self._stops: Callable[[], bool]
        self.stopped = False
        """Whether training was stopped before its end, by whichever of its processes."""
        self._start = self._seconds_before = 0.0
        self._first = 0

    def attach(
        self,
        trainer: "StudentTrainer",
        on_step: OnStep,
        watch: Watch,
        ends_at: EndsAt | None,
        stops: Callable[[], bool] = lambda: False,
    ) -> None:
        """Follow a trainer, which then prints nothing itself.

        Args:
            trainer: The trainer.
            on_step: Called by process 0 with each report.
            watch: Told by process 0 how far it is.
            ends_at: Called by process 0 after each checkpoint.
            stops: Called by every process after each step; where it says so, a checkpoint to go on
                from is written, and training stops.
        """
        self.trainer, self._on_step, self._ends_at = trainer, on_step, ends_at
        self._stops = stops
        if trainer.is_world_process_zero():
            self._watch, trainer.on_part = watch, self._part
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self)

    def _set_tokens(self, tokens: list[int]) -> None:
        self._tokens, self._tokens_after = tokens, [0, *itertools.accumulate(tokens)]

    def learns(self, step: int, tokens: int) -> None:
        """Take it that a step, counted from 0, learns so many tokens."""
        self._set_tokens([*self._tokens[:step], tokens, *self._tokens[step + 1 :]])

    def ends_at(self, state: TrainerState) -> bool:
        """Whether training ends with the checkpoint just written; all processes have to ask."""
        if self._ends_at is None:
            return False
        return self.trainer.any_process(self.trainer.args.should_save and self._ends_at(state))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Take up the clock where an earlier process left it."""
        self._start, self._first = time.perf_counter(), state.global_step
        if state.log_history:
            self._seconds_before = float(state.log_history[-1]["seconds"])
            before = int(state.log_history[-1]["tokens"])
            self._set_tokens([before, *[0] * (self._first - 1), *self._tokens[self._first :]])
        self._watched = self._tokens_after[self._first]
        tokens = self._tokens_after[-1] - self._watched
        log = log_lines(state)
        self._watch.begins(steps=state.max_steps, step=self._first, tokens=tokens, log=log)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Report the first step and every few; save where it is due, or training is to stop."""
        step = state.global_step
        self._watch.advances(1, self._tokens_after[step] - self._watched)
        self._watched = self._tokens_after[step]
        stops = self._stops()
        if args.world_size > 1:  # a signal reaches one process before the others
            stops = self.trainer.any_process(stops)
        self.stopped |= stops
        control.should_save = step in self.trainer.save_steps or stops
        control.should_training_stop |= stops
        if step % LOG_STEPS and step > 1 and not control.should_save:
            return
        self.report(state)

    def report(self, state: TrainerState) -> None:
        """Put the loss since the last report into the trainer's log, and tell how far it is."""
        step = state.global_step
        spent = time.perf_counter() - self._start
        norm = self.trainer.grad_norm
        progress = TrainProgress(
            step=step,
            steps=state.max_steps,
            loss=self.trainer.mean_loss(),
            tokens=self._tokens_after[step],
            seconds=self._seconds_before + spent,
            tokens_per_second=(self._tokens_after[step] - self._tokens_after[self._first]) / spent,
            seconds_left=spent / (step - self._first) * (state.max_steps - step),
            learning_rate=self.trainer.learning_rate,
            grad_norm=None if norm is None else float(norm),
        )
        kept = ("loss", "tokens", "seconds", "learning_rate")
        self.trainer.log({name: getattr(progress, name) for name in kept})
        if state.is_world_process_zero:
            self._on_step(progress)

    def report_rest(self, state: TrainerState) -> None:
        """Report the steps since the last report, if there are any."""
        reported = state.log_history[-1]["step"] if state.log_history else 0
        if state.global_step > reported:
            self.report(state)

    def _part(self, tokens: int) -> None:
        # Each of several processes computes its own part of a step; only this one's is known.
        tokens = min(tokens, self._tokens_after[-1] - self._watched)
        self._watched += tokens
        self._watch.advances(0, tokens)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """End the training at this checkpoint if ``ends_at`` says so."""
        if not control.should_training_stop:
            control.should_training_stop = self.ends_at(state)
