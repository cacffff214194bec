"""The form in which BIG-bench keeps a question with options: a score for each option's text.

An example of a ``task.json`` is ``{"input": "Is the sky blue?", "target_scores": {"Yes": 1, "No":
0}}``; the option with the score 1 is right (arXiv 2206.04615).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.pool import Row, example_rows, field

Order = Callable[[int], Sequence[int]]
"""Returns, for a number of options, the place at which each of them is listed."""


def read_scored(path: Path, task: str, order: Order = range) -> Iterator[Question]:
    """Yields the questions of a ``task.json`` as in Fine-tune-CoT, options listed in ``order``.

    Raises:
        DataError: The file is missing or malformed, or a question has not one right option.
    """
    for position, row in enumerate(example_rows(path, "task.json")):
        at = f"{task}/{position}"
        options, right = scored_options(row, at=at)
        places = order(len(options))
        listed = sorted(zip(places, options, strict=True))
        yield Question(
            id=at,
            text=f"{field(row, 'input', at=at)}\nWhich choice is true?",
            answer=chr(ord("A") + places[right]),
            choices=tuple(option.strip().removesuffix(".") for _, option in listed),
        )


def scored_options(row: Row, *, at: str) -> tuple[list[str], int]:
    """Returns the options of an example, and the index of the right one.

    Raises:
        DataError: There are no scores, or not one option is right.
    """
    scores = row.get("target_scores")
    if not isinstance(scores, dict) or sorted(scores.values()) != [0] * (len(scores) - 1) + [1]:
        raise DataError(f"{at}: target_scores is {scores!r}; one option must have 1, others 0.")
    return list(scores), list(scores.values()).index(1)
