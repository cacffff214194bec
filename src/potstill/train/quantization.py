"""Weights that are held in 4 bits while additions to them are trained (QLoRA, arXiv 2305.14314)."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import BitsAndBytesConfig, PreTrainedModel

from potstill.errors import extra


def four_bits(device: str) -> BitsAndBytesConfig:
    """Returns the settings by which weights are loaded in 4 bits: NF4, quantised twice.

    Args:
        device: The torch device that they are loaded on.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    with extra("qlora", needed_for="train.lora.quantize"):
        import bitsandbytes  # noqa: F401  # transformers says less of its absence
    on_gpu = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
    )


def keep_trainable(model: PreTrainedModel) -> None:
    """Keep weights in 4 bits as they can be trained on: for inference a processor repacks them."""
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_quantized(model: Any) -> bool:
    """Whether a model's weights are held in fewer bits than they stand for."""
    return bool(getattr(model, "is_quantized", False))


def merged_from_4_bits(model: Any) -> PreTrainedModel:
    """Returns an ordinary model: what the weights in 4 bits stand for, with additions merged.

    So the merged model is the one that was trained, and not the additions on other weights.

    Args:
        model: Wrapped by peft, its weights held in 4 bits; stays as it is.
    """
    base = model.get_base_model()
    config = copy.deepcopy(base.config)
    del config.quantization_config
    with torch.device("meta"):
        plain = type(base)(config)
    plain.load_state_dict(_whole_weights(model), strict=False, assign=True)
    plain.tie_weights()
    plain.generation_config = base.generation_config
    return plain  # type: ignore[no-any-return]


def _whole_weights(model: Any) -> dict[str, Tensor]:
    """Returns all weights in float32 on the processor, by their names without peft."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit
    from peft.tuners.lora import LoraLayer

    base = model.get_base_model()
    weights = {
        name.replace(".base_layer.", "."): weight.detach().cpu()
        for name, weight in base.named_parameters(remove_duplicate=False)
        if ".lora_" not in name
    }
    for name, module in base.named_modules():
        added = isinstance(module, LoraLayer)
        layer = module.get_base_layer() if added else module
        if not isinstance(layer, Linear4bit) or name.endswith(".base_layer"):
            continue
        whole = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(torch.float32)
        if added:
            whole = whole + module.get_delta_weight(model.active_adapter).to(whole.device)
        weights[f"{name}.weight"] = whole.detach().cpu()
    return weights
