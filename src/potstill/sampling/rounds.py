"""Many exchanges with models at once, in rounds: all that is wanted now is asked together.

An exchange is a generator that yields what it asks and is sent the answer. It does no input or
output of its own, so the same exchange serves an experiment over a whole split and a server::

    def two_questions(first, second):
        one = yield first
        two = yield f"{one} {second}"
        return two
"""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import TypeVar

A = TypeVar("A")
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")


def drive_in_batches(
    exchanges: Mapping[K, Generator[A, R, T]], answer_all: Callable[[Sequence[A]], Sequence[R]]
) -> dict[K, T]:
    """Drives exchanges to their ends.

    Args:
        exchanges: By any key; they are asked for in this order.
        answer_all: Answers what is asked in one round, in the same order.

    Returns:
        The return value of each exchange, by the same keys.
    """
    results: dict[K, T] = {}
    waiting: dict[K, A] = {}

    def advance(key: K, answers: Sequence[R]) -> None:
        try:
            exchange = exchanges[key]
            waiting[key] = exchange.send(answers[0]) if answers else next(exchange)
        except StopIteration as end:
            results[key] = end.value

    for key in exchanges:
        advance(key, ())
    while waiting:
        asked, waiting = waiting, {}
        for key, answer in zip(asked, answer_all(list(asked.values())), strict=True):
            advance(key, (answer,))
    return {key: results[key] for key in exchanges}
