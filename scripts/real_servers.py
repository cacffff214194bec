"""potstill with three real servers of one small model, each as teacher and as student.

For vLLM, llama.cpp's server and ``transformers serve`` on this machine: the table of what each was
found to do, then generate with kill -9 in the middle, curate, two steps of training, evaluate,
guide and report, with SmolLM2-135M-Instruct as teacher behind the server and as the student that is
trained. Then the guided server with the same server on both sides, and with the trained student
served by it. ``scripts/get_real_servers.sh FOLDER`` brings the programs and the model into a
folder, without a hub. The outcome goes to ``benchmarks/results/real-servers.json`` and ``.md``;
what is not as it should be is told at the end, and the status is 1.

The clients of scripts/real_clients.py are run against the guided server in front of llama.cpp.

usage: python scripts/real_servers.py FOLDER [--only vLLM | --only clients]
"""

import argparse
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import yaml
from real_clients import ALONE, STUDENT, TOKENIZER, all_clients
from real_programs import (
    MODEL,
    RealServer,
    Serving,
    free_port,
    real_servers,
    running,
    serving,
)

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
POTSTILL = [sys.executable, "-m", "potstill"]
STEP_SECONDS = 900.0
"""Longest time of a command."""

STORED_AT_KILL = 2
"""Completions that are stored when generate is killed."""

POLICIES: tuple[Any, ...] = ("never", "first", {"first_n": 2})
"""The policies by which the guided server is asked."""

BOTH_SIDES, TRAINED = "serve", "serve, student trained"

Json = dict[str, Any]

_PATH = re.compile(r"(?<!/)/(?!/)(?:[\w.@-]+/)+[\w.@-]*")
"""A path on this machine, which is nobody else's."""


def potstill(*words: object) -> Json:
    """Returns what came of one command: its status, seconds and last lines."""
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


def recipe(served: Serving, model: Path, work: Path, **changes: Any) -> Path:
    """Writes the recipe of a run that takes a few minutes on two cores; returns its file."""
    teacher = {"model": f"openai:{served.model}", "base_url": served.url, "api_key_env": None,
               "concurrency": 4, "chat_template": str(model)}  # fmt: skip
    values: Json = {
        "run": str(work / "run"), "teacher": teacher, "student": f"hf:{model}",
        "task": {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2},
        "generate": {"samples": 2, "max_tokens": 96},
        "curate": {"right_answer": False},
        "train": {"steps": 2, "batch_size": 2, "checkpoints": 1, "precision": "bfloat16",
                  "students": {"rationales": {"data_format": "chat"}}},
        "evaluate": {"max_tokens": 48},
        "guide": {"policies": ["first", {"first_n": 2}], "routing": False, "draws": 0,
                  "bootstrap": 100},
    }  # fmt: skip
    file = work / "recipe.yaml"
    file.write_text(yaml.safe_dump({**values, **changes}))
    return file


def rows(run: Path, question: str) -> list[tuple[Any, ...]]:
    """Returns the rows of a run's store, while it is written too; none where there is no store."""
    if not (run / "run.sqlite").is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)) as db:
            return list(db.execute(question))
    except sqlite3.Error:
        return []


