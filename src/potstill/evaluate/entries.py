"""What systems are measured on: tasks, each as often as it is asked or graded in another way."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from potstill.asking import Asking, Sampling, unheld
from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings, GenericSettings
from potstill.prompts.exemplars import FewShot, read_few_shot
from potstill.prompts.styles import shows_exemplars, style_named
from potstill.records import Task
from potstill.tasks import measured_as

Role = Literal["target", "out_of_distribution", "generic", "generic_other_rule", "further"]
"""``generic_other_rule``: a generic task under a rule that no choice counts by, for comparison."""


class Entry(NamedTuple):
    """One line of a table of results: a task, the way it is asked, the rule it is graded by."""

    task: Task
    """Named as the table names it."""

    role: Role
    asking: Asking | None = None
    """How every system is asked; None: each in its own way."""

    @property
    def name(self) -> str:
        """Unique in a run."""
        return self.task.name

    @property
    def followed(self) -> bool:
        """Whether every checkpoint is scored on its development questions."""
        return self.role != "further"


class TaskSets(NamedTuple):
    """The tasks of a run by what they are for."""

    target: Task
    """The task that is trained for."""

    out_of_distribution: tuple[Task, ...] = ()
    generic: tuple[Task, ...] = ()
    further: tuple[Task, ...] = ()

    @property
    def others(self) -> list[Task]:
        """All but the target, each once."""
        listed = (*self.out_of_distribution, *self.generic, *self.further)
        return [task for place, task in enumerate(listed) if task not in listed[:place]]


def entries(tasks: TaskSets, settings: EvaluateSettings) -> list[Entry]:
    """Everything that systems are measured on; the task trained for leads.

    Raises:
        ConfigError: A task lacks the questions it is needed for, two different sets have one name,
            or an exemplar of the recipe's own is a test question.
        DataError: The exemplars cannot be read.
    """
    found: dict[str, Entry] = {}
    for entry in _listed(tasks, settings):
        if found.setdefault(entry.name, entry).task != entry.task:
            raise ConfigError(
                f"evaluate: {entry.name} is listed twice with different questions or rules. Give "
                "both the same settings, or list it once."
            )
        for split in ("dev", "test") if entry.followed else ("test",):
            if not entry.task.splits[split]:
                raise ConfigError(
                    f"evaluate: {entry.name} has no {split} questions. Set its {split} count; a "
                    "set that is published for testing only has them with split: hash."
                )
    return list(found.values())


def roles(listed: Sequence[Entry]) -> dict[str, str]:
    """What each entry is for, by its name."""
    return {entry.name: entry.role for entry in listed}


def _listed(tasks: TaskSets, settings: EvaluateSettings) -> Iterator[Entry]:
    yield Entry(tasks.target, "target")
    for task in tasks.out_of_distribution:
        yield Entry(task, "out_of_distribution")
    if settings.generic is not None:
        held = [tasks.target, *tasks.others]
        for task in tasks.generic:
            yield from _generic(task, settings.generic, held, settings.max_tokens)
    for task in tasks.further:
        yield Entry(task, "further")


def _generic(
    task: Task, settings: GenericSettings, held: Sequence[Task], max_tokens: int
) -> Iterator[Entry]:
    """A generic task in every style and under every rule."""
    for style in settings.asked or (None,):
        asking, notes = None, task.notes
        if style is not None:
            shown = _shown(style, task, settings, held)
            asking = Asking(
                style=shown.style,
                sampling=Sampling(max_tokens=max_tokens),
                exemplars=shown.exemplars,
            )
            notes += shown.notes
        for rule in settings.rules or (task.rule,):
            named = measured_as(replace(task, rule=rule, notes=notes), style=style or "")
            first = rule == (settings.rules or (task.rule,))[0]
            yield Entry(named, "generic" if first else "generic_other_rule", asking)


def _shown(name: str, task: Task, settings: GenericSettings, held: Sequence[Task]) -> FewShot:
    """A prompt style with its worked questions, where it shows any."""
    style = style_named(name)
    if not shows_exemplars(style):
        return FewShot(style=style, exemplars=())
    assert settings.exemplars is not None  # the settings have seen to it
    return unheld(read_few_shot(settings.exemplars, task.name), held).worded(name)
