"""The generate stage: questions → completions of the teacher."""

from potstill.asking import AskCounts, Asking, Sampling, ask_questions
from potstill.errors import ConfigError
from potstill.generate.settings import GenerateSettings
from potstill.models.base import Model
from potstill.progress import Meter
from potstill.prompts.styles import Exemplar, style_named
from potstill.records import Task
from potstill.store import Store


def teacher_asking(teacher: Model, settings: GenerateSettings, *, seed: int) -> Asking:
    """How the teacher is asked for rationales.

    Args:
        teacher: The model; chat models are asked by instruction, others by Zero-shot-CoT.
        settings: Of the generate stage.
        seed: The run's seed.
    """
    default = "instruct_cot" if teacher.chat else "zero_shot_cot"
    return Asking(
        style=style_named(settings.prompt_style or default),
        sampling=Sampling(
            samples=settings.samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            top_logprobs=settings.top_logprobs,
            seed=seed,
        ),
        exemplars=tuple(
            Exemplar(question=shown.question, rationale=shown.rationale, answer=shown.answer)
            for shown in settings.exemplars
        ),
    )


def generate(task: Task, teacher: Model, store: Store, asking: Asking, meter: Meter) -> AskCounts:
    """Draw rationales for every training question that does not yet have enough of them.

    Diverse reasoning of Fine-tune-CoT (arXiv 2212.10071, section 3); in two steps, rationale and
    then answer, where the style is Zero-shot-CoT's.

    Args:
        task: The questions; only the training split is asked about.
        teacher: Whom to ask.
        store: Where completions go; what is there is not asked for again.
        asking: How to ask, from :func:`teacher_asking`.
        meter: Shown the progress.

    Raises:
        ConfigError: An exemplar is one of the test questions.
    """
    test_texts = {question.text for question in task.splits["test"]}
    for exemplar in asking.exemplars:
        if exemplar.question in test_texts:
            raise ConfigError(
                f"the exemplar {exemplar.question[:60]!r} is a test question of {task.name}; "
                "an accuracy measured after showing it would be worth nothing. Take another."
            )
    label = "rationales of the teacher"
    questions = task.splits["train"]
    return ask_questions(teacher, store, questions, asking, meter, label=label, stage="generate")
