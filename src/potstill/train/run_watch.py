"""Shows a training of a run while it works, and keeps its log as it grows."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from potstill.records import System, TrainingStep
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Advance
from potstill.train.training_watch import LogLine

if TYPE_CHECKING:
    from potstill.train.reporter import TrainProgress


def log_records(system: System, log: Iterable[LogLine]) -> list[TrainingStep]:
    """Returns the lines of a student's training log as the store keeps them."""
    return [
        TrainingStep(student=system.model, start=system.start, **line._asdict()) for line in log
    ]


class RunWatch:
    """Shows a training from its first second on: what it is prepared by, then how far it is.

    Args:
        context: The run, whose meter, log and store are told.
        system: The student.
        made_by: Stands for the settings of all trainings of the run.
    """

    def __init__(self, context: RunContext, system: System, made_by: str) -> None:
        self.context, self.system = context, system
        self._made_by, self._label = made_by, f"training {system.label}"
        self._shown = ExitStack()
        self._advance: Advance | None = None

    def __enter__(self) -> Self:
        label = f"{self._label}: loading and encoding"
        self._shown.enter_context(self.context.progress.stage(label, total=None))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._shown.__exit__(*exception)

    def begins(self, *, steps: int, step: int, tokens: int, log: Sequence[LogLine]) -> None:
        """Training begins, or goes on; see :class:`potstill.train.training_watch.Watch`."""
        self._shown.close()
        meter = self.context.progress
        stage = meter.stage(self._label, total=steps, done=step, unit="steps", tokens=tokens)
        self._advance = self._shown.enter_context(stage)
        self.context.store.begin_training_log(
            self.system, log_records(self.system, log), settings_hash=self._made_by
        )

    def advances(self, steps: int, tokens: int) -> None:
        """So many more steps and tokens."""
        assert self._advance is not None
        self._advance(steps, tokens, 0.0)

    def keep(self, progress: "TrainProgress") -> None:
        """Keep how the training stands, in the run's log and in its store."""
        self.context.events.record(
            "training_step",
            student=self.system.label,
            step=progress.step,
            loss=progress.loss,
            learning_rate=progress.learning_rate,
            grad_norm=progress.grad_norm,
            tokens=progress.tokens,
        )
        line = LogLine(**{name: getattr(progress, name) for name in LogLine._fields})
        self.context.store.add_to_training_log(
            log_records(self.system, [line]), settings_hash=self._made_by
        )
