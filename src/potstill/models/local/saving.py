"""Writing a model and its tokenizer so that transformers 4 and 5 read the folder alike.

transformers 5 writes what 4 refuses, or reads wrongly without a word: a tokenizer class that 4 does
not know, lists in the place of mappings, and the base of rotary positions in a place where 4 does
not look, so that it goes by its default. Either reads what is written here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from potstill.models.local.learned_prefix import PREFIX_ARCHITECTURE, PREFIX_FIELD
from potstill.models.local.loading import SMALL_MODEL
from potstill.whole_files import write_whole

NEW_CLASSES = {
    "TokenizersBackend": "PreTrainedTokenizerFast",
    "PythonBackend": "PreTrainedTokenizer",
}
"""Tokenizer classes of transformers 5 by the names that 4 has for them; 5 knows these, too."""


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    state_dict: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as ``hf:`` loads it.

    Args:
        model: The model; its config is written.
        tokenizer: Its tokenizer.
        folder: Is there already.
        state_dict: The weights, where they are not the model's own.
        dtype: The number format of the weights on the disk; None keeps theirs.
    """
    weights = dict(model.state_dict() if state_dict is None else state_dict)
    config, former = model.config, model.config.dtype
    if dtype is not None:
        weights = _cast(weights, dtype)
        config.dtype = dtype
    try:
        model.save_pretrained(folder, state_dict=weights)
    finally:
        config.dtype = former
    if dtype is not None:
        _edit(folder / "config.json", lambda values: values | {"dtype": _name(dtype)})
    tokenizer.save_pretrained(folder)
    _edit(folder / "config.json", _config_of_both)
    _edit(folder / "tokenizer_config.json", _tokenizer_of_both)


def dtype_on_disk(config: PretrainedConfig, weights: int) -> torch.dtype:
    """Returns the number format in which what is made of a model is written: the model's own.

    Small models are written in float32, in which they are computed: they have little to save.

    Args:
        config: The start's, as it is on the disk.
        weights: The number of its weights.
    """
    own = config.dtype
    if isinstance(own, str):
        own = getattr(torch, own.removeprefix("torch."), None)
    if weights < SMALL_MODEL or not isinstance(own, torch.dtype):
        return torch.float32
    return own if own.is_floating_point and own.itemsize > 1 else torch.float32


def _cast(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Returns the weights in a number format; tied ones stay one."""
    cast: dict[tuple[int, tuple[int, ...]], Tensor] = {}
    result: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if not weight.is_floating_point():
            result[name] = weight
            continue
        place = (weight.data_ptr(), tuple(weight.shape))
        result[name] = cast.setdefault(place, weight.to(dtype)) if weight.numel() else weight
    return result


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _edit(path: Path, change: Any) -> None:
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    after = change(before)
    if after != before:
        write_whole(path, json.dumps(after, indent=2, ensure_ascii=False) + "\n")


def _config_of_both(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a config with the rotary positions also where transformers 4 looks for them.

    That of a model with a learned prefix names an architecture that no server has.
    """
    if values.get(PREFIX_FIELD):
        values = values | {"architectures": [PREFIX_ARCHITECTURE]}
    rotary = values.get("rope_parameters")
    if not isinstance(rotary, dict):
        return values
    further: dict[str, Any] = {}
    nested = {key: part for key, part in rotary.items() if isinstance(part, dict)}
    if "sliding_attention" in nested and "full_attention" in nested:  # as Gemma 3
        further["rope_local_base_freq"] = nested["sliding_attention"].get("rope_theta")
        rotary = nested["full_attention"]
    elif nested:
        return values
    further["rope_theta"] = rotary.get("rope_theta")
    further["partial_rotary_factor"] = rotary.get("partial_rotary_factor")
    if rotary.get("rope_type", "default") != "default":
        own = ("rope_theta", "partial_rotary_factor")
        further["rope_scaling"] = {key: part for key, part in rotary.items() if key not in own}
    return values | {key: part for key, part in further.items() if part is not None}


def _tokenizer_of_both(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a tokenizer's config in words that transformers 4 knows, too."""
    values = dict(values)
    name = values.get("tokenizer_class")
    if name in NEW_CLASSES:
        values["tokenizer_class"] = NEW_CLASSES[name]
    values.pop("backend", None)
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    return values
