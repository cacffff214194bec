"""Holds runs against each other: recipes, accuracies, paired differences, and what is to be minded.

Runs that differ in nothing but seeds are one group, of which accuracies have an interval over runs,
as an experiment's have. The first group is what every other is compared with, student by student,
on the test questions that both answered; where there is one group alone, its first run is. All
comparisons are one family: their p-values are adjusted together (Holm).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.experiment.compared_runs import RunRecord, Verdicts, read_runs
from potstill.experiment.comparison_cautions import cautions, split_cautions
from potstill.experiment.recipe_differences import RecipeDifference, recipe_differences
from potstill.experiment.run_results import SystemComparison, SystemResults
from potstill.experiment.seed_groups import (
    SeedGroup,
    runs_by_seed,
    seed_groups,
    single_groups,
)
from potstill.records import System
from potstill.statistics import adjusted_p_values

UNTRAINED = ("teacher", "start")
"""Models that are compared only where the runs share no student."""


class PairedRuns(NamedTuple):
    """One system in two groups, on the questions of one task that both answered."""

    task: str
    system: str
    first: str
    """The name of the group that is compared."""

    second: str
    """The name of the group that it is compared with."""

    shared: int
    """Answers that are paired: questions, over all seeds that both groups have."""

    of_first: int
    of_second: int
    """Answers of either in the same seeds."""

    compared: SystemComparison | None
    """The result of the comparison; None where nothing can be paired."""

    why_not: str
    """The reason why nothing can be paired; empty where something can."""

    adjusted: float | None
    """The p-value adjusted for all comparisons; None where there is none."""

    of_chosen: bool = False
    """Whether it compares the students that the runs chose, whatever their names."""

    @property
    def p_value(self) -> float | None:
        """The p-value over several runs, or McNemar's of one; None where all runs differ alike."""
        if self.compared is None:
            return None
        over_runs, over_questions = self.compared
        return over_runs.p_value if over_runs else over_questions.p_value


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRuns:
    """Several runs, held against each other."""

    runs: Sequence[RunRecord]
    groups: Sequence[SeedGroup]
    recipes: Sequence[RecipeDifference]
    pairs: Sequence[PairedRuns]
    cautions: Sequence[str]

    @property
    def tasks(self) -> list[str]:
        """All tasks that were measured, in the order of the runs."""
        return list(dict.fromkeys(task for run in self.runs for task in run.tasks))

    def systems(self, task: str) -> list[str]:
        """Returns the labels of all systems that answered a task's questions."""
        return list(
            dict.fromkeys(system.label for run in self.runs for system in run.answers.get(task, ()))
        )

    def _repr_html_(self) -> str:
        """Returns the comparison as notebooks show it."""
        from potstill.experiment.comparison_view import comparison_view

        return comparison_view(self)

    @property
    def over_runs(self) -> Iterator[tuple[SeedGroup, str, SystemResults]]:
        """Each task's groups of several runs, and every system that all of their runs measured."""
        for group in self.groups:
            for task in group.tasks:
                measured = group.measured_on(task)
                if len(measured.runs) > 1:
                    for results in seeded_results(measured, task):
                        yield measured, task, results


def compare(*folders: str | Path) -> ComparedRuns:
    """Compare finished runs, the first of which the others are held against.

    Args:
        folders: The runs', two or more.

    Raises:
        ConfigError: There are fewer than two, one is no run or given twice, or they were measured
            on no common task.
        StoreError: A run cannot be read.
    """
    return compared_runs(read_runs([Path(folder) for folder in folders]))


def compared_runs(runs: Sequence[RunRecord]) -> ComparedRuns:
    """Compare runs.

    Raises:
        ConfigError: The runs that were evaluated have no task in common.
    """
    measured = [run for run in runs if run.tasks]
    tasks = [set(run.tasks) for run in measured]
    if len(measured) > 1 and not any(
        one & other for place, one in enumerate(tasks) for other in tasks[:place]
    ):
        named = "; ".join(f"{run.name} has {', '.join(run.tasks)}" for run in measured)
        raise ConfigError(f"the runs were measured on no common task: {named}.")
    groups = seed_groups(runs)
    units = groups if len(groups) > 1 else single_groups(runs)
    pairs = [pair for unit in units[1:] for pair in _pairs(unit, units[0])]
    return ComparedRuns(
        runs=runs,
        groups=groups,
        recipes=recipe_differences(runs),
        pairs=_adjusted(pairs),
        cautions=[*cautions(runs), *split_cautions(units)],
    )


