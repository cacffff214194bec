"""A finished run whose student was really asked: its predictions are in the store."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny_models import build_tiny_causal
from tiny_runs import PLACE, finished_run

from potstill.evaluate import word_as_trained
from potstill.grading.grade import grade
from potstill.models import open_model
from potstill.models.settings import LocalSettings
from potstill.pipeline.chosen_student import student_asking
from potstill.pipeline.run import Run, stored_run
from potstill.records import Checkpoint, Choice, Prediction, Score, System
from potstill.runtime.progress import Meter
from potstill.store import Store


def deployed_run(folder: Path, *, data_format: str = "fine_tune_cot", chat: bool = False) -> Path:
    """Write a run whose tiny student, of random weights, has answered its test questions.

    Args:
        folder: The run's.
        data_format: The format in which it was trained, and asked.
        chat: Whether its start has a chat template.
    """
    start = build_tiny_causal(folder.with_name("start"), "qwen2", chat=chat)
    sharpen(start)
    finished_run(folder, start, start, sign="+")
    with Store(folder / "run.sqlite") as store:
        _name_format(store, data_format)
    with stored_run(folder, Meter(None)) as run:
        (checkpoint,) = run.store.checkpoints()
        _evaluate(run, checkpoint)
        word_as_trained(folder / "model", student_asking(run, checkpoint))
    (folder / "model" / "README.md").write_text("# the card\n")
    return folder


def sharpen(folder: Path, *, seed: int = 0) -> None:
    """Draw a model's weights anew, and so large that what it writes hangs on every token."""
    torch.manual_seed(seed)
    path = folder / "model.safetensors"
    weights = {
        name: torch.randn_like(weight) * (0.5 if weight.dim() > 1 else 1.0)
        for name, weight in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})


def _name_format(store: Store, data_format: str) -> None:
    checkpoint = Checkpoint(
        student="rationales", step=2, folder=PLACE, data_format=data_format,
        encoder_decoder=False, examples=3, too_long=0,
    )  # fmt: skip
    store.replace_training([], [checkpoint], settings_hash="x")


def _evaluate(run: Run, checkpoint: Checkpoint) -> None:
    """Ask the student, and store its answers as an evaluation does."""
    asking, task = student_asking(run, checkpoint), run.task
    model = open_model(LocalSettings(model=f"hf:{run.folder / PLACE}", device="cpu"))
    system = System("rationales", step=2)
    predictions = []
    for question in task.splits["test"]:
        (completion,) = model.complete([asking.request(question)])
        verdict = grade(task, completion.text, question)
        predictions.append(
            Prediction(
                system=system, task=task.name, question_id=question.id, text=completion.text,
                answer=verdict.answer, correct=verdict.correct,
                finish_reason=completion.finish_reason,
                completion_tokens=completion.completion_tokens,
            )
        )  # fmt: skip
    score = Score(
        system=system, task=task.name, split="test", correct=0, total=len(predictions), low=0,
        high=1, no_answer=0, truncated=0,
    )  # fmt: skip
    choice = Choice(student="rationales", rule="in_distribution", step=2, used=True)
    run.store.replace_evaluation([score], predictions, [], [choice], grader="1", settings_hash="x")
