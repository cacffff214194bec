"""On-policy training: what is asked of student and teacher, and what is learned of it."""

from pathlib import Path
from typing import Any

import torch
from dense_scorer import DenseScorer
from fakes import sums
from tiny_models import build_tiny_causal

from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.prompts.styles import style_named
from potstill.records import Checkpoint, Task
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store
from potstill.train import Models, TrainSettings, train
from potstill.train.on_policy.work import ScoringTeacher

ASKING = PromptConfig(style=style_named("zero_shot_cot"), sampling=SamplingParams())
OWN_FORMAT = {
    "prompt": "Q: {question}\nA: Let's think step by step.",
    "target": " {rationale}\nTherefore, the answer is {answer}",
}
"""As the teacher is asked, and as it answers."""


def settings(students: dict[str, Any], **fields: Any) -> TrainSettings:
    values = {
        "steps": 6, "batch_size": 4, "learning_rate": 1e-2, "checkpoints": 2,
        "precision": "float32", "students": students,
    }  # fmt: skip
    return TrainSettings.model_validate(values | fields)


def on_policy(**fields: Any) -> dict[str, Any]:
    given = {"steps_per_round": 3, "max_tokens": 12, "top": 5} | fields
    return {
        "data_format": OWN_FORMAT, "on_policy": given, "matching": {"divergence": "reverse_kl"},
    }  # fmt: skip


def trained(
    folder: Path, start: Path, scorer: DenseScorer, values: TrainSettings, task: Task | None = None
) -> list[Checkpoint]:
    student = LocalSettings(model=f"hf:{start}", device="cpu")
    teacher = ScoringTeacher(settings=student, model=scorer, asking=ASKING)
    models = Models(start=student, teacher=student, scoring={"teacher": teacher})
    folder.mkdir(parents=True, exist_ok=True)
    with Store(folder / "run.sqlite") as store:
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        return train(task or sums(train=6), models, values, context, seed=0)


def weights(folder: Path, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    loaded = load_model_and_tokenizer(str(folder / checkpoint.folder), device="cpu")
    return dict(loaded.model.state_dict())


def test_a_student_writes_a_teacher_scores_and_the_student_learns(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    scorer = DenseScorer(build_tiny_causal(tmp_path / "teacher", "qwen3", seed=1))
    found = trained(tmp_path / "run", start, scorer, settings({"own": on_policy()}))
    assert [one.step for one in found] == [3, 6]
    assert len(scorer.asked) == 2 * 3 * 4
