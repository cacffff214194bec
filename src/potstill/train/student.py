"""Training one student, from its start model to its checkpoints.

:func:`train_student` loads the start model, turns examples into token ids, plans which of them each
optimiser step computes, and hands all of it to the trainer::

    examples ─ Encoder ─▶ token ids ─ plan_steps ─▶ Steps ─ Collator ─▶ batches ─ StudentTrainer ─▶
                                                                             checkpoints, log

What determines the result is written to the folder first and the log of a finished training last,
so the same call on the same folder resumes the one and repeats the other for nothing.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerState

from potstill.errors import DataError
from potstill.keys import listed_hash_within
from potstill.launched import is_main_process, process_count
from potstill.models.local.answer_layout import add_turn_end, thinking_template
from potstill.models.local.format_trials import TRYING, chosen, is_tried, shape_name
from potstill.models.local.loading import (
    Loaded,
    folder_digest,
    is_folder,
    load_model_and_tokenizer,
    quietly,
    trained_parameters,
)
from potstill.prompts.formats import format_named
from potstill.records import Collapse, Example
from potstill.runtime import Runtime
from potstill.runtime.signals import stoppable
from potstill.store.packed_logprobs import plain_bytes
from potstill.train import checkpoints
from potstill.train.defaults import ResolvedTraining
from potstill.train.encoding import Encoded, EncodedExamples, Encoder, LeftOutExamples
from potstill.train.examples import example_shares
from potstill.train.freed_memory import freed_memory_kept
from potstill.train.on_policy import good_checkpoints
from potstill.train.on_policy.good_checkpoints import after_collapse, is_lifted
from potstill.train.on_policy.on_policy_trainer import OnPolicyRun, on_policy_run, stand_ins
from potstill.train.on_policy.round_watch import TrainingCollapsed
from potstill.train.on_policy.work import OnPolicyWork
from potstill.train.precision import try_training
from potstill.train.processes import require_same, shared
from potstill.train.quantization import four_bits, is_quantized, keep_trainable
from potstill.train.reporter import OnStep, Reporter, log_lines
from potstill.train.resolution import resolved_training, start_device, training_steps
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.spooled_examples import SpooledExamples, facts_of
from potstill.train.start_checks import check_end_token
from potstill.train.trainer import StudentTrainer
from potstill.train.trainer_setup import build_trainer, longest_of, start_of, weights_of
from potstill.train.training_watch import LogLine, Unwatched, Watch
from potstill.train.wrong_chains import with_departures

logger = logging.getLogger(__name__)

SAME_RESULT = {"students", "batch_tokens", "gradient_checkpointing"}
"""Settings that do not change what a student learns, up to rounding."""

ENCODING = "encoding"
"""The key of the note on how many examples are encoded."""

SHOWN_EXAMPLES = 500
"""Examples after which that note is renewed."""

COUNTS = (
    "examples",
    "too_long",
    "encoder_decoder",
    "parameters",
    "trained_parameters",
    "soft_share",
)
"""Fields of a finished training that are kept beside its log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedStudent:
    """The checkpoints, log and counts that a training left."""

    checkpoints: tuple[tuple[int, Path], ...]
    """Optimiser steps and folder of each checkpoint, oldest first; ``hf:FOLDER`` loads it."""

    log: tuple[LogLine, ...]
    """One line every few steps."""

    seconds: float
    """Time spent, in all processes that worked on it one after the other."""

    tokens: int
    """Tokens trained on, counted again on each pass; prompts left out."""

    examples: int
    """Examples trained on."""

    too_long: int
    """Examples left out because they are longer than ``max_length``."""

    encoder_decoder: bool

    parameters: int
    """Weights of the model."""

    trained_parameters: int
    """Weights that were trained: all, or those of low-rank additions."""

    soft_share: float | None
    """See :attr:`potstill.records.Checkpoint.soft_share`."""

    collapse: Collapse | None = None
    """The limit that has ended it before its last step; None: it came to its end."""


