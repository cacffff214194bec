"""On-policy training, ours beside TRL's GKD, DistillationTrainer and GOLD.

Run: python benchmarks/on_policy.py same other [--seeds 3] [--folder FOLDER] [--json FILE]
     python benchmarks/on_policy.py real --model MODEL_FOLDER --seeds 1 [--real-tokens 128]
            [--real-precision bfloat16] [--json FILE]

Cases: ``same``: the bundled student from a copy of itself that has learned the task from the
bundled teacher's rationales, one tokenizer; ``other``: from the bundled teacher itself, two
tokenizers; ``real``: SmolLM2-135M (``scripts/real_model.py`` makes the folder) from a copy of
itself, by speed and memory alone.

Every system trains the same start with the same teacher on the same questions: at each optimiser
step the student writes one answer to each question of a batch, at temperature 1, and learns it by
reverse KL (GOLD: by its own losses). AdamW, the course of the learning rate, the limit of the
gradient's norm, the longest answer and the number format are the same. Each run is a process of its
own with one thread, which begins with all libraries imported, and runs of all systems take turns.
Seconds are those of the processor; the first step, which warms up, is not counted. ``rounds of 10
steps`` is ours as it comes, where the student writes for ten steps at once, measured over whole
rounds after the first; the other rows write anew at each step, as TRL's do.

``bf16 weights`` rounds the student's weights themselves, so that small updates are lost: what it
trains is another student, and its speed a bound. A run that is done is not done again, so that the
command goes on where it was stopped.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from machine import facts, write_results

from potstill.models.settings import BUNDLED_FOLDER
from potstill.statistics import compare_runs, runs_interval

OWN, ROUNDS = "potstill", "potstill, rounds of 10 steps"
TWO_ROUNDS = 20
"""The steps of two rounds, the second of which is measured."""

CASES = {
    "same": (OWN, ROUNDS, "GKD", "Distillation"),
    "other": (OWN, ROUNDS, "GOLD", "GOLD, hybrid"),
    "real": (OWN, ROUNDS, "GKD", "GKD, bf16 weights", "Distillation", "Distillation, bf16 weights"),
}
"""The systems that are measured in each case."""

TASK = "two_step_arithmetic"

BYTE_NAMES = str.maketrans({"▁": "Ġ", "\n": "Ċ", "\t": "ĉ"})
"""The characters that byte-level tokenizers write for a space, a line's end and a tabulator."""

FORMAT = {
    "prompt": "Q: {question}\nA: Let's think step by step.",
    "target": " {rationale}\nTherefore, the answer is {answer}.",
}
"""The format of the prompts and the answers of all models here."""


PROCESSES = multiprocessing.get_context("forkserver")
"""Each run has a process, which begins with all libraries imported: that takes eight seconds."""


class Work(NamedTuple):
    """The training that every system does."""

    student: Path
    teacher: Path
    task: str
    train: int
    """Training questions."""

    test: int
    """Test questions; 0: the trained student answers none."""

    steps: int
    batch_size: int
    """Questions a step, with one answer each."""

    max_tokens: int
    """Longest answer, in the student's tokens."""

    rate: float
    warmup: float
    """Share of the steps."""

    precision: str
    """float32, or bfloat16: products are rounded, the student's weights are not."""

    seed: int


def taught_student(folder: Path) -> Path:
    """Returns the bundled student that has learned the task from rationales, trained once."""
    recipe = {
        "run": str(folder),
        "task": {"name": TASK, "train": 250, "dev": 20, "test": 50, "split_seed": 1_000},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "generate": {"samples": 2, "temperature": 1.0, "max_tokens": 128},
        "train": {
            "steps": 200,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "checkpoints": 1,
            "students": {"rationales": {"data_format": FORMAT}},
        },
        "evaluate": {"max_tokens": 128},
    }
    if not (folder / "model").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "taught.yaml"
        file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "potstill", "run", str(file), "--quiet"], check=True)
    return folder / "model"


