"""The recipe: one YAML file that composes the settings of all stages."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BeforeValidator, Field, model_validator

from potstill.curate.settings import CurateSettings
from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, check_pairs
from potstill.generate.settings import GenerateSettings
from potstill.guide.settings import GuideSettings
from potstill.models.openai.cost import prices_of
from potstill.models.settings import (
    LocalSettings,
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
    model_settings,
    student_settings,
)
from potstill.prompts.exemplars import AnyFewShot
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import DECOMPOSING, shows_exemplars, style_named
from potstill.runtime.budget import BudgetSettings
from potstill.settings import Settings, build
from potstill.tasks import TaskSettings, task_settings
from potstill.tasks.overlap import OverlapSettings
from potstill.train.settings import TrainSettings

AnyModel = LocalSettings | OpenAISettings | VLLMSettings | RecordedSettings

TAKEN = ("teacher", "consensus")
"""Names that further teachers cannot have."""


def _teacher(raw: object) -> ModelSettings:
    return model_settings(raw, at="teacher")


def _teachers(raw: object) -> dict[str, ModelSettings]:
    """Further teachers by name."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"teachers is {raw!r}: give names with models, e.g. {{other: hf:NAME}}.")
    for name in raw:
        if not re.fullmatch("[a-z][a-z0-9_]*", str(name)) or name in TAKEN:
            raise ConfigError(
                f"teachers.{name}: take a name of small letters, digits and _ that is not "
                f"{' or '.join(TAKEN)}."
            )
    return {name: model_settings(each, at=f"teachers.{name}") for name, each in raw.items()}


def _student(raw: object) -> LocalSettings:
    return student_settings(raw, at="student")


def _task(raw: object) -> TaskSettings:
    return task_settings(raw, at="task")


