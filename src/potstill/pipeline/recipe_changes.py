"""A recipe's changes to a run that is there already, and whether the recipe is of another run.

A run's folder is named by the recipe's file, so that two recipes may come to the same one. Most
changes of a recipe are meant for the run; another task, teacher or student is not taken without a
word of consent.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import yaml

from potstill.errors import ConfigError, PotstillError
from potstill.keys import settings_hash
from potstill.pipeline.recipe import Recipe, resolved, write_resolved
from potstill.pipeline.stale import shown, was_and_is
from potstill.records import Task
from potstill.settings import build
from potstill.store import Store
from potstill.tasks import load_task, task_settings

logger = logging.getLogger(__name__)

MOST_TOLD = 4
"""Changes that are told one by one."""


NO_PART = {"run", "reuse", "run_on", "store", "track"}
"""Settings that are no part of what the run is."""


class RunIdentity:
    """Whether a recipe is that of the run in its folder.

    A new run, and one that the recipe changes nothing in, has it at once; else the run takes it
    when a stage begins.

    Args:
        recipe: Today's recipe.
        store: The run's store; of one that is opened for reading, nothing is kept or written.
    """

    def __init__(self, recipe: Recipe, store: Store) -> None:
        self._recipe, self._store = recipe, store
        former = _former_recipe(recipe, store)
        self._others = [] if recipe.reuse else _other_parts(former, recipe, store)
        self._changes = _changed(former, recipe)
        self._is_claimed = store.read_only
        if not (self._others or self._changes):
            self.claim()

    @cached_property
    def recipe_hash(self) -> str:
        """Stands for all settings of the recipe."""
        return settings_hash(self._recipe.model_dump(mode="json", exclude=NO_PART))

    @property
    def needs_consent(self) -> bool:
        """Whether the run is of another task, teacher or student, and nobody consented."""
        return bool(self._others)

    def require_consent(self) -> None:
        """Refuse a recipe of another task, teacher or student to which nobody consented.

        Raises:
            ConfigError: It is such a one; names what differs.
        """
        if self._others:
            raise _refusal(self._others, self._recipe)

    def claim(self) -> None:
        """Make the recipe that of the run, and say what it changes.

        A stage calls it once nothing is left for which it would be refused: a command that did
        nothing leaves the run's recipe as it was.

        Raises:
            ConfigError: The run is of another task, teacher or student, and nobody consented.
        """
        self.require_consent()
        if not self._is_claimed:
            if self._changes and self._store.has_results():
                logger.warning(
                    "%s since its last command: %s", self._recipe.run, _told(self._changes)
                )
            write_resolved(self._recipe)
            self._store.use_recipe(resolved(self._recipe), recipe_hash=self.recipe_hash)
            self._is_claimed = True

    def check_task(self) -> None:
        """Refuse to read the results of one task by a recipe of another.

        Raises:
            ConfigError: The run is of another task, and nobody consented.
        """
        if any(other.part == "task" for other in self._others):
            raise _refusal(self._others, self._recipe)


class OtherPart(NamedTuple):
    """A part of a recipe that is another one than that of the run."""

    part: str
    """``task``, ``teacher`` or ``student``."""

    was: str
    now: str


def _former_recipe(recipe: Recipe, store: Store) -> Mapping[str, object]:
    """Returns the recipe that the run went on with last, as plain values; empty where none is."""
    text = store.last_recipe()
    file = recipe.folder / "recipe.yaml"
    if not text and file.is_file() and store.has_results():
        text = file.read_text(encoding="utf-8", errors="replace")
    try:
        values = yaml.safe_load(text) if text else {}
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def changed_settings(recipe: Recipe, store: Store) -> str:
    """Returns what a recipe changes in the run of its folder, in one line; empty if nothing."""
    return _told(_changed(_former_recipe(recipe, store), recipe))


def _changed(former: Mapping[str, object], recipe: Recipe) -> list[str]:
    """Returns what a recipe changes, each as ``train.steps was 400, is 200``."""
    if not former:
        return []
    now = recipe.model_dump(mode="json", exclude=NO_PART)
    return list(_changes("", former, now, _given_before(former), _given(recipe)))


def _given(recipe: Recipe) -> Mapping[str, object]:
    """Returns what a recipe says, without the settings that it leaves to their defaults."""
    return recipe.model_dump(mode="json", exclude=NO_PART, exclude_defaults=True)


def _given_before(former: Mapping[str, object]) -> Mapping[str, object]:
    """Returns the same of the former recipe; of one that is none any more all that it says."""
    try:
        return _given(build(Recipe, former, at="recipe.yaml"))
    except PotstillError:
        return former


def _changes(
    place: str,
    was: Mapping[str, object],
    now: Mapping[str, object],
    given_then: object,
    given: object,
) -> Iterator[str]:
    """Yields the differences of two mappings; what was or is there by default alone is none.

    Args:
        place: The place in the recipe that they stand at.
        was: The former one, with all defaults of its day.
        now: Today's, with all defaults.
        given_then: The former one without defaults.
        given: Today's without defaults.
    """
    for name, value in now.items():
        own, own_then = _part(given, name), _part(given_then, name)
        at = f"{place}.{name}" if place else name
        before = was.get(name)
        if name not in was or (before is None and isinstance(value, Mapping)):
            if own is not None:
                yield f"{at} is new" + (f": {shown(own)}" if own and isinstance(own, dict) else "")
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            yield from _changes(at, before, value, own_then, own)
            gone = before.keys() - value.keys()
            yield from (f"{at}.{other} is gone" for other in sorted(gone) if _has(own_then, other))
        elif isinstance(before, Mapping) and value is None:
            yield f"{at} is gone"
        elif isinstance(before, list) and isinstance(value, list):
            yield from _list_changes(at, before, value, own_then, own)
        elif before != value:
            yield f"{at} {was_and_is(before, value)}"


def _list_changes(
    at: str, was: list[object], now: list[object], given_then: object, given: object
) -> Iterator[str]:
    """Yields the differences of two lists, member by member where those are sections."""
    sections_then = [member for member in was if isinstance(member, Mapping)]
    sections_now = [member for member in now if isinstance(member, Mapping)]
    sections = len(sections_then) == len(was) and len(sections_now) == len(now)
    if (
        sections
        and len(was) == len(now)
        and isinstance(given, list)
        and isinstance(given_then, list)
    ):
        members = zip(sections_then, sections_now, given_then, given, strict=True)
        for place, (before, value, own_then, own) in enumerate(members):
            yield from _changes(f"{at}[{place}]", before, value, own_then, own)
    elif was != now:
        yield (
            f"{at} {was_and_is(given_then or [], given or [])}"
            if sections
            else (f"{at} {was_and_is(was, now)}")
        )


def _part(given: object, name: str) -> object:
    return given.get(name) if isinstance(given, Mapping) else None


def _has(given: object, name: str) -> bool:
    return isinstance(given, Mapping) and name in given


def _told(differing: list[str]) -> str:
    """Returns the changes in one line, the first few one by one."""
    more = len(differing) - MOST_TOLD
    return "; ".join(differing[:MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")


def _other_parts(former: Mapping[str, object], recipe: Recipe, store: Store) -> list[OtherPart]:
    """Returns which of task, teacher and student are not those of the run.

    Args:
        former: The recipe that the run went on with last.
        recipe: Today's.
        store: The run's, which knows questions and teachers of the former one.
    """
    if not former or not store.has_results():
        return []
    parts = [_other_task(former.get("task"), recipe, store)]
    parts.append(_other_teacher(former.get("teacher"), recipe, store))
    was, now = _model_of(former.get("student")), recipe.student.model
    parts.append(OtherPart("student", was, now) if was and was != now else None)
    return [part for part in parts if part is not None]


def _refusal(others: list[OtherPart], recipe: Recipe) -> ConfigError:
    """Returns the error that a recipe is of another run."""
    parts = " and ".join(part.part for part in others)
    differing = "; ".join(f"{part.part} {was_and_is(part.was, part.now)}" for part in others)
    return ConfigError(
        f"{recipe.run} is a run of another {parts}: {differing}. Give this recipe a folder of its "
        f"own, e.g. --set run={recipe.run}-2, or go on in this one with --set reuse=true; then "
        "repeat the stages from potstill generate on."
    )


def _model_of(section: object) -> str:
    name = section.get("model") if isinstance(section, Mapping) else section
    return name if isinstance(name, str) else ""


def _other_teacher(former: object, recipe: Recipe, store: Store) -> OtherPart | None:
    """Returns the teacher if it is another; a file or folder that was moved is not."""
    was, now = _model_of(former), recipe.teacher.model
    if not was or was == now:
        return None
    known = store.teacher(settings_hash=settings_hash(former))
    try:
        same = known is not None and _same_content(known.name, recipe.teacher.identity().name)
    except PotstillError:
        same = False
    return None if same else OtherPart("teacher", was, now)


def _same_content(was: str, now: str) -> bool:
    """Whether two names stand for the content of one file or folder, whatever it is called."""
    kinds = {name.partition(":")[0] for name in (was, now)}
    contents = {name.rpartition("@")[2] for name in (was, now)}
    return kinds <= {"recorded", "hf"} and len(kinds) == len(contents) == 1


def _other_task(former: object, recipe: Recipe, store: Store) -> OtherPart | None:
    """Returns the task if it is another; a file of the same questions is not."""
    if not isinstance(former, Mapping):
        return None
    name = former.get("name") or former.get("file")
    now = recipe.task.name or str(recipe.task.file)
    if not isinstance(name, str) or name == now:
        return None
    if (
        recipe.task.file is not None
        and former.get("file")
        and _same_questions(former, recipe, store)
    ):
        return None
    return OtherPart("task", name, now)


def _same_questions(former: Mapping[str, object], recipe: Recipe, store: Store) -> bool:
    """Whether the recipe's file holds most of the questions that the run had."""
    try:
        before = task_settings(former, at="task")
        kept = store.task(settings_hash(before.model_dump(mode="json", exclude_defaults=True)))
        texts = [_texts(task) for task in (kept, load_task(recipe.task)) if task]
    except PotstillError:
        return False
    return len(texts) == 2 and 2 * len(texts[0] & texts[1]) > min(map(len, texts))


def _texts(task: Task) -> set[str]:
    return {
        " ".join(question.text.split())
        for questions in task.splits.values()
        for question in questions
    }
