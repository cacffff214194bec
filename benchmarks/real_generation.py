"""Tokens a second that a real pretrained model writes: ours, transformers' generate and vLLM.

Run: python benchmarks/real_generation.py MODEL_FOLDER [--batches 1 2 4 8 16 32 64] [--json FILE]
     [--vllm URL --vllm-pid PID]

SmolLM2-135M (``scripts/real_model.py`` makes the folder) answers questions of SVAMP in its chat
template, greedily and at temperature 0.7, a batch at once; ours and theirs in turns, round by
round. ``generate`` gets the prompts in one left-padded batch. Tokens before the end token count, on
all sides. Seconds are by the clock, and of processor time beside them, which a busy machine
disturbs less. Of greedy answers it is counted how many are the same as generate's.

vLLM is a server that runs already, such as ``vllm serve MODEL_FOLDER --enforce-eager``; it gets all
requests of a batch at once, and the processor time of its processes is read from /proc.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import aiohttp
import torch
from machine import facts, write_results
from real_training import texts
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging as transformers_logging

from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.records import Message, Request

TEMPERATURE = 0.7


class Run(NamedTuple):
    """One batch, written once."""

    clock: float
    """Tokens a second."""

    processor: float | None
    """Tokens a second of processor time; None where that is not known."""

    answers: list[str]


Writes = Callable[[Sequence[str], float, int], Run]
"""Answers questions at a temperature, with at most so many tokens each."""


class Clocks:
    """Both clocks, from now on."""

    def __init__(self, spent: Callable[[], float | None] = time.process_time) -> None:
        self._spent = spent
        self._clock, self._processor = time.perf_counter(), spent()

    def run(self, tokens: int, answers: list[str]) -> Run:
        """Returns the speed since then."""
        clock, processor = time.perf_counter() - self._clock, self._spent()
        if processor is None or self._processor is None:
            return Run(tokens / clock, None, answers)
        return Run(tokens / clock, tokens / max(processor - self._processor, 1e-9), answers)


def ours(model: HFModel, questions: Sequence[str], temperature: float, max_tokens: int) -> Run:
    """Write with our decoding loop."""
    requests = [
        Request(
            prompt=(Message(role="user", content=question),),
            samples=(0,),
            temperature=temperature,
            max_tokens=max_tokens,
        )
        for question in questions
    ]
    clocks = Clocks()
    done = {completion.request: completion for completion in model.complete(requests)}
    tokens = sum(completion.completion_tokens for completion in done.values())
    return clocks.run(tokens, [done[request].text for request in requests])


def generate(
    model: Any, tokenizer: Any, questions: Sequence[str], temperature: float, max_tokens: int
) -> Run:
    """Write with transformers' ``generate``."""
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=temperature > 0,
        temperature=temperature or None,
        top_k=0 if temperature else None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    clocks = Clocks()
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        for question in questions
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    inputs = inputs.to(model.device)
    with torch.inference_mode():
        written = model.generate(**inputs, generation_config=config)
    new = written[:, inputs["input_ids"].shape[1] :].cpu()
    tokens = int(((new == tokenizer.eos_token_id).cumsum(-1) == 0).sum())
    return clocks.run(tokens, tokenizer.batch_decode(new, skip_special_tokens=True))


def vllm(
    url: str, pid: int | None, questions: Sequence[str], temperature: float, max_tokens: int
) -> Run:
    """Have a server write, all questions at once."""
    clocks = Clocks(lambda: None if pid is None else tree_seconds(pid))
    answers = asyncio.run(_ask(url, questions, temperature, max_tokens))
    tokens = sum(answer["usage"]["completion_tokens"] for answer in answers)
    return clocks.run(tokens, [answer["choices"][0]["message"]["content"] for answer in answers])


async def _ask(
    url: str, questions: Sequence[str], temperature: float, max_tokens: int
) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(f"{url}/v1/models") as reply:
            name = (await reply.json())["data"][0]["id"]

        async def one(question: str) -> dict[str, Any]:
            body = {
                "model": name,
                "messages": [{"role": "user", "content": question}],
                "temperature": temperature,
                "max_tokens": max_tokens,
            }
            async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                answer: dict[str, Any] = await reply.json()
                return answer

        return list(await asyncio.gather(*map(one, questions)))


