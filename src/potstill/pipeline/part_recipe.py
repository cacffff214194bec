"""The recipe of one worker of several that share a run's questions, each with a run of its own."""

from potstill.models.settings import ModelSettings, OpenAISettings
from potstill.pipeline.recipe import Recipe
from potstill.tasks.part import TaskPart


def part_recipe(recipe: Recipe, part: TaskPart) -> Recipe:
    """Returns the same recipe in a folder of the part's own, with its share of every limit.

    So the budget and the rates of the recipe hold over all workers together, though none knows of
    the others; a worker that needs less than its share leaves the rest unused.
    """
    update: dict[str, object] = {
        "run": recipe.run + part.suffix,
        "teacher": _share(recipe.teacher, part.count),
        "teachers": {name: _share(one, part.count) for name, one in recipe.teachers.items()},
    }
    if recipe.budget is not None:
        usd, tokens = recipe.budget.usd, recipe.budget.tokens
        update["budget"] = recipe.budget.model_copy(
            update={
                "usd": None if usd is None else usd / part.count,
                "tokens": None if tokens is None else max(tokens // part.count, 1),
            }
        )
    return recipe.model_copy(update=update)


def _share(model: ModelSettings, count: int) -> ModelSettings:
    """Returns a model's settings with one worker's share of its rates."""
    if not isinstance(model, OpenAISettings):
        return model
    rates = ("requests_per_minute", "tokens_per_minute")
    limits = {name: getattr(model, name) for name in rates}
    return model.model_copy(
        update={name: limit / count for name, limit in limits.items() if limit is not None}
    )
