"""Decisions from development accuracies: the checkpoint that is taken, and when training ends.

One rule goes by test accuracies, ``best_on_test``, for recomputing published figures.

Accuracies are fractions, so that equal ones are equal and no choice hangs on rounding.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

SelectionRule = Literal[
    "in_distribution", "out_of_distribution", "worst_case", "pareto", "best_on_test"
]


class CheckpointScores(NamedTuple):
    """A checkpoint's accuracies, on development questions where nothing else is said."""

    step: int
    in_distribution: Fraction
    """Accuracy on the task that was trained for."""

    out_of_distribution: tuple[Fraction, ...] = ()
    """Accuracy on each task of the same family that was not trained for."""

    generic: tuple[Fraction, ...] = ()
    """Accuracy on each generic task, in each way it is asked."""

    on_test: Fraction | None = None
    """Accuracy on the test questions of the task trained for; None where no rule looks at it."""

    @property
    def family(self) -> tuple[Fraction, ...]:
        """Accuracy on the task trained for and on each out-of-distribution task."""
        return (self.in_distribution, *self.out_of_distribution)

    @property
    def trade(self) -> tuple[Fraction, Fraction]:
        """Target and generic ability: each the mean of accuracies, every task weighing alike."""
        return macro_mean(self.family), macro_mean(self.generic)


def macro_mean(accuracies: Sequence[Fraction]) -> Fraction:
    """Returns the mean in which every task weighs alike, however many questions it has."""
    return sum(accuracies, Fraction(0)) / len(accuracies)


def choose(rule: SelectionRule, standings: Sequence[CheckpointScores]) -> CheckpointScores:
    """Returns the checkpoint that a rule chooses, the earliest of equals.

    ======================= =====================================================================
    ``in_distribution``     highest accuracy on the task that was trained for
    ``out_of_distribution`` highest mean accuracy over the out-of-distribution tasks
    ``worst_case``          least worst regret over all these tasks; the regret on a task is the
                            best accuracy that any of the checkpoints has there, less its own
    ``pareto``              of those that no other beats on target and generic ability together,
                            the one nearest the ideal point: the highest target and the highest
                            generic ability, each axis scaled to its range among these
    ``best_on_test``        highest accuracy on the test questions of the task trained for, as
                            Fine-tune-CoT's published code takes it; its accuracy is too high
    ======================= =====================================================================

    Args:
        rule: One that :func:`applicable` gives for these standings.
        standings: A student's checkpoints, all measured on the same tasks; at least one.
    """
    in_order = sorted(standings, key=lambda standing: standing.step)
    return RULES[rule](in_order)


def applicable(standing: CheckpointScores) -> list[SelectionRule]:
    """Returns the rules that have what they need: further tasks, or accuracies on test."""
    rules: list[SelectionRule] = ["in_distribution"]
    if standing.out_of_distribution:
        rules += ["out_of_distribution", "worst_case"]
    if standing.generic:
        rules.append("pareto")
    if standing.on_test is not None:
        rules.append("best_on_test")
    return rules


def _in_distribution(standings: Sequence[CheckpointScores]) -> CheckpointScores:
    return max(standings, key=lambda standing: standing.in_distribution)


def _out_of_distribution(standings: Sequence[CheckpointScores]) -> CheckpointScores:
    return max(standings, key=lambda standing: macro_mean(standing.out_of_distribution))


def _worst_case(standings: Sequence[CheckpointScores]) -> CheckpointScores:
    best = [
        max(column) for column in zip(*(standing.family for standing in standings), strict=True)
    ]

    def worst_regret(standing: CheckpointScores) -> Fraction:
        accuracies = zip(best, standing.family, strict=True)
        regrets: list[Fraction] = [top - own for top, own in accuracies]
        return max(regrets)

    return min(standings, key=worst_regret)


def _pareto(standings: Sequence[CheckpointScores]) -> CheckpointScores:
    front = undominated(standings)
    axes = list(zip(*(standing.trade for standing in front), strict=True))

    def squared_distance(standing: CheckpointScores) -> Fraction:
        shortfalls = (
            _share(max(axis) - own, max(axis) - min(axis))
            for axis, own in zip(axes, standing.trade, strict=True)
        )
        return sum((share * share for share in shortfalls), Fraction(0))

    return min(front, key=squared_distance)


def _best_on_test(standings: Sequence[CheckpointScores]) -> CheckpointScores:
    return max(standings, key=lambda standing: standing.on_test or Fraction(0))


def undominated(standings: Iterable[CheckpointScores]) -> list[CheckpointScores]:
    """Returns those that no other beats in target or generic ability and equals in the other."""
    listed = list(standings)
    return [one for one in listed if not any(_dominates(other, one) for other in listed)]


def _dominates(one: CheckpointScores, two: CheckpointScores) -> bool:
    better_or_equal = all(a >= b for a, b in zip(one.trade, two.trade, strict=True))
    return better_or_equal and one.trade != two.trade


def _share(part: Fraction, whole: Fraction) -> Fraction:
    return part / whole if whole else Fraction(0)


RULES: Mapping[SelectionRule, Callable[[Sequence[CheckpointScores]], CheckpointScores]] = {
    "in_distribution": _in_distribution,
    "out_of_distribution": _out_of_distribution,
    "worst_case": _worst_case,
    "pareto": _pareto,
    "best_on_test": _best_on_test,
}


def should_stop(
    history: Sequence[CheckpointScores],
    start: CheckpointScores | None = None,
    *,
    patience: int | None = None,
    generic_loss: float | None = None,
) -> bool:
    """Returns whether a training ends at its newest checkpoint.

    Args:
        history: The checkpoints so far, oldest first.
        start: The model that training started from; needed for ``generic_loss``.
        patience: End when the accuracy on the task trained for has not risen for so many
            checkpoints.
        generic_loss: End when the mean generic accuracy is more than this below the start's.
    """
    if patience is not None and len(history) > patience:
        accuracies = [standing.in_distribution for standing in history]
        if max(accuracies[-patience:]) <= max(accuracies[:-patience]):
            return True
    if generic_loss is None or not history:
        return False
    if start is None or not start.generic:
        raise ValueError("generic_loss needs the generic accuracy of the start")
    return float(macro_mean(start.generic) - macro_mean(history[-1].generic)) > generic_loss
