"""``potstill serve`` from the command line, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

from potstill.cli import main as main_command

SERVED = """
student: {model: "openai:tiny", base_url: "http://127.0.0.1:9/v1", api_key_env: null}
port: 0
"""

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "fastapi":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from potstill.cli import main
main()
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main_command, ["serve", *arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "serve.yaml"
    file.write_text(SERVED, encoding="utf-8")
    return file


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address that it tells."""
    process = subprocess.Popen(
        [sys.executable, "-m", "potstill", "serve", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline().split()[-1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_its_port_and_stops_when_told(config: Path, sign: signal.Signals) -> None:
    with serving(str(config)) as (process, url):
        assert urlopen(url.replace("/v1", "/healthz")).status == 200
        process.send_signal(sign)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_clients_that_stay_do_not_keep_it_from_stopping(config: Path) -> None:
    with serving(str(config)) as (process, url):
        port = int(url.removesuffix("/v1").rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as silent,
            socket.create_connection(("127.0.0.1", port)) as begun,
        ):
            begun.sendall(b"POST /v1/chat/comp")
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert silent.recv(1) == b""


def test_what_is_wrong_is_told_in_one_line(config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = {
            (str(tmp_path / "none.yaml"),): "cannot read",
            (str(config), "--set", "porrt=3"): "unknown setting 'porrt'. Did you mean 'port'?",
            (str(config), "--set", "limits.secs=3"): "unknown setting 'limits.secs'",
            (str(config), "--set", "guidance=first"): "there is no teacher",
            (str(config), "--set", "host=0.0.0.0"): "no token is asked for",
            (str(config), "--set", f"port={port}"): f"port {port}: Address already in use",
        }
        for arguments, told in wrong.items():
            found = run(*arguments)
            assert (found.exit_code, found.stdout) == (2, "")
            assert found.stderr.startswith("Error: ") and found.stderr.count("\n") == 1
            assert told in found.stderr


def test_what_is_no_yaml_or_holds_no_settings_is_told(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    for content, told in (("student: [x", "is not YAML"), ("- x", "no settings"), ("", "no sett")):
        file.write_text(content, encoding="utf-8")
        found = run(str(file))
        assert found.exit_code == 2
        assert told in found.stderr and found.stderr.count("\n") == 1


@pytest.mark.parametrize(("run", "folder"), [("", "runs/sums"), ("run: of mine\n", "'of mine'")])
def test_a_recipe_is_told_to_be_one_with_the_run_to_serve(
    tmp_path: Path, run: str, folder: str
) -> None:
    recipe = tmp_path / "sums.yaml"
    recipe.write_text(f"{run}task: two_step_arithmetic\nteacher: bundled:teacher\n")
    result = CliRunner().invoke(main_command, ["serve", str(recipe)])
    assert result.exit_code == 2
    assert result.output == f"Error: {recipe} is a recipe. Serve its run: potstill serve {folder}\n"


def test_without_the_extra_the_command_that_installs_it_is_told(config: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT, "serve", str(config)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert found.returncode == 2
    assert "Install it with: pip install 'potstill[serve]'" in found.stderr
    assert found.stderr.count("\n") == 1
