"""Merging the weights of models that grew from one checkpoint: the average, and RegMean.

RegMean (arXiv 2212.09849) solves, for each linear layer, the regression whose targets are the
members' own outputs on their own inputs. It takes no more of a member's training data than each
layer's Gram matrix, the mean of x x^T over the tokens' inputs x. With the Grams [[2, 1], [1, 1]]
and [[1, 0], [0, 1]] and the weights [1, 0] and [0, 1]:

    W = (G_1 + G_2)^-1 (G_1 W_1 + G_2 W_2) = [[3, 1], [1, 2]]^-1 [2, 2] = [0.4, 0.8]

Shape suffixes: T tokens, I inputs and O outputs of a linear layer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

Weights = Mapping[str, Tensor]
"""Tensors by name, as of a model's ``state_dict``."""

RIDGE = 1e-6
"""The ridge that is added to a singular Gram's diagonal, as a share of the diagonal's mean."""

SINGULAR = 1e-12
"""Smallest squared ratio of a Cholesky factor's diagonal entries that still can be solved with."""


class MergedWeights(NamedTuple):
    """Weights that were merged from those of several models."""

    weights: dict[str, Tensor]
    ridged: tuple[str, ...]
    """The linear layers whose Grams were singular and got a ridge."""


def average(members: Sequence[Weights]) -> dict[str, Tensor]:
    """The mean of each tensor, summed in float32; whole numbers are taken from the first member."""
    return {name: mean_weight([member[name] for member in members]) for name in members[0]}


def regmean(
    members: Sequence[Weights],
    grams: Sequence[Weights],
    layers: Mapping[str, bool],
    *,
    alpha: float,
) -> MergedWeights:
    """The weights with the least squared differences from the members' outputs (RegMean).

    A linear layer's weight becomes W = (sum G_i)^-1 (sum G_i W_i) with the Grams G_i of the
    members' own inputs (arXiv 2212.09849, equation 2). Everything else is averaged.

    Args:
        members: The members' weights, equal in names and shapes.
        grams: Each member's Grams by layer; a layer that one of them lacks is averaged.
        layers: The linear layers, and whether a layer's weight is (inputs, outputs).
        alpha: Factor of the Grams' off-diagonals.
    """
    weights, ridged = average(members), []
    for layer, inputs_first in layers.items():
        if not all(layer in own_grams for own_grams in grams):
            continue
        # Every member's weight as (I, O), whichever way round the layer keeps it, and back.
        name = f"{layer}.weight"
        weights_IO = [member[name] if inputs_first else member[name].T for member in members]
        layer_grams = [own_grams[layer] for own_grams in grams]
        weight_IO, singular = regression_mean(weights_IO, layer_grams, alpha=alpha)
        weight = weight_IO if inputs_first else weight_IO.T
        weights[name] = weight.to(weights[name].dtype).contiguous()
        if singular:
            ridged.append(layer)
    return MergedWeights(weights, tuple(ridged))


def regression_mean(
    weights_IO: Sequence[Tensor], grams_II: Sequence[Tensor], *, alpha: float
) -> tuple[Tensor, bool]:
    """One layer's W = (sum G_i)^-1 (sum G_i W_i) in float64, and whether it took a ridge."""
    grams = [_shrunk(gram, alpha) for gram in grams_II]
    factor = _cholesky(sum(grams, torch.zeros_like(grams[0])))
    singular = factor is None
    if factor is None:
        # Some directions occur in nobody's inputs. A ridge on every member's Gram alike makes the
        # (I, I) sum invertible, and the weights along those directions the members' average.
        mean = torch.stack([gram.diagonal().mean() for gram in grams]).mean()
        ridge = torch.eye(len(grams[0]), dtype=torch.float64) * (RIDGE * mean or 1.0)
        grams = [gram + ridge for gram in grams]
        factor = torch.linalg.cholesky(sum(grams, torch.zeros_like(grams[0])))
    # The right-hand side, sum G_i W_i, of shape (I, O).
    pairs = zip(grams, weights_IO, strict=True)
    total_IO = sum((gram @ weight.double() for gram, weight in pairs), torch.zeros(()))
    assert isinstance(total_IO, Tensor)
    return torch.cholesky_solve(total_IO, factor), singular


def _shrunk(gram_II: Tensor, alpha: float) -> Tensor:
    """The Gram with its off-diagonals multiplied by alpha."""
    gram_II = gram_II.double()
    # A float32 product may round its two triangles apart, and Cholesky reads one of them only.
    gram_II = (gram_II + gram_II.T) / 2
    return alpha * gram_II + (1 - alpha) * gram_II.diagonal().diag()


def _cholesky(gram_II: Tensor) -> Tensor | None:
    """The Cholesky factor, or None where the matrix is singular up to rounding."""
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(gram_II)
    diagonal = factor.diagonal()
    if int(info) or bool((diagonal.min() / diagonal.max()) ** 2 < SINGULAR):
        return None
    return factor


def mean_weight(tensors: Sequence[Tensor]) -> Tensor:
    """Returns one tensor's mean, summed in float32; of whole numbers the first member's."""
    first = tensors[0]
    if not first.is_floating_point():
        return first
    total = first.float().clone()
    for other in tensors[1:]:
        total += other.float()
    return (total / len(tensors)).to(first.dtype)


class TokenIds(NamedTuple):
    """One training example in the student's tokens."""

    prompt: Sequence[int]
    target: Sequence[int]


def linear_layers(model: PreTrainedModel) -> dict[str, bool]:
    """The linear layers by name, and whether a layer's weight is (inputs, outputs) as in GPT-2.

    A head that shares its weight with the embeddings is not among them: it is averaged with them.
    """
    embeddings = model.get_input_embeddings().weight
    return {
        name: isinstance(layer, Conv1D)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer.weight is not embeddings
    }


@torch.inference_mode()
def gram_matrices(model: PreTrainedModel, examples: Iterable[TokenIds]) -> dict[str, Tensor]:
    """Each linear layer's Gram matrix: the ``(I, I)`` mean of x x^T over the tokens' inputs x.

    A mean and not a sum, so that a member with longer examples does not count for more. Examples
    are run one by one: there is no padding that could count.

    Args:
        model: The model, in evaluation mode.
        examples: The examples that it was trained on.
    """
    sums: dict[str, Tensor] = {}
    tokens: Counter[str] = Counter()

    def add(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # All tokens' inputs one below the other: (1, T, I) to (T, I).
        x_TI = inputs[0].flatten(end_dim=-2).float()
        gram_II = x_TI.T @ x_TI
        sums[name] = sums[name].add_(gram_II) if name in sums else gram_II
        tokens[name] += len(x_TI)

    layers = {name: model.get_submodule(name) for name in linear_layers(model)}
    hooks = [layer.register_forward_pre_hook(partial(add, name)) for name, layer in layers.items()]
    try:
        for example in examples:
            model(**model_inputs(model, example), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / tokens[name]).cpu() for name, total in sums.items()}


def model_inputs(model: PreTrainedModel, example: TokenIds) -> dict[str, Any]:
    """Returns the model's inputs while it is trained on an example."""

    def row(ids: Sequence[int]) -> Tensor:
        return torch.tensor([ids], device=model.device)

    prompt, read = list(example.prompt), list(example.target[:-1])
    if model.config.is_encoder_decoder:
        start = model.config.decoder_start_token_id
        return {"input_ids": row(prompt), "decoder_input_ids": row([start, *read])}
    return {"input_ids": row([*prompt, *read])}
