"""The memory that a training takes, by a formula, and starts that are refused for it.

Weights, gradients and AdamW's two moments are known to the byte; what is kept for the way back is
estimated, and measured by :mod:`potstill.train.step_trial`.
"""

from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.launched import process_count
from potstill.train.defaults import StartFacts, activation_bytes

PROGRAM_BYTES = 600_000_000
"""Bytes of Python with its libraries, on a processor; of torch's context on a GPU."""

BYTES_IN_4_BITS = 0.53
"""Bytes a weight in 4 bits, with the scale of each 64 weights (QLoRA: 0.127 bits a weight)."""

RECOMPUTED = 0.1
"""The share of activations that is still kept with ``gradient_checkpointing``."""


class TrainedWeights(NamedTuple):
    """The weights of a model in training."""

    parameters: int
    trained: int
    """The weights that training changes: all, or those that are added."""

    in_4_bits: int = 0
    """The weights that are held in 4 bits."""

    def fixed_bytes(self) -> float:
        """Returns the bytes that a training takes whatever its examples: weights and their state.

        Float32 weights, and of the trained ones gradients and two moments; where weights are added,
        the merged copy that a checkpoint is written from, too.
        """
        held = 4 * (self.parameters - self.in_4_bits) + BYTES_IN_4_BITS * self.in_4_bits
        whole = self.trained == self.parameters or self.in_4_bits  # merged beside the GPU
        merged = 0 if whole else 4 * self.parameters
        return held + 12 * self.trained + merged + PROGRAM_BYTES


def step_bytes(facts: StartFacts, tokens: float, *, recomputed: bool) -> float:
    """Returns the bytes that a step keeps for the way back.

    Args:
        facts: The start's.
        tokens: Tokens that are computed at once.
        recomputed: Whether activations are computed twice to keep fewer of them.
    """
    return activation_bytes(facts, tokens) * (RECOMPUTED if recomputed else 1)


def refuse_too_large(label: str, weights: TrainedWeights, facts: StartFacts) -> None:
    """Refuse a training whose weights and their state alone are more than there is memory.

    A training in several processes is not looked at: its weights may be divided among them.

    Args:
        label: The student's name.
        weights: The weights that it is trained with.
        facts: Its start's.

    Raises:
        ConfigError: It cannot fit; says what takes less.
    """
    needed = weights.fixed_bytes()
    if process_count() > 1 or needed <= facts.memory:
        return
    raise ConfigError(too_large(label, needed, weights, facts))


def too_large(label: str, needed: float, weights: TrainedWeights, facts: StartFacts) -> str:
    """Returns the sentence that a training does not fit, with what takes less memory."""
    place = "this machine" if facts.on_processor else "the GPU"
    return (
        f"training the student {label} takes about {gigabytes(needed)} of memory "
        f"({weights.parameters / 1e9:.3g} billion weights, of which {weights.trained / 1e9:.2g} "
        f"billion are trained at 16 bytes each), and {place} has {gigabytes(facts.memory)}. "
        f"Do one of these: {_ways_out(weights, facts)}."
    )


def gigabytes(amount: float) -> str:
    """Returns bytes in GB."""
    return f"{amount / 1e9:,.1f} GB"


def _ways_out(weights: TrainedWeights, facts: StartFacts) -> str:
    ways = []
    if weights.fixed_bytes() < facts.memory:
        ways.append("lower train.batch_tokens, set train.gradient_checkpointing: true")
    added = TrainedWeights(weights.parameters, weights.parameters // 100)
    if weights.trained == weights.parameters and added.fixed_bytes() < facts.memory:
        about = gigabytes(added.fixed_bytes())
        ways.append(f"train low-rank additions alone (train.lora: {{}}, about {about})")
    four = TrainedWeights(weights.parameters, weights.parameters // 100, weights.parameters)
    if not weights.in_4_bits and not facts.on_processor and four.fixed_bytes() < facts.memory:
        about = gigabytes(four.fixed_bytes())
        ways.append(f"hold weights in 4 bits (train.lora: {{quantize: 4bit}}, about {about})")
    ways.append("take a smaller start, or a machine with more memory")
    return "; or ".join(ways)
