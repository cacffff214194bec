"""Runs of a comparison put together: those that differ in nothing but seeds are one group."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from potstill.experiment.compared_runs import RunRecord


class SeedGroup(NamedTuple):
    """Runs that differ in nothing but seeds; often one alone."""

    name: str
    runs: tuple[RunRecord, ...]

    @property
    def names(self) -> list[str]:
        """The names of its runs."""
        return [run.name for run in self.runs]

    @property
    def tasks(self) -> list[str]:
        """The tasks that any of its runs was measured on."""
        return list(dict.fromkeys(task for run in self.runs for task in run.tasks))

    def measured_on(self, task: str) -> "SeedGroup":
        """Returns the group of those of its runs that were measured on a task, maybe of none."""
        measured = tuple(run for run in self.runs if task in run.tasks)
        return SeedGroup(_group_name(measured) if measured else self.name, measured)


def is_seed(name: str) -> bool:
    """Whether a setting is a seed, by the last part of its name."""
    return name == "seed" or name.endswith("_seed")


def seed_groups(runs: Sequence[RunRecord]) -> list[SeedGroup]:
    """Returns the runs by their recipes; where a seed comes again, another group begins."""
    groups: list[list[RunRecord]] = []
    for run in runs:
        for group in groups:
            is_new = all(run.seed != other.seed for other in group)
            if is_new and run.values and _without_seeds(run) == _without_seeds(group[0]):
                group.append(run)
                break
        else:
            groups.append([run])
    return [SeedGroup(_group_name(group), tuple(group)) for group in groups]


def single_groups(runs: Sequence[RunRecord]) -> list[SeedGroup]:
    """Returns each run as a group of its own."""
    return [SeedGroup(run.name, (run,)) for run in runs]


def _without_seeds(run: RunRecord) -> object:
    def kept(value: object) -> object:
        if isinstance(value, Mapping):
            return {name: kept(one) for name, one in value.items() if not is_seed(name)}
        return [kept(one) for one in value] if isinstance(value, list) else value

    return kept(run.values)


def _group_name(runs: Sequence[RunRecord]) -> str:
    """Returns what the names of a group's runs begin with, and how many seeds they are."""
    if len(runs) == 1:
        return runs[0].name
    shortest, *others = sorted((run.name for run in runs), key=len)
    alike = takewhile(
        lambda at: all(name.startswith(shortest[:at]) for name in others),
        range(1, len(shortest) + 1),
    )
    begin = shortest[: max(alike, default=0)].rstrip("0123456789").removesuffix("seed")
    return f"{begin.rstrip('-_. ') or runs[0].name} ({len(runs)} seeds)"


def runs_by_seed(group: SeedGroup, other: SeedGroup) -> dict[int, RunRecord]:
    """Returns a group's runs by seed; two single runs are paired whatever their seeds."""
    if len(group.runs) == len(other.runs) == 1:
        return {0: group.runs[0]}
    return {run.seed: run for run in group.runs}
