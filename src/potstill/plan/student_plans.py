"""Student plans: the steps, time, memory and disk that the training of each student takes.

No weights are read: the model is built from its config, and where it is small enough a step of it
is tried with random weights. What is not known yet, such as how many rationales will be kept, is a
bound, and said to be one.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import PotstillError, extra
from potstill.pipeline.run import Run
from potstill.pipeline.stale import outdated_students
from potstill.plan.throughput import last_progress
from potstill.prompts.formats import format_named
from potstill.records import Example, System, Task
from potstill.train import Models, interrupted_step
from potstill.train.defaults import Work, described, resolve
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from potstill.train.start_checks import StartShape

RATIONALE_WORDS = 80
"""Words of a rationale while none is stored."""

COUNTED_EXAMPLES = 30
"""Examples whose tokens are counted."""

TRIED_WEIGHTS = 500_000_000
"""Weights of a model of which a step is tried; of larger ones the time is estimated."""

SHARE_OF_PRODUCT = 0.5
"""The speed of a training, as a share of that of a plain matrix product: an assumption."""

OPERATIONS = 6
"""Operations a weight and token, forward and back (Kaplan et al., 2020, arXiv 2001.08361)."""

ACTIVATION_BYTES = 68
"""Bytes a token, layer and unit of width that float32 keeps for the way back (Korthikanti et al.,
2022, arXiv 2205.05198: 34 in 16 bits)."""


class Bound(NamedTuple):
    """A count that is known, or a bound."""

    number: int
    known: bool


class Speed(NamedTuple):
    """Tokens a second that a start is trained at, and how that is known."""

    tokens: float
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStudent:
    """One student of a plan."""

    system: System
    start: str
    """The model that it starts from, as the recipe names it."""

    parameters: int
    trained: int
    """The number of weights that training changes."""

    examples: Bound
    steps: Bound
    training: str
    """How it is trained, in words."""

    done: int
    """Optimiser steps of the newest checkpoint that is there, and is of this recipe."""

    seconds: float
    """Time that the steps still take."""

    how: str
    """The source of the estimate, in words."""

    memory: float
    """Bytes while it is trained: weights, gradients, AdamW's two moments, activations."""

    checkpoints: int
    disk: float
    """Bytes of its checkpoints."""

    disk_meanwhile: float
    """Further bytes while it is trained, for going on after an interruption."""


class StudentPlans(NamedTuple):
    """The students of a plan, and what stands against them."""

    students: list[PlannedStudent]
    fault: str
    """Why a student cannot be trained here; empty where nothing is known that stands against it."""

    free_disk: int
    """Bytes that are free where the run's folder is, or will be."""

    measured_here: int
    """Answers that starts and students will write on this machine."""


def plan_students(run: Run, folder: Path) -> StudentPlans:
    """Plan the training of every student.

    Args:
        run: Opened for reading.
        folder: The run's folder, which need not be there.
    """
    free = shutil.disk_usage(_existing(folder)).free
    try:
        run.check_students()
        students = _planned(run, folder)
    except PotstillError as error:
        return StudentPlans([], str(error), free, 0)
    return StudentPlans(students, "", free, _answers(run, students))


