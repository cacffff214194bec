"""The Fisher-weighted mean of models that grew from one checkpoint (arXiv 2111.09832).

A weight counts the more, the more a member's predictions depend on it. With F_m the diagonal of
member m's Fisher information, each weight by itself becomes

    w = (F_1 w_1 + F_2 w_2) / (F_1 + F_2),   so that 3 and 1 make (1 * 3 + 3 * 1) / (1 + 3) = 1.5

with F_1 = 1 and F_2 = 3. The labels behind F are the member's own predictions, each weighed by its
probability, and not the gold ones: a member that has learned its examples has next to no gradient
at their gold labels, and the squares of that would measure how far training went, not which weights
matter. The sum over all labels of the vocabulary is never made. With p a token's probabilities and
e random signs, the vector

    u = sqrt(p) * e - p * (sqrt(p) . e)      has      E[u u^T] = diag(p) - p p^T,

which is the Fisher information of the logits. So one backward pass from u, through all tokens of an
example at once, gives a gradient whose square is in expectation the diagonal: the signs of
different tokens are independent, and products of two tokens fall away. Drawing labels has the same
expectation, and of a member that is certain nearly every draw is the one without a gradient.

Shape suffixes: T tokens, V vocabulary.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from potstill.merge.weights import MergedWeights, TokenIds, Weights, mean_weight, model_inputs

FLOOR = 1e-6
"""The term added to every member's Fisher information of a weight, as a share of the tensor's mean:
a weight on which no member's predictions depend becomes the members' average."""


def fisher_mean(members: Sequence[Weights], fishers: Sequence[Weights]) -> MergedWeights:
    """Returns the mean of each weight, every member's weighted by its Fisher information.

    Args:
        members: The members' weights, equal in names and shapes.
        fishers: Each member's diagonal Fisher information, by the name of the weight; what has
            none, such as a buffer, is averaged. A tensor that stands under several names needs it
            under one of them.
    """
    weights, known = dict[str, Tensor](), fishers[0].keys()
    names_of = _names_of_one_tensor(members[0])
    for name in members[0]:
        tensors = [member[name] for member in members]
        informed = next((other for other in names_of[name] if other in known), None)
        if informed is None:
            weights[name] = mean_weight(tensors)
        else:
            weights[name] = weighted_mean(tensors, [fisher[informed] for fisher in fishers])
    return MergedWeights(weights, ())


def weighted_mean(tensors: Sequence[Tensor], fishers: Sequence[Tensor]) -> Tensor:
    """Returns one tensor's ``sum F_m w_m / sum F_m``, summed in float32, in the first one's type.

    Args:
        tensors: The members' values.
        fishers: Their Fisher information, of the same shape.
    """
    # A tensor that nobody depends on has no mean Fisher either: then all count alike.
    floor = FLOOR * sum(float(fisher.mean()) for fisher in fishers) / len(fishers) or 1.0
    total = torch.zeros_like(fishers[0], dtype=torch.float32)
    weight = torch.zeros_like(total)
    for tensor, fisher in zip(tensors, fishers, strict=True):
        share = fisher.float() + floor
        total += share * tensor.float()
        weight += share
    return (total / weight).to(tensors[0].dtype)


def fisher_diagonal(
    model: PreTrainedModel, examples: Iterable[TokenIds], *, seed: int = 0
) -> dict[str, Tensor]:
    """Returns the diagonal of the Fisher information of each weight, a mean over target tokens.

    A mean and not a sum, so that a member with longer examples does not count for more. Examples
    are run one by one, forward and backward, and their squared gradients added up in float32.

    Args:
        model: The model, in evaluation mode.
        examples: Examples that it was trained on; the tokens of their targets are the contexts.
        seed: Seeds the signs.
    """
    weights = dict(model.named_parameters())
    squares = {
        name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()
    }
    signs, tokens = torch.Generator().manual_seed(seed), 0
    for example in examples:
        logits_TV = _target_logits(model, example)
        gradients = torch.autograd.grad(
            logits_TV, [*weights.values()], score_direction(logits_TV, signs), allow_unused=True
        )
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:  # a weight that this example's text does not pass through
                squares[name].addcmul_(gradient.float(), gradient.float())
        tokens += len(logits_TV)
    return {name: (square / max(tokens, 1)).cpu() for name, square in squares.items()}


def score_direction(logits_TV: Tensor, signs: torch.Generator) -> Tensor:
    """Returns ``(T, V)`` random u with E[u u^T] = diag(p) - p p^T at each token.

    Args:
        logits_TV: The logits that the probabilities p are the softmax of.
        signs: Draws the signs, on the processor.
    """
    p_TV = logits_TV.detach().softmax(1, dtype=torch.float32)
    drawn_TV = torch.randint(0, 2, p_TV.shape, generator=signs, dtype=torch.int8)
    rooted_TV = p_TV.sqrt() * (2 * drawn_TV.to(p_TV.device) - 1)
    # p (sqrt(p) . e), for each token.
    u_TV = rooted_TV - p_TV * rooted_TV.sum(1, keepdim=True)
    return u_TV.to(logits_TV.dtype)


def _target_logits(model: PreTrainedModel, example: TokenIds) -> Tensor:
    """Returns the ``(T, V)`` logits at which the target's tokens are predicted."""
    count = len(example.target)
    inputs: dict[str, Any] = model_inputs(model, example)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        inputs["logits_to_keep"] = count
    logits_TV: Tensor = model(**inputs, use_cache=False).logits[0, -count:]
    return logits_TV


def _names_of_one_tensor(weights: Weights) -> dict[str, list[str]]:
    """Returns for each name all names of the same tensor, as of embeddings that a head shares."""
    by_place: dict[tuple[int, torch.Size], list[str]] = {}
    for name, tensor in weights.items():
        by_place.setdefault((tensor.data_ptr(), tensor.shape), []).append(name)
    return {name: names for names in by_place.values() for name in names}
