"""The training loop whose steps are made when it reaches them, and what it takes to build it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from potstill.errors import PotstillError
from potstill.models.interface import Model
from potstill.models.local.loading import Loaded
from potstill.models.served.serving import server_of
from potstill.train.batches import Batch, Order, Steps, plan_steps
from potstill.train.checkpoints import checkpoint_folder
from potstill.train.defaults import ResolvedTraining
from potstill.train.encoding import Encoded, EncodedExamples
from potstill.train.examples import example_shares
from potstill.train.on_policy import good_checkpoints
from potstill.train.on_policy.round_watch import RoundWatch, TrainingCollapsed
from potstill.train.on_policy.scored_rounds import OnPolicySteps, RoundMaker
from potstill.train.on_policy.served_writer import ServedWriter, ids_by_name
from potstill.train.on_policy.student_writer import StudentWriter, rounded, writes_rounded
from potstill.train.on_policy.work import OnPolicyWork, RoundPlan, answers_of
from potstill.train.on_policy.written_answers import AnswerReader
from potstill.train.reporter import Reporter
from potstill.train.settings import StudentSettings
from potstill.train.spooled_examples import facts_of
from potstill.train.trainer import StudentTrainer

logger = logging.getLogger(__name__)


class LaterSteps(Steps):
    """The steps of a training whose examples are made only when each step is reached."""

    def __init__(self, steps: int, processes: int) -> None:
        super().__init__([], [[]] * steps, batch_tokens=1, processes=processes)

    def __getitem__(self, number: int) -> list[list[Encoded]]:
        """Returns nothing: a data loader looks one step ahead of the training."""
        return []


class OnPolicyTrainer(StudentTrainer):
    """Trains a student on what it writes itself.

    :meth:`prepare` comes before training.
    """

    def prepare(self, run: "OnPolicyRun", reporter: Reporter) -> None:
        """Take what the steps are made of.

        Args:
            run: That.
            reporter: Told how many tokens each step learns, once it is made.
        """
        self._run, self._reporter = run, reporter

    def get_batch_samples(
        self, epoch_iterator: Iterator[object], num_batches: int, device: torch.device
    ) -> tuple[list[list[Batch]], Tensor]:
        """Returns the next step, made now, and the weight of its tokens."""
        next(epoch_iterator)
        step = self.state.global_step
        try:
            parts = self._run.steps.parts(step, self._writer)
        except (PotstillError, KeyboardInterrupt):  # a budget that is spent, a teacher out of reach
            self._keep_state()
            raise
        except TrainingCollapsed:
            if step == 0:
                self._keep_good(step)
            raise
        if step % self._run.plan.steps_per_round == 0 and self._run.watch.is_well:
            self._keep_good(step)
        self._reporter.learns(step, sum(len(one.trained) for part in parts for one in part))
        own = parts[self.args.process_index :: self.args.world_size]
        samples: list[list[Batch]] = [self.collator([own])]
        return samples, self._get_num_items_in_batch(samples, device)

    def _keep_state(self) -> None:
        """Write a checkpoint to go on from, where there is none of this step."""
        place = checkpoint_folder(Path(str(self.args.output_dir)), self.state.global_step)
        if self.state.global_step and not place.exists():
            assert self.model is not None
            self._reporter.report_rest(self.state)
            self._save_checkpoint(self.model, None)

    def _keep_good(self, step: int) -> None:
        """Keep the weights of a student that is well, in the place of the last ones.

        They are written once a round, without what going on from them takes: that costs a second
        where writing and scoring the round took minutes.
        """
        if self._run.work.settings.limits is not None and self.args.should_save:
            folder = Path(str(self.args.output_dir))
            good_checkpoints.keep(folder, step, due=self.save_steps, write=self.write_weights)

    def _writer(self, number: int) -> Model:
        work, run = self._run.work, self._run
        name = f"{answers_of(work.label)}{run.identity}:{number + 1}"
        if (server := server_of(work.start)) is not None:
            return ServedWriter(
                self.write_weights,
                Path(str(self.args.output_dir)) / "written_by_server",
                start=work.start,
                server=server,
                name=name,
                chat=run.loaded.tokenizer.chat_template is not None,
                runtime=work.context.runtime,
                ids=run.ids_by_name,
            )
        model: Any = self.accelerator.unwrap_model(self.model)
        if not isinstance(model, PreTrainedModel):  # wrapped by peft
            model = model.get_base_model()
        elif self.args.bf16 and writes_rounded(model):
            model = rounded(model)
        return StudentWriter(
            Loaded(model, run.loaded.tokenizer, run.loaded.encoder_decoder),
            work.start,
            name=name,
            events=work.context.events,
        )


@dataclass(frozen=True, kw_only=True)
class OnPolicyRun:
    """The parts that the steps of an on-policy training are made of."""

    work: OnPolicyWork
    steps: OnPolicySteps
    plan: RoundPlan
    watch: RoundWatch
    loaded: Loaded
    identity: str
    """Stands for all that determines the training; its student's answers are stored by it."""

    longest: int
    """Most tokens of an example."""

    prompts: list[list[int]]
    """The prompts of the questions, in tokens."""

    token_names: list[bytes | None]
    """The bytes of each of the student's tokens by its id."""

    @cached_property
    def ids_by_name(self) -> dict[bytes, int]:
        """The student's tokens by their bytes."""
        encode: Any = self.loaded.tokenizer
        return ids_by_name(
            self.token_names, lambda text: list(encode(text, add_special_tokens=False)["input_ids"])
        )

    @property
    def answers(self) -> int:
        """The answers that the student writes in all."""
        return self.plan.answers_from(0)


