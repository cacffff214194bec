"""The one interface behind which every model stands, teacher or student."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import orjson

from potstill.models.background import arrivals
from potstill.records import Completion, Request
from potstill.store.probability_codec import ProbabilityForm


class Model(Protocol):
    """A model that can be asked. A class of one's own inherits from it and has these three."""

    name: str
    """The name that its completions are stored under; a folder's includes a digest."""

    chat: bool
    """Whether prompts should be chat messages rather than plain text."""

    engine: str = ""
    """The program that computes a local model, e.g. ``vllm``; empty for all others."""

    number_format: str = ""
    """The number format that a local model is computed in; empty where that is not known."""

    scores_texts: bool = False
    """Whether it answers requests with a given text by scoring it; if not, it may not be asked
    any: it would write, and nobody would see that."""

    token_names: Sequence[bytes | None] | None = None
    """The bytes that each token adds to an answer by its id, where tokens are named by ids."""

    is_server: bool = False
    """Whether it is asked over HTTP, and may not do all that a request says."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests, each sample as soon as it is ready, in any order.

        The model owns its concurrency, batching, retries and rate limits.

        Raises:
            ModelError: The model cannot go on at all (unreachable, key refused). A fault of one
                request alone is a completion with ``finish_reason="error"``.
        """
        ...

    def opened(self) -> "Model":
        """Returns the model ready to be asked: itself, unless it stands for one that opens late."""
        return self

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests as :meth:`complete` does, in groups of what has arrived.

        By asking for the next group the caller says that the last one is stored. A model whose
        answers cost money counts what is not stored yet as in flight, so that a process that is
        killed loses no more than that.
        """
        return arrivals(self.complete(requests))

    def complete_for_store(
        self, requests: Iterable[Request], form: ProbabilityForm
    ) -> Generator[list[Completion]]:
        """Answers requests as :meth:`complete_in_groups` does, for a caller that only stores them.

        Workers on other machines pack token probabilities there
        (:class:`potstill.store.packed_logprobs.PackedCompletion`).

        Args:
            requests: The requests.
            form: How the store keeps token probabilities.
        """
        return self.complete_in_groups(requests)


@runtime_checkable
class Interruptible(Protocol):
    """A model that stops writing what nobody waits for any more."""

    def complete_wanted(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Answers requests as :meth:`Model.complete` does.

        Args:
            requests: The requests, taken as there is room for them.
            wanted: Asked of every request at every token; one that is not wanted any more gets no
                further completions.
        """
        ...


def cannot_score(name: str) -> str:
    """Returns the message for when a text is to be scored by a model that cannot."""
    return (
        f"{name} gives no probabilities of a text that it did not write. Score with a model on "
        "this machine (hf:NAME, bundled:NAME), vllm:NAME, or a server that has them."
    )


def sample_seed(request: Request, sample: int) -> int:
    """Returns a 63-bit seed for one sample of one request.

    It depends on the request's content alone, so a sample is the same draw whatever else is asked
    beside it, and whichever process asks.
    """
    prompt = request.prompt
    turns = prompt if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]
    content = orjson.dumps([turns, request.answer_prefix, request.seed, sample])
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1
