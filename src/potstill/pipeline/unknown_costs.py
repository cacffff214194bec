"""The models of which nobody knows what they cost: by their prices, or by what they may write."""

from collections.abc import Iterable, Iterator

from potstill.models.settings import ModelSettings, ServerSettings


def without_prices(models: Iterable[ModelSettings | None]) -> list[ModelSettings]:
    """Returns the models among some that are paid for and whose prices are not known."""
    return [model for model in models if model and model.is_paid and not model.prices().known]


LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
"""The fields of a request's body that limit an answer's tokens; one is sent by itself."""


def without_limits(models: Iterable[ModelSettings | None]) -> Iterator[ServerSettings]:
    """Yields the models whose ``body`` takes out the limit of an answer and gives no other.

    Nobody knows beforehand what a request to them may cost.
    """
    for model in models:
        if isinstance(model, ServerSettings):
            changed = [model.body[name] for name in LIMIT_FIELDS if name in model.body]
            if changed and not any(changed):
                yield model
