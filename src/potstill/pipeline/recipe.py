"""The recipe: one YAML file that composes the settings of all stages.

A first one::

    task: gsm8k
    teacher: {model: "openai:gpt-5-mini"}
    student: hf:Qwen/Qwen3-0.6B
    generate: {samples: 4}

Every stage owns its section. What is checked here is only what no stage can see alone: that the
sections fit each other. The recipe with every default filled in is written to the run's folder
before any work, and beside it the folders in which the modules of its ``module:name`` were found,
so that the run's own recipe finds them too.
"""

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from potstill.curate.settings import CurateSettings
from potstill.errors import ConfigError, shortened
from potstill.evaluate.settings import CardSettings, EvaluateSettings, check_pairs
from potstill.generate.settings import GenerateSettings
from potstill.grading.rules import JUDGE_RULE
from potstill.guide.settings import GuideSettings
from potstill.html_tables import html_text
from potstill.models.cluster.settings import AnyRunOn
from potstill.models.settings import (
    LocalSettings,
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
    model_settings,
    student_settings,
)
from potstill.module_folders import FOLDERS
from potstill.pipeline.learning_checks import check_learning
from potstill.pipeline.names import RESERVED, check_name, check_systems, named_starts
from potstill.pipeline.settings_file import change_setting, merged_runs, read_settings
from potstill.pipeline.track_settings import TrackSettings, with_one_track
from potstill.pipeline.unknown_costs import without_limits, without_prices
from potstill.prompts.exemplars import AnyFewShot
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import STYLES, shows_exemplars, style_named
from potstill.runtime.budget import BudgetSettings
from potstill.setting_names import references
from potstill.settings import Settings, build, unfit
from potstill.store.settings import StoreSettings
from potstill.tasks import AnyTask
from potstill.tasks.overlap import OverlapSettings
from potstill.tasks.settings import TaskSettings
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.whole_files import write_whole

AnyModel = (
    LocalSettings
    | OpenAISettings
    | VLLMSettings
    | RecordedSettings
    | SerializeAsAny[ModelSettings]  # a kind that an installed distribution adds
)
"""The settings of a model of any kind."""

RESOLVED = "recipe.yaml"
"""The file in a run's folder that holds the recipe with every default filled in."""

MODULE_FOLDERS = "module_folders.json"
"""A file in a run's folder: where the modules of its recipe were found.

Each folder stands there twice, from the run's folder and as a whole path: the one holds where both
are moved together, the other where the run alone is moved."""

TAKEN = {
    **RESERVED,
    "teacher": "it is the first teacher, which is set as teacher",
    "consensus": "it stands for the teachers' answer after a debate",
}
"""Names that further teachers cannot have, and by what they are taken."""


def _teacher(raw: object) -> ModelSettings:
    return model_settings(raw, at="teacher")


_AS_TEACHER = BeforeValidator(_teacher)


def _teachers(raw: object) -> object:
    """Further teachers by name, their names looked at."""
    if not isinstance(raw, Mapping):
        raise unfit(raw, "give names with models, e.g. {other: hf:NAME}", at="teachers")
    for name in raw:
        check_name(name, at="teachers", reserved=TAKEN)
    return raw


def _judge(raw: object) -> ModelSettings | None:
    return None if raw is None else model_settings(raw, at="judge")


def _student(raw: object) -> LocalSettings:
    return student_settings(raw, at="student")


class Wording(NamedTuple):
    """How a student words the rationales that it learns."""

    data_format: DataFormat
    keeps_thinking: bool
    """Whether the thinking of each stands before it; a mixture is not worded so."""


