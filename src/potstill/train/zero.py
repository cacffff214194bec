"""Weights, gradients and optimiser state in parts by DeepSpeed ZeRO.

DeepSpeed's own checkpoints are pickled and are not used. What it holds in parts is gathered, one
weight after the other, and written as safetensors, in the form that any number of processes goes
on from (:mod:`potstill.train.sharding`)::

    resume/optimizer/part-00001.safetensors    every second weight's state, where there are two
                     part-00002.safetensors    processes
"""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from potstill.launched import process_count, process_number
from potstill.train.sharding import Keyed, States, trained_weights
from potstill.train.zero_settings import CLIPPING, is_zero_asked_for, zero_settings

STEP = "step"
"""The key of the optimiser's step count: one number for each weight tensor."""


def begin_zero(*, use_cpu: bool) -> None:
    """Load DeepSpeed, where it is asked for, for the devices that are trained on."""
    if not is_zero_asked_for():
        return
    if use_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else it takes GPUs that are there
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # It calls torch by names of before 2.13.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)
    # On processors it compiles an exchange of its own at the first use; gloo's does the same.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def set_up_zero(arguments: TrainingArguments) -> None:
    """Have DeepSpeed do as the recipe says, and part as accelerate's configuration says.

    Args:
        arguments: Made by transformers, with DeepSpeed's settings as it understands them.
    """
    if not is_zero_asked_for():
        return
    asked = zero_settings()
    asked["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True  # whole ones
    plugin: Any = arguments.deepspeed_plugin
    plugin.deepspeed_config.clear()
    plugin.deepspeed_config.update(
        asked,
        train_batch_size=arguments.world_size,  # one step, of as many parts as it takes
        train_micro_batch_size_per_gpu=1,
        gradient_accumulation_steps=1,
        gradient_clipping=CLIPPING,
        fp16={"enabled": False},
        bf16={"enabled": False},  # weights are float32 ones, and products what torch makes them
        torch_autocast={
            "enabled": arguments.bf16,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],  # gradients are summed in float32
        },
        zero_allow_untested_optimizer=True,
        zero_force_ds_cpu_optimizer=False,  # the optimiser is torch's, offloaded or not
        steps_per_print=2**31,
    )
    unset_hf_deepspeed_config()  # models are loaded whole, and parted when training begins


def zero_on_processors(accelerator: Any, arguments: TrainingArguments) -> bool:
    """Returns whether DeepSpeed is at work; on processors, too, where accelerate leaves it out."""
    state, plugin = accelerator.state, cast(Any, arguments.deepspeed_plugin)
    if is_zero_asked_for() and state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.DEEPSPEED
        PartialState._shared_state["distributed_type"] = DistributedType.DEEPSPEED  # as on GPUs
        state.deepspeed_plugins = plugin
        plugin.select(_from_accelerator_state=True)
    unset_hf_deepspeed_config()
    return bool(state.distributed_type == DistributedType.DEEPSPEED)


def save_zero(engine: Any, folder: Path) -> None:
    """Write an optimiser's state, each process some of the weights'; all have to come.

    Args:
        engine: DeepSpeed's, which trains the model.
        folder: Is there already.
    """
    from deepspeed.utils import safe_get_full_optimizer_state

    flat, *_ = _flat_weights(engine.optimizer)
    own = engine.optimizer.optimizer.state[flat]
    _link_states(engine.optimizer)
    kept: Keyed = {}
    for place, (name, weight) in enumerate(trained_weights(engine.module)):
        for key, tensor in own.items():
            if key != STEP:
                tensor = safe_get_full_optimizer_state(weight, key).reshape(_shape(weight))
            if place % process_count() == process_number():
                kept[f"{name}/{key}"] = torch.atleast_1d(tensor).to("cpu", copy=True)
    if kept:
        save_file(kept, folder / f"part-{process_number() + 1:05}.safetensors")


def load_zero(engine: Any, states: States) -> None:
    """Take up an optimiser's state, by whichever number of processes it was written, and how.

    Args:
        engine: DeepSpeed's, which trains the model.
        states: The state of each weight, whole, by its name.
    """
    zero = engine.optimizer
    weights = dict(trained_weights(engine.module))
    for name, state in states:
        for flat in _flat_weights(zero):
            if not zero.optimizer.state[flat]:
                zero.optimizer.state[flat] = {
                    key: one.reshape(()).to(flat, copy=True)
                    if key == STEP
                    else torch.zeros_like(flat)
                    for key, one in state.items()
                }
        _link_states(zero)
        for key, one in state.items():
            if key != STEP:
                _set_state(weights[name], one, key)


def names_in_order(model: nn.Module, decayed: Sequence[str]) -> list[str]:
    """Returns the names of trained weights in the order in which torch's optimiser numbers them.

    Args:
        model: The model in training.
        decayed: The names of those that decay, which come first.
    """
    names, first = [name for name, _ in trained_weights(model)], set(decayed)
    return sorted(names, key=lambda name: name not in first)


def _set_state(weight: Any, whole: Tensor, key: str) -> None:
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    if not hasattr(weight, "ds_tensor"):
        safe_set_full_optimizer_state(weight, whole, key)
        return
    # The last part of a weight may be filled up, which DeepSpeed's own splitting overlooks.
    size = weight.ds_tensor.numel()
    filled = F.pad(whole.flatten(), (0, size * process_count() - whole.numel()))
    safe_set_local_optimizer_state(weight, filled.split(size)[process_number()], key)


def _link_states(zero: Any) -> None:
    """Have each weight know its part of the optimiser's state, in stages 1 and 2.

    DeepSpeed does so once, after the first step of the first of the optimiser's groups, when the
    others have no state yet.
    """
    if hasattr(zero, "_hp_optimizer_states_linked"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def _flat_weights(zero: Any) -> list[Tensor]:
    """Returns this process's parts of all weights, which the optimiser steps: of a stage's own."""
    parts = getattr(zero, "fp32_partitioned_groups_flat", None)
    return list(zero.single_partition_of_fp32_groups if parts is None else parts)


def _shape(weight: Any) -> torch.Size:
    """Returns the shape of a weight, which in parts has none of its own."""
    shape: torch.Size = getattr(weight, "ds_shape", weight.shape)
    return shape
