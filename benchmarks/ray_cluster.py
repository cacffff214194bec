"""A Ray cluster whose workers, nodes and driver are killed, and what it does with more workers.

Run: python benchmarks/ray_cluster.py losses [--teacher bundled] [--json FILE]
     python benchmarks/ray_cluster.py scaling [--json FILE]

``losses`` asks 20,000 questions by ``potstill generate --on ray`` on a cluster of three node
processes: every few seconds a worker that has answered is killed, once a node, once the driver, by
kill -9. The teacher is the server of tests/chaos.py, of whose tries one in ten goes wrong, or the
bundled one. At first the budget is for half of it. Wanted: the store is that of one process,
nothing is bought twice beyond what was in flight, no bill passes a budget.

``scaling`` asks a server that answers after a second with 1, 2 and 4 workers, and says how much of
a processor an answer takes of the driver, and of the workers: the clock of a machine whose cores
they share with the server says little.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from machine import facts, write_results
from mock_server import serving

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))  # the server of many faults is the tests'

from chaos import bought_again, chaos_process, read_events  # noqa: E402
from chaos_wire import Habits  # noqa: E402

CONCURRENCY = 64
PASSING = dict.fromkeys(["429", "500", "503_after", "reset_within", "truncated", "not_json"], 1.0)
COMPLETIONS = "SELECT hex(request_key), sample, text, finish_reason FROM completions ORDER BY 1, 2"
TICKS = os.sysconf("SC_CLK_TCK")


# the cluster --------------------------------------------------------------------------------------


class Nodes:
    """Node processes of a Ray cluster on this machine; the head has no room for workers."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
        head = {**self._node, "num_cpus": 0, "include_dashboard": False,
                "_system_config": {"health_check_period_ms": 1000,
                                   "health_check_failure_threshold": 5}}  # fmt: skip
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._others = [self._cluster.add_node(**self._node) for _ in range(count)]
        self.address: str = self._cluster.address

    def lose_one(self) -> None:
        """Kill a node's processes, and add another node."""
        self._cluster.remove_node(self._others.pop(0), allow_graceful=False)
        self._others.append(self._cluster.add_node(**self._node))

    def shutdown(self) -> None:
        """End all."""
        self._cluster.shutdown()


@contextmanager
def cluster(count: int) -> Iterator[Nodes]:
    """A cluster of a head and so many further nodes."""
    nodes = Nodes(count)
    try:
        yield nodes
    finally:
        nodes.shutdown()


