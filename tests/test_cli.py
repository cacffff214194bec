import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from loopback import Loopback

import potstill.pipeline.run
from potstill.cli import main
from potstill.runtime import progress
from potstill.store import Store

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "src" / "potstill" / "models" / "bundled"

FLAGS = {
    "potstill": {"--version", "--help"},
    "ask": {"RUN", "QUESTION", "--quiet"},
    "curate": {"--on", "RECIPE", "--quiet", "--set"},
    "demo": {"--quiet", "--set"},
    "evaluate": {"--on", "RECIPE", "--quiet", "--set"},
    "export": {
        "RUN", "OUT", "--what", "--logprobs", "--stage", "--data-format", "--overwrite",
        "--quiet", "--student",
    },
    "export-model": {"RUN", "--to", "--out", "--dtype", "--quiet"},
    "generate": {"--on", "RECIPE", "--quiet", "--set", "--part"},
    "grade": {
        "FILE", "--task", "--text-field", "--gold-field", "--choices-field", "--question-field",
        "--verdict-field", "--rule", "--out", "--overwrite", "--quiet",
    },
    "guide": {"--on", "RECIPE", "--quiet", "--set"},
    "init": {"FILE", "--out", "--set"},
    "import": {
        "RUN", "FILE", "--question-field", "--id-field", "--rationale-field", "--answer-field",
        "--teacher", "--set", "--quiet",
    },
    "join": {"RUNS...", "--into", "--quiet"},
    "experiment": {
        "RECIPES", "--seeds", "--first-seed", "--against", "--jobs", "--per-seed", "--variant",
        "--out", "--set",
    },
    "merge": {"RUNS", "--out", "--method", "--set", "--quiet"},
    "check": {"WHAT", "--set", "--quiet"},
    "clean": {"RUN", "--yes", "--quiet"},
    "plan": {"--workers", "RECIPE", "--quiet", "--set", "--probe"},
    "advise": {"RECIPE", "--quiet", "--set", "--rationales"},
    "push": {
        "RUN", "OWNER/NAME", "--what", "--private", "--to", "--licence", "--language", "--logprobs",
        "--data-format", "--quiet",
    },
    "score": {"--on", 
        "FILE", "--model", "--prompt-field", "--text-field", "--top", "--ends", "--out", "--run",
        "--overwrite", "--set", "--quiet",
    },
    "regrade": {"RUN", "--quiet"},
    "report": {"RECIPE", "--quiet", "--set"},
    "run": {"--on", "RECIPE", "--quiet", "--set"},
    "schema": set(),
    "serve": {"RUN|CONFIG", "--set"},
    "status": {"RUN"},
    "view": {"RUN", "--set"},
    "compare": {"RUNS", "--out"},
    "tasks": {"NAME"},
    "train": {"--on", "RECIPE", "--quiet", "--set"},
    "verify": {
        "RUN", "--server", "--model", "--ollama", "--folder", "--questions", "--equal", "--quiet",
    },
}  # fmt: skip
"""Settings live in the recipe; a new flag needs a reason why it cannot. All have ``--json``."""

FORMER_NAMES = {"fuse": "merge"}
"""Commands that still work by the name they had, and are listed by their own alone."""

HEAVY = {"aiohttp", "jinja2", "numpy", "pydantic", "rich", "scipy", "torch", "transformers", "yaml"}

