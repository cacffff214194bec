"""The trial behind ``precision: auto`` on a processor: a step forward and back in each format."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from potstill.models.local.format_trials import ENOUGH_SECONDS, timed
from potstill.models.local.loading import Loaded
from potstill.runtime.number_formats import NumberFormat, Trial
from potstill.train.encoding import Encoded
from potstill.train.spooled_examples import facts_of
from potstill.train.trainer_setup import longest_of

TRIAL_TOKENS = 512
"""Most tokens of the examples that are tried together; at least one example is. bfloat16 gains the
more, the more tokens a product has: with SmolLM2-135M 1.1 times at 128 tokens, 1.5 at 512."""


def try_training(loaded: Loaded, examples: Sequence[Encoded], batch_size: int) -> Trial:
    """Returns the seconds that a step takes in float32, and with products in bfloat16.

    Weights, gradients and random state are afterwards as they were.

    Args:
        loaded: The student.
        examples: All that it learns.
        batch_size: Examples to an optimiser step; so many are tried, as far as they have room.
    """
    model = loaded.model
    tried = _tried(examples, batch_size, longest_of(loaded, TRIAL_TOKENS))
    # A step computes its examples together, in one row where the model allows it.
    rows = tried if loaded.encoder_decoder else [_joined(tried)]

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


def _tried(examples: Sequence[Encoded], batch_size: int, most_tokens: int) -> list[Encoded]:
    """Returns examples of middling length, as many as a trial has room for."""
    by_length = np.argsort(facts_of(examples).lengths, kind="stable")
    middle = np.roll(by_length, -(len(by_length) // 2))[:batch_size].tolist()
    rows = [examples[middle[0]]]
    tokens = rows[0].length
    for example in (examples[place] for place in middle[1:]):
        tokens += example.length
        if tokens > most_tokens:
            break
        rows.append(example)
    return rows


def _joined(examples: Sequence[Encoded]) -> Encoded:
    """Returns examples one after the other, as one."""
    ids = [token for example in examples for token in (*example.prompt, *example.target)]
    return Encoded(ids[:1], ids[1:])


def _inputs(loaded: Loaded, example: Encoded) -> dict[str, Tensor | bool]:
    prompt, target = torch.tensor([example.prompt]), torch.tensor([example.target])
    if loaded.encoder_decoder:
        return {"input_ids": prompt, "labels": target, "use_cache": False}
    ids = torch.cat([prompt, target], dim=1)
    return {"input_ids": ids, "labels": ids, "use_cache": False}


def trained_rate(loaded: Loaded, tokens: int) -> float:
    """Returns the tokens a second of a step forward and back in float32.

    The best of a few, where they do not take long; the first call of all, which loads much that
    is not training, is not among them.

    Args:
        loaded: The model; its weights do not matter.
        tokens: The tokens that are computed at once, of which at most :data:`TRIAL_TOKENS` are
            tried, and no more than the model has positions for.
    """
    half = max(min(tokens, longest_of(loaded, TRIAL_TOKENS)) // 2, 1)
    seconds = []
    for length in (1, half, half, half):
        begin = time.perf_counter()
        loaded.model(**_inputs(loaded, Encoded([1] * length, [1] * length))).loss.backward()
        seconds.append(time.perf_counter() - begin)
        if sum(seconds[1:]) >= ENOUGH_SECONDS:
            break
    return 2 * half / min(seconds[1:])


def product_speed(device: str | None) -> float:
    """Returns the operations a second of a matrix product: float32, or bfloat16 on a GPU."""
    on_gpu = device is not None and device.startswith("cuda")
    size, dtype = (4096, torch.bfloat16) if on_gpu else (1024, torch.float32)
    matrix = torch.ones(size, size, device=device or "cpu", dtype=dtype)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # read, so that a GPU is waited for
        seconds.append(time.perf_counter() - begin)
    return float(2 * size**3 / min(seconds))
