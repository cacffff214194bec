"""The probability that a model gives each token of a text that it did not write.

Shape suffixes: T tokens, V vocabulary, K likeliest tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from potstill.models.local.cache_argument import with_cache
from potstill.models.local.sampling import Top, top_logprobs

CHUNK_TOKENS = 512
"""Tokens that are run at once: their logits take memory for every word of the vocabulary."""


@torch.inference_mode()
def score_text(model: PreTrainedModel, ids: Sequence[int], k: int) -> tuple[Top, int]:
    """Returns what a causal model expects at each place of a text, and after it.

    Args:
        model: The model.
        ids: T tokens, at least one.
        k: How many likeliest tokens to list.

    Returns:
        Log-probabilities and ids ``(T, 1 + K)``, the likeliest tokens from column 1 on; column 0 is
        the text's own next token, and in the last row the likeliest one, which is named beside.
    """
    ids_T = torch.tensor(list(ids), device=model.device)
    cache = DynamicCache(config=model.config) if len(ids) > CHUNK_TOKENS else None
    parts: list[Top] = []
    following = -1
    for start in range(0, len(ids), CHUNK_TOKENS):
        chunk_1T = ids_T[None, start : start + CHUNK_TOKENS]
        if cache is None:
            output = model(input_ids=chunk_1T)
        else:
            output = model(input_ids=chunk_1T, use_cache=True, **with_cache(model, cache))
        logits_TV = output.logits[0]
        # The logits of a place are those of the token behind it.
        following = int(logits_TV[-1].argmax())
        next_T = ids_T[start + 1 : start + 1 + len(logits_TV)]
        if len(next_T) < len(logits_TV):
            next_T = torch.cat([next_T, next_T.new_tensor([following])])
        parts.append(top_logprobs(logits_TV, next_T, k))
    logprobs = np.concatenate([part.logprobs for part in parts])
    return Top(logprobs, np.concatenate([part.ids for part in parts])), following
