"""``vllm:`` models, with a stand-in for the command on the PATH: what is started is ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml
from click.testing import CliRunner
from fakes import context_of
from loopback import Body, Loopback
from tiny_models import byte_level_tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from potstill.cli import main
from potstill.errors import ConfigError, MissingExtraError, ModelError
from potstill.models import model_settings, open_model
from potstill.models.openai.trusted_positions import by_text
from potstill.models.settings import VLLMSettings
from potstill.models.vllm import launcher
from potstill.models.vllm.launcher import LaunchedServer, arguments
from potstill.models.vllm.model import VLLMModel
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.sampling.ask import SampleCounts, complete_missing
from potstill.serve.http_upstream import open_upstream
from potstill.store import Store

FAKE = Path(__file__).parent / "fake_vllm.py"
ASKED = [Request(prompt=f"What is {n} + 1?", samples=(0, 1), temperature=0.7) for n in range(3)]

Behave = Callable[..., None]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes.jsonl"


@pytest.fixture
def behave(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> Behave:
    """Puts the stand-in on the PATH, and says how it behaves from then on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "vllm"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(launcher, "HEALTH_POLL_SECONDS", 0.02)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # of servers without a run's folder

    def say(**habits: object) -> None:
        monkeypatch.setenv("FAKE_VLLM", json.dumps({"notes": str(notes), **habits}))

    say()
    return say


def model(control: Runtime | None = None, **settings: Any) -> VLLMModel:
    values = {"model": "vllm:some/model"} | settings
    return VLLMModel(VLLMSettings.model_validate(values), control)


def starts(notes: Path) -> list[dict[str, Any]]:
    if not notes.exists():
        return []
    return [orjson.loads(line) for line in notes.read_bytes().splitlines()]


def alive(notes: Path) -> list[int]:
    """The processes that still run, zombies aside, of all that were started."""
    found = []
    for start in starts(notes):
        for pid in start["pids"]:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
            except FileNotFoundError:
                continue
            if state != "Z":
                found.append(pid)
    return found


def gone(notes: Path, seconds: float = 15.0) -> bool:
    """Whether all that was started ends in time."""
    until = time.monotonic() + seconds
    while alive(notes) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(notes)


def test_answers_are_stored_and_the_server_ends(
    behave: Behave, notes: Path, tmp_path: Path
) -> None:
    behave(delay=0.5)
    teacher = open_model(model_settings("vllm:some/model", at="teacher"), Runtime())
    assert isinstance(teacher, VLLMModel)
    assert not notes.exists()  # nothing is started before it is asked
    with Store(tmp_path / "run.sqlite") as store:
        counts = complete_missing(
            teacher, ASKED, context_of(store), label="asking", stage="generate"
        )
        assert counts == SampleCounts(wanted=6, there=0, stored=6, failed=0)
        found = [each.completion for one in ASKED for each in store.completions(teacher.name, one)]
    assert len(found) == 6
    assert {each.cost for each in found} == {0.0}
    assert len(alive(notes)) == 2
    teacher.close()
    assert not alive(notes)


def test_one_server_serves_until_the_run_has_it_rest(behave: Behave, notes: Path) -> None:
    control = Runtime()
    teacher = model(control)
    first = list(teacher.complete(ASKED[:1]))
    list(teacher.complete(ASKED[1:]))
    assert len(starts(notes)) == 1
    control.release()
    assert not alive(notes)
    again = list(teacher.complete(ASKED[:1]))
    one, two = starts(notes)
    assert [each.text for each in again] == [each.text for each in first]
    assert one["port"] != two["port"]
    control.close()
    assert not alive(notes)


def test_a_model_that_is_let_go_takes_its_server_with_it(behave: Behave, notes: Path) -> None:
    teacher = model()
    list(teacher.complete(ASKED))
    del teacher
    assert gone(notes)


def test_the_server_ends_when_asking_fails(behave: Behave, notes: Path) -> None:
    def broken() -> Any:
        yield ASKED[0]
        raise ValueError("the caller's own fault")

    with pytest.raises(ValueError, match="own fault"):
        list(model().complete(broken()))
    assert starts(notes)
    assert not alive(notes)


