"""Additions to a model's weights, by peft: low-rank ones (LoRA, arXiv 2106.09685) and their kin."""

import copy
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from potstill.errors import ConfigError, extra
from potstill.train.quantization import is_quantized, merged_from_4_bits
from potstill.train.settings import LoraSettings


def add_lora(model: PreTrainedModel, settings: LoraSettings) -> nn.Module:
    """Returns the model with low-rank additions, its own weights frozen.

    Raises:
        ConfigError: A layer that gets an addition is not there, cannot have one, or shares its
            weight with another layer: merged, the addition would change both, or be lost.
        MissingExtraError: peft is not installed.
    """
    with extra("lora", needed_for="train.lora"):
        from peft import get_peft_model
    owners = _owners(model)
    config = _peft_config(settings, encoder_decoder=bool(model.config.is_encoder_decoder))
    linear = ", ".join(sorted({name.rpartition(".")[2] for name in _linear_layers(model)}))
    with warnings.catch_warnings():
        # peft asks transformers by a name of before 5.23, and warns of what is refused below.
        warnings.simplefilter("ignore")
        try:
            wrapped = get_peft_model(model, config)
        except ValueError as error:
            reason = str(error).strip().partition("\n")[0]
            if settings.kind == "ia3":
                raise ConfigError(
                    f"train.lora.kind is ia3, and peft knows no layers of "
                    f"{model.config.model_type} models for it ({reason}). Take lora, rslora or "
                    "dora."
                ) from error
            raise ConfigError(
                f"train.lora.target_modules: {reason} Its linear layers are {linear}."
            ) from error
    _refuse_shared(wrapped, owners)
    _refuse_missing(wrapped, settings, linear)
    assert isinstance(wrapped, nn.Module)
    return wrapped


def merged(model: Any) -> PreTrainedModel:
    """Returns a model of its own, with the additions merged.

    Args:
        model: Wrapped by :func:`add_lora`; stays as it is.
    """
    if is_quantized(model.get_base_model()):
        return merged_from_4_bits(model)
    whole = copy.deepcopy(model).merge_and_unload()
    assert isinstance(whole, PreTrainedModel)
    return whole


def _peft_config(settings: LoraSettings, *, encoder_decoder: bool) -> Any:
    from peft import IA3Config, LoraConfig

    task_type = "SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM"
    if settings.kind == "ia3":
        return IA3Config(task_type=task_type)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # fractions work too
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules or ()) or "all-linear",
        use_rslora=settings.kind == "rslora",
        use_dora=settings.kind == "dora",
        task_type=task_type,
    )


def _linear_layers(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            yield name


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """Returns the names of the layers that hold each weight, by the weight's identity."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules(remove_duplicate=False):
        for weight in module._parameters.values():
            if weight is not None:
                owners[id(weight)].append(name)
    return owners


def _refuse_shared(wrapped: nn.Module, owners: dict[int, list[str]]) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in wrapped.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        for weight in module.get_base_layer().parameters():
            layers = owners[id(weight)]
            if len(layers) > 1:
                own = name.removeprefix("base_model.model.")
                others = ", ".join(layer for layer in layers if layer != own)
                raise ConfigError(
                    f"train.lora.target_modules: {own} shares its weight with {others} (tied "
                    "embeddings), so the saved model could not hold the addition to one of them "
                    "alone. Name other layers, or train all weights."
                )


def _refuse_missing(wrapped: nn.Module, settings: LoraSettings, linear: str) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [
        name for name, module in wrapped.named_modules() if isinstance(module, BaseTunerLayer)
    ]
    for target in settings.target_modules or ():
        if not any(name == target or name.endswith(f".{target}") for name in adapted):
            raise ConfigError(
                f"train.lora.target_modules names {target!r}, and the model has no such layer. Its "
                f"linear layers are {linear}."
            )
