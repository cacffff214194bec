"""float32 or bfloat16 on a processor: the faster one, found by trying both.

Processors with AMX or AVX512-BF16 multiply in bfloat16 up to twice as fast; on others it is slower
by far. So nothing is derived from the processor's name: a little of the work is done in each, and
before it a single product, which spares the trial where bfloat16 has no chance: with SmolLM2-135M
on a processor with AVX2 alone a step took 12 s in float32 and 149 s in bfloat16.
Models of fewer than :data:`SMALL_MODEL` weights stay in float32 without a trial: their time goes
into other things than products, and they have nothing to spare for rounding.
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from potstill.models.local.device_memory import free_memory
from potstill.models.local.float32_states import use_float32_states
from potstill.models.local.loading import SMALL_MODEL, parameters_of
from potstill.models.local.packed_layers import pack_layers
from potstill.runtime import Runtime
from potstill.runtime.number_formats import NumberFormat, Trial

REPEATS = 2
"""How often each format is tried; the faster time counts, so that the first warms up."""

ENOUGH_SECONDS = 5.0
"""Seconds from which on a trial is not repeated: warming up is then a small part of it."""

TRYING = "trying whether float32 or bfloat16 is faster here"
"""The note in the live view during a trial."""

PRODUCT = (512, 576, 1536)
"""Rows, inputs and outputs of the product that is tried first: a step's, of SmolLM2-135M."""

HOPELESS = 2.0
"""The ratio of bfloat16's to float32's time from which on the product's trial alone decides."""

ROWS, PROMPT_TOKENS, NEW_TOKENS = 16, 64, 8
"""The texts that a trial of generation writes, their prompts and their lengths in tokens. Batches
are mostly larger, and bfloat16 gains more there: with SmolLM2-135M 1.4 times at 8 rows, and 1.7 at
16, 32 and 64."""


def is_tried(model: PreTrainedModel) -> bool:
    """Whether ``auto`` tries both formats for a model: large enough, and on a processor."""
    return model.device.type == "cpu" and parameters_of(model) >= SMALL_MODEL


def shape_name(config: PretrainedConfig) -> str:
    """Returns the name of a model's shape, which a start and all its students share."""
    sizes = (
        (getattr(config, "num_hidden_layers", None), "layers"),
        (getattr(config, "hidden_size", None), "wide"),
        (getattr(config, "vocab_size", None), "tokens"),
    )
    return ", ".join([config.model_type, *(f"{size} {what}" for size, what in sizes if size)])


def timed(work: Callable[[NumberFormat], None]) -> Trial:
    """Returns the seconds that some work takes in each format, the best of a few tries.

    Where bfloat16 is slower by far in a single product, that product is the work.

    Args:
        work: Does it once in the format that it is given.
    """
    product = _best_of_tries(_multiply)
    if product.bfloat16 >= HOPELESS * product.float32:
        return product
    return _best_of_tries(work)


def _multiply(number_format: NumberFormat) -> None:
    rows, inputs, outputs = PRODUCT
    dtype = torch.bfloat16 if number_format == "bfloat16" else torch.float32
    weights = torch.ones(outputs, inputs, dtype=dtype)
    torch.nn.functional.linear(torch.ones(rows, inputs, dtype=dtype), weights)


def _best_of_tries(work: Callable[[NumberFormat], None]) -> Trial:
    formats: tuple[NumberFormat, ...] = ("float32", "bfloat16")
    seconds = dict.fromkeys(formats, float("inf"))
    for _ in range(REPEATS):
        if ENOUGH_SECONDS <= sum(seconds.values()) < float("inf"):
            break
        for number_format in formats:
            begin = time.perf_counter()
            work(number_format)
            seconds[number_format] = min(seconds[number_format], time.perf_counter() - begin)
    return Trial(**seconds)


def generation_format(model: PreTrainedModel, name: str, runtime: Runtime) -> NumberFormat:
    """Returns the format to generate in: the faster one of a trial, which the run keeps.

    Args:
        model: Loaded in float32.
        name: The model's name, for the view.
        runtime: The run's; it keeps the choice and shows it.
    """
    shape = shape_name(model.config)
    if not is_tried(model):
        return "float32"
    if free_memory("cpu") < 2 * parameters_of(model):
        runtime.events.announce(
            "number_format",
            f"{name} generates in float32: there is no memory for a trial of bfloat16",
            work="generation",
            model=shape,
            chosen="float32",
        )
        return "float32"
    with runtime.events.noted("number format", TRYING):
        trial = _try_generation(model)
    return chosen("generation", name, shape, trial, runtime)


def chosen(work: str, name: str, shape: str, trial: Trial, runtime: Runtime) -> NumberFormat:
    """Returns the format that a trial speaks for; the run keeps it with its figures and shows it.

    Args:
        work: ``training`` or ``generation``.
        name: The model's or student's name, for the view.
        shape: From :func:`shape_name`.
        trial: The figures.
        runtime: The run's.
    """
    runtime.number_formats.keep(f"{work}: {shape}", trial)
    fields = {"work": work, "model": shape, "chosen": trial.chosen, **trial._asdict()}
    runtime.events.announce("number_format", trial.describe(f"{name}: {work}"), **fields)
    return trial.chosen


@torch.inference_mode()
def _try_generation(model: PreTrainedModel) -> Trial:
    rounded = copy.deepcopy(model)
    torch.nn.Module.to(rounded, torch.bfloat16)
    for tried in (model, rounded):  # as it is decoded
        pack_layers(tried)
        use_float32_states(tried)
    models: dict[str, Any] = {"float32": model, "bfloat16": rounded}
    ids = torch.arange(ROWS * PROMPT_TOKENS).reshape(ROWS, -1) % model.config.vocab_size

    def write(number_format: NumberFormat) -> None:
        models[number_format].generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=0,
        )

    return timed(write)