def test_a_server_that_does_not_listen_is_killed(
    behave: Behave, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "GRACE", 0.3)
    behave(deaf=True)
    teacher = model()
    list(teacher.complete(ASKED))
    teacher.close()
    assert not alive(notes)


SCRIPT = """
import os, signal, sys
from potstill.models.settings import VLLMSettings
from potstill.models.vllm.model import VLLMModel
from potstill.records import Request
teacher = VLLMModel(VLLMSettings(model="vllm:some/model"))
assert len(list(teacher.complete([Request(prompt="a")]))) == 1
if sys.argv[1] == "fork" and os.fork() == 0:
    signal.pause()
print("asked", flush=True)
if sys.argv[1] in ("wait", "fork"):
    signal.pause()
if sys.argv[1] == "raise":
    raise RuntimeError("a bug")
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["end", "raise", "wait", "fork"])
def test_the_server_ends_with_the_process_that_started_it(
    behave: Behave, notes: Path, how: str
) -> None:
    """``fork``: a child of the process lives on, and holds what it had open."""
    command = [sys.executable, "-c", SCRIPT, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asked\n"
        if how in ("wait", "fork"):
            assert len(alive(notes)) == 2
            process.kill()
        process.wait(60)
        try:
            assert gone(notes)
        finally:
            if how == "fork":
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_server_ends_when_its_parent_is_killed_while_it_starts(
    behave: Behave, notes: Path
) -> None:
    behave(delay=3600)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, "end"])
    while not alive(notes):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert gone(notes)


def test_the_workers_of_a_server_that_was_killed_end_too(behave: Behave, notes: Path) -> None:
    teacher = model()
    list(teacher.complete(ASKED))
    server, worker = alive(notes)
    os.kill(server, signal.SIGKILL)
    assert gone(notes), f"the worker {worker} is left"


def test_a_server_that_cannot_start_says_why(behave: Behave, notes: Path, tmp_path: Path) -> None:
    behave(dies="ValueError: no such model\x1b[31m")
    control = Runtime(events=EventLog(tmp_path / "run" / "log.jsonl"))
    with pytest.raises(ModelError) as raised:
        list(model(control).complete(ASKED))
    message = str(raised.value)
    assert message.startswith("vLLM could not serve some/model. The end of ")
    assert str(tmp_path / "run" / "vllm.log") in message
    assert "  INFO loading weights\n" in message
    assert "ValueError: no such model" in message
    assert "\x1b" not in message
    assert not alive(notes)
    control.close()
    events = [orjson.loads(line) for line in (tmp_path / "run/log.jsonl").read_bytes().splitlines()]
    assert [each["status"] for each in events] == ["starting", "ended"]


def test_the_wait_for_a_server_has_an_end(behave: Behave, notes: Path) -> None:
    behave(delay=3600)
    with pytest.raises(ModelError, match=r"not ready .* after 0.5 seconds; raise startup_seconds"):
        list(model(startup_seconds=0.5).complete(ASKED))
    assert not alive(notes)


def test_the_wait_for_a_server_is_shown_and_can_be_stopped(behave: Behave, notes: Path) -> None:
    behave(delay=3600)
    control = Runtime()
    seen = []

    def stop() -> None:
        while not control.events.notes:
            time.sleep(0.01)
        seen.append(dict(control.events.notes))
        control.stop.set()

    thread = threading.Thread(target=stop)
    thread.start()
    assert list(model(control).complete(ASKED)) == []
    thread.join()
    assert next(iter(seen[0].values())).startswith("vLLM starts some/model")
    assert not control.events.notes
    assert not alive(notes)


def test_a_server_that_dies_at_work_says_why(behave: Behave, notes: Path) -> None:
    behave(dies_after=1)
    teacher = model(retries=1, concurrency=1)
    with pytest.raises(ModelError, match=r"vllm:some/model has ended.(.|\n)*CUDA out of memory"):
        list(teacher.complete(ASKED * 20))
    assert gone(notes)


def test_without_the_command_the_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtraError, match=r"pip install 'potstill\[vllm\]'"):
        list(model().complete(ASKED))


def test_the_command_says_what_the_options_say(
    behave: Behave, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "somebody's")
    options = {
        "--tensor_parallel_size": 2,
        "enforce-eager": True,
        "enable-prefix-caching": False,
        "lora-modules": ["a=b", "c=d"],
        "rope-scaling": {"factor": 2.0},
        "generation-config": "auto",
        "disable-uvicorn-access-log": None,
    }
    teacher = model(options=options)
    list(teacher.complete(ASKED))
    teacher.close()
    [start] = starts(notes)
    assert start["key"] is None
    assert start["arguments"] == [
        "serve", "some/model", "--host", "127.0.0.1", "--port", str(start["port"]),
        "--generation-config", "auto", "--tensor-parallel-size", "2", "--enforce-eager",
        "--no-enable-prefix-caching", "--lora-modules", "a=b", "c=d",
        "--rope-scaling", '{"factor":2.0}',
    ]  # fmt: skip


def test_sampling_is_the_requests_alone() -> None:
    """Else vLLM would take what a request leaves out from the model's generation_config.json."""
    given = arguments(VLLMSettings(model="vllm:m"), 1)
    assert given[given.index("--generation-config") + 1] == "vllm"