def write_recipe(folder: Path, name: str, teacher: object, questions: int) -> Path:
    """Write a recipe of so many training questions."""
    values = {
        "run": str(folder / name),
        "task": {"name": "two_step_arithmetic", "train": questions, "dev": 10, "test": 10},
        "teacher": teacher,
        "student": "bundled:student",
        "generate": {"samples": 1, "max_tokens": 64},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def generate(recipe: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start ``potstill generate``."""
    log = (recipe.parent / "commands.log").open("ab")
    before = "import potstill.models.openai.client as c; c.FIRST_BACKOFF = 0.1"
    code = f"{before}; from potstill.cli import main; main(prog_name='potstill')"
    words = [sys.executable, "-c", code, "generate", str(recipe), "--quiet", *options]
    with log:
        return subprocess.Popen(words, stdout=log, stderr=log)


def on(nodes: Nodes, workers: int) -> list[str]:
    """Options that have a command ask by workers on a cluster."""
    return ["--on", "ray", "--set", f"run_on.address={nodes.address}",
            "--set", f"run_on.workers={workers}"]  # fmt: skip


def rows(run: Path, query: str) -> list[tuple[Any, ...]]:
    """Returns the rows that a query of a run's store finds; none where the query fails."""
    with suppress(sqlite3.OperationalError), sqlite3.connect(run / "run.sqlite") as store:
        return store.execute(query).fetchall()
    return []


def worker_events(run: Path) -> list[dict[str, Any]]:
    """Returns the events of workers in a run's log."""
    with suppress(FileNotFoundError):
        lines = (run / "log.jsonl").read_bytes().splitlines()
        return [json.loads(line) for line in lines if b'"event":"worker"' in line]
    return []


def at_work(run: Path, *, seconds: float = 0.0) -> list[int]:
    """The processes of the workers that have been ready for so long."""
    newest = {event["number"]: event for event in worker_events(run)}
    until = time.time() - seconds
    pids = [
        event["pid"]
        for event in newest.values()
        if event["status"] == "ready" and event["time"] < until
    ]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


# losses -------------------------------------------------------------------------------------------


class Kills(NamedTuple):
    """The numbers of workers, nodes and drivers that were killed."""

    workers_killed: int
    nodes_killed: int
    drivers_killed: int


def killed_run(
    recipe: Path, run: Path, nodes: Nodes, *, questions: int, workers: int, every: float
) -> tuple[Kills, list[float]]:
    """Have a recipe generated while processes are killed; returns how many, and the seconds."""
    draws = random.Random(7)
    killed, lost_node, killed_driver, seconds = 0, False, False, list[float]()
    done_at_kill = -1
    while True:
        began, next_kill = time.monotonic(), time.monotonic() + every
        command = generate(recipe, *on(nodes, workers))
        while command.poll() is None:
            time.sleep(0.2)
            done = len(rows(run, "SELECT 1 FROM completions"))
            # On a busy machine a worker takes long to start: it is to have answered something.
            due = time.monotonic() > next_kill and done > done_at_kill
            if due and (pids := at_work(run, seconds=1.0)):
                with suppress(ProcessLookupError):
                    os.kill(draws.choice(pids), signal.SIGKILL)
                    killed += 1
                done_at_kill = done
                next_kill = time.monotonic() + every
            if done > questions / 4 and not lost_node:
                nodes.lose_one()
                lost_node = True
            if done > questions * 3 / 4 and not killed_driver:
                command.kill()
                killed_driver = True
        seconds.append(round(time.monotonic() - began, 1))
        if command.wait() == 0:
            return Kills(killed, int(lost_node), int(killed_driver)), seconds
        assert command.returncode == -signal.SIGKILL, (recipe.parent / "commands.log").read_text()


def spent(run: Path) -> int:
    """Tokens of a run's account."""
    from potstill.runtime.budget import Budget

    return Budget(journal=run / "spending.jsonl").spent.tokens


def losses(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The run with losses, held against one of one process."""
    count, workers = options.questions, options.workers
    with cluster(2) as nodes:
        if options.teacher == "bundled":
            alone, recipe = (
                write_recipe(folder, name, "bundled:teacher", count) for name in ("alone", "ray")
            )
            begun = time.monotonic()
            assert generate(alone).wait() == 0
            alone_seconds = time.monotonic() - begun
            kills, seconds = killed_run(recipe, folder / "ray", nodes, questions=count,
                                        workers=workers, every=options.every)  # fmt: skip
            account: dict[str, object] = {}
        else:
            teacher: dict[str, object] = {
                "model": "openai:chaos", "api_key_env": None, "concurrency": CONCURRENCY,
            }  # fmt: skip
            with chaos_process(folder, Habits(share=0.0), name="calm") as (url, _):
                alone = write_recipe(folder, "alone", {**teacher, "base_url": url}, count)
                begun = time.monotonic()
                assert generate(alone).wait() == 0
                alone_seconds = time.monotonic() - begun
                port = int(url.rpartition(":")[2].partition("/")[0])
            habits = Habits(share=0.1, kinds=PASSING, latency=0.1, calm_after=6)
            with chaos_process(folder, habits, port=port) as (url, log):
                recipe = write_recipe(folder, "ray", {**teacher, "base_url": url}, count)
                small = spent(folder / "alone") // 2
                command = generate(recipe, *on(nodes, workers), "--set", f"budget.tokens={small}")
                refused = command.wait()
                billed_small, after_small = billed(log), spent(folder / "ray")
                assert refused == 2, (folder / "commands.log").read_text()
                kills, seconds = killed_run(recipe, folder / "ray", nodes, questions=count,
                                            workers=workers, every=options.every)  # fmt: skip
                events = read_events(log)
            account = {
                "budget_of_the_first_command": small,
                "billed_by_then": billed_small,
                "counted_by_then": after_small,
                "billed": billed(log),
                "counted": spent(folder / "ray"),
                "tries": sum(event["what"] == "asked" for event in events),
                "bought_again": bought_again(events),
                "in_flight_at_most": CONCURRENCY,
            }
    lost = [event for event in worker_events(folder / "ray") if event["status"] == "lost"]
    reasons = sorted({event["message"] for event in lost})
    equal = rows(folder / "ray", COMPLETIONS) == rows(folder / "alone", COMPLETIONS)
    return {
        "teacher": options.teacher, "questions": count, "workers": workers,
        "a_worker_is_killed_every_seconds": options.every,
        **kills._asdict(),
        "workers_lost": len(lost),
        "reasons": reasons,
        "samples_given_to_lost_workers": sum(event["samples"] for event in lost),
        "seconds": seconds,
        "seconds_of_one_process": round(alone_seconds, 1),
        "answered": len(rows(folder / "ray", "SELECT 1 FROM completions")),
        "store_is_that_of_one_process": equal,
        **account,
    }  # fmt: skip


def billed(log: Path) -> int:
    """Tokens that the server has billed so far."""
    return sum(event["tokens"] for event in read_events(log) if event["what"] == "billed")


# scaling ------------------------------------------------------------------------------------------


def processor_seconds(pid: int) -> float:
    """Seconds of a processor that a process has taken."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def scaled(folder: Path, nodes: Nodes, workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measures ``workers`` workers at a server that answers after ``options.latency`` seconds."""
    name = f"workers-{workers}"
    with serving(latency=options.latency, tokens=100) as server:
        teacher = {"model": "openai:mock", "base_url": server.url, "api_key_env": None,
                   "concurrency": options.concurrency * workers}  # fmt: skip
        recipe, run = write_recipe(folder, name, teacher, options.questions), folder / name
        command = generate(recipe, *on(nodes, workers))
        used, started = dict[int, float](), dict[int, float]()
        begun = driver = driver_first = seconds = 0.0
        first = last = 0
        while command.poll() is None:
            time.sleep(0.2)
            done = len(rows(run, "SELECT 1 FROM completions"))
            pids = at_work(run)
            if not begun and done > options.questions / 10 and len(pids) == workers:
                begun, first = time.monotonic(), done
                driver_first = processor_seconds(command.pid)
                started = {pid: processor_seconds(pid) for pid in pids}
            if begun and done < options.questions * 0.95:
                last, seconds = done, time.monotonic() - begun
                driver = processor_seconds(command.pid) - driver_first
                used = {pid: processor_seconds(pid) - started.get(pid, 0.0) for pid in pids}
        assert command.wait() == 0, (folder / "commands.log").read_text()
    answers = last - first
    return {
        "workers": workers,
        "in_flight": options.concurrency * workers,
        "answers_a_second": round(answers / seconds, 1),
        "most_by_latency": round(options.concurrency * workers / options.latency, 1),
        "driver_ms_an_answer": round(1000 * driver / answers, 2),
        "worker_ms_an_answer": round(1000 * sum(used.values()) / answers, 2),
        "driver_cores": round(driver / seconds, 2),
        "all_workers_cores": round(sum(used.values()) / seconds, 2),
    }


def scaling(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The figures of 1, 2 and 4 workers."""
    with cluster(2) as nodes:
        return {
            "questions": options.questions,
            "latency": options.latency,
            "rows": [scaled(folder, nodes, workers, options) for workers in (1, 2, 4)],
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["losses", "scaling"])
    parser.add_argument("--teacher", choices=["chaos", "bundled"], default="chaos")
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--latency", type=float, default=1.0, help="of scaling, in seconds")
    parser.add_argument("--concurrency", type=int, default=128, help="of scaling, a worker")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="ray-cluster-"))
    try:
        found = {"losses": losses, "scaling": scaling}[options.what](options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = {**facts("ray"), **found}
    print(json.dumps(results, indent=2))
    if options.json is not None:
        write_results(options.json, results)


if __name__ == "__main__":
    main()
