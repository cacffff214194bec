"""A training's log is in the store as it grows, for those who look at the run while it works."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("torch")

import fakes
from test_train import learner, settings, start, sums

from potstill.records import System
from potstill.report.accuracy import read_results
from potstill.report.figures import loss_chart
from potstill.report.text import headline
from potstill.runtime.signals import terminating
from potstill.store import Store
from potstill.train.reporter import TrainProgress
from potstill.train.run_watch import RunWatch
from potstill.train.student import train_student

__all__ = ["start"]  # the fixture


class StopsAfter(RunWatch):
    """Interrupts the training after so many steps, and notes what the store has after each line."""

    def __init__(self, store: Store, steps: int) -> None:
        super().__init__(fakes.context_of(store), System("rationales"), "made")
        self.steps, self.seen = steps, list[list[int]]()

    def keep(self, progress: TrainProgress) -> None:
        super().keep(progress)
        self.seen.append([line.step for line in self.context.store.training()])
        if progress.step == self.steps:
            os.kill(os.getpid(), signal.SIGINT)


def train(start: Path, store: Store, folder: Path, *, until: int, size: int = 8) -> list[list[int]]:
    """Returns the steps that the store has after each line of the log."""
    wanted = settings(steps=30, batch_size=size, checkpoints=3)
    with StopsAfter(store, until) as watch, suppress(KeyboardInterrupt), terminating():
        train_student(learner(start), sums(), wanted, folder, watch=watch, on_step=watch.keep)
    return watch.seen


def test_each_line_is_there_at_once_and_a_training_that_goes_on_adds_to_its_own(
    start: Path, tmp_path: Path
) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        assert train(start, store, tmp_path / "one", until=10) == [[1], [1, 10], [1, 10, 11]]
        results = read_results(store, [fakes.sums()], tmp_path)
        assert loss_chart(results) is not None
        assert headline(results).startswith("The students are being trained;")
        seen = train(start, store, tmp_path / "other", until=10, size=6)
        assert seen == [[1], [1, 10], [1, 10, 11]], "another training of the student begins anew"
        seen = train(start, store, tmp_path / "one", until=99)
        assert seen == [[1, 10, 11, 20], [1, 10, 11, 20, 30]]
        whole = store.training()
    again = train_student(
        learner(start), sums(), settings(steps=30, checkpoints=3), tmp_path / "one"
    )
    assert [(line.step, line.loss) for line in whole] == [
        (line.step, line.loss) for line in again.log
    ]
