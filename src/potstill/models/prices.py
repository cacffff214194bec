"""What servers charge for tokens."""

from typing import NamedTuple

from potstill.models.settings import OpenAISettings


class Prices(NamedTuple):
    """US dollars a million tokens."""

    prompt: float
    cached: float
    """Of prompt tokens that the server had in its cache."""

    completion: float
    known: bool
    """False where neither the recipe nor the table has them; all are 0 then."""


def prices_of(settings: OpenAISettings) -> Prices:
    """The prices of a model: the recipe's own, else the table's."""
    prompt, completion = settings.prompt_price, settings.completion_price
    known = prompt is not None and completion is not None
    cached = settings.cached_price if settings.cached_price is not None else prompt
    return Prices(prompt or 0.0, cached or 0.0, completion or 0.0, known)
