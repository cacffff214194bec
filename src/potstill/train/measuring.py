"""How likely a model finds targets, without training it.

Shape suffixes: N tokens of a batch's targets, n tokens of a chunk, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from potstill.models.loading import Loaded
from potstill.train.collating import Collate, padded_collation
from potstill.train.encoding import Encoded
from potstill.train.head import Head


def mean_logprobs(
    loaded: Loaded, examples: Sequence[Encoded], *, batch_tokens: int
) -> Iterator[list[float]]:
    """The mean natural-log probability of each target's tokens, batch by batch, in order.

    Args:
        loaded: The model, in evaluation mode.
        examples: Best in order of their length, so that little is filled up.
        batch_tokens: Most tokens of a batch, as long as one example is no longer.
    """
    head, collate = Head.of(loaded.model), padded_collation(loaded)
    for batch in _batches(examples, batch_tokens):
        nats_N = _nats(loaded, head, collate, batch)
        yield [-float(each.mean()) for each in nats_N.split([len(one.target) for one in batch])]


@torch.no_grad()
def _nats(loaded: Loaded, head: Head, collate: Collate, batch: Sequence[Encoded]) -> Tensor:
    """The ``(N,)`` losses of a batch's target tokens, on the CPU."""
    device = loaded.model.device
    made = collate(batch)
    labels_N = made["targets"]["labels_N"].to(device)
    nats_N = torch.zeros(len(labels_N), device=device)

    def compute(logits_nV: Tensor, rows: slice) -> Tensor:
        nats_N[rows] = F.cross_entropy(logits_nV.float(), labels_N[rows], reduction="none")
        return nats_N[rows]

    inputs = {name: each.to(device) for name, each in made["inputs"].items()}
    positions_N, weights_N = made["positions"].to(device), made["weights"].to(device)
    with head.losses(positions_N, weights_N, compute) as loss:
        loss.finish(loaded.model(**inputs, use_cache=False).logits)
    return nats_N.cpu()


def _batches(examples: Sequence[Encoded], batch_tokens: int) -> Iterator[list[Encoded]]:
    """Neighbours that come to no more than ``batch_tokens``, padding included."""
    batch: list[Encoded] = []
    widest = 0
    for one in examples:
        widest = max(widest, one.length)
        if batch and widest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, widest = [], one.length
        batch.append(one)
    if batch:
        yield batch
