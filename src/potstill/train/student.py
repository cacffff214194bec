"""Training one student from its start to its checkpoints."""

import hashlib
import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerState

from potstill.errors import ConfigError, DataError, extra
from potstill.keys import settings_hash
from potstill.models import local_source
from potstill.models.local.loading import (
    Loaded,
    folder_digest,
    is_folder,
    load_model_and_tokenizer,
    parameters_of,
    quietly,
)
from potstill.models.settings import LocalSettings
from potstill.records import Example
from potstill.store.packed_logprobs import pack
from potstill.train import checkpoints
from potstill.train.batches import (
    Collate,
    Collator,
    Order,
    Steps,
    flat,
    padded_collation,
    plan_steps,
)
from potstill.train.chunked_loss import Head
from potstill.train.encoding import Encoded, EncodedExamples, Encoder
from potstill.train.examples import example_shares
from potstill.train.prefix_sharing import can_share, enable
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.trainer import (
    Objective,
    OnStep,
    Reporter,
    StudentTrainer,
    sharded,
    training_arguments,
)

logger = logging.getLogger(__name__)

DEFAULT_EPOCHS = 20.0
"""Fine-tune-CoT's number of passes."""

SAME_RESULT = {"students", "batch_tokens", "gradient_checkpointing", "report_to"}
"""Settings that do not change what a student learns, up to rounding."""


COUNTS = ("examples", "too_long", "encoder_decoder", "parameters", "soft_share")
"""What a finished training tells beside its log."""


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

    parameters: int
    """Weights of the model."""

    soft_share: float | None
    """Share of trained tokens with the teacher's probabilities; None: sample matching alone."""


def training_identity(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    seed: int = 0,
) -> str:
    """Twelve hex digits that stand for all that determines a student, to name its folder by."""
    start = _start(student)
    source = local_source(start)
    weights = folder_digest(Path(source)) if is_folder(source) else start.model_dump(mode="json")
    values = settings.model_dump(mode="json", exclude=SAME_RESULT)
    learned = example_shares(student), student.matching.model_dump()
    return settings_hash(weights, [_plain(one) for one in examples], values, learned, seed)


def _plain(example: Example) -> tuple[object, ...]:
    """An example as plain values, the teacher's probabilities as a digest."""
    span, digest = example.teacher, ""
    if span is not None:
        packed = pack(span.tokens)
        parts = (packed.logprobs, packed.token_bytes or b"", packed.lengths or b"")
        digest = hashlib.sha256(b"".join(parts)).hexdigest()
    spot = (span.start, span.end, span.shift) if span else ()
    return (
        example.prompt if isinstance(example.prompt, str) else [asdict(m) for m in example.prompt],
        *(example.target, example.weight, example.question_id, example.data_format),
        *(digest, *spot),
    )


def train_student(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    folder: Path,
    *,
    on_step: OnStep = lambda _: None,
    on_checkpoint: Callable[[TrainedStudent], bool] | None = None,
    seed: int = 0,
) -> TrainedStudent:
    """Train one student; what a killed process left behind is taken up again.

    Args:
        student: The model to start from, what of the teacher is matched, and which share of the
            examples each data format gets.
        examples: What to learn.
        settings: How; ``students`` is not looked at.
        folder: Belongs to this training alone; takes its checkpoints.
        on_step: Called with the progress every few steps.
        on_checkpoint: Called with each checkpoint, the last of what there is; says whether to stop.
        seed: Of the order of examples, and of what else is random.

    Raises:
        ConfigError: The folder holds another training.
        DataError: No example is left to train on.
        ModelError: The start model cannot be loaded.
    """
    identity = training_identity(student, examples, settings, seed=seed)
    checkpoints.claim(folder, identity)
    finished = checkpoints.read_json(folder / checkpoints.FINISHED)
    if finished is not None:
        return _trained(finished, folder)
    loaded = _load(_start(student))
    kept = _encoded(loaded, examples, student, settings)
    counts: dict[str, object] = {
        "examples": len(kept.examples),
        "too_long": kept.too_long,
        "encoder_decoder": loaded.encoder_decoder,
        "parameters": parameters_of(loaded.model),
        "soft_share": kept.soft_share if student.matching.distribution else None,
    }
    with quietly():
        trainer, reporter = _trainer(loaded, kept, settings, student, folder, seed)

        def so_far(state: TrainerState) -> dict[str, object]:
            steps = [step for step in sorted(trainer.save_steps) if step <= state.global_step]
            return {"steps": steps, "log": _log(state), **counts}

        def ends_at(state: TrainerState) -> bool:
            return on_checkpoint is not None and on_checkpoint(_trained(so_far(state), folder))

        reporter.attach(trainer, on_step, ends_at if on_checkpoint else None)
        values = so_far(_run(trainer, reporter, folder))
    checkpoints.finish(folder, values)
    return _trained(values, folder)


