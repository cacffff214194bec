"""The trial behind ``precision: auto`` on a processor: a step forward and back in each format."""

from collections.abc import Sequence

import torch
from torch import Tensor

from potstill.models.local.format_trials import timed
from potstill.models.local.loading import Loaded
from potstill.runtime.number_formats import NumberFormat, Trial
from potstill.train.encoding import Encoded

TRIAL_TOKENS = 128
"""Tokens of the examples that are tried; at least one example is."""


def try_training(loaded: Loaded, examples: Sequence[Encoded]) -> Trial:
    """Returns the seconds that a small step takes in float32, and with products in bfloat16.

    Weights, gradients and random state are afterwards as they were.
    """
    model, rows = loaded.model, _tried(examples)

    def step(number_format: NumberFormat) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=number_format == "bfloat16"):
            for inputs in rows:
                model(**_inputs(loaded, inputs)).loss.backward()
        model.zero_grad(set_to_none=True)

    model.train()
    with torch.random.fork_rng(devices=[]):
        trial = timed(step)
    model.eval()
    return trial


def _tried(examples: Sequence[Encoded]) -> list[Encoded]:
    """Returns examples of middling length, as many as a trial has room for."""
    by_length = sorted(examples, key=lambda example: example.length)
    middle = by_length[len(by_length) // 2 :] + by_length[: len(by_length) // 2]
    rows, tokens = middle[:1], middle[0].length
    for example in middle[1:]:
        tokens += example.length
        if tokens > TRIAL_TOKENS:
            break
        rows.append(example)
    return rows


def _inputs(loaded: Loaded, example: Encoded) -> dict[str, Tensor | bool]:
    prompt, target = torch.tensor([example.prompt]), torch.tensor([example.target])
    if loaded.encoder_decoder:
        return {"input_ids": prompt, "labels": target, "use_cache": False}
    ids = torch.cat([prompt, target], dim=1)
    return {"input_ids": ids, "labels": ids, "use_cache": False}
