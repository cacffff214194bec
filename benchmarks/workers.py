"""One driver and up to 1,000 simulated workers: what it stores a second, and what limits it first.

Run: python benchmarks/workers.py [--json benchmarks/results/workers.json]

Each worker answers one request at a time, with 4 samples of 150 tokens, 10 samples a second: an
engine that writes 1,500 tokens a second. Their time is simulated, and so is that in which they pack
token probabilities, as workers on Ray do. The driver's is its own: it finds what the store lacks,
unpickles reports, stores what has arrived since its last commit, and notes its progress, all by
``complete_missing`` as the generate stage does; what Ray itself does for a report is left out. Its
processor seconds count, which other work on the machine makes longer all the same (``load``;
``least_microseconds`` are those of the quickest commit); the flush of each commit to the disk is
measured apart and added.

Wanted: 10,000 completions a second or more without probabilities, 3,000 with 5 likeliest tokens.
"""

import argparse
import heapq
import os
import pickle
import random
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from machine import facts, write_results

from potstill.models import Model
from potstill.models.cluster.messages import NO_REQUEST, WorkerReport
from potstill.records import Completion, Request, TokenLogprobs
from potstill.runtime import Runtime
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import complete_missing
from potstill.store import Store
from potstill.store.packed_logprobs import with_packed_logprobs
from potstill.store.probability_codec import ProbabilityForm

TOKENS, SAMPLES, RATE = 150, 4, 10.0
"""Tokens of an answer, samples of a request, and samples a second of one worker."""

KEEPS_UP = 0.5
"""Seconds from arrival to commit, of 95% of the answers, up to which a driver keeps up."""

TEXT = "He has 3 boxes of 4 pens and buys 5 more, so we first multiply and then add. " * 8


class Case(NamedTuple):
    """The probabilities that are asked for, and the form in which they are kept."""

    top: int
    form: ProbabilityForm = "exact"

    @property
    def name(self) -> str:
        """The case in words."""
        return f"top {self.top}, {self.form}" if self.top else "no probabilities"


CASES = (Case(0), Case(5), Case(5, "compact"), Case(20), Case(20, "compact"))


def probabilities(top: int) -> TokenLogprobs:
    """Returns token probabilities spread as a language model's, named by bytes as a server does.

    Gaps between neighbours are exponential, wider at the top; names are drawn from a vocabulary of
    30,000 by Zipf's law, without repetition in a row.
    """
    generator = np.random.default_rng(0)
    gaps = generator.exponential(0.5, (TOKENS, top)) * np.where(np.arange(top) < 3, 3, 0.4)
    likeliest = -0.1 * generator.exponential(1, (TOKENS, 1)) - np.cumsum(gaps, axis=1)
    words = [
        bytes(97 + (word * 7 + place) % 26 for place in range(1 + word % 6)) for word in range(400)
    ]
    names = [word + str(number).encode() for number in range(75) for word in words]
    weights = 1 / np.arange(1, len(names) + 1) ** 1.1
    rows = [
        generator.choice(len(names), top, replace=False, p=weights / weights.sum())
        for _ in range(TOKENS)
    ]
    named = [names[number] for row in rows for number in (row[0], *row)]
    return TokenLogprobs(
        logprobs=np.concatenate([likeliest[:, :1], likeliest], axis=1).astype(np.float32),
        token_bytes=b"".join(named),
        lengths=np.array([len(name) for name in named], np.uint16).reshape(TOKENS, 1 + top),
    )


class Requests(Sequence[Request]):
    """Requests made when they are looked at, as those of a task are."""

    def __init__(self, count: int, top: int) -> None:
        self._count, self._top = count, top

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Request: ...

    @overload
    def __getitem__(self, place: slice) -> list[Request]: ...

    def __getitem__(self, place: int | slice) -> Request | list[Request]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(self._count))]
        return Request(
            prompt=f"Q: Question number {place}: {'how many pens are there now, ' * 8}?\nA:",
            samples=tuple(range(SAMPLES)),
            temperature=0.7,
            top_logprobs=self._top,
            question_id=f"q{place}",
            task="pens",
        )


