"""The teachers of a run: how each is asked, and what becomes of what they wrote."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path

from potstill.curate import Measure, curate, require_answers
from potstill.errors import (
    AuthError,
    BudgetError,
    ConfigError,
    MissingExtraError,
    ModelError,
    PotstillError,
)
from potstill.generate import GenerateResult, generate, teacher_asking
from potstill.keys import settings_hash
from potstill.models import Model, ModelSettings, open_model
from potstill.models.recorded import RecordedModel
from potstill.models.settings import OpenAISettings, RecordedSettings, ServerSettings
from potstill.models.vllm.model import VLLMModel
from potstill.pipeline.later_model import LaterModel
from potstill.pipeline.recipe import Recipe, worded_by
from potstill.pipeline.server_checks import continuing
from potstill.pipeline.server_needs import refuse_lacking
from potstill.pipeline.student_likelihood import LikelihoodScorer, LikelihoodSpec, MeasuredBy
from potstill.prompts.exemplars import FewShot
from potstill.records import Question, Request, System, Task, Teacher
from potstill.runtime.context import RunContext
from potstill.sampling.ask import PromptConfig, SampleCounts
from potstill.sampling.debate import AskedTeacher, Round, answer_again, read_rounds
from potstill.sampling.judge import Judge
from potstill.train.settled_formats import FormatSettler

FIRST = "teacher"
"""The name of the teacher that is also measured beside the student, and guides it."""


class TeacherPool:
    """Asks the recipe's teachers, one after the other, and curates what they wrote.

    Args:
        recipe: Names the teachers, and says how they are asked.
        context: The run.
        few_shot: Reads the exemplars to show, when they are first needed.
    """

    def __init__(
        self, recipe: Recipe, context: RunContext, few_shot: Callable[[], FewShot | None]
    ) -> None:
        self._recipe, self._context, self._store = recipe, context, context.store
        self._few_shot = few_shot
        self._known: dict[str, Teacher] = {}

    @cached_property
    def first(self) -> Model:
        """The first teacher, opened when first asked for."""
        return self._open(FIRST)

    def _open(self, name: str) -> Model:
        """Opens a teacher; one behind a server only once it is asked for what is not stored.

        So is a recording whose file is gone, if the store knows its name.
        """
        settings, runtime = self._recipe.named_teachers[name], self._context.runtime
        later = partial(open_model, settings, runtime)
        if isinstance(settings, OpenAISettings):
            return LaterModel(settings.identity(), later)
        if isinstance(settings, RecordedSettings) and not Path(settings.where).exists():
            known = self._store.teacher(settings_hash=self._hash(name))
            return LaterModel(known, later) if known else later()
        return later()

    def check_keys(self, task: Task) -> None:
        """Check the keys of the teachers that have still to write rationales.

        Raises:
            AuthError: One is missing.
        """
        enough = self._recipe.generate.enough_right  # the first round draws so many of all
        for name in self._recipe.named_teachers:

            def first_requests(name: str = name) -> Iterator[Request]:
                for request in self.asking(name).requests(task.splits["train"], task=task.name):
                    yield replace(request, samples=request.samples[:enough])

            self.check_key(name, first_requests)

    def check_key(self, name: str, requests: Callable[[], Iterable[Request]]) -> None:
        """Check a teacher's key, if one of the requests is not answered yet.

        Args:
            name: The teacher's name in the recipe.
            requests: Makes the requests; called only where the key is missing.

        Raises:
            AuthError: It is missing.
        """
        try:
            self._recipe.named_teachers[name].check_key()
        except AuthError:
            if any(self._store.missing(self.known(name).name, requests())):
                raise

    def guiding(self) -> tuple[ModelSettings, bool]:
        """Returns how the first teacher is asked for single steps, and if it goes on from some.

        A server is tried where nothing is known of it. One that cannot be asked now is taken for
        one that goes on: with all of its answers stored it is not needed, and else it is what the
        stage ends with.

        Raises:
            ConfigError: ``prefill`` names a way that the server does not have.
        """
        settings = self._recipe.teacher
        try:
            return continuing(settings, self._context.runtime, self._store, self._served)
        except (ModelError, BudgetError, MissingExtraError):
            return settings, settings.can_continue

    def opened(self, name: str) -> Model:
        """Returns a teacher, opened now; a server is not asked yet."""
        return self.first if name == FIRST else self._open(name)

    def opened_as(self, settings: ModelSettings) -> Model:
        """Returns the first teacher, opened with these settings."""
        if settings == self._recipe.teacher:
            return self.first
        return open_model(settings, self._context.runtime)

    def check_servers(self, task: Task) -> None:
        """Find out what the recipe needs of the teachers' servers, before they are paid.

        Args:
            task: Its training questions are asked.

        Raises:
            ConfigError: One cannot do what a setting needs.
        """
        guide, teacher = self._recipe.guide, self._recipe.teacher
        if guide is not None and guide.needing_continuation and teacher.address is not None:
            self.guiding()  # a way that the recipe names is tried as well

        def is_asked(name: str) -> bool:
            wanted = self.asking(name).requests(task.splits["train"], task=task.name)
            return any(self._store.missing(self.known(name).name, wanted))

        try:
            refuse_lacking(self._recipe, self._context.runtime, self._store, self._served, is_asked)
        except ConfigError:
            self._context.runtime.release()
            raise

    @contextmanager
    def _served(self, settings: ServerSettings) -> Iterator[OpenAISettings | None]:
        """A teacher's server while it is tried; one of its own runs on for what is asked next."""
        if isinstance(settings, OpenAISettings):
            yield settings
            return
        teachers = self._recipe.named_teachers
        name = next(name for name, other in teachers.items() if other == settings)
        if self._recipe.run_on is not None:  # it runs on the workers' nodes, where nobody probes it
            yield None
            return
        model = self.opened(name)
        assert isinstance(model, VLLMModel), "no other has a server of its own"
        with self._context.progress.stage(f"starting {settings.model}", total=None):
            asked = model.served()
        try:
            yield asked
        finally:
            if len(teachers) > 1:
                self._context.runtime.release()  # the next may need the same GPU

    def known(self, name: str = FIRST) -> Teacher:
        """Returns a teacher's name and kind from the store, else as its settings tell them.

        No server is asked and no key is needed.
        """
        if name not in self._known:
            stored = self._store.teacher(settings_hash=self._hash(name))
            settings = self._recipe.named_teachers[name]
            self._known[name] = stored or self._remembered(name, settings.identity())
        return self._known[name]

    def asking(self, name: str = FIRST) -> PromptConfig:
        """Returns how a teacher is asked for rationales."""
        recipe = self._recipe
        return teacher_asking(
            self.known(name), recipe.generate, seed=recipe.seed, few_shot=self._few_shot()
        )

    @property
    def unknown(self) -> list[str]:
        """The teachers whose name in the store is not known."""
        return [
            name
            for name in self._recipe.named_teachers
            if self._store.teacher(settings_hash=self._hash(name)) is None
        ]

    @property
    def asked(self) -> list[AskedTeacher]:
        """Every teacher with all that it takes to find its answers, in the order of the recipe.

        Raises:
            ConfigError: Two of them answer by the same name, and cannot be told apart.
        """
        names = self._recipe.named_teachers
        for name in names:
            self._check_told_apart(name, self.known(name).name)
        return [AskedTeacher(name, self.known(name).name, self.asking(name)) for name in names]

    def generate(self, task: Task) -> dict[str, GenerateResult]:
        """Draw every teacher's rationales.

        A teacher that cannot be asked does not keep the others from it; its fault is raised when
        all had their turn.

        Raises:
            ModelError: Some of the teachers could not be asked.
        """
        results: dict[str, GenerateResult] = {}
        faults = _Faults()
        for name in self._until_stopped():
            with faults.collected(name), self.while_asked(name) as model:
                if isinstance(model, RecordedModel):
                    model.require_match([question.text for question in task.splits["train"]])
                results[name] = generate(
                    task,
                    model,
                    self.asking(name),
                    self._context,
                    enough_right=self._recipe.generate.enough_right,
                    most_wrong=self._recipe.generate.most_wrong,
                    name=name if self._recipe.teachers else "the teacher",
                )
        faults.raise_any(results)
        return results

    def debate(self, task: Task, drawn: dict[str, GenerateResult]) -> dict[str, GenerateResult]:
        """Have the teachers answer again, as often as the recipe says, each seeing the others.

        A round goes on only where everybody could be asked.

        Args:
            task: Its training questions are debated.
            drawn: The samples :meth:`generate` returned.

        Returns:
            The same, with the counts of all rounds added.

        Raises:
            ModelError: Some of the teachers could not be asked.
        """
        results = dict(drawn)
        for number in range(1, self._debate_rounds + 1):
            if self._context.runtime.stop.is_set():
                break
            asked = {teacher.name: teacher for teacher in self.asked}
            faults, answered = _Faults(), []
            for name in self._until_stopped():
                with faults.collected(name), self.while_asked(name) as model:
                    everybody, who = list(asked.values()), asked[name]
                    counts = answer_again(
                        task, model, everybody, self._context, who=who, round_=number
                    )
                    total = SampleCounts.total([results[name].counts, counts])
                    results[name] = results[name]._replace(counts=total)
                    answered.append(name)
            faults.raise_any(answered)
        return results

    def require_answers(self, task: Task) -> None:
        """Refuse to curate where the teachers have answered no training question.

        Raises:
            DataError: There is no completion to read.
        """
        require_answers(self._store, task, self.asked, self._debate_rounds)

    def last_answers(self, question: Question) -> Round:
        """Returns the stored answers to a question that curation reads, by teacher."""
        return read_rounds(self._store, question, self.asked, self._debate_rounds)[-1]

    def curate(self, task: Task, *, made_by: str = "", asks_judge: bool = True) -> Counter[str]:
        """Give every rationale a verdict; returns how many got each.

        Args:
            task: Its training questions were asked.
            made_by: Stands for all that determines the verdicts, and is stored with them.
            asks_judge: Whether the judge may be asked for what it has not said yet.
        """
        judge = self.judge if asks_judge or self.judge is None else self.judge.unasked()
        return curate(
            task,
            self.asked,
            self._context,
            self._recipe.curate,
            debate_rounds=self._debate_rounds,
            measure=self._measure,
            judge=judge,
            made_by=made_by,
            enough_right=self._recipe.generate.enough_right,
        )

    @cached_property
    def judge(self) -> Judge | None:
        """The judge of the recipe; None where it has none."""
        settings = self._recipe.judge
        if settings is None:
            return None
        opening = partial(open_model, settings, self._context.runtime)
        return Judge(LaterModel(settings.identity(), opening), self._context)

    @property
    def _debate_rounds(self) -> int:
        debate = self._recipe.generate.debate
        return debate.rounds if debate else 0

    @property
    def _measure(self) -> Measure | None:
        measure = self._recipe.curate.measure
        if measure is None:
            return None
        return self.scorer(
            MeasuredBy(ranks=measure == "rank_surprisal", steps=measure == "local_naturalness")
        )

    def scorer(self, measured_by: MeasuredBy) -> LikelihoodScorer:
        """Returns what measures rationales under the student's start.

        Args:
            measured_by: The further measures beside the likelihood.

        Raises:
            ConfigError: No student learns rationales in a format that shows no exemplars and has
                no role.
        """
        recipe = self._recipe
        settler = FormatSettler(recipe.student, self._store)
        named = recipe.train.students.items()
        wording = worded_by(settler.settle(System(name), student) for name, student in named)
        if wording is None:
            raise ConfigError(
                "rationales are measured as a student learns them, and no student learns them in a "
                "format that shows no exemplars and has no role. Give one such a data_format, e.g. "
                "fine_tune_cot."
            )
        learned = LikelihoodSpec(
            recipe.student, wording.data_format, recipe.train, wording.keeps_thinking
        )
        return LikelihoodScorer(learned, self._store, self._context.progress, measured_by)

    def _until_stopped(self) -> Iterator[str]:
        """Yields the teachers' names, in the order of the recipe, until the run is to stop."""
        stop = self._context.runtime.stop
        return takewhile(lambda _: not stop.is_set(), self._recipe.named_teachers)

    @contextmanager
    def while_asked(self, name: str) -> Iterator[Model]:
        """A teacher while it is asked; only the first stays open, for later stages.

        The store keeps by what name its answers are stored.

        Raises:
            ConfigError: An earlier teacher answers by the same name.
        """
        try:
            model = self.opened(name)
            self._remembered(name, model)
            self._check_told_apart(name, model.name)
            yield model
        finally:
            self._context.runtime.release()  # the next may need the same GPU

    def _remembered(self, name: str, model: Model | Teacher) -> Teacher:
        """Keeps in the store by what name a teacher's completions are stored."""
        teacher = Teacher(name=model.name, chat=model.chat)
        if not self._store.read_only:
            self._store.remember_teacher(teacher, settings_hash=self._hash(name))
        return teacher

    def _check_told_apart(self, name: str, model: str) -> None:
        """Refuse a teacher by whose name the answers of an earlier one are stored."""
        for other in takewhile(lambda earlier: earlier != name, self._recipe.named_teachers):
            known = self._store.teacher(settings_hash=self._hash(other))
            if known is not None and known.name == model:
                raise ConfigError(
                    f"the teachers {other} and {name} are both {model}, and their answers cannot "
                    "be told apart. Leave one out, or raise generate.samples."
                )

    def _hash(self, name: str) -> str:
        return settings_hash(self._recipe.named_teachers[name].model_dump(mode="json"))


class _Faults:
    """The faults of teachers that could not be asked, raised when all had their turn."""

    def __init__(self) -> None:
        self._by_teacher: dict[str, PotstillError] = {}

    @contextmanager
    def collected(self, name: str) -> Iterator[None]:
        """Keep a fault of this teacher that leaves the others to be asked."""
        try:
            yield
        except (ModelError, MissingExtraError) as error:
            self._by_teacher[name] = error

    def raise_any(self, answered: Collection[str]) -> None:
        """Raise what was kept, if anything was.

        Args:
            answered: The teachers that could be asked.
        """
        faults = self._by_teacher
        if len(faults) == 1 and not answered:
            raise next(iter(faults.values()))
        if faults:
            reasons = "; ".join(
                f"{name}: {str(fault).rstrip('.')}" for name, fault in faults.items()
            )
            others = f"What {' and '.join(answered)} wrote is stored. " if answered else ""
            raise ModelError(
                f"{reasons}. {others}Repeat the command to ask again, or take out of the recipe "
                "whom you can do without."
            )
