"""Checks, before training, for what several processes or their launcher cannot train."""

from collections.abc import Mapping

from potstill.errors import ConfigError
from potstill.launched import process_count
from potstill.records import System
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.sharding import check_fsdp, is_fsdp_asked_for
from potstill.train.zero_settings import check_zero, is_zero_asked_for


def check_launch(settings: TrainSettings, students: Mapping[System, StudentSettings]) -> None:
    """Refuse what cannot be trained as the processes were started.

    Args:
        settings: How the students are trained; ``settings.students`` is not looked at.
        students: The students.

    Raises:
        ConfigError: A training is not possible; the message says the way out.
    """
    check_fsdp()
    check_zero()
    count = process_count()
    if settings.batch_size is not None and settings.batch_size < count:
        raise ConfigError(
            f"train.batch_size is {settings.batch_size}, and {count} processes are to share each "
            "step. Raise it, or start fewer."
        )
    if is_fsdp_asked_for() or is_zero_asked_for():
        _check_parts(settings)
        for system, student in students.items():
            if student.on_policy is not None:
                raise ConfigError(
                    f"{system.label} learns what it writes itself (on_policy), and a process that "
                    "holds a part of the weights cannot write. Start with "
                    "examples/accelerate/gpus.yaml, where each holds all of them."
                )


def _check_parts(settings: TrainSettings) -> None:
    """Refuse weights that cannot be held in parts."""
    if settings.prefix is not None:
        raise ConfigError(
            "train.prefix trains so few weights that they are not held in parts (FSDP, ZeRO). "
            "Start with examples/accelerate/gpus.yaml, or set train.lora in its place."
        )
    if settings.lora is not None and settings.lora.quantize is not None:
        raise ConfigError(
            "train.lora.quantize holds weights in 4 bits on each GPU, not in parts (FSDP, ZeRO). "
            "Start with examples/accelerate/gpus.yaml, or leave quantize out."
        )
