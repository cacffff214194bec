r"""GSM8K: 7,473 training and 1,319 test problems of grade-school arithmetic (arXiv 2110.14168).

A row is ``{"question": "Natalia sold clips to 48 of her friends ...", "answer": "Natalia sold 48/2
= <<48/2=24>>24 clips in May.\n... #### 72"}``. The gold answer is "72"; the solution is not read.
"""

from collections.abc import Iterable
from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, jsonl_rows, read_json


def read(path: Path) -> Pool:
    """Reads a folder with ``train.jsonl`` and ``test.jsonl``.

    In place of ``test.jsonl`` a part of it may stand, e.g. ``test_300.jsonl``, beside
    ``test_300_indices.json`` with the positions of its lines in the whole, counted from 0.
    """
    train = [row for _, row in jsonl_rows(path / "train.jsonl")]
    test, positions = _test_rows(path)
    return Pool(train=_questions(train, "train"), test=_questions(test, "test", positions))


def read_hub() -> Pool:
    """Reads ``openai/gsm8k``."""
    train, test = (hub_rows("openai/gsm8k", config="main", split=name) for name in _SPLITS)
    return Pool(train=_questions(train, "train"), test=_questions(test, "test"))


_SPLITS = ("train", "test")


def _test_rows(path: Path) -> tuple[list[Row], list[int] | None]:
    """Returns the test rows and, where only a part is there, their positions in the whole."""
    if (path / "test.jsonl").exists():
        return [row for _, row in jsonl_rows(path / "test.jsonl")], None
    for part in sorted(path.glob("test_*.jsonl")):
        indices = part.with_name(f"{part.stem}_indices.json")
        if indices.exists():
            rows = [row for _, row in jsonl_rows(part)]
            positions = read_json(indices)
            if not isinstance(positions, list) or len(positions) != len(rows):
                raise DataError(f"{indices} must hold one position for each line of {part.name}.")
            return rows, positions
    raise DataError(f"{path} holds no test.jsonl; give the folder with train.jsonl and test.jsonl.")


def _questions(
    rows: Iterable[Row], split: str, positions: list[int] | None = None
) -> tuple[Question, ...]:
    """Returns the questions of a split; the gold answer stands behind ``####``."""
    questions = []
    for index, row in enumerate(rows):
        position = positions[index] if positions else index
        at = f"gsm8k/{split}/{position}"
        _, marker, gold = field(row, "answer", at=at).rpartition("####")
        if not marker:
            raise DataError(f"{at}: the answer has no '####' before the final number.")
        text = field(row, "question", at=at)
        questions.append(Question(id=at, text=text, answer=gold.strip().replace(",", "")))
    return tuple(questions)


GSM8K = Dataset(
    name="gsm8k",
    source="https://github.com/openai/grade-school-math",
    licence="MIT",
    files="train.jsonl, test.jsonl",
    read=read,
    read_hub=read_hub,
    hub="openai/gsm8k",
    sizes=(7473, 1319),
    own_split=True,
)
