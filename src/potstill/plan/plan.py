"""``potstill plan``: the requests, dollars and time that a run still takes.

:func:`plan_run` reads the recipe and what is stored, and asks nobody. :func:`probe_run` asks a few
of the missing requests, as the generate stage would, to see how long the answers are and how fast
they come.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import NamedTuple

from potstill.errors import AuthError, MissingExtraError, ModelError, PotstillError, extra
from potstill.generate import teacher_asking
from potstill.keys import settings_hash
from potstill.models import Model, open_model
from potstill.models.background import one_by_one
from potstill.models.settings import (
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    ServerSettings,
    VLLMSettings,
)
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.run import Run
from potstill.pipeline.server_checks import known_capabilities
from potstill.pipeline.server_needs import lacks
from potstill.pipeline.teachers import FIRST
from potstill.pipeline.tracking import check_trackers
from potstill.plan.estimate import LengthSample, Spread, counter_for, total
from potstill.plan.needs import Figures, Ledger, Need, TeacherFacts, estimate_need
from potstill.plan.stage_needs import generate_needs, run_needs
from potstill.plan.student_plans import StudentPlans, plan_students
from potstill.plan.throughput import Probe, Throughput, estimate_throughput, measured_rate
from potstill.plan.worker_plan import WorkerPlan, plan_workers
from potstill.records import Amount, Capability, Completion, Request, Teacher
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.progress import Meter
from potstill.sampling.ask import sample_requests
from potstill.sampling.debate import AskedTeacher
from potstill.setting_names import resolve_names
from potstill.store import Store
from potstill.text.chosen_on_test import BEST_ON_TEST, CHOSEN_ON_TEST


class PlannedTeacher(NamedTuple):
    """One teacher of a plan."""

    name: str
    """The teacher's name in the recipe."""

    settings: ModelSettings
    known: TeacherFacts
    throughput: Throughput
    capabilities: dict[str, Capability]
    """The known abilities of its server, by name; empty where none is known or it has no server."""

    absent: int
    """Samples that a file of recorded rationales has not got."""


class PlannedSeconds(NamedTuple):
    """The time that a run still takes, measuring left out."""

    asking: float | None
    """Seconds of asking the teachers; None where they are not known."""

    training: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The requests, dollars and time that a run still takes."""

    run: str
    begun: bool
    """Whether the run's folder holds anything."""

    task: str
    questions: int
    """The number of training questions."""

    teachers: list[PlannedTeacher]
    figures: list[Figures]
    """One for each purpose, in the order of the stages."""

    budget: BudgetSettings
    spent: Amount
    """The spending so far, by the run's account."""

    students: StudentPlans
    faults: list[str]
    """Faults that would stop the run as the recipe has it, a line each."""

    keys: list[str]
    """Keys that are not set, a line each."""

    lacks: list[str]
    """Abilities that the recipe needs and that servers were found to lack, a line each."""

    warnings: list[str]
    """Warnings about the figures that the run will give, a line each."""

    judge: str | None
    """The model that reads answers which the rules cannot; how many is not known before."""

    workers: WorkerPlan | None = None
    """The plan for several workers, where that was asked for."""

    @property
    def seconds(self) -> PlannedSeconds:
        """Time that asking the teachers one after the other and training still take."""
        asking = [teacher.throughput.seconds for teacher in self.teachers]
        known = [seconds for seconds in asking if seconds is not None]
        return PlannedSeconds(
            asking=sum(known) if len(known) == len(asking) else None,
            training=sum(student.seconds for student in self.students.students),
        )

    @property
    def usd(self) -> Spread:
        """US dollars still to be spent."""
        return total(figures.usd for figures in self.figures)

    @property
    def tokens(self) -> Spread:
        """Tokens still to be paid for, prompts included."""
        return total(
            figures.prompt_tokens.plus(figures.completion_tokens) for figures in self.figures
        )


