"""A key is asked for exactly where somebody is asked, and before anything that takes long."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from exchange_runs import TEACHER, fill, open_run, write_recipe
from loopback import Loopback
from test_stale import write_checkpoints, write_scores

from potstill.cli import main
from potstill.evaluate import Evaluation
from potstill.pipeline.run import Run
from potstill.records import Completion
from potstill.sampling.ask import SamplingParams

ANSWER = "We double it.\nThe answer is {answer}."
KEYED = {
    "model": "openai:big",
    "base_url": "http://secret.example:8000/v1",
    "api_key_env": "NO_KEY",
}


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    monkeypatch.setattr("potstill.pipeline.run.train", write_checkpoints)
    monkeypatch.setattr("potstill.pipeline.run.refuse_damaged", lambda *_: None)


def do(command: str, recipe: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [command, str(recipe), *words])


def refused_for_its_key(done: Result) -> bool:
    words = "openai:big needs a key: set the environment variable NO_KEY"
    return done.exit_code == 2 and words in done.output


def answer_tests(run: Run) -> None:
    """Store the teacher's greedy answers to the test questions."""
    for question in run.task.splits["test"]:
        asking = run.asking
        greedy = type(asking)(
            style=asking.style, sampling=SamplingParams(max_tokens=run.recipe.evaluate.max_tokens)
        )
        request = greedy.request(question, task=run.task.name)
        done = Completion(request=request, sample=0, text="The answer is 1.", finish_reason="stop")
        run.store.add_completions(TEACHER.name, [done], stage="evaluate")


def test_import_takes_no_key(tmp_path: Path) -> None:
    recipe, file = write_recipe(tmp_path, teacher=KEYED), tmp_path / "bought.jsonl"
    file.write_text(json.dumps({"question": "What is 2 + 2?", "rationale": "Two. It is 4."}))
    done = do("import", recipe, str(file))
    assert done.exit_code == 0, done.output
    assert "1 rationales stored" in done.output


def test_generate_takes_a_key_where_something_is_missing(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, teacher=KEYED)
    assert refused_for_its_key(do("generate", recipe))
    with open_run(recipe) as run:
        fill(run, [ANSWER, ANSWER])
    done = do("generate", recipe)
    assert done.exit_code == 0, done.output
    assert "0 completions stored, 6 already there" in done.output
    assert do("curate", recipe).exit_code == 0
    assert refused_for_its_key(do("generate", recipe, "--set", "generate.samples=3"))


def test_a_second_teachers_key_is_asked_for_before_the_first_is_asked(tmp_path: Path) -> None:
    with Loopback() as server:
        first = {"model": "openai:t", "base_url": server.url, "api_key_env": None}
        recipe = write_recipe(tmp_path, teacher=first, teachers={"other": KEYED})
        assert refused_for_its_key(do("generate", recipe))
        assert not server.bodies


def test_evaluate_asks_for_the_key_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = list[str]()

    def measure(*arguments: Any, **others: Any) -> Evaluation:
        measured.append("now")
        return write_scores(*arguments, **others)

    monkeypatch.setattr("potstill.pipeline.run.evaluate", measure)
    recipe = write_recipe(tmp_path, teacher=KEYED)
    with open_run(recipe) as run:
        fill(run, [ANSWER, ANSWER])
        run.curate()
        run.train()
    assert refused_for_its_key(do("evaluate", recipe))
    assert refused_for_its_key(do("run", recipe))
    assert measured == []
    done = do("evaluate", recipe, "--set", "evaluate.teacher=false")
    assert (done.exit_code, measured) == (0, ["now"]), done.output
    with open_run(recipe) as run:
        answer_tests(run)
    done = do("evaluate", recipe)
    assert (done.exit_code, measured) == (0, ["now", "now"]), done.output


def test_a_run_with_guidance_asks_for_the_key_at_once(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, teacher=KEYED, evaluate={"teacher": False}, guide={})
    with open_run(recipe) as run:
        fill(run, [ANSWER, ANSWER])
        run.curate()
        run.train()
    assert refused_for_its_key(do("run", recipe))
    assert refused_for_its_key(do("guide", recipe))


def test_a_pair_that_counts_by_the_teacher_needs_it(tmp_path: Path) -> None:
    pair = {"questioner": "both", "solver": "both", "count": "teacher"}
    recipe = write_recipe(tmp_path, evaluate={"teacher": False, "socratic": {"pair": pair}})
    done = do("generate", recipe)
    assert done.exit_code == 2
    assert "socratic.pair.count is teacher, and teacher is false" in done.output
