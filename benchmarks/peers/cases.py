"""The cases that are measured: each runs one system once, against a server of its own."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mock_server import Server, serving
from peers.environments import Peer
from peers.job import Job
from peers.running import Ran, ask, kept

Figures = dict[str, float | None]

TIMEOUT = 540.0
"""Seconds that a command may take; one that resumes gets :data:`RESUMING`."""

RESUMING = 150.0
TOKENS = 100
"""Length of an answer."""


class Desk(NamedTuple):
    """One measurement of one system: its Python and its folder."""

    peer: Peer
    python: Path
    folder: Path
    """Empty, and thrown away afterwards."""

    scale: float = 1.0
    """Share of the usual number of questions."""

    def count(self, usual: int, *, heavy: bool = False) -> int:
        """Returns the number of questions to ask.

        Args:
            usual: By whoever can.
            heavy: Whether answers have probabilities.
        """
        return max(round(usual * self.scale * (self.peer.heavy if heavy else 1.0)), 10)

    def job(self, server: Server, count: int, *, kept: str = "kept", **settings: Any) -> Job:
        """A job of so many questions.

        Args:
            server: Whom to ask.
            count: Of questions.
            kept: The system's folder, in the desk's.
            settings: The job's further fields.
        """
        questions = self.folder / f"{count}.jsonl"
        texts = (f"[q{number}] Ann has {number} pens and buys 2 more." for number in range(count))
        lines = (json.dumps({"q": f"{text} How many has she?", "a": "42"}) for text in texts)
        questions.write_text("\n".join(lines) + "\n")
        return Job(
            url=server.url,
            questions=str(questions),
            folder=str(self.folder / kept),
            temperature=self.peer.temperature,
            **settings,
        )

    def ask(
        self, job: Job, *, timeout: float = TIMEOUT, kill_when: Callable[[], bool] | None = None
    ) -> Ran:
        """Run the system."""
        return ask(self.python, self.peer, job, timeout=timeout, kill_when=kill_when)

    def kept(self, job: Job) -> dict[str, float]:
        """The answers that the system kept."""
        return kept(self.python, self.peer, job)


def overhead(desk: Desk, latency: float) -> Figures:
    """Processor time and time of a completion beyond start-up: a long run less a short one."""
    few, many = desk.count(100), desk.count(10_000)
    _, short, _ = _asked(desk, few, latency)
    kept, long, busy = _asked(desk, many, latency)
    return {
        "requests": many,
        "cpu_ms": 1000 * (long.cpu - short.cpu) / (many - few),
        "wall_ms": 1000 * (long.seconds - short.seconds) / (many - few),
        "start_cpu_seconds": short.cpu,
        "start_seconds": short.seconds,
        "peak_mib": long.peak_mib,
        "server_busy": busy,
        "missing": kept["missing"],
        "duplicates": kept["duplicates"],
    }


def _asked(desk: Desk, count: int, latency: float = 0.0) -> tuple[dict[str, float], Ran, float]:
    """The answers kept of so many, the command, the share of its time the server was busy."""
    with serving(latency=latency, tokens=TOKENS) as server:
        job = desk.job(server, count, kept=f"kept-{count}")
        ran = desk.ask(job)
        busy = server.stats()["cpu"] / ran.seconds
    return desk.kept(job), ran, busy


def throughput(desk: Desk, latency: float, requests: int) -> Figures:
    """Requests of four samples with top-5 probabilities a second.

    The rate is by the server's clock, from the first request that came to the last answer that
    left, ramp and tail included, start-up not; a sample asked for by itself is a quarter request.
    """
    count = desk.count(requests, heavy=True)
    with serving(latency=latency, tokens=TOKENS, top=5) as server:
        settings: dict[str, Any] = {"samples": 4, "top_logprobs": 5, "max_tokens": TOKENS}
        job = desk.job(server, count, **settings)
        ran, stats = desk.ask(job), server.stats()
    kept = desk.kept(job)
    return {
        "requests": count,
        "per_second": stats["samples"] / 4 / (stats["last"] - stats["first"]),
        "per_second_sustained": stats["sustained"] / 4,
        "per_second_with_start": stats["samples"] / 4 / ran.seconds,
        "cpu_ms": 1000 * ran.cpu / count,
        "peak_mib": ran.peak_mib,
        "server_busy": stats["cpu"] / ran.seconds,
        "missing": kept["missing"],
        "duplicates": kept["duplicates"],
    }


def resume(desk: Desk) -> Figures:
    """Samples served in all over those needed, where the process is killed half-way."""
    with serving(latency=0.5, jitter=0.2, tokens=TOKENS) as server:
        job = desk.job(server, desk.count(2_000), in_flight=64, resumable=True)
        needed = len(job.rows())
        desk.ask(job, kill_when=lambda: server.stats()["samples"] >= needed / 2)
        time.sleep(1.0)
        at_kill = server.stats()
        desk.ask(job, timeout=RESUMING)
        stats = server.stats()
    kept = desk.kept(job)
    return {
        "requests": needed,
        "at_kill": at_kill["samples"],
        "served": stats["samples"] / needed,
        "received": stats["received_samples"] / needed,
        "missing": kept["missing"],
        "duplicates": kept["duplicates"],
    }


def top_up(desk: Desk) -> Figures:
    """Samples bought over those needed, as one thing after another is added to a finished run."""
    samples = 4 if desk.peer.several else 1
    figures: Figures = {"question": None, "samples": None, "max_tokens": None}
    with serving(tokens=TOKENS) as server:
        count = desk.count(200)
        settings: dict[str, Any] = {"in_flight": 64, "resumable": True, "max_tokens": TOKENS}
        job = desk.job(server, count, samples=samples, **settings)
        desk.ask(job)
        for name in figures:
            before = server.stats()["received_samples"]
            if name == "question":
                job = desk.job(server, count + 1, samples=samples, **settings)
                needed = samples
            elif name == "samples":
                if not desk.peer.several:
                    continue
                job, needed = job._replace(samples=2 * samples), (count + 1) * samples
            else:
                job = job._replace(max_tokens=2 * TOKENS)
                needed = sum(number % 10 == 7 for number in range(count + 1)) * job.samples
            desk.ask(job)
            figures[name] = (server.stats()["received_samples"] - before) / needed
    kept = desk.kept(job)
    return figures | {"missing": kept["missing"], "duplicates": kept["duplicates"]}


def probabilities(desk: Desk) -> Figures:
    """Alternatives that can still be told apart over those sent, and bytes a token on the disk."""
    top = 20
    with serving(tokens=TOKENS, top=top) as server:
        settings: dict[str, Any] = {"samples": 8, "top_logprobs": top, "max_tokens": TOKENS}
        job = desk.job(server, desk.count(500, heavy=True), **settings)
        ran, stats = desk.ask(job), server.stats()
    kept = desk.kept(job)
    return {
        "requests": len(job.rows()),
        "kept": kept["named"] / (stats["tokens"] * top),
        "bytes_per_token": kept["bytes"] / stats["tokens"],
        "cpu_ms": 1000 * ran.cpu / len(job.rows()),
        "peak_mib": ran.peak_mib,
        "seconds_to_open": kept["seconds_to_open"],
        "missing": kept["missing"],
    }


def voting(desk: Desk) -> Figures:
    """A majority vote of 16 samples a question, killed once after a quarter of them."""
    samples = 16
    with serving(latency=0.5, jitter=0.2, tokens=TOKENS) as server:
        count = desk.count(500)
        job = desk.job(server, count, samples=samples, in_flight=64, resumable=True)
        needed = len(job.rows()) * samples
        first = desk.ask(job, kill_when=lambda: server.stats()["samples"] >= needed / 4)
        time.sleep(1.0)
        second, stats = desk.ask(job), server.stats()
    kept = desk.kept(job)
    return {
        "samples": needed,
        "served": stats["samples"] / needed,
        "received": stats["received_samples"] / needed,
        "requests": stats["answered"],
        "cpu_ms": 1000 * (first.cpu + second.cpu) / needed,
        "seconds_to_open": kept["seconds_to_open"],
        "missing": None if desk.peer.stops_early else kept["missing"],
        "duplicates": kept["duplicates"],
    }


def memory(desk: Desk) -> Figures:
    """Peak memory of a hundred times as many requests, less that of the few."""
    few, many = desk.count(1_000), desk.count(100_000)
    _, short, _ = _asked(desk, few)
    kept, long, _ = _asked(desk, many)
    return {
        "requests": many,
        "peak_mib": long.peak_mib,
        "more_mib": long.peak_mib - short.peak_mib,
        "missing": kept["missing"],
    }
