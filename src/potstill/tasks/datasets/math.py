r"""MATH: 7,500 training and 5,000 test problems of mathematics competitions (arXiv 2103.03874).

A file holds one problem, ``{"problem": "...", "level": "Level 5", "type": "Algebra", "solution":
"... so $x = \\boxed{4}$."}``; the gold answer is "4", the content of the solution's last box.
"""

import re
from pathlib import Path

from potstill.errors import DataError
from potstill.grading.answers.math import boxes
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, read_json

SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
    "prealgebra", "precalculus",
)  # fmt: skip


def read(path: Path) -> Pool:
    """Reads the folder ``MATH``, which holds ``train`` and ``test/SUBJECT/NUMBER.json``."""
    return Pool(train=_split(path / "train"), test=_split(path / "test"))


def read_hub() -> Pool:
    """Reads the seven subjects of ``EleutherAI/hendrycks_math``."""
    train, test = (
        tuple(
            _question(row, f"math/{split}/{subject}/{number}")
            for subject in SUBJECTS
            for number, row in enumerate(
                hub_rows("EleutherAI/hendrycks_math", config=subject, split=split)
            )
        )
        for split in ("train", "test")
    )
    return Pool(train=train, test=test)


def _split(folder: Path) -> tuple[Question, ...]:
    """Returns the problems of one split, ordered by subject and number."""
    files = [file for file in folder.glob("*/*.json") if file.stem.isdecimal()]
    if not files:
        raise DataError(f"{folder} holds no SUBJECT/NUMBER.json; give the folder MATH as path.")
    problems = []
    for file in sorted(files, key=lambda file: (file.parent.name, int(file.stem))):
        row = read_json(file)
        if not isinstance(row, dict):
            raise DataError(f"{file} must hold one JSON object.")
        problems.append(_question(row, f"math/{folder.name}/{file.parent.name}/{file.stem}"))
    return tuple(problems)


def _question(row: Row, name: str) -> Question:
    r"""Returns the problem; its gold answer is what the solution's last ``\boxed{}`` holds."""
    solution = field(row, "solution", at=name)
    answers = boxes(solution) or [bare.span("answer") for bare in _BARE.finditer(solution)]
    if not answers:
        raise DataError(f"{name}: the solution has no \\boxed{{}} with the answer.")
    start, end = answers[-1]
    return Question(id=name, text=field(row, "problem", at=name), answer=solution[start:end])


_BARE = re.compile(r"\\boxed\s+(?P<answer>[^$]+)")  # as in "$\boxed 2$", which TeX reads alike


MATH = Dataset(
    name="math",
    source="https://github.com/hendrycks/math",
    licence="MIT",
    files="the folder MATH with train and test",
    read=read,
    read_hub=read_hub,
    hub="EleutherAI/hendrycks_math",
    answer_type="math",
    sizes=(7500, 5000),
    own_split=True,
)
