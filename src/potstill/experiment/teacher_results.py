"""Reads how often several teachers were right in several runs of one recipe, round by round.

A teacher's accuracy is the share of its samples that are right, mean over a run's training
questions. A debate's later rounds are compared with the first answers of the same runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from potstill.statistics import Interval, RunsComparison, compare_runs, runs_interval
from potstill.store import Store
from potstill.text.points import points

TEACHER_HEADS = ("teacher", "round", "mean", "95% over runs", "points to round 0", "95%", "p")
"""The columns of ``teacher_rows``; round 0 holds the first answers."""


class TeacherAccuracies(NamedTuple):
    """One teacher in one round, in all runs; ``consensus`` is most samples' answer."""

    teacher: str
    round: int
    by_seed: Mapping[int, float]

    @property
    def over_runs(self) -> Interval | None:
        """The 95% interval of the mean over runs; None for one run, or equal ones."""
        accuracies = list(self.by_seed.values())
        return runs_interval(accuracies) if len(accuracies) > 1 else None

    def change_since(self, first: "TeacherAccuracies") -> RunsComparison | None:
        """Returns the change since another round, paired by seed; None for fewer than two runs."""
        if len(self.by_seed) < 2 or self.by_seed.keys() != first.by_seed.keys():
            return None
        ours = list(self.by_seed.values())
        return compare_runs(ours, [first.by_seed[seed] for seed in self.by_seed])


def teacher_results(folders: Mapping[int, Path]) -> list[TeacherAccuracies]:
    """Returns every teacher's accuracy in every round; nothing where a run has one teacher.

    Args:
        folders: The folder of each run by its seed.
    """
    found: dict[tuple[str, int], dict[int, float]] = {}
    for seed, folder in folders.items():
        with Store(folder / "run.sqlite", read_only=True) as store:
            for score in store.teacher_scores():
                found.setdefault((score.teacher, score.round), {})[seed] = score.accuracy
    if len({teacher for teacher, _ in found}) < 2:
        return []
    return [TeacherAccuracies(*at, by_seed) for at, by_seed in found.items()]


def teacher_rows(results: Sequence[TeacherAccuracies]) -> list[list[str]]:
    """Returns the rows of a table, whose heads are ``TEACHER_HEADS``."""
    rows = []
    for result, change in _with_changes(results):
        ends, between = result.over_runs, change.interval if change else None
        rows.append(
            [
                result.teacher,
                str(result.round),
                f"{fmean(result.by_seed.values()):.1%}",
                f"{ends.low:.1%} to {ends.high:.1%}" if ends else "-",
                points(change.difference) if change else "",
                " to ".join(map(points, between)) if between else "",
                f"{change.p_value:.2g}" if change and change.p_value is not None else "",
            ]
        )
    return rows


def teacher_figures(results: Sequence[TeacherAccuracies]) -> list[dict[str, object]]:
    """Returns the same as plain values."""
    return [
        {
            "teacher": result.teacher,
            "round": result.round,
            "mean": fmean(result.by_seed.values()),
            "over_runs": result.over_runs,
            "by_seed": dict(result.by_seed),
            "to_round_0": change._asdict() if change else None,
        }
        for result, change in _with_changes(results)
    ]


def _with_changes(
    results: Sequence[TeacherAccuracies],
) -> list[tuple[TeacherAccuracies, RunsComparison | None]]:
    first = {result.teacher: result for result in results if result.round == 0}
    return [
        (result, result.change_since(first[result.teacher]) if result.round else None)
        for result in results
    ]
