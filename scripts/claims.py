"""Writes the table of the papers' claims in docs/papers.md from docs/claims.yaml and the results.

Run: python scripts/claims.py [--check]

Every figure is computed here from the counts of each training in a file under benchmarks/results,
so none can differ from it. A file that is not there yet shows as "not run yet". With ``--check``
nothing is written, and the exit code is 1 where the table is out of date.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, Self

import yaml
from pydantic import Field, model_validator

from potstill.settings import Settings, build
from potstill.statistics import Interval, compare_runs, runs_interval
from potstill.text.points import points

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "docs" / "claims.yaml"
PAGE = ROOT / "docs" / "papers.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- claims: scripts/claims.py -->\n", "<!-- end of claims -->\n"
HEADS = ("no.", "claim", "shown by", "model", "figures", "verdict")
NOT_RUN = "not run yet"
ENOUGH = 5
"""Trainings from which on a claim is said to hold or not; with fewer, so far."""


class Figure(Settings):
    """One figure of a claim."""

    label: str = Field(min_length=1)
    """The figure's name."""

    file: str
    """The result file's name under benchmarks/results, without its ending."""

    task: str = ""
    """The task that the systems answered; empty where there is a path."""

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    """The figure is the sum of these systems' accuracies less that of those; with ``minus`` it is
    told in points. A system of another task is written ``TASK: SYSTEM``."""

    path: tuple[str, ...] = ()
    """The keys that lead to a plain figure in the file, in place of systems."""

    wording: str = "{:.1f}"
    """The format of a plain figure; ``compared`` tells a difference with its interval."""

    expect: Literal["more", "less", "same", "no_less"] | None = None
    """The expected sign of the figure; null where the figure only stands beside others."""

    within: float = 5.0
    """Points that still count as the same, or as no less."""

    @model_validator(mode="after")
    def _expects_of_a_difference(self) -> Self:
        if self.expect and not self.minus and self.wording != "compared":
            raise ValueError("expect: holds for a difference, so give minus, or wording: compared")
        return self


class Claim(Settings):
    """One claim of a paper."""

    number: str
    claim: str
    model: str
    recipes: tuple[str, ...] = ()
    """Files that show it, from the checkout's root."""

    figures: tuple[Figure, ...] = ()
    verdict: str = ""
    """The verdict that is told in place of the one that follows from the figures."""

    note: str = ""


class Found(NamedTuple):
    """A figure as the table shows it, and whether it is as the claim expects."""

    text: str
    agrees: Literal["yes", "no", "open"] | None = None
    trainings: int = ENOUGH


def read_claims() -> list[Claim]:
    """Returns all claims, in the order of their file."""
    listed = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    return [build(Claim, entry, at=f"claim {entry.get('number')}") for entry in listed]


def results_of(figure: Figure) -> Mapping[str, Any] | None:
    """Returns a figure's result file; None where it is not there yet."""
    path = RESULTS / f"{figure.file}.json"
    if not path.exists():
        return None
    results: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def accuracies(results: Mapping[str, Any], figure: Figure, system: str) -> dict[str, float]:
    """Returns a system's accuracy in each training, by its seed.

    Raises:
        KeyError: No recipe of the file has the system on the task.
    """
    named, _, alone = system.partition(": ")
    task, name = (named, alone) if alone else (figure.task, system)
    for experiment in results.values():
        if isinstance(experiment, dict):
            tasks = experiment.get("tasks", {})
            if name in tasks.get(task, {}):
                counts = tasks[task][name]["by_seed"]
                return {seed: right / total for seed, (right, total) in counts.items()}
    raise KeyError(f"{figure.file}: no {name} on {task}")


def find(figure: Figure) -> Found:
    """Returns a figure as the table shows it."""
    results = results_of(figure)
    if results is None:
        return Found(f"{figure.label}: {NOT_RUN}")
    if figure.path:
        value: Any = results
        for name in figure.path:
            value = value[int(name)] if isinstance(value, list) else value[name]
        if figure.wording == "compared":
            return _compared(figure, value)
        return Found(f"{figure.label}: {figure.wording.format(value)}")
    plus = [accuracies(results, figure, name) for name in figure.plus]
    minus = [accuracies(results, figure, name) for name in figure.minus]
    seeds = list(plus[0])
    if any(set(system) != set(seeds) for system in (*plus, *minus)):
        trained = sorted({tuple(sorted(system)) for system in (*plus, *minus)})
        raise SystemExit(f"{figure.file}: {figure.label}: the systems' seeds differ: {trained}")
    upper = [sum(system[seed] for system in plus) for seed in seeds]
    if not minus:
        return Found(f"{figure.label}: {_accuracy(upper)}")
    lower = [sum(system[seed] for system in minus) for seed in seeds]
    return _difference(figure, upper, lower)


