"""Real clients, unchanged, against ``potstill serve``: does what their users do with them work?

Each client is installed in an environment of its own with its version pinned, and its driver in
``client_drivers/`` takes a few steps. It asks the bundled student, guided by the bundled teacher
and alone, and a scripted student behind a server for what the bundled one cannot write, such as
calls of tools.

    python benchmarks/clients.py                      # all of them; prints the table
    python benchmarks/clients.py --only openai dspy
    python benchmarks/clients.py --write              # and writes results/clients.md
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from peers.environments import CACHE, Peer, PeerError, interpreter, versions

HERE = Path(__file__).parent
DRIVERS = HERE / "client_drivers"
RESULTS = HERE / "results" / "clients.md"
STUDENT_FOLDER = HERE.parent / "src" / "potstill" / "models" / "bundled" / "student"

OPENAI = "openai==3.54.0"
CLIENTS = {
    "openai": Peer("use_openai", (OPENAI,)),
    "litellm": Peer("use_litellm", ("litellm==1.110.2",)),
    "langchain": Peer("use_langchain", ("langchain-openai==1.7.4",)),
    "llama-index": Peer("use_llama_index", ("llama-index-llms-openai-like==0.8.1",)),
    "dspy": Peer("use_dspy", ("dspy==3.4.1",)),
    "instructor": Peer("use_instructor", ("instructor==1.17.0",)),
    "inspect": Peer("use_inspect", ("inspect_ai==0.3.285", OPENAI)),
    "lm-eval": Peer("use_lm_eval", ("lm_eval[api,hf]==0.4.13", "torch==2.13.0")),
}
"""The clients by their name in the table."""

STARTING = 120.0
"""Seconds that a server may take to be ready."""

DRIVING = 600
"""Seconds that a driver may take."""


HEAD = """# Clients of the guided server

Written by `python benchmarks/clients.py --write`.

"""


class Outcome(NamedTuple):
    """A step of a client."""

    client: str
    version: str
    step: str
    failure: str | None


@contextmanager
def scripted_student() -> Iterator[str]:
    """A scripted student in a process of its own; yields its address."""
    process = subprocess.Popen(
        [sys.executable, str(DRIVERS / "scripted_student.py")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


@contextmanager
def served(*settings: str) -> Iterator[str]:
    """``potstill serve`` in a process of its own; yields its address.

    Args:
        settings: As ``--set`` takes them, beside the name and the port.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = HERE / "client_drivers" / "serve.yaml"
    options = [part for each in (*settings, f"port={port}") for part in ("--set", each)]
    process = subprocess.Popen(
        [sys.executable, "-m", "potstill", "serve", str(config), *options],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + STARTING
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("potstill serve is not ready") from None
            time.sleep(0.2)


def outcomes_of(name: str, environment: dict[str, str], *, cache: Path, log: Path) -> list[Outcome]:
    """The outcomes of a client's steps; one alone where it cannot be installed or ends early.

    Args:
        name: Which client.
        environment: Environment variables that its driver reads.
        cache: The folder of the environments.
        log: Takes what the driver writes to standard error.
    """
    client = CLIENTS[name]
    version = client.requirements[0].rpartition("=")[2]
    try:
        python = interpreter(client, cache)
        version = next(iter(versions(python, client).values()))
        with log.open("a", encoding="utf-8") as errors:
            done = subprocess.run(
                [str(python), str(DRIVERS / f"{client.driver}.py")],
                stdout=subprocess.PIPE, stderr=errors, text=True, timeout=DRIVING,
                env={**os.environ, **environment}, check=False,
            )  # fmt: skip
    except (PeerError, subprocess.TimeoutExpired) as error:
        return [Outcome(name, version, "all", str(error))]
    lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("STEP ")]
    steps: list[dict[str, Any]] = [json.loads(line) for line in lines]
    found = [Outcome(name, version, each["step"], each["failure"]) for each in steps]
    if done.returncode:
        found.append(Outcome(name, version, "to its end", f"it ended with {done.returncode}"))
    return found


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a table in Markdown."""
    rows = ["| client | version | step | outcome |", "|---|---|---|---|"]
    for outcome in outcomes:
        words = " ".join((outcome.failure or "works").split()).replace("|", "\\|")[:200]
        rows.append(f"| {outcome.client} | {outcome.version} | {outcome.step} | {words} |")
    return "\n".join(rows)


def main() -> None:
    """Ask by each client, and show what came of it; exit code 1 where a step failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--cache", type=Path, default=CACHE, help="holds the environments")
    parser.add_argument("--write", action="store_true", help="write results/clients.md")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="the clients' errors")
    asked = parser.parse_args()
    with (
        scripted_student() as upstream,
        served("teacher=bundled:teacher") as guided,
        served() as alone,
        served(
            f"student={{model: 'openai:scripted', base_url: '{upstream}', api_key_env: null}}"
        ) as scripted,
    ):
        environment = {
            "GUIDED_URL": guided, "ALONE_URL": alone, "SCRIPTED_URL": scripted,
            "OPENAI_API_KEY": "none", "STUDENT_FOLDER": str(STUDENT_FOLDER), "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(DRIVERS),
        }  # fmt: skip
        outcomes = [
            outcome
            for name in asked.only
            for outcome in outcomes_of(name, environment, cache=asked.cache, log=asked.log)
        ]
    page = table(outcomes)
    sys.stdout.write(page + "\n")
    if asked.write:
        RESULTS.write_text(f"{HEAD}{page}\n", encoding="utf-8")
    sys.exit(any(outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    main()