QUESTIONS = [
    {"question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
    for n, split in enumerate(["train", "train", "dev", "test"])
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are written below the working folder; no key of the person who tests is used.

    No line of progress comes before a refusal, however slow the machine is.
    """
    monkeypatch.setattr(progress, "FIRST_SECONDS", 300.0)
    monkeypatch.setattr(progress, "LINE_SECONDS", 300.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment(), capture_output=True, text=True, check=False
    )


def written(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def questions(*rows: dict[str, object]) -> str:
    return written("questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows or QUESTIONS))


def recipe(**sections: object) -> str:
    """A recipe on a file of four questions, with the sections given in place of its own."""
    values = {
        "task": {"file": questions()},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "seed": 0,
        "generate": {"samples": 1},
    }
    return written("sums.yaml", yaml.safe_dump(values | sections))


def potstill_cli(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def refused(*arguments: str) -> str:
    """Returns the one line that a refused command says; it exits with 2, without a traceback."""
    result = potstill_cli(*arguments)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith("\n")
    return result.stderr


# the command line itself -------------------------------------------------------------------------


def test_help_is_quick() -> None:
    def seconds() -> float:
        """Seconds of a processor that one call takes."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert python("-m", "potstill", "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from potstill.cli import main; main(['--help'], standalone_mode=False);"
        f"print([name for name in {sorted(HEAVY)} if name in sys.modules])"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


def test_commands_and_flags_are_these_and_no_others() -> None:
    assert isinstance(main, click.Group)
    found = {"potstill": {"--help", *(flag for each in main.params for flag in each.opts)}}
    for name, command in main.commands.items():
        found[name] = {
            flag
            for each in command.params
            for flag in (
                each.opts if isinstance(each, click.Option) else [each.human_readable_name]
            )
        }
    former = {name: FLAGS[command] for name, command in FORMER_NAMES.items()}
    assert found == {
        name: flags if name == "potstill" else flags | {"--json"}
        for name, flags in (FLAGS | former).items()
    }


def test_former_names_are_not_listed() -> None:
    assert isinstance(main, click.Group)
    listed = potstill_cli("--help").stdout
    for name, command in FORMER_NAMES.items():
        assert f"\n  {command} " in listed and f"\n  {name} " not in listed
        assert main.commands[name].callback is main.commands[command].callback
        assert potstill_cli(name, "--help").stdout.startswith(f"Usage: main {name} ")


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [[], *([name] for name in FLAGS if name != "potstill")])
def test_every_command_has_help(command: list[str], flag: str) -> None:
    result = potstill_cli(*command, flag)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Usage: ")


def test_the_version_is_told() -> None:
    try:
        version = metadata.version("potstill")
    except metadata.PackageNotFoundError:
        pytest.skip("potstill is not installed")
    assert version in potstill_cli("--version").stdout


def test_an_option_that_may_be_a_setting_is_answered_with_the_way_to_set_it() -> None:
    told = {
        command: CliRunner().invoke(main, [command, "none", "--port", "8000"])
        for command in ("view", "compare")
    }
    assert [result.exit_code for result in told.values()] == [2, 2]
    assert told["view"].stderr.endswith(
        "No such option '--port'. Settings are changed by --set, as in --set port=VALUE.\n"
    )
    assert "Settings" not in told["compare"].stderr


# recipes -----------------------------------------------------------------------------------------


def test_a_missing_recipe_is_named() -> None:
    assert "cannot read none.yaml: No such file" in refused("run", "none.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert "it holds no recipe.yaml" in refused("run", str(tmp_path))


def test_what_is_not_yaml_is_refused_with_its_line() -> None:
    message = refused("run", written("broken.yaml", "task: gsm8k\nteacher: [1\n"))
    assert "broken.yaml is not YAML" in message
    assert "line 3" in message


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"genrate": {}}, "unknown setting 'genrate'. Did you mean 'generate'?"),
        ({"generate": {"sampels": 1}}, "'generate.sampels'. Did you mean 'generate.samples'?"),
        (
            {"train": {"students": {"one": {"data_fromat": "fine_tune_cot"}}}},
            "'train.students.one.data_fromat'. Did you mean 'train.students.one.data_format'?",
        ),
        ({"train": {"lora": {"rnk": 4}}}, "'train.lora.rnk'. Did you mean 'train.lora.rank'?"),
        ({"task": {"nmae": "gsm8k"}}, "Did you mean 'task.name'?"),
        ({"task": "gsm8"}, "there is no task 'gsm8'. Did you mean 'gsm8k'?"),
        ({"evaluate": {"tasks": ["coin_tos"]}}, "Did you mean 'coin_toss'?"),
        ({"teacher": "hff:x"}, "the kind one of bundled, hf, openai, vllm, recorded."),
        ({"teacher": {"model": "openai:x", "base_ulr": "y"}}, "Did you mean 'teacher.base_url'?"),
        ({"student": "openai:x"}, "student is 'openai:x': "),
        ({"student": "bundled:studnet"}, "bundled:studnet"),
        ({"train": {"students": {"one": {"start": "openai:x"}}}}, "start is 'openai:x': "),
        ({"generate": {"samples": 4, "temperature": 0}}, "Raise generate.temperature"),
        ({"generate": {"prompt_style": "zero_shot_cott"}}, "there is no prompt style"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate is 'fast'"),
        ({"train": {"steps": 5, "epochs": 1}}, "steps and epochs are both given"),
        ({"train": {"students": {"one": {"data_format": "cot"}}}}, "there is no data format 'cot'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_with_the_right_one(
    sections: dict[str, object], message: str
) -> None:
    assert message in refused("generate", recipe(**sections))


def test_a_fault_inside_a_section_is_told_once() -> None:
    path = recipe(teacher={"model": "openai:x", "base_ulr": "y"})
    hint = "unknown setting 'teacher.base_ulr'. Did you mean 'teacher.base_url'?"
    assert refused("generate", path) == f"Error: sums.yaml: {hint}\n"


def test_several_wrong_settings_are_told_together() -> None:
    result = potstill_cli("generate", recipe(sede=1, tain={}))
    assert result.exit_code == 2
    assert [line.rpartition("Did you mean ")[2] for line in result.stderr.splitlines()] == [
        "'seed'?",
        "'train'?",
    ]


def test_a_misspelt_bundled_model_is_refused() -> None:
    assert "bundled:teacher" in refused("generate", recipe(teacher="bundled:techer"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "--set 'seed': give NAME=VALUE"),
        ("seed.x=1", "has no settings inside"),
        ("sede=1", "Did you mean 'seed'?"),
        ("generate.sampels=1", "Did you mean 'generate.samples'?"),
        ("train.students=[", "--set 'train.students=['"),
    ],
)
def test_a_wrong_change_is_refused(change: str, message: str) -> None:
    assert message in refused("generate", recipe(), "--set", change)


