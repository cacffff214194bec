"""Pairs of students that answer by sub-questions in turn, as systems beside all others.

Socratic chains of thought at inference (arXiv 2212.00193, section 3): a questioner asks the next
sub-question and a solver answers it, until the questioner finds it done. No teacher is asked::

    questioner  How many apples are there?
    solver      There are 3 + 4 = 7 apples.
    questioner  How many are left?
    solver      7 - 2 = 5 are left. The answer is 5.

:func:`alternate` writes an answer as a generator that yields the next turn and is sent what came;
it opens no model. :func:`pair_system` makes a pair a system, which takes the turns of all questions
together, round by round.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, PairSettings
from potstill.evaluate.systems import AnswerJob, EvalModels, MeasuredSystem, greedy_teacher
from potstill.models import Model
from potstill.prompts.decomposition import (
    Part,
    Role,
    asked_next,
    counted,
    decomposed,
    to_solve,
    told,
    transcript,
)
from potstill.prompts.formats import FORMAT_OF, format_named
from potstill.records import Checkpoint, FinishReason, Question, Request, System
from potstill.runtime.progress import Meter
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SamplingParams,
    answers,
    complete_missing,
    sample_requests,
)
from potstill.sampling.rounds import drive_in_batches
from potstill.store import StoredCompletion

STAGE = "evaluate"
"""The stage that pays for the turns."""


class PairCheckpoint(NamedTuple):
    """A pair as it stands at one moment of its trainings."""

    questioner: Checkpoint
    solver: Checkpoint

    @property
    def step(self) -> int:
        """Optimiser steps behind the pair; those of a student with both roles count once."""
        apart = self.questioner.system != self.solver.system
        return self.solver.step + (self.questioner.step if apart else 0)


def pair_checkpoints(
    name: str, settings: PairSettings, checkpoints: Sequence[Checkpoint]
) -> list[PairCheckpoint]:
    """Returns a pair's students at their first checkpoints, then at their second ones, and so on.

    Where one student has fewer, its last one stands in.

    Args:
        name: The pair's name in the recipe.
        settings: The pair's settings, which name its two students.
        checkpoints: The checkpoints of all students, oldest first.

    Raises:
        ConfigError: One of the two has no checkpoint.
    """
    trained: dict[str, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        trained.setdefault(checkpoint.system.label, []).append(checkpoint)
    for student in (settings.questioner, settings.solver):
        if student not in trained:
            raise ConfigError(
                f"evaluate.socratic.{name} names {student}, which has no checkpoint; there are: "
                f"{', '.join(sorted(trained)) or 'none'}. Run potstill train."
            )
    questioners, solvers = trained[settings.questioner], trained[settings.solver]
    return [
        PairCheckpoint(asks or questioners[-1], solves or solvers[-1])
        for asks, solves in zip_longest(questioners, solvers)
    ]


def pair_system(
    name: str,
    pair: PairCheckpoint,
    models: EvalModels,
    settings: EvaluateSettings,
    *,
    teacher_asks: bool = False,
) -> MeasuredSystem:
    """Returns a pair at one moment of its trainings, answering by turns.

    Args:
        name: The pair's name in the recipe.
        pair: The two students' checkpoints.
        models: Opens the models, and says how the teacher is asked.
        settings: How systems are measured; holds the pair's own settings.
        teacher_asks: Put the teacher's sub-questions in the place of the questioner's, as a system
            of its own. It is a bound, not a way to answer: who asks the right sub-questions has
            solved most of it.
    """
    pair_settings = settings.socratic[name]
    asking = {
        role: _asking(role, pair.solver if role == "solver" else pair.questioner, pair_settings)
        for role in FORMAT_OF
    }
    open_questioner = partial(models.open_student, pair.questioner)
    turns = _TurnTaking(
        settings=pair_settings,
        open_questioner=None if teacher_asks else open_questioner,
        same_model=pair.questioner.folder == pair.solver.folder,
        open_teacher=models.teacher,
        teacher_asking=greedy_teacher(models, settings),
        asking=asking,
    )
    return MeasuredSystem(
        system=System(name, variant="teacher_questions" if teacher_asks else "", step=pair.step),
        open=partial(models.open_student, pair.solver),
        asking=asking["solver"],
        answering=turns.answer_all,
    )


def _asking(role: Role, student: Checkpoint, settings: PairSettings) -> PromptConfig:
    """Returns how a student is asked for one turn; greedily."""
    style = format_named(FORMAT_OF[role]).style(encoder_decoder=student.encoder_decoder)
    return PromptConfig(style=style, sampling=SamplingParams(max_tokens=settings.turn_tokens))


class SubquestionPlan(NamedTuple):
    """The part of a question's decomposition that the questioner does not write itself."""

    questions: tuple[str, ...] = ()
    """Sub-questions in the place of the questioner's; empty: it asks its own."""

    number: int | None = None
    """How many the questioner is told there are; None: it is not told."""


