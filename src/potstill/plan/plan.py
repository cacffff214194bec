"""Planning a run: reading what there is, and adding up what is still to be asked.

Asking a few of the missing requests, to see how long answers are and how fast they come.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import NamedTuple

from potstill.errors import MissingExtraError, ModelError, extra
from potstill.generate import teacher_asking
from potstill.keys import settings_hash
from potstill.models import Model, local_source, open_model
from potstill.models.background import completions, one_by_one
from potstill.models.openai.cost import Prices, prices_of
from potstill.models.openai.model import server_name
from potstill.models.settings import (
    LocalSettings,
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
)
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.run import Run
from potstill.pipeline.teachers import FIRST
from potstill.plan.estimate import LengthSample, Spread, counter_for, total
from potstill.plan.needs import Figures, Ledger, Need, TeacherFacts, figures_of
from potstill.plan.stage_needs import needs_of, rationales
from potstill.plan.throughput import Probe, Throughput, measured_rate, pace_of
from potstill.records import Amount, Completion, Request, Teacher
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.progress import Meter
from potstill.sampling.ask import sample_requests
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store

FREE = Prices(0.0, 0.0, 0.0, known=True, listed=False)
"""Of models on this machine, and of what was recorded."""


class PlannedTeacher(NamedTuple):
    """One teacher of a plan."""

    name: str
    """In the recipe."""

    settings: ModelSettings
    known: TeacherFacts
    pace: Throughput


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run will ask, cost and take."""

    run: str
    begun: bool
    """Whether anything of it is there."""

    task: str
    questions: int
    """Training questions."""

    teachers: list[PlannedTeacher]
    figures: list[Figures]
    """In the order of the stages."""

    budget: BudgetSettings
    spent: Amount
    """So far, by the run's account."""

    @property
    def usd(self) -> Spread:
        """US dollars still to be spent."""
        return total(each.usd for each in self.figures)

    @property
    def tokens(self) -> Spread:
        """Tokens still to be paid for, prompts included."""
        return total(each.prompt_tokens.plus(each.completion_tokens) for each in self.figures)


def plan_run(recipe: Recipe, probes: Mapping[str, Probe] | None = None) -> Plan:
    """Plan a run. Nothing is asked, no weights are read, and nothing is written to its folder.

    Args:
        recipe: Of the run, begun or not; another process may be at work on it.
        probes: What a few requests have shown, by teacher.

    Raises:
        PotstillError: A task or the exemplars cannot be read.
    """
    with _reading(recipe) as run:
        asked = [asked_teacher(run, name, each) for name, each in recipe.named_teachers.items()]
        needs = needs_of(run, Ledger(run.store), asked)
        known = {each.name: _known(each.name, recipe, needs) for each in asked}
        figures = [figures_of(need, known[need.teacher.name]) for need in needs]
        journal = recipe.folder / "spending.jsonl"
        budget = Budget(recipe.budget, journal=journal, before=run.store.spent())
        teachers = []
        for name, settings in recipe.named_teachers.items():
            own = [each for each in figures if each.need.teacher.name == name]
            called = name if recipe.teachers else "the teacher"  # as the generate stage does
            rate = measured_rate(recipe.folder / "log.jsonl", called)
            pace = pace_of(settings, own, rate, (probes or {}).get(name))
            teachers.append(PlannedTeacher(name, settings, known[name], pace))
        return Plan(
            run=recipe.run,
            begun=run.recipe.run == recipe.run,
            task=run.task.name,
            questions=len(run.task.splits["train"]),
            teachers=teachers,
            figures=figures,
            budget=budget.limit,
            spent=budget.spent,
        )


@contextmanager
def _reading(recipe: Recipe) -> Iterator[Run]:
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
    """A teacher as far as it takes to find its answers, without opening its model."""
    recipe = run.recipe
    teacher = run.store.teacher(settings_hash=settings_hash(settings.model_dump(mode="json")))
    if teacher is None:
        teacher = identified(settings, run.store)
    asking = teacher_asking(teacher, recipe.generate, seed=recipe.seed, few_shot=run.few_shot)
    return AskedTeacher(name, teacher.name, asking)


