"""MultiArith: 600 word problems of two or more steps (Roy and Roth 2015).

The file is that of Zero-shot-CoT; :mod:`equations` shows its form. The problems are of 120
templates, by which Fine-tune-CoT (arXiv 2212.10071) also splits them.
"""

import re
from pathlib import Path

from potstill.records import Question
from potstill.tasks.datasets.equations import read_equations, word_problem
from potstill.tasks.datasets.pool import Dataset, Pool, field, hub_rows, with_templates


def read(path: Path) -> Pool:
    """Reads ``MultiArith.json``. The authors publish no split of it."""
    questions = read_equations(path, "MultiArith.json", "multiarith")
    return Pool(train=with_templates(questions, _template))


def read_hub() -> Pool:
    """Reads ``ChilleD/MultiArith`` with its 420 training and 180 test problems."""
    train, test = (
        [
            word_problem("multiarith", f"{split}/{number}", field(row, "question", at=at), gold)
            for number, row in enumerate(hub_rows("ChilleD/MultiArith", split=split))
            for at in [f"ChilleD/MultiArith {split} row {number}"]
            for gold in [field(row, "final_ans", at=at)]
        ]
        for split in ("train", "test")
    )
    questions = with_templates([*train, *test], _template)
    return Pool(train=questions[: len(train)], test=questions[len(train) :])


def _template(question: Question) -> str:
    """Returns the text without numbers and names.

    Fine-tune-CoT takes names from a list. Any capitalised word in their place makes the same 120
    groups of these problems.
    """
    return re.sub(r"\d+", "", re.sub(r"\b[A-Z][a-z]+", "NAME", question.text))


MULTIARITH = Dataset(
    name="multiarith",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="none",
    files="MultiArith.json",
    read=read,
    read_hub=read_hub,
    hub="ChilleD/MultiArith",
    sizes=(420, 180),
)
