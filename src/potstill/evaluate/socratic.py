"""Pairs of students that answer by sub-questions in turn, as systems beside all others.

The alternation: a questioner asks the next sub-question, a solver answers it, until it is done.

Socratic chains of thought at inference (arXiv 2212.00193, section 3): no teacher is asked. An
answer is written by a generator that yields whose turn it is and is sent what came. Nothing here
opens a model.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, PairSettings
from potstill.evaluate.systems import AnswerJob, EvalModels, System, greedy_teacher
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
from potstill.records import Checkpoint, FinishReason, Question, Request
from potstill.runtime.progress import Meter
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SamplingParams,
    answers,
    ask,
    sample_questions,
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
        apart = self.questioner.student != self.solver.student
        return self.solver.step + (self.questioner.step if apart else 0)


def pair_checkpoints(
    name: str, settings: PairSettings, checkpoints: Sequence[Checkpoint]
) -> list[PairCheckpoint]:
    """A pair's moments: its students' first checkpoints, their second ones, and so on.

    Where one student has fewer, its last one stands in.

    Args:
        name: The pair's.
        settings: Who the two are.
        checkpoints: Of all students, oldest first.

    Raises:
        ConfigError: One of the two has no checkpoint.
    """
    trained = {each.student for each in checkpoints}
    for student in (settings.questioner, settings.solver):
        if student not in trained:
            raise ConfigError(
                f"evaluate.socratic.{name} names {student}, which has no checkpoint; there are: "
                f"{', '.join(sorted(trained)) or 'none'}. Run potstill train."
            )
    questioners = [each for each in checkpoints if each.student == settings.questioner]
    solvers = [each for each in checkpoints if each.student == settings.solver]
    return [
        PairCheckpoint(asks or questioners[-1], solves or solvers[-1])
        for asks, solves in zip_longest(questioners, solvers)
    ]


def pair_system(
    name: str,
    pair: PairCheckpoint,
    contenders: EvalModels,
    settings: EvaluateSettings,
    *,
    given: bool = False,
) -> System:
    """A pair at one moment, answering by turns.

    Args:
        name: The pair's, as the settings name it.
        pair: The two students' checkpoints.
        contenders: Opens the models, and says how the teacher is asked.
        settings: Of the evaluate stage.
        given: Have the teacher ask in the place of the questioner, as a system of its own. It is a
            bound, not a way to answer: who asks the right sub-questions has solved most of it.
    """
    of_pair = settings.socratic[name]
    asking = {
        role: _asking(role, pair.solver if role == "solver" else pair.questioner, of_pair)
        for role in FORMAT_OF
    }
    answering = _Answering(
        settings=of_pair,
        questioner=None if given else partial(contenders.open_student, pair.questioner.folder),
        together=pair.questioner.folder == pair.solver.folder,
        teacher=contenders.teacher,
        teacher_asking=greedy_teacher(contenders, settings),
        asking=asking,
    )
    return System(
        name=f"{name}_teacher_questions" if given else name,
        step=pair.step,
        open=partial(contenders.open_student, pair.solver.folder),
        asking=asking["solver"],
        model=name,
        kind="further" if given else "first",
        answering=answering.answers,
    )


def _asking(role: Role, student: Checkpoint, settings: PairSettings) -> PromptConfig:
    """How a student is asked for one turn; greedily."""
    style = format_named(FORMAT_OF[role]).style(encoder_decoder=student.encoder_decoder)
    return PromptConfig(style=style, sampling=SamplingParams(max_tokens=settings.turn_tokens))


class Given(NamedTuple):
    """What another model's decomposition says of a question."""

    questions: tuple[str, ...] = ()
    """Sub-questions in the place of the questioner's; empty: it asks its own."""

    number: int | None = None
    """How many the questioner is told there are; None: it is not told."""


