"""Store writes a second, with top-5 log-probabilities.

Run: python benchmarks/store.py [--json benchmarks/results/store.json]

Each completion has 150 tokens; tokens are named by id (a local model) or by bytes (a server).
A commit holds what arrived together: 1 completion, 4 (a request's samples) or 256 (a busy server).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from machine import facts, write_results

from potstill.records import Completion, Request, TokenLogprobs
from potstill.store import Store

TOKENS, TOP, SAMPLES = 150, 5, 4


def completions(count: int, *, by_bytes: bool) -> Iterator[Completion]:
    """Completions as a model would yield them, four samples a request."""
    generator = np.random.default_rng(0)
    logprobs = np.log(generator.dirichlet(np.ones(TOP + 1), size=TOKENS)).astype(np.float32)
    ids = generator.integers(0, 150_000, size=(TOKENS, TOP + 1)).astype(np.int32)
    lengths = generator.integers(1, 8, size=(TOKENS, TOP + 1)).astype(np.uint16)
    letters = generator.bytes(int(lengths.sum()))
    kept = (
        TokenLogprobs(logprobs=logprobs, token_bytes=letters, lengths=lengths)
        if by_bytes
        else TokenLogprobs(logprobs=logprobs, ids=ids)
    )
    for number in range(count):
        request = Request(
            prompt=f"Q: question number {number // SAMPLES} " + "with a few words more " * 10,
            samples=tuple(range(SAMPLES)),
            temperature=0.7,
            top_logprobs=TOP,
        )
        yield Completion(
            request=request,
            sample=number % SAMPLES,
            text="Step by step, " * 40,
            finish_reason="stop",
            completion_tokens=TOKENS,
            logprobs=kept,
        )


def measure(count: int, group: int, *, by_bytes: bool) -> dict[str, float]:
    """Seconds to store ``count`` completions, ``group`` to a commit, flushed to the disk."""
    made = list(completions(count, by_bytes=by_bytes))
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        Store(Path(folder) / "run.sqlite") as store,
    ):
        start = time.perf_counter()
        for first in range(0, count, group):
            store.add_completions("model", made[first : first + group], stage="generate")
        seconds = time.perf_counter() - start
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "completions_per_second": count / seconds,
        "bytes_per_token": size / (count * TOKENS),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print("| tokens named by | completions a commit | completions/s | bytes/token |")
    print("|---|---|---|---|")
    for by_bytes in (False, True):
        for group in (1, 4, 256):
            runs = [
                measure(20_000 if group > 4 else 3_000, group, by_bytes=by_bytes) for _ in range(3)
            ]
            row = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
            name = "bytes" if by_bytes else "ids"
            print(
                f"| {name} | {group} | {row['completions_per_second']:,.0f}"
                f" | {row['bytes_per_token']:.0f} |"
            )
            rows.append({"named_by": name, "commit": group, **row})
    if arguments.json:
        write_results(arguments.json, {"machine": facts(), "rows": rows})


if __name__ == "__main__":
    main()
