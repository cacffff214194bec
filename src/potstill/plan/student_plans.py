"""Student plans: the steps, time, memory and disk that the training of each student takes.

A training is tried where that is cheap, see :mod:`potstill.plan.start_trials`. What is not known
yet, such as how many rationales will be kept, is a bound, and said to be one.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import PotstillError, extra
from potstill.models.settings import LocalSettings
from potstill.pipeline.run import Run
from potstill.pipeline.stale import outdated_students, stale_stages, untrained_students
from potstill.pipeline.training_models import student_trainings
from potstill.plan.scoring_needs import planned_rounds
from potstill.plan.start_trials import StartSpeed, TrainedPart, start_speed
from potstill.plan.throughput import last_progress
from potstill.prompts.formats import format_named
from potstill.records import Example, System, Task
from potstill.text.chosen_on_test import BEST_ON_TEST
from potstill.train import resumable_step
from potstill.train.defaults import StartFacts, Work, described, resolve
from potstill.train.example_list import data_formats
from potstill.train.examples import REPLAY, as_written, example_shares, make_examples
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from potstill.train.start_checks import StartShape

RATIONALE_WORDS = 80
"""Words of a rationale while none is stored."""

COUNTED_EXAMPLES = 30
"""Examples whose tokens are counted."""


class Bound(NamedTuple):
    """A count that is known, or a bound."""

    number: int
    known: bool


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
    step_tokens: float
    """Tokens of an optimiser step on average."""

    training: str
    """How it is trained, in words."""

    done: int
    """Optimiser steps of the newest checkpoint that is there, and is of this recipe."""

    seconds: float
    """Time that the steps still take."""

    how: str
    """The source of the estimate, in words."""

    memory: float
    """Most bytes while it is trained: weights, gradients, AdamW's two moments, activations."""

    memory_how: str
    """The source of that, in words."""

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
    """Answers that starts and students will write on this machine, those included that are stored
    of a measuring that is not over; 0 where the scores are there and are of this recipe."""


def plan_students(run: Run, folder: Path) -> StudentPlans:
    """Plan the training of every student.

    Args:
        run: Opened for reading.
        folder: The run's folder, which need not be there.
    """
    free = shutil.disk_usage(_existing(folder)).free
    try:
        run.check_students()
        students, fault = _planned(run, folder)
    except PotstillError as error:
        return StudentPlans([], str(error), free, 0)
    return StudentPlans(students, fault, free, 0 if _is_measured(run) else _answers(run, students))


def _is_measured(run: Run) -> bool:
    """Whether the scores of all that the recipe measures are there."""
    there = run.store.provenance("evaluate") is not None
    return there and not (stale_stages(run) or untrained_students(run))