class Recipe(Settings):
    """Everything one run needs; one section a stage, each owned by its stage."""

    run: str
    """The run's folder."""

    task: Annotated[TaskSettings, BeforeValidator(_task)]
    """What is to be learned: a task's name, or a file of your own and its columns."""

    teacher: Annotated[AnyModel, BeforeValidator(_teacher)]
    """Whom to learn from, as kind:where."""

    teachers: Annotated[dict[str, AnyModel], BeforeValidator(_teachers)] = Field(
        default_factory=dict
    )
    """Further teachers by name; the first is also measured beside the student, and guides it."""

    student: Annotated[LocalSettings, BeforeValidator(_student)]
    """The checkpoint to start from, as hf:NAME, hf:FOLDER or bundled:student."""

    seed: int = Field(default=0, ge=0)
    """Seeds every random choice that the run makes."""

    exemplars: AnyFewShot | None = None
    """Worked questions: for a teacher asked by few_shot_cot, and for the start as a baseline."""

    budget: BudgetSettings | None = None
    """The most that the run may spend on servers; null sets no limit."""

    overlap: OverlapSettings = OverlapSettings()
    generate: GenerateSettings = GenerateSettings()
    curate: CurateSettings = CurateSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    guide: GuideSettings | None = None
    """The teacher's steps inside the student's answers; null: ``potstill run`` leaves them out."""

    @model_validator(mode="after")
    def _samples_are_drawn(self) -> "Recipe":
        for name, student in self.train.students.items():
            if student.samples is not None and student.samples > self.generate.samples:
                raise ValueError(
                    f"train.students.{name}.samples is {student.samples}, and generate.samples "
                    f"draws only {self.generate.samples} for each question"
                )
        return self

    @model_validator(mode="after")
    def _probabilities_are_kept(self) -> "Recipe":
        for name, student in self.train.students.items():
            if student.matching.distribution and not self.generate.top_logprobs:
                raise ValueError(
                    f"train.students.{name}.matching needs the teacher's token probabilities. Set "
                    "generate.top_logprobs, e.g. to 5"
                )
        return self

    @model_validator(mode="after")
    def _teachers_are_several(self) -> "Recipe":
        named = list(self.named_teachers.values())
        if any(each in named[:place] for place, each in enumerate(named)):
            raise ValueError(
                "two of the teachers are the same model. Leave one out, or raise generate.samples"
            )
        if self.generate.debate is not None:
            if len(named) < 2:
                raise ValueError(
                    "generate.debate needs two teachers or more. Name some in teachers"
                )
            for name, each in self.named_teachers.items():
                if isinstance(each, RecordedSettings):
                    raise ValueError(
                        f"{name} is {each.model}, and what was recorded cannot answer others. "
                        "Leave generate.debate out, or take another teacher"
                    )
        if self.curate.choose != "all" and len(named) < 2:
            raise ValueError(
                f"curate.choose is {self.curate.choose}, and there is one teacher. Name further "
                "ones in teachers, or leave curate.choose out"
            )
        return self

    @model_validator(mode="after")
    def _likelihoods_have_a_wording(self) -> "Recipe":
        if self.curate.choose == "likelihood" and self.likelihood_format is None:
            raise ValueError(
                "curate.choose is likelihood, which words rationales as a student learns them, and "
                "no student learns them in a format that shows no exemplars and has no role. Give "
                "one such a data_format, e.g. fine_tune_cot, or choose by agreement"
            )
        return self

    @model_validator(mode="after")
    def _exemplars_are_given(self) -> "Recipe":
        style = self.generate.prompt_style
        if style and shows_exemplars(style_named(style)) and self.exemplars is None:
            raise ValueError(f"generate.prompt_style is {style}, and no exemplars are given")
        return self

    @model_validator(mode="after")
    def _budget_has_prices(self) -> "Recipe":
        if self.budget is None or self.budget.usd is None:
            return self
        teachers = self.named_teachers.values()
        for server in (each for each in teachers if isinstance(each, OpenAISettings)):
            if not prices_of(server).known:
                raise ValueError(
                    f"budget.usd is {self.budget.usd:g}, and what {server.model} costs at "
                    f"{server.base_url} is not known. Set its prompt_price and completion_price "
                    "in US dollars a million tokens (0 where it costs nothing), or budget.tokens "
                    "in place of budget.usd"
                )
        return self

    @model_validator(mode="after")
    def _generic_ability_is_followed(self) -> "Recipe":
        stop = self.train.stop
        if stop and stop.generic_loss is not None and self.evaluate.generic is None:
            raise ValueError(
                f"train.stop.generic_loss is {stop.generic_loss:g}, and no generic tasks are "
                "followed. Give evaluate.generic its tasks"
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_trained(self) -> "Recipe":
        students = self.train.sweep()
        check_pairs(
            self.evaluate.socratic,
            {name: each.roles for name, each in students.items()},
            silent=[name for name, each in students.items() if not each.answers_alone],
        )
        return self

    @model_validator(mode="after")
    def _rationales_can_be_taken_apart(self) -> "Recipe":
        learn = [name for name, each in self.train.students.items() if each.roles]
        asked = [
            each for each in self.named_teachers.values() if not isinstance(each, RecordedSettings)
        ]
        if learn and asked and self.generate.prompt_style not in DECOMPOSING:
            raise ValueError(
                f"the student {learn[0]} learns sub-questions with their solutions. Set "
                "generate.prompt_style to a style that asks for them, such as "
                f"{', '.join(DECOMPOSING)}"
            )
        return self

    @model_validator(mode="after")
    def _guided_student_is_trained(self) -> "Recipe":
        named = self.guide.student if self.guide else None
        if named is not None and named not in self.train.sweep():
            raise ValueError(
                f"guide.student is {named!r}, which is not trained; there are: "
                f"{', '.join(self.train.sweep())}"
            )
        return self

    @property
    def named_teachers(self) -> dict[str, AnyModel]:
        """All teachers by name, the first as ``teacher``."""
        return {"teacher": self.teacher, **self.teachers}

    @property
    def likelihood_format(self) -> DataFormat | None:
        """How ``choose: likelihood`` words rationales: as the first student that can does."""
        names = (name for student in self.train.students.values() for name in student.formats)
        formats = (format_named(name) for name in names)
        return next(
            (
                each
                for each in formats
                if each.needs_rationale and not each.needs_exemplars and each.role is None
            ),
            None,
        )

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.run)


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: A YAML file. Where it names no ``run`` folder, it is ``runs/`` and the file's name.
        changes: Settings to put in the place of the file's, as ``train.steps=200``.

    Raises:
        ConfigError: The file is missing or is not YAML, a setting is unknown or out of bounds.
    """
    raw = read_yaml(path, changes)
    return build(Recipe, {"run": f"runs/{path.stem}", **raw}, at=str(path))


def read_yaml(path: Path, changes: Sequence[str]) -> dict[str, object]:
    """The settings in a file, with changes.

    Raises:
        ConfigError: The file is missing or is not YAML, or a change cannot be made.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no settings; see README.md for a first recipe.")
    for change in changes:
        change_setting(raw, change)
    return raw


def change_setting(raw: dict[str, object], change: str) -> None:
    """Apply one ``section.name=value``; the value is read as YAML."""
    name, equals, value = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change!r}: give NAME=VALUE, e.g. train.steps=200.")
    try:
        setting = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {change!r}: the value is not YAML.") from error
    *sections, last = name.strip().split(".")
    place, within = raw, ""
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = place[section] = _long_form(section, inner, within)
        place, within = inner, section
    place[last] = setting


def _long_form(section: str, short: object, within: str) -> dict[str, object]:
    """A section given in short, such as ``task: gsm8k``, as a mapping that can be added to."""
    known = {"task": "name", "teacher": "model", "student": "model"}
    key = "model" if within == "teachers" else known.get(section)
    if key is None:
        raise ConfigError(f"--set: {section} is {short!r}, which has no settings inside.")
    return {key: short}


def write_resolved(recipe: Recipe) -> None:
    """Write the recipe with every default filled in to the run's folder, before any work."""
    recipe.folder.mkdir(parents=True, exist_ok=True)
    values = recipe.model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    (recipe.folder / "recipe.yaml").write_text(text, encoding="utf-8")


__all__ = ["Recipe", "load_recipe", "write_resolved"]
