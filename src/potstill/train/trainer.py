"""The training loop: ``transformers.Trainer`` with our order of data, loss and checkpoints.

The base class owns the loop, the optimiser (AdamW), the schedule, the precision and the
distribution over processes. Three things are ours:

- One item of the data set is a whole optimiser step: the list of its parts, each of which is
  computed at once. :meth:`StudentTrainer.training_step` adds up the gradients of the parts, whose
  losses are divided by the weight of all tokens in the step, over all processes. So the gradient
  is that of the mean over tokens, however a step is cut.
- :meth:`StudentTrainer.compute_loss` computes the loss at the output layer, chunk by chunk.
- Checkpoints are whole or not there, and hold what going on takes.

:mod:`potstill.train.training_arguments` puts our settings into the words of ``TrainingArguments``.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from potstill.checksums import write_checksums
from potstill.models.local.learned_prefix import has_prefix, prefix_parameters, write_prefix
from potstill.models.local.saving import save_model
from potstill.records.training import ADAPTER
from potstill.train import checkpoints
from potstill.train.batches import Batch, Collator, Steps
from potstill.train.chunked_loss import Head
from potstill.train.encoder_sharing import EncoderOnce
from potstill.train.lora import merged
from potstill.train.losses import Loss, Targets
from potstill.train.prefix_sharing import layout, use
from potstill.train.sharding import (
    filled,
    is_fsdp_asked_for,
    load_parts,
    load_whole,
    save_parts,
    shard_on_processors,
    states_in,
    states_of,
    without_weights,
)
from potstill.train.training_arguments import draw_apart
from potstill.train.zero import load_zero, names_in_order, save_zero, zero_on_processors
from potstill.train.zero_settings import is_zero_asked_for
from potstill.whole_files import library_faults, unfinished_folder, whole_folder


class Objective(NamedTuple):
    """The loss that is minimised, and the layer at which it is computed."""

    head: Head
    """The model's output layer."""

    loss: Loss
    """The loss at each trained token."""


