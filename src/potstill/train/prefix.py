"""Prefix tuning: a learned prefix is trained, the weights stay (arXiv 2101.00190)."""

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from potstill.models.local.cache_argument import with_cache
from potstill.models.local.kv_cache import layer_states
from potstill.models.local.learned_prefix import (
    check_prefix,
    prefix_parameters,
    put_prefix,
    set_states,
)
from potstill.train.settings import PrefixSettings

FIRST_TEXT = "Think step by step. Then give the answer."
"""The text whose keys and values a prefix begins as; real words do better than random numbers."""


def add_prefix(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: PrefixSettings
) -> None:
    """Give a model a prefix, which alone is trained from then on.

    Raises:
        ConfigError: The model cannot have one.
    """
    check_prefix(model)
    text = tokenizer(FIRST_TEXT, add_special_tokens=False)["input_ids"]
    assert isinstance(text, list)
    ids = (text * settings.tokens)[: settings.tokens]
    cache = DynamicCache()
    with torch.no_grad():
        model(
            input_ids=torch.tensor([ids], device=model.device),
            use_cache=True,
            **with_cache(model, cache),
        )
    put_prefix(model, settings.tokens)
    states = [layer_states(layer) for layer in cache.layers]
    set_states(model, [(keys[0], values[0]) for keys, values in states])
    model.requires_grad_(False)
    for part in prefix_parameters(model).values():
        part.requires_grad_(True)
