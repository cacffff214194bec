"""Local naturalness: how likely a student finds each step behind the few steps before it.

The mean log-probability of a whole trace conditions every token on all that the teacher wrote
before it. Of long traces by several teachers it mostly tells whose style goes on as it began, and
no longer which of them is learned from best. Local naturalness (Just, Ko and Jia, arXiv 2510.03988)
scores each step by itself::

    LN(x, s_1 ... s_m) = 1/m  sum_i  1/|s_i|  sum_t  log p(s_i,t | x, s_{i-k} ... s_{i-1}, s_i,<t)

x is the prompt, s_i a step (a sentence or a line), k is :data:`LOCAL_STEPS`; every step counts
alike, however long. More is better. The form is that of the paper's abstract and of two accounts of
its equation 2; the paper itself could not be read here, and the accounts differ in k: four steps,
or a share of the steps before. Up to step k + 1 the few steps before are all there are, so those
steps come from the one pass over the whole trace; each further one takes a row of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from potstill.models.local.token_bytes import token_bytes
from potstill.text.steps import step_spans
from potstill.train.encoding import Encoded

LOCAL_STEPS = 4
"""k: the steps before a step behind which it is scored."""


class StepFinder:
    """Finds the steps of a target among its tokens.

    Args:
        tokenizer: The student's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._bytes = token_bytes(tokenizer)

    def starts(self, target: Sequence[int]) -> list[int]:
        """Returns the place of the first token of each step; the first is 0.

        White space between two steps is the later one's. A token that writes the end of one step
        and the beginning of the next is the earlier one's, and what ends the text the last one's.
        """
        pieces = [self._piece(token) for token in target]
        text = b"".join(pieces).decode(errors="surrogateescape")
        begins = iter(_step_begins(text))
        starts, written, begin = [0], 0, next(begins, None)
        for place, piece in enumerate(pieces):
            while begin is not None and written >= begin:
                if place > starts[-1] and any(pieces[place:]):
                    starts.append(place)
                begin = next(begins, None)
            written += len(piece)
        return starts

    def _piece(self, token: int) -> bytes:
        """The bytes of a token; none of one that is no text."""
        return (self._bytes[token] if token < len(self._bytes) else None) or b""


def _step_begins(text: str) -> Iterator[int]:
    """Yields the places, in bytes, at which all steps but the first begin."""
    begin = done = 0
    for _, end in step_spans(text, "sentences")[:-1]:
        begin += len(text[done:end].encode(errors="surrogateescape"))
        done = end
        yield begin


def local_rows(example: Encoded, starts: Sequence[int]) -> list[Encoded]:
    """Returns a row for each step that has more than :data:`LOCAL_STEPS` steps before it.

    Each holds the prompt, the few steps before, and the step, which alone has a loss.

    Args:
        example: The whole trace.
        starts: The places of its steps, see :meth:`StepFinder.starts`.
    """
    ends = [*starts[1:], len(example.target)]
    return [
        Encoded(example.prompt, example.target[first : ends[step]], skip=starts[step] - first)
        for step in range(LOCAL_STEPS + 1, len(starts))
        for first in [starts[step - LOCAL_STEPS]]
    ]


def local_naturalness(logprobs_T: Tensor, starts: Sequence[int], local: Sequence[Tensor]) -> float:
    """Returns the local naturalness of a trace.

    Args:
        logprobs_T: The log-probabilities of its tokens behind all before them.
        starts: The places of its steps.
        local: The log-probabilities of the steps of :func:`local_rows`.
    """
    whole = [logprobs_T[first:end] for first, end in pairwise([*starts, len(logprobs_T)])]
    steps = [*whole[: LOCAL_STEPS + 1], *local]
    return sum(float(step.mean()) for step in steps) / len(steps)
