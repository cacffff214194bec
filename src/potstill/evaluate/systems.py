"""The systems that are measured, each one model asked in one way, and the tasks they answer.

A recipe's teacher, starts and students become :class:`MeasuredSystem`, each of which holds its
identity, a :class:`potstill.records.System`, beside the means to ask it. The tasks become
:class:`EvalTask`, each as often as it is asked or graded in another way::

    baseline_systems(models, settings)           teacher, start_zero_shot, start, start_few_shot
    student_system(checkpoint, models, settings) rationales
    further_ways(student, checkpoint, ...)       rationales_vote, rationales_zero_shot_cot
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, GenericSettings, VoteSettings
from potstill.models import Model
from potstill.prompts.exemplars import FewShot, read_few_shot
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import Exemplar, shows_exemplars, style_named
from potstill.records import Checkpoint, Question, System, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import Answer, PromptConfig, SamplingParams, unheld
from potstill.tasks import measured_as


class AnswerJob(NamedTuple):
    """The questions that a system answers, and the run that keeps its answers."""

    task: str
    """The name of the questions' task."""

    questions: Sequence[Question]
    context: RunContext
    label: str
    """How the work is called in the progress display."""

    notes: list[str]
    """Takes what should be said of the answers, a sentence each."""


AnswerProcedure = Callable[[Model, AnswerJob], dict[str, list[Answer]]]
"""Comes to a system's answers, by question id, where it is not asked once."""


TaskRole = Literal["target", "out_of_distribution", "generic", "generic_other_rule", "further"]
"""``generic_other_rule``: a generic task under a rule that no choice counts by, for comparison."""


class EvalTask(NamedTuple):
    """One line of a table of results: a task, the way it is asked, the rule it is graded by."""

    task: Task
    """Named as the table names it."""

    role: TaskRole
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


class MeasuredSystem(NamedTuple):
    """One model and one way of asking it, with the means to ask."""

    system: System
    """Its identity, under which scores, predictions and comparisons are stored."""

    open: Callable[[], Model]
    """Loads the model; called only when the system is measured."""

    asking: PromptConfig
    """How it is asked; with more than one sample, its answer is the one most samples reach."""

    in_data_format: bool = False
    """Whether it is asked in a data format that is not its own."""

    answering: AnswerProcedure | None = None
    """How it answers by turns; None: it is asked once, or a vote is held."""

    @property
    def is_student(self) -> bool:
        """Whether it is a student as the recipe's rule chose it, asked as it was trained."""
        return self.system.step is not None and self.system.taken and not self.system.variant

    def answers(self, entry: EvalTask) -> bool:
        """Returns whether it is measured on an entry.

        All systems of a model would answer the same where the entry says how it is asked, and a
        pair cannot be asked so; a data format is for the task that was trained for and its family.
        """
        if not self.system.variant:
            return self.answering is None or entry.asking is None
        family = entry.role in ("target", "out_of_distribution")
        return entry.asking is None and (family or not self.in_data_format)


class Start(NamedTuple):
    """A model that students start from."""

    system: System
    """``start``, or ``start_NAME`` where a recipe has several."""

    open: Callable[[], Model]
    encoder_decoder: bool
    chat: bool = False
    """Whether its tokenizer has a chat template."""


class EvalModels(NamedTuple):
    """The models that are measured, and how each is opened."""

    teacher: Callable[[], Model]
    teacher_asking: PromptConfig
    """How the teacher was asked for rationales."""

    starts: tuple[Start, ...]
    open_student: Callable[[Checkpoint], Model]
    """Opens a student's checkpoint."""

    few_shot: FewShot | None = None
    """Worked questions; with them the starts are asked in a third way."""

    exemplars: tuple[Exemplar, ...] = ()
    """Worked training questions for data formats that show some, the same in the whole run."""


def baseline_systems(models: EvalModels, settings: EvaluateSettings) -> list[MeasuredSystem]:
    """Returns the teacher, and each start asked without and with reasoning; all greedy."""
    greedy = SamplingParams(max_tokens=settings.max_tokens)
    asking = greedy_teacher(models, settings)
    teacher = MeasuredSystem(System("teacher"), models.teacher, asking)
    systems = [teacher] if settings.teacher else []
    for start in models.starts:
        own_way = start_system(start, settings)
        plain = PromptConfig(style=style_named("zero_shot"), sampling=greedy)
        systems += [_variant(own_way, "zero_shot", plain), own_way]
        few_shot = models.few_shot
        if few_shot is not None and few_shot.exemplars:
            shown = PromptConfig(
                style=few_shot.style, sampling=greedy, exemplars=few_shot.exemplars
            )
            systems.append(_variant(own_way, "few_shot", shown))
        systems += formatted(start, own_way, models, settings)
    return systems


def greedy_teacher(models: EvalModels, settings: EvaluateSettings) -> PromptConfig:
    """Returns how the teacher is measured: asked as for rationales, but greedily."""
    return replace(models.teacher_asking, sampling=SamplingParams(max_tokens=settings.max_tokens))