# questions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"qestion": "What is 1 + 1?", "answer": "2"}],
            "questions.jsonl, line 1: there is no column 'question'; there are 'qestion', "
            "'answer'. Did you mean question: qestion?",
        ),
        (
            [*QUESTIONS, {"question": "What is 9 + 9?", "answer": None, "split": "test"}],
            "questions.jsonl, line 5: the question has no answer.",
        ),
        (
            [*QUESTIONS, {"question": "What is 9 + 9?", "answer": "many", "split": "test"}],
            "line 5: ",
        ),
        (
            [*QUESTIONS, {"question": "What is 1 + 1?", "answer": "3", "split": "train"}],
            "Correct one of the two.",
        ),
        ([row for row in QUESTIONS if row["split"] != "dev"], "the dev split is empty"),
        ([row for row in QUESTIONS if row["split"] != "test"], "the test split is empty"),
    ],
)  # fmt: skip
def test_wrong_questions_are_refused_with_their_place(
    rows: list[dict[str, object]], message: str
) -> None:
    path = recipe()
    questions(*rows)
    assert message in refused("generate", path)


def test_a_broken_line_of_questions_is_named() -> None:
    path = recipe()
    with Path("questions.jsonl").open("a") as file:
        file.write('{"question": \n')
    assert "questions.jsonl, line 5: broken JSON" in refused("generate", path)


def test_a_missing_file_of_questions_is_named() -> None:
    path = recipe(task={"file": "none.jsonl"})
    assert "cannot read none.jsonl: No such file" in refused("generate", path)


def test_a_split_that_was_set_to_nothing_is_refused_with_its_use() -> None:
    message = refused("generate", recipe(task={"name": "coin_toss", "dev": 0}))
    assert "the dev split of coin_toss is empty, and the checkpoint is chosen on it" in message


