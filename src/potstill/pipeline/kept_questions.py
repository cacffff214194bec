"""A run's tasks: read from where the recipe says, else from the store, which keeps a copy.

A file of questions may be moved or renamed after the run began, or a command called from a folder
in which the recipe's relative path means nothing. The store knows where the file was, and holds the
questions as they were read last.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from potstill.keys import settings_hash
from potstill.records import Task
from potstill.store import Store
from potstill.tasks import TaskSettings, load_task

logger = logging.getLogger(__name__)

_PLACES = ("file", "path", "split_file")
"""Settings of a task that name files."""


def task_of(settings: TaskSettings, store: Store, *, is_moved: bool = False) -> Task:
    """Returns a task, and keeps its questions in the store.

    Args:
        settings: The task's, as the recipe gives them.
        store: The run's; one that is opened for reading keeps nothing.
        is_moved: Whether the run was named by its folder, so that relative paths of its recipe do
            not count from the working folder.

    Raises:
        PotstillError: The task can be read neither from its files nor from the store.
    """
    key = settings_hash(settings.model_dump(mode="json", exclude_defaults=True))
    kept_places = store.task_places(key)
    found = _found(settings, kept_places, is_moved=is_moved)
    if found is None:
        kept = store.task(key)
        assert kept is not None, "its places are kept with it"
        logger.warning(
            "%s is not there any more; the questions of %s are the store's own copy",
            next(iter(kept_places.values())),
            kept.name,
        )
        return kept
    task = load_task(found)
    if found.file is not None and settings.file is not None:  # the recipe's own words
        task = replace(task, source=str(settings.file))
    if not store.read_only:
        places = {name: str(place.resolve()) for name, place in _places(found).items()}
        store.keep_task(task, key=key, places=places)
    return task


def _places(settings: TaskSettings) -> dict[str, Path]:
    """Returns the files that a task is read from, by the setting that names each."""
    places = {name: getattr(settings, name) for name in _PLACES}
    return {name: Path(place) for name, place in places.items() if place is not None}


def _found(
    settings: TaskSettings, kept: Mapping[str, str], *, is_moved: bool
) -> TaskSettings | None:
    """Returns the settings with the paths at which the files are now; None: they are gone.

    Where nothing is kept of the task, the settings stay as they are.
    """
    if not kept:
        return settings
    changed: dict[str, Path] = {}
    for name, place in _places(settings).items():
        former = Path(kept[name])
        choices = [former, place] if is_moved and not place.is_absolute() else [place, former]
        existing = [choice for choice in choices if choice.exists()]
        if not existing or (is_moved and existing[0] != former):
            return None
        changed[name] = existing[0]
    return settings.model_copy(update=changed)
