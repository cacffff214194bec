"""Bounds on a client's memory, its choice of a proxy, and files that a killed process leaves."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from potstill.errors import ConfigError
from potstill.models.openai import client
from potstill.models.openai.client import LONG_ANSWER, LONG_AT_ONCE, proxy_for, read_content

SERVER = "https://api.example.org/v1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        for spelled in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(spelled, raising=False)


@pytest.mark.parametrize(
    ("environment", "server", "proxy"),
    [
        ({}, SERVER, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, SERVER, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, SERVER, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, SERVER, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://box:8000/v1", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:1"}, SERVER, "http://proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "example.org"}, SERVER, None),
        ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "*"}, SERVER, None),
        ({"ALL_PROXY": "http://proxy:1"}, "http://127.0.0.1:8000/v1", None),
        ({"HTTP_PROXY": "http://proxy:1"}, "http://localhost:8000/v1", None),
        ({"HTTP_PROXY": "http://proxy:1"}, "http://[::1]:8000/v1", None),
    ],
)
def test_proxies_of_the_environment_are_honoured(
    environment: dict[str, str], server: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(server) == proxy


def test_a_proxy_of_another_kind_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy:1080")
    with pytest.raises(ConfigError, match=r"socks5://\.\.\. for api\.example\.org") as refused:
        proxy_for(SERVER)
    assert "secret" not in str(refused.value)


def test_long_answers_have_a_common_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONG_ANSWER", 100)
    reading = most = 0

    class Content:
        async def iter_any(self) -> AsyncIterator[bytes]:
            nonlocal reading, most
            yield b"x" * 90
            yield b"x" * 20
            reading += 1
            most = max(most, reading)
            for _ in range(5):
                await asyncio.sleep(0)
                yield b"x" * 50
            reading -= 1

    async def read_all() -> list[bytes]:
        large = asyncio.Semaphore(LONG_AT_ONCE)
        response: Any = SimpleNamespace(content=Content())
        return await asyncio.gather(*(read_content(response, large) for _ in range(40)))

    assert {len(body) for body in asyncio.run(read_all())} == {360}
    assert most == LONG_AT_ONCE
    assert LONG_ANSWER > 100


KILLED = """
import os, signal, sys
from pathlib import Path
from potstill.whole_files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nothing_of_a_file(tmp_path: Path, number: int) -> None:
    (tmp_path / "rows.jsonl").write_text("former")
    words = [sys.executable, "-c", KILLED, str(tmp_path / "rows.jsonl"), str(int(number))]
    subprocess.run(words, check=False, env=os.environ)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert (tmp_path / "rows.jsonl").read_text() == "former"
