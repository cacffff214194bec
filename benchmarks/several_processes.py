"""Two processes against one: the losses of 50 steps, by each way of sharing, by gloo.

Run: python benchmarks/several_processes.py [--steps 50] [--json RESULTS.json]

The ways are DDP, FSDP2, and DeepSpeed ZeRO where that is installed, all on processors. A tiny model
with random weights is trained plainly, with accumulation, prefix sharing, distribution
matching and low-rank additions, and with all of them at once, in one process and in two, and the
losses are compared at each step. Then a training is stopped half way in two processes, by each way
of sharing, and one process goes on with it; and the other way round.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from machine import facts, write_results

import potstill.train.reporter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from shared_trainings import FSDP2, StopsAfter, siblings, with_probabilities  # noqa: E402
from test_train import hf, losses, settings, sums  # noqa: E402
from tiny_models import build_tiny_causal  # noqa: E402

from potstill.launched import is_main_process  # noqa: E402
from potstill.runtime import Runtime  # noqa: E402
from potstill.train.processes import training_processes  # noqa: E402
from potstill.train.settings import LoraSettings, StudentSettings  # noqa: E402
from potstill.train.student import train_student  # noqa: E402

WAYS: dict[str, dict[str, str]] = {"DDP": {}, "FSDP2": FSDP2}
if find_spec("deepspeed"):
    by_deepspeed = {"ACCELERATE_USE_FSDP": "false", "ACCELERATE_USE_DEEPSPEED": "true"}
    for stage in "123":
        WAYS[f"ZeRO {stage}"] = {**by_deepspeed, "ACCELERATE_DEEPSPEED_ZERO_STAGE": stage}

PARTS = ("accumulation", "prefix sharing", "distribution matching", "lora")
GOING_ON = ("plain", "lora")
PASSES = 1e-4
"""Largest difference of a step's loss that counts as rounding, in nats a token."""


FORMS = ("plain", *PARTS, " + ".join(PARTS))


def trained(name: str, start: Path, folder: Path, steps: int, **how: Any) -> list[float]:
    """Returns the losses of a combination, step by step."""
    examples = siblings() if "prefix sharing" in name else sums()
    matching = "sample"
    if "distribution matching" in name:
        examples, matching = [with_probabilities(example) for example in examples], "distribution"
    values: dict[str, object] = {"steps": steps, "learning_rate": 1e-3, "checkpoints": 1}
    if "accumulation" in name:
        values["batch_tokens"] = 80
    if "lora" in name:
        values["lora"] = LoraSettings(rank=4)
    student = StudentSettings.model_validate({"start": hf(start), "matching": matching})
    place = folder / name.replace(" ", "_")
    return losses(train_student(student, examples, settings(**values), place, **how))


def stopped(name: str, start: Path, folder: Path, steps: int) -> None:
    """Make half of a training's steps, and leave what another goes on with."""
    runtime = Runtime()
    watch = StopsAfter(steps // 2, runtime)
    try:
        trained(name, start, folder, steps, runtime=runtime, watch=watch)
    except KeyboardInterrupt:
        return
    raise AssertionError("it has not stopped")


def work(start: Path, folder: Path, steps: int) -> None:
    """Train everything in the processes that were started, and leave the losses in a file."""
    found: dict[str, dict[str, list[float]]] = {}
    with training_processes():
        for way, environment in WAYS.items():
            os.environ.update(environment)
            own = folder / way
            found[way] = {name: trained(name, start, own, steps) for name in FORMS}
            found[f"{way} after one process"] = {
                name: trained(name, start, folder / f"begun for {way}", steps) for name in GOING_ON
            }
            for name in GOING_ON:
                stopped(name, start, folder / f"begun by {way}", steps)
    if is_main_process():
        (folder / "losses.json").write_text(json.dumps(found), encoding="utf-8")


def measure(folder: Path, steps: int) -> dict[str, Any]:
    """Returns the largest difference from one process, by way and combination."""
    start = build_tiny_causal(folder / "start", "qwen3")
    alone = {name: trained(name, start, folder / "one", steps) for name in FORMS}
    for way, name in itertools.product(WAYS, GOING_ON):
        stopped(name, start, folder / f"begun for {way}", steps)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", __file__, "--steps", str(steps)]
    command += ["--work", str(start), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    for way in WAYS:
        found[f"one process after {way}"] = {
            name: trained(name, start, folder / f"begun by {way}", steps) for name in GOING_ON
        }
    return {
        way: {name: _farthest(together, alone[name]) for name, together in by_name.items()}
        for way, by_name in found.items()
    }


def _farthest(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    potstill.train.reporter.LOG_STEPS = 1
    if options.work:
        start, folder = options.work
        work(start, folder, options.steps)
        return
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        largest = measure(Path(folder), options.steps)
    for way, by_name in largest.items():
        for name, difference in by_name.items():
            print(f"{way:24} {name:70} {difference:.1e}")
    worst = max(difference for by_name in largest.values() for difference in by_name.values())
    print(f"largest difference {worst:.1e} nats a token; {PASSES:.0e} is asked for")
    values = {
        "steps": options.steps,
        "seconds": round(time.monotonic() - begin),
        "machine": facts("torch", "transformers", "accelerate", "peft"),
        "largest_difference": worst,
        "passes": worst <= PASSES,
        "differences": largest,
    }
    if options.json:
        write_results(options.json, values)
    sys.exit(worst > PASSES)


if __name__ == "__main__":
    main()