def identified(settings: ModelSettings, store: Store) -> Teacher:
    """By what name a model's answers are stored, and whether it is asked in chat messages.

    Args:
        settings: Of the model; of a local one no more than its tokenizer and config are loaded.
        store: Where there is nothing in it, a folder's digest is not worth its time.
    """
    if isinstance(settings, OpenAISettings):
        return Teacher(name=server_name(settings), chat=settings.chat)
    anew = not store.pool_size(("generate", "evaluate"))
    if isinstance(settings, VLLMSettings) and anew:
        return Teacher(name=settings.model, chat=settings.chat)
    if isinstance(settings, RecordedSettings | VLLMSettings):
        model = open_model(settings)  # which starts no server before it is asked
        return Teacher(name=model.name, chat=model.chat)
    assert isinstance(settings, LocalSettings)
    chat, name = False, settings.model
    with suppress(MissingExtraError, ModelError):
        with extra("local", needed_for="reading the teacher's tokenizer"):
            from potstill.models.local.loading import load_config, load_tokenizer, model_name
        chat = load_tokenizer(settings).chat_template is not None
        if not anew:
            name = model_name(settings, local_source(settings), load_config(settings))
    return Teacher(name=name, chat=chat)


def _known(name: str, recipe: Recipe, needs: Sequence[Need]) -> TeacherFacts:
    """What is known of a teacher, by its stored answers as well."""
    settings = recipe.named_teachers[name]
    own = [need for need in needs if need.teacher.name == name]
    counter = counter_for(settings, [pair for need in own for pair in need.read])
    prices = prices_of(settings) if isinstance(settings, OpenAISettings) else FREE
    drawn = [need for need in own if need.stage == "generate"]
    rationales, finals = (
        LengthSample([group for need in drawn if need.second is second for group in need.lengths])
        for second in (False, True)
    )
    return TeacherFacts(counter, prices, rationales, finals)


def probe_run(run: Run, count: int) -> dict[str, Probe]:
    """Ask each teacher for some of the rationales that lack, spread over the questions.

    They are asked as the generate stage asks them: the answers are stored, paid for once and
    counted in the run's account, and the stage does not ask for them again.

    Args:
        run: Opened for writing.
        count: Requests to each teacher, with all their samples.

    Raises:
        ModelError: A teacher cannot be asked.
        BudgetError: The budget does not allow it.
    """
    return {
        name: _probe(run, name, settings, count)
        for name, settings in run.recipe.named_teachers.items()
    }


def _probe(run: Run, name: str, settings: ModelSettings, count: int) -> Probe:
    opened = run.teacher if name == FIRST else open_model(settings, run.control)
    model = _Timed(opened)
    run.store.remember_teacher(
        Teacher(name=model.name, chat=model.chat),
        settings_hash=settings_hash(settings.model_dump(mode="json")),
    )
    asked = asked_teacher(run, name, settings)
    need = rationales(run, Ledger(run.store), asked)[0]
    chosen = spread(need.sure, count)
    label = "probe" if name == FIRST else f"probe of {name}"
    begin = time.monotonic()
    counts = sample_requests(
        model, run.store, chosen, asked.asking, run.meter, label=label, stage="generate"
    )
    seconds = time.monotonic() - begin
    run.control.release()  # the next may need the same memory
    return Probe(
        requests=len(chosen),
        samples=counts.stored,
        failed=counts.failed,
        seconds=seconds,
        latency=model.latency,
    )


def spread(requests: Sequence[Request], count: int) -> list[Request]:
    """So many of the requests, at equal distances; all of them where there are fewer."""
    count = min(count, len(requests))
    return [requests[place * len(requests) // count] for place in range(count)]


class _Timed(Model):
    """A model that notes how long its answers take."""

    def __init__(self, model: Model) -> None:
        self.name, self.chat = model.name, model.chat
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
        """Answer requests; see :class:`potstill.models.interface.Grouping`."""
        sent: dict[Request, float] = {}

        def noted() -> Iterator[Request]:
            for request in requests:
                sent[request] = time.monotonic()
                yield request

        with closing(completions(self._model, noted())) as groups:
            for group in groups:
                came = time.monotonic()
                begun = (sent.pop(completion.request, None) for completion in group)
                self._seconds += [came - begin for begin in begun if begin is not None]
                yield group
