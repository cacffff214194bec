"""Memory of train, evaluate and report as a run's data grow from 10,000 to 1,000,000 examples.

Run: python benchmarks/data_size.py [--json benchmarks/results/data_size.json] [--examples N ...]
     [--tests N] [--keep FOLDER] [--made-up-student]

Each run is made up: N rationales, eight of a training question, about 300 characters each, all of
which a student learns, and the answers of four systems to 4,000 test questions (``--tests``).
Training takes two steps, and nobody is asked anything, so that it is the data that is measured.
Each command runs in a process of its own, whose largest resident memory counts. Wanted: from the
smallest to the largest less than 200 MB more. With ``--made-up-student`` the report alone is
measured, of a student, scores and answers that are made up too, which spares the training.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from machine import facts, write_results

from potstill.evaluate.candidates import candidates
from potstill.evaluate.systems import MeasuredSystem, baseline_systems
from potstill.keys import question_digest
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import (
    Checkpoint,
    Completion,
    Prediction,
    Question,
    Rationale,
    Request,
    Score,
    System,
    TrainingStep,
)
from potstill.sampling.ask import PromptConfig, second_requests
from potstill.statistics import accuracy_interval

SAMPLES, AT_ONCE = 8, 1_000
RECIPE = """\
run: {folder}
task: {{file: {file}, answer_type: number}}
teacher: {{model: "openai:large", base_url: "http://127.0.0.1:9/v1"}}
student: bundled:student
generate: {{samples: 8}}
train:
  steps: 2
  batch_size: 16
  checkpoints: 1
  learning_rate: 0.001
  max_length: 512
  students: {{rationales: {{data_format: fine_tune_cot}}}}
evaluate: {{max_tokens: 64}}
"""
STUDENT = System("rationales", step=2)
SYSTEMS = (
    STUDENT, System("start"), System("start", variant="zero_shot"),
    System("start", variant="few_shot"),
)  # fmt: skip
"""The systems that are measured when a student is made up."""

WORDS = [
    "first", "then", "so", "we", "take", "the", "number", "of", "apples", "boxes", "left", "and",
    "add", "multiply", "by", "gives",
]  # fmt: skip


class Texts:
    """Made-up texts, the same in every run."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self._parts = [" ".join(self.random.choices(WORDS, k=24)) for _ in range(500)]

    def one(self, answer: str) -> str:
        """Returns a rationale of about 300 characters that ends in an answer."""
        parts = self.random.choices(self._parts, k=2)
        return f"{'. '.join(parts)}. The answer is {answer}."


def write_questions(path: Path, examples: int, tests: int) -> None:
    """Write the questions of a run, with a column that says their split."""
    counts = {"train": examples // SAMPLES, "dev": 50, "test": tests}
    with path.open("w", encoding="utf-8") as file:
        for split, count in counts.items():
            for number in range(count):
                text = f"Box {number} of the {split} shelf holds {number % 97} pens and 5 more. "
                text += "How many pens are there in it, if none of them is taken out again?"
                row = {"question": text, "answer": str(number % 97 + 5), "split": split}
                file.write(json.dumps(row) + "\n")


def teach(run: Run) -> None:
    """Store rationales, as generate and curate would have."""
    texts, store, task = Texts(), run.store, run.task
    asking, name = run.asking, run.asked_teacher.name
    rationales = []
    for questions in batches(task.splits["train"]):
        answered = []
        for question in questions:
            request = asking.request(question, task=task.name)
            answered += [
                Completion(
                    request=request, sample=sample, text=texts.one(question.answer),
                    finish_reason="stop", prompt_tokens=40, completion_tokens=80,
                )
                for sample in request.samples
            ]  # fmt: skip
        store.add_completions(name, answered, stage="generate")
        for question in questions:
            request = asking.request(question, task=task.name)
            for id_, stored in store.completions(name, request):
                rationales.append(
                    Rationale(
                        question_id=question.id, completion_id=id_, sample=stored.sample,
                        text=stored.text.rpartition(" The answer")[0], answer=question.answer,
                        verdict="kept", question_digest=question_digest(question),
                        gold=question.answer, right=True,
                    )
                )  # fmt: skip
    from potstill.pipeline.stage_inputs import curate_inputs

    store.replace_rationales(rationales, grader="1", settings_hash=curate_inputs(run).digest)


def answer(run: Run) -> None:
    """Store the answers of all systems that evaluate will measure."""
    models, settings = run.students.eval_models, run.recipe.evaluate
    systems = baseline_systems(models, settings)
    for offered in candidates(run.store.checkpoints(), models, settings, seed=run.recipe.seed):
        systems += [one.system for one in offered]
    for system in systems:
        _answer_as(run, system)


def _answer_as(run: Run, system: MeasuredSystem) -> None:
    texts, task, name = Texts(), run.task, system.open().name
    for split in ("dev", "test"):
        for questions in batches(task.splits[split]):
            requests = [system.asking.request(question, task=task.name) for question in questions]
            run.store.add_completions(
                name, _answers(texts, questions, requests, system.asking), stage="evaluate"
            )
            second = [
                further
                for request in requests
                for further in second_requests(name, run.store, request, system.asking)
            ]
            run.store.add_completions(
                name, _answers(texts, questions, second, system.asking), stage="evaluate"
            )


def _answers(
    texts: Texts, questions: Sequence[Question], requests: Sequence[Request], asking: PromptConfig
) -> Iterator[Completion]:
    for question, request in zip(questions, requests, strict=False):
        right = texts.random.random() < 0.5
        yield Completion(
            request=request, sample=0, text=texts.one(question.answer if right else "1"),
            finish_reason="stop", prompt_tokens=40, completion_tokens=80,
        )  # fmt: skip


def batches(items: Sequence[Question]) -> Iterator[Sequence[Question]]:
    """Yields items in lists of at most a thousand."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def measured(*arguments: str) -> dict[str, float]:
    """Returns the seconds and the largest memory of a command of potstill."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "potstill", *arguments, "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "memory_mb": round(usage.ru_maxrss / 1_000),
    }


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Do some work in a process of its own.

    What a command is said to have had in memory begins with what the process had that started it,
    so this one stays small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(work, *arguments).result()


