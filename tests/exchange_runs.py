"""Small runs whose teacher was asked, or is yet to be, for tests of files and of the hub."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from potstill.generate import teacher_asking
from potstill.keys import settings_hash
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Completion, Teacher
from potstill.runtime.progress import Meter

TEACHER = Teacher(name="openai:big@secret.example:8000/v1", chat=True)
SPLITS = ("train", "train", "train", "dev", "test")


def write_recipe(folder: Path, name: str = "run", **sections: object) -> Path:
    """A recipe of five sums, n + n from 2 on, three of them for training."""
    folder.mkdir(parents=True, exist_ok=True)
    questions = folder / "sums.jsonl"
    rows = [
        {"id": f"q{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
        for n, split in enumerate(SPLITS, start=2)
    ]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "run": str(folder / name),
        "task": {"file": str(questions), "id": "id"},
        "teacher": {
            "model": "openai:big", "base_url": "http://secret.example:8000/v1", "api_key_env": None,
        },
        "student": "bundled:student",
        "generate": {"samples": 2, "max_tokens": 50},
        **sections,
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def open_run(recipe: Path) -> Run:
    """The run of a recipe, with nothing shown."""
    return Run(load_recipe(recipe), Meter(None))


def fill(run: Run, texts: Sequence[str], *, teacher: Teacher = TEACHER) -> None:
    """Store these texts as the samples of every training question; ``{answer}`` is filled in."""
    asking = teacher_asking(teacher, run.recipe.generate, seed=run.recipe.seed)
    for question in run.task.splits["train"]:
        request = asking.request(question, task=run.task.name)
        completions = [
            Completion(
                request=request, sample=sample, text=text.replace("{answer}", question.answer),
                finish_reason="stop", prompt_tokens=9, completion_tokens=7, cost=0.25,
            )
            for sample, text in enumerate(texts)
        ]  # fmt: skip
        run.store.add_completions(teacher.name, completions, stage="generate")
    made = settings_hash(run.recipe.teacher.model_dump(mode="json"))
    run.store.remember_teacher(teacher, settings_hash=made)


def curated_run(recipe: Path) -> Run:
    """A run with three kept and three wrong rationales."""
    run = open_run(recipe)
    fill(run, ["We double it.\nThe answer is {answer}.", "We guess.\nThe answer is 1."])
    run.curate()
    return run
