"""From encoded examples to tensors: the plan of all steps, the parts of a step, the batches.

1. :func:`plan_steps` lays down which examples each optimiser step trains on, all of them in random
   order on each pass, and examples of one question side by side.
2. :func:`parts_of` cuts a step into parts of at most ``batch_tokens`` tokens, as many for each
   process, without parting examples that share a prompt.
3. A :data:`Collate` makes a part a :data:`Batch`. Decoder-only models take :func:`flat`: one row
   without padding, in which what examples begin alike stands once (``prefix_sharing``). Others take
   rows padded to one length: :func:`padded`, or :func:`encoder_decoder`.

The loss is computed at the targets' tokens only. The model's output at a token predicts the token
after it, so a target of n tokens is learned at the prompt's last place and the n - 1 after it::

    prompt  p0 p1 p2     input      p0 p1 p2 t0 t1
    target  t0 t1 t2     labels           t0 t1 t2
                         positions         2  3  4

Shape suffixes: B rows, T tokens of a row, N trained tokens of a batch, K candidates of a token.
"""

import random
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from potstill.models.local.loading import Loaded
from potstill.records import SoftTargets
from potstill.train.encoding import Encoded
from potstill.train.prefix_sharing import forest
from potstill.train.spooled_examples import ExampleFacts, facts_of

POOL_STEPS = 16
"""Groups of similar length are looked for among this many steps' worth of the random order."""

Group = list[int]
"""Examples of one question in one data format, by index."""


class Order(NamedTuple):
    """The order in which examples are trained."""

    batch_size: int
    """Examples to an optimiser step."""

    siblings: int = 1
    """Most examples of one question that come one after the other."""

    shares: Mapping[str, float] | None = None
    """Share of the examples that each data format gets; None: all formats are one pool."""

    by_length: bool = False
    """Whether examples of similar length are put together, to save padding."""

    seed: int = 0


def plan_steps(examples: Sequence[Encoded], order: Order, steps: int) -> list[Sequence[int]]:
    """Returns the indices of the examples that each optimiser step trains on.

    Every data format goes through its examples in a new random order on each pass, up to
    ``siblings`` of a question at a time; of several formats the next group is always taken from
    the one that is furthest behind its share.

    Args:
        examples: At least one of each format.
        order: The size of a step, and the order.
        steps: The number of optimiser steps.
    """
    generator = random.Random(order.seed)
    shares, facts = order.shares or {"": 1.0}, facts_of(examples)
    streams = {
        name: _endless_groups(_families(facts, name if order.shares else None), order, generator)
        for name in shares
    }
    waiting: dict[str, deque[int]] = {name: deque() for name in shares}
    taken = dict.fromkeys(shares, 0)
    plan: list[Sequence[int]] = []
    for _ in range(steps):
        step = array("i")
        while len(step) < order.batch_size:
            # The format furthest behind its share gives its next group, or as much as still fits.
            done = sum(taken.values()) + 1
            name = max(shares, key=lambda format_: shares[format_] * done - taken[format_])
            if not waiting[name]:
                waiting[name].extend(next(streams[name]))
            group = waiting[name]
            count = min(len(group), order.batch_size - len(step))
            step.extend(group.popleft() for _ in range(count))
            taken[name] += count
        plan.append(step)
    return plan


class _Families(NamedTuple):
    """The examples of each question, which may come side by side, one family behind the other."""

    members: "array[int]"
    """Examples by index."""

    ends: NDArray[np.int64]
    """The end of each family in ``members``, as a half-open range has it."""

    lengths: NDArray[np.int32]
    """Tokens of each example, by index."""


def _families(facts: ExampleFacts, data_format: str | None) -> _Families:
    """Returns the families of one data format in the order in which they come; None: of all."""
    indices = np.arange(len(facts.lengths), dtype=np.int32)
    if data_format is not None:
        number = [*facts.format_names].index(data_format)
        indices = indices[facts.formats == number]
    _, firsts, which = np.unique(facts.questions[indices], return_index=True, return_inverse=True)
    places = np.empty(len(firsts), np.int32)
    places[np.argsort(firsts, kind="stable")] = np.arange(len(firsts), dtype=np.int32)
    family_of = places[which]
    members = array("i", indices[np.argsort(family_of, kind="stable")].astype(np.int32).tobytes())
    return _Families(members, np.bincount(family_of).cumsum(), facts.lengths)