def training_identity(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    seed: int = 0,
    on_policy: OnPolicyWork | None = None,
) -> str:
    """Returns twelve hex digits that stand for all that determines a student."""
    start, settings = start_of(student), resolved_training(settings, student, examples)
    source = start.source
    weights = folder_digest(Path(source)) if is_folder(source) else start.model_dump(mode="json")
    values = settings.model_dump(mode="json", exclude=SAME_RESULT)
    if values["prefix"] is None:
        del values["prefix"]
    if values["lora"] is not None:  # parts that came later count where they are given
        later = {name: LoraSettings.model_fields[name].default for name in ("kind", "quantize")}
        values["lora"] = {
            name: part
            for name, part in values["lora"].items()
            if name not in later or part != later[name]
        }
    own_loss: dict[str, object] = {} if student.loss is None else {"loss": student.loss}
    if student.unlikelihood is not None:
        own_loss["unlikelihood"] = student.unlikelihood.model_dump()
    objective = example_shares(student), student.matching.model_dump() | own_loss
    texts = map(_example_values, examples)
    further: list[object] = [{"control_tokens": True}] if start.control_tokens else []
    if on_policy is not None:
        further.append({"on_policy": on_policy.identity()})
    return listed_hash_within([weights], texts, [values, objective, seed, *further])


def _example_values(example: Example) -> tuple[object, ...]:
    """Returns an example as plain values, the teacher's probabilities as a digest."""
    span, digest = example.teacher, ""
    if span is not None:
        digest = hashlib.sha256(plain_bytes(span.tokens)).hexdigest()
    prompt = example.prompt
    return (
        prompt if isinstance(prompt, str) else [asdict(message) for message in prompt],
        example.target,
        example.weight,
        example.question_id,
        example.data_format,
        digest,
        *([] if example.thinking is None else [{"thinking": example.thinking}]),
        *([{"unlikely": True}] if example.unlikely else []),
        *((span.start, span.end, span.shift) if span else ()),
    )


def train_student(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    folder: Path,
    *,
    on_step: OnStep = lambda _: None,
    watch: Watch | None = None,
    on_checkpoint: Callable[[TrainedStudent], bool] | None = None,
    runtime: Runtime | None = None,
    seed: int = 0,
    on_policy: OnPolicyWork | None = None,
) -> TrainedStudent:
    """Train one student, or go on with what a killed process left behind.

    Args:
        student: The model to start from, the loss, and which share of the examples each data
            format gets.
        examples: The texts to learn.
        settings: The length and manner of training; ``students`` is not looked at. What is left
            open is filled in.
        folder: Belongs to this training alone; takes its checkpoints.
        on_step: Called with the progress every few steps.
        watch: Told how far it is from the first step on, also within a step.
        on_checkpoint: Called after each checkpoint with all there are; True ends the training.
        runtime: The run's; it keeps the precision that ``auto`` comes to, and shows it. Once its
            ``stop`` is set, as by the first Ctrl-C or SIGTERM, training stops after the step that
            it is at, with a checkpoint to go on from.
        seed: Fixes the order of examples and everything else that is random.
        on_policy: The parts of its rounds, where it learns from what it writes itself.

    Raises:
        ConfigError: The folder holds another training.
        DataError: No example is left to train on.
        ModelError: The start model cannot be loaded.
        KeyboardInterrupt: Training was stopped, see ``runtime``.
    """
    runtime = runtime or Runtime()
    settings = resolved_training(settings, student, examples)
    identity = training_identity(student, examples, settings, seed=seed, on_policy=on_policy)
    require_same(identity, of=_name(folder))
    checkpoints.claim(folder, identity, training_steps(settings, student, examples))
    finished = shared(_finished(folder, on_policy) if is_main_process() else None)
    if finished is not None:
        return _trained_student(finished, folder)
    trainer, reporter, counts = _set_up(
        student, examples, settings, folder, runtime, seed, identity, on_policy
    )
    with quietly():

        def so_far(state: TrainerState) -> dict[str, Any]:
            steps = [step for step in sorted(trainer.save_steps) if step <= state.global_step]
            return {"steps": steps, "log": log_lines(state), **counts}

        def ends_at(state: TrainerState) -> bool:
            assert on_checkpoint is not None
            return on_checkpoint(_trained_student(so_far(state), folder))

        ends = ends_at if on_checkpoint else None
        reporter.attach(trainer, on_step, watch or Unwatched(), ends, runtime.stop.is_set)
        # After Ctrl-C the step is finished, and a checkpoint written.
        with stoppable(runtime):
            state, collapse = _train_to_its_end(trainer, reporter, folder)
            values = so_far(state) | collapse
            values["examples"] -= values.pop("unlearned", 0)
            if reporter.stopped and not runtime.stop.is_set():  # another process was signalled
                raise KeyboardInterrupt
    good_checkpoints.drop(folder)
    checkpoints.finish(folder, values)
    return _trained_student(values, folder)


