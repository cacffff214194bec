"""SVAMP: 1,000 one-step word problems with distracting numbers (arXiv 2103.07191).

A row is ``{"ID": "chal-1", "Body": "Each pack of dvds costs 76 dollars. If there is a discount of
25 dollars on each pack", "Question": "How much do you have to pay to buy each pack?", "Equation":
"( 76.0 - 25.0 )", "Answer": 51.0, "Type": "Subtraction"}``; the gold answer is "51".
"""

from collections.abc import Iterable
from pathlib import Path

from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, json_rows, named_file


def read(path: Path) -> Pool:
    """Reads ``SVAMP.json``. The authors publish no split of it."""
    return Pool(train=_questions(json_rows(named_file(path, "SVAMP.json"))))


def read_hub() -> Pool:
    """Reads ``ChilleD/SVAMP`` with its 700 training and 300 test problems."""
    train, test = (hub_rows("ChilleD/SVAMP", split=name) for name in ("train", "test"))
    return Pool(train=_questions(train), test=_questions(test))


def _questions(rows: Iterable[Row]) -> tuple[Question, ...]:
    """Returns body and question joined by one space, as in Fine-tune-CoT; the number as text."""
    return tuple(
        Question(
            id=f"svamp/{field(row, 'ID', at=f'SVAMP row {number}')}",
            text=" ".join(
                str(row[name]) for name in _TEXTS if field(row, name, at=f"SVAMP row {number}")
            ),
            answer=field(row, "Answer", at=f"SVAMP row {number}").removesuffix(".0"),
        )
        for number, row in enumerate(rows)
    )


_TEXTS = ("Body", "Question")

SVAMP = Dataset(
    name="svamp",
    source="https://github.com/arkilpatel/SVAMP",
    licence="MIT",
    files="SVAMP.json",
    read=read,
    read_hub=read_hub,
    hub="ChilleD/SVAMP",
    sizes=(700, 300),
)