class Recipe(Settings):
    """Everything one run needs; one section a stage, each owned by its stage."""

    run: str
    """The run's folder."""

    task: AnyTask
    """The task to learn: its name, or a file of your own and its columns."""

    teacher: Annotated[AnyModel, _AS_TEACHER]
    """The model to learn from, as kind:where."""

    teachers: Annotated[dict[str, Annotated[AnyModel, _AS_TEACHER]], BeforeValidator(_teachers)] = (
        Field(default_factory=dict)
    )
    """Further teachers by name; the first is also measured beside the student, and guides it."""

    student: Annotated[LocalSettings, BeforeValidator(_student)]
    """The checkpoint to start from, as hf:NAME, hf:FOLDER or bundled:student."""

    reuse: bool = False
    """Go on in the run's folder though its task, teacher or student were others."""

    seed: int = Field(default=0, ge=0)
    """Seeds every random choice that the run makes."""

    exemplars: AnyFewShot | None = None
    """Worked questions: for a teacher asked by few_shot_cot, and for the start as a baseline."""

    judge: Annotated[AnyModel | None, BeforeValidator(_judge)] = None
    """The model that reads answers which the rules cannot; asked by ``rule: judge`` alone."""

    budget: BudgetSettings | None = None
    """The most that the run may spend on servers; null sets no limit."""

    run_on: AnyRunOn = None
    """The cluster whose workers ask the run's models, as ``ray`` or settings; null: none."""

    track: TrackSettings | None = None
    """Experiment trackers that the run reports to; null: none."""

    store: StoreSettings = StoreSettings()
    overlap: OverlapSettings = OverlapSettings()
    generate: GenerateSettings = GenerateSettings()
    curate: CurateSettings = CurateSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    card: CardSettings = CardSettings()

    guide: GuideSettings | None = None
    """The teacher's steps inside the student's answers; null: ``potstill run`` leaves them out."""

    @field_validator("run")
    @classmethod
    def _run_is_a_folder_of_its_own(cls, run: str) -> str:
        if Path(run).name in ("", "..") or any(not letter.isprintable() for letter in run):
            raise ValueError(
                f"run is {shortened(run)}. Name a folder of the run's own, e.g. runs/first"
            )
        return run

    _one_track = model_validator(mode="before")(with_one_track)

    @model_validator(mode="after")
    def _names_tell_systems_apart(self) -> "Recipe":
        starts = named_starts(self.train, self.student)
        check_systems(self.train, self.evaluate, starts, few_shot=self.exemplars is not None)
        return self

    @model_validator(mode="after")
    def _students_can_learn(self) -> "Recipe":
        check_learning(self.train, self.generate, self.curate, self.named_teachers)
        return self

    @model_validator(mode="after")
    def _teachers_are_several(self) -> "Recipe":
        teachers = list(self.named_teachers.values())
        if any(teacher in teachers[:place] for place, teacher in enumerate(teachers)):
            raise ValueError(
                "two of the teachers are the same model. Leave one out, or raise generate.samples"
            )
        if self.generate.debate is not None:
            if len(teachers) < 2:
                raise ValueError(
                    "generate.debate needs two teachers or more. Name some in teachers"
                )
            for name, teacher in self.named_teachers.items():
                if not teacher.can_continue:
                    raise ValueError(
                        f"{name} is {teacher.model}, and what was recorded cannot answer others. "
                        "Leave generate.debate out, or take another teacher"
                    )
        if self.curate.choose != "all" and len(teachers) < 2:
            raise ValueError(
                f"curate.choose is {self.curate.choose}, and there is one teacher. Name further "
                "ones in teachers, or leave curate.choose out"
            )
        return self

    @model_validator(mode="after")
    def _likelihoods_have_a_wording(self) -> "Recipe":
        if self.curate.measure is not None and self.wording is None:
            raise ValueError(
                f"curate.choose is {self.curate.choose}, which words rationales as a student "
                "learns them, and no student learns them in a format that shows no exemplars and "
                "has no role. Give one such a data_format, e.g. fine_tune_cot, or choose by "
                "agreement"
            )
        return self

    @model_validator(mode="after")
    def _exemplars_are_given(self) -> "Recipe":
        if self.generate.prompt_style is None or self.exemplars is not None:
            return self
        style = style_named(self.generate.prompt_style)
        if shows_exemplars(style):
            raise ValueError(f"generate.prompt_style is {style.name}, and no exemplars are given")
        return self

    @model_validator(mode="after")
    def _judge_is_asked(self) -> "Recipe":
        evaluated = self.evaluate
        generic = evaluated.generic
        rules = {
            task.rule
            for task in (self.task, *evaluated.tasks, *evaluated.out_of_distribution)
            if isinstance(task, TaskSettings)
        }
        rules.update(generic.rules if generic else ())
        if JUDGE_RULE in rules and self.judge is None:
            raise ValueError(
                "a task's rule is judge, and no model is to judge. Name one, e.g. "
                "judge: {model: openai:gpt-5-mini}, or leave the rule out"
            )
        if self.judge is not None and JUDGE_RULE not in rules:
            raise ValueError(
                f"judge is {self.judge.model}, and no task is graded by it. Set task.rule: judge, "
                "or leave judge out"
            )
        return self

    @model_validator(mode="after")
    def _budget_has_prices(self) -> "Recipe":
        if self.budget is None or self.budget.usd is None:
            return self
        for teacher in without_prices([*self.named_teachers.values(), self.judge]):
            raise ValueError(
                f"budget.usd is {self.budget.usd:g}, and what {teacher.model} costs at "
                f"{teacher.address} is not known. Set its prompt_price and completion_price "
                "in US dollars a million tokens (0 where it costs nothing), or budget.tokens "
                "in place of budget.usd"
            )
        return self

    @model_validator(mode="after")
    def _budget_has_limits(self) -> "Recipe":
        if self.budget is None:
            return self
        for model in without_limits([*self.named_teachers.values(), self.judge]):
            raise ValueError(
                f"budget is given, and body of {model.model} takes out the limit of an answer's "
                "tokens, without which nobody knows what a request may cost. Give the limit as "
                "body.max_completion_tokens or body.max_tokens, or leave budget out"
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
            {system.label: student.roles for system, student in students.items()},
            silent=[
                system.label for system, student in students.items() if not student.answers_alone
            ],
        )
        return self

    @model_validator(mode="after")
    def _rationales_can_be_taken_apart(self) -> "Recipe":
        learn = [name for name, student in self.train.students.items() if student.roles]
        asked = any(teacher.can_continue for teacher in self.named_teachers.values())
        style = self.generate.prompt_style
        decomposes = style is not None and style_named(style).asks_subquestions
        if learn and asked and not decomposes:
            fitting = [name for name, known in STYLES.items() if known.asks_subquestions]
            raise ValueError(
                f"the student {learn[0]} learns sub-questions with their solutions. Set "
                "generate.prompt_style to a style that asks for them, such as "
                f"{', '.join(fitting)}"
            )
        return self

    @model_validator(mode="after")
    def _guided_student_is_trained(self) -> "Recipe":
        guided = self.guide.student if self.guide else None
        trained = [system.label for system in self.train.sweep()]
        if guided is not None and guided not in trained:
            raise ValueError(
                f"guide.student is {guided!r}, which is not trained; there are: "
                f"{', '.join(trained)}"
            )
        return self

    @property
    def named_teachers(self) -> dict[str, AnyModel]:
        """All teachers by name, the first as ``teacher``."""
        return {"teacher": self.teacher, **self.teachers}

    @property
    def wording(self) -> Wording | None:
        """How rationales are worded that a student measures; None where no student learns any.

        A student's format that is not settled is taken as one without a chat template.
        """
        return worded_by(self.train.students.values())

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.run)

    def _repr_html_(self) -> str:
        """Returns the recipe as notebooks show it: what differs from the defaults."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
        return html_text(text, title="recipe, without what is as by default")


def worded_by(students: Iterable[StudentSettings]) -> Wording | None:
    """Returns how the first student words rationales that learns them alone; None without any.

    Its format shows no exemplars and has no role.
    """
    for student in students:
        for data_format in map(format_named, student.formats):
            shows_more = data_format.needs_exemplars or data_format.role is not None
            if data_format.needs_rationale and not shows_more:
                return Wording(data_format, keeps_thinking=student.long_share == 1)
    return None


def load_recipe(source: str | Path | Mapping[str, object], changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: A YAML file, or the same settings as a mapping, such as ``{"run": "runs/mine",
            "task": "gsm8k", ...}``. Where a file names no ``run`` folder, it is ``runs/`` and the
            file's name.
        changes: Settings to put in the place of its own, as ``train.steps=200``.

    What it names as ``module:name`` is not imported yet; see
    :func:`potstill.setting_names.resolve_names`.

    Raises:
        ConfigError: The file is missing or is not YAML, a setting is unknown or out of bounds, or
            by a module's name a recipe that was loaded before means another file.
    """
    if isinstance(source, Mapping):
        raw = deepcopy(dict(source))
        for change in changes:
            change_setting(raw, change)
        recipe = build(Recipe, raw, at="recipe")
        FOLDERS.add(Path(), [], references(recipe))
        return recipe
    path = Path(source)
    raw = read_settings(path, changes)
    _require_no_merge(path, raw)
    recipe = build(Recipe, {"run": f"runs/{path.stem}", **raw}, at=str(path))
    _check_recipe_stays(path, recipe)
    FOLDERS.add(path.parent, _module_folders(path.parent), references(recipe))
    return recipe