class _StudentDraft(NamedTuple):
    """A student before its start was tried."""

    system: System
    shape: "StartShape"
    facts: StartFacts
    amount: Bound
    in_a_pass: float
    """Examples in a pass, see :func:`potstill.train.resolution.pass_size`."""

    part: TrainedPart
    done: int
    """Optimiser steps that were taken."""

    steps_a_second: float | None
    """The speed of its training so far; None where there is none."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.part.settings.steps_for(self.in_a_pass)

    @property
    def is_timed(self) -> bool:
        """Whether nothing is left of its training whose time is not known."""
        return self.steps_a_second is not None or self.done >= self.steps


def _drafts(run: Run, folder: Path) -> Iterator[_StudentDraft]:
    with extra("local", needed_for="planning a training"):
        from potstill.train.resolution import pass_size, start_facts
        from potstill.train.start_checks import start_shape
    settings = run.recipe.train
    outdated = outdated_students(run)
    for system, student in run.students.settled.items():
        start = run.students.starts[system].settings
        shape, facts = start_shape(start, settings.lora, settings.prefix), start_facts(start)
        examples, count = _examples(run, system, student, shape.encoder_decoder)
        spread = examples[:: max(len(examples) // COUNTED_EXAMPLES, 1)]
        lengths = shape.lengths(spread)
        mean = sum(lengths) / len(lengths)
        formats = [*data_formats(examples)]
        size = pass_size(formats, example_shares(student, {*formats, REPLAY})) / len(examples)
        in_a_pass = count.number * size
        own = resolve(
            settings.for_student(student),
            facts,
            Work(in_a_pass, mean, student.on_policy is not None),
        )
        fitting = [length for length in lengths if length <= own.max_length] or [own.max_length]
        longest = nlargest(3 * own.batch_size, examples, key=_characters)
        most = max(shape.lengths(longest[: own.batch_size]))
        taken = [one.step for one in run.store.checkpoints() if one.system == system]
        done = 0 if system.label in outdated else max(taken, default=0)
        yield _StudentDraft(
            system,
            shape,
            facts,
            count,
            in_a_pass,
            TrainedPart(
                student,
                own,
                [*spread, *longest],
                sum(fitting) / len(fitting),  # longer ones are left out of the training
                min(most, own.max_length),
            ),
            done or _interrupted(run, system, count),
            _measured_rate(folder, system),
        )


def _planned(run: Run, folder: Path) -> tuple[list[PlannedStudent], str]:
    """Returns the students, and why one of them has no room here; empty where all have."""
    from potstill.train.memory import too_large
    from potstill.train.start_checks import weights_in_training

    students, fault, train = [], "", run.recipe.train
    by_start: dict[LocalSettings, list[_StudentDraft]] = {}
    for draft in _drafts(run, folder):
        by_start.setdefault(draft.shape.start, []).append(draft)
    for drafts in by_start.values():
        largest = max(drafts, key=lambda draft: draft.part.together)
        shape, facts = largest.shape, largest.facts
        weights = weights_in_training(shape.start, train.lora, train.prefix)
        tried = not all(draft.is_timed for draft in drafts)
        speed = start_speed(shape, facts, weights, largest.part, tried=tried)
        students += [_planned_student(draft, speed) for draft in drafts]
        needed = speed.peak if speed.is_measured else weights.fixed_bytes()
        if needed > facts.memory and not fault:
            fault = too_large(largest.system.label, needed, weights, facts)
    return students, fault


def _planned_student(draft: _StudentDraft, speed: StartSpeed) -> PlannedStudent:
    shape, own, steps = draft.shape, draft.part.settings, draft.steps
    if draft.steps_a_second is not None:
        seconds, how = (steps - draft.done) / draft.steps_a_second, "as fast as in this run before"
    else:
        left = (steps - draft.done) * draft.part.step_tokens
        seconds, how = left / speed.rate if speed.rate else 0.0, speed.how
    checkpoints = min(own.checkpoints, steps)
    return PlannedStudent(
        system=draft.system,
        start=shape.start.model,
        parameters=shape.parameters,
        trained=shape.trained,
        examples=draft.amount,
        steps=Bound(steps, own.steps is not None or draft.amount.known),
        step_tokens=draft.part.step_tokens,
        training=described(own),
        done=min(draft.done, steps),
        seconds=max(seconds, 0.0),
        how=how,
        memory=speed.peak + speed.kept,
        memory_how=speed.peak_how,
        checkpoints=checkpoints,
        disk=checkpoints * shape.parameters * shape.stored_bytes,
        disk_meanwhile=8 * shape.trained + (4 * shape.parameters if shape.stored_bytes < 4 else 0),
    )


def _characters(example: Example) -> int:
    """Returns the characters of an example, by which the longest ones are looked for."""
    prompt = example.prompt
    turns = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]
    return sum(map(len, turns)) + len(example.target)


def _interrupted(run: Run, system: System, count: Bound) -> int:
    """Returns the step that an interrupted training goes on from; 0 where there is none."""
    return resumable_step(student_trainings(run, system)) if count.known else 0


def _examples(
    run: Run, system: System, student: StudentSettings, encoder_decoder: bool
) -> tuple[Sequence[Example], Bound]:
    """Returns what the student will learn as far as that is known, and how many examples it has."""
    task, seed = run.task, run.recipe.seed
    if student.on_policy is not None:
        rounds = planned_rounds(run, system, student, student.on_policy)
        written = rounds.answers_from(0)
        return _likely_examples(task, student, encoder_decoder), Bound(written, True)
    current = run.store.current_rationales(task.splits["train"])
    # Where questions were edited, potstill run curates again before it trains.
    rationales = [] if current.outdated else current.rationales
    kept = any(rationale.verdict == "kept" for rationale in rationales)
    needs = any(format_named(name).needs_rationale for name in student.formats)
    shown = any(format_named(name).needs_exemplars for name in student.formats)
    if (kept or not needs) and not shown:
        plain = student.model_copy(update={"matching": StudentSettings().matching})
        examples = make_examples(
            as_written(rationales, plain, run.store),
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
            examples.append(Example(prompt=prompt, target=target, data_format=name))
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


def _answers(run: Run, students: Sequence[PlannedStudent]) -> int:
    """Returns how many answers starts and students are to give: development at each checkpoint.

    A rule that chooses on test asks each checkpoint the test questions as well.
    """
    starts = len({student.start for student in students})
    answers = 0
    for entry in run.entries:
        development, test = len(entry.task.splits["dev"]), len(entry.task.splits["test"])
        checkpoints = sum(student.checkpoints for student in students)
        if entry.followed:
            answers += development * (starts + checkpoints)
        on_test = entry.role == "target" and run.recipe.evaluate.select == BEST_ON_TEST
        answers += test * (2 * starts + (checkpoints if on_test else len(students)))
    return answers


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
