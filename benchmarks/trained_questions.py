"""How much development questions over-read the test where students were trained on them.

    python benchmarks/trained_questions.py RUN RUN ... --out FILE

FILE is benchmarks/results/trained-questions.json in this checkout. RUN are the folders of finished
runs of one recipe, one for each seed, as ``potstill experiment`` leaves them. The chosen student of
each answers its own training questions, as it was measured; development and test are read from the
run. Published (arXiv 2301.12726): development questions that were trained on read 31.5% where the
test read about 22% (Flan-T5 3B, GSM8K).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from machine import facts, write_results

from potstill.experiment.run_results import SystemResults, system_figures
from potstill.grading.grade import grade
from potstill.models import open_model
from potstill.pipeline.chosen_student import chosen_checkpoint, student_asking
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Question

TRAINED, DEVELOPMENT, TEST = "trained", "development", "test"


def answers_of(folder: Path) -> dict[str, dict[str, bool]]:
    """Returns whether the chosen student is right, by kind of question and the question's id."""
    recipe = load_recipe(folder / "recipe.yaml", [f"run={folder}"])
    with Run(recipe, read_only=True, is_moved=True) as run:
        checkpoint, task = chosen_checkpoint(run), run.task
        asking = student_asking(run, checkpoint)
        place = {"model": f"hf:{folder / 'model'}", "revision": None, "serve": None}
        model = open_model(recipe.student.model_copy(update=place))

        def asked(questions: Sequence[Question]) -> dict[str, bool]:
            requests = {asking.request(question): question for question in questions}
            return {
                requests[done.request].id: grade(task, done.text, requests[done.request]).correct
                for done in model.complete(requests)
            }

        tested = {
            prediction.question_id: prediction.correct
            for prediction in run.store.predictions()
            if prediction.task == task.name and prediction.system.label == checkpoint.system.label
        }
        return {
            TRAINED: asked(task.splits["train"]),
            DEVELOPMENT: asked(task.splits["dev"]),
            TEST: tested,
        }


def figures(of_runs: Mapping[int, Mapping[str, Mapping[str, bool]]]) -> dict[str, object]:
    """Returns every kind's accuracy over the runs; the questions differ, so none are paired."""
    return {
        kind: system_figures(
            SystemResults(name=kind, by_seed={seed: run[kind] for seed, run in of_runs.items()})
        )
        for kind in (TRAINED, DEVELOPMENT, TEST)
    }


def main() -> None:
    """Asks the students of all runs, and writes the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    of_runs = {seed: answers_of(folder) for seed, folder in enumerate(options.runs)}
    task = load_recipe(options.runs[0] / "recipe.yaml").task.name
    found = figures(of_runs)
    for kind, told in found.items():
        print(kind, told)
    results = {**facts("torch", "transformers"), "runs": {"tasks": {task: found}}}
    write_results(options.out, results)


if __name__ == "__main__":
    main()
