"""Many exchanges at once: in rounds, in each of which all that is wanted now is asked together."""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import TypeVar

A = TypeVar("A")
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")


def drive_in_batches(
    exchanges: Mapping[K, Generator[A, R, T]], answered: Callable[[Sequence[A]], Sequence[R]]
) -> dict[K, T]:
    """Drive generators, each of which yields what it asks and is sent the answer, to their ends.

    Args:
        exchanges: By any key; they are asked for in this order.
        answered: The answers to what is asked in one round, in the same order.

    Returns:
        What each came to, by the same keys.
    """
    found: dict[K, T] = {}
    waiting: dict[K, A] = {}

    def advance(key: K, answers: Sequence[R]) -> None:
        try:
            exchange = exchanges[key]
            waiting[key] = exchange.send(answers[0]) if answers else next(exchange)
        except StopIteration as end:
            found[key] = end.value

    for key in exchanges:
        advance(key, ())
    while waiting:
        asked, waiting = waiting, {}
        for key, answer in zip(asked, answered(list(asked.values())), strict=True):
            advance(key, (answer,))
    return {key: found[key] for key in exchanges}
