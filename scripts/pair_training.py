"""The training loop of the bundled pair: from random weights, on the CPU or one GPU.

Shape suffixes: B documents of a batch, T positions, N trained positions, V vocabulary.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import torch
from pair_texts import EOS, PAD, Document, Mixture, documents
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

CHUNK = 20_000
"""Documents drawn at a time; sorted by length within a chunk so that little is padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How long and how fast to train."""

    minutes: float
    """Wall time; the learning rate falls to zero by its end."""

    steps: int
    """The most optimiser steps; whichever limit comes first ends training."""

    batch_tokens: int
    """Tokens of one step, padding and prompts included."""

    muon_lr: float
    """Peak learning rate of the matrices."""

    adam_lr: float
    """Peak learning rate of everything else."""

    decay_from: float
    """Share of the training after which the learning rates fall, linearly."""

    decay_to: float
    """Share of the peak at which they end."""

    seed: int
    compile: bool


def build_model(tokenizer: Tokenizer, *, layers: int, width: int, inner: int, heads: int, seed: int) -> LlamaForCausalLM:
    """A small Llama with random weights, in float32."""
    torch.manual_seed(seed)
    eos = tokenizer.token_to_id(EOS)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    # The backward pass of torch's fused attention takes half of a step at such short lengths on a
    # CPU; plain matrix products under torch.compile do not.
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    mixture: Mixture,
    plan: Plan,
    *,
    save: Callable[[LlamaForCausalLM, int], None],
    save_every: float = 240.0,
) -> dict[str, float]:
    """Train in place.

    Args:
        model: Changed in place; ends in evaluation mode.
        tokenizer: Its end-of-sequence token ends every document.
        mixture: Where the documents come from.
        plan: Limits and rates.
        save: Called with the model and the step, every ``save_every`` seconds.

    Returns:
        ``steps``, ``tokens``, ``trained_tokens``, ``seconds`` and the last ``loss``.
    """
    device = next(model.parameters()).device
    body = torch.compile(model.model, dynamic=True) if plan.compile else model.model
    optimizers = _optimizers(model, plan)
    start = reported = saved = time.perf_counter()
    step = tokens = trained = 0
    mean_loss = 0.0
    for ids_BT, trained_BT in _batches(tokenizer, mixture, plan):
        progress = max((time.perf_counter() - start) / (60 * plan.minutes), step / plan.steps)
        if progress >= 1:
            break
        _set_rates(optimizers, step, progress, plan)
        loss = _loss(model, body, ids_BT.to(device), trained_BT.to(device))
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += ids_BT.numel()
        trained += int(trained_BT.sum())
        mean_loss += (loss.item() - mean_loss) * max(0.02, 1 / step)
        now = time.perf_counter()
        if now - reported > 15:
            reported = now
            rate = tokens / (now - start)
            left = (now - start) * (1 / max(progress, 1e-6) - 1)
            print(f"step {step} loss {mean_loss:.4f} {rate:,.0f} tokens/s, {left / 60:.1f} min left", flush=True)
        if now - saved > save_every:
            saved = now
            save(model, step)
    model.eval()
    seconds = time.perf_counter() - start
    return {"steps": step, "tokens": tokens, "trained_tokens": trained, "seconds": seconds, "loss": mean_loss}


def _loss(model: LlamaForCausalLM, body: torch.nn.Module, ids_BT: Tensor, trained_BT: Tensor) -> Tensor:
    """Cross-entropy on the trained positions, in nats a token.

    Autocast covers the forward pass alone: around the whole loop it would keep its bfloat16 copies
    of the weights from before the optimiser's step, and nothing would be learned.
    """
    with torch.autocast(ids_BT.device.type, torch.bfloat16):
        hidden = body(input_ids=ids_BT, use_cache=False).last_hidden_state
        logits_NV = model.lm_head(hidden[:, :-1][trained_BT[:, 1:]])
    return F.cross_entropy(logits_NV.float(), ids_BT[:, 1:][trained_BT[:, 1:]])


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(others, lr=plan.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    if plan.muon_lr == 0:
        adam.add_param_group({"params": matrices})
        return [adam]
    muon = torch.optim.Muon(matrices, lr=plan.muon_lr, weight_decay=0.01, adjust_lr_fn="original")
    return [muon, adam]


def _set_rates(optimizers: list[torch.optim.Optimizer], step: int, progress: float, plan: Plan) -> None:
    """Warm-up over 100 steps, a plateau, and a straight fall."""
    fall = min(1.0, (1 - progress) / (1 - plan.decay_from)) if plan.decay_from < 1 else 1.0
    share = min(1.0, (step + 1) / 100) * (plan.decay_to + (1 - plan.decay_to) * fall)
    for optimizer in optimizers:
        peak = plan.muon_lr if isinstance(optimizer, torch.optim.Muon) else plan.adam_lr
        for group in optimizer.param_groups:
            group["lr"] = peak * share


def _batches(tokenizer: Tokenizer, mixture: Mixture, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: ``ids_BT`` and the mask ``trained_BT`` of target positions."""
    chunk = 0
    while True:
        seed = plan.seed * 1_000_000 + chunk
        encoded = _encode(tokenizer, documents(mixture, CHUNK, seed))
        encoded.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in encoded:
            longest = _padded(len(pair[0]) + len(pair[1]))
            if (len(groups[-1]) + 1) * longest > plan.batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        Random(seed).shuffle(groups)
        for group in groups:
            yield _collate(group, tokenizer.token_to_id(PAD))
        chunk += 1


def _padded(length: int) -> int:
    """The length a document is padded to, so that few shapes occur."""
    return -(-length // 8) * 8


def _encode(tokenizer: Tokenizer, drawn: list[Document]) -> list[tuple[list[int], list[int]]]:
    """Prompt ids and target ids; the end of sequence counts as part of the target."""
    prompts = tokenizer.encode_batch([document.prompt for document in drawn])
    targets = tokenizer.encode_batch([document.target + EOS for document in drawn])
    return [(prompt.ids, target.ids) for prompt, target in zip(prompts, targets, strict=True)]


def _collate(group: list[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Pad on the right: under a causal mask no real token sees the padding."""
    width = _padded(max(len(prompt) + len(target) for prompt, target in group))
    ids_BT = torch.full((len(group), width), pad)
    trained_BT = torch.zeros((len(group), width), dtype=torch.bool)
    for row, (prompt, target) in enumerate(group):
        end = len(prompt) + len(target)
        ids_BT[row, :end] = torch.tensor(prompt + target)
        trained_BT[row, len(prompt) : end] = True
    return ids_BT, trained_BT
