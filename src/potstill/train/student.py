"""Training one student from its start to its checkpoints."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import PrinterCallback

from potstill.errors import ConfigError, DataError, extra
from potstill.keys import settings_hash
from potstill.models import local_source
from potstill.models.loading import (
    Loaded,
    folder_digest,
    is_folder,
    load_model_and_tokenizer,
    quietly,
)
from potstill.models.settings import LocalSettings, ModelSettings
from potstill.records import Example
from potstill.train import checkpoints
from potstill.train.arguments import training_arguments
from potstill.train.batches import Collator, MicroBatches, plan_steps
from potstill.train.encoding import EncodedExamples, encode_examples
from potstill.train.settings import LoraSettings, TrainSettings
from potstill.train.trainer import Reporter, StudentTrainer, TrainProgress

DEFAULT_EPOCHS = 20.0
"""Fine-tune-CoT's number of passes."""

SAME_RESULT = {"students", "micro_batch", "gradient_checkpointing", "report_to"}
"""Settings that do not change what a student learns, up to rounding."""


class LogLine(NamedTuple):
    """How training stood after some steps."""

    step: int
    loss: float
    """Mean over the trained tokens since the last line, in nats a token."""

    tokens: int
    """Tokens trained on so far, prompts left out."""

    seconds: float
    """Time spent so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedStudent:
    """What a training left."""

    checkpoints: tuple[tuple[int, Path], ...]
    """Optimiser steps and folder of each, oldest first; ``hf:FOLDER`` loads it."""

    log: tuple[LogLine, ...]
    """One line every few steps."""

    seconds: float
    tokens: int
    """Tokens trained on, each time that they were; prompts left out."""

    examples: int
    """Examples trained on."""

    too_long: int
    """Examples left out because they are longer than ``max_length``."""

    encoder_decoder: bool


def training_identity(
    start: ModelSettings, examples: Sequence[Example], settings: TrainSettings, *, seed: int = 0
) -> str:
    """Twelve hex digits that stand for all that determines a student, to name its folder by."""
    source = local_source(start)
    weights = folder_digest(Path(source)) if is_folder(source) else start.model_dump(mode="json")
    values = settings.model_dump(mode="json", exclude=SAME_RESULT)
    return settings_hash(weights, [asdict(example) for example in examples], values, seed)


def train_student(
    start: ModelSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    folder: Path,
    *,
    on_step: Callable[[TrainProgress], None] = lambda _: None,
    seed: int = 0,
) -> TrainedStudent:
    """Train a student, or finish what a killed process began, or return what is finished.

    Resuming takes up weights, optimiser, schedule, random state and order of the examples, so
    that an interrupted training ends like an undisturbed one.

    Args:
        start: The ``hf:`` or ``bundled:`` model to start from.
        examples: What to train on.
        settings: How; ``students`` is not looked at.
        folder: Where checkpoints go; it serves this training alone.
        on_step: Called every few steps, by the first process alone.
        seed: Fixes the order of the examples, dropout and the low-rank additions' start.

    Raises:
        ConfigError: The start model cannot be trained, or the folder holds another training.
        DataError: No example is left to train on.
        ModelError: The start model cannot be loaded.
    """
    identity = training_identity(start, examples, settings, seed=seed)
    checkpoints.claim(folder, identity)
    finished = checkpoints.read_json(folder / checkpoints.FINISHED)
    if finished is not None:
        return _trained(finished, folder)
    loaded = _load(start)
    kept = encode_examples(
        examples,
        loaded.tokenizer,
        encoder_decoder=loaded.encoder_decoder,
        max_length=_longest(loaded, settings.max_length),
    )
    if not kept.examples:
        raise DataError(
            f"no example is left to train on: of {len(examples)}, {kept.too_long} have more than "
            f"{settings.max_length} tokens. Raise train.max_length, or keep more rationales."
        )
    with quietly():
        values = _run(loaded, kept, settings, folder, on_step, seed)
    checkpoints.finish(folder, values)
    return _trained(values, folder)


def _run(
    loaded: Loaded,
    kept: EncodedExamples,
    settings: TrainSettings,
    folder: Path,
    on_step: Callable[[TrainProgress], None],
    seed: int,
) -> dict[str, object]:
    """Train, and return what :class:`TrainedStudent` tells, as plain values."""
    steps = _steps(settings, len(kept.examples))
    lengths = [example.length for example in kept.examples]
    plan = plan_steps(lengths, steps=steps, batch_size=settings.batch_size, seed=seed)
    tokens = [sum(len(kept.examples[index].target) for index in step) for step in plan]
    parts = range(1, settings.checkpoints + 1)
    save_steps = sorted({math.ceil(steps * part / settings.checkpoints) for part in parts})
    use_cpu = next(loaded.model.parameters()).device.type == "cpu"
    arguments = training_arguments(settings, folder, steps=steps, seed=seed, use_cpu=use_cpu)
    torch.manual_seed(seed)
    trainer = StudentTrainer(
        _with_lora(loaded.model, settings.lora) if settings.lora else loaded.model,
        arguments,
        batches=MicroBatches(
            kept.examples,
            plan,
            parts_per_step=arguments.gradient_accumulation_steps * arguments.world_size,
        ),
        collator=_collator(loaded),
        tokenizer=loaded.tokenizer,
        save_steps=save_steps,
    )
    reporter = Reporter(tokens, on_step)
    reporter.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reporter)
    newest = checkpoints.newest_resumable(folder)
    trainer.train(resume_from_checkpoint=str(newest / checkpoints.RESUME) if newest else None)
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return {
        "steps": save_steps,
        "log": [[line[name] for name in LogLine._fields] for line in lines],
        "seconds": lines[-1]["seconds"],
        "tokens": sum(tokens),
        "examples": len(kept.examples),
        "too_long": kept.too_long,
        "encoder_decoder": loaded.encoder_decoder,
    }


def _load(start: ModelSettings) -> Loaded:
    """The start model, its weights in float32; lower precisions lose small updates."""
    source = local_source(start)
    assert isinstance(start, LocalSettings)
    loaded = load_model_and_tokenizer(
        source,
        dtype="float32",
        device=start.device,
        revision=start.revision,
        trust_remote_code=start.trust_remote_code,
    )
    if loaded.tokenizer.eos_token_id is None:
        raise ConfigError(f"{source}: its tokenizer has no end-of-sequence token to learn.")
    return loaded


def _longest(loaded: Loaded, max_length: int) -> int:
    positions = getattr(loaded.model.config, "max_position_embeddings", None)
    return max_length if loaded.encoder_decoder or positions is None else min(max_length, positions)


def _steps(settings: TrainSettings, examples: int) -> int:
    if settings.steps is not None:
        return settings.steps
    return math.ceil((settings.epochs or DEFAULT_EPOCHS) * examples / settings.batch_size)


def _collator(loaded: Loaded) -> Collator:
    config = loaded.model.config
    start = getattr(config, "decoder_start_token_id", None)
    pad = loaded.tokenizer.pad_token_id
    return Collator(
        pad=pad if pad < loaded.model.get_input_embeddings().num_embeddings else 0,
        encoder_decoder=loaded.encoder_decoder,
        decoder_start=loaded.tokenizer.pad_token_id if start is None else start,
        multiple=8 if loaded.model.device.type == "cuda" else 1,
    )


def _with_lora(model: PreTrainedModel, settings: LoraSettings) -> nn.Module:
    with extra("lora", needed_for="train.lora"):
        from peft import LoraConfig, get_peft_model
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # fractions work too
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules or ()) or "all-linear",
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
    )
    with warnings.catch_warnings():  # peft asks transformers by a name of before 5.23
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        wrapped = get_peft_model(model, config)
    assert isinstance(wrapped, nn.Module)
    return wrapped


def _trained(values: dict[str, Any], folder: Path) -> TrainedStudent:
    steps = values["steps"]
    return TrainedStudent(
        checkpoints=tuple((step, checkpoints.checkpoint_folder(folder, step)) for step in steps),
        log=tuple(LogLine(*line) for line in values["log"]),
        seconds=values["seconds"],
        tokens=values["tokens"],
        examples=values["examples"],
        too_long=values["too_long"],
        encoder_decoder=values["encoder_decoder"],
    )