def seeded_results(group: SeedGroup, task: str) -> list[SystemResults]:
    """Returns what each system that all runs of a group have did on a task, by seed.

    Args:
        group: Runs that were all measured on the task, as :meth:`SeedGroup.measured_on` gives them.
        task: The task's name.
    """
    shared = [
        system
        for system in group.runs[0].answers.get(task, {})
        if all(run.system(system.label, task) for run in group.runs)
    ]
    return [
        SystemResults(
            name=system.label,
            by_seed={run.seed: _verdicts(run, system.label, task) for run in group.runs},
        )
        for system in shared
    ]


def _verdicts(run: RunRecord, label: str | None, task: str) -> Verdicts:
    """Returns a system's answers, or those of the chosen student; empty where there are none."""
    system = run.chosen if label is None else run.system(label, task)
    return run.answers[task].get(system, {}) if system else {}


# pairs -------------------------------------------------------------------------------------------


def _pairs(unit: SeedGroup, base: SeedGroup) -> Iterator[PairedRuns]:
    """Yields every comparison of one group with another, task by task."""
    for task in base.tasks:
        one, two = unit.measured_on(task), base.measured_on(task)
        if not one.runs or not two.runs:
            continue
        for label in _labels(one, two, task):
            yield _pair(label, task, one, two, label)
        mine, others = _chosen(one, task), _chosen(two, task)
        if mine and others and (mine != others or len(mine) > 1):
            name = f"chosen ({'/'.join(mine)}, {'/'.join(others)})"
            yield _pair(name, task, one, two)


def _labels(unit: SeedGroup, base: SeedGroup, task: str) -> list[str]:
    """Returns the students that all runs of both groups have; of runs without any, all systems."""
    runs = (*unit.runs, *base.runs)
    shared = [
        system
        for system in base.runs[0].answers.get(task, {})
        if all(run.system(system.label, task) for run in runs)
    ]
    students = [system for system in shared if is_student(system)]
    has_students = any(is_student(system) for run in runs for system in run.answers.get(task, ()))
    return [system.label for system in (students if has_students else shared)]


def is_student(system: System) -> bool:
    """Whether a system is one that was trained."""
    return system.model not in UNTRAINED


def _chosen(group: SeedGroup, task: str) -> list[str]:
    """Returns the labels of the students that a group's runs chose; none where one is missing."""
    labels = [run.chosen.label if run.chosen else "" for run in group.runs]
    measured = all(run.system(label, task) for run, label in zip(group.runs, labels, strict=True))
    return list(dict.fromkeys(labels)) if measured else []


def _pair(
    name: str, task: str, unit: SeedGroup, base: SeedGroup, label: str | None = None
) -> PairedRuns:
    """Compare one system of two groups on the questions that both answered under one seed.

    Args:
        name: The comparison's name.
        task: The task whose questions they answered.
        unit: The group that is compared.
        base: The group that it is compared with.
        label: The system's label; None: the student that each run chose.
    """
    ours, theirs = runs_by_seed(unit, base), runs_by_seed(base, unit)
    seeds = [seed for seed in ours if seed in theirs]
    mine = {seed: _verdicts(ours[seed], label, task) for seed in seeds}
    others = {seed: _verdicts(theirs[seed], label, task) for seed in seeds}
    both = {seed: sorted(mine[seed].keys() & others[seed].keys()) for seed in seeds}
    both = {seed: questions for seed, questions in both.items() if questions}
    compared = None
    if both:
        first, second = (
            SystemResults(
                name=name,
                by_seed={
                    seed: {question: answers[seed][question] for question in questions}
                    for seed, questions in both.items()
                },
            )
            for answers in (mine, others)
        )
        compared = first.compared_with(second)
    why_not = "" if both else "no test question in common" if seeds else "no seed in common"
    return PairedRuns(
        task=task,
        system=name,
        first=unit.name,
        second=base.name,
        shared=sum(map(len, both.values())),
        of_first=sum(map(len, mine.values())),
        of_second=sum(map(len, others.values())),
        compared=compared,
        why_not=why_not,
        adjusted=None,
        of_chosen=label is None,
    )


def _adjusted(pairs: Sequence[PairedRuns]) -> list[PairedRuns]:
    """Returns the same pairs with p-values that hold for all of them together."""
    known = [pair.p_value for pair in pairs if pair.p_value is not None]
    adjusted = iter(adjusted_p_values(known))
    return [
        pair if pair.p_value is None else pair._replace(adjusted=next(adjusted)) for pair in pairs
    ]
