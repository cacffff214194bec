"""Probability and rank that a model gives each token of training targets, without training it.

Shape suffixes: T tokens of a target, N tokens of a batch's targets, n tokens of a chunk,
V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from potstill.models.local.loading import Loaded
from potstill.train.batches import padded_collation
from potstill.train.chunked_loss import Head
from potstill.train.encoding import Encoded

RANK_LIMIT = 100
"""Highest rank that is told apart; a rarer token counts as this one. It is the limit of the
rank-surprisal ratio's authors, for whose mean one token at rank 30,000 would else be all."""


class TargetScores(NamedTuple):
    """A model's scores of the T tokens of a target that have a loss, each given those before it."""

    logprobs_T: Tensor
    """Natural logarithms of the tokens' probabilities."""

    ranks_T: Tensor
    """The tokens' ranks by probability, from 1, :data:`RANK_LIMIT` at most: one more than the
    number of tokens that are strictly likelier."""


class TargetScorer:
    """Scores targets under one model, a batch of one forward pass at a time.

    Args:
        loaded: The model, in evaluation mode.
        batch_tokens: Most tokens of a batch, as long as one example is no longer.
    """

    def __init__(self, loaded: Loaded, *, batch_tokens: int) -> None:
        self._loaded, self._batch_tokens = loaded, batch_tokens
        self._head, self._collate = Head.of(loaded.model), padded_collation(loaded)

    def batches(self, examples: Sequence[Encoded]) -> Iterator[list[TargetScores]]:
        """Yields the scores of each target's tokens, batch by batch, in order.

        Args:
            examples: Best in order of their length, so that there is little padding.
        """
        for batch in _batches(examples, self._batch_tokens):
            logprobs_N, ranks_N = self._scored(batch)
            lengths = [len(example.trained) for example in batch]
            targets = zip(logprobs_N.split(lengths), ranks_N.split(lengths), strict=True)
            yield [TargetScores(logprobs_T, ranks_T) for logprobs_T, ranks_T in targets]

    def in_any_order(self, examples: Sequence[Encoded]) -> list[TargetScores]:
        """Returns the scores of each target's tokens, in order; the longest are computed first."""
        order = sorted(range(len(examples)), key=lambda place: -examples[place].length)
        batches = self.batches([examples[place] for place in order])
        scored = [scores for batch in batches for scores in batch]
        by_place = dict(zip(order, scored, strict=True))
        return [by_place[place] for place in range(len(examples))]

    @torch.no_grad()
    def _scored(self, batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
        """The ``(N,)`` log-probabilities and ranks of a batch's target tokens, on the CPU."""
        model = self._loaded.model
        device = model.device
        collated = self._collate(batch)
        labels_N = collated["targets"]["labels_N"].to(device)
        losses_N = torch.zeros(len(labels_N), device=device)
        ranks_N = torch.zeros(len(labels_N), dtype=torch.long, device=device)

        # The head hands over the logits of some of the N target tokens at a time; each chunk's
        # losses are kept, where training would sum them.
        def keep_scores(logits_nV: Tensor, rows: slice) -> Tensor:
            logits_nV, labels_n = logits_nV.float(), labels_N[rows]
            losses_N[rows] = F.cross_entropy(logits_nV, labels_n, reduction="none")
            likelier_n = (logits_nV > logits_nV.gather(1, labels_n[:, None])).sum(1)
            ranks_N[rows] = (likelier_n + 1).clamp(max=RANK_LIMIT)
            return losses_N[rows]

        inputs = {name: tensor.to(device) for name, tensor in collated["inputs"].items()}
        positions_N, weights_N = collated["positions"].to(device), collated["weights"].to(device)
        with self._head.losses(positions_N, weights_N, keep_scores) as loss:
            loss.finish(model(**inputs, use_cache=False).logits)
        return -losses_N.cpu(), ranks_N.cpu()


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
