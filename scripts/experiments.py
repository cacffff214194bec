"""Run recipes for several seeds and put their results together: intervals and paired tests.

Run: python scripts/experiments.py RECIPE... --seeds 0 1 2 [--against SYSTEM...] [--jobs 2]
         [--set NAME=VALUE] [--per-seed NAME] [--variant NAME NAME=VALUE...] [--out FILE]

Each seed is one ``potstill run`` in a folder of its own, ``runs/RECIPE-seed0`` and so on: what is
done is not done again, and an interrupted experiment is repeated to go on. A variant is the recipe
once more with other settings; its systems are named ``VARIANT/SYSTEM``. Two jobs of one thread each
beat one of two threads on small models; with a GPU leave it at one job.

Where the test questions can be drawn anew (procedural families), ``--per-seed task.split_seed``
gives each seed questions of its own, so that the pooled counts are of independent answers.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from guided_results import GUIDED_HEADS, guided_figures, guided_results, guided_rows

from potstill.errors import PotstillError
from potstill.pipeline.recipe import load_recipe
from potstill.records import System
from potstill.statistics import PairedResult, accuracy_interval, paired_comparison
from potstill.store import Store
from potstill.whole_files import write_whole

RESAMPLES = 10_000
"""Bootstrap resamples behind the intervals of differences."""

Answers = Mapping[str, bool]
"""Whether a system's answer is right, by the question's id."""


class Job(NamedTuple):
    """One run of one recipe."""

    recipe: Path
    variant: str
    """Empty for the recipe as it is."""

    seed: int
    changes: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """One system on one task, over all seeds."""

    system: str
    by_seed: Mapping[int, Answers]

    @property
    def right(self) -> int:
        """Right answers of all seeds."""
        return sum(sum(answers.values()) for answers in self.by_seed.values())

    @property
    def total(self) -> int:
        """Answers of all seeds."""
        return sum(len(answers) for answers in self.by_seed.values())

    def accuracies(self) -> list[float]:
        """The accuracy of each seed."""
        return [sum(each.values()) / len(each) for each in self.by_seed.values()]

    def against(self, other: "Pooled") -> PairedResult | None:
        """All pairs of answers to the same question under the same seed; None where some lack."""
        pairs = [
            (right, other.by_seed.get(seed, {}).get(question))
            for seed, answers in self.by_seed.items()
            for question, right in answers.items()
        ]
        if self.total != other.total or any(theirs is None for _, theirs in pairs):
            return None
        ours, theirs = [first for first, _ in pairs], [bool(second) for _, second in pairs]
        return paired_comparison(ours, theirs, resamples=RESAMPLES, seed=0)


def jobs_of(arguments: argparse.Namespace) -> list[Job]:
    """Every run that is wanted, the seeds of one recipe after those of another.

    Raises:
        ConfigError: A recipe cannot be loaded with the changes asked for.
    """
    jobs = []
    variants: dict[str, list[str]] = {"": []}
    variants |= {name: changes for name, *changes in arguments.variant}
    for recipe in arguments.recipes:
        for variant, changes in variants.items():
            for seed in arguments.seeds:
                seeded = [f"{name}={seed}" for name in ("seed", *arguments.per_seed)]
                settings = [*arguments.set, *changes, *seeded]
                name = load_recipe(recipe, settings).run + (f"-{variant}" if variant else "")
                folder = f"{name}-seed{seed}"
                jobs.append(Job(recipe, variant, seed, (*settings, f"run={folder}"), Path(folder)))
    return jobs


def run(job: Job, threads: int | None) -> str | None:
    """Do one run, its output in ``log.txt`` of its folder; what went wrong, if anything did."""
    words = [word for change in job.changes for word in ("--set", change)]
    command = [sys.executable, "-m", "potstill", "run", str(job.recipe), *words]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / "log.txt"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8").splitlines() or ["(no output)"]
        return f"{job.folder}: ended with {done.returncode}: {lines[-1]}"
    sys.stderr.write(f"{job.folder}: {seconds_of(job):.0f} s\n")
    return None


def seconds_of(job: Job) -> float:
    """The seconds that the stages of a run took in all."""
    with Store(job.folder / "run.sqlite", read_only=True) as store:
        return sum(stage.seconds for stage in store.stages())


def pooled(jobs: Sequence[Job]) -> dict[str, list[Pooled]]:
    """The test answers of the systems of some runs, by task."""
    found: dict[str, dict[str, dict[int, dict[str, bool]]]] = {}
    for job in jobs:
        with Store(job.folder / "run.sqlite", read_only=True) as store:
            for each in store.predictions():
                if not each.system.taken:  # see by_rule
                    continue
                name = "/".join(filter(None, (job.variant, each.system.label)))
                by_seed = found.setdefault(each.task, {}).setdefault(name, defaultdict(dict))
                by_seed[job.seed][each.question_id] = each.correct
    return {
        task: [Pooled(system=name, by_seed=by_seed) for name, by_seed in systems.items()]
        for task, systems in found.items()
    }


def by_rule(jobs: Sequence[Job]) -> dict[str, list[Pooled]]:
    """The test answers of the checkpoints that each rule of selection chooses, by task.

    The step that a rule chooses differs from seed to seed, so these are systems of their own.
    """
    found: dict[str, dict[str, dict[int, dict[str, bool]]]] = {}
    for job in jobs:
        with Store(job.folder / "run.sqlite", read_only=True) as store:
            answers: dict[tuple[System, str], dict[str, bool]] = defaultdict(dict)
            for each in store.predictions():
                answers[each.system, each.task][each.question_id] = each.correct
            for choice in store.choices():
                system = replace(choice.system, step=choice.step)
                name = "/".join(filter(None, (job.variant, choice.system.label, choice.rule)))
                for (measured, task), verdicts in answers.items():
                    if replace(measured, taken=True) == system:
                        by_seed = found.setdefault(task, {}).setdefault(name, {})
                        by_seed[job.seed] = verdicts
    return {
        task: [Pooled(system=name, by_seed=by_seed) for name, by_seed in systems.items()]
        for task, systems in found.items()
    }


def curves(jobs: Sequence[Job]) -> dict[str, dict[str, dict[int, tuple[int, int]]]]:
    """Right and asked development questions over all seeds, by task, system and training step."""
    found: dict[str, dict[str, dict[int, tuple[int, int]]]] = {}
    for job in jobs:
        with Store(job.folder / "run.sqlite", read_only=True) as store:
            for score in store.scores():
                if score.split == "dev":
                    name = "/".join(filter(None, (job.variant, score.system.bare.label)))
                    steps = found.setdefault(score.task, {}).setdefault(name, {})
                    right, total = steps.get(score.step or 0, (0, 0))
                    steps[score.step or 0] = (right + score.correct, total + score.total)
    return found


def curve_table(systems: Mapping[str, Mapping[int, tuple[int, int]]]) -> str:
    """Development accuracy by training step."""
    steps = sorted({step for by_step in systems.values() for step in by_step})
    rows = []
    for name, by_step in systems.items():
        cells = []
        for step in steps:
            right, total = by_step.get(step, (0, 0))
            if total:
                low, high = accuracy_interval(right, total)
                cells.append(f"{100 * right / total:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            else:
                cells.append("")
        rows.append((name, *cells))
    return markdown(("development, by step", *(str(step) for step in steps)), rows)


def note_on_sharing(systems: Sequence[Pooled]) -> str:
    """A note where a question was asked under more than one seed; else an empty text."""
    seeds_of: dict[str, set[int]] = defaultdict(set)
    for system in systems:
        for seed, answers in system.by_seed.items():
            for question in answers:
                seeds_of[question].add(seed)
    shared = sum(len(seeds) > 1 for seeds in seeds_of.values())
    if not shared:
        return ""
    return (
        f"Of {len(seeds_of)} test questions {shared} were asked under more than one seed; the "
        "intervals and p-values take their answers as independent, which makes them too narrow."
    )


def accuracy_table(systems: Sequence[Pooled]) -> str:
    """Right answers of each seed, the pooled accuracy with its interval, the spread of seeds."""
    seeds = sorted({seed for system in systems for seed in system.by_seed})
    rows = []
    for system in systems:
        answers = [system.by_seed.get(seed) for seed in seeds]
        each = [f"{sum(some.values())}/{len(some)}" if some else "-" for some in answers]
        low, high = accuracy_interval(system.right, system.total)
        accuracies = system.accuracies()
        spread = f"{100 * statistics.stdev(accuracies):.1f}" if len(accuracies) > 1 else "-"
        share = f"{system.right / system.total:.1%}"
        rows.append((system.system, *each, share, f"{low:.1%} to {high:.1%}", spread))
    heads = (*(f"seed {seed}" for seed in seeds), "accuracy", "95% interval", "sd of seeds, points")
    return markdown(("system", *heads), rows)


def comparison_table(systems: Sequence[Pooled], baseline: Pooled) -> str:
    """Every system against one, over all pairs of answers."""
    rows = []
    for system in systems:
        result = None if system is baseline else system.against(baseline)
        if result is not None:
            low, high = (f"{100 * end:+.1f}" for end in result.interval)
            rows.append(
                (
                    system.system,
                    f"{100 * result.difference:+.1f}",
                    f"{low} to {high}",
                    str(result.only_first),
                    str(result.only_second),
                    f"{result.p_value:.2g}",
                )
            )
    heads = ("points", "95% interval", "only it right", f"only {baseline.system}", "McNemar p")
    return markdown((f"against {baseline.system}", *heads), rows)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(recipe: Path, jobs: Sequence[Job], against: Sequence[str]) -> str:
    """The results of one recipe and its variants as Markdown."""
    parts = [f"## {recipe.stem}"]
    rules, along = by_rule(jobs), curves(jobs)
    for task, systems in pooled(jobs).items():
        parts += [f"### {task}", accuracy_table(systems)]
        parts += [accuracy_table(rules[task])] if len(rules.get(task, ())) > 1 else []
        parts += [curve_table(along.pop(task))] if task in along else []
        parts += [
            comparison_table(systems, baseline)
            for name in against
            for baseline in systems
            if baseline.system == name
        ]
        parts.append(note_on_sharing(systems))
    for task, by_system in along.items():
        parts += [f"### {task}, development alone", curve_table(by_system)]
    for variant, folders in _by_variant(jobs).items():
        rows = guided_rows(*guided_results(folders))
        heading = f"### guidance, {variant}" if variant else "### guidance"
        parts += [heading, markdown(GUIDED_HEADS, rows)] if rows else []
    seconds = ", ".join(f"{job.folder.name} {seconds_of(job):.0f}" for job in jobs)
    return "\n\n".join(part for part in [*parts, f"Seconds a run: {seconds}."] if part)


def _by_variant(jobs: Sequence[Job]) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for job in jobs:
        found[job.variant][job.seed] = job.folder
    return found


def figures(jobs: Sequence[Job], against: Sequence[str]) -> dict[str, object]:
    """The same as plain values."""
    by_task = pooled(jobs)
    return {
        "seconds": {job.folder.name: round(seconds_of(job), 1) for job in jobs},
        "changes": {job.folder.name: job.changes for job in jobs},
        "development": curves(jobs),
        "guidance": {
            variant: guided_figures(*guided_results(folders))
            for variant, folders in _by_variant(jobs).items()
        },
        "rules": {
            task: {
                system.system: [system.right, system.total, *accuracy_interval(*counts)]
                for system in systems
                if (counts := (system.right, system.total))
            }
            for task, systems in by_rule(jobs).items()
        },
        "tasks": {
            task: {
                system.system: {
                    "right": system.right,
                    "total": system.total,
                    "interval": accuracy_interval(system.right, system.total),
                    "by_seed": {
                        seed: [sum(answers.values()), len(answers)]
                        for seed, answers in system.by_seed.items()
                    },
                    "against": {
                        baseline.system: result._asdict()
                        for baseline in systems
                        if baseline.system in against and baseline is not system
                        if (result := system.against(baseline)) is not None
                    },
                }
                for system in systems
            }
            for task, systems in by_task.items()
        },
    }


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+", type=Path, metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--against", nargs="+", default=["answers_only"], metavar="SYSTEM")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--per-seed", action="append", default=[], metavar="NAME")
    parser.add_argument(
        "--variant", nargs="+", action="append", default=[], metavar=("NAME", "NAME=VALUE")
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, too")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, then print the tables."""
    arguments = parsed(words)
    try:
        jobs = jobs_of(arguments)
    except PotstillError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    threads = max((os.cpu_count() or 1) // arguments.jobs, 1) if arguments.jobs > 1 else None
    with ThreadPoolExecutor(arguments.jobs) as pool:
        failures = [told for told in pool.map(lambda job: run(job, threads), jobs) if told]
    if failures:
        sys.stderr.write("\n".join([*failures, ""]))
        return 1
    of_recipe = {
        recipe: [job for job in jobs if job.recipe == recipe] for recipe in arguments.recipes
    }
    for recipe, its_jobs in of_recipe.items():
        sys.stdout.write(page(recipe, its_jobs, arguments.against) + "\n\n")
    if arguments.out:
        command = shlex.join(["python", *sys.argv])
        results = {
            recipe.stem: figures(its_jobs, arguments.against)
            for recipe, its_jobs in of_recipe.items()
        }
        text = json.dumps({"command": command, "cores": os.cpu_count(), **results}, indent=2)
        write_whole(arguments.out, text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