def _encoded(
    loaded: Loaded,
    examples: Sequence[Example],
    student: StudentSettings,
    settings: TrainSettings,
) -> EncodedExamples:
    """The examples in tokens, without those that are too long.

    Raises:
        DataError: None is left.
    """
    encoder = Encoder(
        loaded.tokenizer, encoder_decoder=loaded.encoder_decoder, matching=student.matching
    )
    kept = encoder.encode(examples, max_length=_longest(loaded, settings.max_length))
    if not kept.examples:
        raise DataError(
            f"no example is left to train on: of {len(examples)}, {kept.too_long} have more than "
            f"{settings.max_length} tokens. Raise train.max_length, or keep more rationales."
        )
    return kept


def _trainer(
    loaded: Loaded,
    kept: EncodedExamples,
    settings: TrainSettings,
    student: StudentSettings,
    folder: Path,
    seed: int,
) -> tuple[StudentTrainer, Reporter]:
    """Everything that a training takes, made ready."""
    shares = {
        name: share
        for name, share in example_shares(student).items()
        if any(one.data_format == name for one in kept.examples)
    }
    steps = _steps(settings, kept.examples, shares)
    use_cpu = next(loaded.model.parameters()).device.type == "cpu"
    arguments = training_arguments(settings, folder, steps=steps, seed=seed, use_cpu=use_cpu)
    torch.manual_seed(seed)
    model = _with_lora(loaded.model, settings.lora) if settings.lora else loaded.model
    head = Head.of(model, chunked=not sharded(arguments))
    collate, by_length = _collation(loaded, max(one.length for one in kept.examples))
    order = Order(settings.batch_size, settings.together, shares or None, by_length, seed)
    plan = plan_steps(kept.examples, order, steps)
    parts = range(1, settings.checkpoints + 1)
    trainer = StudentTrainer(
        model,
        arguments,
        objective=Objective(head, student.matching),
        steps=Steps(
            kept.examples,
            plan,
            batch_tokens=settings.batch_tokens,
            processes=arguments.world_size,
        ),
        collator=Collator(collate),
        tokenizer=loaded.tokenizer,
        save_steps=sorted({math.ceil(steps * part / settings.checkpoints) for part in parts}),
    )
    tokens = [sum(len(kept.examples[index].target) for index in step) for step in plan]
    return trainer, Reporter(tokens)


def _run(trainer: StudentTrainer, reporter: Reporter, folder: Path) -> TrainerState:
    """Train, from the newest checkpoint on where there is one."""
    newest = checkpoints.newest_resumable(folder)
    resume = newest / checkpoints.RESUME if newest else None
    if resume is not None:  # a killed process may have seen that training ends here
        state: TrainerState = TrainerState.load_from_json(str(resume / "trainer_state.json"))
        if reporter.ends_at(state):
            return state
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer.state


def _log(state: TrainerState) -> list[LogLine]:
    lines = [line for line in state.log_history if "loss" in line]
    return [LogLine(**{name: line[name] for name in LogLine._fields}) for line in lines]  # type: ignore[arg-type]


def _collation(loaded: Loaded, longest: int) -> tuple[Collate, bool]:
    """How examples become tensors, and whether padding makes like lengths worth looking for."""
    multiple = 8 if loaded.model.device.type == "cuda" else 1
    if loaded.encoder_decoder:
        return padded_collation(loaded, multiple), True
    reason = can_share(loaded.model, longest=longest)
    if reason is None:
        enable(loaded.model)
        return flat, False
    logger.info("examples are padded and share no work: %s", reason)
    return padded_collation(loaded, multiple), True


def _start(student: StudentSettings) -> LocalSettings:
    assert student.start is not None, "the recipe's student is filled in before"
    return student.start


def _load(start: LocalSettings) -> Loaded:
    """The start model, its weights in float32; lower precisions lose small updates."""
    source = local_source(start)
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


def _steps(
    settings: TrainSettings, examples: Sequence[Encoded], shares: Mapping[str, float]
) -> int:
    """Optimiser steps; a pass over a mixture ends when its slowest format has been gone through."""
    if settings.steps is not None:
        return settings.steps
    counts = Counter(one.data_format for one in examples)
    a_pass = max((counts[name] / share for name, share in shares.items()), default=len(examples))
    return math.ceil((settings.epochs or DEFAULT_EPOCHS) * a_pass / settings.batch_size)


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
    log = tuple(LogLine(*line) for line in values["log"])
    return TrainedStudent(
        checkpoints=tuple(
            (step, checkpoints.checkpoint_folder(folder, step)) for step in values["steps"]
        ),
        log=log,
        seconds=log[-1].seconds,
        tokens=log[-1].tokens,
        **{name: values[name] for name in COUNTS},
    )