def fill(folder: Path, examples: int, tests: int) -> None:
    """Make a run of so many examples, if it is not there."""
    recipe = folder / "recipe.yaml"
    if recipe.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "questions.jsonl"
    write_questions(file, examples, tests)
    recipe.write_text(RECIPE.format(folder=folder / "run", file=file))
    with Run(load_recipe(recipe)) as run:
        run.identity.claim()
        teach(run)


def answer_all(recipe: Path) -> None:
    """Have all systems' test answers in a run."""
    with Run(load_recipe(recipe)) as run:
        if not run.store.pool_size(("evaluate",)):
            answer(run)


def make_up(recipe: Path) -> None:
    """Have a student in a run that nobody trained, with all systems' test answers."""
    with Run(load_recipe(recipe)) as run:
        if run.store.checkpoints():
            return
        learned = Checkpoint(
            student=STUDENT.model, step=2, folder="checkpoints/rationales/step-2",
            data_format="fine_tune_cot", encoder_decoder=False, too_long=0,
            examples=len(run.store.rationales()),
        )  # fmt: skip
        last = TrainingStep(student=STUDENT.model, step=2, loss=1.0, tokens=9_000, seconds=1.0)
        run.store.replace_training([last], [learned], settings_hash="made up")
        answers = [one for system in SYSTEMS for one in _made_up_answers(run, system)]
        scores = [_score(system, answers) for system in SYSTEMS]
        run.store.replace_evaluation(scores, answers, [], grader="1", settings_hash="made up")


def _made_up_answers(run: Run, system: System) -> Iterator[Prediction]:
    texts, task, asking = Texts(), run.task, run.asking
    for questions in batches(task.splits["test"]):
        requests = [
            replace(asking.request(question, task=task.name), samples=(0,), max_tokens=64)
            for question in questions
        ]
        given = [*_answers(texts, questions, requests, asking)]
        run.store.add_completions(f"hf:{system.label}", given, stage="evaluate")
        for question, one in zip(questions, given, strict=True):
            right = one.text.endswith(f" {question.answer}.")
            yield Prediction(
                system=system, task=task.name, question_id=question.id, text=one.text,
                answer=question.answer if right else "1", correct=right, finish_reason="stop",
                completion_tokens=80, question_digest=question_digest(question),
            )  # fmt: skip


def _score(system: System, answers: Sequence[Prediction]) -> Score:
    own = [one.correct for one in answers if one.system == system]
    low, high = accuracy_interval(sum(own), len(own))
    return Score(
        system=system, task=answers[0].task, split="test", correct=sum(own), total=len(own),
        low=low, high=high, no_answer=0, truncated=0,
    )  # fmt: skip


def measure(folder: Path, examples: int, tests: int, *, made_up: bool) -> dict[str, object]:
    """Make a run of so many examples, and measure the three commands, or the last, on it."""
    recipe = folder / "recipe.yaml"
    apart(fill, folder, examples, tests)
    row: dict[str, object] = {"examples": examples, "tests": tests}
    if made_up:
        apart(make_up, recipe)
    else:
        row["train"] = measured("train", str(recipe))
        apart(answer_all, recipe)
        row["evaluate"] = measured("evaluate", str(recipe))
    row["report"] = measured("report", str(recipe))
    row["store_mb"] = round((folder / "run" / "run.sqlite").stat().st_size / 1e6)
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Make the runs, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--examples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--tests", type=int, default=4_000)
    parser.add_argument("--keep", type=Path, help="takes the runs; those that are there are used")
    parser.add_argument("--made-up-student", action="store_true", help="the report alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as temporary:
        folder = arguments.keep or Path(temporary)
        rows = [
            measure(
                folder.resolve() / str(count),
                count,
                arguments.tests,
                made_up=arguments.made_up_student,
            )
            for count in arguments.examples
        ]
    if arguments.json:
        write_results(arguments.json, {"machine": facts("torch"), "rows": rows})


if __name__ == "__main__":
    main()
