r"""Coin Flip: 500 questions whether a coin is still heads up after four people (arXiv 2205.11916).

A row is ``{"question": "A coin is heads up. Whitney flips the coin. ... Is the coin still heads
up? Note that \"flip\" here means \"reverse\".", "answer": "yes"}``. The sets of this name on the
hub hold other questions, so it is read from the authors' file alone, which states no licence.
"""

from pathlib import Path

from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, example_rows, field


def read(path: Path) -> Pool:
    """Reads ``coin_flip.json``. The authors publish no split of it."""
    return Pool(
        train=tuple(
            Question(id=at, text=field(row, "question", at=at), answer=field(row, "answer", at=at))
            for number, row in enumerate(example_rows(path, "coin_flip.json"))
            for at in [f"coin_flip/{number}"]
        )
    )


COIN_FLIP = Dataset(
    name="coin_flip",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    files="coin_flip.json",
    read=read,
    answer_type="yes_no",
    sizes=(350, 150),
)
