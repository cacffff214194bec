"""A real server, transformers serve, on a tiny model made on the spot: what it is found to do."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from click.testing import CliRunner
from tiny_models import build_tiny_causal

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.server_probes import PROBES, find_capabilities
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Request
from potstill.runtime import Runtime
from potstill.runtime.progress import Meter

SERVER = Path(sys.executable).parent / "transformers"
READY_SECONDS = 90.0

pytestmark = pytest.mark.slow
for package in ("fastapi", "uvicorn", "openai"):
    pytest.importorskip(package, reason="transformers serve needs transformers[serving]")
if not SERVER.is_file():
    pytest.skip(f"there is no {SERVER}", allow_module_level=True)


class Running(NamedTuple):
    """The server, and the model that it answers with."""

    url: str
    folder: Path

    def settings(self, **changes: Any) -> OpenAISettings:
        values = {"model": f"openai:{self.folder}", "base_url": self.url, "api_key_env": None}
        return OpenAISettings.model_validate({**values, **changes})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = build_tiny_causal(tmp_path_factory.mktemp("served") / "tiny", chat=True)
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder.parent / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SERVER, "serve", folder, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.skip(f"transformers serve does not start here: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield Running(f"http://127.0.0.1:{port}/v1", folder)
    finally:
        process.send_signal(signal.SIGKILL)  # SIGTERM waits for what is being written
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def test_what_it_can_do_is_found_out(server: Running) -> None:
    names = [probe.name for probe in PROBES if probe.name != "temperature"]
    found = find_capabilities(server.settings(), None, Runtime(), names)
    assert found == {
        "continuing": "none",
        "samples_at_once": "1",
        "logprobs": "0",
        "prompt_logprobs": "none",
        "token_ids": "no",
        "context": "unknown",
    }


def test_it_goes_on_from_a_begun_answer_by_its_completions_route(server: Running) -> None:
    settings = server.settings(chat_template=str(server.folder))
    found = find_capabilities(settings, None, Runtime(), ["continuing"])
    assert found == {"continuing": "template"}
    model = OpenAIModel(settings.model_copy(update={"prefill": "template"}))
    whole = Request(prompt="Anna has 3 apples.", max_tokens=8)
    [plain] = model.complete([whole])
    [begun] = model.complete([Request(prompt=whole.prompt, answer_prefix="3 + ", max_tokens=8)])
    assert plain.finish_reason != "error" and begun.finish_reason != "error"
    assert begun.prompt_tokens > plain.prompt_tokens


def recipe(folder: Path, server: Running, **settings: Any) -> Path:
    teacher = server.settings().model_dump(include={"model", "base_url", "api_key_env"})
    values: dict[str, Any] = {
        "run": str(folder / "run"), "teacher": teacher, "student": "bundled:student",
        "task": {"name": "two_step_arithmetic", "train": 6, "dev": 2, "test": 2},
    }  # fmt: skip
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**values, **settings}))
    return file


def test_guidance_that_it_cannot_give_is_refused_before_it_is_asked_a_question(
    tmp_path: Path, server: Running
) -> None:
    made = load_recipe(recipe(tmp_path, server, guide={"policies": [{"first_n": 2}]}))
    with Run(made, Meter(None)) as run:
        with pytest.raises(ConfigError, match="does not go on from an answer that is begun"):
            run.generate()
        assert run.store.pool_size(("generate",)) == 0


def test_rationales_are_asked_for_and_what_it_ignores_is_told(
    tmp_path: Path, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    generate = {"samples": 2, "max_tokens": 48}
    result = CliRunner().invoke(
        main, ["generate", str(recipe(tmp_path, server, generate=generate))]
    )
    assert result.exit_code == 0, result.output
    assert "12 completions stored" in result.output
    assert "gives 1 of several samples in one answer (n)" in caplog.text
    assert "the 2 samples of each of the first 5 questions are one text" in caplog.text
