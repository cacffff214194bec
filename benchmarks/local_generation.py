"""Tokens a second of potstill's decoding loop and of transformers' ``generate``.

Both run the bundled teacher on the same questions with the same longest answer, greedily and with
four samples a question, in turns. ``generate`` gets left-padded batches, called in two ways: as it
is fastest (prompts sorted by length, in each of several batch sizes, of which the best counts) and
as it is usually called (prompts in the file's order, 32 a call). Only tokens before the end token
count, on both sides, and the greedy texts of the two have to be the same. Seconds are by the
clock; tokens a second of processor time stand beside them, because a busy machine disturbs those
less.

    python benchmarks/local_generation.py    # 250 questions, 3 rounds; --help shows the settings
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from machine import facts, write_results
from transformers import GenerationConfig

from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.records import Request
from potstill.tasks.procedural import questions

USUAL = 32
"""Prompts a call, where ``generate`` is called as users do."""

PROMPT = "Q: {}\nA: Let's think step by step."
TEMPERATURE = 0.7


class Case(NamedTuple):
    """One way of asking."""

    name: str
    samples: int
    temperature: float


class Speed(NamedTuple):
    """Tokens a second of one run."""

    clock: int
    processor: int


class Timing(NamedTuple):
    """The time that one run took, and the texts that it wrote."""

    speed: Speed
    texts: tuple[str, ...]


class Calls(NamedTuple):
    """The arguments of the calls of ``generate``."""

    prompts: int
    """The number of prompts in one call."""

    by_length: bool
    """Whether prompts of like length are called together; else they go in the file's order."""

    def __str__(self) -> str:
        return f"{self.prompts} prompts{', sorted' if self.by_length else ''}"


class Ratio(NamedTuple):
    """Ours against ``generate``, called in one way."""

    calls: Calls
    generate: Speed
    clock: float
    processor: float


class Result(NamedTuple):
    """One case, both sides."""

    case: str
    ours: Speed
    best: Ratio
    usual: Ratio
    same_texts: int | None
    runs: dict[str, list[Speed]]
    """Every run of ours, and of each way of calling ``generate``."""


class EventLog:
    """Both clocks, from now."""

    def __init__(self) -> None:
        self.clock, self.processor = time.perf_counter(), time.process_time()

    def speed(self, tokens: int) -> Speed:
        """Tokens a second since then."""
        clock, processor = time.perf_counter(), time.process_time()
        return Speed(
            round(tokens / (clock - self.clock)), round(tokens / (processor - self.processor))
        )


CASES = (Case("greedy", 1, 0.0), Case("4 samples", 4, TEMPERATURE))


def ours(model: HFModel, prompts: Sequence[str], case: Case, max_tokens: int) -> Timing:
    """Run our loop."""
    requests = [
        Request(
            prompt=prompt,
            samples=tuple(range(case.samples)),
            temperature=case.temperature,
            max_tokens=max_tokens,
        )
        for prompt in prompts
    ]
    events = EventLog()
    done = {(item.request.prompt, item.sample): item for item in model.complete(requests)}
    speed = events.speed(sum(item.completion_tokens for item in done.values()))
    return Timing(speed, tuple(done[prompt, 0].text for prompt in prompts))