def tree_seconds(pid: int) -> float:
    """Returns the processor time of a process and of all that it started and that runs."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        number = int(folder.name)
        parents[number] = int(fields[1])
        seconds[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def within(number: int) -> bool:
        while number and number != pid:
            number = parents.get(number, 0)
        return number == pid

    return sum(spent for number, spent in seconds.items() if within(number))


def systems(args: argparse.Namespace, dtype: str) -> dict[str, Writes]:
    """Returns all that is measured, by name."""
    settings = LocalSettings(
        model=f"hf:{args.folder}",
        device=args.device,
        dtype=cast('Literal["float32", "bfloat16"]', dtype),
    )
    own = HFModel(settings, source=settings.source)
    plain: Any = AutoModelForCausalLM.from_pretrained(args.folder, dtype=getattr(torch, dtype))
    found: dict[str, Writes] = {
        "potstill": partial(ours, own),
        "generate": partial(generate, plain.eval().to(args.device), own.tokenizer),
    }
    if args.vllm and dtype == "bfloat16":
        found["vLLM"] = partial(vllm, args.vllm, args.vllm_pid)
    return found


def measure(
    wanted: dict[str, Writes], questions: Sequence[str], temperature: float, args: Any
) -> dict[str, Any]:
    """Returns the figures of one batch size, all systems in turns."""
    runs: dict[str, list[Run]] = {name: [] for name in wanted}
    for _ in range(args.rounds):
        for name, write in wanted.items():
            runs[name].append(write(questions, temperature, args.max_tokens))
    figures: dict[str, Any] = {"batch": len(questions), "temperature": temperature}
    for name, theirs in runs.items():
        figures[name] = {
            clock: [getattr(run, clock) for run in theirs] for clock in ("clock", "processor")
        }
        figures[name]["ours_over_it"] = [
            mine.clock / run.clock for mine, run in zip(runs["potstill"], theirs, strict=True)
        ]
        figures[name]["ours_over_it_processor"] = [
            mine.processor / run.processor
            for mine, run in zip(runs["potstill"], theirs, strict=True)
            if mine.processor and run.processor
        ]
        if temperature == 0:
            pairs = zip(runs["generate"][0].answers, theirs[0].answers, strict=True)
            figures[name]["same_as_generate"] = sum(a.strip() == b.strip() for a, b in pairs)
    return figures


def show(dtype: str, figures: dict[str, Any]) -> None:
    """Print a line for each system."""
    for name in (key for key, value in figures.items() if isinstance(value, dict)):
        row = figures[name]
        speeds = [statistics.median(row["clock"])]
        ratios = [statistics.median(row["ours_over_it"])]
        if row["ours_over_it_processor"]:
            speeds.append(statistics.median(row["processor"]))
            ratios.append(statistics.median(row["ours_over_it_processor"]))
        cells = [dtype, str(figures["batch"]), str(figures["temperature"]), name]
        cells += [" (".join(f"{speed:,.0f}" for speed in speeds) + ")" * (len(speeds) - 1)]
        cells += [" (".join(f"{ratio:.2f}" for ratio in ratios) + ")" * (len(ratios) - 1)]
        cells += [str(row.get("same_as_generate", ""))]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, print a table, and write the figures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, TEMPERATURE])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vllm", help="address of a running vLLM server")
    parser.add_argument("--vllm-pid", type=int, help="its process, for processor time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    questions = [question for question, _ in texts("svamp")]
    results = []
    print("| format | batch | temperature | system | tokens/s (processor) | ours / it | same |")
    print("|---|---|---|---|---|---|---|")
    for dtype in args.dtypes:
        wanted = systems(args, dtype)
        for write in wanted.values():  # the first forward is slower
            write(questions[:2], 0.0, 4)
        for batch in args.batches:
            for temperature in args.temperatures:
                figures = measure(wanted, questions[:batch], temperature, args)
                show(dtype, figures)
                results.append({"dtype": dtype, **figures})
                if args.json:
                    machine = {**facts("torch", "transformers"), "threads": args.threads}
                    write_results(args.json, {"machine": machine, "results": results})


if __name__ == "__main__":
    main()
