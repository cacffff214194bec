"""The one interface behind which every model stands, teacher or student."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Protocol, runtime_checkable

import orjson

from potstill.records import Completion, Request


class Model(Protocol):
    """What can be asked."""

    name: str
    """Which model this is, as completions are stored under; a folder's includes a digest."""

    chat: bool
    """Whether prompts should be chat messages rather than plain text."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests, each sample as soon as it is ready, in any order.

        The model owns its concurrency, batching, retries and rate limits.

        Raises:
            ModelError: The model cannot go on at all (unreachable, key refused). A fault of one
                request alone is a completion with ``finish_reason="error"``.
        """
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A model that stops writing what nobody waits for any more."""

    def complete_wanted(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Answer requests as :meth:`Model.complete` does.

        Args:
            requests: What is asked.
            wanted: Asked of every request at every token; one that is not wanted any more gets no
                further completions.
        """
        ...


@runtime_checkable
class Grouping(Protocol):
    """A model that gives what has arrived in groups, and is told by that what has been stored."""

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answer requests as :meth:`Model.complete` does, in groups of what has arrived.

        Asking for the next group says that the last one is stored. Answers that are not stored
        count as in flight, so that a process that is killed loses no more than that.
        """
        ...


def sample_seed(request: Request, sample: int) -> int:
    """A 63-bit seed for one sample of one request.

    It depends on the request's content alone, so a sample is the same draw whatever else is asked
    beside it, and whichever process asks.
    """
    prompt = request.prompt
    turns = prompt if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]
    content = orjson.dumps([turns, request.answer_prefix, request.seed, sample])
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1
