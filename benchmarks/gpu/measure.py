"""Measurements on a GPU: training, prefix sharing, losses, number formats, generation; by parts.

Run by ``benchmarks/gpu/run.sh``. Each part is measured by itself and written at once, so that a
part that fails, or time that runs out, takes no other part along. Texts are random tokens: speed
and equality do not depend on what they say.
"""

import argparse
import json
import random
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from machine import facts, write_results
from real_generation import generate, ours
from real_training import Setting, loaded_tokenizer
from real_training import ours as train_ours
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.train.batches import flat
from potstill.train.chunked_loss import Head
from potstill.train.encoding import Encoded
from potstill.train.losses import sample_matching
from potstill.train.prefix_sharing import can_share, enable, layout, use

SECONDS = 500
"""Seconds after which no part is begun; the whole has to end within nine minutes."""

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Operations a second in bfloat16 that makers name, by a part of the device's name."""


class Machine(NamedTuple):
    """The device and the model that are measured."""

    folder: Path
    device: str
    quick: bool

    def setting(self, rows: int, *, steps: int, prompt: int, target: int, siblings: int) -> Setting:
        """Returns steps of so many examples, of random tokens, ``siblings`` to a prompt."""
        draw = random.Random(0)

        def ids(count: int) -> list[int]:
            return [draw.randrange(1000, 40_000) for _ in range(count)]

        planned = []
        for _ in range(steps):
            prompts = [ids(prompt) for _ in range(-(-rows // siblings))]
            planned.append(
                [
                    Encoded(prompts[row // siblings], ids(target), question_id=str(row // siblings))
                    for row in range(rows)
                ]
            )
        return Setting(self.folder, planned, loaded_tokenizer(self.folder), self.device)

    def wait(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def training(machine: Machine) -> Any:
    """Tokens a second and share of the peak, with ever more tokens a step."""
    rows = []
    model: Any = AutoModelForCausalLM.from_pretrained(machine.folder)
    weights = sum(weight.numel() for weight in model.parameters())
    peak = peak_flops(machine.device)
    for size in (2, 4) if machine.quick else (16, 64, 128, 256):
        length = 16 if machine.quick else 120
        setting = machine.setting(
            size, steps=3 if machine.quick else 8, prompt=length, target=length, siblings=1
        )
        seen = train_ours(setting, precision="bfloat16")
        rows.append(
            {
                "tokens_a_step": setting.tokens[0],
                "tokens_per_second": seen.clock,
                "share_of_peak": 6 * weights * seen.clock / peak if peak else None,
                "losses": seen.losses,
            }
        )
    return rows


def sharing(machine: Machine) -> Any:
    """Prefix sharing against the plain sequences: gradients, and tokens a second."""
    length = (24, 12) if machine.quick else (600, 120)
    rows, steps = (8, 2) if machine.quick else (32, 6)
    sizes = {"steps": steps, "prompt": length[0], "target": length[1]}
    setting = machine.setting(rows, siblings=8, **sizes)
    few = setting.steps[0][:8]
    model: Any = setting.model()
    plain = flattened(model, plain_loss(model, few, machine.device))
    head = Head.of(model)  # proved on plain tokens, before a forest is read
    assert can_share(model, longest=sum(length)) is None
    enable(model)
    batch = flat(few)
    use(layout(batch["forest"], machine.device))
    inputs = {name: ids.to(machine.device) for name, ids in batch["inputs"].items()}
    labels = batch["targets"]["labels_N"].to(machine.device)
    with head.losses(
        batch["positions"].to(machine.device),
        batch["weights"].to(machine.device),
        lambda logits, at: sample_matching(logits, labels[at]),
    ) as loss:
        loss.finish(model(**inputs, use_cache=False).logits)
    shared = flattened(model, loss.total / len(labels))
    alone = machine.setting(rows, siblings=1, **sizes)
    return {
        "gradient_relative_error": float((shared - plain).norm() / plain.norm()),
        "tokens_per_second_shared": train_ours(setting, precision="bfloat16").clock,
        "tokens_per_second_alone": train_ours(alone, precision="bfloat16").clock,
        "tokens_over_distinct": sum(setting.tokens[:1])
        / flat(setting.steps[0])["inputs"]["input_ids"].numel(),
    }


def plain_loss(model: Any, examples: list[Encoded], device: str) -> Tensor:
    """Returns the mean loss over trained tokens, one sequence at a time."""
    total = torch.zeros((), device=device)
    for example in examples:
        ids = torch.tensor([[*example.prompt, *example.target]], device=device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(example.prompt) - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(
            logits.float(), ids[0, len(example.prompt) :], reduction="sum"
        )
    return total / sum(len(example.target) for example in examples)


def flattened(model: Any, loss: Tensor) -> Tensor:
    """Returns all gradients in one vector."""
    model.zero_grad()
    loss.backward()
    return torch.cat([weight.grad.flatten().double() for weight in model.parameters()])


def losses(machine: Machine) -> Any:
    """Time and memory of the loss: in chunks, all logits at once, and liger's where it is."""
    tokens, vocabulary = (64, 4_096) if machine.quick else (8_192, 49_152)
    results: dict[str, Any] = {}
    ways: dict[str, Callable[..., Tensor]] = {"chunked": chunked, "all at once": dense}
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        fused = LigerFusedLinearCrossEntropyLoss(reduction="sum")
        ways["liger"] = lambda hidden, layer, labels: fused(layer.weight, hidden, labels)
    except ImportError:
        results["liger"] = "not installed"
    for name, way in ways.items():
        torch.manual_seed(0)
        dtype = torch.bfloat16 if machine.device == "cuda" else torch.float32
        layer = torch.nn.Linear(576, vocabulary, bias=False, device=machine.device, dtype=dtype)
        hidden = torch.randn(tokens, 576, device=machine.device, dtype=dtype, requires_grad=True)
        labels = torch.randint(vocabulary, (tokens,), device=machine.device)
        seconds, loss = [], 0.0
        if machine.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            machine.wait()
            begin = time.perf_counter()
            total = way(hidden, layer, labels)
            total.backward()
            machine.wait()
            seconds.append(time.perf_counter() - begin)
            loss = float(total.detach()) / tokens
        peak = torch.cuda.max_memory_allocated() if machine.device == "cuda" else None
        results[name] = {"seconds": seconds, "peak_bytes": peak, "mean_loss": loss}
    return results


def chunked(hidden: Tensor, layer: torch.nn.Linear, labels: Tensor) -> Tensor:
    """Returns the sum of losses by our head."""
    places = torch.arange(len(labels), device=labels.device)
    weights = torch.ones(len(labels), device=labels.device)
    head = Head(layer, lambda logits: logits)
    with head.losses(places, weights, lambda raw, at: sample_matching(raw, labels[at])) as loss:
        layer(hidden[None])
    return loss.total


def dense(hidden: Tensor, layer: torch.nn.Linear, labels: Tensor) -> Tensor:
    """Returns the sum of losses over logits that are all there at once."""
    logits = layer(hidden).float()
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


def formats(machine: Machine) -> Any:
    """The losses of the same steps in float32 and bfloat16."""
    length = 8 if machine.quick else 120
    setting = machine.setting(
        2 if machine.quick else 32, steps=3, prompt=length, target=length, siblings=1
    )
    exact = train_ours(setting, precision="float32")
    rounded = train_ours(setting, precision="bfloat16")
    pairs = list(zip(exact.losses, rounded.losses, strict=True))
    return {
        "float32": exact._asdict(),
        "bfloat16": rounded._asdict(),
        "largest_relative_difference": max(abs(a - b) / a for a, b in pairs),
    }


def generation(machine: Machine) -> Any:
    """Tokens a second beside ``generate``, and how many greedy answers are the same."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16" if machine.device == "cuda" else "float32"
    settings = LocalSettings(model=f"hf:{machine.folder}", device=machine.device, dtype=dtype)
    own = HFModel(settings, source=settings.source)
    plain: Any = AutoModelForCausalLM.from_pretrained(machine.folder, dtype=getattr(torch, dtype))
    theirs = partial(generate, plain.eval().to(machine.device), own.tokenizer)
    rows = []
    for batch in (2,) if machine.quick else (1, 8, 64):
        questions = [f"What is {number} plus {number + 7}?" for number in range(batch)]
        tokens = 4 if machine.quick else 64
        ours(own, questions, 0.0, 2)
        theirs(questions, 0.0, 2)
        mine, other = ours(own, questions, 0.0, tokens), theirs(questions, 0.0, tokens)
        pairs = zip(mine.answers, other.answers, strict=True)
        rows.append(
            {
                "batch": batch,
                "potstill": mine.clock,
                "generate": other.clock,
                "same": sum(a.strip() == b.strip() for a, b in pairs),
            }
        )
    return rows


def peak_flops(device: str) -> float | None:
    """Returns the operations a second that a device's maker names; None where it is not known."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


PARTS: dict[str, Callable[[Machine], Any]] = {
    "formats": formats,
    "sharing": sharing,
    "losses": losses,
    "training": training,
    "generation": generation,
}


def main() -> int:
    """Measure part by part; 1 where a part failed or had no time."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of SmolLM2-135M-Instruct")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="small, to see that all of it works")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu-PART.json")
    args = parser.parse_args()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    machine = Machine(args.folder, args.device, args.quick)
    name = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    stated = {**facts("torch", "transformers"), "device": name}
    outcome: dict[str, Any]
    failed, begin = 0, time.perf_counter()
    for part in args.only:
        started = time.perf_counter()
        if started - begin > SECONDS:
            failed, outcome = 1, {"left_out": f"{SECONDS} seconds had passed"}
        else:
            try:
                outcome = {"figures": PARTS[part](machine)}
            except Exception:  # noqa: BLE001  # the other parts are measured all the same
                failed, outcome = 1, {"error": traceback.format_exc()}
        outcome |= {"seconds": time.perf_counter() - started, "machine": stated}
        print(part, json.dumps(outcome), flush=True)
        if args.device == "cuda":
            write_results(args.out / f"gpu-{part}.json", outcome)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