class NextTurn(NamedTuple):
    """A turn that is wanted next."""

    role: Role
    question: Question
    """As it is put to the student."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answering:
    """How a pair comes to its answers: in rounds, each student asked for all its turns at once."""

    settings: PairSettings
    questioner: Callable[[], Model] | None
    """Opens it; None: the teacher's sub-questions stand in the place of its own."""

    together: bool
    """Whether the solver is the questioner too."""

    teacher: Callable[[], Model]
    teacher_asking: PromptConfig
    asking: Mapping[Role, PromptConfig]

    def answers(self, solver: Model, asked: AnswerJob) -> dict[str, list[Answer]]:
        """The pair's answers, by question id; none to a question of which a turn failed.

        Every turn is kept in the store: what was interrupted goes on at the turn where it was.
        """
        settings = self.settings
        given = self._given(asked)
        manner = SocraticConfig(most=settings.most_questions, counts=settings.count == "own")
        models = self._models(solver)
        exchanges = {each.id: alternate(each, manner, given[each.id]) for each in asked.questions}
        with asked.meter.stage(asked.label, total=len(exchanges), unit="questions") as advance:
            left = len(exchanges)

            def answered(turns: Sequence[NextTurn]) -> list[StoredCompletion | None]:
                nonlocal left
                found = self._answered(turns, models, asked)
                said = [each.completion for each in found if each is not None]
                tokens = sum(each.completion_tokens for each in said)
                advance(left - len(turns), tokens, sum(each.cost for each in said))
                left = len(turns)
                return found

            written = drive_in_batches(exchanges, answered)
            advance(left, 0, 0.0)
        return {id_: _as_answer(each) for id_, each in written.items()}

    def _models(self, solver: Model) -> dict[Role, Model]:
        """Who takes which turn."""
        asks = solver if self.together or self.questioner is None else self.questioner()
        return {role: solver if role == "solver" else asks for role in FORMAT_OF}

    def _answered(
        self, turns: Sequence[NextTurn], models: Mapping[Role, Model], asked: AnswerJob
    ) -> list[StoredCompletion | None]:
        """What was said in each of the turns, from the store; None where it failed."""
        requests = [self.asking[each.role].request(each.question) for each in turns]
        by_role: dict[Role, dict[Request, None]] = {}
        for turn, request in zip(turns, requests, strict=True):
            by_role.setdefault(turn.role, {})[request] = None
        unseen = Meter(None, asked.meter.control)  # one view of the questions is enough
        for role, distinct in by_role.items():
            label = f"{asked.label}, {role}"
            ask(models[role], asked.store, list(distinct), unseen, label=label, stage=STAGE)
        found = [
            asked.store.completions(models[turn.role].name, request)
            for turn, request in zip(turns, requests, strict=True)
        ]
        return [next(iter(each), None) for each in found]

    def _given(self, asked: AnswerJob) -> dict[str, Given]:
        """What the teacher says of each question, where anything of it is wanted."""
        if self.questioner is not None and self.settings.count != "teacher":
            return {each.id: Given() for each in asked.questions}
        teacher, silent = self.teacher(), 0
        put = (asked.questions, self.teacher_asking, asked.meter)
        label = f"{asked.label}, teacher"
        sample_questions(teacher, asked.store, *put, label=label, stage=STAGE)
        found = {}
        for each in asked.questions:
            said = answers(teacher.name, asked.store, each, self.teacher_asking)
            parts = decomposed(said[0].reasoning) if said else ()
            silent += not parts
            questions = tuple(part.question for part in parts) or (" ".join(each.text.split()),)
            own = Given(number=len(questions))
            found[each.id] = Given(questions=questions) if self.questioner is None else own
        if silent:
            asked.notes.append(
                f"{asked.label}: the teacher gave no sub-questions for {silent:,} of "
                f"{len(asked.questions):,} questions; each is put to the students whole"
            )
        return found


@dataclass(kw_only=True, slots=True)
class Written:
    """An answer written by turns."""

    parts: list[Part] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    """``length``: a turn was cut off, or the most sub-questions were not enough; ``error``: a turn
    failed."""

    completion_tokens: int = 0
    """Of all turns."""

    cost: float = 0.0
    """US dollars, of all turns."""

    completion_id: int = 0
    """The last turn's."""

    @property
    def text(self) -> str:
        """The decomposition as one text, which ends with the solver's last words."""
        return transcript(self.parts)


def _as_answer(written: Written) -> list[Answer]:
    """An answer as of one sample; none where a turn failed."""
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


def alternate(question: Question, manner: SocraticConfig, given: Given) -> Alternating:
    """Write the answer to one question by turns.

    It ends when the questioner writes its end mark or nothing, when the sub-questions that are
    given or counted have been solved, when ``manner.most`` have been, or when a turn is cut off.

    Args:
        question: The problem.
        manner: How it is answered.
        given: What another model says of it.
    """
    written = Written()
    count = given.number
    if manner.counts and count is None and not given.questions:
        said = yield from _turn(written, NextTurn("counter", told(question, ())))
        if said is None:
            return written
        count = counted(said, most=manner.most)
    ends = len(given.questions) or count
    while len(written.parts) < min(manner.most, ends or manner.most):
        asked = yield from _next_question(question, written, given.questions, count)
        if asked is None:
            return written
        said = yield from _turn(
            written, NextTurn("solver", to_solve(question, written.parts, asked))
        )
        if said is not None:
            written.parts.append(Part(asked, said.strip()))
        if written.finish_reason != "stop":
            return written
    if ends is None or ends > manner.most:
        written.finish_reason = "length"
    return written


def _next_question(
    question: Question, written: Written, known: Sequence[str], count: int | None
) -> Generator[NextTurn, StoredCompletion | None, str | None]:
    """The next sub-question; None where there is none."""
    if known:
        return known[len(written.parts)]
    role: Role = "questioner" if count is None else "counted_questioner"
    said = yield from _turn(written, NextTurn(role, told(question, written.parts, count=count)))
    return asked_next(said) if said is not None and written.finish_reason == "stop" else None


def _turn(
    written: Written, wanted: NextTurn
) -> Generator[NextTurn, StoredCompletion | None, str | None]:
    """Have a turn taken, and count what it took; None where it failed."""
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
