"""The values of a training that a recipe leaves open, by the start's size and kind.

A recipe may leave out batch size, learning rate, warm-up, weight decay, the longest example and the
length of training. :func:`resolve` fills them in; the table in ``docs/students.md`` has the source
of each. Starts of fewer than 20 million weights, and runs from before there was such a table, have
Fine-tune-CoT's values, :data:`FORMER`.
"""

import math
from typing import NamedTuple

from pydantic import Field

from potstill.text.number_of import number_of
from potstill.train.settings import LoraSettings, TrainSettings

OPEN = ("batch_size", "learning_rate", "warmup", "weight_decay", "max_length")
"""Settings that may be left open, beside the length of training."""

KEPT_VALUES = "training_values.json"
"""The file in a run's folder that keeps what was filled in."""

QUESTIONS_A_STEP = 16
"""Different questions in a step below which siblings cost accuracy."""

SMALL_START = 20_000_000
"""Weights of a start below which Fine-tune-CoT's values are taken."""

FORMER_EPOCHS = 20.0
"""Fine-tune-CoT's number of passes."""

FULL_RATES = ((500e6, 3e-4), (2e9, 5e-5), (10e9, 2e-5), (math.inf, 1e-5))
"""Learning rates of a decoder whose weights are all trained, each up to a number of weights."""

ENCODER_DECODER_RATES = ((1e9, 3e-4), (math.inf, 1e-4))
"""Learning rates of an encoder-decoder, likewise."""

ADAPTER_RATES = ((500e6, 1e-3), (2e9, 5e-4), (10e9, 2e-4), (math.inf, 1e-4))
"""Learning rates where low-rank additions alone are trained, likewise."""

ON_POLICY_SHARE = 1 / 3
"""The part of a rate by size that on-policy training takes: at 3e-4 SmolLM2-135M forgets in ten
steps what it knew, at 1e-4 it gains (docs/log.md)."""

FACTOR_RATE = 3e-3
"""The learning rate of ia3's factors (T-Few, arXiv 2205.05638)."""

PREFIX_RATE = 5e-3
"""The learning rate of a prefix (P-Tuning v2, arXiv 2110.07602: 5e-3 to 2e-2)."""

TUNED_WEIGHTS = 500_000_000
"""Weights from which a decoder with a chat template takes half the rate of one without."""

SMALL_BATCH_WEIGHTS, SMALL_BATCH, LARGE_BATCH = 500_000_000, 8, 16
"""Weights below which a step has the smaller batch."""

SEEN_EXAMPLES, LEAST_PASSES, MOST_PASSES = 10_000, 3, 10
"""Passes are as many as show so many examples, within bounds."""

PROCESSOR_STEPS, PROCESSOR_TOKENS = 250, 300_000
"""Most optimiser steps, and most tokens of prompts and targets, of a training on a processor."""

USUAL_LENGTH = 4096
"""Most tokens of an example, where memory has no room for more."""

LENGTHS = (32_768, 16_384, 8_192)
"""Longer ones that are tried, the longest first."""

ROOM = 0.7
"""The share of the device's memory that an example of the longest length may take."""

ACTIVATION_BYTES = 68
"""Bytes a token, layer and unit of width that float32 keeps for the way back (Korthikanti et al.,
2022, arXiv 2205.05198: 34 in 16 bits)."""


class StartFacts(NamedTuple):
    """Facts about a start, by its config and tokenizer, and about the device it is trained on."""

    parameters: int
    encoder_decoder: bool
    chat: bool
    """Whether its tokenizer has a chat template."""

    positions: int | None
    """Most tokens that it has positions for; None where there is no bound."""

    layers: int
    width: int
    on_processor: bool
    """Whether it is trained on a processor."""

    memory: int
    """Bytes of memory of the device that it is trained on."""


class Work(NamedTuple):
    """The examples that a student learns."""

    examples: float
    """The number of examples in a pass."""

    tokens: float
    """Tokens of an example, prompt and target, on average."""

    on_policy: bool = False
    """Whether the student learns from what it writes itself."""


