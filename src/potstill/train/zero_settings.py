"""DeepSpeed ZeRO in accelerate's configuration, and the settings that the recipe alone gives.

DeepSpeed settles how weights, gradients and the optimiser's state are parted. What is learned is
the recipe's: the optimiser, its schedule, clipping, number formats and the size of a step come from
it, and a configuration that says otherwise is refused.
"""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from potstill.errors import ConfigError, extra, shortened
from potstill.launched import asked_of_accelerate

CLIPPING = 1.0
"""The most that the gradients' norm may be at a step, of which larger ones are scaled to it."""

OF_THE_RECIPE: dict[str, tuple[float | None, str]] = {
    "optimizer": (None, "train.learning_rate and train.weight_decay say it"),
    "scheduler": (None, "train.schedule and train.warmup say it"),
    "train_batch_size": (None, "train.batch_size says it"),
    "train_micro_batch_size_per_gpu": (None, "train.batch_tokens says it"),
    "gradient_accumulation_steps": (1, "train.batch_tokens says it"),
    "gradient_clipping": (CLIPPING, f"a step's gradients are clipped to {CLIPPING} everywhere"),
    "fp16": (False, "train.precision says it"),
    "bf16": (False, "train.precision says it"),
    "amp": (False, "train.precision says it"),
    "torch_autocast": (False, "train.precision says it"),
}
"""Keys that may stand there as auto, or with the one value given, and where it is said instead."""

OF_DEEPSPEED = frozenset({
    *("zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer"),
    *("steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state"),
    *("comms_logger", "flops_profiler"),
})  # fmt: skip
"""Further keys, none of which changes what is learned."""

OF_ZERO = frozenset({
    *("stage", "allgather_partitions", "allgather_bucket_size", "overlap_comm", "reduce_scatter"),
    *("reduce_bucket_size", "contiguous_gradients", "round_robin_gradients", "sub_group_size"),
    *("offload_optimizer", "offload_param", "ignore_unused_parameters", "memory_efficient_linear"),
    *("stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_prefetch_bucket_size"),
    *("stage3_param_persistence_threshold", "stage3_model_persistence_threshold"),
    *("stage3_gather_16bit_weights_on_model_save",),
})  # fmt: skip
"""Further keys within ``zero_optimization``, none of which changes what is learned."""

BY_SIZE = frozenset({
    *("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"),
})  # fmt: skip
"""Keys of it that accelerate fills in by the model's size where they are auto."""

Values = dict[str, Any]


def is_zero_asked_for() -> bool:
    """Whether accelerate's configuration asks for DeepSpeed."""
    return asked_of_accelerate("ACCELERATE_USE_DEEPSPEED")


def parts_weights() -> bool:
    """Whether weights are in parts, too (stage 3), and not gradients and optimiser state alone."""
    return is_zero_asked_for() and bool(zero_settings()["zero_optimization"]["stage"] == 3)


def check_zero() -> None:
    """Refuse what DeepSpeed is asked for and the recipe says, and DeepSpeed where it is not there.

    Raises:
        ConfigError: It is asked for.
        MissingExtraError: DeepSpeed is not installed.
    """
    if is_zero_asked_for():
        zero_settings()
        with extra("deepspeed", needed_for="DeepSpeed ZeRO, for which accelerate is configured,"):
            if find_spec("deepspeed") is None:
                raise ModuleNotFoundError(name="deepspeed")


def zero_settings() -> Values:
    """Returns what is asked of DeepSpeed beside what the recipe says, in DeepSpeed's own words.

    Raises:
        ConfigError: It cannot be had, or the recipe says it.
    """
    path = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    of_launcher = path.lower() == "none"
    where = "accelerate's configuration" if of_launcher else path
    asked = _of_launcher() if of_launcher else _read(Path(path))
    for key, value in asked.items():
        if key in OF_THE_RECIPE:
            _refuse_others(key, value, where)
        elif key not in OF_DEEPSPEED:
            raise ConfigError(
                f"{where}: {key} may change what is learned, and is not supported. Leave it out."
            )
    zero = asked.get("zero_optimization")
    if not isinstance(zero, dict) or zero.get("stage") not in (1, 2, 3):
        raise ConfigError(
            f"{where} asks for DeepSpeed without a ZeRO stage of 1, 2 or 3 "
            "(examples/accelerate/deepspeed.yaml). Without parts: examples/accelerate/gpus.yaml."
        )
    _check_zero_optimization(zero, where)
    return {key: value for key, value in asked.items() if key in OF_DEEPSPEED}


def _of_launcher() -> Values:
    """Returns what accelerate's configuration asks for without a file of DeepSpeed's own."""
    given = os.environ.get
    zero: Values = {"stage": int(given("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))}
    for part in ("optimizer", "param"):
        device = given(f"ACCELERATE_DEEPSPEED_OFFLOAD_{part.upper()}_DEVICE", "none")
        if device != "none":
            zero[f"offload_{part}"] = {"device": device}
    return {
        "gradient_accumulation_steps": given("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "auto"),
        "gradient_clipping": given("ACCELERATE_GRADIENT_CLIPPING", "auto"),
        "zero_optimization": zero,
    }


def _read(path: Path) -> Values:
    """Returns what a file of DeepSpeed's own asks for."""
    beside = {"gradient_accumulation_steps", "gradient_clipping", "zero_stage"}
    beside |= {"offload_optimizer_device", "offload_param_device", "zero3_save_16bit_model"}
    twice = beside & {*os.environ.get("ACCELERATE_CONFIG_DS_FIELDS", "").split(",")}
    if twice:
        raise ConfigError(
            f"accelerate's configuration names {path} and sets {', '.join(sorted(twice))} beside "
            "it, of which accelerate takes one alone. Leave it out there."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"deepspeed_config_file: {path} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"deepspeed_config_file: {path} is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"deepspeed_config_file: {path} holds no settings by name.")
    return values


def _refuse_others(key: str, value: object, where: str) -> None:
    """Refuse a value other than the one that the recipe makes."""
    own, said = OF_THE_RECIPE[key]
    if isinstance(value, dict) and own is False:
        value = value.get("enabled", False)
    if value == "auto" or (own is not None and str(value) in (str(own), str(int(own)))):
        return
    raise ConfigError(f"{where}: {key} is {shortened(value)}, and {said}. Leave it out.")


def _check_zero_optimization(zero: Mapping[str, Any], where: str) -> None:
    for key, value in zero.items():
        if key not in OF_ZERO:
            raise ConfigError(
                f"{where}: zero_optimization.{key} may change what is learned, or has not been "
                "tried. Leave it out."
            )
        if value == "auto" and key not in BY_SIZE:
            raise ConfigError(f"{where}: zero_optimization.{key} cannot be auto. Leave it out.")
    for part in ("offload_optimizer", "offload_param"):
        values = zero.get(part) or {}
        device = values.get("device", "none")
        if device not in ("none", "cpu") or values.get("ratio", 1) != 1:
            raise ConfigError(
                f"{where}: zero_optimization.{part} is {shortened(dict(values))}. Offloading goes "
                "to main memory, and of all: device: cpu."
            )
        if part == "offload_param" and device == "cpu" and zero["stage"] != 3:
            raise ConfigError(f"{where}: offload_param is for weights in parts, of stage 3 alone.")
