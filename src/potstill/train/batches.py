"""Which examples each optimiser step computes, and in which parts.

Examples that are computed at once, as tensors.

Shape suffixes: B rows, T tokens of a row, N trained tokens of a batch, K candidates of a token.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from potstill.models.local.loading import Loaded
from potstill.records import SoftTargets
from potstill.train.encoding import Encoded
from potstill.train.prefix_sharing import forest

POOL_STEPS = 16
"""Groups of similar length are looked for among this many steps' worth of the random order."""

Group = list[int]
"""Examples of one question in one data format, by index."""


class Order(NamedTuple):
    """How examples come to be trained."""

    batch_size: int
    """Examples a step."""

    siblings: int = 1
    """Most examples of one question that come one after the other."""

    shares: Mapping[str, float] | None = None
    """Share of the examples that each data format gets; None: all are one pool."""

    by_length: bool = False
    """Whether what is computed together should be of similar length, to save padding."""

    seed: int = 0


def plan_steps(examples: Sequence[Encoded], order: Order, steps: int) -> list[list[int]]:
    """Which examples each optimiser step computes.

    Every data format goes through its examples in a new random order on each pass, up to
    ``siblings`` of a question at a time; of several formats the next group is always taken from
    the one that is furthest behind its share.

    Args:
        examples: At least one of each format.
        order: How they come.
        steps: Optimiser steps.
    """
    generator = random.Random(order.seed)
    shares = order.shares or {"": 1.0}
    lengths = [one.length for one in examples]
    families: dict[str, dict[str, Group]] = {name: {} for name in shares}
    for index, one in enumerate(examples):
        family = families[one.data_format if order.shares else ""]
        family.setdefault(one.question_id or f"example {index}", []).append(index)
    streams = {
        name: _groups(list(of_question.values()), lengths, order, generator)
        for name, of_question in families.items()
    }
    waiting: dict[str, deque[int]] = {name: deque() for name in shares}
    taken = dict.fromkeys(shares, 0)
    plan: list[list[int]] = []
    for _ in range(steps):
        step: list[int] = []
        while len(step) < order.batch_size:
            done = sum(taken.values()) + 1
            name = max(shares, key=lambda each: shares[each] * done - taken[each])
            if not waiting[name]:
                waiting[name].extend(next(streams[name]))
            part = waiting[name]
            count = min(len(part), order.batch_size - len(step))
            step += [part.popleft() for _ in range(count)]
            taken[name] += count
        plan.append(step)
    return plan


def _groups(
    families: Sequence[Group], lengths: Sequence[int], order: Order, generator: random.Random
) -> Iterator[Group]:
    """Groups of siblings in random order, pass after pass, without end."""
    while True:
        groups = []
        for family in families:
            generator.shuffle(family)
            firsts = range(0, len(family), order.siblings)
            groups += [family[first : first + order.siblings] for first in firsts]
        generator.shuffle(groups)
        yield from _like_lengths(groups, lengths, order, generator) if order.by_length else groups


