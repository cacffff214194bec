"""The generate stage: questions → completions of the teacher.

Adaptive sampling: asking on only where right rationales are still lacking.
"""

import math
from collections import Counter
from collections.abc import Container
from dataclasses import replace
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.generate.settings import GenerateSettings
from potstill.grading.grade import grade
from potstill.models.interface import Model
from potstill.prompts.exemplars import FewShot
from potstill.prompts.styles import shows_exemplars, style_named
from potstill.records import Question, Task, Teacher
from potstill.runtime.progress import Meter
from potstill.sampling.ask import (
    PromptConfig,
    SampleCounts,
    SamplingParams,
    answers,
    sample_questions,
    sample_requests,
)
from potstill.store import Store


def teacher_asking(
    teacher: Model | Teacher,
    settings: GenerateSettings,
    *,
    seed: int,
    few_shot: FewShot | None = None,
) -> PromptConfig:
    """How the teacher is asked for rationales.

    Args:
        teacher: The model, or what is known of it; chat models are asked by instruction, others by
            Zero-shot-CoT.
        settings: Of the generate stage.
        seed: The run's seed.
        few_shot: Worked questions, shown where the prompt style has a place for them.

    Raises:
        ConfigError: The style shows exemplars, and there are none.
    """
    default = "instruct_cot" if teacher.chat else "zero_shot_cot"
    style = style_named(settings.prompt_style or default)
    if shows_exemplars(style):
        if few_shot is None or not few_shot.exemplars:
            raise ConfigError(f"prompt_style is {style.name}, and there are no exemplars to show.")
        style = few_shot.worded(style.name).style
    return PromptConfig(
        style=style,
        sampling=SamplingParams(
            samples=settings.samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            top_logprobs=settings.top_logprobs,
            seed=seed,
        ),
        exemplars=few_shot.exemplars if few_shot and shows_exemplars(style) else (),
    )


class GenerateResult(NamedTuple):
    """What the generate stage drew."""

    counts: SampleCounts
    """Of the rationales, second steps aside."""

    enough: int | None = None
    """Questions that have as many right rationales as wanted; None where no number was."""


def generate(
    task: Task,
    teacher: Model,
    store: Store,
    asking: PromptConfig,
    meter: Meter,
    *,
    enough_right: int | None = None,
    name: str = "the teacher",
) -> GenerateResult:
    """Draw rationales for every training question that does not yet have enough of them.

    Diverse reasoning of Fine-tune-CoT (arXiv 2212.10071, section 3); in two steps, rationale and
    then answer, where the style is Zero-shot-CoT's.

    Args:
        task: The questions; only the training split is asked about.
        teacher: Whom to ask.
        store: Where completions go; what is there is not asked for again.
        asking: How to ask, from :func:`teacher_asking`.
        meter: Shown the progress.
        enough_right: Draw for a question only until so many rationales are right; see
            :func:`potstill.generate.stage.draw_until_enough`.
        name: What the meter calls the teacher.
    """
    label = f"rationales of {name}"
    if enough_right is not None:
        return draw_until_enough(
            task, teacher, store, asking, meter, enough=enough_right, label=label
        )
    questions = task.splits["train"]
    return GenerateResult(
        sample_questions(teacher, store, questions, asking, meter, label=label, stage="generate")
    )


def draw_until_enough(
    task: Task,
    teacher: Model,
    store: Store,
    asking: PromptConfig,
    meter: Meter,
    *,
    enough: int,
    label: str,
) -> GenerateResult:
    """Ask round by round, each time only about the questions that lack right rationales.

    The budget goes where rationales are hard to come by: a question that the teacher solves every
    time costs ``enough`` samples, one that it seldom solves up to ``asking.sampling.samples``.
    Right rationales that repeat each other count: a teacher so sure would be asked on in vain.

    What a round asks for follows from the graded answers of the rounds before, and sample i is the
    same draw in every run, so a repeated command goes the same way and pays only for what is
    missing.

    Args:
        task: Its training questions are asked; its grader tells which answers are right.
        teacher: Whom to ask.
        store: Where the answers go.
        asking: How to ask; ``asking.sampling.samples`` is the most samples of a question.
        meter: Shown the progress of each round.
        enough: Right rationales wanted of each question.
        label: What the meter calls them.
    """
    questions, limit = task.splits["train"], asking.sampling.samples
    asked, right = Counter[str](), Counter[str]()
    rounds = [SampleCounts(0, 0, 0, 0)]
    while wanted := {
        question: range(asked[question.id], asked[question.id] + more)
        for question in questions
        if (more := further_samples(asked[question.id], right[question.id], enough, limit))
    }:
        requests = [
            replace(asking.request(question), samples=tuple(samples))
            for question, samples in wanted.items()
        ]
        round_ = f"{label}, round {len(rounds)}"
        counts = sample_requests(
            teacher, store, requests, asking, meter, label=round_, stage="generate"
        )
        rounds.append(counts)
        for question, samples in wanted.items():
            asked[question.id] = samples.stop
            right[question.id] += _right(task, teacher.name, store, question, asking, samples)
    in_all = SampleCounts(*(sum(column) for column in zip(*rounds, strict=True)))
    return GenerateResult(in_all, sum(right[question.id] >= enough for question in questions))


def further_samples(asked: int, right: int, enough: int, limit: int) -> int:
    """How many more samples to ask for of a question, ``right`` of whose ``asked`` are right.

    First as many as are wanted in the end. Then as many as should fill the gap at the question's
    own rate of success, taken as (right + 1) / (asked + 2) (Laplace's rule of succession), but no
    more than it has been asked for so far: a few failures say little. At most ``limit`` in all.
    """
    if right >= enough:
        return 0
    expected = math.ceil((enough - right) * (asked + 2) / (right + 1))
    return min(expected, asked or enough, limit - asked)


def _right(
    task: Task,
    teacher_name: str,
    store: Store,
    question: Question,
    asking: PromptConfig,
    samples: Container[int],
) -> int:
    """How many of these samples are right; one that was cut off is not, whatever it says."""
    return sum(
        grade(task, answer.text, question).correct
        for answer in answers(teacher_name, store, question, asking)
        if answer.sample in samples and answer.finish_reason == "stop"
    )
