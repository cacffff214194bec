"""Asking a server, side by side: potstill and the systems that its users would take instead.

Every system asks the same server (``mock_server.py``), which has a core of its own and answers
with bytes that are ready; the system runs on another core, in an environment of its own that is
made on first use (``peers/environments.py`` pins the versions), as its users run it: potstill
as a recipe and ``python -m potstill generate``. Bare loops on aiohttp and on the official SDK
stand beside them as what a client costs at least, and usually. Cases are in ``peers/cases.py``.

Systems take turns, in another order each round. Every figure is written when it is there, and
what is there is not measured again, so that the command can be stopped and repeated.

    python benchmarks/generation.py --only overhead,resume     # --help lists the cases
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from machine import facts, write_results
from mock_server import cores
from peers import cases
from peers.environments import CACHE, PEERS, PeerError, interpreter, versions
from peers.tables import tables

RESULTS = Path(__file__).with_name("results") / "generation.json"


class Case(NamedTuple):
    """One thing that is measured."""

    measure: Callable[[cases.Desk], cases.Figures]
    peers: tuple[str, ...]
    rounds: int
    """Fewer where one takes long."""


ALL = ("potstill", "aiohttp", "openai", "distilabel", "curator", "inspect", "lm-eval")
LISTED = ("potstill", "aiohttp", "openai", "distilabel", "inspect")
KEEPING = ("potstill", "distilabel", "curator", "inspect", "lm-eval", "lm-eval sampled")
TOPPED_UP = ("potstill", "curator", "inspect", "lm-eval")
VOTING = ("potstill", "potstill vote", "inspect", "lm-eval sampled")

CASES = {
    "overhead": Case(partial(cases.overhead, latency=0.0), ALL, 3),
    "overhead_50ms": Case(partial(cases.overhead, latency=0.05), ALL, 3),
    "throughput": Case(partial(cases.throughput, latency=0.0, requests=5_000), LISTED, 5),
    "throughput_1s": Case(partial(cases.throughput, latency=1.0, requests=15_360), LISTED, 3),
    "resume": Case(cases.resume, KEEPING, 3),
    "top_up": Case(cases.top_up, TOPPED_UP, 3),
    "probabilities": Case(cases.probabilities, LISTED, 3),
    "voting": Case(cases.voting, VOTING, 3),
    "memory": Case(cases.memory, ("potstill",), 3),
}


def plan(only: list[str], peers: list[str], rounds: int) -> Iterator[tuple[int, str, str]]:
    """Round, case and system, in the order of measuring.

    Args:
        only: Cases.
        peers: Systems.
        rounds: The rounds of each case; 0 for each case's own number.
    """
    for number in range(max(rounds or CASES[name].rounds for name in only)):
        for name in only:
            if number < (rounds or CASES[name].rounds):
                listed = [peer for peer in CASES[name].peers if peer in peers]
                turn = number % max(len(listed), 1)
                yield from ((number, name, peer) for peer in listed[turn:] + listed[:turn])


def measure(case: Case, peer: str, options: argparse.Namespace) -> dict[str, Any]:
    """One system in one case, with the load of the machine before; a failure is a figure too."""
    row: dict[str, Any] = {"load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%d %H:%M")}
    begun = time.monotonic()
    try:
        python = interpreter(PEERS[peer], options.cache)
        row["versions"] = versions(python, PEERS[peer])
        with tempfile.TemporaryDirectory(dir=options.scratch, ignore_cleanup_errors=True) as folder:
            row |= case.measure(cases.Desk(PEERS[peer], python, Path(folder), options.scale))
    except PeerError as error:
        row["error"] = str(error)
    return row | {"took_seconds": round(time.monotonic() - begun, 1)}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_listed(CASES), default=list(CASES), metavar="CASE,CASE")
    parser.add_argument("--peers", type=_listed(PEERS), default=list(PEERS), metavar="NAME,NAME")
    parser.add_argument("--rounds", type=int, default=0, help="of every case; its own by default")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual requests")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing after so long")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where figures are kept")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where environments are kept")
    parser.add_argument("--scratch", type=Path, help="where systems keep their answers")
    parser.add_argument("--tables", action="store_true", help="measure nothing, print what is kept")
    parser.epilog = f"cases: {', '.join(CASES)}\nsystems: {', '.join(PEERS)}"
    return parser.parse_args()


def _listed(known: dict[str, Any]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return split


def main() -> None:
    """Measure what is missing, and print the tables."""
    options = arguments()
    rows: list[dict[str, Any]] = []
    if options.json.exists():
        rows = json.loads(options.json.read_text())["rows"]
    done = {(row["round"], row["case"], row["peer"]) for row in rows}
    until = time.monotonic() + 60 * options.minutes
    wanted = [] if options.tables else plan(options.only, options.peers, options.rounds)
    os.sched_setaffinity(0, set(cores()[1:]))  # the other core is the system's
    for number, case, peer in wanted:
        if (number, case, peer) in done:
            continue
        if time.monotonic() > until:
            print("out of time; repeat the command for the rest")
            break
        row = measure(CASES[case], peer, options)
        rows.append({"round": number, "case": case, "peer": peer, "scale": options.scale, **row})
        machine = facts("aiohttp", "orjson", "numpy")
        write_results(options.json, {"machine": machine, "rows": rows})
        print(json.dumps(rows[-1]), flush=True)
    print(tables(rows))


if __name__ == "__main__":
    main()