def theirs(
    model: HFModel, prompts: Sequence[str], case: Case, max_tokens: int, calls: Calls
) -> Timing:
    """Run ``generate``."""
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=case.temperature > 0,
        temperature=case.temperature or None,
        top_k=0 if case.temperature else None,
        num_return_sequences=case.samples,
        eos_token_id=model.tokenizer.eos_token_id,
        pad_token_id=model.tokenizer.pad_token_id,
    )
    generator: Any = model.model
    events = EventLog()
    ordered = list(prompts)
    if calls.by_length:
        ordered.sort(key=lambda prompt: len(model.tokenizer(prompt)["input_ids"]))
    texts: dict[str, str] = {}
    tokens = 0
    for start in range(0, len(ordered), calls.prompts):
        part = ordered[start : start + calls.prompts]
        inputs = model.tokenizer(
            part,
            return_tensors="pt",
            padding=True,
            padding_side="left",
            return_token_type_ids=False,
        )
        with torch.inference_mode():
            written = generator.generate(**inputs, generation_config=config)
        new = written[:, inputs["input_ids"].shape[1] :]
        ended = (new == model.tokenizer.eos_token_id).cumsum(-1) > 0
        tokens += int((~ended).sum())
        decoded = model.tokenizer.batch_decode(
            new, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        texts |= dict(zip(part, decoded[:: case.samples], strict=True))
    return Timing(events.speed(tokens), tuple(texts[prompt] for prompt in prompts))


def measure(model: HFModel, prompts: Sequence[str], case: Case, args: argparse.Namespace) -> Result:
    """Time both, in turns, and compare the greedy texts."""
    usual = Calls(USUAL, by_length=False)
    tuned = [Calls(max(1, batch // case.samples), by_length=True) for batch in args.batches]
    own: list[Speed] = []
    other: dict[Calls, list[Speed]] = {calls: [] for calls in (usual, *tuned)}
    same = len(prompts)
    for _ in range(args.rounds):
        mine = ours(model, prompts, case, args.max_tokens)
        own.append(mine.speed)
        for calls, speeds in other.items():
            hf = theirs(model, prompts, case, args.max_tokens, calls)
            speeds.append(hf.speed)
            same = min(same, sum(a == b for a, b in zip(mine.texts, hf.texts, strict=True)))
    best = max(tuned, key=lambda calls: median(other[calls]).processor)
    return Result(
        case=case.name,
        ours=median(own),
        best=compare(own, best, other[best]),
        usual=compare(own, usual, other[usual]),
        same_texts=same if case.temperature == 0 else None,
        runs={"ours": own} | {str(calls): speeds for calls, speeds in other.items()},
    )


def compare(own: Sequence[Speed], calls: Calls, other: Sequence[Speed]) -> Ratio:
    """The median of the rounds' ratios."""
    pairs = list(zip(own, other, strict=True))
    return Ratio(
        calls=calls,
        generate=median(other),
        clock=round(statistics.median(a.clock / b.clock for a, b in pairs), 2),
        processor=round(statistics.median(a.processor / b.processor for a, b in pairs), 2),
    )


def median(speeds: Sequence[Speed]) -> Speed:
    """The median by each clock."""
    return Speed(
        round(statistics.median(speed.clock for speed in speeds)),
        round(statistics.median(speed.processor for speed in speeds)),
    )


def show(results: Sequence[Result], machine: object) -> None:
    """Print a Markdown table."""
    print("tokens a second by the clock (of processor time)\n")
    print("| case | ours | generate, fastest | ratio | generate, usual | ratio | same texts |")
    print("|---|---|---|---|---|---|---|")
    for result in results:
        cells = [result.case, f"{result.ours.clock} ({result.ours.processor})"]
        for ratio in (result.best, result.usual):
            speed = ratio.generate
            cells.append(f"{speed.clock} ({speed.processor}), {ratio.calls}")
            cells.append(f"{ratio.clock} ({ratio.processor})")
        cells.append("" if result.same_texts is None else str(result.same_texts))
        print(f"| {' | '.join(cells)} |")
    print(f"\n{machine}")


def as_figures(result: Result) -> dict[str, object]:
    """One case as it is written to the file of results."""
    both = {"best": result.best._asdict(), "usual": result.usual._asdict()}
    return result._asdict() | {
        name: ratio | {"calls": str(ratio["calls"])} for name, ratio in both.items()
    }


def main() -> None:
    """Measure, print a table, and write the figures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled:teacher")
    parser.add_argument("--questions", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[32, 64, 128, 256, 1000],
        help="sequences at once, of which generate's best counts",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--out", default="benchmarks/results/local_generation.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = LocalSettings(model=args.model, device="cpu")
    model = HFModel(settings, source=settings.source)
    drawn = questions("two_step_arithmetic", "test", args.questions, seed=0)
    prompts = [PROMPT.format(question.text) for question in drawn]
    ours(model, prompts[:8], CASES[0], 8)  # the first forward is slower
    results = [measure(model, prompts, case, args) for case in CASES]
    machine = facts("torch", "transformers")
    show(results, machine)
    figures = [as_figures(result) for result in results]
    write_results(Path(args.out), {"machine": machine, "args": vars(args), "results": figures})


if __name__ == "__main__":
    main()
