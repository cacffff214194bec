"""The form in which SingleEq, AddSub and MultiArith are kept: a question and its one solution.

A row is ``{"iIndex": 1, "lEquations": ["X = 70 - 27"], "lSolutions": ["43"], "sQuestion": "Joan
found 70 seashells on the beach . ..."}``; the gold answer is "43". The files are those that
Zero-shot-CoT (arXiv 2205.11916) published, which states no licence.
"""

from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.pool import Row, field, json_rows, named_file


def read_equations(path: Path, file: str, task: str) -> tuple[Question, ...]:
    """Reads the questions of a JSON array of ``iIndex``, ``sQuestion`` and ``lSolutions``.

    Raises:
        DataError: The file is missing or malformed, or a question has not one solution.
    """
    rows = json_rows(named_file(path, file))
    return tuple(_question(row, task, at=f"{file} row {number}") for number, row in enumerate(rows))


def word_problem(task: str, name: str, text: str, answer: object) -> Question:
    """Returns the question with single spaces, and its number as text without ``.0``."""
    gold = str(answer).strip().removesuffix(".0")
    return Question(id=f"{task}/{name}", text=" ".join(text.split()), answer=gold)


def _question(row: Row, task: str, *, at: str) -> Question:
    """Returns the question of one row."""
    solutions = row.get("lSolutions")
    if not isinstance(solutions, list) or len(solutions) != 1:
        raise DataError(f"{at}: lSolutions is {solutions!r}; it must hold one number.")
    text = field(row, "sQuestion", at=at)
    return word_problem(task, field(row, "iIndex", at=at), text, solutions[0])
