"""The generate stage: questions → completions of the teacher."""

from potstill.asking import Asking, Sampling, ask_questions
from potstill.errors import ConfigError
from potstill.generate.adaptive import Drawn, draw_until_enough
from potstill.generate.settings import GenerateSettings
from potstill.models.base import Model
from potstill.progress import Meter
from potstill.prompts.exemplars import FewShot
from potstill.prompts.styles import shows_exemplars, style_named
from potstill.records import Task, Teacher
from potstill.store import Store


def teacher_asking(
    teacher: Model | Teacher,
    settings: GenerateSettings,
    *,
    seed: int,
    few_shot: FewShot | None = None,
) -> Asking:
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
    return Asking(
        style=style,
        sampling=Sampling(
            samples=settings.samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            top_logprobs=settings.top_logprobs,
            seed=seed,
        ),
        exemplars=few_shot.exemplars if few_shot and shows_exemplars(style) else (),
    )


def generate(
    task: Task,
    teacher: Model,
    store: Store,
    asking: Asking,
    meter: Meter,
    *,
    enough_right: int | None = None,
    name: str = "the teacher",
) -> Drawn:
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
            :func:`potstill.generate.adaptive.draw_until_enough`.
        name: What the meter calls the teacher.
    """
    label = f"rationales of {name}"
    if enough_right is not None:
        return draw_until_enough(
            task, teacher, store, asking, meter, enough=enough_right, label=label
        )
    questions = task.splits["train"]
    return Drawn(
        ask_questions(teacher, store, questions, asking, meter, label=label, stage="generate")
    )
