r"""Last Letter Concatenation: 500 questions on four names each (arXiv 2205.11916).

A row is ``{"question": "Take the last letters of each words in \"Whitney Erika Tj Benito\" and
concatenate them.", "answer": "yajo"}``; the file states no licence.
"""

from collections.abc import Iterable
from pathlib import Path

from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, example_rows, field, hub_rows


def read(path: Path) -> Pool:
    """Reads ``last_letters.json``. The authors publish no split of it."""
    return Pool(train=_questions(example_rows(path, "last_letters.json"), _NAME))


def read_hub() -> Pool:
    """Reads ``ChilleD/LastLetterConcat`` with its 350 training and 150 test questions."""
    train, test = (
        _questions(hub_rows("ChilleD/LastLetterConcat", split=split), f"{_NAME}/{split}")
        for split in ("train", "test")
    )
    return Pool(train=train, test=test)


def _questions(rows: Iterable[Row], prefix: str) -> tuple[Question, ...]:
    """Returns the questions of some rows, named by the prefix and their positions."""
    return tuple(
        Question(id=at, text=field(row, "question", at=at), answer=field(row, "answer", at=at))
        for number, row in enumerate(rows)
        for at in [f"{prefix}/{number}"]
    )


_NAME = "last_letter_concatenation"

LAST_LETTER_CONCATENATION = Dataset(
    name=_NAME,
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    files="last_letters.json",
    read=read,
    read_hub=read_hub,
    hub="ChilleD/LastLetterConcat",
    answer_type="text",
    sizes=(350, 150),
)
