"""AQuA: algebra problems with five options (arXiv 1705.04146).

A row is ``{"question": "A car is being driven ...", "options": ["A)5(√3 + 1)", "B)6(√3 + √2)",
...], "rationale": "Explanation ...", "correct": "A"}``; the rationale is not read. Development and
test split hold 254 questions each, as published.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, jsonl_rows

TRAINING = 10_000
"""Training questions: as in Fine-tune-CoT, so many are drawn from the 97,467 published."""


def read(path: Path) -> Pool:
    """Reads a folder with ``train.json``, ``dev.json`` and ``test.json``, which hold JSONL.

    Where ``train.json``, by far the largest, is not there, the 254 development questions train.
    """
    rows = {name: _rows(path / f"{name}.json") for name in ("train", "dev", "test")}
    if not rows["test"]:
        raise DataError(f"{path} holds no test.json; give the folder with AQuA's JSON files.")
    return _pool(rows["train"], rows["dev"], rows["test"])


def read_hub() -> Pool:
    """Reads ``deepmind/aqua_rat``."""
    names = ("train", "validation", "test")
    train, dev, test = (hub_rows("deepmind/aqua_rat", config="raw", split=name) for name in names)
    return _pool(train, dev, test)


def _rows(file: Path) -> list[Row]:
    """Returns the rows of a file; none where it is not there."""
    return [row for _, row in jsonl_rows(file)] if file.exists() else []


def _pool(train: list[Row], dev: list[Row], test: list[Row]) -> Pool:
    """Returns Fine-tune-CoT's draw of training questions, and the other splits as published."""
    if not train:
        if not dev:
            raise DataError("aqua: there is neither train.json nor dev.json beside test.json.")
        note = f"aqua: no train.json, so the {len(dev)} development questions are for training."
        return Pool(
            _questions(enumerate(dev), "dev"), _questions(enumerate(test), "test"), (), (note,)
        )
    drawn = np.random.RandomState(0).permutation(len(train))[:TRAINING].tolist()
    return Pool(
        train=_questions(((position, train[position]) for position in sorted(drawn)), "train"),
        test=_questions(enumerate(test), "test"),
        dev=_questions(enumerate(dev), "dev"),
        notes=(f"aqua: {len(drawn)} of {len(train)} training questions drawn.",),
    )


def _questions(rows: Iterable[tuple[int, Row]], split: str) -> tuple[Question, ...]:
    """Returns the questions of some rows, named by their positions in the split."""
    return tuple(_question(row, at=f"aqua/{split}/{position}") for position, row in rows)


def _question(row: Row, *, at: str) -> Question:
    """Returns the question with its options, which are published as ``A)text``."""
    options = row.get("options")
    if not isinstance(options, list) or not all(
        str(option).startswith(f"{chr(65 + index)})") for index, option in enumerate(options)
    ):
        raise DataError(f"{at}: options is {options!r}; it must be a list like ['A)10', 'B)12'].")
    return Question(
        id=at,
        text=field(row, "question", at=at),
        answer=field(row, "correct", at=at),
        choices=tuple(str(option)[2:].strip() for option in options),
    )


AQUA = Dataset(
    name="aqua",
    source="https://github.com/google-deepmind/AQuA",
    licence="Apache-2.0",
    files="train.json, dev.json, test.json",
    read=read,
    read_hub=read_hub,
    hub="deepmind/aqua_rat",
    answer_type="choice",
    sizes=(TRAINING, 254),
    own_split=True,
)
