"""The training loop of the bundled pair: from random weights, on the CPU or one GPU.

Shape suffixes: B documents of a batch, T positions, N trained positions, V vocabulary.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from pair_texts import EOS, PAD, Document, Mixture, documents
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

CHUNK = 10_000
"""Documents drawn at a time, and sorted by length, so that little is padding."""

OPENING = 2
"""Chunks drawn from the opening mixture."""

SAVE_EVERY = 240.0
"""Seconds."""

REPORT_EVERY = 15.0
"""Seconds."""

WARM_UP = 100
"""Steps."""

MULTIPLE = 8
"""Batches are padded to a multiple of this, so that few shapes occur."""

Pair = tuple[list[int], list[int]]
"""The ids of a document's prompt and of its target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The sizes of a Llama."""

    layers: int
    width: int
    inner: int
    """Width inside the feed-forward blocks."""

    heads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The length, the batch size and the learning rate of a training."""

    minutes: float
    """Wall time after which training ends; infinity where ``steps`` decides."""

    steps: int = 1_000_000
    """Optimiser steps after which training ends, if time has not run out."""

    batch_tokens: int
    """Tokens of one step, prompts and padding included."""

    rate: float
    """Peak learning rate."""

    decay_from: float
    """Share of the training after which the rate falls, linearly."""

    decay_to: float
    """Share of the peak at which it ends."""

    seed: int


@dataclass(kw_only=True, slots=True)
class Result:
    """The time and tokens of a training so far."""

    steps: int = 0
    tokens: int = 0
    """Prompts and padding included."""

    trained_tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    """Running mean over about 50 steps, in nats a trained token."""


def build_model(tokenizer: Tokenizer, shape: Shape, seed: int) -> LlamaForCausalLM:
    """A small Llama with random weights, in float32."""
    torch.manual_seed(seed)
    eos = tokenizer.token_to_id(EOS)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=512,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    # On a CPU the backward pass of torch's fused attention takes half of a step at such short
    # lengths; plain matrix products under torch.compile take a tenth.
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    opening: Mixture,
    mixture: Mixture,
    plan: Plan,
    *,
    save: Callable[[], None],
) -> Result:
    """Train a model in place and leave it in evaluation mode.

    Args:
        model: In float32, on the device to train on.
        tokenizer: Its end-of-sequence token ends every document.
        opening: Where the first documents come from.
        mixture: Where all others come from.
        plan: Limits and rates.
        save: Called every few minutes.
    """
    device = next(model.parameters()).device
    body = torch.compile(model.model, dynamic=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    result = Result()
    start = reported = saved = time.perf_counter()
    for ids_BT, trained_BT in _batches(tokenizer, opening, mixture, plan):
        progress = max(result.seconds / 60 / plan.minutes, result.steps / plan.steps)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _rate(plan, result.steps, progress)
        loss = _loss(model, body, ids_BT.to(device), trained_BT.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.perf_counter()
        _count(result, ids_BT, trained_BT, loss.item(), now - start)
        if now - reported > REPORT_EVERY:
            reported = now
            _report(result, progress)
        if now - saved > SAVE_EVERY:
            saved = now
            save()
    model.eval()
    return result


def _loss(
    model: LlamaForCausalLM, body: Callable[..., Any], ids_BT: Tensor, trained_BT: Tensor
) -> Tensor:
    """Cross-entropy on the trained positions, in nats a token.

    Autocast covers the forward pass alone: around the whole loop it would keep its bfloat16 copies
    of the weights from before the optimiser's step, and nothing would be learned.
    """
    wanted = trained_BT[:, 1:]
    with torch.autocast(ids_BT.device.type, torch.bfloat16):
        hidden = body(input_ids=ids_BT, use_cache=False).last_hidden_state
        logits_NV = model.lm_head(hidden[:, :-1][wanted])
    return F.cross_entropy(logits_NV.float(), ids_BT[:, 1:][wanted])


def _rate(plan: Plan, step: int, progress: float) -> float:
    """Learning rate: a warm-up, a plateau, and a straight fall."""
    fall = min(1.0, (1 - progress) / (1 - plan.decay_from))
    warm = min(1.0, (step + 1) / WARM_UP)
    return plan.rate * warm * (plan.decay_to + (1 - plan.decay_to) * fall)


def _count(result: Result, ids_BT: Tensor, trained_BT: Tensor, loss: float, seconds: float) -> None:
    """Add one step to what the training has taken."""
    result.steps += 1
    result.tokens += ids_BT.numel()
    result.trained_tokens += int(trained_BT.sum())
    result.seconds = seconds
    result.loss += (loss - result.loss) * max(0.02, 1 / result.steps)


def _report(result: Result, progress: float) -> None:
    """One line on where the training stands."""
    left = result.seconds * (1 / max(progress, 1e-6) - 1) / 60
    print(
        f"step {result.steps:,}  loss {result.loss:.4f}"
        f"  {result.tokens / result.seconds:,.0f} tokens/s  {left:.1f} min left",
        flush=True,
    )


def _batches(
    tokenizer: Tokenizer, opening: Mixture, mixture: Mixture, plan: Plan
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: ``ids_BT``, and ``trained_BT``, true where there is no padding."""
    pad = tokenizer.token_to_id(PAD)
    assert pad is not None
    seed = first = plan.seed * 1_000_000
    while True:
        stage = opening if seed - first < OPENING else mixture
        pairs = _encode(tokenizer, documents(stage, CHUNK, seed))
        pairs.sort(key=_length)
        groups: list[list[Pair]] = [[]]
        for pair in pairs:
            if (len(groups[-1]) + 1) * _padded(_length(pair)) > plan.batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        Random(seed).shuffle(groups)
        for group in groups:
            yield _collate(group, pad)
        seed += 1


def _encode(tokenizer: Tokenizer, drawn: list[Document]) -> list[Pair]:
    """Prompt ids and target ids; the end of sequence counts as part of the target."""
    prompts = tokenizer.encode_batch([document.prompt for document in drawn])
    targets = tokenizer.encode_batch([document.target + EOS for document in drawn])
    return [(prompt.ids, target.ids) for prompt, target in zip(prompts, targets, strict=True)]


def _length(pair: Pair) -> int:
    """Tokens of a document."""
    return len(pair[0]) + len(pair[1])


def _padded(length: int) -> int:
    """The width of a batch whose longest document has this length."""
    return -(-length // MULTIPLE) * MULTIPLE


def _collate(group: list[Pair], pad: int) -> tuple[Tensor, Tensor]:
    """Pad on the right: under a causal mask no real token sees the padding."""
    width = _padded(max(map(_length, group)))
    ids_BT = torch.full((len(group), width), pad)
    trained_BT = torch.zeros((len(group), width), dtype=torch.bool)
    for row, (prompt, target) in enumerate(group):
        end = len(prompt) + len(target)
        ids_BT[row, :end] = torch.tensor(prompt + target)
        trained_BT[row, :end] = True  # the prompt too: its names and numbers teach to copy
    return ids_BT, trained_BT
