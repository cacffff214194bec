"""StrategyQA: 2,290 yes-or-no questions with implicit steps (arXiv 2101.02235, BIG-bench).

One of them is "Would a pear sink in water?", whose answer, no, takes a comparison of densities that
the question does not name; :mod:`bigbench` shows the form of the file.
"""

from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.bigbench import scored_options
from potstill.tasks.datasets.pool import Dataset, Pool, Row, example_rows, field, hub_rows


def read(path: Path) -> Pool:
    """Reads BIG-bench's ``task.json``. It has no split."""
    rows = example_rows(path, "task.json")
    questions = [_from_bigbench(row, f"strategy_qa/{at}") for at, row in enumerate(rows)]
    return Pool(train=tuple(questions))


def read_hub() -> Pool:
    """Reads ``ChilleD/StrategyQA`` with its 1,603 training and 687 test questions."""
    train, test = (
        tuple(
            _from_hub(row, f"strategy_qa/{split}/{at}")
            for at, row in enumerate(hub_rows("ChilleD/StrategyQA", split=split))
        )
        for split in ("train", "test")
    )
    return Pool(train=train, test=test)


def _from_bigbench(row: Row, name: str) -> Question:
    """Returns a question of BIG-bench, whose options are Yes and No."""
    options, right = scored_options(row, at=name)
    return Question(id=name, text=field(row, "input", at=name), answer=options[right])


def _from_hub(row: Row, name: str) -> Question:
    """Returns a question of the hub, whose answer is true or false."""
    text, answer = field(row, "question", at=name), row.get("answer")
    if not isinstance(answer, bool):
        raise DataError(f"{name}: answer is {answer!r}; it must be true or false.")
    return Question(id=name, text=text, answer="Yes" if answer else "No")


STRATEGY_QA = Dataset(
    name="strategy_qa",
    source="https://github.com/google/BIG-bench",
    licence="Apache-2.0",
    files="task.json",
    read=read,
    read_hub=read_hub,
    hub="ChilleD/StrategyQA",
    answer_type="yes_no",
    sizes=(1603, 687),
)
