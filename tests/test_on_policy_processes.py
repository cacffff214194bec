"""Two processes write the rounds of an on-policy student together; the main one buys the scores."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from dense_scorer import DenseScorer
from fakes import sums
from shared_trainings import each_step_logged
from test_on_policy import ASKING, letters_model, on_policy, rounds_of, settings
from two_processes import by_torchrun

from potstill.errors import BudgetError, PotstillError
from potstill.launched import is_main_process
from potstill.models.settings import LocalSettings
from potstill.pipeline.process_order import after_the_main_process
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.train import Models, train
from potstill.train.on_policy.work import ScoringTeacher
from potstill.train.processes import training_processes

PROGRAM = """
import sys
from pathlib import Path
from test_on_policy_processes import train_both
train_both(Path(sys.argv[1]))
"""


def trained_losses(folder: Path, scorer: DenseScorer, **values: Any) -> list[float]:
    """Returns the losses of a student, which as many processes train as were started."""
    start = LocalSettings(model=f"hf:{folder.parent / 'start'}", device="cpu")
    teacher = ScoringTeacher(settings=scorer.settings, model=scorer, asking=ASKING)
    models = Models(start=start, teacher=start, scoring={"teacher": teacher})
    own = settings({"own": on_policy(samples=2, steps_per_round=2, **values)})
    folder.mkdir(exist_ok=True)
    with training_processes(), each_step_logged():
        with after_the_main_process():
            store = Store(folder / "run.sqlite", read_only=not is_main_process())
        with store:
            context = RunContext(store=store, folder=folder, progress=Meter(None))
            train(sums(train=6), models, own, context, seed=0)
            return [line.loss for line in store.training()] if is_main_process() else []


def train_both(folder: Path) -> None:
    """Train a student to its end, and one until the budget is spent, after some rounds."""
    with training_processes():
        scorer = DenseScorer(folder / "teacher")
        losses = trained_losses(folder / "together", scorer)
        asked = len(scorer.asked)
        cut = DenseScorer(folder / "teacher")
        cut.left, cut.fault = asked - 3, BudgetError("the budget is spent")
        with pytest.raises(PotstillError) as raised:
            trained_losses(folder / "cut", cut)
        ended = f"{type(raised.value).__name__}: {raised.value}"
    if is_main_process():
        (folder / "main.json").write_text(json.dumps([losses, asked, ended]), encoding="utf-8")
    else:
        (folder / "other.json").write_text(json.dumps([len(scorer.asked), ended]), encoding="utf-8")


@pytest.mark.slow
def test_two_processes_write_score_and_learn_what_one_does(tmp_path: Path) -> None:
    """And where the budget is spent both stop at the same step, for one to go on from."""
    letters_model(tmp_path / "start", seed=0)
    letters_model(tmp_path / "teacher", seed=1)
    scorer = DenseScorer(tmp_path / "teacher")
    alone = trained_losses(tmp_path / "alone", scorer)
    done = by_torchrun(PROGRAM, tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr
    losses, asked, ended = json.loads((tmp_path / "main.json").read_text())
    assert losses == pytest.approx(alone, abs=1e-4)
    assert rounds_of(tmp_path / "together") == rounds_of(tmp_path / "alone")
    assert asked == len(scorer.asked)
    assert ended == "BudgetError: the budget is spent"
    assert json.loads((tmp_path / "other.json").read_text()) == [
        0,
        "PotstillError: the budget is spent",
    ]
    kept = {place.name for place in (tmp_path / "cut").glob("checkpoints/own-*/checkpoint-*")}
    assert kept == {"checkpoint-000003", "checkpoint-000004"}, "the second to go on from"
    assert trained_losses(tmp_path / "cut", scorer) == pytest.approx(alone, abs=1e-4)