class Workers(Model):
    """Simulated workers, whose answers arrive by a clock that the driver's work moves on.

    Args:
        count: How many.
        record: The token probabilities of every answer.
        flush: Seconds that a commit takes to reach the disk.
    """

    name, chat, scores_texts = "openai:large", True, False

    def __init__(self, count: int, record: TokenLogprobs | None, flush: float) -> None:
        self._count, self._record, self._flush = count, record, flush
        self.lags: list[float] = []
        """Seconds from an answer's arrival to the end of its commit."""

        self.commits: list[int] = []
        self.busy = self.end = 0.0
        self.least = float("inf")
        """Processor seconds of a completion in the commit of 200 or more that took least of it."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests one by one; the driver takes groups."""
        for group in self.complete_for_store(requests, "exact"):
            yield from group

    def complete_for_store(
        self, requests: Iterable[Request], form: ProbabilityForm
    ) -> Generator[list[Completion]]:
        """Yields what has arrived since the last commit."""
        report = self._report(form)
        left, chance = iter(requests), random.Random(0)
        working: list[tuple[float, int, Request]] = []
        arrived: deque[tuple[float, Request]] = deque()
        now = 0.0
        for worker in range(self._count):
            if (request := next(left, None)) is not None:
                heapq.heappush(working, (chance.random() * SAMPLES / RATE, worker, request))
        while working or arrived:
            if not arrived:
                now = max(now, working[0][0])
            while working and working[0][0] <= now:
                at, worker, request = heapq.heappop(working)
                arrived.append((at, request))
                if (following := next(left, None)) is not None:
                    takes = (0.5 + chance.random()) * SAMPLES / RATE
                    heapq.heappush(working, (at + takes, worker, following))
            taken = [arrived.popleft() for _ in range(len(arrived))]
            began = time.process_time()
            group = [answer for _, request in taken for answer in _taken(report, request)]
            yield group  # the driver stores it, and comes back
            worked = time.process_time() - began
            took = worked + self._flush
            if len(group) >= 200:
                self.least = min(self.least, worked / len(group))
            now += took
            self.busy += took
            self.commits.append(len(group))
            self.lags += [now - at for at, _ in taken]
        self.end = now

    def _report(self, form: ProbabilityForm) -> bytes:
        """Returns what a worker says once it has answered a request."""
        answers = [
            Completion(
                request=NO_REQUEST,
                sample=sample,
                text=TEXT,
                finish_reason="stop",
                prompt_tokens=70,
                completion_tokens=TOKENS,
                logprobs=self._record,
            )
            for sample in range(SAMPLES)
        ]
        packed = [(0, with_packed_logprobs(answer, form)) for answer in answers]
        return pickle.dumps(WorkerReport(completions=packed), protocol=5)


def _taken(report: bytes, request: Request) -> Iterator[Completion]:
    """Yields the answers in a report, as the driver takes them."""
    for _, completion in pickle.loads(report).completions:
        yield replace(completion, request=request)


def flush_seconds(folder: Path, times: int = 20) -> float:
    """Returns what it takes to flush 200 kB to the disk: the median of some."""
    taken = []
    with (folder / "flush").open("wb") as file:
        for _ in range(times):
            file.write(os.urandom(200_000))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def simulate(case: Case, workers: int, flush: float, folder: Path) -> dict[str, object]:
    """Returns what a driver stores of so many workers' answers in some simulated seconds."""
    # Enough to tell a rate by, and no more: what wide rows take is the processor's.
    wanted = {0: 30_000, 5: 10_000}.get(case.top, 4_000)
    requests = Requests(min(int(workers * RATE * 3), wanted) // SAMPLES, case.top)
    record = probabilities(case.top) if case.top else None
    with tempfile.TemporaryDirectory(dir=folder) as name:
        runtime = Runtime()
        with Store(Path(name) / "run.sqlite") as store:
            store.probability_form = case.form
            context = RunContext(store=store, folder=Path(name), progress=Meter(None).of(runtime))
            model = Workers(workers, record, flush)
            began = time.process_time()
            counts = complete_missing(model, requests, context, label="pens", stage="generate")
            whole = time.process_time() - began
        size = (Path(name) / "run.sqlite").stat().st_size
    storing = model.busy - flush * len(model.commits)
    return {
        "case": case.name,
        "workers": workers,
        "offered_per_second": workers * RATE,
        "stored_per_second": round(counts.stored / model.end),
        "keeps_up": bool(np.quantile(model.lags, 0.95) < KEEPS_UP),
        "lag_median_s": round(float(np.median(model.lags)), 4),
        "lag_95_s": round(float(np.quantile(model.lags, 0.95)), 3),
        "largest_commit": max(model.commits),
        "microseconds_a_completion": round(1e6 * storing / counts.stored, 1),
        "least_microseconds": None if np.isinf(model.least) else round(1e6 * model.least, 1),
        "finding_missing_us_a_request": round(1e6 * (whole - storing) / len(requests), 1),
        "bytes_a_completion": round(size / counts.stored),
    }


def main() -> None:
    """Simulate, print, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 100, 300, 1_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        flush = flush_seconds(folder)
        rows = []
        print("| kept | workers | offered/s | stored/s | keeps up | lag, 95% | µs each |")
        print("|---|---|---|---|---|---|---|")
        for case in CASES:
            for workers in arguments.workers:
                row = simulate(case, workers, flush, folder)
                rows.append(row)
                print(
                    f"| {case.name} | {workers:,} | {row['offered_per_second']:,.0f} "
                    f"| {row['stored_per_second']:,} | {row['keeps_up']} "
                    f"| {row['lag_95_s']} s | {row['microseconds_a_completion']} |",
                    flush=True,
                )
    if arguments.json:
        load = round(os.getloadavg()[0], 1)
        found = {
            "machine": {**facts("numpy"), "load": load},
            "flush_ms": round(1e3 * flush, 2),
            "rows": rows,
        }
        write_results(arguments.json, found)


if __name__ == "__main__":
    main()
