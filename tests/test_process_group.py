"""Processes that train together: each of them ends their group, whichever way it leaves."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch.distributed
from test_train import start
from two_processes import by_torchrun

from potstill.train import checkpoints
from potstill.train.processes import training_processes

__all__ = ["start"]  # the fixture

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from test_train import learner, settings
from potstill.records import Question, Task
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.runtime.signals import terminating
from potstill.store import Store
from potstill.train import Models, train
from potstill.train.trainer import StudentTrainer

start, folder = Path(sys.argv[1]), Path(sys.argv[2])
rank, step = int(os.environ["RANK"]), StudentTrainer.training_step

def signalled(self, *of, **named):
    if rank == 1 and self.state.global_step == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, *of, **named)

StudentTrainer.training_step = signalled
questions = [Question(id=str(n), text=f"What is {n} + {n}?", answer=str(2 * n)) for n in range(16)]
task = Task(name="sums", answer_type="number", splits={"train": questions, "dev": [], "test": []},
            source="here")
wanted = settings(students={name: {"data_format": "zero_shot_answer"} for name in ("one", "two")})
ended = "an unknown way"
try:
    with Store(folder / f"{rank}.sqlite") as store, terminating():
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        model = learner(start).start
        trained = train(task, Models(model, model), wanted, context, seed=0)
    ended = f"{len(trained)} checkpoints"
except BaseException as error:
    ended = type(error).__name__
    raise
finally:
    print(f"{rank}: {ended}, group {torch.distributed.is_initialized()}", flush=True)
"""


def begin_group() -> None:
    """Begin a group of this process alone."""
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


def test_a_group_that_was_begun_in_the_block_is_ended() -> None:
    with training_processes():
        begin_group()
    assert not torch.distributed.is_initialized()
    with training_processes():
        begin_group()  # a later training can begin one anew
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_is_ended_after_a_failure(error: type[BaseException]) -> None:
    with pytest.raises(error), training_processes():
        begin_group()
        raise error
    assert not torch.distributed.is_initialized()


def test_a_group_that_was_there_before_is_left_to_who_began_it() -> None:
    begin_group()
    try:
        with training_processes():
            pass
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(
    start: Path, tmp_path: Path
) -> None:
    """Started by torchrun, on processors."""
    done = by_torchrun(SCRIPT, tmp_path, start, tmp_path)
    assert done.returncode != 0
    # Two processes write into one pipe, so that a line's end may come behind the other's line.
    assert "1: Terminated, group False" in done.stdout, done.stderr
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert [place.name for place in folder.glob("checkpoint-*")] == ["checkpoint-000003"]
    assert checkpoints.read_finished(folder) is None, "no process took it for finished"