def _require_no_merge(path: Path, raw: Mapping[str, object]) -> None:
    if folders := merged_runs(raw):
        raise ConfigError(
            f"{path} is of a merge of {len(folders)} runs, and no recipe: its results are in "
            f"{path.parent / 'report.html'}. To go on with it, or to grade its answers again, "
            "repeat the command that made it: potstill merge "
            f"{shlex.join(folders)} --out {path.parent} ..."
        )


def _check_recipe_stays(path: Path, recipe: Recipe) -> None:
    """Refuse a run's folder in which a user's own recipe would be written over."""
    written = recipe.folder / RESOLVED
    if not (written.exists() and path.samefile(written)):
        return
    begun = (recipe.folder / "run.sqlite").exists()
    if not begun and path.read_text(encoding="utf-8") != resolved(recipe):
        raise ConfigError(
            f"{path}: run is {recipe.folder}, where the resolved recipe would be written over "
            "this file. Name another folder as run, or the file otherwise."
        )


def read_yaml(path: Path, changes: Sequence[str]) -> dict[str, object]:
    """The settings in a file, with changes; ``module:name`` in them is looked for beside it.

    Raises:
        ConfigError: The file is missing or is not YAML, or a change cannot be made.
    """
    raw = read_settings(path, changes)
    FOLDERS.add(path.parent, _module_folders(path.parent))
    return raw


