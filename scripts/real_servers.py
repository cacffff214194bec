"""potstill with three real servers of one small model, each as teacher and as student.

For vLLM, llama.cpp's server and ``transformers serve``, all serving SmolLM2-135M-Instruct on this
machine: the table of what each was found to do, then generate with kill -9 in the middle, curate,
two steps of training, evaluate, guide, and the guided server with the same server on both sides.
``scripts/get_real_servers.sh FOLDER`` brings the programs and the model into a folder, without a
hub. The outcome goes to ``benchmarks/results/real-servers.json`` and ``.md``.

The clients of scripts/real_clients.py are run against the guided server in front of llama.cpp.

usage: python scripts/real_servers.py FOLDER [--only vllm | --only clients]
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import yaml
from real_clients import ALONE, STUDENT, TOKENIZER, all_clients

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
POTSTILL = [sys.executable, "-m", "potstill"]
READY_SECONDS = 300.0
STEP_SECONDS = 900.0
CONTEXT = 2048

Json = dict[str, Any]

_PATH = re.compile(r"(?<!/)/(?!/)(?:[\w.@-]+/)+[\w.@-]*")
"""A path on this machine, which is nobody else's."""


class RealServer(NamedTuple):
    """One program, and how it is started and asked."""

    name: str
    version: str
    command: Callable[[int], list[str]]
    """From the port to the command line."""

    model: str
    """The model's name at it."""

    health: str
    environment: Mapping[str, str]


def real_servers(folder: Path) -> list[RealServer]:
    """The three, as scripts/get_real_servers.sh leaves them."""
    model, gguf = folder / "SmolLM2-135M", folder / "SmolLM2-135M.gguf"
    vllm, llama = folder / "vllm" / "bin" / "vllm", folder / "llama-server"
    transformers = folder / "transformers" / "bin" / "transformers"
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
           "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip
    return [
        RealServer(
            "llama.cpp",
            _version(folder / "llama-server.version"),
            lambda port: [str(llama), "-m", str(gguf), "--port", str(port), "--jinja", "-a", "smol",
                          "--ctx-size", str(4 * CONTEXT), "-np", "4", "--threads", "1"],
            "smol", "/health", {},
        ),
        RealServer(
            "transformers serve",
            _version(folder / "transformers.version"),
            lambda port: [str(transformers), "serve", str(model), "--port", str(port)],
            str(model), "/health", offline,
        ),
        RealServer(
            "vLLM",
            _version(folder / "vllm.version"),
            lambda port: [str(vllm), "serve", str(model), "--port", str(port), "--enforce-eager",
                          "--max-model-len", str(CONTEXT), "--max-num-seqs", "16",
                          "--served-model-name", "smol"],
            "smol", "/health", offline | cpu,
        ),
    ]  # fmt: skip


