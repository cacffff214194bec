"""SingleEq: 508 word problems that one equation solves (Koncel-Kedziorski et al. 2015).

The file is that of Zero-shot-CoT; :mod:`equations` shows its form.
"""

from pathlib import Path

from potstill.tasks.datasets.equations import read_equations
from potstill.tasks.datasets.pool import Dataset, Pool


def read(path: Path) -> Pool:
    """Reads ``questions.json``. The authors publish no split of it."""
    return Pool(train=read_equations(path, "questions.json", "single_eq"))


SINGLE_EQ = Dataset(
    name="single_eq",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    files="questions.json",
    read=read,
    sizes=(356, 152),
)
