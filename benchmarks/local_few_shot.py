"""Tokens a second where prompts begin alike, with and without sharing, and of ``generate``.

Prompts hold eight worked questions before the one that is asked, some 900 tokens in all, and a
Llama of random weights, built on the spot, answers them: as potstill asks (the worked questions
are computed once and stand once beside all rows), with sharing switched off, and by transformers'
``generate``, called as in ``local_generation.py``. All take turns; greedy texts have to be the
same.

    python benchmarks/local_few_shot.py    # 48 questions, 3 rounds; --help shows the settings
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from local_generation import (
    CASES,
    USUAL,
    Calls,
    Case,
    Speed,
    Timing,
    median,
    ours,
    theirs,
)
from machine import facts, write_results
from transformers import LlamaConfig, LlamaForCausalLM

from potstill.models.local import batching
from potstill.models.local.loading import load_tokenizer, parameters_of
from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.tasks.procedural import problems, questions

EXEMPLARS = 8
FAMILY = "multi_step_arithmetic"
ENDLESS = 10**9
"""More tokens than any prefix saves."""


class Over(NamedTuple):
    """Another system's speed, and ours over it in the median of the rounds, by each clock."""

    speed: Speed
    clock: float
    processor: float


class Result(NamedTuple):
    """One case: ours, and ours over each of the others."""

    case: str
    ours: Speed
    over: dict[str, Over]
    same_texts: dict[str, int] | None
    runs: dict[str, list[Speed]]


def few_shot_prompts(count: int) -> list[str]:
    """Worked questions, and then a question."""
    worked = [
        f"Q: {problem.question.text}\nA: {max(problem.rationales, key=len)} "
        f"The answer is {problem.question.answer}."
        for problem in problems(FAMILY, "train", EXEMPLARS, seed=0)
    ]
    asked = questions(FAMILY, "test", count, seed=0)
    return ["\n\n".join([*worked, f"Q: {question.text}\nA:"]) for question in asked]


def built(folder: str, args: argparse.Namespace) -> HFModel:
    """A Llama whose greedy choices are far apart, with the bundled teacher's tokenizer."""
    tokenizer = load_tokenizer(LocalSettings(model="bundled:teacher"))
    tokenizer.model_max_length = 2048
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": args.hidden,
        "intermediate_size": args.hidden * 8 // 3,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.hidden // 64,
        "num_key_value_heads": max(1, args.hidden // 128),
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = LlamaForCausalLM(LlamaConfig(**shape))
    with torch.no_grad():
        model.lm_head.weight.mul_(8.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", dtype="float32")
    return HFModel(settings, source=folder)


def alone(model: HFModel, prompts: Sequence[str], case: Case, max_tokens: int) -> Timing:
    """Run our loop, each prompt computed whole."""
    with patch.object(batching, "LEAST_SAVED", ENDLESS):
        return ours(model, prompts, case, max_tokens)


def measure(model: HFModel, prompts: Sequence[str], case: Case, args: argparse.Namespace) -> Result:
    """Time all in turns, and compare the greedy texts."""
    prompts = prompts[: len(prompts) // case.samples]
    usual = Calls(USUAL, by_length=False)
    tuned = [Calls(max(1, batch // case.samples), by_length=True) for batch in args.batches]
    runs: dict[str, list[Timing]] = {}
    for _ in range(args.rounds):
        runs.setdefault("ours", []).append(ours(model, prompts, case, args.max_tokens))
        runs.setdefault("without sharing", []).append(alone(model, prompts, case, args.max_tokens))
        for calls in (usual, *tuned):
            timing = theirs(model, prompts, case, args.max_tokens, calls)
            runs.setdefault(f"generate, {calls}", []).append(timing)
    speeds = {name: [timing.speed for timing in timings] for name, timings in runs.items()}
    texts = runs["ours"][0].texts
    return Result(
        case=case.name,
        ours=median(speeds["ours"]),
        over={name: over(speeds["ours"], speeds[name]) for name in speeds if name != "ours"},
        same_texts=None
        if case.temperature
        else {
            name: min(sum(map(str.__eq__, texts, timing.texts)) for timing in timings)
            for name, timings in runs.items()
        },
        runs=speeds,
    )


def over(own: Sequence[Speed], other: Sequence[Speed]) -> Over:
    """Ours over another, round by round."""
    pairs = list(zip(own, other, strict=True))
    return Over(
        speed=median(other),
        clock=round(statistics.median(a.clock / b.clock for a, b in pairs), 2),
        processor=round(statistics.median(a.processor / b.processor for a, b in pairs), 2),
    )


def show(results: Sequence[Result], machine: object) -> None:
    """Print a Markdown table."""
    print("tokens a second by the clock (of processor time), and ours over it\n")
    print("| case | system | tokens/s | ratio | same texts |")
    print("|---|---|---|---|---|")
    for result in results:
        print(f"| {result.case} | ours | {result.ours.clock} ({result.ours.processor}) | | |")
        for name, ratio in result.over.items():
            same = "" if result.same_texts is None else str(result.same_texts[name])
            speed = f"{ratio.speed.clock} ({ratio.speed.processor})"
            print(f"| | {name} | {speed} | {ratio.clock} ({ratio.processor}) | {same} |")
    print(f"\n{machine}")


def as_figures(result: Result) -> dict[str, object]:
    """One case as it is written to the file of results."""
    return result._asdict() | {
        "over": {name: speed._asdict() for name, speed in result.over.items()}
    }


def main() -> None:
    """Measure, print a table, and write the figures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=48, help="a fourth of it with 4 samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=512, help="dimensions of the model")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[16], help="sequences at once of generate"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--out", default="benchmarks/results/local_few_shot.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prompts = few_shot_prompts(args.questions)
    with TemporaryDirectory() as folder:
        model = built(folder, args)
        lengths = sorted(len(model.tokenizer(prompt)["input_ids"]) for prompt in prompts)
        ours(model, prompts[:2], CASES[0], 4)  # the first forward is slower
        results = [measure(model, prompts, case, args) for case in CASES]
    machine = facts("torch", "transformers")
    show(results, machine)
    asked = {
        "prompt_tokens": [lengths[0], lengths[-1]],
        "weights": parameters_of(model.model),
        "threads": args.threads,
    }
    write_results(
        Path(args.out),
        {
            "machine": machine,
            "args": vars(args) | asked,
            "results": [as_figures(result) for result in results],
        },
    )


if __name__ == "__main__":
    main()
