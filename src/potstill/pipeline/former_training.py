"""Runs that were trained before the values left open went by the start's size keep their values."""

from potstill.pipeline.recipe import Recipe
from potstill.store import Store
from potstill.train.defaults import FORMER, OPEN, with_values


def with_former_values(recipe: Recipe, store: Store) -> Recipe:
    """Returns the recipe, with Fine-tune-CoT's values where its run was trained by them.

    Args:
        recipe: Today's.
        store: The run's.
    """
    made = store.provenance("train")
    if made is None and not store.checkpoints():
        return recipe
    then = made.inputs if made is not None else {}
    if any(then.get(f"train.{name}", FORMER[name]) is None for name in OPEN):
        return recipe
    return recipe.model_copy(update={"train": with_values(recipe.train, FORMER)})