def plan_run(
    recipe: Recipe,
    probes: Mapping[str, Probe] | None = None,
    *,
    workers: int | None = None,
    meter: Meter | None = None,
) -> Plan:
    """Plan a run. Nothing is asked, no weights are read, and nothing is written to its folder.

    Args:
        recipe: The run's, begun or not; another process may be at work on it.
        probes: The outcome of a few requests, by teacher.
        workers: Plan for so many that ask at once, too.
        meter: Shows what is looked at; None: nothing is shown.

    Raises:
        PotstillError: A task or the exemplars cannot be read, a ``module:name`` not be loaded, or
            a tracker is not known or not installed.
    """
    meter = meter or Meter(None)
    resolve_names(recipe)
    check_trackers(recipe)
    with _open_to_read(recipe) as run:
        teachers = recipe.named_teachers
        questions = run.task.splits["train"]  # a file that is not there is told at once
        with meter.stage("counting what is to be asked", total=None):
            asked = [asked_teacher(run, name, settings) for name, settings in teachers.items()]
            needs = run_needs(run, Ledger(run.store), asked)
            absent = only_recorded(needs, teachers)
        facts = {name: teacher_facts(name, one, needs) for name, one in teachers.items()}
        figures = [estimate_need(need, facts[need.teacher.name]) for need in needs]
        budget = Budget(
            recipe.budget, journal=recipe.folder / "spending.jsonl", before=run.store.spent()
        )
        planned = [
            _planned_teacher(
                run, name, facts[name], figures, (probes or {}).get(name), absent.get(name, 0)
            )
            for name in teachers
        ]
        with meter.stage("trying a step of each start's training", total=None):
            students = plan_students(run, recipe.folder)
        against = obstacles(recipe, needs)
        return Plan(
            run=recipe.run,
            begun=run.recipe.run == recipe.run,
            task=run.task.name,
            questions=len(questions),
            teachers=planned,
            figures=figures,
            budget=budget.limit,
            spent=budget.spent,
            students=students,
            faults=[*against.faults, *filter(None, [students.fault])],
            keys=against.keys,
            lacks=lacks(recipe, {teacher.name: teacher.capabilities for teacher in planned}),
            warnings=[CHOSEN_ON_TEST] if recipe.evaluate.select == BEST_ON_TEST else [],
            judge=recipe.judge.model if recipe.judge is not None else None,
            workers=None
            if workers is None
            else plan_workers(
                recipe,
                workers,
                [(one.name, one.settings, one.throughput) for one in planned],
                figures,
                students.students,
            ),
        )


def _planned_teacher(
    run: Run,
    name: str,
    facts: TeacherFacts,
    figures: Sequence[Figures],
    probe: Probe | None,
    absent: int,
) -> PlannedTeacher:
    recipe = run.recipe
    settings = recipe.named_teachers[name]
    own = [item for item in figures if item.need.teacher.name == name]
    label = name if recipe.teachers else "the teacher"  # as the generate stage calls it
    rate = measured_rate(recipe.folder / "log.jsonl", label)
    throughput = estimate_throughput(settings, own, rate, probe)
    capabilities: dict[str, Capability] = {}
    if isinstance(settings, ServerSettings):
        capabilities = known_capabilities(run.store, settings)
    return PlannedTeacher(name, settings, facts, throughput, capabilities, absent)


@contextmanager
def _open_to_read(recipe: Recipe) -> Iterator[Run]:
    """The recipe's run, opened beside a writer; where there is none yet, an empty one elsewhere."""
    if (recipe.folder / "run.sqlite").is_file():
        with Run(recipe, Meter(None), read_only=True) as run:
            yield run
        return
    with (
        TemporaryDirectory(prefix="potstill-plan-") as folder,
        Run(recipe.model_copy(update={"run": folder}), Meter(None)) as run,
    ):
        yield run


def asked_teacher(run: Run, name: str, settings: ModelSettings) -> AskedTeacher:
    """A teacher's names and its way of being asked, found without opening its model."""
    recipe = run.recipe
    teacher = run.store.teacher(settings_hash=settings_hash(settings.model_dump(mode="json")))
    if teacher is None:
        teacher = _identify(settings, run.store)
    asking = teacher_asking(teacher, recipe.generate, seed=recipe.seed, few_shot=run.few_shot)
    return AskedTeacher(name, teacher.name, asking)


def only_recorded(needs: Sequence[Need], teachers: Mapping[str, ModelSettings]) -> dict[str, int]:
    """Leave in the needs of recorded teachers what their files hold; the rest will not be asked.

    Returns:
        The number of samples that each such file lacks.
    """
    absent: dict[str, int] = {}
    for name, settings in teachers.items():
        if not isinstance(settings, RecordedSettings):
            continue
        with suppress(PotstillError):  # told as a fault of the teacher
            model = settings.open()
            for need in (need for need in needs if need.teacher.name == name):
                before = need.missing
                held: dict[Request, list[int]] = {}
                for completion in model.complete(need.sure):
                    held.setdefault(completion.request, []).append(completion.sample)
                need.sure = [
                    replace(request, samples=tuple(samples)) for request, samples in held.items()
                ]
                need.later = [] if need.second else need.later
                absent[name] = absent.get(name, 0) + before - need.missing
    return absent


class Obstacles(NamedTuple):
    """The obstacles to asking models from here."""

    faults: list[str]
    """Models and files that cannot be used, a line each."""

    keys: list[str]
    """Keys that are not set, a line each."""


def obstacles(recipe: Recipe, needs: Sequence[Need]) -> Obstacles:
    """Returns what stands against asking the judge, and the teachers for what is missing.

    Nobody is asked.
    """
    wanted = {need.teacher.name for need in needs if need.missing}
    teachers = recipe.named_teachers.items()
    models = [(name, settings) for name, settings in teachers if name in wanted]
    if recipe.judge is not None:
        models.append(("judge", recipe.judge))
    found = Obstacles([], [])
    for name, settings in models:
        try:
            _check_model(settings)
        except AuthError as error:
            found.keys.append(str(error))
        except PotstillError as error:
            found.faults.append(f"{name}: {error}")
    return found