def _endless_groups(families: _Families, order: Order, generator: random.Random) -> Iterator[Group]:
    """Yields groups of examples of one question in random order, pass after pass, without end."""
    members = memoryview(families.members)
    begins = np.concatenate([[0], families.ends[:-1]])
    counts = -(-(families.ends - begins) // order.siblings)  # groups of each family, rounded up
    before = np.repeat(counts.cumsum() - counts, counts)
    starts = np.repeat(begins, counts) + (np.arange(len(before)) - before) * order.siblings
    ends = np.minimum(starts + order.siblings, np.repeat(families.ends, counts))
    while True:
        for begin, end in zip(begins.tolist(), families.ends.tolist(), strict=True):
            generator.shuffle(cast("MutableSequence[int]", members[begin:end]))
        numbers = array("i", range(len(starts)))
        generator.shuffle(numbers)
        groups: Iterator[Group] = (
            members[starts[number] : ends[number]].tolist() for number in numbers
        )
        yield from (
            _sort_by_length(groups, families, order, generator) if order.by_length else groups
        )


def _sort_by_length(
    groups: Iterator[Group], families: _Families, order: Order, generator: random.Random
) -> Iterator[Group]:
    """Yields the groups so that those of a step are of like length; the steps come at random."""
    # Sort within a pool of some steps alone, so that the order stays random beyond it.
    step_groups = max(order.batch_size // order.siblings, 1)
    while pool := list(islice(groups, step_groups * POOL_STEPS)):
        pool.sort(key=lambda group: max(families.lengths[index] for index in group))
        steps = [pool[place : place + step_groups] for place in range(0, len(pool), step_groups)]
        generator.shuffle(steps)
        yield from (group for step in steps for group in step)


def parts_of(
    step: Sequence[int],
    examples: Sequence[Encoded] | Mapping[int, Encoded],
    *,
    batch_tokens: int,
    processes: int = 1,
) -> list[list[int]]:
    """Returns a step cut into parts that are computed at once, as many for each process.

    Examples that share a prompt stay in one part, unless there are too many of them, or a process
    would have much more to do than the others.

    Args:
        step: Indices of examples, at least as many as there are processes.
        examples: The examples that the indices are of.
        batch_tokens: Most tokens of a part, unless one example has more; a prompt that neighbours
            share counts once.
        processes: The number of processes; part i is computed by process ``i % processes``.
    """
    families = [list(run) for _, run in groupby(step, key=lambda index: examples[index].prompt)]
    singles = [[index] for index in step]
    if processes > 1:
        return _even_parts(families, singles, examples, batch_tokens, processes)
    # Try ever more parts, first of whole families and then of single examples, until all fit.
    ways = [(families, count) for count in range(1, len(families) + 1)]
    ways += [(singles, count) for count in range(1, len(singles) + 1)]
    parts: list[list[Group]] = []
    for units, count in ways:
        parts = _balanced(units, [_tokens(unit, examples) for unit in units], count)
        if all(sum(_tokens(unit, examples) for unit in part) <= batch_tokens for part in parts):
            break
    return [[index for unit in part for index in unit] for part in parts]


def _even_parts(
    families: Sequence[Group],
    singles: Sequence[Group],
    examples: Sequence[Encoded] | Mapping[int, Encoded],
    batch_tokens: int,
    processes: int,
) -> list[list[int]]:
    """Returns the cut into the fewest parts that fit, by which the busiest process has least to do.

    A family that is parted has its prompt computed by several processes, which the others would
    else wait for.
    """
    # In a row of single examples a prompt is computed with the first that has it.
    costs = [
        _tokens(family[:1], examples) if place == 0 else len(examples[index].target)
        for family in families
        for place, index in enumerate(family)
    ]
    cuts: list[list[list[int]]] = []
    for count in range(processes, len(singles) + 1, processes):
        ways = [_balanced(singles, costs, count)]
        if count <= len(families):
            ways.insert(0, _balanced(families, [_tokens(one, examples) for one in families], count))
        cuts = [[[index for unit in part for index in unit] for part in way] for way in ways]
        work = [[_part_tokens(part, examples) for part in cut] for cut in cuts]
        fitting = [number for number, of in enumerate(work) if max(of) <= batch_tokens]
        if fitting:
            busiest = [max(sum(of[first::processes]) for first in range(processes)) for of in work]
            return cuts[min(fitting, key=lambda number: busiest[number])]
    return cuts[-1]


def _part_tokens(part: Group, examples: Sequence[Encoded] | Mapping[int, Encoded]) -> int:
    """Returns the tokens that are computed of a part, a prompt that neighbours share once."""
    runs = groupby(part, key=lambda index: examples[index].prompt)
    return sum(_tokens(list(run), examples) for _, run in runs)


def _tokens(unit: Group, examples: Sequence[Encoded] | Mapping[int, Encoded]) -> int:
    """Returns the tokens of examples that share a prompt."""
    return len(examples[unit[0]].prompt) + sum(len(examples[index].target) for index in unit)


def _balanced(units: Sequence[Group], costs: Sequence[int], parts: int) -> list[list[Group]]:
    """Returns neighbours in so many parts that cost about the same; none is empty."""
    spent, wanted, edges = 0, sum(costs) / parts, [0]
    for place, cost in enumerate(costs):
        # Cut before the unit whose middle lies beyond the part's fair end, or where every unit
        # left is needed for a part of its own.
        enough = spent + cost / 2 >= wanted * len(edges)
        if place and len(edges) < parts and (enough or len(costs) - place == parts - len(edges)):
            edges.append(place)
        spent += cost
    return [list(units[first:end]) for first, end in pairwise([*edges, len(units)])]


class Steps(Dataset[list[list[Encoded]]]):
    """The planned steps as a data set, each step as the parts that one process computes.

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
        examples = {index: self._examples[index] for index in self._plan[step]}
        parts = parts_of(
            self._plan[step],
            examples,
            batch_tokens=self._tokens,
            processes=self._processes,
        )
        return [[examples[index] for index in part] for part in parts[process :: self._processes]]


Batch = dict[str, Any]
"""Examples that are computed at once, as tensors: ``inputs`` of the model, ``positions`` of the N
trained tokens in its flattened outputs, ``targets`` (the fields of ``losses.Targets``) and
``weights`` of these tokens; and a ``forest``, or ``first_rows`` and ``copies``, of what they share.
"""

Collate = Callable[[Sequence[Encoded]], Batch]
"""Makes a batch of the examples of one part."""

LEAST_SHARED = 8
"""Fewest common tokens that are worth computing once; below, attention in pieces costs more."""


class Collator:
    """Makes tensors of the parts of one step.

    Args:
        collate: Makes the tensors of one part: :func:`flat`, or one of the padded forms.
    """

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, steps: Sequence[list[list[Encoded]]]) -> list[Batch]:
        """Returns the parts of the one step in the list that a data loader gives."""
        (parts,) = steps
        return [self._collate(examples) for examples in parts]


def flat(examples: Sequence[Encoded]) -> Batch:
    """Returns one row without padding, in which every distinct token in its context stands once."""
    shared = forest(
        [[*example.prompt, *example.target[:-1]] for example in examples],
        least_shared=LEAST_SHARED,
    )
    # A token is predicted at the place of the one before it: from the prompt's last token on. The
    # last target token is predicted but not read.
    positions = [
        places[len(example.prompt) - 1 + place]
        for example, places in zip(examples, shared.places, strict=True)
        for place in example.trained_places
    ]
    return {
        "inputs": {
            "input_ids": torch.tensor([shared.ids]),
            "position_ids": torch.tensor([shared.positions]),
        },
        "forest": shared,
        **_merge_shared(_trained_tokens(examples, positions)),
    }


def padded(pad: int, multiple: int = 1) -> Collate:
    """Returns the collation for a decoder-only model: rows filled up on the right.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        rows = [[*example.prompt, *example.target[:-1]] for example in examples]
        ids, mask = _padded(rows, pad, multiple)
        firsts = [len(example.prompt) - 1 for example in examples]
        positions = _places(examples, firsts, ids.shape[1])
        inputs = {"input_ids": ids, "attention_mask": mask}
        return {"inputs": inputs, **_trained_tokens(examples, positions)}

    return collate


def encoder_decoder(pad: int, start: int, multiple: int = 1) -> Collate:
    """Returns the collation for an encoder-decoder, which says which rows have the same input.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        start: The token that a target begins after.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        written, written_mask = _padded(
            [[start, *example.target[:-1]] for example in examples], pad, multiple
        )
        ids, mask = _padded([example.prompt for example in examples], pad, multiple)
        # Number the distinct prompts as they come; each row has the number of its own.
        numbers: dict[tuple[int, ...], int] = {}
        copies = [numbers.setdefault(tuple(example.prompt), len(numbers)) for example in examples]
        return {
            "inputs": {
                "input_ids": ids,
                "attention_mask": mask,
                "decoder_input_ids": written,
                "decoder_attention_mask": written_mask,
            },
            "first_rows": torch.tensor([copies.index(number) for number in range(len(numbers))]),
            "copies": torch.tensor(copies),
            **_trained_tokens(examples, _places(examples, [0] * len(examples), written.shape[1])),
        }

    return collate


def padded_collation(loaded: Loaded, multiple: int = 1) -> Collate:
    """Returns the collation in rows that are filled up to one length.

    Args:
        loaded: The model that reads them.
        multiple: Pad to a multiple of this many tokens.
    """
    start = getattr(loaded.model.config, "decoder_start_token_id", None)
    pad = loaded.tokenizer.pad_token_id
    known = pad if pad < loaded.model.get_input_embeddings().num_embeddings else 0
    if loaded.encoder_decoder:
        return encoder_decoder(known, pad if start is None else start, multiple)
    return padded(known, multiple)


def _padded(rows: Sequence[Sequence[int]], pad: int, multiple: int) -> tuple[Tensor, Tensor]:
    """Returns rows filled up on the right ``(B, T)``, and 1 where their own tokens stand."""
    longest = max(len(row) for row in rows)
    width = -(-longest // multiple) * multiple  # rounded up
    ids_BT = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BT, (torch.arange(width) < lengths_B[:, None]).long()


def _places(examples: Sequence[Encoded], firsts: Sequence[int], width: int) -> list[int]:
    """Returns the places in flattened ``(B * T)`` outputs where trained tokens are predicted."""
    return [
        row * width + first + place
        for row, (first, example) in enumerate(zip(firsts, examples, strict=True))
        for place in example.trained_places
    ]


def _trained_tokens(examples: Sequence[Encoded], positions: Sequence[int]) -> Batch:
    """Returns the trained tokens' positions, weights and targets."""
    labels = [token for example in examples for token in example.trained]
    weights = [example.weight for example in examples for _ in example.trained]
    targets = {"labels_N": torch.tensor(labels)}
    if any(example.unlikely for example in examples):
        unlikely = [example.unlikely for example in examples for _ in example.trained]
        targets["unlikely_N"] = torch.tensor(unlikely)
    softs = [example.soft for example in examples]
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
    """Returns all soft targets in one table; the rows of an example without any are hard."""
    # A table without candidates: ids -1, probabilities 0.
    width = max(soft.ids.shape[1] for soft in softs if soft is not None)
    count = sum(len(example.trained) for example in examples)
    ids, probabilities = np.full((count, width), -1, np.int64), np.zeros((count, width), np.float32)
    tail, is_soft = np.zeros(count, np.float32), np.zeros(count, np.bool_)
    first = 0
    for example, soft in zip(examples, softs, strict=True):
        rows = slice(first, first + len(example.trained))
        if soft is None:  # the label is the one candidate
            ids[rows, 0], probabilities[rows, 0] = example.trained, 1.0
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


def _merge_shared(batch: Batch) -> Batch:
    """Returns trained tokens that examples share once, with the weight of all; hard ones only."""
    if "soft_N" in batch["targets"]:
        return batch
    labels, positions = batch["targets"]["labels_N"], batch["positions"]
    unlikely = batch["targets"].get("unlikely_N")
    # Two examples learn the same where they predict the same label at the same place of the row,
    # and both are to write it, or both are not to.
    rows = [positions, labels] if unlikely is None else [positions, labels, unlikely.long()]
    distinct, which = torch.stack(rows).unique(dim=1, return_inverse=True)
    if distinct.shape[1] == len(labels):
        return batch
    # A token that m examples learn weighs as much as all m of them, and is computed once.
    weights = torch.zeros(distinct.shape[1]).index_add_(0, which, batch["weights"])
    targets = {"labels_N": distinct[1]}
    if unlikely is not None:
        targets["unlikely_N"] = distinct[2].bool()
    return {"positions": distinct[0], "weights": weights, "targets": targets}
