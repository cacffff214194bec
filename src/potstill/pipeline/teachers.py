"""The teachers of a run: whom to ask, how, and what becomes of what they wrote."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import takewhile

from potstill.curate import Measure, curate
from potstill.errors import ConfigError, MissingExtraError, ModelError, PotstillError
from potstill.generate import GenerateResult, answer_again, generate, teacher_asking
from potstill.keys import settings_hash
from potstill.models import Model, open_model
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.student_likelihood import LikelihoodScorer, LikelihoodSpec
from potstill.prompts.exemplars import FewShot
from potstill.records import Task, Teacher
from potstill.runtime import Runtime
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SampleCounts
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store

FIRST = "teacher"
"""The name of the teacher that is also measured beside the student, and guides it."""


class TeacherPool:
    """Asks the recipe's teachers, one after the other, and curates what they wrote.

    Args:
        recipe: Names the teachers, and says how they are asked.
        store: Of the run.
        meter: Shown the progress.
        few_shot: Reads the exemplars to show, when they are first needed.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        meter: Meter,
        few_shot: Callable[[], FewShot | None],
    ) -> None:
        self._recipe, self._store, self._meter = recipe, store, meter
        self._few_shot = few_shot

    @cached_property
    def first(self) -> Model:
        """The first teacher, opened when first asked for."""
        return open_model(self._recipe.teacher, self._control)

    def known(self, name: str = FIRST) -> Teacher:
        """What the store knows of a teacher that was asked; else the teacher is opened for it."""
        known = self._store.teacher(settings_hash=self._hash(name))
        if known is not None:
            return known
        with self._opened(name) as model:
            return self._remembered(name, model)

    def asking(self, name: str = FIRST) -> PromptConfig:
        """How a teacher is asked for rationales."""
        recipe = self._recipe
        return teacher_asking(
            self.known(name), recipe.generate, seed=recipe.seed, few_shot=self._few_shot()
        )

    @property
    def unknown(self) -> list[str]:
        """The teachers of whom the store does not know by what name their answers are stored."""
        names = self._recipe.named_teachers
        return [
            each for each in names if self._store.teacher(settings_hash=self._hash(each)) is None
        ]

    @property
    def asked(self) -> list[AskedTeacher]:
        """Every teacher as far as it takes to find its answers, in the order of the recipe.

        Raises:
            ConfigError: Two of them answer by the same name, and cannot be told apart.
        """
        names = self._recipe.named_teachers
        for name in names:
            self._told_apart(name, self.known(name).name)
        return [AskedTeacher(name, self.known(name).name, self.asking(name)) for name in names]

    def generate(self, task: Task) -> dict[str, GenerateResult]:
        """Draw every teacher's rationales, and have them debate if the recipe says so.

        A teacher that cannot be asked does not keep the others from it; its fault is raised at the
        end of the round. A debate goes on only where everybody could be asked.

        Returns:
            What was drawn of each teacher; of a debate all rounds together.

        Raises:
            ModelError: Some of the teachers could not be asked.
        """
        drawn = self._each(partial(self._first_answers, task))
        for number in range(1, self._rounds + 1):
            if self._control.stop.is_set():
                break
            again = self._each(partial(self._further_answers, task, self.asked, number))
            for name, more in again.items():
                columns = zip(drawn[name].counts, more.counts, strict=True)
                drawn[name] = drawn[name]._replace(counts=SampleCounts(*map(sum, columns)))
        return drawn

    def curate(self, task: Task) -> Counter[str]:
        """Give every rationale a verdict."""
        return curate(
            task,
            self.asked,
            self._store,
            self._recipe.curate,
            debate_rounds=self._rounds,
            measure=self._measure,
        )

    @property
    def _rounds(self) -> int:
        debate = self._recipe.generate.debate
        return debate.rounds if debate else 0

    @property
    def _measure(self) -> Measure | None:
        data_format = self._recipe.likelihood_format
        if self._recipe.curate.choose != "likelihood" or data_format is None:
            return None
        learned = LikelihoodSpec(self._recipe.student, data_format, self._recipe.train.max_length)
        return LikelihoodScorer(learned, self._store, self._meter)

    @property
    def _control(self) -> Runtime:
        return self._meter.control

    def _first_answers(self, task: Task, name: str, model: Model) -> GenerateResult:
        self._remembered(name, model)
        self._told_apart(name, model.name)
        asked = (task, model, self._store, self.asking(name), self._meter)
        called = name if self._recipe.teachers else "the teacher"
        return generate(*asked, enough_right=self._recipe.generate.enough_right, name=called)

    def _further_answers(
        self, task: Task, asked: Sequence[AskedTeacher], number: int, name: str, model: Model
    ) -> GenerateResult:
        who = next(each for each in asked if each.name == name)
        at = (self._store, self._meter)
        return GenerateResult(answer_again(task, model, asked, *at, who=who, round_=number))

    def _each(self, ask: Callable[[str, Model], GenerateResult]) -> dict[str, GenerateResult]:
        """Ask every teacher; a fault of one is told when all had their turn."""
        drawn, faults = dict[str, GenerateResult](), dict[str, PotstillError]()
        for name in self._recipe.named_teachers:
            if self._control.stop.is_set():
                break
            try:
                with self._opened(name) as model:
                    drawn[name] = ask(name, model)
            except (ModelError, MissingExtraError) as error:
                faults[name] = error
        if len(faults) == 1 and not drawn:
            raise next(iter(faults.values()))
        if faults:
            told = "; ".join(f"{name}: {str(each).rstrip('.')}" for name, each in faults.items())
            others = f"What {' and '.join(drawn)} wrote is stored. " if drawn else ""
            raise ModelError(
                f"{told}. {others}Repeat the command to ask again, or take out of the recipe whom "
                "you can do without."
            )
        return drawn

    @contextmanager
    def _opened(self, name: str) -> Iterator[Model]:
        """A teacher while it is asked; only the first stays open, for later stages."""
        try:
            if name == FIRST:
                yield self.first
            else:
                yield open_model(self._recipe.teachers[name], self._control)
        finally:
            self._control.release()  # the next may need the same GPU

    def _remembered(self, name: str, model: Model) -> Teacher:
        """What is known of a teacher from the model itself, kept in the store."""
        teacher = Teacher(name=model.name, chat=model.chat)
        if not self._store.read_only:
            self._store.remember_teacher(teacher, settings_hash=self._hash(name))
        return teacher

    def _told_apart(self, name: str, model: str) -> None:
        """Refuse a teacher by whose name the answers of an earlier one are stored."""
        for other in takewhile(lambda each: each != name, self._recipe.named_teachers):
            known = self._store.teacher(settings_hash=self._hash(other))
            if known is not None and known.name == model:
                raise ConfigError(
                    f"the teachers {other} and {name} are both {model}, and their answers cannot "
                    "be told apart. Leave one out, or raise generate.samples."
                )

    def _hash(self, name: str) -> str:
        return settings_hash(self._recipe.named_teachers[name].model_dump(mode="json"))
