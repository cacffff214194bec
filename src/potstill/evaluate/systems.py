"""Systems: the models that are measured, each in one way of asking.

What systems are measured on: tasks, each as often as it is asked or graded in another way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, GenericSettings, VoteSettings
from potstill.models import Model
from potstill.prompts.exemplars import FewShot, read_few_shot
from potstill.prompts.formats import format_named
from potstill.prompts.styles import Exemplar, shows_exemplars, style_named
from potstill.records import Checkpoint, Question, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import Answer, PromptConfig, SamplingParams, unheld
from potstill.store import Store
from potstill.tasks import measured_as


class AnswerJob(NamedTuple):
    """What a system is asked, and where its answers are kept."""

    questions: Sequence[Question]
    store: Store
    meter: Meter
    label: str
    """What the meter calls it."""

    notes: list[str]
    """Takes what should be said of the answers."""


AnswerProcedure = Callable[[Model, AnswerJob], dict[str, list[Answer]]]
"""How a system comes to its answers, by question id, where it is not asked once."""


Role = Literal["target", "out_of_distribution", "generic", "generic_other_rule", "further"]
"""``generic_other_rule``: a generic task under a rule that no choice counts by, for comparison."""


class EvalTask(NamedTuple):
    """One line of a table of results: a task, the way it is asked, the rule it is graded by."""

    task: Task
    """Named as the table names it."""

    role: Role
    asking: PromptConfig | None = None
    """How every system is asked; None: each in its own way."""

    @property
    def name(self) -> str:
        """Unique in a run."""
        return self.task.name

    @property
    def followed(self) -> bool:
        """Whether every checkpoint is scored on its development questions."""
        return self.role != "further"


class System(NamedTuple):
    """One model and one way of asking it."""

    name: str
    step: int | None
    open: Callable[[], Model]
    """Loads the model; called only when the system is measured."""

    asking: PromptConfig
    """How it is asked; with more than one sample, its answer is the one most samples reach."""

    model: str
    """What all systems of one model share: ``teacher``, ``start``, a student's name."""

    kind: Literal["first", "further", "data_format", "not_taken"] = "first"
    """The model's first system, one asked in a further way or in a further data format, or a
    checkpoint that only another selection rule would have taken."""

    answering: AnswerProcedure | None = None
    """How it answers by turns; None: it is asked once, or a vote is held."""

    @property
    def is_student(self) -> bool:
        """Whether it is a student as the recipe's rule chose it, asked as it was trained."""
        return self.step is not None and self.kind == "first"

    def answers(self, entry: EvalTask) -> bool:
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


class EvalModels(NamedTuple):
    """Who is measured, and how models are opened."""

    teacher: Callable[[], Model]
    teacher_asking: PromptConfig
    """How the teacher was asked for rationales."""

    starts: tuple[Start, ...]
    open_student: Callable[[str], Model]
    """Opens a checkpoint by its folder, as the store names it."""

    few_shot: FewShot | None = None
    """Worked questions; with them the starts are asked in a third way."""

    exemplars: tuple[Exemplar, ...] = ()
    """Worked training questions for data formats that show some, the same in the whole run."""


def baseline_systems(contenders: EvalModels, settings: EvaluateSettings) -> list[System]:
    """The teacher, and each start asked without and with reasoning; all greedy."""
    greedy = SamplingParams(max_tokens=settings.max_tokens)
    asking = greedy_teacher(contenders, settings)
    systems = [System("teacher", None, contenders.teacher, asking, "teacher")]
    for start in contenders.starts:
        name = start.name
        plain = PromptConfig(style=style_named("zero_shot"), sampling=greedy)
        systems += [
            System(f"{name}_zero_shot", None, start.open, plain, name, "further"),
            start_system(start, settings),
        ]
        few_shot = contenders.few_shot
        if few_shot is not None and few_shot.exemplars:
            shown = PromptConfig(
                style=few_shot.style, sampling=greedy, exemplars=few_shot.exemplars
            )
            systems.append(System(f"{name}_few_shot", None, start.open, shown, name, "further"))
        formats = formatted(start, start_system(start, settings), contenders, settings)
        systems += formats
    return systems


def greedy_teacher(contenders: EvalModels, settings: EvaluateSettings) -> PromptConfig:
    """How the teacher is measured: asked as for rationales, but greedily."""
    return replace(
        contenders.teacher_asking, sampling=SamplingParams(max_tokens=settings.max_tokens)
    )


