"""Accuracies of the bundled pair on test questions: batched generation, grading, intervals."""

from math import sqrt

import torch
from pair_texts import style_prompt
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from potstill.models.local.cache_argument import with_cache
from potstill.tasks import grade
from potstill.tasks.procedural import FAMILIES, questions

BATCH = 200
"""Prompts continued at a time."""


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
    """Continue prompts of any lengths in one batch; greedy where the temperature is 0.

    It stands apart from ``potstill.models`` so that the pair can be trained and measured before
    anything that loads it.
    """
    torch.manual_seed(seed)
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    ids, mask = batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
    eos = tokenizer.eos_token_id
    cache = DynamicCache()
    written = []
    done = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for _ in range(max_tokens):
        with torch.autocast(model.device.type, torch.bfloat16):
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                logits_to_keep=1,
                **with_cache(model, cache),
            ).logits[:, -1]
        chosen = _choose(logits.float(), temperature)
        written.append(chosen)
        done |= chosen == eos
        if done.all():
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    rows = torch.stack(written, dim=1).tolist()
    ended = [row[: row.index(eos)] if eos in row else row for row in rows]
    return [str(tokenizer.decode(row)) for row in ended]


def accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    family: str,
    *,
    style: str = "zero_shot_cot",
    temperature: float = 0.0,
    count: int = 400,
    seed: int = 1,
) -> int:
    """Returns the number of a family's ``count`` test questions that are answered rightly."""
    asked = questions(family, "test", count, seed)
    prompts = [style_prompt(style, question) for question in asked]
    texts: list[str] = []
    for first in range(0, count, BATCH):
        batch = prompts[first : first + BATCH]
        texts += generate(model, tokenizer, batch, temperature=temperature, seed=first)
    answer_type = FAMILIES[family].answer_type
    return sum(
        grade(answer_type, text, question).correct
        for text, question in zip(texts, asked, strict=True)
    )


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95% interval of Wilson (1927) for a proportion."""
    z = 1.959964
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def _choose(logits_BV: torch.Tensor, temperature: float) -> torch.Tensor:
    """The next token of each row."""
    if temperature == 0:
        return logits_BV.argmax(-1)
    return torch.multinomial((logits_BV / temperature).softmax(-1), 1)[:, 0]
