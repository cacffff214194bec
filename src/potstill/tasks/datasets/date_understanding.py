"""Date Understanding: 369 questions for a date, with five or six options (BIG-bench).

One of them is "Yesterday was April 30, 2021. What is the date today in MM/DD/YYYY?";
:mod:`bigbench` shows the form of the file.

Its 41 templates of nine questions each are those of Fine-tune-CoT: the text before the question
itself, so that the same story told with two years counts as two.
"""

from pathlib import Path

import numpy as np

from potstill.records import Question
from potstill.tasks.datasets.bigbench import read_scored
from potstill.tasks.datasets.pool import Dataset, Pool, with_templates


def read(path: Path) -> Pool:
    """Reads ``task.json``. The authors publish no split of it.

    The file lists the right option first. Fine-tune-CoT lists them in another order, drawn with
    seed 0 from one question to the next, and so do we.
    """
    random = np.random.RandomState(0)
    questions = read_scored(
        path, "date_understanding", lambda count: random.permutation(count).tolist()
    )
    return Pool(train=with_templates(questions, _story))


def _story(question: Question) -> str:
    """Returns the text before the question itself."""
    return question.text.partition("What is the date")[0]


DATE_UNDERSTANDING = Dataset(
    name="date_understanding",
    source="https://github.com/google/BIG-bench",
    licence="Apache-2.0",
    files="task.json",
    read=read,
    answer_type="choice",
    sizes=(258, 111),
)