def start_system(start: Start, settings: EvaluateSettings) -> MeasuredSystem:
    """Returns a start asked to reason, as it stands at the beginning of a training.

    A chat model is asked by instruction, as a teacher of the same weights would be; others by
    Zero-shot-CoT as it was published, where a rationale that is cut is asked for its answer, too.
    """
    asking = PromptConfig(
        style=style_named("instruct_cot" if start.chat else "zero_shot_cot"),
        sampling=settings.greedy,
        answers_cut=True,
    )
    return MeasuredSystem(start.system, start.open, asking)


def student_system(
    checkpoint: Checkpoint, models: EvalModels, settings: EvaluateSettings
) -> MeasuredSystem:
    """Returns a checkpoint, asked in the format it was trained on."""
    data_format = format_named(checkpoint.data_format)
    asking = _format_asking(
        data_format, models, settings, encoder_decoder=checkpoint.encoder_decoder
    )
    system = replace(checkpoint.system, step=checkpoint.step)
    return MeasuredSystem(system, partial(models.open_student, checkpoint), asking)


def further_ways(
    student: MeasuredSystem,
    checkpoint: Checkpoint,
    models: EvalModels,
    settings: EvaluateSettings,
    *,
    seed: int,
) -> Iterator[MeasuredSystem]:
    """Yields the same student by a vote, and in further data formats, as the settings say."""
    if settings.vote is not None:
        yield _variant(student, "vote", _voting(student.asking, settings.vote, seed))
    yield from formatted(checkpoint, student, models, settings)


def not_taken(student: MeasuredSystem) -> MeasuredSystem:
    """Returns the system of a checkpoint that only other selection rules would have taken."""
    return student._replace(system=replace(student.system, taken=False))


def formatted(
    model: Checkpoint | Start,
    own_way: MeasuredSystem,
    models: EvalModels,
    settings: EvaluateSettings,
) -> Iterator[MeasuredSystem]:
    """Yields a system asked in each further data format."""
    for data_format in map(format_named, settings.asked_in):
        asking = _format_asking(
            data_format, models, settings, encoder_decoder=model.encoder_decoder
        )
        if own_way.asking != asking:  # a student's own format is no further one
            yield _variant(own_way, data_format.name, asking)._replace(in_data_format=True)


def _variant(own_way: MeasuredSystem, variant: str, asking: PromptConfig) -> MeasuredSystem:
    """Returns the same model asked in another way."""
    return own_way._replace(system=replace(own_way.system, variant=variant), asking=asking)


def _format_asking(
    data_format: DataFormat,
    models: EvalModels,
    settings: EvaluateSettings,
    *,
    encoder_decoder: bool,
) -> PromptConfig:
    """Returns how a model is asked in a data format.

    Raises:
        ConfigError: The format shows worked questions, and there are none.
    """
    style = data_format.style(encoder_decoder=encoder_decoder)
    if shows_exemplars(style) and not models.exemplars:
        raise ConfigError(
            f"the data format {data_format.name} shows worked questions, and there are none: no "
            "rationale of a training question was kept. Run potstill curate first."
        )
    return PromptConfig(
        style=style,
        sampling=settings.greedy,
        exemplars=models.exemplars if shows_exemplars(style) else (),
    )


def _voting(asking: PromptConfig, settings: VoteSettings, seed: int) -> PromptConfig:
    """Returns the same way of asking with samples that a vote is held over."""
    sampling = replace(
        asking.sampling,
        samples=settings.samples,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=seed,
    )
    return replace(asking, sampling=sampling)


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
    """Returns everything that systems are measured on; the task trained for leads.

    Raises:
        ConfigError: A task lacks the questions it is needed for, two different sets have one name,
            or an exemplar of the recipe's own is a test question.
        DataError: The exemplars cannot be read.
    """
    by_name: dict[str, EvalTask] = {}
    for entry in _listed(tasks, settings):
        if by_name.setdefault(entry.name, entry).task != entry.task:
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
    return list(by_name.values())


def roles(listed: Sequence[EvalTask]) -> dict[str, str]:
    """Returns the role of each entry by its name."""
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
    """Yields a generic task in every style and under every rule."""
    for style in [style_named(asked).name for asked in settings.asked] or (None,):
        asking, notes = None, task.notes
        if style is not None:
            shown = _shown(style, task, settings, held)
            asking = PromptConfig(
                style=shown.style,
                sampling=SamplingParams(max_tokens=max_tokens),
                exemplars=shown.exemplars,
            )
            notes += shown.notes
        rules = settings.rules or (task.rule,)
        for rule in rules:
            named = measured_as(replace(task, rule=rule, notes=notes), style=style or "")
            yield EvalTask(named, "generic" if rule == rules[0] else "generic_other_rule", asking)


def _shown(name: str, task: Task, settings: GenericSettings, held: Sequence[Task]) -> FewShot:
    """Returns a prompt style with its worked questions, where it shows any."""
    style = style_named(name)
    if not shows_exemplars(style):
        return FewShot(style=style, exemplars=())
    assert settings.exemplars is not None  # the settings have seen to it
    return unheld(read_few_shot(settings.exemplars, task.name), held).worded(name)
