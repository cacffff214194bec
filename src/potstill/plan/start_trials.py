"""Start trials: how fast a start is trained here, and in how much memory, once for each start.

Where its weights are on this machine, two steps of it are trained, the longest examples among them
(:mod:`potstill.train.step_trial`). Else, and where memory is short already by the formula, the time
is estimated and the memory computed. The trial of a small start is one step with random weights.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from potstill.models.settings import LocalSettings
from potstill.records import Example
from potstill.train.defaults import SMALL_START, ResolvedTraining, StartFacts
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from potstill.train.memory import TrainedWeights
    from potstill.train.start_checks import StartShape

TRIED_WEIGHTS = 500_000_000
"""Weights of a model of which a step is tried without its weights; of larger ones it is estimated.
"""

SHARE_OF_PRODUCT = 0.5
"""The speed of a training, as a share of that of a plain matrix product: an assumption."""

OPERATIONS = 6
"""Operations a weight and token, forward and back (Kaplan et al., 2020, arXiv 2001.08361)."""

TRIAL_SECONDS = 20.0
"""Seconds that the longer step of a trial may take, by the estimate."""


LARGE_TRIAL_TOKENS = 128
"""Most tokens by which a larger model with random weights is tried."""


class StartSpeed(NamedTuple):
    """How a start is trained here."""

    rate: float
    """Tokens a second."""

    how: str
    """The source of the rate, in words."""

    peak: float
    """Most bytes of memory."""

    peak_how: str
    kept: float = 0.0
    """Bytes beyond it that may be kept between steps (``train/freed_memory.py``)."""

    is_measured: bool = False
    """Whether the memory was measured; a formula's activations may be off by half."""


class TrainedPart(NamedTuple):
    """A student whose training is tried."""

    student: StudentSettings
    """The student's settings, with its start."""

    settings: ResolvedTraining
    examples: Sequence[Example]
    mean: float
    """Tokens of an example on average."""

    longest: int
    """Tokens of the longest example that is known."""

    @property
    def step_tokens(self) -> float:
        """Tokens of an optimiser step on average."""
        return self.settings.batch_size * self.mean

    @property
    def together(self) -> float:
        """The most tokens that are computed at once: a batch of the longest, or a part of it."""
        whole = self.settings.batch_size * self.longest
        return min(whole, max(self.settings.batch_tokens, self.longest))


def start_speed(
    shape: "StartShape",
    facts: StartFacts,
    weights: "TrainedWeights",
    part: TrainedPart,
    *,
    tried: bool,
) -> StartSpeed:
    """Returns how a start is trained here, by a trial where that is cheap, else by estimates.

    Args:
        shape: The start's.
        facts: Likewise.
        weights: The weights that are trained.
        part: The student with the most tokens at once.
        tried: Whether its speed is wanted; else memory alone is computed.

    Raises:
        ConfigError: A trial was ended for want of memory.
    """
    from potstill.models.local.device_memory import free_memory
    from potstill.train.memory import step_bytes
    from potstill.train.precision import product_speed

    recomputed = part.settings.gradient_checkpointing
    needed = weights.fixed_bytes() + step_bytes(facts, part.together, recomputed=recomputed)
    by_formula = "by a formula"
    if not tried:
        return StartSpeed(0.0, "", needed, by_formula)
    if facts.parameters < SMALL_START:
        # A small model's time goes into the calls, so a whole step of it is tried.
        tokens = part.mean if facts.encoder_decoder else part.step_tokens
        return _random_trial(shape, tokens, needed, by_formula)
    if not has_weights(shape.start):
        absent = f"{by_formula}; its weights are not on this machine, so nothing was tried"
        if facts.parameters <= TRIED_WEIGHTS and shape.on_processor:
            tokens = min(part.mean, LARGE_TRIAL_TOKENS)
            return _random_trial(shape, tokens, needed, absent)
        return _estimate(shape, needed, absent)
    if needed > free_memory(shape.device):
        return _estimate(shape, needed, f"{by_formula}; not tried, since less is free now")
    rate = product_speed(shape.device) * SHARE_OF_PRODUCT / (OPERATIONS * facts.parameters)
    return _two_steps(facts, part, most_tokens=int(rate * TRIAL_SECONDS))


def has_weights(start: LocalSettings) -> bool:
    """Whether a start's weights are on this machine; nothing is fetched."""
    from potstill.models.local.loading import is_folder

    if is_folder(start.source):
        return True
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    return any(
        isinstance(try_to_load_from_cache(start.source, file, revision=start.revision), str)
        for file in files
    )


def _two_steps(facts: StartFacts, part: TrainedPart, *, most_tokens: int) -> StartSpeed:
    from potstill.train.freed_memory import MOST_GROWTH
    from potstill.train.memory import step_bytes
    from potstill.train.step_trial import try_steps

    tried = try_steps(part.student, part.examples, part.settings, most_tokens=most_tokens)
    left_out = max(part.together - tried.together, 0)
    recomputed = part.settings.gradient_checkpointing
    peak = tried.peak + step_bytes(facts, left_out, recomputed=recomputed)
    beyond = f", a formula for {left_out:,.0f} tokens more at once" if left_out else ""
    kept = (MOST_GROWTH - 1) * peak if facts.on_processor else 0.0
    if kept:
        beyond += ", and a quarter for what is kept between steps"
    rate = tried.tokens / tried.seconds
    return StartSpeed(
        rate,
        f"{_rate_words(rate)} by a trial of two steps just now, in {tried.precision}{_load_note()}",
        peak,
        f"by the same trial, the longest examples among them{beyond}",
        kept=kept,
        is_measured=True,
    )


def _random_trial(shape: "StartShape", tokens: float, needed: float, memory_how: str) -> StartSpeed:
    from potstill.train.precision import trained_rate

    rate = trained_rate(shape.with_random_weights(), round(tokens))
    how = f"{_rate_words(rate)} by a trial of a step just now, in float32{_load_note()}"
    return StartSpeed(rate, how, needed, memory_how)


def _rate_words(rate: float) -> str:
    return f"at {rate:,.0f} tokens a second" if rate >= 10 else f"at {rate:.2g} tokens a second"


def _load_note() -> str:
    """Returns that other programs are at work here, which makes a trial slow; empty where none is.

    This one counts as a process of the load itself.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= cores + 1:
        return ""
    return f", with a load of {load:.0f} on {cores} processors: less where that is over"


def _estimate(shape: "StartShape", needed: float, memory_how: str) -> StartSpeed:
    from potstill.train.precision import product_speed

    speed = product_speed(shape.device)
    how = (
        f"by an estimate: {OPERATIONS} operations a weight and token, at half the "
        f"{speed / 1e9:,.0f} billion a second of a matrix product here{_load_note()}"
    )
    rate = speed * SHARE_OF_PRODUCT / (OPERATIONS * shape.parameters)
    return StartSpeed(rate, how, needed, memory_how)
