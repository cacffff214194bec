"""A learned prefix: keys and values that every token reads beside the text (arXiv 2101.00190).

They stand in each attention layer and not in the cache, so that positions, masks and caches of the
model stay what they are, and any of its forward passes reads them. Such a student is its start's
weights, a file of its own beside them, and a config that says so; other programs cannot load it.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from potstill.errors import ConfigError, ModelError
from potstill.records.training import PREFIX_FILE

PREFIX_FIELD = "learned_prefix"
"""The field of a config that holds the number of learned tokens."""

PREFIX_ARCHITECTURE = "PotstillLearnedPrefix"
"""The architecture that such a config names, so that servers do not load the start in its place."""

_NAME = "potstill_learned_prefix"
_PARTS = ("prefix_keys", "prefix_values")


def check_prefix(model: PreTrainedModel) -> None:
    """Refuse a model that cannot have a learned prefix.

    Raises:
        ConfigError: It has no attention layers of the usual kind, or an encoder.
    """
    layers = _attention_layers(model)
    config: Any = model.config.get_text_config(decoder=True)
    usual = len(layers) == getattr(config, "num_hidden_layers", None)
    if model.config.is_encoder_decoder or not usual or not model._can_set_attn_implementation():
        raise ConfigError(
            f"{model.config.model_type} models cannot have a learned prefix (train.prefix): it "
            "needs a decoder all of whose layers have plain attention. Set train.lora in its place."
        )


def put_prefix(model: PreTrainedModel, tokens: int) -> None:
    """Give each attention layer keys and values of so many tokens, all of them 0.

    Raises:
        ConfigError: As :func:`check_prefix`.
    """
    check_prefix(model)
    config: Any = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    like: Any = model.get_input_embeddings().weight
    for layer in _attention_layers(model):
        for name in _PARTS:
            empty = torch.zeros(heads, tokens, width, device=like.device, dtype=like.dtype)
            layer.register_parameter(name, nn.Parameter(empty))
    model.set_attn_implementation(_NAME)
    model.config.learned_prefix = tokens


def has_prefix(model: nn.Module) -> bool:
    """Whether a model has a learned prefix."""
    return bool(getattr(getattr(model, "config", None), PREFIX_FIELD, None))


def set_states(model: PreTrainedModel, states: list[tuple[Tensor, Tensor]]) -> None:
    """Put keys and values ``(K, L, D)`` of each layer in the place of the prefix's."""
    with torch.no_grad():
        for layer, (keys, values) in zip(_attention_layers(model), states, strict=True):
            layer.prefix_keys.copy_(keys)  # type: ignore[operator]
            layer.prefix_values.copy_(values)  # type: ignore[operator]


def prefix_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the prefix's keys and values by their names in the model."""
    return {name: part for name, part in model.named_parameters() if name.endswith(_PARTS)}


def write_prefix(weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Write the prefix among a model's weights to a folder; returns the weights without it."""
    own = {name: weight for name, weight in weights.items() if name.endswith(_PARTS)}
    save_file({name: part.detach().cpu().contiguous() for name, part in own.items()},
              folder / PREFIX_FILE)  # fmt: skip
    return {name: weight for name, weight in weights.items() if name not in own}


def read_prefix(model: PreTrainedModel, source: str) -> None:
    """Give a model the prefix that stands beside its weights.

    Args:
        model: Loaded from ``source``; its config says of how many tokens the prefix is.
        source: A folder.

    Raises:
        ModelError: The prefix is not there, or is another model's.
    """
    file = Path(source) / PREFIX_FILE
    if not file.is_file():
        raise ModelError(f"{source} has no {PREFIX_FILE}, which its config.json speaks of.")
    tokens = getattr(model.config, PREFIX_FIELD)
    put_prefix(model, tokens)
    stored, own = load_file(file), prefix_parameters(model)
    if {name: part.shape for name, part in stored.items()} != {
        name: part.shape for name, part in own.items()
    }:
        raise ModelError(f"{file} is the learned prefix of another model.")
    with torch.no_grad():
        for name, part in own.items():
            part.copy_(stored[name])


def _attention_layers(model: nn.Module) -> list[nn.Module]:
    return [
        module
        for module in model.modules()
        if type(module).__name__.endswith("Attention")
        and getattr(module, "layer_idx", None) is not None
    ]


def attention_with_prefix(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, over the learned keys and values and the text's.

    Args:
        module: The attention layer.
        query: ``(B, H, T, D)``.
        key: ``(B, K, S, D)``.
        value: ``(B, K, S, D)``.
        attention_mask: ``(B, 1, T, S)``; None where each token reads all before it.
        is_causal: Not looked at; the mask says it.
        options: Whatever else a model asks of its attention.

    Returns:
        ``(B, T, H, D)``, and no weights.
    """
    layer: Any = module
    (B, _, T, _), S = query.shape, key.shape[2]
    mask = attention_mask
    if mask is None and T > 1:
        mask = torch.ones(T, S, dtype=torch.bool, device=query.device).tril(S - T)[None, None]
    if mask is not None:
        learned = layer.prefix_keys.shape[1]
        mask = F.pad(mask[..., :S], (learned, 0), value=True if mask.dtype == torch.bool else 0.0)
    keys = torch.cat([layer.prefix_keys.to(key.dtype).expand(B, -1, -1, -1), key], dim=2)
    values = torch.cat([layer.prefix_values.to(value.dtype).expand(B, -1, -1, -1), value], dim=2)
    return sdpa_attention_forward(module, query, keys, values, mask, **options, is_causal=False)


AttentionInterface.register(_NAME, attention_with_prefix)
AttentionMaskInterface.register(_NAME, sdpa_mask)
