"""The inputs that determine the results of each stage: settings and data, by name.

A stage keeps its inputs with its results; stale.py compares them with those of today's recipe.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import yaml

from potstill.curate.marks import marks_digest
from potstill.errors import PotstillError
from potstill.guide import GuideSettings
from potstill.keys import listed_hash, question_digest, settings_hash
from potstill.prompts.formats import format_named
from potstill.records import Question, Task
from potstill.settings import Settings
from potstill.store import Stage, Store
from potstill.tasks import task_named, task_settings
from potstill.tasks.files import answer_type_of
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from potstill.pipeline.run import Run

SAME_STUDENT = {"students", "starts", "batch_tokens", "gradient_checkpointing"}
"""Settings of training that are kept with each student, or do not change what it learns."""

QUESTIONS, GOLD = "the training questions", "the gold answers"

RULE, ANSWER_TYPE = "task.rule", "task.answer_type"
READING = (RULE, ANSWER_TYPE)
"""Inputs that settle how stored answers are read; after a change they are only read again."""


class Inputs(NamedTuple):
    """The inputs that determine the results of a stage."""

    values: Mapping[str, object]
    """JSON values by name: a setting's, or ``the ...`` for data of which a digest is kept."""

    defaults: frozenset[str] = frozenset()
    """Settings that have their default value; results from before the setting agree with it."""

    @property
    def digest(self) -> str:
        """A digest of all values; stored with each row of the results."""
        return settings_hash(self.values)


def curate_inputs(run: "Run") -> Inputs:
    """Returns what determines the rationales: who wrote them, how, and which are kept."""
    recipe, task = run.recipe, run.task
    values, defaults = dict[str, object](), frozenset[str]()
    for name in recipe.named_teachers:
        values["teacher" if name == "teacher" else f"teachers.{name}"] = _teacher(run, name)
        values["the prompt style" if name == "teacher" else f"the prompt style of {name}"] = _style(
            run, name
        )
    for section, settings in (("generate", recipe.generate), ("curate", recipe.curate)):
        own = _section(section, settings, exclude={"prompt_style"})
        values, defaults = {**values, **own.values}, defaults | own.defaults
    if recipe.generate.temperature > 0:  # greedy answers do not depend on it
        values["seed"] = recipe.seed
    if recipe.curate.measure is not None:
        values["student"] = recipe.student.model
    if (digest := marks_digest(recipe.curate.marks)) is not None:
        values["the marks"] = {"count": 1, "texts": digest}
    values |= {**_reading(task), **_judge(run), **_training_questions(task)}
    return Inputs(values, defaults)


def train_inputs(run: "Run") -> Inputs:
    """Returns what determines the students: their settings, and the data that they learn."""
    recipe = run.recipe
    common = _section("train", recipe.train, exclude=SAME_STUDENT)
    scoring = _scoring_teachers(run)
    values: dict[str, object] = {
        "seed": recipe.seed,
        **common.values,
        **scoring,
        **_training_questions(run.task),
    }
    for system, student in recipe.train.sweep().items():
        values[f"train.students.{system.label}"] = run.students.settler.inputs(system, student)
    if learns_rationales(recipe.train.students.values()):
        values["the rationales"] = _rationales(run.store)
    return Inputs(values, common.defaults | scoring.keys())


def evaluate_inputs(run: "Run") -> Inputs:
    """Returns what determines the scores: the systems, the questions and how they are asked."""
    recipe = run.recipe
    # Values kept beside the answers change none of them.
    settings = _section("evaluate", recipe.evaluate, exclude={"confidence"})
    values: dict[str, object] = {
        "seed": recipe.seed,
        **settings.values,
        "the checkpoints": _checkpoints(run.store),
        "student": recipe.student.model,
        **_reading(run.task),
        **_judge(run),
    }
    if recipe.student.control_tokens:
        values["student.control_tokens"] = True
    if recipe.student.serve is not None:
        values["student.serve"] = recipe.student.model_dump(mode="json")["serve"]
    if recipe.evaluate.teacher:
        values |= {"teacher": _teacher(run, "teacher"), "the prompt style": _style(run, "teacher")}
    for entry in run.entries:
        for split in ("dev", "test") if entry.followed else ("test",):
            name = "development" if split == "dev" else "test"
            values[f"the {name} questions of {entry.name}"] = _questions(entry.task.splits[split])
    return Inputs(values, settings.defaults)


def guide_inputs(run: "Run") -> Inputs:
    """Returns what determines the guided scores: the student, its teacher and the questions."""
    recipe, task = run.recipe, run.task
    # The price that the user would pay settles the recommendation, and no score.
    settings = _section("guide", recipe.guide or GuideSettings(), exclude={"teacher_tokens"})
    values: dict[str, object] = {
        "seed": recipe.seed,
        **settings.values,
        "evaluate.max_tokens": recipe.evaluate.max_tokens,
        **_reading(task),
        "teacher": _teacher(run, "teacher"),
        "the prompt style": _style(run, "teacher"),
        "the checkpoints": _checkpoints(run.store),
        "the development questions": _questions(task.splits["dev"]),
        "the test questions": _questions(task.splits["test"]),
    }
    return Inputs(values, settings.defaults)


