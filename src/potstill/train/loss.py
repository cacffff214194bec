"""The loss, computed at the trained positions only.

Shape suffixes: B examples, T tokens, D hidden size, V vocabulary, N trained tokens of a batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def token_loss(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor) -> Tensor:
    """Weighted sum of the cross-entropy of all trained tokens, in nats; computed in float32."""
    losses_N = F.cross_entropy(logits_NV.float(), labels_N, reduction="none")
    return (losses_N * weights_N).sum()


@contextmanager
def head_at(head: nn.Module | None, positions_N: Tensor) -> Iterator[None]:
    """Have a model compute its output layer at some positions only.

    The output layer is the larger part of a small model's work, and most positions are prompt or
    padding. What the model does to its logits after the layer (a scale, a soft cap) applies as
    ever, since it treats each position alike.

    Args:
        head: The output layer; None computes all positions.
        positions_N: Places in the flattened ``(B * T)`` positions.
    """

    def select(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_BTD, *rest = inputs
        return (hidden_BTD.flatten(0, 1)[positions_N].unsqueeze(0), *rest)

    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


def trained_logits(logits_BTV: Tensor, positions_N: Tensor) -> Tensor:
    """``(N, V)`` logits, whether or not the model computed the other positions too."""
    if logits_BTV.shape[:2] == torch.Size([1, len(positions_N)]):
        return logits_BTV[0]
    return logits_BTV.flatten(0, 1)[positions_N]
