"""The same command on a Ray cluster of two nodes: its store is that of one process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos import bought_again, chaos_process, read_events
from chaos_wire import Habits
from click.testing import CliRunner
from commands import SHORT_BACKOFF, Commands, until
from test_kill import COMPLETIONS, LOSSES, rows, write_questions, write_recipe
from test_on_policy_kill import SCORED, SMALL, WRITTEN

from potstill.cli import main
from potstill.plan.run_status import run_status

CONCURRENCY = 16
SAMPLES = 2

STUDENT = SMALL["train"]["students"]["own"]
ON_POLICY: dict[str, Any] = SMALL | {
    "train": SMALL["train"] | {
        "steps": 4, "checkpoints": 1,
        "students": {
            "own": STUDENT | {"on_policy": STUDENT["on_policy"]
                              | {"steps_per_round": 2, "score": {"share": 0.5}}},
        },
    },
}  # fmt: skip
"""A student that learns from half of its own tokens, in two rounds."""


# without a cluster --------------------------------------------------------------------------------


def small_recipe(folder: Path, **sections: Any) -> Path:
    write_questions(folder / "questions.jsonl", 20)
    return write_recipe(folder, "run", questions=folder / "questions.jsonl", **sections)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("auto", "no Ray cluster runs here (run_on.address: auto). Start one with: ray start"),
        ("127.0.0.1:9", "no Ray cluster is at 127.0.0.1:9 (run_on.address"),
        ("ray://127.0.0.1:9", "ray start --head --ray-client-server-port=10001; or set"),
    ],
)
def test_a_missing_cluster_is_one_line_that_says_what_to_start(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # what auto takes before it looks around
    recipe = small_recipe(tmp_path, run_on={"engine": "ray", "address": address})
    told = CliRunner().invoke(main, ["generate", str(recipe)])
    assert told.exit_code == 2
    (line,) = [line for line in told.stderr.splitlines() if line.startswith("Error: ")]
    assert words in line


def test_without_ray_the_install_command_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("potstill.models.cluster.")]:
        if not name.endswith(".settings"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    told = CliRunner().invoke(main, ["generate", str(small_recipe(tmp_path)), "--on", "ray"])
    assert told.exit_code == 2
    assert "pip install 'potstill[ray]'" in told.stderr


def test_a_run_of_one_process_imports_no_ray(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, teacher=f"recorded:{tmp_path / 'recorded.jsonl'}")
    questions = map(json.loads, (tmp_path / "questions.jsonl").read_text().splitlines())
    recorded = [{"question": row["q"], "rationale": f"So {row['a']}."} for row in questions]
    lines = "".join(json.dumps(row) + "\n" for row in recorded)
    (tmp_path / "recorded.jsonl").write_text(lines)
    code = (
        "import sys; from potstill.cli import main\n"
        f"try: main(['generate', {str(recipe)!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'ray' not in sys.modules and 'potstill.models.cluster.worker' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("address", ["", "http://head:1", "head", "ray://head"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, run_on={"engine": "ray", "address": address})
    told = CliRunner().invoke(main, ["generate", str(recipe)])
    assert told.exit_code == 2 and "Give auto, local, HOST:PORT or ray://HOST:PORT" in told.stderr


def test_where_models_are_asked_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    from potstill.pipeline.recipe import load_recipe
    from potstill.pipeline.run import Run

    recipe = small_recipe(tmp_path)
    hashes = set()
    for changes in ([], ["run_on=ray"], ["run_on.engine=ray", "run_on.workers=3"]):
        with Run(load_recipe(recipe, changes)) as run:
            hashes.add(run.identity.recipe_hash)
            assert not run.identity.needs_consent
    assert len(hashes) == 1


# on a cluster -------------------------------------------------------------------------------------


class Cluster:
    """Two nodes of a Ray cluster on this machine, each with its processes."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
        self.nodes = Nodes(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        self.node = node
        self.nodes.add_node(**node)
        self.address = self.nodes.address


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Workers have a niceness of 15 by Ray's own choice: beside others' work they get no turn.
    os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"})
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    running = Cluster()
    for number, handler in before.items():  # a node takes them over, for all tests behind
        signal.signal(number, handler)
    yield running
    running.nodes.shutdown()


def worker_processes(run: Path) -> list[int]:
    """The processes of a run's workers that are there."""
    pids = [int(event["pid"]) for event in logged(run, "worker") if event["status"] == "ready"]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def asked_recipe(folder: Path, name: str, url: str, **sections: Any) -> Path:
    write_questions(folder / "questions.jsonl", 130)
    teacher = {"model": "openai:chaos", "base_url": url, "api_key_env": None,
               "concurrency": CONCURRENCY, "timeout": 20}  # fmt: skip
    generate = {"samples": SAMPLES, "max_tokens": 64, "prompt_style": "zero_shot_cot"}
    return write_recipe(
        folder, name, questions=folder / "questions.jsonl", teacher=teacher, generate=generate,
        **sections,
    )  # fmt: skip


def on(cluster: Cluster, *, workers: int = 2) -> list[str]:
    return ["--on", "ray", "--set", f"run_on.address={cluster.address}",
            "--set", f"run_on.workers={workers}"]  # fmt: skip


def stored(run: Path) -> int:
    if not (run / "run.sqlite").exists():
        return 0
    try:
        return len(rows(run, "SELECT 1 FROM completions"))
    except sqlite3.OperationalError:
        return 0


def logged(run: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.mark.slow
def test_workers_and_the_driver_are_killed_and_the_store_is_that_of_one_process(
    cluster: Cluster, commands: Commands, tmp_path: Path
) -> None:
    commands.before = SHORT_BACKOFF
    with chaos_process(tmp_path, Habits(share=0.0), name="calm") as (url, _):
        alone = asked_recipe(tmp_path, "alone", url)
        assert commands.run("generate", str(alone)) == 0
        port = int(url.rpartition(":")[2].partition("/")[0])
    habits = Habits(share=0.1, kinds={"429": 1, "503_after": 1, "reset_within": 1}, latency=0.15)
    with chaos_process(tmp_path, habits, port=port) as (url, log):
        recipe, run = (
            asked_recipe(tmp_path, "workers", url, budget={"tokens": 10**7}),
            tmp_path / "workers",
        )
        with commands.start("generate", str(recipe), *on(cluster)) as command:
            until(lambda: stored(run) > 30)
            os.kill(worker_processes(run)[0], signal.SIGKILL)
            until(lambda: len(logged(run, "worker")) > 5)
            command.kill()
        until(lambda: not worker_processes(run))
        assert commands.run("generate", str(recipe), *on(cluster)) == 0
        events = read_events(log)
    assert rows(run, COMPLETIONS) == rows(tmp_path / "alone", COMPLETIONS)
    lost = [event for event in logged(run, "worker") if event["status"] == "lost"]
    assert len(lost) == 1
    assert bought_again(events) <= lost[0]["samples"] + 2 * CONCURRENCY * SAMPLES
    billed = sum(event["tokens"] for event in events if event["what"] == "billed")
    spent = run_status(run).spent
    assert spent.tokens >= billed


@pytest.mark.slow
def test_a_file_of_texts_is_scored_by_workers_as_by_one_process(
    cluster: Cluster, commands: Commands, tmp_path: Path
) -> None:
    texts = [
        {"prompt": f"Question {number}: how many?\nA:", "text": f" There are {number * 7} pens."}
        for number in range(60)
    ]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    with chaos_process(tmp_path, Habits(share=0.0)) as (url, log):
        asked = ["score", "texts.jsonl", "--model", "openai:chaos", "--top", "3",
                 "--set", f"model.base_url={url}", "--set", "model.chat=false",
                 "--set", "model.api_key_env=null"]  # fmt: skip
        assert commands.run(*asked, "--out", "alone.jsonl") == 0
        assert commands.run(*asked, "--out", "workers.jsonl", *on(cluster)) == 0
        delivered = Counter(
            event["prompt"] for event in read_events(log) if event["what"] == "delivered"
        )
    alone, workers = (tmp_path / f"{name}.jsonl" for name in ("alone", "workers"))
    assert workers.read_bytes() == alone.read_bytes() and len(alone.read_text()) > 1000
    texts_of = [count for prompt, count in delivered.items() if prompt.startswith("Question ")]
    assert texts_of == [2] * 60, "once by each"


@pytest.mark.slow
def test_a_teacher_on_workers_scores_what_a_student_writes_here(
    cluster: Cluster, commands: Commands, tmp_path: Path
) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    results = []
    for name in ("alone", "workers"):
        recipe = write_recipe(
            tmp_path, name, questions=tmp_path / "questions.jsonl",
            teacher={"model": "bundled:teacher", "dtype": "float32"},
            student={"model": "bundled:student", "dtype": "float32"},
            store={"positions": "trained"}, **ON_POLICY,
        )  # fmt: skip
        where = on(cluster, workers=1) if name == "workers" else []
        for stage in ("generate", "curate", "train"):
            assert commands.run(stage, str(recipe), *where) == 0
        results.append([rows(tmp_path / name, query) for query in (WRITTEN, SCORED, LOSSES)])
    assert results[0] == results[1] and all(results[0])
    ready = [event for event in logged(tmp_path / "workers", "worker")
             if event["status"] == "ready"]  # fmt: skip
    assert len(ready) == 2, "one writes rationales, one scores; the student writes here"
    assert all(event["model"].startswith("bundled:teacher@") for event in ready)