@pytest.mark.parametrize("option", ["port", "--host", "api_key", "served-model-name"])
def test_options_by_which_the_server_is_reached_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="not for you to set"):
        model_settings({"model": "vllm:m", "options": {option: 1}}, at="teacher")


def test_the_name_tells_models_apart_and_nothing_else(tmp_path: Path) -> None:
    def name(**settings: Any) -> str:
        return model(**settings).name

    assert name() == "vllm:some/model"
    assert name(concurrency=3, options={"tensor-parallel-size": 8}) == name()
    others = [
        name(options={"quantization": "fp8"}),
        name(options={"dtype": "float16"}),
        name(options={"revision": "v2"}),
        name(body={"top_k": 20}),
        name(chat=False),
        name(model="vllm:other/model"),
    ]
    assert len({name(), *others}) == 7
    for place in ("one", "two"):
        folder = tmp_path / place / "model"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    one, two = (name(model=f"vllm:{tmp_path / place / 'model'}") for place in ("one", "two"))
    assert one == two
    assert one.startswith("vllm:model@")
    (tmp_path / "two" / "model" / "config.json").write_text('{"a": 1}')
    assert name(model=f"vllm:{tmp_path / 'two' / 'model'}") != one


def recipe_with(folder: Path, **sections: Any) -> list[str]:
    values: dict[str, Any] = {
        "run": str(folder / "run"), "student": "bundled:student",
        "task": {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2},
        "teacher": {"model": "vllm:some/model", "options": {"max-model-len": 600}},
        "generate": {"samples": 2, "max_tokens": 64},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values | sections))
    return ["generate", str(folder / "recipe.yaml")]


@pytest.mark.parametrize(
    ("habits", "sections", "words"),
    [
        ({"goes_on": False}, {"guide": {"policies": [{"first_n": 2}]}},
         "guide.policies: first_n_2 needs more than vllm:some/model was found to do: it does not"),
        ({"lists": 0}, {"generate": {"top_logprobs": 5}},
         "generate.top_logprobs: 5 needs more than vllm:some/model was found to do: it gives no"),
        ({}, {"generate": {"max_tokens": 600}},
         "generate.max_tokens: 600 needs more than vllm:some/model was found to hold"),
    ],
    ids=["begun", "probabilities", "context"],
)  # fmt: skip
def test_what_its_server_cannot_do_is_refused_before_a_question_is_asked(
    behave: Behave, notes: Path, tmp_path: Path, habits: dict[str, Any], sections: dict[str, Any],
    words: str,
) -> None:  # fmt: skip
    behave(**habits)
    command = recipe_with(tmp_path, **sections)
    for _ in range(2):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2
        assert words in done.output
        assert not alive(notes)
    assert len(starts(notes)) == 1, "what was found is kept"
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        assert store.pool_size(("generate",)) == 0


def test_what_its_server_can_do_is_found_by_the_start_that_writes(
    behave: Behave, notes: Path, tmp_path: Path
) -> None:
    behave(lists=5)
    command = recipe_with(tmp_path, generate={"top_logprobs": 5, "max_tokens": 64},
                          guide={"policies": [{"first_n": 2}]})  # fmt: skip
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert len(starts(notes)) == 1
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0 and len(starts(notes)) == 1