STAGE_INPUTS: Mapping[Stage, Callable[["Run"], Inputs]] = {
    "curate": curate_inputs,
    "train": train_inputs,
    "evaluate": evaluate_inputs,
    "guide": guide_inputs,
}
"""For each stage, the function that returns its inputs in a run."""


def reading_then(recipe: str) -> dict[str, object]:
    """Returns how a former recipe had answers to its task read; empty where it cannot be told.

    Args:
        recipe: The recipe as YAML.
    """
    try:
        values = yaml.safe_load(recipe)
        settings = task_settings(values["task"], at="task")
        kind = task_named(settings.name).answer_type if settings.name else answer_type_of(settings)
    except (yaml.YAMLError, PotstillError, TypeError, KeyError):
        return {}
    return {RULE: settings.rule, ANSWER_TYPE: kind}


# the values of inputs ----------------------------------------------------------------------------


def learns_rationales(students: Iterable[StudentSettings]) -> bool:
    """Whether any of the students learns from rationales, or from worked questions with them.

    A student on its own answers learns them only where ``on_policy.mix`` has them beside.
    """
    learning = [one for one in students if one.on_policy is None or one.on_policy.mix]
    formats = {format_named(name) for student in learning for name in student.formats}
    return any(one.needs_rationale or one.needs_exemplars for one in formats)


def _section(name: str, settings: Settings, *, exclude: Collection[str] = ()) -> Inputs:
    """Returns a section's settings by their full names.

    Inside a setting of several parts only those are kept that are not default, so that a part which
    a later version adds makes no difference.
    """
    full = settings.model_dump(mode="json", exclude={*exclude})
    given = settings.model_dump(mode="json", exclude={*exclude}, exclude_defaults=True)
    values = {f"{name}.{field}": given.get(field, full[field]) for field in full}
    return Inputs(values, frozenset(f"{name}.{field}" for field in full.keys() - given.keys()))


def _reading(task: Task) -> dict[str, object]:
    """Returns how answers to a task are read and compared, as two inputs."""
    return {RULE: task.rule, ANSWER_TYPE: task.answer_type}


def _judge(run: "Run") -> dict[str, object]:
    """Returns by what name a judge's answers are stored, as an input; empty where none is asked."""
    judge = run.recipe.judge
    if judge is None:
        return {}
    try:
        return {"judge": judge.identity().name}
    except PotstillError:
        return {"judge": judge.model}


def _teacher(run: "Run", name: str) -> str:
    """Returns by what name a teacher's answers are stored; kind:where if it cannot be told now."""
    try:
        return run.teachers.known(name).name
    except PotstillError:
        return run.recipe.named_teachers[name].model


def _scoring_teachers(run: "Run") -> dict[str, object]:
    """Returns who scores what on-policy students write, and how they are asked."""
    students = run.recipe.train.students.values()
    names = {student.on_policy.teacher for student in students if student.on_policy is not None}
    values: dict[str, object] = {}
    for name in sorted(names):
        is_first = name == "teacher"
        values["teacher" if is_first else f"teachers.{name}"] = _teacher(run, name)
        style = "the prompt style" if is_first else f"the prompt style of {name}"
        values[style] = _style(run, name)
    return values


def _style(run: "Run", name: str) -> object:
    """Returns the name of the style that a teacher is asked in, and a digest of all it says."""
    try:
        asking = run.teachers.asking(name)
    except PotstillError:
        return None
    request = asking.request(Question(id="", text="QUESTION", answer="", choices=("ONE", "TWO")))
    prompt = request.prompt
    turns = prompt if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]
    text = settings_hash(turns, request.stop, asking.style.answer_cue)
    return {"name": asking.style.name, "text": text}


def _questions(questions: Sequence[Question]) -> object:
    """Returns how many questions there are, with digests of their texts and gold answers."""
    return {
        "count": len(questions),
        "texts": listed_hash(map(question_digest, questions)),
        "answers": listed_hash(question.answer for question in questions),
    }


def _training_questions(task: Task) -> dict[str, object]:
    """Returns the same of training questions, as two inputs: gold answers take no new asking."""
    questions = task.splits["train"]
    answers = (question.answer for question in questions)
    return {
        QUESTIONS: {
            "count": len(questions),
            "texts": listed_hash(map(question_digest, questions)),
        },
        GOLD: {
            "count": len(questions),
            "texts": listed_hash(map(question_digest, questions), answers),
        },
    }


def _rationales(store: Store) -> object:
    """Returns how many rationales there are, with a digest of all that students learn of them."""
    rationales = store.rationales()
    learned = (
        (one.question_id, one.teacher, one.sample, one.text, one.verdict, one.gold)
        for one in rationales
    )
    return {"count": len(rationales), "texts": listed_hash(learned)}


def _checkpoints(store: Store) -> object:
    """Returns how many checkpoints there are, with a digest of their names."""
    folders = [checkpoint.folder for checkpoint in store.checkpoints()]
    return {"count": len(folders), "texts": settings_hash(folders)}