class NextTurn(NamedTuple):
    """A turn that is wanted next."""

    role: Role
    question: Question
    """The question as it is put to the student."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _TurnTaking:
    """How a pair comes to its answers: in rounds, each student asked for all its turns at once."""

    settings: PairSettings
    open_questioner: Callable[[], Model] | None
    """None: the teacher's sub-questions stand in the place of its own."""

    same_model: bool
    """Whether the solver is the questioner too."""

    open_teacher: Callable[[], Model]
    teacher_asking: PromptConfig
    asking: Mapping[Role, PromptConfig]

    def answer_all(self, solver: Model, job: AnswerJob) -> dict[str, list[Answer]]:
        """Returns the pair's answers, by question id; none to a question of which a turn failed.

        Every turn is kept in the store: what was interrupted goes on at the turn where it was.
        """
        plans = self._plans(job)
        config = SocraticConfig(
            most=self.settings.most_questions, counts=self.settings.count == "own"
        )
        models = self._models(solver)
        exchanges = {
            question.id: alternate(question, config, plans[question.id])
            for question in job.questions
        }
        progress = job.context.progress
        with progress.stage(job.label, total=len(exchanges), unit="questions") as advance:
            left = len(exchanges)

            def take_turns(turns: Sequence[NextTurn]) -> list[StoredCompletion | None]:
                nonlocal left
                stored = self._take_turns(turns, models, job)
                completions = [turn.completion for turn in stored if turn is not None]
                tokens = sum(completion.completion_tokens for completion in completions)
                cost = sum(completion.cost for completion in completions)
                advance(left - len(turns), tokens, cost)
                left = len(turns)
                return stored

            written = drive_in_batches(exchanges, take_turns)
            advance(left, 0, 0.0)
        return {question_id: _as_answer(answer) for question_id, answer in written.items()}

    def _models(self, solver: Model) -> dict[Role, Model]:
        """Returns the model that takes each role's turns."""
        shared = self.same_model or self.open_questioner is None
        questioner = solver if shared or not self.open_questioner else self.open_questioner()
        return {role: solver if role == "solver" else questioner for role in FORMAT_OF}

    def _take_turns(
        self, turns: Sequence[NextTurn], models: Mapping[Role, Model], job: AnswerJob
    ) -> list[StoredCompletion | None]:
        """Returns the completion of each turn, from the store; None where it failed."""
        requests = [self.asking[turn.role].request(turn.question, task=job.task) for turn in turns]
        by_role: dict[Role, list[Request]] = {}
        for turn, request in zip(turns, requests, strict=True):
            by_role.setdefault(turn.role, []).append(request)
        # The questions have a view of their own; the turns of a round get none beside it.
        unseen = replace(job.context, progress=Meter(None, job.context.runtime))
        for role, asked in by_role.items():
            label = f"{job.label}, {role}"
            complete_missing(models[role], asked, unseen, label=label, stage=STAGE)
        stored = [
            job.context.store.completions(models[turn.role].name, request)
            for turn, request in zip(turns, requests, strict=True)
        ]
        return [next(iter(completions), None) for completions in stored]

    def _plans(self, job: AnswerJob) -> dict[str, SubquestionPlan]:
        """Returns what the teacher gives of each question's decomposition, where it gives any."""
        if self.open_questioner is not None and self.settings.count != "teacher":
            return {question.id: SubquestionPlan() for question in job.questions}
        teacher, asking, store = self.open_teacher(), self.teacher_asking, job.context.store
        requests = asking.requests(job.questions, task=job.task)
        label = f"{job.label}, teacher"
        sample_requests(teacher, requests, asking, job.context, label=label, stage=STAGE)
        plans, silent = {}, 0
        for question in job.questions:
            rationales = answers(teacher.name, store, question, asking)
            parts = decomposed(rationales[0].reasoning) if rationales else ()
            silent += not parts
            whole = " ".join(question.text.split())
            subquestions = tuple(part.question for part in parts) or (whole,)
            plans[question.id] = (
                SubquestionPlan(questions=subquestions)
                if self.open_questioner is None
                else SubquestionPlan(number=len(subquestions))
            )
        if silent:
            job.notes.append(
                f"{job.label}: the teacher gave no sub-questions for {silent:,} of "
                f"{len(job.questions):,} questions; each is put to the students whole"
            )
        return plans


