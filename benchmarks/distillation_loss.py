"""Losses at the output layer: time, peak memory and error; and a loss between two tokenizers.

Run: python benchmarks/distillation_loss.py [--axolotl FOLDER] [--data ../shared/data] [--json FILE]

One thread, processor time, float32. First the output layer and the loss, forward and backward, of
random hidden states, each system in a process of its own. Memory is the peak above what was
resident before the first step, the weight's gradient (``V * 512`` floats) included. Errors are
relative, of the loss, of the hidden states' and of the weight's gradients, against a dense float64
computation of what that system itself defines. FOLDER is the unpacked package ``axolotl``; without
it its row is left out.

- ``sample``, ``uniform_tail``, ``renormalise``, ``jsd``: ours, the last three against 20 candidates
  with 0.9 of the mass.
- ``cross-entropy``: torch's, of all logits at once; the function that ``sample`` computes.
- ``dense KL``: a target over the whole vocabulary is built and compared with all logits, as
  torchtune does; the value of ``uniform_tail`` less the target's own entropy.
- ``axolotl``: its ChunkedTopKKDLoss with 8 chunks, the value of ``renormalise``. Logits of all
  tokens stand in memory, chunks are of the loss only. Unless told the number of tokens, as here, it
  divides by the number of candidates.

Then, where TRL is installed, GOLD's loss between tokenizers of 16,384 (teacher) and 8,192 (student)
entries, on 8 solutions of GSM8K. It is given the teacher's dense logits, compares one distribution
for each group of tokens over the same bytes, and compares tokens without a namesake, or all tokens
(``hybrid`` off), by their sorted probabilities, whatever they say. Ours is given the teacher's 20
likeliest tokens, as a store or a server gives them, and has a target for every student token. The
mass is the share of the teacher's probability, a mean over the student's tokens, that a token of
the student is made to match by what it says. The teacher's probabilities are bigram counts.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gold_loss import beside_gold
from machine import facts, write_results
from torch import Tensor, nn
from torch.nn import functional as F

from potstill.train.chunked_loss import Head
from potstill.train.losses import Targets, matching_loss
from potstill.train.settings import MatchingSettings

HIDDEN, CANDIDATES, KEPT = 512, 20, 0.9
SIZES = ((32_768, 256), (128_256, 256), (151_936, 256))
MANY = (151_936, 4_096)
"""A vocabulary and a number of tokens whose logits take 2.3 GiB."""

STEPS = 3
OURS = {
    "sample": MatchingSettings(distribution=0.0),
    "uniform_tail": MatchingSettings(),
    "renormalise": MatchingSettings(tail="renormalise"),
    "jsd": MatchingSettings(divergence="jsd"),
}
Loss = Callable[[], Tensor]


class Given(NamedTuple):
    """The input that every system works on."""

    layer: nn.Linear
    hidden: Tensor
    """``(1, N, 512)``"""

    targets: Targets


def material(vocabulary: int, tokens: int) -> Given:
    """The same random numbers for each system; labels are the likeliest candidates."""
    torch.manual_seed(0)
    layer = nn.Linear(HIDDEN, vocabulary, bias=False)
    hidden = torch.randn(1, tokens, HIDDEN, requires_grad=True)
    ids = torch.randint(vocabulary // CANDIDATES, (tokens, CANDIDATES))
    ids += torch.arange(CANDIDATES) * (vocabulary // CANDIDATES)  # no two the same
    mass = KEPT * torch.randn(tokens, CANDIDATES).sort(descending=True).values.softmax(1)
    soft, tail = torch.ones(tokens, dtype=torch.bool), 1 - mass.sum(1)
    return Given(layer, hidden, Targets(ids[:, 0], ids, mass, tail, soft))


def dense(inputs: Given, name: str, dtype: torch.dtype) -> Tensor:
    """The vector that a system matches, over the whole vocabulary."""
    labels, ids, mass, tail = inputs.targets[:4]
    assert ids is not None
    assert mass is not None
    assert tail is not None
    shape = len(labels), inputs.layer.out_features
    if name in ("sample", "cross-entropy"):
        return torch.zeros(shape, dtype=dtype).scatter_(1, labels[:, None], 1.0)
    if name in ("renormalise", "axolotl"):
        kept = mass.to(dtype) / mass.to(dtype).sum(1, keepdim=True)
        return torch.zeros(shape, dtype=dtype).scatter_(1, ids, kept)
    other = tail.to(dtype) / (shape[1] - CANDIDATES)
    return other[:, None].repeat(1, shape[1]).scatter_(1, ids, mass.to(dtype))


def ours(inputs: Given, matching: MatchingSettings) -> Loss:
    """The head's loss in place of the layer's logits."""
    head, (count, *_) = Head(inputs.layer, lambda logits: logits), inputs.targets.labels_N.shape
    positions, weights = torch.arange(count), torch.ones(count)

    def nats(logits: Tensor, rows: slice) -> Tensor:
        return matching_loss(logits, inputs.targets.at(rows), matching)

    def loss() -> Tensor:
        with head.losses(positions, weights, nats) as losses:
            losses.finish(inputs.layer(inputs.hidden))
        return losses.total / count

    return loss


def dense_kl(inputs: Given) -> Loss:
    """Returns a loss as torchtune's ForwardKLLoss, whose target covers the whole vocabulary."""

    def loss() -> Tensor:
        target_NV = dense(inputs, "dense KL", torch.float32)
        logits_NV: Tensor = inputs.layer(inputs.hidden)[0]
        return -(target_NV * logits_NV.log_softmax(1)).sum(1).mean()

    return loss


