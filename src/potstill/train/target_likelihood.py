"""The likelihood of training targets under a model, without training it.

Shape suffixes: N tokens of a batch's targets, n tokens of a chunk, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from potstill.models.local.loading import Loaded
from potstill.train.batches import Collate, padded_collation
from potstill.train.chunked_loss import Head
from potstill.train.encoding import Encoded


def mean_logprobs(
    loaded: Loaded, examples: Sequence[Encoded], *, batch_tokens: int
) -> Iterator[list[float]]:
    """The mean natural-log probability of each target's tokens, batch by batch, in order.

    Args:
        loaded: The model, in evaluation mode.
        examples: Best in order of their length, so that there is little padding.
        batch_tokens: Most tokens of a batch, as long as one example is no longer.
    """
    head, collate = Head.of(loaded.model), padded_collation(loaded)
    for batch in _batches(examples, batch_tokens):
        losses_N = _target_losses(loaded, head, collate, batch)
        by_example = losses_N.split([len(example.target) for example in batch])
        yield [-float(losses.mean()) for losses in by_example]


@torch.no_grad()
def _target_losses(
    loaded: Loaded, head: Head, collate: Collate, batch: Sequence[Encoded]
) -> Tensor:
    """The ``(N,)`` losses of a batch's target tokens in nats, on the CPU."""
    device = loaded.model.device
    collated = collate(batch)
    labels_N = collated["targets"]["labels_N"].to(device)
    losses_N = torch.zeros(len(labels_N), device=device)

    # The head hands over the logits of some of the N target tokens at a time; each chunk's losses
    # are kept, where training would sum them.
    def keep_losses(logits_nV: Tensor, rows: slice) -> Tensor:
        losses_N[rows] = F.cross_entropy(logits_nV.float(), labels_N[rows], reduction="none")
        return losses_N[rows]

    inputs = {name: tensor.to(device) for name, tensor in collated["inputs"].items()}
    positions_N, weights_N = collated["positions"].to(device), collated["weights"].to(device)
    with head.losses(positions_N, weights_N, keep_losses) as loss:
        loss.finish(loaded.model(**inputs, use_cache=False).logits)
    return losses_N.cpu()


def _batches(examples: Sequence[Encoded], batch_tokens: int) -> Iterator[list[Encoded]]:
    """Neighbours that come to no more than ``batch_tokens``, padding included."""
    batch: list[Encoded] = []
    widest = 0
    for example in examples:
        widest = max(widest, example.length)
        if batch and widest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, widest = [], example.length
        batch.append(example)
    if batch:
        yield batch
