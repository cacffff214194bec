"""The trial: which few rationales are asked for, what that costs, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from potstill.advise.ways import WayOfAsking
from potstill.curate import KEPT, TeacherCandidate
from potstill.curate.verdicts import GradedSample, grade_sample, own_verdict
from potstill.errors import (
    AuthError,
    BudgetError,
    ConfigError,
    MissingExtraError,
    ModelError,
    PotstillError,
)
from potstill.generate import teacher_asking
from potstill.grading.grade import grade
from potstill.models import Model, open_model
from potstill.models.recorded import RecordedModel
from potstill.models.settings import RecordedSettings
from potstill.pipeline.later_model import LaterModel
from potstill.pipeline.run import Run
from potstill.pipeline.student_likelihood import LikelihoodScorer
from potstill.plan.needs import Figures, Ledger, Need, estimate_need
from potstill.plan.plan import only_recorded, teacher_facts
from potstill.records import Likelihood, Question, Request, Teacher
from potstill.sampling.ask import Answer, PromptConfig, answers_to, sample_requests
from potstill.sampling.debate import AskedTeacher

JUDGED_STAGE = "advise"
"""The stage that the judge's figures are kept for."""


class TrialRequests(NamedTuple):
    """The requests that one way of asking is tried by."""

    way: WayOfAsking
    teacher: Teacher
    """The teacher's identity, by which the answers are stored."""

    asking: PromptConfig
    requests: list[Request]
    figures: list[Figures]
    """The amounts still to be asked: the rationales, and their second step if the style has one."""

    @property
    def missing(self) -> int:
        """Samples still to be asked for, at most, second steps among them."""
        return sum(figures.need.missing for figures in self.figures)


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedRationale:
    """One answer of the trial."""

    label: str
    """The way it was asked in, see :attr:`WayOfAsking.label`."""

    question_id: str
    right: bool
    kept: bool
    """Whether curation would keep it, choice and siblings aside."""

    words: int
    """Words of the rationale, as ``curate.max_words`` counts them."""

    tokens: int
    """Tokens that its teacher wrote, thinking included."""

    usd: float
    likelihood: Likelihood | None
    """How the student finds it; None: it was not kept, or is too long to be learned."""


def trial_requests(run: Run, ways: Sequence[WayOfAsking], rationales: int) -> list[TrialRequests]:
    """Returns what the teachers are tried by: the same questions for all, as generate asks them.

    Args:
        run: Nothing is asked.
        ways: The ways of asking.
        rationales: The most rationales, over all ways.

    Raises:
        ConfigError: There is not one rationale for each way.
    """
    each = rationales // len(ways)
    if not each:
        raise ConfigError(
            f"--rationales is {rationales}, and there are {len(ways)} ways to ask "
            f"({', '.join(way.label for way in ways)}). Give {len(ways)} or more."
        )
    questions = _questions_at_hand(run)
    ledger = Ledger(run.store)
    return [_requests_of(run, ledger, way, questions, each) for way in ways]


def _requests_of(
    run: Run, ledger: Ledger, way: WayOfAsking, questions: Sequence[Question], count: int
) -> TrialRequests:
    generate, task = run.recipe.generate, run.task.name
    teacher = run.teachers.known(way.teacher) if way.is_recipes else way.settings.identity()
    asking = teacher_asking(teacher, generate, seed=run.recipe.seed, few_shot=run.few_shot)
    # So many samples of each question are drawn whatever they bring.
    samples = generate.enough_right or generate.samples
    requests = spread_requests(asking, questions, task, count=count, samples=samples)
    asked = AskedTeacher(way.label, teacher.name, asking)
    need = Need(stage="generate", what="rationales", teacher=asked, questions=len(requests))
    for request in requests:
        ledger.add(need, request)
    needs = [need]
    if asking.style.answer_cue:
        needs.append(ledger.second_steps(need, requests))
    only_recorded(needs, {way.label: way.settings})
    facts = teacher_facts(way.label, way.settings, needs)
    figures = [estimate_need(one, facts) for one in needs]
    return TrialRequests(way, teacher, asking, requests, figures)


