"""Merged students of one task's two domains, over several trainings of each member.

    python benchmarks/merging.py --seeds 5

Each seed trains a student of each domain by ``recipes/merging/domains.yaml``, merges the two with
all methods, and measures members and merges on the test questions of both domains. The tables are
over the seeds, as those of ``potstill experiment``. What is done already is not done again.

Of two different tasks, which are fused::

    python benchmarks/merging.py --second last_letters --folder runs/fusing --out FILE
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from machine import write_results

from potstill.experiment.experiment_page import experiment_figures, experiment_page
from potstill.experiment.seeded_runs import SeededRun, run_all

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "merging" / "domains.yaml"
FIRST, SECOND = "two_step_arithmetic", "multi_step_arithmetic"
METHODS = ("average", "fisher", "regmean", "ensemble")
ALPHAS = "alpha=[0.5,0.9,0.99,1]"


def member_names(second: str) -> dict[str, str]:
    """Returns the task of each member by its name."""
    return {"two_steps": FIRST, "more_steps" if second == SECOND else second: second}


def member_runs(folder: Path, seeds: Sequence[int], second: str) -> list[SeededRun]:
    """Returns the runs that train the members: one of each domain for each seed."""
    runs = []
    for seed in seeds:
        for name, task in member_names(second).items():
            place = folder / f"seed{seed}" / name
            changes = (f"task.name={task}", f"seed={seed}", f"task.split_seed={seed}")
            runs.append(SeededRun(RECIPE, "", seed, (*changes, f"run={place}"), place))
    return runs


def merge(folder: Path, seed: int, second: str) -> SeededRun:
    """Merges one seed's members, and returns the merge as a run whose tests can be read."""
    place = folder / f"seed{seed}"
    members = [str(place / name) for name in member_names(second)]
    methods = [word for method in METHODS for word in ("--method", method)]
    command = [sys.executable, "-m", "potstill", "merge", *members, "--out", str(place / "merged")]
    subprocess.run([*command, *methods, "--set", ALPHAS, "--quiet"], check=True)
    return SeededRun(RECIPE, "", seed, (ALPHAS,), place / "merged")


def main() -> None:
    """Runs everything that is missing, prints the tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--second", default=SECOND, help="the second member's task")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/merging"))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/merging.json")
    options = parser.parse_args()
    seeds = range(options.seeds)
    failed = run_all(member_runs(options.folder, seeds, options.second), options.jobs, print)
    if failed:
        raise SystemExit(f"{failed} runs failed; repeat the command to go on")
    merged = [merge(options.folder, seed, options.second) for seed in seeds]
    against = ["average", "regmean"]
    print(experiment_page(RECIPE, merged, against))
    figures = {"command": shlex.join(["python", *sys.argv]), "cores": os.cpu_count()}
    write_results(options.out, {**figures, "merging-domains": experiment_figures(merged, against)})


if __name__ == "__main__":
    main()
