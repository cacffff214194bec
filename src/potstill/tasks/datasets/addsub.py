"""AddSub: 395 word problems of addition and subtraction (Hosseini et al. 2014).

The file is that of Zero-shot-CoT; :mod:`equations` shows its form.
"""

from pathlib import Path

from potstill.tasks.datasets.equations import read_equations
from potstill.tasks.datasets.pool import Dataset, Pool


def read(path: Path) -> Pool:
    """Reads ``AddSub.json``. The authors publish no split of it."""
    return Pool(train=read_equations(path, "AddSub.json", "addsub"))


ADDSUB = Dataset(
    name="addsub",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    files="AddSub.json",
    read=read,
    sizes=(276, 119),
)