def killed(file: Path, run: Path) -> Json:
    """Generates, killed by SIGKILL once some completions are stored, and again."""
    stored = "SELECT id, text, created_at FROM completions"
    process = subprocess.Popen([*POTSTILL, "generate", str(file)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    until = time.monotonic() + STEP_SECONDS
    while len(rows(run, stored)) < STORED_AT_KILL and process.poll() is None:
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = rows(run, stored)
    again = potstill("generate", file)
    after = rows(run, stored)
    return {**again, "stored_at_the_kill": len(before), "stored": len(after),
            "kept_as_they_were": set(before) <= set(after)}  # fmt: skip


def guidance(run: Path, model: str) -> Json:
    """Returns how many questions were guided by each policy, and whose words the steps are.

    Args:
        run: The run's folder.
        model: The teacher's name at its server.
    """
    replies = [
        text for text, name in rows(
            run, "SELECT text, model FROM completions JOIN requests ON key = request_key"
        ) if name.startswith(f"openai:{model}@")
    ]  # fmt: skip
    given = rows(run, "SELECT name, number, guidance, teacher_tokens FROM guided_predictions "
                      "WHERE kind = 'policy'")  # fmt: skip
    outcome: Json = {}
    for name, number, text, tokens in given:
        policy = name if number is None else f"{name}_{number:g}"
        counts = outcome.setdefault(policy, {"questions": 0, "guided": 0, "by_the_server": 0})
        counts["questions"] += 1
        counts["guided"] += bool(text.strip()) and tokens > 0
        first = text.strip().split("\n")[0].strip()
        counts["by_the_server"] += bool(first) and any(first in reply for reply in replies)
    return outcome


def capabilities(run: Path) -> dict[str, str]:
    """Returns what was found, from the run's store."""
    return dict(rows(run, "SELECT name, value FROM capabilities ORDER BY rowid"))


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
def guided(student: Serving, teacher: Serving, model: Path, work: Path) -> Iterator[int]:
    """The guided server between two served models; yields its port."""
    port, file = free_port(), work / "serve.yaml"
    sides = {
        side: {"model": f"openai:{served.model}", "base_url": served.url, "api_key_env": None,
               "chat_template": str(model)}
        for side, served in (("student", student), ("teacher", teacher))
    }  # fmt: skip
    values = {**sides, "port": port, "temperature": 0, "max_tokens": 48,
              "teacher_limits": {"seconds": 60}, "limits": {"seconds": 300}}  # fmt: skip
    file.write_text(yaml.safe_dump(values))
    health = f"http://127.0.0.1:{port}/healthz"
    with running([*POTSTILL, "serve", str(file)], health, {}, work / "serve.log"):
        yield port


def asked(student: Serving, teacher: Serving, model: Path, work: Path) -> Json:
    """Returns what the guided server answers, plainly and guided by two policies.

    ``student_answers`` and ``teacher_answers`` are those that the servers themselves have logged;
    where one server is both sides, each holds all.
    """
    outcome: Json = {}
    with guided(student, teacher, model, work) as port:
        for policy in POLICIES:
            begin = time.monotonic()
            before = student.answers(), teacher.answers()
            answer = _ask(port, f"openai:{student.model}", policy)
            answer["seconds"] = round(time.monotonic() - begin, 1)
            answer["student_answers"] = student.answers() - before[0]
            answer["teacher_answers"] = teacher.answers() - before[1]
            outcome[str(policy)] = answer
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
    """Returns what came of everything with one server."""
    model = folder / MODEL
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with serving(server, model, work / "server.log") as served:
        outcome: Json = {"version": server.version, "ready_seconds": round(served.ready_seconds, 1)}
        _stages(served, model, work, outcome)
        outcome[BOTH_SIDES] = asked(served, served, model, work)
        trained = work / "run" / "model"
        outcome["trained student's files"] = sorted(path.name for path in trained.glob("*"))
        with serving(server, trained, work / "trained.log") as student:
            outcome[TRAINED] = asked(student, served, model, work)
    return outcome


def _stages(served: Serving, model: Path, work: Path, outcome: Json) -> None:
    """Runs the commands of a run, one after the other, into ``outcome``."""
    file, run, name = recipe(served, model, work), work / "run", served.server.name
    outcome["check"] = potstill("check", file)
    outcome["capabilities"] = capabilities(run)
    if outcome["capabilities"].get("temperature") == "ignored":
        # the recipe of two samples is refused, as it should be
        outcome["refused"] = potstill("generate", file)
        file = recipe(served, model, work, generate={"samples": 1, "max_tokens": 96})
    outcome["generate, killed and repeated"] = killed(file, run)
    for stage in ("curate", "train", "evaluate", "guide", "report"):
        before = served.answers()
        outcome[stage] = potstill(stage, file) | {"answers": served.answers() - before}
        print(f"{name}: {stage} {outcome[stage]['status']}", flush=True)
    outcome["guidance"] = guidance(run, served.model)
    outcome["report page"] = (run / "report.html").is_file()


def clients(server: RealServer, folder: Path, work: Path) -> list[Json]:
    """Returns what came of every unchanged client at the guided server in front of this server."""
    work.mkdir(parents=True, exist_ok=True)
    model = folder / MODEL
    with (
        serving(server, model, work / "server.log") as served,
        guided(served, served, model, work) as port,
        alone(work) as student,
    ):
        url = f"http://127.0.0.1:{port}/v1"
        return all_clients(folder / "clients", url, f"openai:{served.model}", student)


# results -----------------------------------------------------------------------------------------

STAGES = ("generate, killed and repeated", "curate", "train", "evaluate", "guide", "report")


def faults(results: Json) -> list[str]:
    """Returns what is not as it should be, a line each."""
    lines = []
    for name, outcome in results["servers"].items():
        lines += [f"{name}: {fault}" for fault in _faults_of(outcome)]
    for line in results.get("clients", []):
        if not line["passed"]:
            lines.append(f"{line['client']}, {line['check']}: {line['outcome'][:120]}")
    return lines


def _faults_of(outcome: Json) -> Iterator[str]:
    """Yields what is not as it should be with one server."""
    for stage in STAGES:
        if outcome[stage]["status"]:
            yield f"{stage} ended with {outcome[stage]['status']}: {outcome[stage]['lines'][-1:]}"
    if not outcome["generate, killed and repeated"]["kept_as_they_were"]:
        yield "what was stored at the kill was not kept"
    if not outcome["guidance"]:
        yield "no question was guided"
    for policy, counts in outcome["guidance"].items():
        if counts["by_the_server"] < counts["questions"]:
            yield f"guided by {policy}: {counts}"
    if not outcome["report page"]:
        yield "there is no report"
    for side in (BOTH_SIDES, TRAINED):
        yield from (f"{side}, {fault}" for fault in _served_faults(outcome[side]))


def _served_faults(answers: Json) -> Iterator[str]:
    """Yields what is not as it should be with what the guided server answered."""
    for policy, answer in answers.items():
        wanted = policy != "never"
        if answer["status"] != 200 or not answer["student_answers"]:
            yield f"{policy}: {answer}"
        elif answer["potstill"]["guidance"]["guided"] != wanted:
            yield f"{policy}: {answer['potstill']['guidance']}"
        elif wanted and not answer["teacher_answers"]:
            yield f"{policy}: guided, and the teacher's server has answered nothing"


def page(results: Json) -> str:
    """Returns the results as a page of Markdown."""
    servers = list(results["servers"])
    head = "| | " + " | ".join(servers) + " |\n|---|" + "---|" * len(servers)
    lines = [_row("version", results, lambda one: one["version"])]
    lines.append(_row("ready after, s", results, lambda one: one["ready_seconds"]))
    names = results["servers"][servers[0]]["capabilities"] if servers else ()
    lines += [_row(f"`{name}`", results, _capability(name)) for name in names]
    lines += [_row(stage, results, _stage(stage)) for stage in ("check", *STAGES)]
    for policy in ("first", "first_n_2"):
        lines.append(_row(f"guide, {policy}", results, _guided(policy)))
    for side in (BOTH_SIDES, TRAINED):
        lines += [_row(f"{side}: {policy}", results, _policy(side, policy)) for policy in POLICIES]
    return (
        "# Real servers\n\n"
        f"`make real-servers` on {results['day']}: {results['machine']}; potstill at "
        f"{results['commit']}. SmolLM2-135M-Instruct in bfloat16 is the teacher behind the server "
        "and the student that is trained, and stands on both sides of the guided server; then the "
        "trained student's `model/`, served by the same program, stands on the student's side. A "
        "cell is an exit or HTTP status and its seconds, which other work on the machine makes "
        "longer. Answers are those that the server itself has logged; tokens are the student's "
        "and the teacher's. Status 2 of check: "
        "two samples are more than a server can do that ignores the temperature; the recipe is "
        "refused and goes on with one.\n\n"
        + "\n".join([head, *lines]) + "\n" + _clients_table(results.get("clients", []))
    )  # fmt: skip


def _clients_table(lines: list[Json]) -> str:
    if not lines:
        return ""
    cells = [
        f"| {line['client']} {line['version']} | {line['check']} | "
        f"{'passed' if line['passed'] else 'FAILED: ' + line['outcome'][:120].replace('|', '/')} |"
        for line in lines
    ]
    head = "| client | check | |\n|---|---|---|"
    return f"\n## Unchanged clients\n\n{head}\n" + "\n".join(cells) + "\n"


def _row(label: str, results: Json, cell: Callable[[Json], object]) -> str:
    cells = [str(cell(one)) for one in results["servers"].values()]
    return f"| {label} | {' | '.join(cells)} |"


def _capability(name: str) -> Callable[[Json], object]:
    return lambda one: one["capabilities"].get(name, "")


def _stage(stage: str) -> Callable[[Json], object]:
    def cell(one: Json) -> str:
        done = one[stage]
        more = f", {done['answers']} answers" if done.get("answers") else ""
        if "stored_at_the_kill" in done:
            more = f", {done['stored_at_the_kill']} of {done['stored']} kept over the kill"
        return f"{done['status']}, {done['seconds']} s{more}"

    return cell


def _guided(policy: str) -> Callable[[Json], object]:
    def cell(one: Json) -> str:
        counts = one["guidance"].get(policy, {"by_the_server": 0, "questions": 0})
        return f"{counts['by_the_server']} of {counts['questions']} questions by the server's words"

    return cell


def _policy(side: str, policy: object) -> Callable[[Json], object]:
    def cell(one: Json) -> str:
        done = one[side][str(policy)]
        if done["status"] != 200:
            return f"{done['status']}, {done['seconds']} s"
        student, teacher = (
            done["potstill"][f"{who}_tokens"]["completion"] for who in ("student", "teacher")
        )
        return f"200, {done['seconds']} s, {student} + {teacher} tokens"

    return cell


def write(results: Json) -> None:
    """Write the results, and their page."""
    content = _PATH.sub("PATH", json.dumps(results, indent=1))
    (RESULTS / "real-servers.json").write_text(content + "\n")
    (RESULTS / "real-servers.md").write_text(_PATH.sub("PATH", page(results)))


def _commit() -> str:
    """Returns the commit of this tree; with a plus where the code was changed since."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "scripts")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def main() -> None:
    """Measure one server or all, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="made by scripts/get_real_servers.sh")
    parser.add_argument("--only", help="one of the servers, by the beginning of its name")
    options = parser.parse_args()
    folder = options.folder.resolve()
    file = RESULTS / "real-servers.json"
    results: Json = {"servers": {}}
    if options.only and file.is_file():
        results = json.loads(file.read_text())
    results |= {
        "day": time.strftime("%Y-%m-%d"), "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, "
                   f"Python {platform.python_version()}",
    }  # fmt: skip
    for server in real_servers(folder):
        if not options.only or server.name.startswith(options.only):
            work = folder / "work" / server.name.replace(" ", "-")
            results["servers"][server.name] = measure(server, folder, work)
            write(results)
    if options.only in (None, "clients"):
        results["clients"] = clients(real_servers(folder)[0], folder, folder / "work" / "clients")
        write(results)
    print(page(results))
    if wrong := faults(results):
        raise SystemExit("\n".join(["Not as it should be:", *wrong]))


if __name__ == "__main__":
    main()
