"""Settings of ``potstill merge``."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from potstill.settings import Settings

Method = Literal["average", "fisher", "regmean", "ensemble"]


def _listed(raw: object) -> object:
    """A list of values; one value may be given without its brackets."""
    return raw if isinstance(raw, list | tuple) else (raw,)


Alpha = Annotated[float, Field(ge=0, le=1)]


class MergeSettings(Settings):
    """How students are merged, and how the members and what comes of them are measured."""

    methods: Annotated[tuple[Method, ...], BeforeValidator(_listed)] = (
        "average",
        "regmean",
        "ensemble",
    )
    """``average``, ``fisher`` and ``regmean`` of the weights; ``ensemble``: of the next-token
    probabilities."""

    # Published (arXiv 2212.09849; bloomberg/dataless-model-merging @ 92247aec): the paper takes 0.9
    # generally and 0.1 for T5 and DeBERTa; the shipped configurations take 0.1 for RoBERTa, T5 and
    # DeBERTa on emotion, 0.9 for DeBERTa on NER, and none for DistilBERT and RoBERTa on GLUE.
    alpha: Annotated[tuple[Alpha, ...], BeforeValidator(_listed)] = (0.9,)
    """RegMean's factor of the Grams' off-diagonals; of several, development questions choose."""

    gram_examples: int = Field(default=1000, ge=1)
    """Most training examples of each member that RegMean's Grams are made from."""

    fisher_examples: int = Field(default=1000, ge=1)
    """Most training examples of each member that its Fisher information is measured on."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer, in tokens; null takes the largest of the members' recipes."""

    bootstrap: int = Field(default=10_000, ge=100)
    """Resamples behind the interval of a difference."""

    seed: int = Field(default=0, ge=0)
    """Seeds the choice of examples and the bootstrap."""

    @field_validator("methods", "alpha")
    @classmethod
    def _each_once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if not values:
            raise ValueError("give one or more")
        return tuple(dict.fromkeys(values))
