"""Members' folders → one model, with their tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.fuse.grams import linear_layers
from potstill.fuse.weights import Fused, Weights
from potstill.models.loading import Loaded, load_model_and_tokenizer, quietly

Combine = Callable[[Sequence[Weights], dict[str, bool]], Fused]
"""The members' weights, and the linear layers of their model → the fused weights."""


class FusedModel(NamedTuple):
    """A model of fused weights."""

    loaded: Loaded
    ridged: tuple[str, ...]
    """The linear layers whose Grams were singular."""


def fused_model(folders: Sequence[Path], combine: Combine) -> FusedModel:
    """A model with the combined weights of all.

    Args:
        folders: Models of one architecture, size and vocabulary.
        combine: How their weights become one.

    Raises:
        ConfigError: The models differ in more than their weights.
    """
    loaded = [_on_cpu(folder) for folder in folders]
    first = loaded[0]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        difference = _difference(first, other)
        if difference:
            raise ConfigError(
                f"{folders[0]} and {folder} cannot be fused: {difference}. Fuse students of one "
                "start checkpoint, or take them as an ensemble alone: --method ensemble."
            )
    members = [each.model.state_dict() for each in loaded]
    fused = combine(members, linear_layers(first.model))
    first.model.load_state_dict(fused.weights)
    return FusedModel(first, fused.ridged)


def save(fused: Loaded, folder: Path) -> None:
    """Write a model as ``hf:`` loads it."""
    with quietly():
        fused.model.save_pretrained(folder)
        fused.tokenizer.save_pretrained(folder)


def _on_cpu(folder: Path) -> Loaded:
    return load_model_and_tokenizer(str(folder), dtype="float32", device="cpu")


def _difference(one: Loaded, other: Loaded) -> str | None:
    """What sets two models apart beside their weights, in words."""
    kinds = one.model.config.model_type, other.model.config.model_type
    if kinds[0] != kinds[1]:
        return f"one is a {kinds[0]} model, the other a {kinds[1]} model"
    shapes = [
        {name: list(weight.shape) for name, weight in each.model.state_dict().items()}
        for each in (one, other)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        sizes = [each.get(name, "absent") for each in shapes]
        if sizes[0] != sizes[1]:
            return f"{name} is {sizes[0]} in one, {sizes[1]} in the other"
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        return "their tokenizers have different vocabularies"
    return None