def _like_lengths(
    groups: Sequence[Group], lengths: Sequence[int], order: Order, generator: random.Random
) -> Iterator[Group]:
    """The same groups, neighbours of like length; steps of like length come in random order."""
    a_step = max(order.batch_size // order.siblings, 1)
    for first in range(0, len(groups), a_step * POOL_STEPS):
        pool = sorted(
            groups[first : first + a_step * POOL_STEPS],
            key=lambda group: max(lengths[index] for index in group),
        )
        steps = [pool[place : place + a_step] for place in range(0, len(pool), a_step)]
        generator.shuffle(steps)
        yield from (group for step in steps for group in step)


def parts_of(
    step: Sequence[int], examples: Sequence[Encoded], *, batch_tokens: int, processes: int = 1
) -> list[list[int]]:
    """A step, cut into parts that are computed at once; every process gets as many as the others.

    Examples that share a prompt stay in one part, unless there are too many of them.

    Args:
        step: Indices of examples, at least as many as there are processes.
        examples: All of them.
        batch_tokens: Most tokens of a part, as long as one example is no longer; a prompt that
            neighbours share counts once.
        processes: Their parts follow each other in turn.
    """
    families = [list(run) for _, run in groupby(step, key=lambda index: examples[index].prompt)]
    singles = [[index] for index in step]
    ways = [(families, count) for count in range(processes, len(families) + 1, processes)]
    ways += [(singles, count) for count in range(processes, len(singles) + 1, processes)]
    parts: list[list[Group]] = []
    for units, count in ways:
        parts = _balanced(units, [_tokens(unit, examples) for unit in units], count)
        if all(sum(_tokens(unit, examples) for unit in part) <= batch_tokens for part in parts):
            break
    return [[index for unit in part for index in unit] for part in parts]


def _tokens(unit: Group, examples: Sequence[Encoded]) -> int:
    """Of examples that share a prompt."""
    return len(examples[unit[0]].prompt) + sum(len(examples[index].target) for index in unit)


def _balanced(units: Sequence[Group], costs: Sequence[int], parts: int) -> list[list[Group]]:
    """Neighbours in so many parts that cost about the same; none is empty."""
    spent, wanted, edges = 0, sum(costs) / parts, [0]
    for place, cost in enumerate(costs):
        enough = spent + cost / 2 >= wanted * len(edges)
        if place and len(edges) < parts and (enough or len(costs) - place == parts - len(edges)):
            edges.append(place)
        spent += cost
    return [list(units[first:end]) for first, end in pairwise([*edges, len(units)])]


class Steps(Dataset[list[list[Encoded]]]):
    """The planned steps, each as the parts of one process; processes take turns.

    Item ``step * processes + p`` holds what process p computes in that step.
    """

    def __init__(
        self,
        examples: Sequence[Encoded],
        plan: Sequence[Sequence[int]],
        *,
        batch_tokens: int,
        processes: int = 1,
    ) -> None:
        self._examples, self._plan = examples, plan
        self._tokens, self._processes = batch_tokens, processes

    def __len__(self) -> int:
        return len(self._plan) * self._processes

    def __getitem__(self, number: int) -> list[list[Encoded]]:
        step, process = divmod(number, self._processes)
        parts = parts_of(
            self._plan[step],
            self._examples,
            batch_tokens=self._tokens,
            processes=self._processes,
        )
        return [[self._examples[i] for i in part] for part in parts[process :: self._processes]]


Batch = dict[str, Any]
"""``inputs`` of the model; ``positions`` of the N trained tokens in its flattened outputs;
``targets`` and ``weights`` of these; how its examples share work, if they do."""

Collate = Callable[[Sequence[Encoded]], Batch]

LEAST_SHARED = 8
"""Fewest common tokens that are worth computing once; below, attention in pieces costs more."""


class Collator:
    """The parts of one step as tensors.

    Args:
        collate: What to make of a part: :func:`flat`, or one of the padded forms.
    """

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, steps: Sequence[list[list[Encoded]]]) -> list[Batch]:
        """The parts of the one step that is given."""
        (parts,) = steps
        return [self._collate(examples) for examples in parts]


def flat(examples: Sequence[Encoded]) -> Batch:
    """One row without padding, in which every distinct token in its context stands once."""
    shared = forest(
        [[*one.prompt, *one.target[:-1]] for one in examples], least_shared=LEAST_SHARED
    )
    positions = [
        place
        for one, places in zip(examples, shared.places, strict=True)
        for place in places[len(one.prompt) - 1 :]
    ]
    return {
        "inputs": {
            "input_ids": torch.tensor([shared.ids]),
            "position_ids": torch.tensor([shared.positions]),
        },
        "forest": shared,
        **_merged(_trained(examples, positions)),
    }


def padded(pad: int, multiple: int = 1) -> Collate:
    """Rows of a decoder-only model, filled up on the right.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        ids, mask = _padded([[*one.prompt, *one.target[:-1]] for one in examples], pad, multiple)
        firsts = [len(one.prompt) - 1 for one in examples]
        positions = _places(examples, firsts, ids.shape[1])
        inputs = {"input_ids": ids, "attention_mask": mask}
        return {"inputs": inputs, **_trained(examples, positions)}

    return collate


def encoder_decoder(pad: int, start: int, multiple: int = 1) -> Collate:
    """Rows of an encoder-decoder, and which of them have an input of their own.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        start: The token that a target begins after.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        written, written_mask = _padded(
            [[start, *one.target[:-1]] for one in examples], pad, multiple
        )
        ids, mask = _padded([one.prompt for one in examples], pad, multiple)
        numbers: dict[tuple[int, ...], int] = {}
        copies = [numbers.setdefault(tuple(one.prompt), len(numbers)) for one in examples]
        return {
            "inputs": {
                "input_ids": ids,
                "attention_mask": mask,
                "decoder_input_ids": written,
                "decoder_attention_mask": written_mask,
            },
            "first_rows": torch.tensor([copies.index(number) for number in range(len(numbers))]),
            "copies": torch.tensor(copies),
            **_trained(examples, _places(examples, [0] * len(examples), written.shape[1])),
        }

    return collate


