"""The two models of the guide stage: the chosen student and its teacher, and how each is asked.

:func:`guided_checkpoint` finds the student in the last evaluation, :func:`guided_pair` opens it and
sets both up as evaluation asks them.
"""

from dataclasses import replace

from potstill.errors import ConfigError
from potstill.evaluate import EvalModels, EvaluateSettings, student_system
from potstill.guide import GuideModels, GuideSettings
from potstill.guide.settings import QUESTION_STYLES
from potstill.models import Model
from potstill.pipeline.chosen_student import best_checkpoint, offered_checkpoints
from potstill.prompts.exemplars import FewShot
from potstill.prompts.formats import format_named
from potstill.prompts.styles import AnyStyle, shows_exemplars, style_named
from potstill.records import Checkpoint, System
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store


def guided_checkpoint(store: Store, task: str, student: str | None) -> Checkpoint:
    """The checkpoint that is guided.

    Args:
        store: Holds the last evaluation.
        task: The task trained for, by whose development accuracy evaluation chooses.
        student: The student's name; None takes the best one that writes rationales.

    Raises:
        ConfigError: Nothing was evaluated, there is no such student, or it writes no rationale.
    """
    names = [choice.system.label for choice in store.choices() if choice.used]
    if student is not None and student not in names:
        raise ConfigError(
            f"guide.student is {student!r}, which was not trained and evaluated; there are: "
            f"{', '.join(names) or 'none'}."
        )
    offered = offered_checkpoints(store, student)
    if not offered:
        raise ConfigError("there is no student to guide yet. Run potstill evaluate first.")
    reasoning = [
        checkpoint for checkpoint in offered if format_named(checkpoint.data_format).needs_rationale
    ]
    if not reasoning:
        raise ConfigError(
            f"{offered[0].system.label} answers in {offered[0].data_format}, without any step that "
            "could be guided. Name or train a student that writes rationales."
        )
    return best_checkpoint(store, task, reasoning)


def guided_pair(
    checkpoint: Checkpoint,
    models: EvalModels,
    evaluate: EvaluateSettings,
    guide: GuideSettings,
    *,
    teacher: Model,
    continues: bool,
    whole_steps: bool,
    start: System,
) -> GuideModels:
    """A checkpoint and its teacher, each asked as evaluation asks it.

    Args:
        checkpoint: The student.
        models: The models of the evaluate stage, and how they are asked.
        evaluate: The settings of the evaluate stage.
        guide: The settings of the guide stage.
        teacher: The model that guides the student.
        continues: Whether the teacher can go on from steps that are there.
        whole_steps: Whether it is a server that cannot.
        start: The start that the student was trained from.

    Raises:
        ConfigError: A style shows worked questions, and there are none or they lack something.
    """
    system = student_system(checkpoint, models, evaluate)
    asking = _limited(system.asking, guide.max_tokens)
    if asking.style.answer_cue:
        raise ConfigError(
            f"the student {checkpoint.system.label} is asked in two steps "
            f"({asking.style.name}); only answers that are written in one can be guided."
        )
    greedy = SamplingParams(max_tokens=evaluate.max_tokens)
    teacher_asking = replace(models.teacher_asking, sampling=greedy)
    data_format = format_named(checkpoint.data_format)
    return GuideModels(
        student=system.open(),
        student_asking=asking,
        lead=data_format.lead(encoder_decoder=checkpoint.encoder_decoder),
        teacher=teacher,
        teacher_asking=teacher_asking,
        question_asking=(
            _question_asking(teacher_asking, models.few_shot)
            if guide.asks_for_questions
            else teacher_asking
        ),
        continues=continues,
        whole_steps=whole_steps,
        start=next(model.open for model in models.starts if model.system == start),
        self_asking={
            style_named(style).name: _self_asking(style, models.few_shot, asking.sampling)
            for style in guide.self_guidance
        },
    )


def _limited(asking: PromptConfig, max_tokens: int | None) -> PromptConfig:
    if max_tokens is None:
        return asking
    return replace(asking, sampling=replace(asking.sampling, max_tokens=max_tokens))


def _question_asking(asking: PromptConfig, few_shot: FewShot | None) -> PromptConfig:
    """How a teacher is asked for the question to begin with: as for an answer, in quest_cot."""
    shown, in_chat, plain = QUESTION_STYLES
    if shows_exemplars(asking.style) and few_shot is not None:
        return replace(asking, style=few_shot.worded(shown).style)
    return replace(asking, style=style_named(in_chat if asking.style.chat else plain))


def _self_asking(
    named: AnyStyle, few_shot: FewShot | None, sampling: SamplingParams
) -> PromptConfig:
    """How the student's start is asked to guide itself in a prompt style."""
    style = style_named(named)
    if not shows_exemplars(style):
        return PromptConfig(style=style, sampling=sampling)
    if few_shot is None or not few_shot.exemplars:
        raise ConfigError(
            f"guide.self_guidance names {style.name}, which shows worked questions, and there are "
            "none. Give exemplars, or take its zero-shot style."
        )
    return PromptConfig(
        style=few_shot.worded(named).style, sampling=sampling, exemplars=few_shot.exemplars
    )