class ResolvedTraining(TrainSettings):
    """The same settings with nothing left open but the 20 passes that ``epochs: null`` stands for.

    A further class, so that what computes with a value need not ask whether there is one.
    """

    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0)
    max_length: int = Field(ge=2)

    @property
    def group_size(self) -> int:
        """``siblings``, or by default as many as leave some 16 different questions in a step.

        Siblings make training faster and a step's gradient poorer: see docs/log.md.
        """
        return self.siblings or max(self.batch_size // QUESTIONS_A_STEP, 1)

    def steps_for(self, examples: float) -> int:
        """Returns the number of optimiser steps.

        Args:
            examples: The number of examples in a pass.
        """
        if self.steps is not None:
            return self.steps
        return math.ceil((self.epochs or FORMER_EPOCHS) * examples / self.batch_size)


FORMER: dict[str, float] = {
    "batch_size": 8,
    "learning_rate": 3e-4,
    "warmup": 0.03,
    "weight_decay": 0.01,
    "max_length": 1024,
}
"""Fine-tune-CoT's values, with a schedule."""


def is_open(settings: TrainSettings) -> bool:
    """Whether any value is left to :func:`resolve`."""
    if isinstance(settings, ResolvedTraining):
        return False
    if settings.steps is None and settings.epochs is None:
        return True
    return any(getattr(settings, name) is None for name in OPEN)


def resolve(settings: TrainSettings, facts: StartFacts, work: Work) -> ResolvedTraining:
    """Returns the settings of one student's training, with what they leave open filled in.

    Args:
        settings: A value that is given stays.
        facts: The start's.
        work: The student's examples.
    """
    if isinstance(settings, ResolvedTraining):
        return settings
    if facts.parameters < SMALL_START:
        rate = {"learning_rate": PREFIX_RATE} if settings.prefix else {}
        return with_values(settings, FORMER | rate)
    values = with_values(settings, _values(settings, facts, on_policy=work.on_policy))
    if settings.steps is not None or settings.epochs is not None:
        return values
    passes = min(max(SEEN_EXAMPLES / work.examples, LEAST_PASSES), MOST_PASSES)
    by_passes = values.model_copy(update={"epochs": float(passes)})
    most = min(PROCESSOR_STEPS, int(PROCESSOR_TOKENS / (values.batch_size * work.tokens)))
    if not facts.on_processor or by_passes.steps_for(work.examples) <= most:
        return by_passes
    return values.model_copy(update={"steps": max(most, 1)})


def with_values(settings: TrainSettings, values: dict[str, float]) -> ResolvedTraining:
    """Returns the settings with values in the place of those that are open."""
    given = {name: getattr(settings, name) for name in TrainSettings.model_fields}
    filled = {name: value for name, value in values.items() if given[name] is None}
    return ResolvedTraining.model_construct(**given | filled)


def longest_example(settings: TrainSettings, facts: StartFacts) -> int:
    """Returns the most tokens of an example, which is known before there are any examples."""
    if settings.max_length is not None:
        return settings.max_length
    return int(FORMER["max_length"]) if facts.parameters < SMALL_START else _usual_length(facts)


def described(settings: ResolvedTraining) -> str:
    """Returns how a student is trained, in words."""
    if settings.steps is not None:
        length = number_of(settings.steps, "step")
    else:
        passes = settings.epochs or FORMER_EPOCHS
        length = f"{passes:.3g} passes" if passes != 1 else "1 pass"
    return (
        f"learning rate {settings.learning_rate:g}, {settings.schedule} after a warm-up of "
        f"{settings.warmup:.0%} of the steps, {length} in batches of {settings.batch_size}, "
        f"weight decay {settings.weight_decay:g}, examples of at most {settings.max_length:,} "
        "tokens"
    )


def activation_bytes(facts: StartFacts, tokens: float) -> float:
    """Returns the bytes that are kept for the way back, of so many tokens at once."""
    return tokens * facts.layers * facts.width * ACTIVATION_BYTES


def _values(settings: TrainSettings, facts: StartFacts, *, on_policy: bool) -> dict[str, float]:
    """Returns the values for a start of 20 million weights or more."""
    added = settings.lora is not None or settings.prefix is not None
    rate = PREFIX_RATE if settings.prefix else _learning_rate(facts, settings.lora)
    if on_policy:
        rate = float(f"{rate * ON_POLICY_SHARE:.2g}")
    return {
        "batch_size": SMALL_BATCH if facts.parameters < SMALL_BATCH_WEIGHTS else LARGE_BATCH,
        "learning_rate": rate,
        "warmup": 0.1,
        "weight_decay": 0.0 if added else 0.01,
        "max_length": _usual_length(facts),
    }


def _learning_rate(facts: StartFacts, lora: LoraSettings | None) -> float:
    if lora is not None and lora.kind == "ia3":
        return FACTOR_RATE
    if lora is not None:
        return _by_size(ADAPTER_RATES, facts.parameters)
    if facts.encoder_decoder:
        return _by_size(ENCODER_DECODER_RATES, facts.parameters)
    tuned = facts.chat and facts.parameters >= TUNED_WEIGHTS
    return _by_size(FULL_RATES, facts.parameters) / (2 if tuned else 1)


def _by_size(rates: tuple[tuple[float, float], ...], parameters: int) -> float:
    return next(rate for most, rate in rates if parameters < most)


def _usual_length(facts: StartFacts) -> int:
    """Returns the longest example that positions and memory leave room for, or the usual one."""
    for length in LENGTHS:
        fits = facts.positions is None or length <= facts.positions
        if fits and activation_bytes(facts, length) <= ROOM * facts.memory:
            return length
    return USUAL_LENGTH
