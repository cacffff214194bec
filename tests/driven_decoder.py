"""Replies, sent one by one to a decoder of guided answers."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from potstill.guide.types import ModelCall
from potstill.records import Completion, Request

Reply = TypeVar("Reply")


def drive(
    decoder: Generator[ModelCall, Sequence[Completion], Any],
    replies: Sequence[Reply],
    answers: Callable[[Request, Reply], list[Completion]],
) -> tuple[list[ModelCall], Any]:
    """Sends replies in order, as the completions that ``answers`` makes; all must be asked for."""
    asked, left = [next(decoder)], list(replies)
    while True:
        try:
            asked.append(decoder.send(answers(asked[-1].request, left.pop(0))))
        except StopIteration as end:
            assert not left
            return asked, end.value
