"""Settings of the evaluate stage."""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from potstill.evaluate.selection import SelectionRule
from potstill.grading.rules import AnyRule
from potstill.prompts.decomposition import Role
from potstill.prompts.exemplars import AnyFewShot
from potstill.prompts.formats import FORMAT_OF, AnyFormat, format_named
from potstill.prompts.styles import AnyStyle, shows_exemplars, style_named
from potstill.sampling.ask import SamplingParams
from potstill.settings import Settings
from potstill.tasks import AnyTask


class CardSettings(Settings):
    """Statements on the student's card that no run can know."""

    licence: str | None = None
    """The licence of the weights, by the hub's name for it, such as ``apache-2.0``: that of the
    start, the teacher's terms and the data allow. None is assumed."""

    languages: tuple[str, ...] = ()
    """ISO 639 codes; English for the tasks of potstill, for a file of your own none."""

    datasets: tuple[str, ...] = ()
    """Names on the hub of the data sets that the questions come from."""

    base_model: str | None = None
    """The start's name on the hub, where it was loaded from a folder."""


class VoteSettings(Settings):
    """Answers by a vote over samples (self-consistency, arXiv 2203.11171)."""

    samples: int = Field(default=8, ge=2)
    """Most samples of a question; fewer are drawn where those drawn have settled the vote."""

    temperature: float = Field(default=0.7, gt=0)
    """Softmax temperature of the samples."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass that tokens are drawn from; 1 keeps all."""


class GenericSettings(Settings):
    """The price: tasks unlike the one trained for, followed over the whole training."""

    tasks: tuple[AnyTask, ...] = Field(min_length=1)
    """Scored on ``dev`` at every checkpoint and on ``test`` at the end; divide BBH by ``hash``."""

    asked: tuple[AnyStyle, ...] = ()
    """Prompt styles in which every system is asked; empty: each in its own way."""

    exemplars: AnyFewShot | None = None
    """Worked questions for few_shot_cot and answer_only, e.g. BBH's cot-prompts folder."""

    rules: tuple[AnyRule, ...] = ()
    """Graders side by side, the first of which choices count by; empty: each task's own rule."""

    @field_validator("asked")
    @classmethod
    def _known_styles(cls, asked: tuple[AnyStyle, ...]) -> tuple[AnyStyle, ...]:
        for name in asked:
            style_named(name)
        return asked

    @model_validator(mode="after")
    def _exemplars_are_given(self) -> Self:
        styles = [style_named(name) for name in self.asked]
        few_shot = [style.name for style in styles if shows_exemplars(style)]
        if few_shot and self.exemplars is None:
            raise ValueError(
                f"asked names {few_shot[0]}, and no exemplars are given. Set generic.exemplars"
            )
        for name in ("asked", "rules"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} names one twice")
        return self


class PairSettings(Settings):
    """Two students, or one with both roles, that answer by sub-questions in turn."""

    questioner: str
    """The student that asks the sub-questions."""

    solver: str
    """The student that answers them; the questioner itself, if it was trained on both roles."""

    most_questions: int = Field(default=8, ge=1)
    """Most sub-questions of a question."""

    turn_tokens: int = Field(default=128, ge=1)
    """Longest sub-question or solution, in the student's tokens; turns are greedy."""

    count: Literal["own", "teacher"] | None = None
    """The source of the questioner's number of sub-questions; null: none, it ends when done."""

    teacher_questions: bool = True
    """Measure the solver also on the teacher's sub-questions, as ``NAME_teacher_questions``."""

    @property
    def roles(self) -> dict[str, set[Role]]:
        """The roles that each of the two must have been trained on."""
        asks: set[Role] = {"questioner"} if self.count is None else {"counted_questioner"}
        if self.count == "own":
            asks.add("counter")
        roles: dict[str, set[Role]] = {self.questioner: asks}
        roles.setdefault(self.solver, set()).add("solver")
        return roles