def axolotl(inputs: Given, folder: Path) -> Loss:
    """Returns the loss in the wheel's own file, which needs nothing else of the wheel."""
    path = folder / "integrations" / "kd" / "topk_logprob" / "forward_kl.py"
    spec = importlib.util.spec_from_file_location("forward_kl", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    chunked = module.ChunkedTopKKDLoss(num_output_chunks=8)
    labels, ids, mass, *_ = inputs.targets
    assert ids is not None
    assert mass is not None
    logprobs = (mass / mass.sum(1, keepdim=True)).log()[None]
    mask = torch.ones_like(ids, dtype=torch.bool)[None]

    def loss() -> Tensor:
        logits = inputs.layer(inputs.hidden)
        total: Tensor = chunked(logits, ids[None], logprobs, mask, num_items_in_batch=len(labels))
        return total

    return loss


def system(name: str, inputs: Given, folder: Path | None) -> Loss:
    """One system by name."""
    if name in OURS:
        return ours(inputs, OURS[name])
    if name == "cross-entropy":
        return lambda: F.cross_entropy(inputs.layer(inputs.hidden)[0], inputs.targets.labels_N)
    if name == "dense KL":
        return dense_kl(inputs)
    assert folder is not None
    return axolotl(inputs, folder)


def resident(field: str) -> int:
    """This process's memory in bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def measured(name: str, inputs: Given, loss: Loss, steps: int) -> dict[str, Any]:
    """Seconds and memory of one system, then its errors where there was a step to warm up."""
    before, seconds, value = resident("VmRSS"), [], torch.zeros(())
    for _ in range(steps):
        inputs.layer.weight.grad = inputs.hidden.grad = None
        start = time.process_time()
        value = loss()
        value.backward()
        seconds.append(time.process_time() - start)
    row = {
        "seconds": statistics.median(seconds[1:] or seconds),
        "peak_bytes": resident("VmHWM") - before,
    }
    return row | (errors(name, inputs, value) if steps > 1 else {})


def errors(name: str, inputs: Given, value: Tensor) -> dict[str, float]:
    """The errors of the last step, against the dense float64 computation."""
    hidden = inputs.hidden.detach()[0].double().requires_grad_()
    weight = inputs.layer.weight.detach().double().requires_grad_()
    p = dense(inputs, name, torch.float64)
    logq = F.linear(hidden, weight).log_softmax(1)
    if name == "jsd":
        m = ((p + logq.exp()) / 2).log()
        nats = (torch.xlogy(p, p) - p * m + logq.exp() * (logq - m)) / 2
    else:
        nats = (0.0 if name == "dense KL" else torch.xlogy(p, p)) - p * logq
    truth = nats.sum(1).mean()
    truth.backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert inputs.hidden.grad is not None
    assert inputs.layer.weight.grad is not None

    def relative(computed: Tensor, true: Tensor) -> float:
        return float((computed.detach() - true.detach()).norm() / true.detach().norm())

    return {
        "loss_error": relative(value, truth),
        "hidden_error": relative(inputs.hidden.grad[0], hidden.grad),
        "weight_error": relative(inputs.layer.weight.grad, weight.grad),
    }


def in_a_process(name: str, size: tuple[int, int], steps: int, folder: Path | None) -> Any:
    """One row, measured where nothing else was."""
    call = [sys.executable, __file__, "--one", name, *map(str, (*size, steps))]
    done = subprocess.run(
        call + (["--axolotl", str(folder)] if folder else []),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    row = {"vocabulary": size[0], "tokens": size[1], "system": name, **json.loads(done.stdout)}
    errors_of_row = [f"{row[key]:.0e}" for key in ("loss_error", "hidden_error", "weight_error")
             if key in row] or ["", "", ""]  # fmt: skip
    print(
        f"| {size[0]:,} | {size[1]:,} | {name} | {row['seconds']:.2f}"
        f" | {row['peak_bytes'] / 2**20:,.0f} | {' | '.join(errors_of_row)} |",
        flush=True,
    )
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--axolotl", type=Path, metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        name, *numbers = arguments.one
        vocabulary, tokens, steps = map(int, numbers)
        inputs = material(vocabulary, tokens)
        print(json.dumps(measured(name, inputs, system(name, inputs, arguments.axolotl), steps)))
        return
    print("| vocabulary | tokens | system | seconds | peak, MiB | loss | hidden | weight |")
    print("|---|---|---|---|---|---|---|---|")
    names = [*OURS, "cross-entropy", "dense KL", *(["axolotl"] if arguments.axolotl else [])]
    rows = [
        in_a_process(name, size, 1 + STEPS, arguments.axolotl) for size in SIZES for name in names
    ]
    rows += [
        in_a_process(name, MANY, 1, arguments.axolotl)
        for name in ("sample", "uniform_tail", "cross-entropy")
    ]
    if not arguments.axolotl:
        print("axolotl: left out, --axolotl was not given")
    peaks = {(row["vocabulary"], row["tokens"], row["system"]): row["peak_bytes"] for row in rows}
    ratios = {
        f"{vocabulary}, {tokens} tokens": round(
            peaks[vocabulary, tokens, "uniform_tail"] / peaks[vocabulary, tokens, "sample"], 3
        )
        for vocabulary, tokens in (*SIZES, MANY)
    }
    print(f"\npeak memory, distribution over sample matching: {ratios}")
    tokenizers = beside_gold(arguments.data)
    if arguments.json:
        machine = facts("torch") | {"threads": 1}
        results = {"machine": machine, "rows": rows, "peak_ratios": ratios, "gold": tokenizers}
        write_results(arguments.json, results)


if __name__ == "__main__":
    main()
