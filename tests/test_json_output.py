"""Every command prints one JSON document under --json, and nothing else on standard output."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import potstill.experiment.seeded_runs
from potstill.cli import main
from potstill.cli.documents import plain
from potstill.records import Amount, Policy, System

assert isinstance(main, click.Group)

QUESTIONS = [
    {"question": f"Tom has {n} pens and buys {n + 1}. How many?", "answer": str(2 * n + 1)}
    for n in range(3, 33)
]
RECIPE = {
    "run": "runs/sums",
    "task": {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2},
    "teacher": "bundled:teacher",
    "student": "bundled:student",
    "generate": {"samples": 1, "max_tokens": 64},
    "train": {"steps": 2, "batch_size": 2, "students": {"rationales": {}}},
    "evaluate": {"max_tokens": 8},
}
CASES: dict[str, list[str]] = {
    "run": ["sums.yaml"],
    # The demonstration's own recipe, changed to that of the run, which is done.
    "demo": [word for name in RECIPE for word in ("--set", f"{name}={json.dumps(RECIPE[name])}")],
    "init": ["q.jsonl", "--out", "first.yaml"],
    "check": ["runs/sums"],
    "plan": ["sums.yaml"],
    "advise": ["sums.yaml", "--rationales", "1"],
    "status": ["runs/sums"],
    "generate": ["sums.yaml"],
    "curate": ["sums.yaml"],
    "train": ["sums.yaml"],
    "evaluate": ["sums.yaml"],
    "guide": ["sums.yaml", "--set", "guide={policies: [first]}"],
    "report": ["sums.yaml"],
    "ask": ["runs/sums", "What is 2 + 2?"],
    "serve": ["runs/sums", "--set", "port=0"],
    "export-model": ["runs/sums", "--to", "vllm", "--out", "served"],
    "verify": ["runs/sums", "--folder", "runs/sums/model"],
    "export": ["runs/sums", "rows.jsonl"],
    "import": ["runs/sums", "rows.jsonl"],
    "join": ["runs/sums", "runs/sums-seed0", "--into", "joined"],
    "view": ["runs/sums", "--set", "port=0"],
    "push": ["runs/sums", "me/sums", "--to", "pushed"],
    "regrade": ["runs/sums"],
    "compare": ["runs/sums", "runs/sums-seed0"],
    "experiment": ["sums.yaml", "--seeds", "1"],
    "merge": ["runs/sums", "runs/sums-seed0", "--out", "merged", "--method", "average"],
    "fuse": ["runs/sums", "runs/sums-seed0", "--out", "merged", "--method", "average"],
    "clean": ["runs/sums", "--yes"],
    "tasks": [],
    "grade": ["answers.jsonl", "--task", "number"],
    "score": ["texts.jsonl", "--model", "bundled:student", "--out", "scored.jsonl"],
    "schema": [],
}
"""The arguments of every command, in an order in which each has what it needs."""

HOLDS = {
    "run": {"generate", "curate", "train", "evaluate", "report", "usd", "seconds", "model"},
    "init": {"recipe", "questions", "guesses", "next"},
    "check": {"folder", "faults", "notes", "completions"},
    "plan": {"run", "questions", "teachers", "asks", "usd", "faults"},
    "advise": {"groups", "advice", "cautions"},
    "status": {"stages", "spent", "next", "holder"},
    "generate": {"generate", "failures", "next"},
    "curate": {"curate", "next"},
    "train": {"train", "next"},
    "evaluate": {"evaluate", "next"},
    "guide": {"guide", "next"},
    "report": {"report"},
    "ask": {"question", "text", "finish_reason"},
    "serve": {"url", "model"},
    "export-model": {"folder", "files", "lines"},
    "verify": {"asked", "equal", "passed"},
    "export": {"file", "rows"},
    "import": {"stored", "there", "left_out"},
    "join": {"answers", "by_run", "spent"},
    "view": {"url"},
    "push": {"name", "folder"},
    "regrade": {"rationales", "predictions", "rationale_flips"},
    "compare": {"runs", "pairs", "recipe_differences", "cautions"},
    "experiment": {"command", "sums"},
    "merge": {"merged", "report", "scores"},
    "fuse": {"merged", "report", "scores"},
    "clean": {"superseded", "bytes", "removed"},
    "tasks": {"gsm8k", "two_step_arithmetic"},
    "grade": {"total", "correct", "no_answer"},
    "score": {"out", "rows", "scored", "failures"},
    "schema": {"properties"},
    "demo": {"generate", "curate", "train", "evaluate", "report"},
}
"""Some of what each document holds."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """Yields the result of each command; all of them work in one folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("documents"))
        Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
        Path("sums.yaml").write_text(yaml.safe_dump(RECIPE))
        answers = {"completion": "So it is 4. The answer is \x1b[2J\u202e4.", "answer": "4"}
        Path("texts.jsonl").write_text(json.dumps({"prompt": "2 + 2 =", "text": " 4"}) + "\n")
        Path("answers.jsonl").write_text(json.dumps(answers) + "\n")
        # The run of a seed is there already, and servers end as soon as they listen.
        patch.setattr(potstill.experiment.seeded_runs, "run_all", lambda *_: 0)
        found = {}
        for name, arguments in CASES.items():
            if name == "serve":
                patch.setattr("potstill.serve.server.Server.serve", ends)
            if name == "view":
                patch.setattr("potstill.view.page_server.ViewServer.serve", ends)
            found[name] = CliRunner().invoke(
                main, [name, *arguments, "--json"], catch_exceptions=False
            )
            if name == "run":
                shutil.copytree("runs/sums", "runs/sums-seed0")
        yield found