@dataclass(kw_only=True, slots=True)
class Written:
    """An answer written by turns."""

    parts: list[Part] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    """``length``: a turn was cut off, or the most sub-questions were not enough; ``error``: a turn
    failed."""

    completion_tokens: int = 0
    """Tokens of all turns."""

    cost: float = 0.0
    """US dollars, of all turns."""

    completion_id: int = 0
    """The last turn's."""

    @property
    def text(self) -> str:
        """The decomposition as one text, which ends with the solver's last words."""
        return transcript(self.parts)


def _as_answer(written: Written) -> list[Answer]:
    """Returns an answer as the only sample's; none where a turn failed."""
    if written.finish_reason == "error":
        return []
    return [
        Answer(
            completion_id=written.completion_id,
            sample=0,
            reasoning=written.text,
            text=written.text,
            finish_reason=written.finish_reason,
            completion_tokens=written.completion_tokens,
            cost=written.cost,
        )
    ]


class SocraticConfig(NamedTuple):
    """How an answer is written by turns."""

    most: int = 8
    """Most sub-questions."""

    counts: bool = False
    """Whether the questioner first says how many sub-questions there will be."""


Alternating = Generator[NextTurn, StoredCompletion | None, Written]
"""Yields turns and is sent what was said; None where the turn failed."""


def alternate(question: Question, config: SocraticConfig, plan: SubquestionPlan) -> Alternating:
    """Write the answer to one question by turns.

    It ends when the questioner writes its end mark or nothing, when the sub-questions that are
    planned or counted have been solved, when ``config.most`` have been, or when a turn is cut off.
    It is whole where ``config.most`` were enough; without a number of them the questioner is asked.

    Args:
        question: The problem.
        config: How many sub-questions there may be, and whether they are counted first.
        plan: The sub-questions, or their number, that another model gives.
    """
    written = Written()
    count = plan.number
    if config.counts and count is None and not plan.questions:
        number = yield from _turn(written, NextTurn("counter", told(question, ())))
        if number is None:
            return written
        count = counted(number)
    ends = len(plan.questions) or count
    told_of = None if count is None else min(count, config.most)
    while len(written.parts) < min(config.most, ends or config.most):
        subquestion = yield from _next_question(question, written, plan.questions, told_of)
        if subquestion is None:
            return written
        solution = yield from _turn(
            written, NextTurn("solver", to_solve(question, written.parts, subquestion))
        )
        if solution is not None:
            written.parts.append(Part(subquestion, solution.strip()))
        if written.finish_reason != "stop":
            return written
    if ends is None:
        is_cut = (yield from _next_question(question, written, (), None)) is not None
    else:
        is_cut = ends > config.most
    if is_cut:
        written.finish_reason = "length"
    return written


def _next_question(
    question: Question, written: Written, planned: Sequence[str], count: int | None
) -> Generator[NextTurn, StoredCompletion | None, str | None]:
    """Returns the next sub-question; None where there is none."""
    if planned:
        return planned[len(written.parts)]
    role: Role = "questioner" if count is None else "counted_questioner"
    text = yield from _turn(written, NextTurn(role, told(question, written.parts, count=count)))
    return asked_next(text) if text is not None and written.finish_reason == "stop" else None


def _turn(
    written: Written, wanted: NextTurn
) -> Generator[NextTurn, StoredCompletion | None, str | None]:
    """Have a turn taken, and count what it took; returns its text, None where it failed."""
    stored = yield wanted
    if stored is None:
        written.finish_reason = "error"
        return None
    completion = stored.completion
    written.completion_id = stored.id
    written.completion_tokens += completion.completion_tokens
    written.cost += completion.cost
    written.finish_reason = completion.finish_reason
    return completion.text