def _check_model(settings: ModelSettings) -> None:
    """Refuse a model that could not be asked here, as far as it shows without asking.

    Raises:
        AuthError: Its key is not set.
        PotstillError: Its folder or file cannot be used, or its packages are not installed.
    """
    if isinstance(settings, OpenAISettings):
        from potstill.models.openai.model import server_key

        server_key(settings)
    elif isinstance(settings, VLLMSettings):
        with extra("local", needed_for="reading the config of a folder"):
            from potstill.models.local.loading import is_folder, load_config
        if is_folder(settings.where):
            load_config(settings.tokenizer)
    else:
        settings.identity(content=False)


def _identify(settings: ModelSettings, store: Store) -> Teacher:
    """The name that a model's answers are stored under, and whether it is asked in chat messages.

    Args:
        settings: The model's; for a local one, its tokenizer and config are loaded and no more.
        store: The run's. While it is empty, a folder's digest is not worth its time.
    """
    begun = store.pool_size(("generate", "evaluate")) > 0
    with suppress(MissingExtraError, ModelError):
        return settings.identity(content=begun)
    return Teacher(name=settings.model, chat=False)  # it cannot be read here, and the plan goes on


def teacher_facts(name: str, settings: ModelSettings, needs: Sequence[Need]) -> TeacherFacts:
    """The facts known about a teacher, by its settings and by its stored answers.

    Args:
        name: The teacher's name in the needs.
        settings: The model's.
        needs: Its needs, with those of others among them.
    """
    own = [need for need in needs if need.teacher.name == name]
    counter = counter_for(settings, [pair for need in own for pair in need.read])
    generating = [need for need in own if need.stage == "generate"]
    rationales = [group for need in generating if not need.second for group in need.lengths]
    finals = [group for need in generating if need.second for group in need.lengths]
    return TeacherFacts(counter, settings.prices(), LengthSample(rationales), LengthSample(finals))


def probe_run(run: Run, count: int) -> dict[str, Probe]:
    """Ask each teacher for some of the missing rationales, spread over the questions.

    They are asked as the generate stage asks them: the answers are stored, paid for once and
    counted in the run's account, and the stage does not ask for them again.

    Args:
        run: Opened for writing.
        count: The number of requests to each teacher, each with all its samples.

    Raises:
        ModelError: A teacher cannot be asked, or answers without any text.
        BudgetError: The budget does not allow it.
    """
    run.identity.require_consent()
    return {
        name: _probe(run, name, settings, count)
        for name, settings in run.recipe.named_teachers.items()
    }


def _probe(run: Run, name: str, settings: ModelSettings, count: int) -> Probe:
    opened = run.teacher if name == FIRST else open_model(settings, run.runtime)
    model = TimedModel(opened)
    run.store.remember_teacher(
        Teacher(name=model.name, chat=model.chat),
        settings_hash=settings_hash(settings.model_dump(mode="json")),
    )
    asked = asked_teacher(run, name, settings)
    need = generate_needs(run, Ledger(run.store), asked)[0]
    chosen = evenly_spaced(need.sure, count)
    if chosen:  # a probe that asks nothing leaves the run's recipe as it was
        run.identity.claim()
    label = "probe" if name == FIRST else f"probe of {name}"
    begin = time.monotonic()
    counts = sample_requests(
        model, chosen, asked.asking, run.context, label=label, stage="generate"
    )
    seconds = time.monotonic() - begin
    counts.check_texts(model.name, run.store)
    run.runtime.release()  # the next may need the same memory
    return Probe(
        requests=len(chosen),
        samples=counts.stored,
        failed=counts.failed,
        seconds=seconds,
        latency=model.latency,
    )


def evenly_spaced(requests: Sequence[Request], count: int) -> list[Request]:
    """``count`` of the requests, at equal distances; all of them where there are fewer."""
    count = min(count, len(requests))
    return [requests[place * len(requests) // count] for place in range(count)]


class TimedModel(Model):
    """A model that measures how long its answers take."""

    def __init__(self, model: Model) -> None:
        self.name, self.chat = model.name, model.chat
        self.scores_texts = model.scores_texts
        self._model = model
        self._seconds: list[float] = []

    @property
    def latency(self) -> float:
        """Seconds from a request to its first completion, on average; 0 where there was none."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else 0.0

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Model`."""
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answer requests; see :class:`potstill.models.interface.Model`."""
        sent: dict[Request, float] = {}

        def timed_requests() -> Iterator[Request]:
            for request in requests:
                sent[request] = time.monotonic()
                yield request

        with closing(self._model.complete_in_groups(timed_requests())) as groups:
            for group in groups:
                now = time.monotonic()
                # The first of a request's samples takes its time; None for those that follow.
                begins = (sent.pop(completion.request, None) for completion in group)
                self._seconds += [now - begin for begin in begins if begin is not None]
                yield group