def resolved(recipe: Recipe) -> str:
    """Returns the recipe with every default filled in, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def write_resolved(recipe: Recipe) -> None:
    """Write the recipe with every default filled in to the run's folder, before any work.

    Where modules of a user's own were imported for it, their folders are written beside it.
    """
    write_whole(recipe.folder / RESOLVED, resolved(recipe))
    known = _module_folders(recipe.folder)
    holding = map(FOLDERS.holding, references(recipe))
    found = dict.fromkeys(folder for folder in holding if folder is not None)
    found.pop(recipe.folder.resolve(), None)  # it is looked in anyway
    if not found.keys() <= {*known}:
        folders = dict.fromkeys([*found, *(folder for folder in known if folder.is_dir())])
        places = [
            place
            for folder in folders
            for place in (os.path.relpath(folder, recipe.folder.resolve()), str(folder))
        ]
        write_whole(recipe.folder / MODULE_FOLDERS, json.dumps(places))


def _module_folders(folder: Path) -> list[Path]:
    """The folders in which a run found its modules; none where the folder is not a run's."""
    file = folder / MODULE_FOLDERS
    if not file.is_file():
        return []
    try:
        places = json.loads(file.read_bytes())
        return list(dict.fromkeys((folder / place).resolve() for place in places))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{file} is no list of folders. Remove it, and put the recipe's modules beside it."
        ) from error


__all__ = ["Recipe", "load_recipe", "write_resolved"]