def _finished(folder: Path, on_policy: OnPolicyWork | None) -> dict[str, object] | None:
    """Returns what is kept of a training that has ended; None where there is more to train."""
    finished = checkpoints.read_finished(folder)
    if finished is None:
        return None
    if on_policy is not None and is_lifted(finished, on_policy.settings):
        checkpoints.reopen(folder)  # what its rounds were paid for is stored
        return None
    checkpoints.drop_resume_states(folder)  # there, if it was killed just after its end
    return finished


def _set_up(
    student: StudentSettings,
    examples: Sequence[Example],
    settings: ResolvedTraining,
    folder: Path,
    runtime: Runtime,
    seed: int,
    identity: str,
    on_policy: OnPolicyWork | None,
) -> tuple[StudentTrainer, Reporter, dict[str, object]]:
    """Returns the trainer, what reports on it, and what is counted before it begins."""
    loaded = load_start(student, settings.lora)
    encoded = encode_fitting(loaded, examples, student, settings, folder, runtime)
    run: OnPolicyRun | None = None
    if on_policy is not None:
        run = on_policy_run(
            on_policy,
            loaded,
            encoded,
            settings,
            student,
            identity=identity,
            longest=longest_of(loaded, settings.max_length),
            seed=seed,
        )
    tried = encoded.examples or (stand_ins(run) if run else [])
    settings = shared(with_precision(settings, loaded, tried, folder, runtime))
    counts = _counts(student, loaded, encoded, run)
    with quietly():
        trainer, reporter = build_trainer(loaded, encoded, settings, student, folder, seed, run)
    assert trainer.model is not None
    counts["trained_parameters"] = trained_parameters(trainer.model)
    return trainer, reporter, counts


def _counts(
    student: StudentSettings, loaded: Loaded, encoded: EncodedExamples, run: OnPolicyRun | None
) -> dict[str, object]:
    """Returns what is counted of a training before it begins."""
    is_matched = student.matching.distribution and run is None
    return {
        "examples": len(encoded.examples) + (run.answers if run is not None else 0),
        "too_long": encoded.too_long,
        "encoder_decoder": loaded.encoder_decoder,
        "parameters": weights_of(loaded, start_of(student)),
        "soft_share": facts_of(encoded.examples).soft_share if is_matched else None,
    }


def encode_fitting(
    loaded: Loaded,
    examples: Sequence[Example],
    student: StudentSettings,
    settings: ResolvedTraining,
    folder: Path | None = None,
    runtime: Runtime | None = None,
) -> EncodedExamples:
    """Returns the examples as token ids, without those that are too long.

    Args:
        loaded: The start.
        examples: The texts to learn, taken one at a time.
        student: How they are matched.
        settings: How long one may be.
        folder: On whose disk they are kept; None: in memory.
        runtime: The run's, whose view says how many are done.

    Raises:
        DataError: None is left.
    """
    encoder = Encoder(
        loaded.tokenizer,
        encoder_decoder=loaded.encoder_decoder,
        matching=student.matching,
        control_tokens=start_of(student).control_tokens,
    )
    longest = longest_of(loaded, settings.max_length)
    left_out = LeftOutExamples()
    shown = _shown(examples, runtime or Runtime())
    fitting = encoder.fitting(shown, longest, left_out)
    kept = list(fitting) if folder is None else SpooledExamples(fitting, folder)
    encoded = EncodedExamples(kept, left_out.count, left_out.with_thinking, left_out.longest)
    if encoded.too_long:
        logger.warning("%s", encoded.told_too_long(longest))
    if student.unlikelihood is not None:
        encoded = with_departures(encoded, student.unlikelihood, folder)
    if not encoded.examples and (examples or student.on_policy is None):
        raise DataError(f"no example is left to train on: {encoded.told_too_long(longest)}.")
    return encoded


def _shown(examples: Sequence[Example], runtime: Runtime) -> Iterator[Example]:
    """Yields examples; the run's view says meanwhile how many there were."""
    notes, count = runtime.events.notes, f"{len(examples):,} examples"
    with runtime.events.noted(ENCODING, count):
        for number, example in enumerate(examples):
            if number % SHOWN_EXAMPLES == 0:
                notes[ENCODING] = f"{number:,} of {count}"
            yield example