def on_policy_run(
    work: OnPolicyWork,
    loaded: Loaded,
    encoded: EncodedExamples,
    settings: ResolvedTraining,
    student: StudentSettings,
    *,
    identity: str,
    longest: int,
    seed: int,
) -> OnPolicyRun:
    """Returns what the steps of a student's training are made of.

    Args:
        work: The questions, the teacher and the settings.
        loaded: The student.
        encoded: The teacher's rationales that it learns beside.
        settings: The length and manner of its training.
        student: The student's settings.
        identity: See :attr:`OnPolicyRun.identity`.
        longest: Most tokens that an example may have.
        seed: Fixes everything that is random.
    """
    assert settings.steps is not None, "the recipe has seen to it"
    plan = RoundPlan.of(work.settings, steps=settings.steps, batch_size=settings.batch_size)
    reader = AnswerReader(
        loaded.tokenizer,
        encoder_decoder=loaded.encoder_decoder,
        control_tokens=work.start.control_tokens,
        score=work.settings.score,
        closing=work.closing,
    )
    watch = RoundWatch(work, plan, identity)
    maker = RoundMaker(
        work,
        reader,
        max_length=longest,
        encoder_decoder=loaded.encoder_decoder,
        watch=watch,
    )
    shares = example_shares(student, facts_of(encoded.examples).format_names)
    further = encoded.examples if plan.further else []
    further_order = Order(plan.further, settings.group_size, shares, False, seed)
    steps = OnPolicySteps(
        maker,
        plan,
        work,
        further=further,
        further_steps=plan_steps(further, further_order, plan.steps) if further else [],
        order=Order(plan.own, min(work.settings.samples, plan.own), None, False, seed),
        batch_tokens=settings.batch_tokens,
    )
    prompts = [
        reader.prompt_ids(work.format.prompt(question, encoder_decoder=loaded.encoder_decoder))
        for question in work.questions
    ]
    return OnPolicyRun(
        work=work,
        steps=steps,
        plan=plan,
        watch=watch,
        loaded=loaded,
        identity=identity,
        longest=min(max(map(len, prompts)) + work.settings.longest + 1, longest),
        prompts=prompts,
        token_names=reader.token_names,
    )


def stand_ins(run: OnPolicyRun) -> list[Encoded]:
    """Returns examples of the sizes to come, for a trial of the speed of a step."""
    own = run.work.settings.longest
    return [Encoded(prompt, [*prompt, *[prompt[-1]] * own][:own]) for prompt in run.prompts]


def planned_tokens(run: OnPolicyRun, further: Sequence[int]) -> list[int]:
    """Returns about how many tokens each step learns, until that is known.

    Args:
        run: The sizes of the steps.
        further: The tokens of each of the teacher's rationales.
    """
    rationale = sum(further) / len(further) if further else 0.0
    own = run.work.settings.longest * run.work.settings.score.share / 2
    return [round(run.plan.own * own + run.plan.further * rationale)] * run.plan.steps
