"""Which examples each optimiser step computes, and in which parts."""

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from torch.utils.data import Dataset

from potstill.train.encoding import Encoded

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
