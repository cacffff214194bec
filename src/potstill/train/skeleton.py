"""A start without its weights, on torch's ``meta`` device: its layers, their shapes and sizes."""

import copy
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)

from potstill.models.local.loading import one_line_errors, quietly
from potstill.models.settings import LocalSettings


def weights_in_4_bits(model: PreTrainedModel) -> int:
    """Returns the number of weights that are held in 4 bits: of linear layers but the head."""
    head = model.get_output_embeddings()
    return sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )


def model_without_weights(config: PretrainedConfig, start: LocalSettings) -> PreTrainedModel:
    """Returns a model that has all layers and no weights.

    Raises:
        ModelError: No model can be built from the config.
    """
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with quietly(), one_line_errors(start.source), torch.device("meta"):
        trusted = start.trust_remote_code
        own = copy.deepcopy(config)  # its number format is changed by the building
        model = auto.from_config(own, dtype=torch.float32, trust_remote_code=trusted)
        model.tie_weights()
    assert isinstance(model, PreTrainedModel)
    return model
