"""potstill as its users run it: a recipe and ``python -m potstill generate``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from peers.job import Job, Kept, drive

from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import TokenLogprobs
from potstill.runtime.progress import Meter


def ask(job: Job) -> None:
    """Become the command."""
    recipe = write_recipe(job)
    os.execv(sys.executable, [sys.executable, "-m", "potstill", "generate", str(recipe)])


def write_recipe(job: Job) -> Path:
    """The recipe of a job; its questions have one more each for development and test."""
    questions = Path(f"{job.folder}.questions.jsonl")
    lines = [f'{{"q": "{row["q"]}", "a": "{row["a"]}", "split": "train"}}' for row in job.rows()]
    lines += [f'{{"q": "For {split}.", "a": "0", "split": "{split}"}}' for split in ("dev", "test")]
    questions.write_text("\n".join(lines) + "\n")
    recipe = {
        "run": job.folder,
        "task": {"file": str(questions), "question": "q", "answer": "a"},
        "teacher": {
            "model": "openai:mock",
            "base_url": job.url,
            "api_key_env": None,
            "concurrency": job.in_flight,
        },
        "student": "bundled:student",
        "generate": {
            "samples": job.samples,
            "temperature": job.temperature,
            "max_tokens": job.max_tokens,
            "top_logprobs": job.top_logprobs,
        },
    }
    path = Path(f"{job.folder}.yaml")
    path.write_text(yaml.safe_dump(recipe))
    return path


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that the store serves for the recipe."""
    with Run(load_recipe(write_recipe(job)), Meter(None), read_only=True) as run:
        asking = run.asking
        for question in run.task.splits["train"]:
            request = asking.request(question)
            for _, completion in run.store.completions(
                run.asked_teacher.name, request, logprobs=job.top_logprobs > 0
            ):
                yield Kept(question.text, _named(completion.logprobs))


def _named(logprobs: TokenLogprobs | None) -> int:
    """Alternatives whose bytes differ from all others of their position."""
    if logprobs is None or logprobs.lengths is None or logprobs.token_bytes is None:
        return 0
    ends = logprobs.lengths.cumsum().reshape(logprobs.lengths.shape)
    named = 0
    for lengths, last in zip(logprobs.lengths.tolist(), ends.tolist(), strict=True):
        pairs = zip(lengths, last, strict=True)
        named += len({logprobs.token_bytes[end - length : end] for length, end in pairs})
    return named


if __name__ == "__main__":
    drive(ask, read, files="run.sqlite*")
