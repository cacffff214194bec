"""How sure a student is of its own first step, and what else it tells for nothing."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from potstill.errors import ModelError
from potstill.records import Completion

SignalName = Literal["mean_logprob", "min_logprob", "entropy", "disagreement"]


class Signals(NamedTuple):
    """What a student's first step tells of its doubt; the greater, the less sure it is.

    ``learned`` also looks at the length of what is asked: doubt alone does not tell a question on
    which the student needs one step from one that is beyond it.
    """

    mean_logprob: float
    """Mean of the negated log-probabilities of the step's tokens, in nats."""

    min_logprob: float
    """The lowest log-probability of the step's tokens, negated, in nats."""

    entropy: float
    """Mean entropy of the step's tokens, in nats; what is not among the top counts as one token."""

    disagreement: float
    """Share of the sampled first steps that differ from the greedy one, between 0 and 1."""

    prompt_tokens: float
    """Length of the prompt, in the student's tokens."""


Judge = Callable[[Signals], bool]
"""Whether signals call for the teacher."""


def signals_of(step: Completion, samples: Sequence[str] = ()) -> Signals:
    """Read a student's signals.

    Args:
        step: Its own first step, greedy, with the probabilities of its tokens.
        samples: Further draws of the step, whose white space and case are of no account.

    Raises:
        ModelError: The student gave no probabilities.
    """
    if step.logprobs is None:
        raise ModelError(
            "the student gives no token probabilities, which when_unsure and learned look at; "
            "take another policy, or a server that offers logprobs."
        )
    table = step.logprobs.logprobs
    if not len(table):  # it ended at once: nothing that could be doubted
        return Signals(0.0, 0.0, 0.0, _disagreement(step.text, samples), step.prompt_tokens)
    chosen = -table[:, 0].astype(np.float64)
    top = table[:, 1:].astype(np.float64)
    return Signals(
        float(chosen.mean()),
        float(chosen.max()),
        float(_entropies(top).mean()) if top.shape[1] else 0.0,
        _disagreement(step.text, samples),
        step.prompt_tokens,
    )


def _entropies(top_TK: np.ndarray) -> np.ndarray:
    """Entropy at each of T positions, from K log-probabilities and the mass they leave."""
    mass = np.exp(top_TK)
    tail = np.clip(1.0 - mass.sum(axis=1), 0.0, 1.0)
    parts = np.where(mass > 0, -mass * np.where(mass > 0, top_TK, 0.0), 0.0).sum(axis=1)
    found: np.ndarray = parts - np.where(
        tail > 0, tail * np.log(np.where(tail > 0, tail, 1.0)), 0.0
    )
    return found


def _disagreement(text: str, samples: Sequence[str]) -> float:
    said = _plain(text)
    return sum(_plain(sample) != said for sample in samples) / len(samples) if samples else 0.0


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