# models ------------------------------------------------------------------------------------------


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(BUNDLED / "student" / name)
    message = refused("generate", recipe(teacher=f"hf:{folder}"))
    assert f"{folder} has no tokenizer" in message
    assert "save_pretrained" in message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert "none is not a folder" in refused("generate", recipe(teacher=f"hf:{tmp_path}/none"))


def test_a_broken_line_of_rationales_is_named() -> None:
    rows = ['{"question": "What is 0 + 0?", "rationale": "The answer is 0."}', '{"question": ', ""]
    path = written("bought.jsonl", "\n".join(rows))
    message = refused("generate", recipe(teacher=f"recorded:{path}"))
    assert "bought.jsonl, line 2: broken JSON" in message


def test_a_missing_column_of_rationales_is_named() -> None:
    path = written("bought.jsonl", '{"question": "What is 0 + 0?", "rational": "It is 0."}\n')
    message = refused("generate", recipe(teacher=f"recorded:{path}"))
    assert "line 1: no column 'rationale'" in message
    assert "Did you mean 'rational'?" in message


def server(url: str, **settings: object) -> dict[str, object]:
    return {"model": "openai:tutor", "base_url": url, "retries": 0, **settings}


def test_an_unreachable_server_is_named() -> None:
    with Loopback() as gone:
        url = gone.url
    message = refused("generate", recipe(teacher=server(url)))
    assert f"cannot reach {url}" in message
    assert "check base_url" in message


def test_a_missing_key_is_asked_for_before_any_work() -> None:
    message = refused("generate", recipe(teacher="openai:gpt-5-mini"))
    assert "set the environment variable OPENAI_API_KEY" in message


@pytest.fixture
def keyed() -> Iterator[Loopback]:
    with Loopback() as loopback:
        loopback.key = "the-right-key"
        yield loopback