def _planned(run: Run, folder: Path) -> list[PlannedStudent]:
    with extra("local", needed_for="planning a training"):
        from potstill.train.resolution import start_facts
        from potstill.train.start_checks import start_shape
    settings = run.recipe.train
    speeds: dict[str, Speed] = {}
    outdated = outdated_students(run)
    students = []
    for system, student in run.students.settled.items():
        start = run.students.starts[system].settings
        shape = start_shape(start, settings.lora)
        examples, count = _examples(run, student, shape.encoder_decoder)
        lengths = shape.lengths(examples[:: max(len(examples) // COUNTED_EXAMPLES, 1)])
        mean = sum(lengths) / len(lengths)
        own = resolve(settings.for_student(student), start_facts(start), Work(count.number, mean))
        steps = own.steps_for(count.number)
        taken = [one.step for one in run.store.checkpoints() if one.system == system]
        done = 0 if system.label in outdated else max(taken, default=0)
        done = done or _interrupted(run, system, student, count)
        rate = _measured_rate(folder, system)
        if rate is not None:
            seconds, how = (steps - done) / rate, "as fast as in this run before"
        else:
            if start.model not in speeds:
                speeds[start.model] = _speed(shape, round(mean))
            speed = speeds[start.model]
            seconds = (steps - done) * own.batch_size * mean / speed.tokens
            how = speed.how
        checkpoints = min(own.checkpoints, steps)
        students.append(
            PlannedStudent(
                system=system,
                start=start.model,
                parameters=shape.parameters,
                trained=shape.trained,
                examples=count,
                steps=Bound(steps, own.steps is not None or count.known),
                training=described(own),
                done=min(done, steps),
                seconds=max(seconds, 0.0),
                how=how,
                memory=_memory(shape, min(own.batch_tokens, own.batch_size * mean)),
                checkpoints=checkpoints,
                disk=checkpoints * shape.parameters * shape.stored_bytes,
                disk_meanwhile=8 * shape.trained
                + (4 * shape.parameters if shape.stored_bytes < 4 else 0),
            )
        )
    return students


def _interrupted(run: Run, system: System, student: StudentSettings, count: Bound) -> int:
    """Returns the step that an interrupted training goes on from; 0 where there is none."""
    if not count.known:
        return 0
    recipe = run.recipe
    models = Models(recipe.student, recipe.teacher, recipe.teachers)
    return interrupted_step(
        system, student, run.task, models, recipe.train, run.context, seed=recipe.seed
    )


def _examples(
    run: Run, student: StudentSettings, encoder_decoder: bool
) -> tuple[list[Example], Bound]:
    """Returns what the student will learn as far as that is known, and how many examples it has."""
    task, seed = run.task, run.recipe.seed
    rationales = run.store.training_rationales(task)
    kept = any(rationale.verdict == "kept" for rationale in rationales)
    needs = any(format_named(name).needs_rationale for name in student.formats)
    shown = any(format_named(name).needs_exemplars for name in student.formats)
    if (kept or not needs) and not shown:
        plain = student.model_copy(update={"matching": StudentSettings().matching})
        examples = make_examples(
            rationales,
            task.splits["train"],
            plain,
            encoder_decoder=encoder_decoder,
            seed=seed,
            thinking=run.store.thinking_of(one.completion_id for one in rationales),
        )
        if examples:
            return examples, Bound(len(examples), True)
    return _likely_examples(task, student, encoder_decoder), Bound(_most(run, student), False)


def _likely_examples(task: Task, student: StudentSettings, encoder_decoder: bool) -> list[Example]:
    """Returns examples with rationales of a usual length in the place of those to come."""
    rationale = " ".join(["word"] * RATIONALE_WORDS)
    examples = []
    for name in student.formats:
        data_format = format_named(name)
        for question in task.splits["train"][:COUNTED_EXAMPLES]:
            prompt = data_format.prompt(question, encoder_decoder=encoder_decoder)
            target = data_format.target(rationale, question.answer, encoder_decoder=encoder_decoder)
            examples.append(Example(prompt=prompt, target=target))
    return examples


def _most(run: Run, student: StudentSettings) -> int:
    """Returns the most examples that a student can come to have."""
    questions = student.questions or len(run.task.splits["train"])
    samples = student.samples or run.recipe.generate.samples
    each = samples * len(run.recipe.named_teachers)
    if student.max_rationales is not None:
        each = min(each, student.max_rationales)
    return sum(
        questions * (each if format_named(name).needs_rationale else 1) for name in student.formats
    )


def _measured_rate(folder: Path, system: System) -> float | None:
    """Returns the steps a second of the student's training so far; None where there is none."""
    events = last_progress(folder / "log.jsonl", f"training {system.label}")
    new = sum(event["new"] for event in events)
    seconds = sum(event["seconds"] for event in events)
    return new / seconds if new and seconds else None


def _speed(shape: "StartShape", tokens: int) -> Speed:
    """Returns the tokens a second that training comes to, by a trial or an estimate."""
    from potstill.train.precision import product_speed, trained_rate

    if shape.parameters <= TRIED_WEIGHTS and shape.on_processor:
        begin = time.perf_counter()
        rate = trained_rate(shape.with_random_weights(), tokens)
        spent = time.perf_counter() - begin
        return Speed(rate, f"by a trial of a step just now, {spent:.1f} s, in float32")
    speed = product_speed(shape.device)
    rate = speed * SHARE_OF_PRODUCT / (OPERATIONS * shape.parameters)
    return Speed(
        rate,
        f"an estimate: {OPERATIONS} operations a weight and token, at half the "
        f"{speed / 1e9:,.0f} billion a second of a matrix product here",
    )


def _memory(shape: "StartShape", tokens: float) -> float:
    """Returns the bytes of weights, gradients, moments and activations; of LoRA a merged copy."""
    held = 4 * shape.parameters + 12 * shape.trained
    if shape.trained < shape.parameters:
        held += 4 * shape.parameters  # merged, while a checkpoint is written
    return held + tokens * shape.layers * shape.width * ACTIVATION_BYTES


def _answers(run: Run, students: Sequence[PlannedStudent]) -> int:
    """Returns how many answers starts and students are to give: development at each checkpoint."""
    starts = len({student.start for student in students})
    answers = 0
    for entry in run.entries:
        development, test = len(entry.task.splits["dev"]), len(entry.task.splits["test"])
        if entry.followed:
            checkpoints = sum(student.checkpoints for student in students)
            answers += development * (starts + checkpoints)
        answers += test * (2 * starts + len(students))
    return answers


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