class StudentTrainer(Trainer):
    """Trains a student on planned steps.

    Args:
        model: The student, wrapped by peft where low-rank additions are trained.
        args: Made by :func:`training_arguments`.
        objective: The loss, and where it is computed.
        steps: All steps of the training, in order.
        collator: Makes tensors of a step's parts.
        tokenizer: Saved with each checkpoint.
        save_steps: The numbers of the steps after which a checkpoint is written.
        dtype: The number format of the weights in checkpoints. Training goes on from float32 ones.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        objective: Objective,
        steps: Steps,
        collator: Collator,
        tokenizer: PreTrainedTokenizerBase,
        save_steps: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        use_cache = getattr(model.config, "use_cache", None)
        in_parts = is_fsdp_asked_for() or is_zero_asked_for()
        self._skeleton = without_weights(model) if in_parts else None
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,  # type: ignore[arg-type]  # a step is a list of batches
            train_dataset=steps,
        )
        self.model_accepts_loss_kwargs = True  # compute_loss divides by the whole step's tokens
        self.tokenizer, self.collator = tokenizer, collator
        self.save_steps = frozenset(save_steps)
        self._dtype = dtype
        self.on_part: Callable[[int], None] = lambda _: None
        """Called with the tokens of each part of a step but its last, once it is computed."""

        self.grad_norm: Tensor | float | None = None
        self.learning_rate: float | None = None
        self._objective = objective
        self._use_cache = use_cache
        encoder_decoder = bool(model.config.is_encoder_decoder)  # type: ignore[union-attr]
        self._encoder_once = EncoderOnce(model) if encoder_decoder else None
        self._sums = torch.zeros(2, device=args.device)

    def create_accelerator_and_postprocess(self) -> None:
        """Have weights held in parts where accelerate's configuration asks for it."""
        base: Any = super()
        base.create_accelerator_and_postprocess()
        shard_on_processors(self.accelerator)
        self.is_fsdp_enabled = self.accelerator.distributed_type == DistributedType.FSDP
        self._by_zero = zero_on_processors(self.accelerator, self.args)
        self.is_deepspeed_enabled = False  # all that the base does for it beside is pickled

    def _get_train_sampler(self, train_dataset: object = None) -> SequentialSampler:
        assert isinstance(self.train_dataset, Steps)
        return SequentialSampler(self.train_dataset)

    def _get_num_items_in_batch(
        self, batch_samples: list[list[Batch]], device: torch.device
    ) -> Tensor:
        """Returns the weight of all tokens of an optimiser step, over its parts and processes."""
        weights = [part["weights"].sum() for parts in batch_samples for part in parts]
        total = torch.stack(weights).sum().to(device)
        return self.accelerator.reduce(total, reduction="sum")  # type: ignore[no-any-return]

    def training_step(
        self,
        model: nn.Module,
        inputs: list[Batch],  # type: ignore[override]
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Add up one optimiser step's gradients, part by part; processes meet at the last part."""
        # Gradients stay on each process until its last part: one exchange an optimiser step.
        *earlier, last = inputs
        for part in earlier:
            self.accelerator.gradient_state._set_sync_gradients(False)
            with self.accelerator.no_sync(model):
                super().training_step(model, part, num_items_in_batch)
            self.on_part(len(part["weights"]))
        self.accelerator.gradient_state._set_sync_gradients(True)
        loss = super().training_step(model, last, num_items_in_batch)
        if self._encoder_once is not None:
            self._encoder_once.forget()
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Returns this part's share of the step's mean loss over trained tokens."""
        # Tell the hooks in the model what the examples of this part share.
        if "forest" in inputs:
            use(layout(inputs["forest"], self.args.device))
        if self._encoder_once is not None:
            self._encoder_once.share(inputs["first_rows"], inputs["copies"])
        targets, weights = Targets(**inputs["targets"]), inputs["weights"]

        def nats_of(logits: Tensor, rows: slice) -> Tensor:
            return self._objective.loss(logits, targets.at(rows))

        # The model's forward pass computes the loss at its output layer, in place of logits.
        with self._objective.head.losses(inputs["positions"], weights, nats_of) as loss:
            loss.finish(model(**inputs["inputs"], use_cache=False).logits)
        assert num_items_in_batch is not None
        # Kept on the device: reading it at every step would make the host wait.
        self._sums += torch.stack([loss.total.detach(), weights.sum()])
        # DistributedDataParallel takes the mean of the processes' gradients; ours is their sum.
        share: Tensor = loss.total / num_items_in_batch * self.accelerator.num_processes
        return share

    def _get_grad_norm(
        self, model: nn.Module, grad_norm: Tensor | float | None = None
    ) -> Tensor | float | None:
        """Keep the norm of a step's gradients before they are clipped, and its learning rate."""
        base: Any = super()  # whose method has no types
        self.grad_norm = base._get_grad_norm(model, grad_norm=grad_norm)
        self.learning_rate = self._get_learning_rate()
        return self.grad_norm

    def floating_point_ops(self, inputs: list[Batch]) -> int:  # type: ignore[override]
        """Not counted: counting the parameters at every step takes longer than it is worth."""
        return 0

    def mean_loss(self) -> float:
        """Returns the mean loss since the last call, over all processes; all have to call it."""
        nats, weight = self.accelerator.reduce(self._sums, reduction="sum").tolist()
        self._sums.zero_()
        return float(nats / weight)

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        """Write a checkpoint, whole or not at all; process 0 owns the folder."""
        folder = Path(str(self.args.output_dir))
        target = checkpoints.checkpoint_folder(folder, self.state.global_step)
        barrier = self.accelerator.wait_for_everyone
        whole = whole_folder(target) if self.args.should_save else nullcontext()
        with whole, library_faults(target):
            barrier()
            # Each of several processes writes its own random state, and its part of the weights.
            self._write(unfinished_folder(target))
            barrier()
            if self.args.should_save:
                checkpoints.seal(unfinished_folder(target))
        barrier()
        if self.args.should_save:
            checkpoints.drop_resume_states(folder, but=target)
            checkpoints.drop_interrupted(folder, due=self.save_steps, but=target)

    def any_process(self, yes: bool) -> bool:
        """Whether the answer of any process is yes; all of them have to ask."""
        own = torch.tensor(float(yes), device=self.args.device)
        return bool(self.accelerator.reduce(own, reduction="sum") > 0)

    def _write(self, folder: Path) -> None:
        """Write weights and resume state, the parts of them that are this process's to write."""
        resume = folder / checkpoints.RESUME
        resume.mkdir(exist_ok=True)
        state_dict = self.accelerator.get_state_dict(self.model_wrapped)
        if self.args.should_save:
            self._write_trained(resume, state_dict)
            self._write_model(folder, state_dict)
            self.state.save_to_json(str(resume / "trainer_state.json"))
        self._save_optimizer_and_scheduler(str(resume))
        self._save_scaler(str(resume))
        self._save_rng_state(str(resume))

    def write_weights(self, folder: Path) -> None:
        """Write the weights alone, whole or not at all, as ``hf:`` loads them; in one process."""
        state_dict = self.accelerator.get_state_dict(self.model_wrapped)
        with whole_folder(folder), library_faults(folder):
            self._write_model(unfinished_folder(folder), state_dict)
            write_checksums(unfinished_folder(folder))

    def _write_trained(self, resume: Path, state_dict: dict[str, Tensor]) -> None:
        """Write the trained weights, where those of the checkpoint are merged or rounded."""
        model = self.whole_model(state_dict)
        if not isinstance(model, PreTrainedModel):  # peft
            _write_additions(model, resume, state_dict)
        elif has_prefix(model):
            model.save_pretrained(resume, state_dict=dict(prefix_parameters(model)))
        elif self._dtype != torch.float32:  # going on from rounded weights would lose small steps
            model.save_pretrained(resume, state_dict=state_dict)

    def whole_model(self, state_dict: dict[str, Tensor]) -> Any:
        """Returns the model without what wraps it in training; a copy, where it is in parts."""
        if self._skeleton is not None:
            return filled(self._skeleton, state_dict)
        return self.accelerator.unwrap_model(self.model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Write the optimiser's state, in parts where the weights are, and the schedule's."""
        if not (self.is_fsdp_enabled or self._by_zero):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        parts = Path(output_dir) / checkpoints.PARTS
        parts.mkdir(exist_ok=True)
        wrapped, schedule = cast(AcceleratedOptimizer, self.optimizer), self.lr_scheduler
        if self._by_zero:
            save_zero(self.model_wrapped, parts)
        else:
            save_parts(self.model_wrapped, wrapped.optimizer, parts)
        if self.args.should_save:
            assert schedule is not None
            torch.save(schedule.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Read both, be the weights in parts or not, now or when they were written."""
        assert checkpoint is not None, "only what goes on comes here"
        parts, whole = Path(checkpoint) / checkpoints.PARTS, Path(checkpoint) / OPTIMIZER_NAME
        if not (parts.is_dir() or self.is_fsdp_enabled or self._by_zero):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer = cast(AcceleratedOptimizer, self.optimizer).optimizer
        schedule = self.lr_scheduler
        assert schedule is not None
        model: Any = self.accelerator.unwrap_model(self.model_wrapped)
        if self._by_zero:
            order = names_in_order(model, self.get_decay_parameter_names(model))
            states = states_in(parts) if parts.is_dir() else states_of(whole, order)
            load_zero(self.model_wrapped, states)
        elif parts.is_dir():
            load_parts(model, optimizer, parts)
        else:
            load_whole(optimizer, whole)
        state = torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True)
        schedule.load_state_dict(_of_groups(state, len(optimizer.param_groups)))
        for group, rate in zip(optimizer.param_groups, schedule.get_last_lr(), strict=True):
            group["lr"] = rate

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        """Load the weights to go on from before they are parted, then prepare as the base does."""
        if resume_from_checkpoint is not None and self.is_fsdp_enabled:
            self.is_fsdp_enabled = False
            self._load_from_checkpoint(resume_from_checkpoint)
            self.is_fsdp_enabled = True
        base: Any = super()
        return base._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)

    def _write_model(self, folder: Path, state_dict: dict[str, Tensor]) -> None:
        model = self.whole_model(state_dict)
        if not isinstance(model, PreTrainedModel):  # peft: the additions, then the merged weights
            _write_additions(model, folder / ADAPTER, state_dict)
            model = merged(model)
            state_dict = model.state_dict()
        elif has_prefix(model):
            state_dict = write_prefix(state_dict, folder)
        cached, model.config.use_cache = model.config.use_cache, self._use_cache
        save_model(model, self.tokenizer, folder, state_dict=state_dict, dtype=self._dtype)
        model.config.use_cache = cached

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with this process's random numbers; one that was not there before begins its own.

        As many processes as before go on with the very numbers that an undisturbed training draws.
        """
        number, count = self.args.process_index, self.args.world_size
        name = "rng_state.pth" if count == 1 else f"rng_state_{number}.pth"
        if checkpoint is not None and not (Path(checkpoint) / name).is_file():
            draw_apart(self.args.seed, number, self.state.global_step)
        else:
            super()._load_rng_state(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load weights: within the resume state where it has its own, else beside it."""
        if self.is_fsdp_enabled:  # they were loaded before they were parted
            return
        resume = Path(resume_from_checkpoint)
        own = any((resume / name).is_file() for name in ("adapter_config.json", "config.json"))
        super()._load_from_checkpoint(str(resume if own else resume.parent), model)


def _of_groups(schedule: dict[str, Any], count: int) -> dict[str, Any]:
    """Returns a schedule's state for so many groups of weights, which all have the same rate.

    DeepSpeed has none for a group without weights, such as that of additions that do not decay.
    """
    return {
        key: value[:1] * count if isinstance(value, list) else value
        for key, value in schedule.items()
    }


def _write_additions(model: Any, folder: Path, state_dict: dict[str, Tensor]) -> None:
    """Write low-rank additions, for peft."""
    model.save_pretrained(folder, state_dict=state_dict)
    (folder / "README.md").unlink(missing_ok=True)
