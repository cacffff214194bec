"""The text in a run's view before a training's first step."""

from pathlib import Path

import pytest
from test_train import learner, settings, sums
from tiny_models import build_tiny_causal

import potstill.train.student
from potstill.records import Example
from potstill.runtime import Runtime
from potstill.train.encoding import Encoded, Encoder
from potstill.train.student import train_student


def test_the_view_counts_the_examples_that_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(potstill.train.student, "SHOWN_EXAMPLES", 2)
    runtime, seen = Runtime(), list[str]()

    class Watched(Encoder):
        def _encode(self, example: Example) -> Encoded:
            seen.extend(runtime.events.notes.values())
            return super()._encode(example)

    monkeypatch.setattr(potstill.train.student, "Encoder", Watched)
    examples = sums()[:5]
    start = build_tiny_causal(tmp_path / "start")
    wanted = settings(steps=1)
    train_student(learner(start), examples, wanted, tmp_path / "trained", runtime=runtime)
    counts = ["0", "0", "2", "2", "4"]
    assert seen == [f"{count} of 5 examples" for count in counts]
    assert runtime.events.notes == {}