def test_without_the_command_what_is_stored_is_found_all_the_same(
    behave: Behave, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = recipe_with(tmp_path)
    assert CliRunner().invoke(main, command).exit_code == 0
    with Store(tmp_path / "run" / "run.sqlite") as store:
        store._db.execute("DELETE FROM capabilities")  # as a run of an older version has none
    monkeypatch.setattr(launcher, "EXECUTABLE", "no-such-command")
    assert CliRunner().invoke(main, command).exit_code == 0


# token names -------------------------------------------------------------------------------------

EURO = "€".encode()


def by_ids(vocabulary: dict[str, int], body: Body) -> list[Any]:
    """The pieces of a character, named by text or by ids as vLLM does."""
    if body.get("return_tokens_as_token_ids"):
        letters = bytes_to_unicode()
        names = [f"token_id:{vocabulary[letters[byte]]}" for byte in EURO]
    else:
        names = ["", "", EURO.decode()]
    content = [
        {"token": name, "bytes": list(name.encode()), "logprob": -0.5,
         "top_logprobs": [{"token": name, "bytes": list(name.encode()), "logprob": -0.5}]}
        for name in names
    ]  # fmt: skip
    message = {"content": EURO.decode()}
    return [{"message": message, "finish_reason": "stop", "logprobs": {"content": content}}]


@pytest.mark.parametrize("by_id", [True, False])
def test_pieces_of_a_character_have_their_own_bytes_by_their_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_id: bool
) -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").touch()
    body = {} if by_id else {"return_tokens_as_token_ids": False}
    with Loopback(partial(by_ids, tokenizer.get_vocab())) as server:
        asked = model(model=f"vllm:{tmp_path}", body=body, retries=0)
        port = int(server.url.rsplit(":", 1)[1].removesuffix("/v1"))
        monkeypatch.setattr(
            LaunchedServer, "start", lambda own, stop=None: own._program.asked(port)
        )
        [found] = asked.complete([Request(prompt="What is the sign?", top_logprobs=1)])
    tokens = found.logprobs
    assert tokens is not None and tokens.lengths is not None, found.error
    assert found.text == "€"
    if by_id:
        assert tokens.token_bytes == b"".join(bytes([byte, byte]) for byte in EURO)
        assert tokens.lengths.tolist() == [[1, 1]] * 3
        assert by_text(tokens) == 0 and (tokens.logprobs == -0.5).all()
    else:  # the last piece has the whole name, and no probability
        assert by_text(tokens) == 1 and tokens.token_bytes == EURO
        assert not np.isfinite(tokens.logprobs[-1]).any()


def test_the_guided_server_starts_and_ends_its_own(behave: Behave, notes: Path) -> None:
    settings = model_settings("vllm:some/model", at="teacher")
    teacher = open_upstream(settings)

    async def ask_once() -> list[Completion]:
        await teacher.start()
        assert await teacher.ready()
        try:
            return await teacher.answer(Request(prompt="2 + 3?", samples=(0, 1)))
        finally:
            await teacher.close()

    assert [each.finish_reason for each in asyncio.run(ask_once())] == ["stop", "stop"]
    assert len(starts(notes)) == 1
    assert not alive(notes)


@pytest.mark.slow
def test_a_recipe_may_name_it_as_the_teacher(
    behave: Behave, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(
        "task: {name: two_step_arithmetic, train: 6, dev: 4, test: 4}\n"
        "teacher: {model: 'vllm:some/model', options: {max-model-len: 2048}}\n"
        "student: bundled:student\n"
        "generate: {samples: 2}\n"
    )
    done = CliRunner().invoke(main, ["generate", "recipe.yaml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(starts(notes)) == 1
    assert not alive(notes)
    with Store(Path("runs/recipe/run.sqlite"), read_only=True) as store:
        assert store.spent().usd == 0
    assert "INFO loading weights" in Path("runs/recipe/vllm.log").read_text()
    again = CliRunner().invoke(main, ["generate", "recipe.yaml"], catch_exceptions=False)
    assert again.exit_code == 0
    assert len(starts(notes)) == 1  # all is there: no server is started for nothing
