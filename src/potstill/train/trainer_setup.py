"""Builds the trainer of one student: its model and loss, and the steps that are computed.

Examples that share a beginning share its computation where the model's attention allows it; which
collation that takes is chosen here. The steps of an on-policy training are made when it reaches
them, all others are planned.
"""

import logging
import math
from pathlib import Path

import numpy as np
import torch

from potstill.models.local.learned_prefix import has_prefix
from potstill.models.local.loading import Loaded, load_config, parameters_of
from potstill.models.local.saving import dtype_on_disk
from potstill.models.settings import LocalSettings
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
from potstill.train.defaults import ResolvedTraining
from potstill.train.encoding import EncodedExamples
from potstill.train.examples import example_shares
from potstill.train.lora import add_lora
from potstill.train.losses import loss_of
from potstill.train.on_policy.on_policy_trainer import (
    LaterSteps,
    OnPolicyRun,
    OnPolicyTrainer,
    planned_tokens,
)
from potstill.train.prefix import add_prefix
from potstill.train.prefix_sharing import can_share, enable
from potstill.train.quantization import is_quantized
from potstill.train.reporter import Reporter
from potstill.train.resolution import pass_size, start_facts
from potstill.train.settings import StudentSettings
from potstill.train.spooled_examples import facts_of
from potstill.train.trainer import (
    Objective,
    StudentTrainer,
)
from potstill.train.training_arguments import draw_apart, sharded, training_arguments

logger = logging.getLogger(__name__)


def build_trainer(
    loaded: Loaded,
    encoded: EncodedExamples,
    settings: ResolvedTraining,
    student: StudentSettings,
    folder: Path,
    seed: int,
    on_policy: OnPolicyRun | None = None,
) -> tuple[StudentTrainer, Reporter]:
    """Returns the trainer with its model, loss and steps, and what reports on it.

    Args:
        loaded: The start.
        encoded: The examples that are known before training.
        settings: The length and manner of training.
        student: The loss, and the shares of data formats.
        folder: Takes the checkpoints.
        seed: Fixes the order of examples and everything else that is random.
        on_policy: The parts of further steps; then the examples are among them.
    """
    examples, facts = encoded.examples, facts_of(encoded.examples)
    shares = example_shares(student, facts.format_names)
    steps = settings.steps_for(pass_size(facts.data_formats(), shares))
    use_cpu = next(loaded.model.parameters()).device.type == "cpu"
    arguments = training_arguments(settings, folder, steps=steps, seed=seed, use_cpu=use_cpu)
    torch.manual_seed(seed)
    model = add_lora(loaded.model, settings.lora) if settings.lora else loaded.model
    if settings.prefix is not None:
        add_prefix(loaded.model, loaded.tokenizer, settings.prefix)
    head = Head.of(model, chunked=not sharded(arguments))
    longest = int(facts.lengths.max(initial=0))
    if on_policy is not None:
        longest = max(longest, on_policy.longest)
    collate, by_length = _choose_collation(loaded, longest)
    if on_policy is None:
        order = Order(settings.batch_size, settings.group_size, shares or None, by_length, seed)
        plan = plan_steps(examples, order, steps)
        tokens = [int(facts.trained[np.asarray(step)].sum()) for step in plan]
        planned = Steps(
            examples,
            plan,
            batch_tokens=settings.batch_tokens,
            processes=arguments.world_size,
        )
    else:
        planned = LaterSteps(steps, arguments.world_size)
        tokens = planned_tokens(on_policy, facts.trained.tolist())
    parts = range(1, settings.checkpoints + 1)
    start = start_of(student)
    kind = StudentTrainer if on_policy is None else OnPolicyTrainer
    trainer = kind(
        model,
        arguments,
        objective=Objective(head, loss_of(student)),
        steps=planned,
        collator=Collator(collate),
        tokenizer=loaded.tokenizer,
        save_steps=sorted({math.ceil(steps * part / settings.checkpoints) for part in parts}),
        dtype=dtype_on_disk(load_config(start), weights_of(loaded, start)),
    )
    draw_apart(seed, arguments.process_index)  # behind what all have to begin with alike
    reporter = Reporter(tokens)
    if isinstance(trainer, OnPolicyTrainer) and on_policy is not None:
        trainer.prepare(on_policy, reporter)
    return trainer, reporter


def _choose_collation(loaded: Loaded, longest: int) -> tuple[Collate, bool]:
    """Returns how examples become tensors, and whether padding makes it pay to sort by length."""
    multiple = 8 if loaded.model.device.type == "cuda" else 1
    if loaded.encoder_decoder:
        return padded_collation(loaded, multiple), True
    if has_prefix(loaded.model):
        reason: str | None = "every token reads a learned prefix, too"
    else:
        reason = can_share(loaded.model, longest=longest)
    if reason is None:
        enable(loaded.model)
        return flat, False
    logger.info("examples are padded and share no work: %s", reason)
    return padded_collation(loaded, multiple), True


def start_of(student: StudentSettings) -> LocalSettings:
    """Returns the model that a student starts from."""
    assert student.start is not None, "the recipe's student is filled in before"
    return student.start


def weights_of(loaded: Loaded, start: LocalSettings) -> int:
    """Returns the number of a model's weights, which in 4 bits stand two by two."""
    if is_quantized(loaded.model):
        return start_facts(start).parameters
    return parameters_of(loaded.model)


def longest_of(loaded: Loaded, max_length: int) -> int:
    """Returns the most tokens of an example that the model has positions for."""
    positions = getattr(loaded.model.config, "max_position_embeddings", None)
    return max_length if loaded.encoder_decoder or positions is None else min(max_length, positions)