async def ends(*_: object) -> None:
    """A server that ends at once."""


def test_every_command_has_a_case() -> None:
    assert isinstance(main, click.Group)
    assert CASES.keys() == main.commands.keys() == HOLDS.keys()


@pytest.mark.parametrize("name", CASES)
def test_standard_output_is_one_document(name: str, documents: dict[str, Result]) -> None:
    done = documents[name]
    assert done.exit_code in ((0, 1) if name in ("check", "verify") else (0,)), done.stderr
    document = json.loads(done.stdout)
    assert HOLDS[name] <= document.keys()
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    if name not in ("schema", "serve", "view"):  # a server's lines are its log's
        assert done.stderr.strip()  # what people read is there all the same


def test_values_are_those_of_the_stages(documents: dict[str, Result]) -> None:
    run, again = (json.loads(documents[name].stdout) for name in ("run", "generate"))
    counts = run["generate"]["teacher"]["counts"]
    assert (counts["wanted"], counts["there"], counts["stored"]) == (4, 0, 4)
    assert again["generate"]["teacher"]["counts"]["there"] == 4
    assert run["curate"]["total"] == sum(run["curate"]["verdicts"].values()) == 4
    assert [one["step"] for one in run["train"]][-1] == 2
    tested = [one for one in run["evaluate"]["scores"] if one["split"] == "test"]
    assert {one["total"] for one in tested} == {2}
    assert run["evaluate"]["chosen"]["student"] == "rationales"


def test_a_run_ends_with_commands_that_work(documents: dict[str, Result]) -> None:
    run = json.loads(documents["run"].stdout)
    folder = "runs/sums"
    assert run["use"] == [
        f'potstill ask {folder} "QUESTION"',
        f"potstill serve {folder}",
        f"potstill verify {folder} --folder {folder}/model",
    ]
    for name in ("ask", "serve", "verify"):  # the cases are the same commands
        assert CASES[name][0] == folder and documents[name].exit_code in (0, 1)
    assert CASES["verify"] == [folder, "--folder", f"{folder}/model"]
    assert run["report"]["price"][0] == "not known"
    shown = documents["run"].stderr
    places = [shown.index(f"\n{word}") for word in ("price: ", "cost: ", "report: ", "student: ")]
    assert run["report"]["headline"] in shown[: places[0]]
    assert places == sorted(places)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_an_error_is_its_line_and_code_and_no_document(tmp_path: Path) -> None:
    failed = command("plan", str(tmp_path / "none.yaml"), "--json")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert failed.stderr.startswith("Error: ") and len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"demo", "tasks", "schema"}))
def test_a_mistake_leaves_standard_output_empty(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where none of the files is
    failed = command(name, *CASES[name], "--json")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert failed.stderr.startswith("Error: ")
    unknown = command(name, "--no-such-option", "--json")
    assert (unknown.exit_code, unknown.stdout) == (2, "") and "no-such-option" in unknown.stderr


def test_what_was_found_is_written_though_the_command_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lacking = {**RECIPE, "run": "runs/none", "student": "hf:nowhere/at-all"}
    Path("sums.yaml").write_text(yaml.safe_dump(lacking))
    planned = command("plan", "sums.yaml", "--json")
    assert planned.exit_code == 2 and "the run would stop" in planned.stderr
    assert json.loads(planned.stdout)["faults"]


def test_without_the_option_nothing_changes(documents: dict[str, Result]) -> None:
    shown = command("tasks")
    assert not shown.stderr and not shown.stdout.startswith("{")


class Odd(dict[str, Any]):
    """A mapping of somebody else's."""


def test_values_become_what_json_has() -> None:
    amount = Amount(tokens=3, usd=float("inf"))
    assert plain(amount) == {"tokens": 3, "usd": None}
    assert plain(System("rationales", step=4, taken=False)) == "rationales@4"
    assert plain({System("start"): Path("a/b"), 3: {2, 1}}) == {"start": "a/b", "3": [1, 2]}
    assert plain(Policy(kind="alone", name="never"))["name"] == "never"
    assert plain(Odd(a=(float("nan"), True, None))) == {"a": [None, True, None]}
