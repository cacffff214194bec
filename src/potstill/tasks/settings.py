"""Which questions are learned or measured on, and how many of each split."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, cast, get_args

from pydantic import Field, field_validator, model_validator

from potstill.errors import ConfigError
from potstill.grading.answers import READERS
from potstill.records import AnswerType, RuleName, Task
from potstill.settings import Settings, build
from potstill.tasks.datasets import DATASETS
from potstill.tasks.procedural import FAMILIES

SplitName = Literal["published", "fine_tune_cot", "template", "hash"]


class TaskSettings(Settings):
    """A task: a name that potstill knows, or a file of yours."""

    name: str | None = None
    """A task that ``potstill tasks`` lists: a published set or a procedural family."""

    file: Path | None = None
    """Your own questions: JSONL, a JSON array, CSV or Parquet."""

    path: Path | None = None
    """The original file of a published set, or its folder; by default it is read from the hub."""

    split_file: Path | None = None
    """JSON ``{"train": [...], "test": [...]}`` with positions, for a set without its own split."""

    split: SplitName = "published"
    """What divides the questions: their authors (else a hash), a published draw, or templates."""

    question: str = "question"
    """Column of the file with the question."""

    answer: str = "answer"
    """Column of the file with the gold answer; for a choice a letter or an option's exact text."""

    choices: str | None = None
    """Column of the file with the list of options; in CSV a JSON array."""

    id: str | None = None
    """Column of the file with unique ids; by default ids are made from the text."""

    template_id: str | None = None
    """Column of the file shared by questions that differ only in names and numbers."""

    answer_type: AnswerType | None = None
    """What the file's answers are; by default ``choice`` with a choices column, else ``number``."""

    rule: RuleName = "potstill"
    """How answers are read: our grader, or the published code's rule, to recompute its figures."""

    train: int | None = Field(default=None, ge=0)
    """Training questions; by default all, of a procedural family 500."""

    dev: int | None = Field(default=None, ge=0)
    """Development questions, cut from train; by default a tenth, at most 500, of a family 200."""

    test: int | None = Field(default=None, ge=0)
    """Test questions; by default all, of a procedural family 300."""

    split_seed: int = 0
    """Settles which questions go to which split."""

    @field_validator("name")
    @classmethod
    def _spelt_as_known(cls, name: str | None) -> str | None:
        if name is not None and spelt(name) is None:
            raise ConfigError(unknown(name))
        return None if name is None else spelt(name)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (self.file is None):
            raise ValueError("a task needs either name or file, and not both")
        if (self.path or self.split_file) and self.name not in DATASETS:
            raise ValueError(
                "path and split_file are for published sets; potstill tasks lists them"
            )
        if self.split_file and self.split != "published":
            raise ValueError(f"split is {self.split!r}, and there is a split_file; give one")
        if self.split == "fine_tune_cot" and self.name not in DATASETS:
            raise ValueError(
                "split: fine_tune_cot is for published sets; potstill tasks lists them"
            )
        return self


@lru_cache
def task_named(name: str, *, rule: str = "potstill") -> Task:
    """A task without its questions, which is all that grading needs.

    Args:
        name: Of a task that potstill knows, or an answer type for any other.
        rule: How answers are read.

    Raises:
        ConfigError: There is no such task or rule.
    """
    if rule not in get_args(RuleName):
        known_rules = get_args(RuleName)
        near = get_close_matches(rule, known_rules, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known_rules)}."
        raise ConfigError(f"there is no rule {rule!r}. {hint}")
    return replace(_unruled(name), rule=cast(RuleName, rule))


def _unruled(name: str) -> Task:
    known = name if name in READERS else spelt(name)
    if known in DATASETS:
        dataset = DATASETS[known]
        return Task(
            name=known,
            answer_type=dataset.answer_type,
            splits={},
            source=dataset.source,
            licence=dataset.licence,
        )
    if known in FAMILIES:
        return Task(name=known, answer_type=FAMILIES[known].answer_type, splits={})
    if known is None:
        raise ConfigError(unknown(name))
    return Task(name=known, answer_type=cast(AnswerType, known), splits={})


def spelt(name: str) -> str | None:
    """A known task's name as it is spelt here; case and punctuation do not count."""
    return {_letters(known): known for known in task_names()}.get(_letters(name))


def unknown(name: str) -> str:
    """What to say of a name that no task has."""
    letters = {_letters(known): known for known in task_names()}
    near = get_close_matches(_letters(name), letters, n=1)
    hint = f"Did you mean {letters[near[0]]!r}?" if near else "potstill tasks lists them."
    return f"there is no task {name!r}. {hint}"


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def task_names() -> list[str]:
    """The names of all tasks that potstill knows."""
    return [*DATASETS, *FAMILIES]


def task_settings(raw: object, *, at: str) -> TaskSettings:
    """Make a task's settings from its name, or from a mapping.

    Raises:
        ConfigError: The name or a setting is unknown, or a value cannot be used.
    """
    if isinstance(raw, TaskSettings):
        return raw
    values = {"name": raw} if isinstance(raw, str) else raw
    if not isinstance(values, Mapping):
        raise ConfigError(f"{at} is {raw!r}: give a task's name, or a mapping with name or file.")
    return build(TaskSettings, values, at=at)
