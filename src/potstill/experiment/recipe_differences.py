"""The settings in which the recipes of several runs differ, by name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from potstill.experiment.compared_runs import RunRecord
from potstill.experiment.seed_groups import SeedGroup
from potstill.pipeline.stale import shown

ABSENT = object()
"""The stand-in for a setting that a recipe does not have."""


class RecipeDifference(NamedTuple):
    """A setting in which recipes differ."""

    setting: str
    values: Mapping[str, str]
    """The setting's value by run, on a line; without runs whose recipe has no such setting."""

    def of_group(self, group: SeedGroup) -> str:
        """Returns the values of a group's runs, each once; empty where none has the setting."""
        values = [self.values[name] for name in group.names if name in self.values]
        return ", ".join(dict.fromkeys(values))


def recipe_differences(runs: Sequence[RunRecord]) -> list[RecipeDifference]:
    """Returns the settings that are not the same in all recipes, with defaults filled in.

    A section that one recipe has and another has not is one difference, with what it gives.
    """
    if len(known := [run for run in runs if run.values]) < 2:
        return []
    values, given = [run.values for run in known], [run.given for run in known]
    return [
        RecipeDifference(
            name,
            {run.name: word for run, word in zip(known, words, strict=True) if word is not None},
        )
        for name, words in _differing("", values, given)
    ]


def _differing(
    place: str, values: Sequence[object], given: Sequence[object]
) -> Iterator[tuple[str, list[str | None]]]:
    """Yields the settings below a place that differ, each with its value in every recipe.

    Args:
        place: The name of what stands there; empty for the recipes themselves.
        values: Each recipe's value there, with defaults.
        given: Each recipe's value there, without defaults.
    """
    if all(isinstance(value, Mapping) for value in values):
        sections = [value for value in values if isinstance(value, Mapping)]
        for name in dict.fromkeys(name for section in sections for name in section):
            at = f"{place}.{name}" if place else str(name)
            inner = [section.get(name, ABSENT) for section in sections]
            yield from _differing(at, inner, [_part(one, name) for one in given])
    elif any(value != values[0] for value in values) and not _is_default(values, given):
        yield place, [_shown(value, own) for value, own in zip(values, given, strict=True)]


def _is_default(values: Sequence[object], given: Sequence[object]) -> bool:
    """Whether a setting differs only as some recipes have a section of it that others have not.

    A teacher of another kind has other settings; those that are left to their defaults say nothing.
    """
    return (
        ABSENT in values
        and all(own is ABSENT or value is ABSENT for value, own in zip(values, given, strict=True))
        and not any(isinstance(value, Mapping) for value in values)
    )


def _part(given: object, name: object) -> object:
    return given.get(name, ABSENT) if isinstance(given, Mapping) else ABSENT


def _shown(value: object, given: object) -> str | None:
    """Returns a value on a line, of a section only what is given; None where there is none."""
    if value is ABSENT:
        return None
    return shown(value if given is ABSENT or not isinstance(value, Mapping) else given)
