"""Finished runs without any training: a store and checkpoints filled by hand."""

import json
import operator
import shutil
from pathlib import Path

import yaml
from tiny_models import build_tiny_causal

from potstill.pipeline.recipe import load_recipe, write_resolved
from potstill.records import Checkpoint, Completion, Rationale, Request, Score, System, Task
from potstill.store import Store
from potstill.tasks import load_task

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
SPLITS = ("train", "train", "train", "dev", "dev", "test", "test")
PLACE = "checkpoints/rationales-0/checkpoint-000002"


def two_finished_runs(folder: Path) -> list[str]:
    """Makes ``sums`` and ``products``, two finished runs of one start; returns their folders."""
    start = build_tiny_causal(folder / "start", seed=0)
    finished_run(Path("sums"), start, build_tiny_causal(folder / "a", seed=1), sign="+")
    finished_run(Path("products"), start, build_tiny_causal(folder / "b", seed=2), sign="*")
    return ["sums", "products"]


def finished_run(folder: Path, start: Path, student: Path, *, sign: str) -> None:
    """Write a run whose chosen student is the model in ``student``.

    Args:
        folder: The run's; its task is named after it.
        start: What the recipe says the training started from.
        student: A model's folder.
        sign: What sets its questions apart from those of other runs, a key of ``SIGNS``.
    """
    folder.mkdir()
    questions = folder / f"{folder.name}_questions.jsonl"
    with questions.open("w") as file:
        for n, split in enumerate(SPLITS, start=2):
            answer = str(SIGNS[sign](n, n))
            row = {"question": f"What is {n} {sign} {n}?", "answer": answer, "split": split}
            file.write(json.dumps(row) + "\n")
    values = {
        "run": str(folder),
        "task": {"file": str(questions)},
        "teacher": "bundled:teacher",
        "student": {"model": f"hf:{start}", "device": "cpu"},
        "train": {"steps": 2},
        "evaluate": {"max_tokens": 8},
    }
    draft = folder / "draft.yaml"
    draft.write_text(yaml.safe_dump(values))
    recipe = load_recipe(draft)
    write_resolved(recipe)
    shutil.copytree(student, folder / PLACE)
    shutil.copytree(student, folder / "model")
    with Store(folder / "run.sqlite") as store:
        _fill(store, load_task(recipe.task))


def _fill(store: Store, task: Task) -> None:
    """A kept rationale for each training question, and one measured checkpoint."""
    kept = []
    for question in task.splits["train"]:
        request = Request(prompt=question.text)
        completion = Completion(
            request=request, sample=0, text=f"So it is. {question.answer}", finish_reason="stop"
        )
        store.add_completions("teacher", [completion], stage="generate")
        (stored,) = store.completions("teacher", request)
        kept.append(
            Rationale(
                question_id=question.id, completion_id=stored.id, sample=0, text="So it is.",
                answer=question.answer, verdict="kept",
            )
        )  # fmt: skip
    store.replace_rationales(kept, grader="1", settings_hash="x")
    checkpoint = Checkpoint(
        student="rationales", step=2, folder=PLACE, data_format="fine_tune_cot",
        encoder_decoder=False, examples=len(kept), too_long=0,
    )  # fmt: skip
    store.replace_training([], [checkpoint], settings_hash="x")
    score = Score(
        system=System("rationales", step=2), task=task.name, split="test", correct=0, total=2,
        low=0, high=1, no_answer=0, truncated=0,
    )  # fmt: skip
    store.replace_evaluation([score], [], [], grader="1", settings_hash="x")