def with_precision(
    settings: ResolvedTraining,
    loaded: Loaded,
    examples: Sequence[Encoded],
    folder: Path,
    runtime: Runtime,
) -> ResolvedTraining:
    """Returns the settings with what ``precision: auto`` comes to on a processor.

    It is what the run chose before, be it for a student that was interrupted, else the faster one
    of a trial. Small models, and trainings in several processes, stay in float32.
    """
    if settings.precision != "auto" or loaded.model.device.type != "cpu":
        return settings
    if is_quantized(loaded.model):
        return settings.model_copy(update={"precision": "float32"})
    shape = shape_name(loaded.model.config) + (", low-rank" if settings.lora else "")
    precision = runtime.number_formats.known(f"training: {shape}")
    if precision is None:
        begun = checkpoints.newest_resumable(folder) is not None
        alone = process_count() == 1
        precision = "float32"
        if is_tried(loaded.model) and alone and not begun:
            with runtime.events.noted("number format", TRYING):
                trial = try_training(loaded, examples, settings.batch_size)
            precision = chosen("training", _name(folder), shape, trial, runtime)
    return settings.model_copy(update={"precision": precision})


def _name(folder: Path) -> str:
    """Returns the student's name, which its folder begins with."""
    return folder.name.rpartition("-")[0] or folder.name


def _train_to_its_end(
    trainer: StudentTrainer, reporter: Reporter, folder: Path
) -> tuple[TrainerState, dict[str, Any]]:
    """Train to the end, or to a limit of on-policy training; returns what is kept of that, too."""
    try:
        return _train_or_resume(trainer, reporter, folder), {}
    except TrainingCollapsed as ended:
        state = trainer.state
        reporter.report_rest(state)
        trainer.callback_handler.on_train_end(trainer.args, state, trainer.control)
        is_main, due = is_main_process(), trainer.save_steps
        kept = shared(after_collapse(folder, ended.collapse, due=due) if is_main else {})
        return state, {**kept, "patience": ended.patience, "unlearned": ended.unlearned}


def _train_or_resume(trainer: StudentTrainer, reporter: Reporter, folder: Path) -> TrainerState:
    """Train to the end, from the newest checkpoint on where there is one."""
    is_main = is_main_process()
    newest = shared(checkpoints.whole_resumable(folder, trainer.save_steps) if is_main else None)
    resume = newest / checkpoints.RESUME if newest else None
    if resume is not None:  # a killed process may have seen that training ends here
        state: TrainerState = TrainerState.load_from_json(str(resume / "trainer_state.json"))
        if reporter.ends_at(state):
            return state
    with freed_memory_kept(trainer.args.device) as freed_memory:
        trainer.add_callback(freed_memory)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer.state


def load_start(student: StudentSettings, lora: LoraSettings | None = None) -> Loaded:
    """Load the start model with its weights in float32; lower precisions lose small updates.

    What the student's checkpoints are saved with is set: the chat template behind whose prompts it
    may think, and the token that ends its turns among those that end an answer. Weights that
    additions are trained to may be held in 4 bits.
    """
    start = start_of(student)
    source = start.source
    four = four_bits(start_device(start)) if lora and lora.quantize else None
    loaded = load_model_and_tokenizer(
        source,
        dtype="float32",
        device=start.device,
        revision=start.revision,
        trust_remote_code=start.trust_remote_code,
        quantization=four,
    )
    keep_trainable(loaded.model)
    check_end_token(loaded.tokenizer, source)
    if student.long_share and (template := thinking_template(loaded.tokenizer)):
        loaded.tokenizer.chat_template = template
    if any(format_named(name).chat for name in student.formats):
        add_turn_end(loaded.model, loaded.tokenizer)
    return loaded


def _trained_student(values: dict[str, Any], folder: Path) -> TrainedStudent:
    """Returns what ``finished.json`` says as a record."""
    values.setdefault("trained_parameters", values["parameters"])  # before it was kept
    log = tuple(LogLine(*line) for line in values["log"])
    collapse = values.get("collapse")
    return TrainedStudent(
        checkpoints=tuple(
            (step, checkpoints.checkpoint_folder(folder, step)) for step in values["steps"]
        ),
        log=log,
        seconds=log[-1].seconds if log else 0.0,  # it may end before its first step
        tokens=log[-1].tokens if log else 0,
        collapse=Collapse(**collapse) if collapse else None,
        **{name: values[name] for name in COUNTS},
    )
