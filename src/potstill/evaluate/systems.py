"""Systems: the models that are measured, each in one way of asking."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

from potstill.asking import Answer, Asking, Sampling
from potstill.errors import ConfigError
from potstill.evaluate.entries import Entry
from potstill.evaluate.settings import EvaluateSettings, VoteSettings
from potstill.models import Model
from potstill.progress import Meter
from potstill.prompts.exemplars import FewShot
from potstill.prompts.formats import format_named
from potstill.prompts.styles import Exemplar, shows_exemplars, style_named
from potstill.records import Checkpoint, Question
from potstill.store import Store


class Asked(NamedTuple):
    """What a system is asked, and where its answers are kept."""

    questions: Sequence[Question]
    store: Store
    meter: Meter
    label: str
    """What the meter calls it."""

    notes: list[str]
    """Takes what should be said of the answers."""


Answering = Callable[[Model, Asked], dict[str, list[Answer]]]
"""How a system comes to its answers, by question id, where it is not asked once."""


class System(NamedTuple):
    """One model and one way of asking it."""

    name: str
    step: int | None
    open: Callable[[], Model]
    """Loads the model; called only when the system is measured."""

    asking: Asking
    """How it is asked; with more than one sample, its answer is the one most samples reach."""

    model: str
    """What all systems of one model share: ``teacher``, ``start``, a student's name."""

    kind: Literal["first", "further", "data_format", "not_taken"] = "first"
    """The model's first system, one asked in a further way or in a further data format, or a
    checkpoint that only another selection rule would have taken."""

    answering: Answering | None = None
    """How it answers by turns; None: it is asked once, or a vote is held."""

    @property
    def is_student(self) -> bool:
        """Whether it is a student as the recipe's rule chose it, asked as it was trained."""
        return self.step is not None and self.kind == "first"

    def answers(self, entry: Entry) -> bool:
        """Whether it is measured on an entry.

        All systems of a model would answer the same where the entry says how it is asked, and a
        pair cannot be asked so; a data format is for the task that was trained for and its family.
        """
        if self.kind in ("first", "not_taken"):
            return self.answering is None or entry.asking is None
        family = entry.role in ("target", "out_of_distribution")
        return entry.asking is None and (family or self.kind == "further")


class Start(NamedTuple):
    """A model that students start from."""

    name: str
    """``start``, or ``start_NAME`` where a recipe has several."""

    open: Callable[[], Model]
    encoder_decoder: bool


class Contenders(NamedTuple):
    """Who is measured, and how models are opened."""

    teacher: Callable[[], Model]
    teacher_asking: Asking
    """How the teacher was asked for rationales."""

    starts: tuple[Start, ...]
    open_student: Callable[[str], Model]
    """Opens a checkpoint by its folder, as the store names it."""

    few_shot: FewShot | None = None
    """Worked questions; with them the starts are asked in a third way."""

    exemplars: tuple[Exemplar, ...] = ()
    """Worked training questions for data formats that show some, the same in the whole run."""


def baseline_systems(contenders: Contenders, settings: EvaluateSettings) -> list[System]:
    """The teacher, and each start asked without and with reasoning; all greedy."""
    greedy = Sampling(max_tokens=settings.max_tokens)
    asking = greedy_teacher(contenders, settings)
    systems = [System("teacher", None, contenders.teacher, asking, "teacher")]
    for start in contenders.starts:
        name = start.name
        plain = Asking(style=style_named("zero_shot"), sampling=greedy)
        systems += [
            System(f"{name}_zero_shot", None, start.open, plain, name, "further"),
            start_system(start, settings),
        ]
        few_shot = contenders.few_shot
        if few_shot is not None and few_shot.exemplars:
            shown = Asking(style=few_shot.style, sampling=greedy, exemplars=few_shot.exemplars)
            systems.append(System(f"{name}_few_shot", None, start.open, shown, name, "further"))
        formats = formatted(start, start_system(start, settings), contenders, settings)
        systems += formats
    return systems


def greedy_teacher(contenders: Contenders, settings: EvaluateSettings) -> Asking:
    """How the teacher is measured: asked as for rationales, but greedily."""
    return replace(contenders.teacher_asking, sampling=Sampling(max_tokens=settings.max_tokens))


def start_system(start: Start, settings: EvaluateSettings) -> System:
    """A start asked by Zero-shot-CoT, as it stands at the beginning of a training."""
    sampling = Sampling(max_tokens=settings.max_tokens)
    asking = Asking(style=style_named("zero_shot_cot"), sampling=sampling)
    return System(start.name, None, start.open, asking, start.name)


def student_system(
    checkpoint: Checkpoint, contenders: Contenders, settings: EvaluateSettings
) -> System:
    """A checkpoint, asked in the format it was trained on."""
    asking = _format_asking(
        checkpoint.data_format, contenders, settings, encoder_decoder=checkpoint.encoder_decoder
    )
    student, opened = checkpoint.student, partial(contenders.open_student, checkpoint.folder)
    return System(student, checkpoint.step, opened, asking, student)


def further_ways(
    student: System,
    checkpoint: Checkpoint,
    contenders: Contenders,
    settings: EvaluateSettings,
    *,
    seed: int,
) -> Iterator[System]:
    """The same student by a vote, and asked in further data formats, as the settings say."""
    if settings.vote is not None:
        yield _voting(student, settings.vote, seed)
    yield from formatted(checkpoint, student, contenders, settings)


def not_taken(system: System) -> System:
    """A checkpoint that only other selection rules would have taken."""
    return system._replace(name=f"{system.name}@{system.step}", kind="not_taken")


def formatted(
    model: Checkpoint | Start, system: System, contenders: Contenders, settings: EvaluateSettings
) -> Iterator[System]:
    """A system asked in each further data format."""
    for name in settings.asked_in:
        asking = _format_asking(name, contenders, settings, encoder_decoder=model.encoder_decoder)
        if system.asking != asking:  # a student's own format is no further one
            yield system._replace(name=f"{system.name}_{name}", asking=asking, kind="data_format")


def _format_asking(
    name: str, contenders: Contenders, settings: EvaluateSettings, *, encoder_decoder: bool
) -> Asking:
    """How a model is asked in a data format.

    Raises:
        ConfigError: The format shows worked questions, and there are none.
    """
    style = format_named(name).style(encoder_decoder=encoder_decoder)
    if shows_exemplars(style) and not contenders.exemplars:
        raise ConfigError(
            f"the data format {name} shows worked questions, and there are none: no rationale of "
            "a training question was kept. Run potstill curate first."
        )
    return Asking(
        style=style,
        sampling=Sampling(max_tokens=settings.max_tokens),
        exemplars=contenders.exemplars if shows_exemplars(style) else (),
    )


def _voting(student: System, settings: VoteSettings, seed: int) -> System:
    """The same student, answering by a vote over samples."""
    sampling = replace(
        student.asking.sampling,
        samples=settings.samples,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=seed,
    )
    return student._replace(
        name=f"{student.name}_vote",
        asking=replace(student.asking, sampling=sampling),
        kind="further",
    )