def spread_requests(
    asking: PromptConfig, questions: Sequence[Question], task: str, *, count: int, samples: int
) -> list[Request]:
    """Returns requests for so many rationales, of as many questions as there can be.

    Args:
        asking: How they are asked.
        questions: The questions that can be asked; they are taken at equal distances.
        task: The name of their task.
        count: The number of rationales.
        samples: The most samples of a question, the first ones.
    """
    total = len(questions)
    whole, rest = divmod(min(count, total * samples), total)
    more = {place * total // rest for place in range(rest)}
    requests = asking.requests(questions, task=task)
    return [
        replace(requests[place], samples=tuple(range(whole + (place in more))))
        for place in range(total)
        if whole or place in more
    ]


def _questions_at_hand(run: Run) -> Sequence[Question]:
    """The training questions that all recorded teachers have; all where there are no such."""
    questions: Sequence[Question] = run.task.splits["train"]
    for settings in run.recipe.named_teachers.values():
        if isinstance(settings, RecordedSettings):
            with suppress(PotstillError):  # told where it is asked
                model = settings.open()
                assert isinstance(model, RecordedModel)
                held = [question for question in questions if model.recorded(question.text)]
                questions = held or questions
    return questions


def check_trial_keys(run: Run, trial: Sequence[TrialRequests]) -> None:
    """Check the keys of the teachers that have still to be asked.

    Raises:
        AuthError: One is missing.
    """
    for one in trial:
        try:
            one.way.settings.check_key()
        except AuthError:
            if any(run.store.missing(one.teacher.name, one.requests)):
                raise


def ask_trial(run: Run, trial: Sequence[TrialRequests]) -> list[str]:
    """Ask for what is not stored; it is stored as generate stores it, and paid once.

    A teacher that cannot be asked keeps no other from it, nor does the end of the budget.

    Returns:
        Why some could not be asked, or not to the end, a line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, once what was in flight is stored.
    """
    notes = []
    for one in trial:
        if not one.missing or run.runtime.stop.is_set():
            continue
        label = f"rationales of {one.way.label}"
        try:
            with _opened(run, one) as model:
                counts = sample_requests(
                    model, one.requests, one.asking, run.context, label=label, stage="generate"
                )
                counts.check_texts(model.name, run.store)
        except (BudgetError, ModelError, MissingExtraError) as error:
            notes.append(f"{one.way.label} was not asked to the end: {error}")
    return notes


@contextmanager
def _opened(run: Run, one: TrialRequests) -> Iterator[Model]:
    """The model of a way of asking, let go at the end: the next may need the same memory."""
    if one.way.is_recipes:
        with run.teachers.while_asked(one.way.teacher) as model:
            yield model
        return
    try:
        yield LaterModel(one.teacher, partial(open_model, one.way.settings, run.runtime))
    finally:
        run.runtime.release()


def read_trial(
    run: Run, trial: Sequence[TrialRequests], scorer: LikelihoodScorer
) -> list[TriedRationale]:
    """Returns what came of the trial: graded, and measured under the student.

    The judge, where the recipe has one, is asked for answers that the rules cannot read.

    Raises:
        ModelError: The student cannot be loaded.
    """
    found = [(one, question, answer) for one in trial for question, answer in _answers(run, one)]
    judge = run.teachers.judge
    if judge is not None:
        texts = [(question, answer.text) for _, question, answer in found if answer.finished]
        judge.ask(run.task, texts, stage=JUDGED_STAGE)
    graded_by = judge.grade if judge else grade
    # People have marked no rationale before it is written.
    curate = run.recipe.curate.model_copy(update={"marks": None})
    graded = list[tuple[Question, GradedSample, Answer]]()
    for one, question, answer in found:
        sample = grade_sample(run.task, question, one.way.label, answer, graded_by)
        graded.append((question, sample._replace(verdict=own_verdict(sample, curate)), answer))
    likelihoods = scorer(
        [
            TeacherCandidate(question, sample.completion_id, sample.text)
            for question, sample, _ in graded
            if sample.verdict == KEPT
        ]
    )
    return [_tried(question, sample, answer, likelihoods) for question, sample, answer in graded]


def _tried(
    question: Question,
    sample: GradedSample,
    answer: Answer,
    likelihoods: Mapping[int, Likelihood],
) -> TriedRationale:
    return TriedRationale(
        label=sample.teacher,
        question_id=question.id,
        right=sample.right,
        kept=sample.verdict == KEPT,
        words=len(sample.text.split()),
        tokens=answer.completion_tokens,
        usd=answer.cost,
        likelihood=likelihoods.get(sample.completion_id),
    )


def _answers(run: Run, one: TrialRequests) -> Iterator[tuple[Question, Answer]]:
    """The stored answers to the requests of one way, with their questions."""
    questions = {question.id: question for question in run.task.splits["train"]}
    for request in one.requests:
        assert request.question_id is not None, "it asks a question of the task"
        question = questions[request.question_id]
        for answer in answers_to(one.teacher.name, run.store, request, one.asking):
            yield question, answer
