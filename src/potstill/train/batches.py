"""The order of the examples, and their batches as tensors.

Shape suffixes: B examples, T tokens, N trained tokens of all examples in a row.
"""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from potstill.train.encoding import Encoded

POOL_BATCHES = 16
"""Examples of similar length are looked for among this many batches' worth of the random order."""

Batch = dict[str, Tensor]


def plan_steps(
    lengths: Sequence[int], *, steps: int, batch_size: int, seed: int
) -> list[list[int]]:
    """Which examples each optimiser step computes.

    Examples come in a new random order on every pass; the pass's last batch is filled up from the
    next pass. The batches of a pool hold examples of similar length, to save padding, and follow
    each other in random order.

    Args:
        lengths: Tokens of each example; at least one example.
        steps: Optimiser steps.
        batch_size: Examples a step.
        seed: The same seed gives the same plan.
    """
    generator = random.Random(seed)
    order = _passes(len(lengths), generator)
    plan: list[list[int]] = []
    while len(plan) < steps:
        batches = min(POOL_BATCHES, steps - len(plan))
        pool = [next(order) for _ in range(batches * batch_size)]
        pool.sort(key=lengths.__getitem__)
        cut = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        generator.shuffle(cut)
        plan += cut
    return plan


def _passes(count: int, generator: random.Random) -> Iterator[int]:
    """Indices in random order, pass after pass, without end."""
    order = list(range(count))
    while True:
        generator.shuffle(order)
        yield from order


class MicroBatches(Dataset[list[Encoded]]):
    """The planned steps, each cut into the parts that are computed at once, in order.

    Processes take parts in turn; a step is ``parts_per_step`` of them.
    """

    def __init__(
        self, examples: Sequence[Encoded], plan: Sequence[Sequence[int]], *, parts_per_step: int
    ) -> None:
        self._examples, self._plan, self._parts = examples, plan, parts_per_step

    def __len__(self) -> int:
        return len(self._plan) * self._parts

    def __getitem__(self, number: int) -> list[Encoded]:
        step, part = self._plan[number // self._parts], number % self._parts
        first, end = (len(step) * edge // self._parts for edge in (part, part + 1))
        return [self._examples[index] for index in step[first:end]]


class Collator:
    """Micro-batches as padded tensors.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        encoder_decoder: Whether prompts go to an encoder.
        decoder_start: The token that an encoder-decoder's target begins after.
        multiple: Pad to a multiple of this many tokens.
    """

    def __init__(
        self, *, pad: int, encoder_decoder: bool, decoder_start: int = 0, multiple: int = 1
    ) -> None:
        self._pad, self._start, self._multiple = pad, decoder_start, multiple
        self._encoder_decoder = encoder_decoder

    def __call__(self, batches: Sequence[list[Encoded]]) -> Batch:
        """One micro-batch as a model's inputs, with what the loss needs beside them.

        ``positions`` are the places in the flattened ``(B * T)`` outputs that predict the N
        trained tokens ``labels``, each with its weight.
        """
        (examples,) = batches
        if self._encoder_decoder:
            written = [[self._start, *example.target[:-1]] for example in examples]
            firsts = [0] * len(examples)
            decoder_ids, decoder_mask = self._padded(written)
            ids, mask = self._padded([example.prompt for example in examples])
            inputs = {"decoder_input_ids": decoder_ids, "decoder_attention_mask": decoder_mask}
            width = decoder_ids.shape[1]
        else:
            firsts = [len(example.prompt) - 1 for example in examples]
            ids, mask = self._padded([[*one.prompt, *one.target[:-1]] for one in examples])
            inputs, width = {}, ids.shape[1]
        positions = [
            row * width + first + offset
            for row, (first, example) in enumerate(zip(firsts, examples, strict=True))
            for offset in range(len(example.target))
        ]
        labels = [token for example in examples for token in example.target]
        weights = [example.weight for example in examples for _ in example.target]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            **inputs,
            "positions": torch.tensor(positions),
            "labels": torch.tensor(labels),
            "weights": torch.tensor(weights),
        }

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows filled up on the right, and where their own tokens stand."""
        longest = max(len(row) for row in rows)
        width = -(-longest // self._multiple) * self._multiple
        ids_BT = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in rows])
        lengths_B = torch.tensor([len(row) for row in rows])
        return ids_BT, (torch.arange(width) < lengths_B[:, None]).long()
