"""A student held against its start on every task, with p-values that hold for all tasks together.

The start is taken as it does best on a task, whichever way it was asked there: of several
comparisons that with the least difference counts, so a student is never said to gain by a prompt.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from potstill.records import Comparison, System
from potstill.statistics import SHOWN, adjusted_p_values
from potstill.text.unshown_difference import interval_note

START_WAYS = ("", "zero_shot", "few_shot")
"""The variants in which a start is asked."""


class StartComparison(NamedTuple):
    """A student against its start on one task."""

    comparison: Comparison
    """The student first, its start second."""

    adjusted_p: float
    """McNemar's p-value, adjusted over all tasks (Holm)."""

    tasks: int
    """How many tasks were tested together."""

    @property
    def over_tasks(self) -> str:
        """Words behind the p-value where several tasks were tested together; else none."""
        return f", over {self.tasks} tasks by Holm" if self.tasks > 1 else ""

    @property
    def interval_note(self) -> str:
        """A sentence where the interval leaves out 0 and no difference is shown; else empty."""
        compared = self.comparison
        ends = (compared.low, compared.high)
        return "" if self.is_shown else interval_note(ends, compared.p_value, self.tasks, "tasks")

    @property
    def is_shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.adjusted_p < SHOWN

    @property
    def is_gain(self) -> bool:
        """Whether the student is shown to be right more often."""
        return self.is_shown and self.comparison.difference > 0

    @property
    def is_loss(self) -> bool:
        """Whether the student is shown to be right less often."""
        return self.is_shown and self.comparison.difference < 0


def start_comparisons(
    comparisons: Iterable[Comparison],
    student: System,
    start: System,
    *,
    left_out: Collection[str] = (),
) -> dict[str, StartComparison]:
    """Returns a student against its start by task, in the order of the comparisons.

    Args:
        comparisons: An evaluation's comparisons, in which a student stands before its start.
        student: The student as tables name it.
        start: The start that it was trained from, however asked.
        left_out: Tasks that decide nothing, such as the same answers under another grader.
    """
    ways = {System("start", start.start, variant) for variant in START_WAYS}
    least: dict[str, Comparison] = {}
    for one in comparisons:
        is_sought = one.first.as_shown == student.as_shown and one.second.as_shown in ways
        if not is_sought or one.task in left_out:
            continue
        known = least.setdefault(one.task, one)
        if one.difference < known.difference:
            least[one.task] = one
    adjusted = adjusted_p_values([one.p_value for one in least.values()])
    return {
        task: StartComparison(one, p, len(least))
        for (task, one), p in zip(least.items(), adjusted, strict=True)
    }
