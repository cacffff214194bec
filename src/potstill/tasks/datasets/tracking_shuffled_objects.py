"""Tracking Shuffled Objects: 750 questions on who holds what after three swaps (BIG-bench).

One of them begins "Alice, Bob, and Claire are playing a game. At the start of the game, they are
each holding a ball"; :mod:`bigbench` shows the form of the file.
"""

from pathlib import Path

from potstill.tasks.datasets.bigbench import read_scored
from potstill.tasks.datasets.pool import Dataset, Pool


def read(path: Path) -> Pool:
    """Reads ``task.json`` of ``three_objects``. The authors publish no split of it."""
    return Pool(train=tuple(read_scored(path, "tracking_shuffled_objects")))


TRACKING_SHUFFLED_OBJECTS = Dataset(
    name="tracking_shuffled_objects",
    source="https://github.com/google/BIG-bench",
    licence="Apache-2.0",
    files="task.json",
    read=read,
    answer_type="choice",
    sizes=(525, 225),
)
