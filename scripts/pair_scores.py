"""Accuracies of the bundled pair: batched generation, reading of the answer, intervals."""

from math import sqrt

import torch
from pair_texts import style_prompt
from potstill.records import Question
from potstill.tasks.procedural import questions
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    *,
    temperature: float = 0.0,
    max_tokens: int = 120,
    seed: int = 0,
) -> list[str]:
    """Continue prompts of any lengths in one batch; greedy where the temperature is 0."""
    torch.manual_seed(seed)
    device = model.device
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(device)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    cache = DynamicCache()
    written = []
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for _ in range(max_tokens):
        with torch.autocast(device.type, torch.bfloat16):
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                logits_to_keep=1,
            )
        logits = out.logits[:, -1].float()
        if temperature == 0:
            chosen = logits.argmax(-1)
        else:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1)[:, 0]
        written.append(chosen)
        done |= chosen == tokenizer.eos_token_id
        if done.all():
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    rows = torch.stack(written, dim=1).tolist()
    eos = tokenizer.eos_token_id
    return [tokenizer.decode(row[: row.index(eos)] if eos in row else row) for row in rows]


def right(text: str, question: Question, marker: str) -> bool:
    """Whether what follows the last marker is the gold answer; an empty marker takes all."""
    _, found, answer = text.rpartition(marker) if marker else ("", " ", text)
    return bool(found) and answer.strip().rstrip(".") == question.answer


def accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    family: str,
    *,
    style: str = "zero_shot_cot",
    temperature: float = 0.0,
    count: int = 400,
    seed: int = 1,
) -> tuple[int, int]:
    """Right answers on test questions of a family, and how many were asked."""
    asked = questions(family, "test", count, seed)
    prompts = [style_prompt(style, question) for question in asked]
    marker = "the answer is" if style == "zero_shot_cot" else ""
    texts: list[str] = []
    for first in range(0, len(prompts), 200):
        texts += generate(
            model, tokenizer, prompts[first : first + 200], temperature=temperature, seed=first
        )
    good = sum(right(text, question, marker) for text, question in zip(texts, asked, strict=True))
    return good, count


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95% interval of Wilson for a proportion."""
    z = 1.959964
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)