def padded_collation(loaded: Loaded, multiple: int = 1) -> Collate:
    """How a model's examples become rows that are filled up to one length.

    Args:
        loaded: The model.
        multiple: Pad to a multiple of this many tokens.
    """
    start = getattr(loaded.model.config, "decoder_start_token_id", None)
    pad = loaded.tokenizer.pad_token_id
    known = pad if pad < loaded.model.get_input_embeddings().num_embeddings else 0
    if loaded.encoder_decoder:
        return encoder_decoder(known, pad if start is None else start, multiple)
    return padded(known, multiple)


def _padded(rows: Sequence[Sequence[int]], pad: int, multiple: int) -> tuple[Tensor, Tensor]:
    """Rows filled up on the right, and where their own tokens stand."""
    longest = max(len(row) for row in rows)
    width = -(-longest // multiple) * multiple
    ids_BT = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BT, (torch.arange(width) < lengths_B[:, None]).long()


def _places(examples: Sequence[Encoded], firsts: Sequence[int], width: int) -> list[int]:
    """Where in flattened ``(B * T)`` outputs the trained tokens are predicted."""
    return [
        row * width + first + offset
        for row, (first, one) in enumerate(zip(firsts, examples, strict=True))
        for offset in range(len(one.target))
    ]


def _trained(examples: Sequence[Encoded], positions: Sequence[int]) -> Batch:
    """The trained tokens, where they are predicted and what is learned there."""
    labels = [token for one in examples for token in one.target]
    weights = [one.weight for one in examples for _ in one.target]
    targets = {"labels_N": torch.tensor(labels)}
    softs = [one.soft for one in examples]
    if any(soft is not None for soft in softs):
        targets |= _soft_targets(examples, softs)
    return {
        "positions": torch.tensor(positions),
        "weights": torch.tensor(weights),
        "targets": targets,
    }


def _soft_targets(
    examples: Sequence[Encoded], softs: Sequence[SoftTargets | None]
) -> dict[str, Tensor]:
    """All soft targets in one table; the rows of an example without any are hard."""
    width = max(soft.ids.shape[1] for soft in softs if soft is not None)
    count = sum(len(one.target) for one in examples)
    ids, probabilities = np.full((count, width), -1, np.int64), np.zeros((count, width), np.float32)
    tail, is_soft = np.zeros(count, np.float32), np.zeros(count, np.bool_)
    first = 0
    for one, soft in zip(examples, softs, strict=True):
        rows = slice(first, first + len(one.target))
        if soft is None:
            ids[rows, 0], probabilities[rows, 0] = one.target, 1.0
        else:
            ids[rows, : soft.ids.shape[1]] = soft.ids
            probabilities[rows, : soft.ids.shape[1]] = soft.probabilities
            tail[rows], is_soft[rows] = soft.tail, soft.soft
        first = rows.stop
    return {
        "ids_NK": torch.from_numpy(ids),
        "probabilities_NK": torch.from_numpy(probabilities),
        "tail_N": torch.from_numpy(tail),
        "soft_N": torch.from_numpy(is_soft),
    }


def _merged(batch: Batch) -> Batch:
    """Trained tokens that examples share counted once, with the weight of all; hard ones only."""
    if "soft_N" in batch["targets"]:
        return batch
    labels, positions = batch["targets"]["labels_N"], batch["positions"]
    pairs = torch.stack([positions, labels])
    distinct, which = pairs.unique(dim=1, return_inverse=True)
    if distinct.shape[1] == len(labels):
        return batch
    weights = torch.zeros(distinct.shape[1]).index_add_(0, which, batch["weights"])
    return {"positions": distinct[0], "weights": weights, "targets": {"labels_N": distinct[1]}}
