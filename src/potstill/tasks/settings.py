"""Tasks by name, and which of their questions are learned or measured on.

A task is a published set, a procedural family, or a file of questions. An installed distribution
adds sets and families by entry points in the group ``potstill.tasks``, see docs/extending.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from potstill.errors import ConfigError
from potstill.grading.answers import READERS
from potstill.grading.rules import OWN_RULE, AnyRule, rule_named
from potstill.plugins import Registry, guarded
from potstill.records import Task
from potstill.setting_names import NameOf
from potstill.settings import Settings, build, unfit
from potstill.tasks.datasets import DATASETS, Dataset
from potstill.tasks.procedural import FAMILIES, Family

_FILE_ENDINGS = {
    ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".gz", ".xlsx", ".xls",
}  # fmt: skip
"""Endings by which a name is taken for that of a file."""

SplitName = Literal["published", "fine_tune_cot", "template", "hash"]


def _guard_task(task: Dataset | Family, label: str) -> Dataset | Family:
    """The same task, in whose functions a failure is one line."""
    if isinstance(task, Family):
        return replace(task, draw=guarded(task.draw, f"draw of {label}"))
    read_hub = guarded(task.read_hub, f"read_hub of {label}") if task.read_hub else None
    return replace(task, read=guarded(task.read, f"read of {label}"), read_hub=read_hub)


TASKS = Registry[Dataset | Family](
    "task",
    {**DATASETS, **FAMILIES},
    group="potstill.tasks",
    fits=lambda thing: isinstance(thing, Dataset | Family),
    guard=_guard_task,
)
"""The published sets and procedural families by name."""


AnyAnswerType = Annotated[str, NameOf(READERS)]
"""An answer type in a recipe: the name of one, or ``module:name`` of a reader."""


class TaskSettings(Settings):
    """A task: a name that potstill knows, or a file of yours."""

    name: str | None = None
    """A task that ``potstill tasks`` lists: a published set or a procedural family."""

    file: Path | None = None
    """Your own questions: JSON lines, a JSON array, CSV or other separated text, or Parquet."""

    encoding: str | None = None
    """The file's encoding where it is not UTF-8 and no byte order mark says it, e.g. ``cp1252``."""

    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """The sign between the columns of separated text; by default found from the file."""

    path: Path | None = None
    """The original file of a published set, or its folder; by default it is read from the hub."""

    split_file: Path | None = None
    """JSON ``{"train": [...], "test": [...]}`` with positions, for a set without its own split."""

    split: SplitName = "published"
    """The divider of the questions: their authors (else a hash), a published draw, or templates."""

    question: str | tuple[str, ...] = "question"
    """Column of the file with the question, or a list of columns that make it up in this order, an
    empty line between them, such as ``[passage, question]``."""

    answer: str = "answer"
    """Column of the file with the gold answer; for a choice a letter or an option's exact text."""

    choices: str | tuple[str, ...] | None = None
    """Column of the file with the options, or a list of columns with an option each."""

    id: str | None = None
    """Column of the file with unique ids; by default ids are made from the text."""

    template_id: str | None = None
    """Column of the file shared by questions that differ only in names and numbers."""

    answer_type: AnyAnswerType | None = None
    """The type of the file's answers, or ``module:name`` of a reader; by default ``choice`` with a
    choices column, else ``number``."""

    rule: AnyRule = OWN_RULE
    """The reader of answers: our grader, or a published code's rule, to recompute its figures."""

    train: int | None = Field(default=None, ge=0)
    """Training questions; by default all, of a procedural family 500."""

    dev: int | None = Field(default=None, ge=0)
    """Development questions, cut from train; by default a tenth, at most 500, of a family 200."""

    test: int | None = Field(default=None, ge=0)
    """Test questions; by default all, of a procedural family 300."""

    split_seed: int = 0
    """Settles which questions go to which split."""

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError("no such encoding; usual ones are utf-8, cp1252, utf-16") from error
        return encoding

    @field_validator("question")
    @classmethod
    def _has_parts(cls, question: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(question, tuple) and len(set(question)) < max(len(question), 2):
            raise ValueError("give one column by its name, or the names of two or more, each once")
        return question

    @property
    def question_columns(self) -> tuple[str, ...]:
        """The columns that make up a question, in their order."""
        return (self.question,) if isinstance(self.question, str) else self.question

    @field_validator("choices")
    @classmethod
    def _are_several(cls, choices: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(choices, tuple) and len(choices) < 2:
            raise ValueError("give one column by its name, or the columns of two options or more")
        return choices

    @field_validator("name")
    @classmethod
    def _spelt_as_known(cls, name: str | None) -> str | None:
        if name is not None and spelt(name) is None:
            raise ValueError(unknown(name))
        return None if name is None else spelt(name)

    @property
    def shown_name(self) -> str:
        """The task's name, which of a file is the file's without its ending; nothing is read."""
        return self.file.stem if self.file is not None else str(self.name)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (self.file is None):
            raise ValueError("a task needs either name or file, and not both")
        is_published = self.name is not None and isinstance(TASKS[self.name], Dataset)
        if (self.path or self.split_file) and not is_published:
            raise ValueError(
                "path and split_file are for published sets; potstill tasks lists them"
            )
        if self.split_file and self.split != "published":
            raise ValueError(f"split is {self.split!r}, and there is a split_file; give one")
        if self.split == "fine_tune_cot" and not is_published:
            raise ValueError(
                "split: fine_tune_cot is for published sets; potstill tasks lists them"
            )
        return self


@lru_cache
def task_named(name: str, *, rule: str = OWN_RULE) -> Task:
    """A task without its questions, which is all that grading needs.

    Args:
        name: The name of a task, or an answer type for any other.
        rule: How answers are read.

    Raises:
        ConfigError: There is no such task or rule.
    """
    return replace(_unruled(name), rule=rule_named(rule))


def _unruled(name: str) -> Task:
    """The task of this name, to be graded by potstill's own rule."""
    if name in READERS:
        READERS.named(name)  # loads it, if it is one of a user's own
        return Task(name=name, answer_type=name, splits={})
    known = spelt(name)
    if known is None:
        raise ConfigError(_unknown_to_grade(name))
    listed = TASKS[known]
    if isinstance(listed, Family):
        return Task(name=known, answer_type=listed.answer_type, splits={})
    return Task(
        name=known,
        answer_type=listed.answer_type,
        splits={},
        source=listed.source,
        licence=listed.licence,
    )


def spelt(name: str) -> str | None:
    """A known task's name as it is spelt here; case and punctuation do not count."""
    if name in TASKS:
        return name
    return {_letters(known): known for known in task_names()}.get(_letters(name))


def unknown(name: str) -> str:
    """The message that no task has this name, with the nearest that one has."""
    letters = {_letters(known): known for known in task_names()}
    if Path(name).suffix.lower() in _FILE_ENDINGS or Path(name).is_file():
        return f"there is no task {name!r}. For a file of your own write task: {{file: {name}}}."
    near = get_close_matches(_letters(name), letters, n=1)
    hint = f"Did you mean {letters[near[0]]!r}?" if near else "potstill tasks lists them."
    return f"there is no task {name!r}. {hint}"


def _unknown_to_grade(name: str) -> str:
    """The message that no task and no answer type has this name, with the nearest that one has."""
    endings = (*_FILE_ENDINGS, ".yaml", ".yml")
    if Path(name).suffix.lower() in endings or Path(name).is_file() or "/" in name:
        return (
            f"there is no task {name!r}. A file is none: name the type of its answers, which is "
            f"one of {', '.join(READERS)}."
        )
    letters = {_letters(known): known for known in [*task_names(), *READERS]}
    near = get_close_matches(_letters(name), letters, n=1)
    hint = f"Did you mean {letters[near[0]]!r}?" if near else "potstill tasks lists them."
    return f"there is no task or answer type {name!r}. {hint}"


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def task_names() -> list[str]:
    """The names of all tasks that potstill knows."""
    return list(TASKS)


def task_settings(raw: object, *, at: str) -> TaskSettings:
    """Make a task's settings from its name, or from a mapping.

    Raises:
        ConfigError: The name or a setting is unknown, or a value cannot be used.
    """
    if isinstance(raw, TaskSettings):
        return raw
    if isinstance(raw, str) and spelt(raw) is None:
        raise unfit(raw, unknown(raw), at=at)
    values = {"name": raw} if isinstance(raw, str) else raw
    if not isinstance(values, Mapping):
        raise unfit(raw, "give a task's name, or a mapping with name or file", at=at)
    return build(TaskSettings, values, at=at)


def _task(raw: object) -> TaskSettings:
    return task_settings(raw, at="task")


AnyTask = Annotated[TaskSettings, BeforeValidator(_task)]
"""A task in a recipe: its name, or a mapping with name or file."""
