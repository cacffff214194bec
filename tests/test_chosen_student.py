"""The student that commands take for the chosen one is the one that evaluation chose."""

from types import SimpleNamespace
from typing import Any

from test_evaluate import checkpoint

from potstill.pipeline.chosen_student import best_checkpoint
from potstill.records import System


def test_a_form_of_the_task_as_a_generic_one_chooses_nothing() -> None:
    offered = [checkpoint("answers_only", 10), checkpoint("rationales", 10)]

    def score(task: str, name: str, correct: int) -> SimpleNamespace:
        return SimpleNamespace(
            system=System(name), step=10, split="dev", task=task, correct=correct
        )

    other_form = [score("sums, zero_shot", "rationales", 0)]
    other_form += [score("sums, zero_shot", "answers_only", 2)]
    own = [score("sums", "rationales", 2), score("sums", "answers_only", 0)]
    for scores, chosen in ((own + other_form, "rationales"), (other_form, "answers_only")):
        store: Any = SimpleNamespace(scores=lambda scores=scores: scores)
        assert best_checkpoint(store, "sums", offered).student == chosen
