"""The plan of on-policy students: rounds, scored texts, their tokens and their price."""

from pathlib import Path
from typing import Any

import pytest

from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.plan.needs import Figures
from potstill.plan.plan import plan_run
from potstill.plan.scoring_needs import _trainings
from potstill.records import Completion, Request
from potstill.store import Store
from potstill.train.checkpoints import finish

TEACHER = {
    "model": "openai:some", "base_url": "http://127.0.0.1:9/v1", "api_key_env": None,
    "prompt_price": 2.0, "completion_price": 8.0,
}  # fmt: skip


def recipe(folder: Path, **on_policy: Any) -> Recipe:
    student = {"matching": {"divergence": "reverse_kl"}, "on_policy": on_policy}
    return load_recipe(
        {
            "run": str(folder / "run"), "student": "bundled:student", "teacher": TEACHER,
            "task": {"name": "two_step_arithmetic", "train": 10, "dev": 2, "test": 2},
            "train": {"steps": 25, "batch_size": 4, "students": {"own": student}},
            "evaluate": {"teacher": False},
        }
    )  # fmt: skip


def trainings(planned: Recipe) -> list[Path]:
    """The folders of the student's training."""
    with Run(planned) as run:
        (system,) = run.students.settled
        return _trainings(run, system)


def scoring(planned: Recipe) -> Figures:
    (found,) = [one for one in plan_run(planned).figures if one.need.stage == "train"]
    return found


def test_rounds_texts_and_their_price_are_told_before(tmp_path: Path) -> None:
    whole = scoring(recipe(tmp_path, max_tokens=100, samples=2))
    assert whole.need.what == "scores for own, 3 rounds"
    assert whole.samples.most == (20 + 20 + 10) * 2, "the last round has half as many steps"
    prompts = 100 * 40  # about as many tokens as a question has, and each is at most its bytes
    assert whole.prompt_tokens.most > prompts + 100 * 100
    assert whole.completion_tokens.most == 100
    assert whole.usd.most == pytest.approx((whole.prompt_tokens.most * 2 + 100 * 8) / 1e6)
    beginnings = scoring(recipe(tmp_path, max_tokens=100, samples=2, score={"first_tokens": 8}))
    assert whole.prompt_tokens.most - beginnings.prompt_tokens.most == 100 * 92
    few = scoring(recipe(tmp_path, max_tokens=100, samples=2, questions=5))
    assert few.samples.most == 3 * 5 * 2


def test_what_was_scored_for_this_very_training_is_not_planned_again(tmp_path: Path) -> None:
    own = recipe(tmp_path, max_tokens=100)
    (tmp_path / "run" / "checkpoints" / "own-begun").mkdir(parents=True)
    (folder,) = trainings(own)
    training = folder.name.rpartition("-")[2]
    with Store(tmp_path / "run" / "run.sqlite") as store:
        for identity in ("0123", training):
            for number in range(7):
                request = Request(prompt=f"{number}", max_tokens=9)
                answer = Completion(request=request, sample=0, text="a", finish_reason="stop")
                store.add_completions(f"on_policy:own@{identity}cdef:1", [answer], stage="train")
        assert (scoring(own).need.there, scoring(own).samples.most) == (7, 100 - 7)
        other = recipe(tmp_path, max_tokens=100, top=10)
        assert (scoring(other).need.there, scoring(other).samples.most) == (0, 100)
        finish(folder, {"steps": [], "log": []})
        assert scoring(own).samples.most == 0
        assert scoring(other).samples.most == 100