def _version(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else "unknown"


# processes ---------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(
    command: list[str], health: str, environment: Mapping[str, str], log: Path
) -> Iterator[float]:
    """A server's process until the block ends; yields the seconds until it was ready."""
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not _answers(health):
            if process.poll() is not None or time.monotonic() - begin > READY_SECONDS:
                raise SystemExit(f"{command[0]} does not start; see {log}")
            time.sleep(0.2)
        yield time.monotonic() - begin
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def potstill(*words: object) -> Json:
    """One command of potstill: its status, seconds and last lines."""
    begin = time.monotonic()
    done = subprocess.run(
        [*POTSTILL, *map(str, words)], capture_output=True, text=True, timeout=STEP_SECONDS
    )
    lines = [line.rstrip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return {
        "status": done.returncode,
        "seconds": round(time.monotonic() - begin, 1),
        "lines": [_PATH.sub("PATH", line)[:300] for line in lines[-8:]],
    }


# one server --------------------------------------------------------------------------------------


def recipe(server: RealServer, url: str, model: Path, work: Path, **changes: Any) -> Path:
    """The recipe of a run that takes a few minutes on two cores."""
    teacher = {"model": f"openai:{server.model}", "base_url": url, "api_key_env": None,
               "concurrency": 4, "chat_template": str(model)}  # fmt: skip
    values: Json = {
        "run": str(work / "run"), "teacher": teacher, "student": "bundled:student",
        "task": {"name": "two_step_arithmetic", "train": 6, "dev": 3, "test": 3},
        "generate": {"samples": 2, "max_tokens": 64},
        "curate": {"right_answer": False},
        "train": {"steps": 2},
        "evaluate": {"max_tokens": 64},
        "guide": {"policies": ["first", {"first_n": 2}], "routing": False, "draws": 0,
                  "bootstrap": 100},
    }  # fmt: skip
    file = work / "recipe.yaml"
    file.write_text(yaml.safe_dump({**values, **changes}))
    return file


def stored(run: Path) -> int:
    """How many completions a run's store holds, while it is written too."""
    if not (run / "run.sqlite").is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM completions").fetchone()[0])
    except sqlite3.Error:
        return 0


def killed(file: Path, run: Path) -> Json:
    """Generate, killed by SIGKILL once some completions are stored, and repeated."""
    process = subprocess.Popen([*POTSTILL, "generate", str(file)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    until = time.monotonic() + STEP_SECONDS
    while stored(run) < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = stored(run)
    again = potstill("generate", file)
    kept = any(f"{before:,} already there" in line for line in again["lines"])
    return {**again, "stored_at_the_kill": before, "asked_again": 0 if kept else None}


def capabilities(run: Path) -> dict[str, str]:
    """What was found, from the run's store."""
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        return dict(db.execute("SELECT name, value FROM capabilities ORDER BY rowid"))


@contextmanager
def alone(work: Path) -> Iterator[dict[str, str]]:
    """The bundled student served alone; yields what its clients have to know."""
    port, file = free_port(), work / "alone.yaml"
    file.write_text(yaml.safe_dump({"student": "bundled:student", "port": port}))
    health = f"http://127.0.0.1:{port}/healthz"
    with running([*POTSTILL, "serve", str(file)], health, {}, work / "alone.log"):
        tokenizer = ROOT / "src" / "potstill" / "models" / "bundled" / "student"
        yield {
            ALONE: f"http://127.0.0.1:{port}/v1",
            STUDENT: "bundled:student",
            TOKENIZER: str(tokenizer),
        }


@contextmanager
def guided(server: RealServer, url: str, model: Path, work: Path) -> Iterator[int]:
    """The guided server with this server on both sides; yields its port."""
    side = {"model": f"openai:{server.model}", "base_url": url, "api_key_env": None,
            "chat_template": str(model)}  # fmt: skip
    port, file = free_port(), work / "serve.yaml"
    values = {"student": side, "teacher": side, "port": port, "temperature": 0, "max_tokens": 48,
              "teacher_limits": {"seconds": 60}, "limits": {"seconds": 300}}  # fmt: skip
    file.write_text(yaml.safe_dump(values))
    health = f"http://127.0.0.1:{port}/healthz"
    with running([*POTSTILL, "serve", str(file)], health, {}, work / "serve.log"):
        yield port


def served(server: RealServer, url: str, model: Path, work: Path) -> Json:
    """What the guided server answers, plainly and guided by two policies."""
    outcome: Json = {}
    with guided(server, url, model, work) as port:
        for policy in ("never", "first", {"first_n": 2}):
            begin = time.monotonic()
            outcome[str(policy)] = _ask(port, f"openai:{server.model}", policy)
            outcome[str(policy)]["seconds"] = round(time.monotonic() - begin, 1)
    return outcome


def _ask(port: int, model: str, policy: object) -> Json:
    question = "Ana has 3 boxes of 12 pens and gives away 7. How many are left?"
    turns = [{"role": "user", "content": question}]
    body = {"model": model, "messages": turns, "guidance": policy}
    request = Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
                      {"Content-Type": "application/json"})  # fmt: skip
    try:
        with urlopen(request, timeout=300) as response:
            answer = json.loads(response.read())
    except URLError as error:
        content = error.read().decode() if hasattr(error, "read") else str(error)
        return {"status": getattr(error, "code", 0), "error": content[:300]}
    return {
        "status": 200,
        "text": answer["choices"][0]["message"]["content"][:200],
        "potstill": answer["potstill"],
    }


def measure(server: RealServer, folder: Path, work: Path) -> Json:
    """Everything with one server."""
    model = folder / "SmolLM2-135M"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    with running(
        server.command(port), root + server.health, server.environment, work / "server.log"
    ) as ready:
        file = recipe(server, f"{root}/v1", model, work)
        outcome: Json = {"version": server.version, "ready_seconds": round(ready, 1)}
        outcome["check"] = potstill("check", file)
        outcome["capabilities"] = capabilities(work / "run")
        ignores = outcome["capabilities"].get("temperature") == "ignored"
        if ignores:  # the recipe of two samples is refused, as it should be
            outcome["refused"] = potstill("generate", file)
            file = recipe(server, f"{root}/v1", model, work,
                          generate={"samples": 1, "max_tokens": 64})  # fmt: skip
        outcome["generate, killed and repeated"] = killed(file, work / "run")
        for stage in ("curate", "train", "evaluate", "guide", "report"):
            outcome[stage] = potstill(stage, file)
            print(f"{server.name}: {stage} {outcome[stage]['status']}", flush=True)
        outcome["serve"] = served(server, f"{root}/v1", model, work)
    return outcome


def clients(server: RealServer, folder: Path, work: Path) -> list[Json]:
    """The outcome of every unchanged client against the guided server in front of this server."""
    work.mkdir(parents=True, exist_ok=True)
    model, port = folder / "SmolLM2-135M", free_port()
    root = f"http://127.0.0.1:{port}"
    with (
        running(server.command(port), root + server.health, server.environment, work / "s.log"),
        guided(server, f"{root}/v1", model, work) as own,
        alone(work) as student,
    ):
        url = f"http://127.0.0.1:{own}/v1"
        return all_clients(folder / "clients", url, f"openai:{server.model}", student)


# results -----------------------------------------------------------------------------------------


def page(results: Json) -> str:
    """The results as a page of Markdown."""
    servers = list(results["servers"])
    head = "| | " + " | ".join(servers) + " |\n|---|" + "---|" * len(servers)
    rows = [_row("version", results, lambda one: one["version"])]
    rows.append(_row("ready after, s", results, lambda one: one["ready_seconds"]))
    names = results["servers"][servers[0]]["capabilities"] if servers else ()
    rows += [_row(f"`{name}`", results, _capability(name)) for name in names]
    stages = ["check", "generate, killed and repeated", "curate", "train", "evaluate", "guide",
              "report"]  # fmt: skip
    rows += [_row(stage, results, _stage(stage)) for stage in stages]
    for policy in ("never", "first", "{'first_n': 2}"):
        rows.append(_row(f"serve, {policy}", results, _policy(policy)))
    machine = results["machine"]
    return (
        "# Real servers\n\n"
        f"`make real-servers` on {results['day']}: {machine}. SmolLM2-135M-Instruct as "
        "teacher of the bundled student, and on both sides of the guided server. A "
        "stage's cell is its exit status and its seconds, which other work on the machine makes "
        "longer. Status 2 of check: two samples are more than a server can do that ignores the "
        "temperature; the recipe is refused and goes on with one.\n\n"
        + "\n".join([head, *rows]) + "\n" + _clients_table(results.get("clients", []))
    )  # fmt: skip


def _clients_table(lines: list[Json]) -> str:
    if not lines:
        return ""
    rows = [
        f"| {line['client']} {line['version']} | {line['check']} | "
        f"{'passed' if line['passed'] else 'FAILED: ' + line['outcome'][:120].replace('|', '/')} |"
        for line in lines
    ]
    head = "| client | check | |\n|---|---|---|"
    return f"\n## Unchanged clients\n\n{head}\n" + "\n".join(rows) + "\n"


def _row(label: str, results: Json, cell: Callable[[Json], object]) -> str:
    cells = [str(cell(one)) for one in results["servers"].values()]
    return f"| {label} | {' | '.join(cells)} |"


def _capability(name: str) -> Callable[[Json], object]:
    return lambda one: one["capabilities"].get(name, "")


def _stage(stage: str) -> Callable[[Json], object]:
    def cell(one: Json) -> str:
        done = one[stage]
        kept = f", {done['stored_at_the_kill']} kept" if "stored_at_the_kill" in done else ""
        return f"{done['status']}, {done['seconds']} s{kept}"

    return cell


def _policy(policy: str) -> Callable[[Json], object]:
    def cell(one: Json) -> str:
        done = one["serve"][policy]
        return f"{done['status']}, {done['seconds']} s"

    return cell


def write(results: Json) -> None:
    """Write the results, and their page."""
    content = _PATH.sub("PATH", json.dumps(results, indent=1))
    (RESULTS / "real-servers.json").write_text(content + "\n")
    (RESULTS / "real-servers.md").write_text(page(results))


def main() -> None:
    """Measure one server or all, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="made by scripts/get_real_servers.sh")
    parser.add_argument("--only", help="one of the servers, by the beginning of its name")
    options = parser.parse_args()
    folder = options.folder.resolve()
    file = RESULTS / "real-servers.json"
    results: Json = json.loads(file.read_text()) if file.is_file() else {"servers": {}}
    results["day"] = time.strftime("%Y-%m-%d")
    python = platform.python_version()
    results["machine"] = f"{os.cpu_count()} cores, {platform.system()}, Python {python}"
    for server in real_servers(folder):
        if not options.only or server.name.startswith(options.only):
            work = folder / "work" / server.name.replace(" ", "-")
            results["servers"][server.name] = measure(server, folder, work)
            write(results)
    if options.only in (None, "clients"):
        results["clients"] = clients(real_servers(folder)[0], folder, folder / "work" / "clients")
        write(results)
    print(page(results))


if __name__ == "__main__":
    main()