def _compared(figure: Figure, value: Mapping[str, Any]) -> Found:
    """Returns a comparison that stands in the file, over trainings or over questions alone."""
    known = Interval(*value["interval"]) if value["interval"] else None
    interval = known or Interval(value["difference"], value["difference"])
    runs = value.get("runs", 0)
    over = trainings(runs) if runs else "over the questions"
    told = f"{figure.label}: {points(value['difference'])}{_between(known)}, {over}"
    return Found(told, agreement(figure, interval) if figure.expect and runs else None, runs)


def _between(interval: Interval | None) -> str:
    """Returns an interval as it stands behind a difference; empty where all trainings are alike."""
    return f" [{points(interval.low)}, {points(interval.high)}]" if interval else ""


def _accuracy(values: Sequence[float]) -> str:
    interval = runs_interval(values) if len(values) > 1 else None
    between = f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
    return f"{100 * fmean(values):.1f}%{between}, {trainings(len(values))}"


def _difference(figure: Figure, upper: Sequence[float], lower: Sequence[float]) -> Found:
    runs = len(upper)
    if runs == 1:
        told = f"{figure.label}: {points(upper[0] - lower[0])}, {trainings(1)}"
        return Found(told, "open" if figure.expect else None, runs)
    compared = compare_runs(upper, lower)
    interval = compared.interval or Interval(compared.difference, compared.difference)
    between = _between(compared.interval)
    told = f"{figure.label}: {points(compared.difference)}{between}, {trainings(runs)}"
    return Found(told, agreement(figure, interval) if figure.expect else None, runs)


def trainings(count: int) -> str:
    """``3 trainings``."""
    return "1 training" if count == 1 else f"{count} trainings"


def agreement(figure: Figure, interval: Interval) -> Literal["yes", "no", "open"]:
    """Returns whether an interval lies wholly where the claim expects it, or wholly elsewhere."""
    low, high = interval
    margin = figure.within / 100
    if figure.expect == "same":
        if -margin <= low and high <= margin:
            return "yes"
        return "no" if low > margin or high < -margin else "open"
    if figure.expect == "no_less":
        return "yes" if low >= -margin else "no" if high < -margin else "open"
    if figure.expect == "less":
        low, high = -high, -low
    return "yes" if low > 0 else "no" if high < 0 else "open"


def verdict_of(claim: Claim, found: Sequence[Found]) -> str:
    """Returns the verdict: all figures have to agree, and one that does not decides."""
    if claim.verdict:
        return claim.verdict
    told = [figure for figure in found if figure.agrees]
    missing = any(figure.text.endswith(NOT_RUN) for figure in found)
    few = missing or any(figure.trainings < ENOUGH for figure in told)
    so_far = " so far" if few else ""
    if any(figure.agrees == "no" for figure in told):
        return f"does not hold{so_far}"
    if told and all(figure.agrees == "yes" for figure in told):
        return f"holds{so_far}"
    return "open"


def row_of(claim: Claim) -> tuple[str, ...]:
    """Returns the cells of a claim's row."""
    found = [find(figure) for figure in claim.figures]
    files = {f"benchmarks/results/{figure.file}.json" for figure in claim.figures}
    there = sorted(file for file in files if (ROOT / file).exists())
    shown = "<br>".join(f"`{name}`" for name in [*claim.recipes, *there])
    told = [figure.text for figure in found] or ([] if claim.note else ["no figure"])
    figures = "<br>".join([*told, *([claim.note] if claim.note else [])])
    return claim.number, claim.claim, shown, claim.model, figures, verdict_of(claim, found)


def table() -> str:
    """Returns the table as Markdown."""
    rows = [HEADS, ("---",) * len(HEADS), *map(row_of, read_claims())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def page() -> str:
    """Returns the page with the table as it has to be."""
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{PAGE} lacks the marks around the table"
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the table, or say that it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    text = page()
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("docs/papers.md is out of date; run: python scripts/claims.py\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