def test_a_wrong_key_is_told_and_never_shown(
    keyed: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUTOR_KEY", "sk-wrong-4711")
    message = refused("generate", recipe(teacher=server(keyed.url, api_key_env="TUTOR_KEY")))
    assert "refused the key in TUTOR_KEY" in message
    assert "sk-wrong-4711" not in message
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-wrong-4711" not in path.read_bytes(), path


def test_a_server_that_wants_a_key_is_told_so(keyed: Loopback) -> None:
    assert "wants a key" in refused("generate", recipe(teacher=server(keyed.url, api_key_env=None)))


# the store ---------------------------------------------------------------------------------------


def test_a_store_held_by_another_process_is_told_with_that_process() -> None:
    path = recipe()
    hold = (
        "from pathlib import Path; from potstill.store import Store; import time;"
        "store = Store(Path('runs/sums/run.sqlite')); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], env=environment(), stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        message = refused("generate", path)
        holder.kill()
    assert f"runs/sums is being written by process {holder.pid}" in message


def test_a_report_of_no_run_is_refused() -> None:
    assert "there is no run at runs/sums" in refused("report", recipe())


def test_a_file_that_is_no_store_is_refused() -> None:
    path = recipe()
    Path("runs/sums").mkdir(parents=True)
    Path("runs/sums/run.sqlite").write_bytes(b"no database, whatever its name says" * 100)
    assert "is not a potstill store" in refused("generate", path)


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    path = recipe(run="questions.jsonl/run")
    assert "questions.jsonl/run" in refused("generate", path)


def test_curating_without_completions_says_what_to_do_first() -> None:
    path = recipe(teacher=bought())
    assert "potstill generate" in refused("curate", path)


def test_training_without_rationales_says_what_to_do_first() -> None:
    pytest.importorskip("torch")
    students = {"students": {"rationales": {}}, "steps": 1}
    message = refused("train", recipe(train=students))
    assert "Run potstill generate and potstill curate first" in message


def test_no_student_is_trained_when_another_has_nothing_to_learn() -> None:
    pytest.importorskip("torch")
    message = refused("train", recipe(train={"steps": 1}))
    assert "the student 'rationales' learns from rationales" in message
    assert not list(Path("runs/sums").rglob("*.safetensors"))


# what goes well, and what is a defect ------------------------------------------------------------


def bought() -> str:
    """A teacher of recorded rationales, one a question."""
    rows = [
        {"question": row["question"], "rationale": f"So it is. The answer is {row['answer']}."}
        for row in QUESTIONS
    ]
    return f"recorded:{written('bought.jsonl', ''.join(json.dumps(row) + chr(10) for row in rows))}"


def test_the_next_command_keeps_the_changes() -> None:
    changes = ["--set", "run=runs/other", "--set", "seed=1"]
    told = potstill_cli("generate", recipe(teacher=bought()), *changes).stdout
    assert f"next: potstill curate sums.yaml {' '.join(changes)}\n" in told


def test_the_stages_say_what_they_did_and_what_comes_next() -> None:
    path = recipe(teacher=bought())
    first = potstill_cli("generate", path)
    assert "generate: 2 completions stored, 0 already there" in first.stdout
    assert f"next: potstill curate {path}" in first.stdout
    assert "0 completions stored, 2 already there" in potstill_cli("generate", path).stdout
    curated = potstill_cli("curate", path)
    assert "of 2 rationales kept" in curated.stdout
    assert f"next: potstill train {path}" in curated.stdout
    assert potstill_cli("report", path).exit_code == 0
    assert Path("runs/sums/report.html").is_file()
    with Store(Path("runs/sums/run.sqlite"), read_only=True) as store:
        assert len(store.rationales()) == 2


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: potstill.pipeline.run.Run, part: object) -> None:
        raise LookupError("a defect of our own")

    monkeypatch.setattr(potstill.pipeline.run.Run, "generate", broken)
    result = potstill_cli("generate", recipe())
    assert result.exit_code == 1
    assert isinstance(result.exception, LookupError)


def test_a_process_shows_one_line_for_a_mistake_and_a_traceback_for_a_defect() -> None:
    mistake = python("-m", "potstill", "run", "none.yaml")
    assert mistake.returncode == 2
    assert mistake.stderr.startswith("Error: cannot read none.yaml: No such file or directory in ")
    assert mistake.stderr.count("\n") == 1
    code = (
        "import potstill.pipeline.recipe as r; r.load_recipe = lambda *_: 1 / 0\n"
        "from potstill.cli import main; main(['run', 'x.yaml'])"
    )
    defect = python("-c", code)
    assert defect.returncode == 1
    assert defect.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in defect.stderr


def test_ctrl_c_says_how_to_go_on() -> None:
    with Loopback() as loopback:
        loopback.delay = 1.0
        path = recipe(teacher=server(loopback.url))
        with subprocess.Popen(
            [sys.executable, "-m", "potstill", "generate", path],
            env=environment(), stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            while not loopback.bodies:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert process.stderr
            told = process.stderr.read()
    assert "Stopped. What has arrived is kept; go on with: potstill generate sums.yaml" in told
    assert "Traceback" not in told


def test_help_lists_every_command_with_a_whole_sentence() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert "..." not in shown.partition("Commands:")[2]
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_the_readmes_recipe_is_planned_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Quick start")[2].partition("\n## ")[0]
    texts = [block.partition("\n")[2] for block in section.split("```")[1::2]]
    (table,) = [text for text in texts if text.startswith("question,answer\n")]
    (recipe,) = [text for text in texts if text.startswith("task:")]
    header, row = table.splitlines()
    asked, _, answer = row.rpartition(",")
    rows = [f"{asked} ({n}),{answer}" for n in range(60)]
    monkeypatch.chdir(tmp_path)
    Path("pens.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    Path("pens.yaml").write_text(recipe, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(main, ["plan", "pens.yaml"], catch_exceptions=False)
    assert re.search(r"^generate  rationales +0 ", done.output, re.MULTILINE)
    assert re.search(r"^evaluate  pens test +0 ", done.output, re.MULTILINE)
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
