"""Whom the guide stage pairs: the chosen student and its teacher, with how each is asked."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

from potstill.errors import ConfigError
from potstill.evaluate import EvalModels, EvaluateSettings, student_system
from potstill.guide import GuideModels, GuideSettings
from potstill.models import Model
from potstill.models.background import completions
from potstill.prompts.exemplars import FewShot
from potstill.prompts.formats import format_named
from potstill.prompts.styles import shows_exemplars, style_named
from potstill.records import Checkpoint, Completion, Request, Teacher
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store


class LaterModel(Model):
    """A model that is opened when it is first asked for something that is not stored."""

    def __init__(self, known: Teacher, open_model: Callable[[], Model]) -> None:
        self.name, self.chat = known.name, known.chat
        self._open = open_model

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Model`."""
        return self._open().complete(requests)

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answer requests; see :class:`potstill.models.interface.Grouping`."""
        return completions(self._open(), requests)


def guided_checkpoint(store: Store, task: str, student: str | None) -> Checkpoint:
    """The checkpoint that is guided.

    Args:
        store: Holds the last evaluation.
        task: The task trained for, by whose development accuracy evaluation chooses.
        student: Take this student's; None: of the best one that writes rationales.

    Raises:
        ConfigError: Nothing was evaluated, there is no such student, or it writes no rationale.
    """
    chosen = [choice for choice in store.choices() if choice.used]
    names = [choice.student for choice in chosen]
    if student is not None and student not in names:
        raise ConfigError(
            f"guide.student is {student!r}, which was not trained and evaluated; there are: "
            f"{', '.join(names) or 'none'}."
        )
    by_step = {(each.student, each.step): each for each in store.checkpoints()}
    offered = [
        by_step[choice.student, choice.step]
        for choice in chosen
        if student in (None, choice.student) and (choice.student, choice.step) in by_step
    ]
    if not offered:
        raise ConfigError("there is no student to guide yet. Run potstill evaluate first.")
    reasoning = [each for each in offered if format_named(each.data_format).needs_rationale]
    if not reasoning:
        raise ConfigError(
            f"{offered[0].student} answers in {offered[0].data_format}, without any step that "
            "could be guided. Name or train a student that writes rationales."
        )
    correct = {
        (score.system, score.step): score.correct
        for score in store.scores()
        if (score.task, score.split) == (task, "dev")
    }
    return max(reversed(reasoning), key=lambda each: correct.get((each.student, each.step), -1))


def guided_pair(
    checkpoint: Checkpoint,
    contenders: EvalModels,
    evaluate: EvaluateSettings,
    guide: GuideSettings,
    *,
    teacher: Model,
    continues: bool,
    start: str,
) -> GuideModels:
    """A checkpoint and its teacher, each asked as evaluation asks it.

    Args:
        checkpoint: The student.
        contenders: Opens the models, and says how they are asked.
        evaluate: Of the evaluate stage.
        guide: Of the guide stage.
        teacher: Whom the student is guided by.
        continues: Whether the teacher can go on from steps that are there.
        start: The name of the start that the student was trained from.

    Raises:
        ConfigError: A style shows worked questions, and there are none or they lack something.
    """
    system = student_system(checkpoint, contenders, evaluate)
    asking = _limited(system.asking, guide.max_tokens)
    if asking.style.answer_cue:
        raise ConfigError(
            f"the student {checkpoint.student} is asked in two steps ({asking.style.name}); only "
            "answers that are written in one can be guided."
        )
    greedy = SamplingParams(max_tokens=evaluate.max_tokens)
    teacher_asking = replace(contenders.teacher_asking, sampling=greedy)
    asks = guide.kind == "question" or "question" in guide.controls
    data_format = format_named(checkpoint.data_format)
    return GuideModels(
        student=system.open(),
        student_asking=asking,
        lead=data_format.lead(encoder_decoder=checkpoint.encoder_decoder),
        teacher=teacher,
        teacher_asking=teacher_asking,
        question_asking=_question_asking(teacher_asking, contenders) if asks else teacher_asking,
        continues=continues,
        start=next(each.open for each in contenders.starts if each.name == start),
        self_asking={
            name: _self_asking(name, contenders.few_shot, asking.sampling)
            for name in guide.self_guidance
        },
    )


def _limited(asking: PromptConfig, max_tokens: int | None) -> PromptConfig:
    if max_tokens is None:
        return asking
    return replace(asking, sampling=replace(asking.sampling, max_tokens=max_tokens))


def _question_asking(asking: PromptConfig, contenders: EvalModels) -> PromptConfig:
    """How a teacher is asked for the question to begin with: as for an answer, in quest_cot."""
    few_shot = contenders.few_shot
    if shows_exemplars(asking.style) and few_shot is not None:
        return replace(asking, style=few_shot.worded("quest_cot").style)
    name = "instruct_quest_cot" if asking.style.chat else "zero_shot_quest_cot"
    return replace(asking, style=style_named(name))


def _self_asking(name: str, few_shot: FewShot | None, sampling: SamplingParams) -> PromptConfig:
    style = style_named(name)
    if not shows_exemplars(style):
        return PromptConfig(style=style, sampling=sampling)
    if few_shot is None or not few_shot.exemplars:
        raise ConfigError(
            f"guide.self_guidance names {name}, which shows worked questions, and there are none. "
            "Give exemplars, or take its zero-shot style."
        )
    return PromptConfig(
        style=few_shot.worded(name).style, sampling=sampling, exemplars=few_shot.exemplars
    )