class EvaluateSettings(Settings):
    """The tasks that systems are measured on, how they are asked, the rule of choice."""

    teacher: bool = True
    """Measure the first teacher on the same questions; false leaves it out, and asks it nothing."""

    tasks: tuple[AnyTask, ...] = ()
    """Tasks beside the recipe's own, whose test splits show transfer and forgetting."""

    out_of_distribution: tuple[AnyTask, ...] = ()
    """Tasks of the family trained for; scored on ``dev`` at every checkpoint, and on ``test``."""

    generic: GenericSettings | None = None
    """Tasks that show the price in other abilities; null: none are followed."""

    select: SelectionRule = "in_distribution"
    """The development accuracy by which a student's checkpoint is chosen; all rules are reported.
    ``best_on_test`` chooses on the test questions themselves, for recomputing published figures:
    they come out too high, and every page says so."""

    asked_in: tuple[AnyFormat, ...] = ()
    """Further data formats to ask start and students in, on test, as ``NAME_FORMAT``."""

    max_tokens: int = Field(default=512, ge=1)
    """Longest answer, in the answering model's tokens; answers are greedy."""

    thinking_tokens: int | None = Field(default=None, ge=1)
    """Most tokens that starts and students may think for; then the closing mark is written for
    them, and they answer. Less than ``max_tokens``; null: no limit of its own."""

    socratic: dict[str, PairSettings] = Field(default={})
    """Pairs of students by name, which answer by sub-questions in turn (arXiv 2212.00193)."""

    vote: VoteSettings | None = None
    """Measure each trained student also by a vote over samples, as ``NAME_vote``; null: not."""

    bootstrap: int = Field(default=10_000, ge=100)
    """Resamples behind the interval of a difference."""

    confidence: int = Field(default=100, ge=0)
    """Most answers of a student on a task, of those where it differs from its start, whose tokens
    the page shades by their probability: one pass over each by a model on this machine. 0: none."""

    @field_validator("asked_in")
    @classmethod
    def _known_formats(cls, asked_in: tuple[AnyFormat, ...]) -> tuple[AnyFormat, ...]:
        formats = [format_named(name) for name in asked_in]
        if silent := [known.name for known in formats if not known.states_answer]:
            raise ValueError(f"a student asked in {silent[0]} gives no answer")
        return tuple(dict.fromkeys(asked_in))

    @model_validator(mode="after")
    def _thinking_leaves_room(self) -> Self:
        if self.thinking_tokens is not None and self.thinking_tokens >= self.max_tokens:
            raise ValueError(
                f"thinking_tokens is {self.thinking_tokens}, and max_tokens {self.max_tokens}, "
                "which leaves no room for an answer. Raise max_tokens"
            )
        return self

    @property
    def greedy(self) -> SamplingParams:
        """How starts and students are asked: greedily, within their limits."""
        return SamplingParams(max_tokens=self.max_tokens, thinking_tokens=self.thinking_tokens)

    @model_validator(mode="after")
    def _teacher_is_there(self) -> Self:
        for name, pair in self.socratic.items():
            if pair.count == "teacher" and not self.teacher:
                raise ValueError(
                    f"socratic.{name}.count is teacher, and teacher is false, which leaves the "
                    "teacher out. Give the pair count: own, or leave teacher out"
                )
        return self

    @model_validator(mode="after")
    def _rule_has_its_tasks(self) -> Self:
        if self.select in ("out_of_distribution", "worst_case") and not self.out_of_distribution:
            raise ValueError(
                f"select is {self.select}, which needs development tasks that were not trained "
                "for. List them in evaluate.out_of_distribution"
            )
        if self.select == "pareto" and self.generic is None:
            raise ValueError(
                "select is pareto, which weighs generic ability. Give evaluate.generic its tasks"
            )
        if self.select == "pareto" and self.socratic and self.generic and self.generic.asked:
            raise ValueError(
                "select is pareto, and evaluate.socratic names pairs, which cannot be asked in the "
                "prompt styles of generic.asked. Leave asked out, or take another rule"
            )
        return self


def check_pairs(
    pairs: Mapping[str, PairSettings],
    roles: Mapping[str, frozenset[Role]],
    *,
    silent: Iterable[str],
) -> None:
    """Refuse pairs and students that do not fit each other.

    Args:
        pairs: The pairs by name.
        roles: The roles that each student is trained for, by the student's label.
        silent: The labels of the students that answer no question alone.

    Raises:
        ValueError: A student of a pair is not trained for its role, or a silent student is in no
            pair.
    """
    for name, pair in pairs.items():
        for student, needed in pair.roles.items():
            if missing := sorted(needed - roles.get(student, frozenset())):
                raise ValueError(
                    f"evaluate.socratic.{name} needs {student} as {missing[0]}, which is not "
                    f"trained for it. Give train.students.{student} the data format "
                    f"{FORMAT_OF[missing[0]]}"
                )
    paired = {student for pair in pairs.values() for student in pair.roles}
    for student in silent:
        if student not in paired:
            raise ValueError(
                f"the student {student} answers no question alone. Name it in a pair of "
                "evaluate.socratic"
            )