def byte_level_student(folder: Path) -> Path:
    """Returns the bundled student with its tokenizer in the words of byte-level ones, made once.

    GOLD takes no others. The tokens are the same by number, of every text in ASCII.
    """
    source = BUNDLED_FOLDER / "student"
    if folder.is_dir():
        return folder
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))

    def named(token: str) -> str:
        return token.translate(BYTE_NAMES) if token != " " else "<space>"

    model = tokenizer["model"]
    model["vocab"] = {named(token): number for token, number in model["vocab"].items()}
    model["merges"] = [[named(part) for part in merge] for merge in model["merges"]]
    words = {"Regex": " ?[A-Za-z]+|[0-9]|\n+| ?[^A-Za-z0-9 \n]+| "}
    bytes_of = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    split = {"type": "Split", "pattern": words, "behavior": "Isolated", "invert": False}
    parts = [split, {**bytes_of, "use_regex": False}]
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}
    tokenizer["decoder"] = {**bytes_of, "use_regex": False}
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    (part / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    part.rename(folder)
    return folder


def work_of(case: str, seed: int, options: argparse.Namespace) -> Work:
    """Returns what the systems train."""
    student = teacher = BUNDLED_FOLDER / "student"
    if case == "same":
        teacher = taught_student((options.folder / "taught").absolute())
    elif case == "other":
        student = byte_level_student((options.folder / "byte-level").absolute())
        teacher = BUNDLED_FOLDER / "teacher"
    else:
        student = teacher = options.model.absolute()
    real = case == "real"
    return Work(
        student=student,
        teacher=teacher,
        task=TASK,
        train=500,
        test=0 if real else options.test,
        steps=options.real_steps if real else options.steps,
        batch_size=8 if real else 16,
        max_tokens=options.real_tokens if real else 128,
        rate=1e-5 if real else options.rate,
        warmup=0.0 if real else 0.05,
        precision=options.real_precision if real else "float32",
        seed=seed,
    )


def measured(system: str, work: Work, place: Path) -> dict[str, Any]:
    """Returns one run's figures, from a process of its own unless they are there."""
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        process = PROCESSES.Process(target=train_in_process, args=(place, system, work))
        process.start()
        process.join()
        if not place.is_file():
            raise SystemExit(f"{system} failed; its process ended with {process.exitcode}")
    figures: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return figures


def train_in_process(place: Path, system: str, work: Work) -> None:
    """Train in this process, and write the figures to a file."""
    from on_policy_systems import run_to

    run_to(place, system, work)


def row_of(runs: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns one system's figures over its runs, beside ours of the same seeds."""
    seconds = [_seconds(one) for one in runs]
    ratios = [theirs / _seconds(mine) for theirs, mine in zip(seconds, own, strict=True)]
    row: dict[str, Any] = {
        "system": runs[0]["system"],
        "seconds_a_step": seconds,
        "over_ours": ratios,
        "wall_seconds_a_step": [statistics.fmean(_whole_rounds(one, "wall")) for one in runs],
        "tokens_a_step": [statistics.fmean(_whole_rounds(one, "tokens")) for one in runs],
        "peak_mib": [one["peak_mib"] for one in runs],
    }
    if runs[0]["right"]:
        accuracies = [statistics.fmean(one["right"]) for one in runs]
        row |= {"accuracies": accuracies, "questions": len(runs[0]["right"])}
        if len(runs) > 1:
            before = [statistics.fmean(one["right"]) for one in own]
            row["interval"] = runs_interval(accuracies)
            row["less_ours"] = compare_runs(accuracies, before)._asdict()
    return row


def _whole_rounds(figures: dict[str, Any], name: str) -> list[float]:
    """Returns the figures of the steps after the first; of whole rounds, where ten are written."""
    values: list[float] = figures[name]
    return values[9:] if figures["system"] == ROUNDS and len(values) > 9 else values


def _seconds(figures: dict[str, Any]) -> float:
    return statistics.fmean(_whole_rounds(figures, "processor"))


def printed(case: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print a case's table."""
    print(f"\n| {case} | seconds a step | over ours | tokens a step | peak MiB | right |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        median = statistics.median
        right = ""
        if "accuracies" in row:
            right = f"{statistics.fmean(row['accuracies']):.1%}"
            if row.get("interval"):
                right += " ({:.1%} to {:.1%})".format(*row["interval"])
        print(
            f"| {row['system']} | {median(row['seconds_a_step']):.3f}"
            f" | {median(row['over_ours']):.2f} ({min(row['over_ours']):.2f} to"
            f" {max(row['over_ours']):.2f}) | {median(row['tokens_a_step']):,.0f}"
            f" | {max(row['peak_mib']):,.0f} | {right} |",
            flush=True,
        )


def _told(work: Work) -> dict[str, Any]:
    """Returns what was trained, in plain values."""
    values = work._asdict()
    return {
        name: value for name, value in values.items() if name not in {"seed", "student", "teacher"}
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each system")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--real-steps", type=int, default=3)
    parser.add_argument("--real-tokens", type=int, default=128, help="longest answer")
    parser.add_argument("--real-precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--test", type=int, default=200, help="test questions")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--model", type=Path, default=Path("models/SmolLM2-135M-Instruct"))
    parser.add_argument("--systems", nargs="+", help="these and ours alone")
    parser.add_argument("--folder", type=Path, default=Path("runs/on-policy"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    PROCESSES.set_forkserver_preload(["on_policy_systems"])
    results = {}
    for case in options.cases:
        systems = [name for name in CASES[case] if name in {OWN, *(options.systems or CASES[case])}]
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
        for seed in range(options.seeds):
            work = work_of(case, seed, options)
            for name in systems if seed % 2 == 0 else reversed(systems):
                short = name.replace(",", "").replace(" ", "-")
                place = options.folder / case / f"{short}-{seed}.json"
                steps = max(work.steps, TWO_ROUNDS) if name == ROUNDS else work.steps
                runs[name].append(measured(name, work._replace(steps=steps), place))
        rows = [row_of(runs[name], runs[OWN]) for name in systems]
        printed(case, rows)
        results[case] = {"work": _told(work_of(case, 0, options)), "rows": rows}
        if options.json:
            before = json.loads(options.json.read_text()) if options.json.is_file() else {}
            machine = {**facts("torch", "transformers", "trl"), "threads": 1}
            write_results(options.json, {**before, case: {"machine": machine, **results[case]}})


if __name__ == "__main__":
    main()
