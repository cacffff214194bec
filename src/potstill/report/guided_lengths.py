"""What guidance brings by how long the way to the answer is."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from potstill.report.guidance import Guidance
from potstill.report.results import Results

LONGEST = 6
"""From this number of steps on, questions are taken together."""


class Cell(NamedTuple):
    """A policy's answers to the questions of one length."""

    right: int
    total: int


class Lengths(NamedTuple):
    """Right answers by the number of steps of the teacher's own chain."""

    steps: list[str]
    """The heads of the columns, e.g. ``2`` and ``6 or more``."""

    rows: dict[str, list[Cell]]
    """By policy, a cell for each column; the student alone first."""


def lengths(results: Results, found: Guidance) -> Lengths | None:
    """Accuracy by length; None where lengths are unknown or all the same."""
    policies = [score.policy for score in (*found.ends[:1], *found.policies)]
    counted: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for each in results.guided_predictions:
        tested = each.task == found.task and each.split == "test" and each.policy in policies
        if tested and each.steps is not None:
            counted[each.policy][min(each.steps, LONGEST)].append(each.correct)
    columns = sorted({steps for of_policy in counted.values() for steps in of_policy})
    if len(columns) < 2:
        return None
    rows = {
        name: [_cell(counted[name][steps]) for steps in columns]
        for name in policies
        if name in counted
    }
    heads = [f"{steps} or more" if steps == LONGEST else str(steps) for steps in columns]
    return Lengths(heads, rows)


def _cell(answers: Sequence[bool]) -> Cell:
    return Cell(sum(answers), len(answers))
