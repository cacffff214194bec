"""The splits of the task that is trained for, none of which may be empty."""

from potstill.errors import ConfigError
from potstill.records import Split, Task
from potstill.tasks import TaskSettings

SPLIT_USES: dict[Split, str] = {
    "train": "the teacher explains its questions",
    "dev": "the checkpoint is chosen on it",
    "test": "the systems are measured on it",
}


def require_splits(task: Task, loaded: Task, settings: TaskSettings) -> None:
    """Refuse a task one of whose splits is empty.

    Args:
        task: Without the questions that were dropped for their overlap.
        loaded: The task before any were.
        settings: The recipe's.

    Raises:
        ConfigError: One is.
    """
    for split, use in SPLIT_USES.items():
        if not task.splits[split]:
            raise ConfigError(
                f"the {split} split of {task.name} is empty, and {use}. "
                + _filling(split, settings, dropped=bool(loaded.splits[split]))
            )


def _filling(split: Split, settings: TaskSettings, *, dropped: bool) -> str:
    """Returns what gives a split questions again.

    Args:
        split: The one that is empty.
        settings: The recipe's.
        dropped: Whether all of its questions were dropped for their overlap.
    """
    if dropped:
        return "All of its questions overlap with what is measured on; set overlap.drop: false."
    if getattr(settings, split) == 0:
        return f"Leave task.{split}: 0 out of the recipe, or give a number of questions."
    return f"Set task.{split} to a number of questions."
