"""Join the figures of one experiment whose seeds ran apart, on other days or machines.

Run: python scripts/join_experiments.py ALL.json PART.json [PART.json ...]

The files are those of ``potstill experiment RECIPE --first-seed N --out PART.json``. ALL.json takes
the seeds of all parts, and its own where it is there already; a seed of two files is refused.
Accuracies and comparisons are computed anew from the counts of each seed, as the experiment would
have computed them from the runs.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from potstill.experiment.run_results import (
    RESAMPLES,
    SystemComparison,
    SystemResults,
    comparison_figures,
    system_figures,
)
from potstill.experiment.teacher_results import TeacherAccuracies, teacher_figures
from potstill.statistics import compare_runs, paired_comparison
from potstill.whole_files import write_whole

Figures = dict[str, Any]
"""An experiment's findings on one recipe, or a part of them."""

NOTHING: tuple[object, ...] = (None, {}, {"policies": {}, "expected": {}})
"""The empty values of ``inflation``, and of ``guidance`` of a variant."""


def joined(parts: Sequence[Figures]) -> Figures:
    """Returns the figures of all parts of an experiment, of one recipe or more.

    Raises:
        SystemExit: The parts are not of the same recipes, differ in settings beside seeds, share a
            seed, or hold figures that cannot be computed from counts.
    """
    about = ("command", "cores")
    recipes = [sorted(set(part) - set(about)) for part in parts]
    if any(names != recipes[0] for names in recipes):
        raise SystemExit(f"error: the files are not of the same recipes: {recipes}")
    return {
        "command": "\n".join(part["command"] for part in parts),
        "cores": parts[0]["cores"],
        **{name: _recipe(name, [part[name] for part in parts]) for name in recipes[0]},
    }


def _recipe(name: str, parts: Sequence[Figures]) -> Figures:
    whole: Figures = {}
    _require_same_settings(name, [part["changes"] for part in parts])
    for key in parts[0]:
        values = [part[key] for part in parts]
        if key in ("seconds", "changes"):
            whole[key] = _distinct(name, values)
        elif key == "development":
            whole[key] = {task: _steps(those) for task, those in _by_key(values).items()}
        elif key in ("tasks", "rules"):
            whole[key] = {task: _systems(name, those) for task, those in _by_key(values).items()}
        elif key == "teachers":
            whole[key] = {variant: _teachers(those) for variant, those in _by_key(values).items()}
        elif key == "chosen_on_test":
            whole[key] = next(filter(None, values), None)
        elif all(_is_nothing(value) for value in values):
            whole[key] = values[0]
        else:
            raise SystemExit(f"error: {name}: figures of {key!r} cannot be joined from counts")
    return whole


def _require_same_settings(name: str, parts: Sequence[Mapping[str, Sequence[str]]]) -> None:
    """Require that runs of one variant have the same settings, but for their seeds and folders.

    Args:
        name: The recipe's name.
        parts: What each run of a part has beside the recipe, ``SETTING=VALUE`` each, by its folder.
    """
    known: dict[str, set[str]] = {}
    for part in parts:
        for folder, changes in part.items():
            variant, _, seed = folder.rpartition("-seed")
            settings = {
                change.removesuffix(f"={seed}") if change.endswith(f"seed={seed}") else change
                for change in changes
                if not change.startswith("run=")
            }
            if apart := sorted(known.setdefault(variant, settings) ^ settings):
                raise SystemExit(
                    f"error: {name}: {folder} differs from other seeds in {', '.join(apart)}"
                )


