"""Our settings in the words of ``transformers.TrainingArguments``, and the random numbers drawn."""

import math
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from potstill.errors import ConfigError
from potstill.train.defaults import ResolvedTraining
from potstill.train.sharding import is_fsdp_asked_for
from potstill.train.zero import begin_zero, set_up_zero
from potstill.train.zero_settings import CLIPPING, parts_weights

RECOMPUTE = next(  # its name in transformers from 5.23 on, and before
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in {field.name for field in fields(TrainingArguments)}
)


def training_arguments(
    settings: ResolvedTraining, folder: Path, *, steps: int, seed: int, use_cpu: bool
) -> TrainingArguments:
    """Returns our settings as the base class's, which prints and saves nothing by itself.

    Raises:
        ConfigError: There are more processes than examples in a step.
    """
    schedules = {"constant": "constant_with_warmup"}
    options: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": 1,  # one step, of as many parts as it takes
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": schedules.get(settings.schedule, settings.schedule),
        "warmup_steps": math.ceil(settings.warmup * steps),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": CLIPPING,
        "optim": "adamw_torch_fused",
        "bf16": _bfloat16(settings, use_cpu),
        RECOMPUTE: settings.gradient_checkpointing,
        "seed": seed,
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "use_cpu": use_cpu,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "dataloader_pin_memory": not use_cpu,
        "remove_unused_columns": False,
        "log_level": "error",
    }
    begin_zero(use_cpu=use_cpu)
    arguments = TrainingArguments(**options)
    set_up_zero(arguments)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices: one process each
    if settings.batch_size < arguments.world_size:
        raise ConfigError(
            f"train.batch_size is {settings.batch_size}, less than the {arguments.world_size} "
            "processes."
        )
    return arguments


def sharded(arguments: TrainingArguments) -> bool:
    """Whether a layer's weights are only there while the model runs."""
    asked_for = arguments.fsdp or is_fsdp_asked_for() or parts_weights()
    return bool(asked_for) or arguments.parallel_mode.value == "tpu"


def _bfloat16(settings: ResolvedTraining, use_cpu: bool) -> bool:
    if settings.precision == "auto":
        return not use_cpu and torch.cuda.is_bf16_supported()
    return settings.precision == "bfloat16"


def draw_apart(seed: int, number: int, step: int = 0) -> None:
    """Have this process draw other random numbers than the others, as for dropout.

    Args:
        seed: The training's.
        number: The process's; the main one of a training's beginning draws as one alone does.
        step: The optimiser steps that were taken.
    """
    if number or step:
        set_seed(random.Random(f"{seed} {number} {step}").getrandbits(32))
