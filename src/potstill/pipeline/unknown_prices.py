"""The models whose prices are not known."""

from collections.abc import Iterable

from potstill.models.settings import ModelSettings


def without_prices(models: Iterable[ModelSettings | None]) -> list[ModelSettings]:
    """Returns the models among some that are paid for and whose prices are not known."""
    return [model for model in models if model and model.is_paid and not model.prices().known]
