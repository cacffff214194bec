"""Every comparison of two systems at a glance: a row a pair, a column a task."""

from collections.abc import Sequence
from typing import NamedTuple

from potstill.records import Comparison, System
from potstill.report.accuracy import Results
from potstill.statistics import SHOWN, adjusted_p_values
from potstill.text.unshown_difference import leaves_out_0, several_note

MOST_ROWS = 12
"""Pairs that stand open; of more, those without the page's student are folded."""


class MatrixCell(NamedTuple):
    """One pair on one task."""

    comparison: Comparison
    adjusted_p: float
    """The p-value adjusted over all cells (Holm)."""

    @property
    def verdict(self) -> str:
        """The one that is shown to be better: ``first``, ``second`` or, if none, ``unshown``."""
        if self.adjusted_p >= SHOWN:
            return "unshown"
        return "first" if self.comparison.difference > 0 else "second"

    @property
    def seems_shown(self) -> bool:
        """Whether the interval leaves out 0 and the difference is not shown."""
        compared = self.comparison
        return self.verdict == "unshown" and leaves_out_0((compared.low, compared.high))


class ComparisonMatrix(NamedTuple):
    """All comparisons of a run."""

    tasks: Sequence[str]
    rows: Sequence[tuple[System, System, Sequence[MatrixCell | None]]]
    """Two systems, with a cell for each task; None where they were not compared on it."""

    further: Sequence[tuple[System, System, Sequence[MatrixCell | None]]]
    """The pairs without the page's student, which the page folds; empty in a short matrix."""

    tested: int
    """Comparisons over which p-values are adjusted."""

    note: str
    """A remark on differences not shown although their intervals leave out 0; empty for none."""


def comparison_matrix(results: Results) -> ComparisonMatrix | None:
    """Returns the matrix, the pairs of the page's student first; None without comparisons."""
    known = [
        one
        for one in results.comparisons
        if one.first.taken and one.second.taken and one.task not in results.other_rule_tasks
    ]
    if not known:
        return None
    adjusted = adjusted_p_values([one.p_value for one in known])
    cells: dict[tuple[System, System], dict[str, MatrixCell]] = {}
    for one, p in zip(known, adjusted, strict=True):
        pair = one.first.as_shown, one.second.as_shown
        cells.setdefault(pair, {})[one.task] = MatrixCell(one, p)
    tasks = [task for task in results.task_names if any(task in by for by in cells.values())]
    pairs = sorted(cells, key=lambda pair: results.chosen not in pair)
    rows = [(*pair, [cells[pair].get(task) for task in tasks]) for pair in pairs]
    own = [row for row in rows if results.chosen in row[:2]]
    is_long = len(rows) > MOST_ROWS and len(own) > 0
    shown, further = (own, rows[len(own) :]) if is_long else (rows, [])
    seeming = sum(cell.seems_shown for by in cells.values() for cell in by.values())
    return ComparisonMatrix(tasks, shown, further, len(known), several_note(seeming, len(known)))
