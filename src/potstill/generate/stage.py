"""The generate stage: questions → completions of the teacher.

Diverse reasoning of Fine-tune-CoT (arXiv 2212.10071, section 3): D rationales are drawn for every
training question. With ``enough_right`` the stage samples adaptively instead: it asks on, round by
round, only about the questions that still lack right rationales.
"""

import math
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.generate.settings import GenerateSettings
from potstill.grading.grade import grade
from potstill.models.interface import Model
from potstill.prompts.exemplars import FewShot
from potstill.prompts.styles import shows_exemplars, style_named
from potstill.records import Question, Task, Teacher
from potstill.runtime.context import RunContext
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SampleCounts,
    SamplingParams,
    answers,
    sample_requests,
)


def teacher_asking(
    teacher: Model | Teacher,
    settings: GenerateSettings,
    *,
    seed: int,
    few_shot: FewShot | None = None,
) -> PromptConfig:
    """Returns how the teacher is asked for rationales.

    Args:
        teacher: The model, or its name and kind; chat models are asked by instruction, others by
            Zero-shot-CoT.
        settings: The generate stage's.
        seed: The run's seed.
        few_shot: Worked questions, shown where the prompt style has a place for them.

    Raises:
        ConfigError: The style shows exemplars, and there are none.
    """
    default = "instruct_cot" if teacher.chat else "zero_shot_cot"
    named = settings.prompt_style or default
    style = style_named(named)
    if shows_exemplars(style):
        if few_shot is None or not few_shot.exemplars:
            raise ConfigError(f"prompt_style is {style.name}, and there are no exemplars to show.")
        style = few_shot.worded(named).style
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
    """The samples the generate stage drew from one teacher."""

    counts: SampleCounts
    """Counts of the rationales, second steps aside."""

    enough: int | None = None
    """Questions that have as many right rationales as wanted; None where no number was."""

    right: int = 0
    """Right samples of those drawn until enough are right."""

    after_wrong: int = 0
    """Questions among ``enough`` of which no fewer samples were wrong than right."""


def generate(
    task: Task,
    teacher: Model,
    asking: PromptConfig,
    context: RunContext,
    *,
    enough_right: int | None = None,
    most_wrong: int | None = None,
    name: str = "the teacher",
) -> GenerateResult:
    """Draw rationales for every training question that does not yet have enough of them.

    They are drawn in two steps, rationale and then answer, where the style is Zero-shot-CoT's.

    Args:
        task: The questions; only the training split is asked about.
        teacher: The model that is asked.
        asking: How it is asked, from :func:`teacher_asking`.
        context: The run; what its store holds is not asked for again.
        enough_right: Draw for a question only until so many rationales are right; see
            :func:`draw_until_enough`.
        most_wrong: Leave a question once so many of its samples are wrong.
        name: How the teacher is called in the progress display.

    Raises:
        ModelError: The teacher cannot be asked, or all that was wanted of it failed or is empty.
    """
    label = f"rationales of {name}"
    if enough_right is not None:
        drawn = draw_until_enough(
            task,
            teacher,
            asking,
            context,
            enough=enough_right,
            most_wrong=most_wrong,
            label=label,
        )
    else:
        requests = asking.requests(task.splits["train"], task=task.name)
        drawn = GenerateResult(
            sample_requests(teacher, requests, asking, context, label=label, stage="generate")
        )
    drawn.counts.check_texts(teacher.name, context.store)
    return drawn


def draw_until_enough(
    task: Task,
    teacher: Model,
    asking: PromptConfig,
    context: RunContext,
    *,
    enough: int,
    label: str,
    most_wrong: int | None = None,
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
        teacher: The model that is asked.
        asking: How it is asked; ``asking.sampling.samples`` is the most samples of a question.
        context: The run, whose store takes the answers.
        enough: Right rationales wanted of each question.
        label: How the work is called in the progress display.
        most_wrong: Leave a question once so many of its samples are wrong.
    """
    questions, limit = task.splits["train"], asking.sampling.samples
    drawn, right = Counter[str](), Counter[str]()
    rounds: list[SampleCounts] = []

    def more_of(id_: str) -> int:
        return further_samples(drawn[id_], right[id_], enough, limit, most_wrong)

    while wanted := {
        question: range(drawn[question.id], drawn[question.id] + more)
        for question in questions
        if (more := more_of(question.id))
    }:
        requests = [
            replace(asking.request(question, task=task.name), samples=tuple(samples))
            for question, samples in wanted.items()
        ]
        label_ = f"{label}, round {len(rounds) + 1}"
        rounds.append(
            sample_requests(teacher, requests, asking, context, label=label_, stage="generate")
        )
        for question, samples in wanted.items():
            drawn[question.id] = samples.stop
            stored = answers(teacher.name, context.store, question, asking)
            right[question.id] += count_right(task, question, stored, samples)
    solved = [question.id for question in questions if right[question.id] >= enough]
    return GenerateResult(
        SampleCounts.total(rounds),
        enough=len(solved),
        right=right.total(),
        after_wrong=sum(drawn[id_] >= 2 * right[id_] for id_ in solved),
    )


def further_samples(
    asked: int, right: int, enough: int, limit: int, most_wrong: int | None = None
) -> int:
    """Returns how many more samples to draw of a question, ``right`` of whose ``asked`` are right.

    First as many as are wanted in the end. Then as many as should fill the gap at the question's
    own rate of success, taken as (right + 1) / (asked + 2) (Laplace's rule of succession), but no
    more than it has been asked for so far: a few failures say little. At most ``limit`` in all,
    and after the first round no more than it takes to have ``most_wrong`` wrong ones.
    """
    if right >= enough:
        return 0
    if asked and most_wrong is not None:
        limit = min(limit, right + most_wrong)
        if asked >= limit:
            return 0
    expected = math.ceil((enough - right) * (asked + 2) / (right + 1))
    return min(expected, asked or enough, limit - asked)


def count_right(
    task: Task, question: Question, found: Sequence[Answer], samples: Container[int]
) -> int:
    """Returns how many of these samples are right; one that was cut off is not.

    Args:
        task: Its grader decides.
        question: The question that was asked.
        found: The stored answers to it.
        samples: The samples that are counted, by index.
    """
    return sum(
        grade(task, answer.text, question).correct
        for answer in found
        if answer.sample in samples and answer.finished
    )
