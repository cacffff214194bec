"""The recipes of real data: their files hold rationales of their training questions."""

from pathlib import Path

import pytest

from potstill.models.recorded import RecordedModel
from potstill.models.settings import RecordedSettings
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.records import Task
from potstill.tasks import grade, load_task

ROOT = Path(__file__).parents[1]
RECIPES = sorted(ROOT.glob("recipes/real/*.yaml"))

WITH_RATIONALE = {
    "coin-flip": 313,
    "commonsense-qa": 9232,
    "dates": 233,
    "gsm8k-recorded": 6940,
    "last-letters": 315,
    "multiarith": 374,
    "strategy-qa": 1252,
    "svamp": 449,
}
"""Training questions that the first teacher has a rationale of."""


def here(path: Path | str, shared_data: Path) -> Path:
    """A recipe's path below ``data/`` where the data lie on this machine."""
    return shared_data / Path(path).relative_to("data")


def opened(recipe: Recipe, shared_data: Path) -> tuple[Task, list[RecordedModel]]:
    assert recipe.task.path is not None
    path = here(recipe.task.path, shared_data)
    task = load_task(recipe.task.model_copy(update={"path": path}))
    teachers = []
    for settings in (recipe.teacher, *recipe.teachers.values()):
        assert isinstance(settings, RecordedSettings)
        model = f"recorded:{here(settings.where, shared_data)}"
        teachers.append(RecordedModel(settings.model_copy(update={"model": model})))
    return task, teachers


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_real_data_says_what_was_published_and_sets_no_manner_of_training(
    path: Path,
) -> None:
    head = path.read_text(encoding="utf-8").partition("\ntask:")[0]
    assert "Published (Fine-tune-CoT" in head and "GPT-2 124M" in head and "T5 60M" in head
    recipe = load_recipe(path)
    assert recipe.model_fields_set.isdisjoint({"train", "curate", "seed"})
    assert recipe.evaluate.model_fields_set == {"max_tokens"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_rationales_of_training_questions_are_there_and_no_question_is_held_out(
    path: Path, shared_data: Path
) -> None:
    task, teachers = opened(load_recipe(path), shared_data)
    train, held_out = task.splits["train"], {*task.splits["dev"], *task.splits["test"]}
    texts = {" ".join(question.text.split()) for question in held_out}
    assert not [question for question in train if " ".join(question.text.split()) in texts]
    answered = [question for question in train if teachers[0].recorded(question.text)]
    assert len(answered) == WITH_RATIONALE[path.stem]
    for teacher in teachers:
        own = [question for question in train if teacher.recorded(question.text)][:100]
        right = [
            grade(task, text, question).correct
            for question in own
            for text in teacher.recorded(question.text)[:2]
        ]
        assert sum(right) > 0.5 * len(right) > 0