def _by_key(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns what the parts have of each task or variant that any of them has."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: [part[key] for part in parts if key in part] for key in keys}


def _is_nothing(figures: Any) -> bool:
    return figures in NOTHING or all(of_variant in NOTHING for of_variant in figures.values())


def _distinct(name: str, parts: Sequence[Mapping[str, Any]]) -> Figures:
    """Returns what each run has, by the run; no run is of two parts."""
    whole: Figures = {}
    for part in parts:
        if twice := sorted(set(whole) & set(part)):
            raise SystemExit(f"error: {name}: {', '.join(twice)} is in two files")
        whole |= part
    return whole


def _steps(parts: Sequence[Mapping[str, Mapping[str, Sequence[int]]]]) -> Figures:
    """Returns right and asked development questions of all parts by system and step."""
    whole: dict[str, dict[str, list[int]]] = {}
    for part in parts:
        for system, by_step in part.items():
            for step, counts in by_step.items():
                before = whole.setdefault(system, {}).setdefault(step, [0, 0])
                before[:] = [mine + more for mine, more in zip(before, counts, strict=True)]
    return whole


def _systems(name: str, parts: Sequence[Mapping[str, Figures]]) -> Figures:
    """Returns every system's accuracy and comparisons over the seeds of all parts that have it."""
    seeds: dict[str, dict[str, list[int]]] = {}
    for part in parts:
        for system, found in part.items():
            of_system = seeds.setdefault(system, {})
            if twice := sorted(set(of_system) & set(found["by_seed"])):
                raise SystemExit(f"error: {name}: seed {', '.join(twice)} is in two files")
            of_system |= found["by_seed"]
    whole: Figures = {}
    for system, by_seed in seeds.items():
        having = [part[system] for part in parts if system in part]
        whole[system] = system_figures(_laid_out(system, by_seed))
        if "against" in having[0]:
            whole[system]["against"] = {
                other: _comparison(by_seed, seeds[other], [one["against"][other] for one in having])
                for other in having[0]["against"]
                if all(other in one["against"] for one in having)
            }
    return whole


def _laid_out(system: str, by_seed: Mapping[str, Sequence[int]]) -> SystemResults:
    """Returns a system's answers again from their counts: so many right ones, then the others."""
    answers = {
        int(seed): {str(number): number < right for number in range(total)}
        for seed, (right, total) in by_seed.items()
    }
    return SystemResults(name=system, by_seed=answers)


def _teachers(parts: Sequence[Sequence[Figures]]) -> list[dict[str, object]]:
    """Returns every teacher's accuracy in every round over the seeds of all parts."""
    seeds: dict[tuple[str, int], dict[int, float]] = {}
    for part in parts:
        for found in part:
            of_teacher = seeds.setdefault((found["teacher"], found["round"]), {})
            of_teacher |= {int(seed): accuracy for seed, accuracy in found["by_seed"].items()}
    return teacher_figures([TeacherAccuracies(*at, by_seed) for at, by_seed in seeds.items()])


def _comparison(
    mine: Mapping[str, Sequence[int]],
    others: Mapping[str, Sequence[int]],
    parts: Sequence[Figures],
) -> Figures | None:
    """Returns the comparison of two systems over all seeds.

    The pooled answers are laid out again from their counts: which question was which is not
    needed, for the paired interval and test depend on the four counts alone.
    """
    pairs = [part["over_questions"] for part in parts]
    first, second = (sum(one[key] for one in pairs) for key in ("only_first", "only_second"))
    both = sum(right for right, _ in mine.values()) - first
    neither = sum(total for _, total in mine.values()) - both - first - second
    ours = [True] * (both + first) + [False] * (second + neither)
    theirs = [True] * both + [False] * first + [True] * second + [False] * neither
    accuracies = [[side[seed][0] / side[seed][1] for seed in mine] for side in (mine, others)]
    return comparison_figures(
        SystemComparison(
            compare_runs(*accuracies) if len(mine) > 1 else None,
            paired_comparison(ours, theirs, resamples=RESAMPLES, seed=0),
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the joined file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("all", type=Path, metavar="ALL")
    parser.add_argument("parts", type=Path, nargs="+", metavar="PART")
    options = parser.parse_args(arguments)
    files = [*([options.all] if options.all.exists() else []), *options.parts]
    whole = joined([json.loads(file.read_text(encoding="utf-8")) for file in files])
    write_whole(options.all, json.dumps(whole, indent=2) + "\n")
    print(f"{options.all}: written")


if __name__ == "__main__":
    main()