def start_system(start: Start, settings: EvaluateSettings) -> System:
    """A start asked by Zero-shot-CoT, as it stands at the beginning of a training."""
    sampling = SamplingParams(max_tokens=settings.max_tokens)
    asking = PromptConfig(style=style_named("zero_shot_cot"), sampling=sampling)
    return System(start.name, None, start.open, asking, start.name)


def student_system(
    checkpoint: Checkpoint, contenders: EvalModels, settings: EvaluateSettings
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
    contenders: EvalModels,
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
    model: Checkpoint | Start, system: System, contenders: EvalModels, settings: EvaluateSettings
) -> Iterator[System]:
    """A system asked in each further data format."""
    for name in settings.asked_in:
        asking = _format_asking(name, contenders, settings, encoder_decoder=model.encoder_decoder)
        if system.asking != asking:  # a student's own format is no further one
            yield system._replace(name=f"{system.name}_{name}", asking=asking, kind="data_format")


def _format_asking(
    name: str, contenders: EvalModels, settings: EvaluateSettings, *, encoder_decoder: bool
) -> PromptConfig:
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
    return PromptConfig(
        style=style,
        sampling=SamplingParams(max_tokens=settings.max_tokens),
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


class TaskSets(NamedTuple):
    """The tasks of a run by what they are for."""

    target: Task
    """The task that is trained for."""

    out_of_distribution: tuple[Task, ...] = ()
    generic: tuple[Task, ...] = ()
    further: tuple[Task, ...] = ()

    @property
    def others(self) -> list[Task]:
        """All but the target, each once."""
        listed = (*self.out_of_distribution, *self.generic, *self.further)
        return [task for place, task in enumerate(listed) if task not in listed[:place]]


def entries(tasks: TaskSets, settings: EvaluateSettings) -> list[EvalTask]:
    """Everything that systems are measured on; the task trained for leads.

    Raises:
        ConfigError: A task lacks the questions it is needed for, two different sets have one name,
            or an exemplar of the recipe's own is a test question.
        DataError: The exemplars cannot be read.
    """
    found: dict[str, EvalTask] = {}
    for entry in _listed(tasks, settings):
        if found.setdefault(entry.name, entry).task != entry.task:
            raise ConfigError(
                f"evaluate: {entry.name} is listed twice with different questions or rules. Give "
                "both the same settings, or list it once."
            )
        for split in ("dev", "test") if entry.followed else ("test",):
            if not entry.task.splits[split]:
                raise ConfigError(
                    f"evaluate: {entry.name} has no {split} questions. Set its {split} count; a "
                    "set that is published for testing only has them with split: hash."
                )
    return list(found.values())


def roles(listed: Sequence[EvalTask]) -> dict[str, str]:
    """What each entry is for, by its name."""
    return {entry.name: entry.role for entry in listed}


def _listed(tasks: TaskSets, settings: EvaluateSettings) -> Iterator[EvalTask]:
    yield EvalTask(tasks.target, "target")
    for task in tasks.out_of_distribution:
        yield EvalTask(task, "out_of_distribution")
    if settings.generic is not None:
        held = [tasks.target, *tasks.others]
        for task in tasks.generic:
            yield from _generic(task, settings.generic, held, settings.max_tokens)
    for task in tasks.further:
        yield EvalTask(task, "further")


def _generic(
    task: Task, settings: GenericSettings, held: Sequence[Task], max_tokens: int
) -> Iterator[EvalTask]:
    """A generic task in every style and under every rule."""
    for style in settings.asked or (None,):
        asking, notes = None, task.notes
        if style is not None:
            shown = _shown(style, task, settings, held)
            asking = PromptConfig(
                style=shown.style,
                sampling=SamplingParams(max_tokens=max_tokens),
                exemplars=shown.exemplars,
            )
            notes += shown.notes
        for rule in settings.rules or (task.rule,):
            named = measured_as(replace(task, rule=rule, notes=notes), style=style or "")
            first = rule == (settings.rules or (task.rule,))[0]
            yield EvalTask(named, "generic" if first else "generic_other_rule", asking)


def _shown(name: str, task: Task, settings: GenericSettings, held: Sequence[Task]) -> FewShot:
    """A prompt style with its worked questions, where it shows any."""
    style = style_named(name)
    if not shows_exemplars(style):
        return FewShot(style=style, exemplars=())
    assert settings.exemplars is not None  # the settings have seen to it
    return unheld(read_few_shot(settings.exemplars, task.name), held).worded(name)
