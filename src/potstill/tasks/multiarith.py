"""MultiArith: 600 word problems of two or more steps (Roy and Roth 2015)."""

from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.pool import Dataset, Pool, Row, field, hub_rows, json_rows, named_file


def read(path: Path) -> Pool:
    """Read ``MultiArith.json``. The authors publish no split of it."""
    rows = json_rows(named_file(path, "MultiArith.json"))
    return Pool(train=tuple(_question(row, number) for number, row in enumerate(rows)))


def read_hub() -> Pool:
    """Read ``ChilleD/MultiArith`` with its 420 training and 180 test problems."""
    train, test = (
        tuple(
            _made(f"{split}/{number}", field(row, "question", at=split), row["final_ans"])
            for number, row in enumerate(hub_rows("ChilleD/MultiArith", split=split))
        )
        for split in ("train", "test")
    )
    return Pool(train=train, test=test)


def _question(row: Row, number: int) -> Question:
    at = f"MultiArith row {number}"
    solutions = row.get("lSolutions")
    if not isinstance(solutions, list) or len(solutions) != 1:
        raise DataError(f"{at}: lSolutions is {solutions!r}; it must hold one number.")
    return _made(field(row, "iIndex", at=at), field(row, "sQuestion", at=at), solutions[0])


def _made(name: str, text: str, answer: object) -> Question:
    """The question with its white space put in order and its number as text."""
    gold = str(answer).strip().removesuffix(".0")
    return Question(id=f"multiarith/{name}", text=" ".join(text.split()), answer=gold)


MULTIARITH = Dataset(
    name="multiarith",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    read=read,
    read_hub=read_hub,
)
