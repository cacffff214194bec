"""The server and the bookkeeping that the generation benchmark's figures rest on."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """``mock_server`` and ``peers.job``, importable while the test runs."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield import_module("mock_server"), import_module("peers.job")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def asked(url: str, question: int, **settings: object) -> Any:
    body = {"messages": [{"role": "user", "content": f"[q{question}] How many?"}], **settings}
    request = urllib.request.Request(f"{url}/chat/completions", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_samples_asked_for_together_and_one_by_one_are_the_same(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    with modules[0].serving() as server:
        together = asked(server.url, 2, n=4)["choices"]
        assert server.stats()["sustained"] == 0  # of one moment there is no rate
        singly = [asked(server.url, 18)["choices"][0] for _ in range(4)]  # 16 on: the same texts
        stats = server.stats()
    texts = [[choice["message"]["content"] for choice in each] for each in (together, singly)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 4
    assert (stats["answered"], stats["samples"], stats["turns"]) == (5, 8, 2)


def test_one_question_in_ten_is_cut_off_by_a_small_limit(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    with modules[0].serving(tokens=20) as server:
        reasons = [
            asked(server.url, number, max_tokens=20)["choices"][0]["finish_reason"]
            for number in range(20)
        ]
        longer = asked(server.url, 7, max_tokens=40)
        stats = server.stats()
    assert [number for number, reason in enumerate(reasons) if reason == "length"] == [7, 17]
    assert longer["choices"][0]["finish_reason"] == "stop"
    assert longer["usage"]["completion_tokens"] == 40
    assert stats["tokens"] == 20 * 20 + 40


def test_colliding_alternatives_differ_in_their_bytes(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    with modules[0].serving(tokens=100) as server:
        choice = asked(server.url, 1, logprobs=True, top_logprobs=5)["choices"][0]
    positions = [each["top_logprobs"] for each in choice["logprobs"]["content"]]
    texts = [len({entry["token"] for entry in each}) for each in positions]
    names = [len({bytes(entry["bytes"]) for entry in each}) for each in positions]
    assert names == [5] * 100
    assert [place for place, count in enumerate(texts) if count == 4] == list(range(0, 100, 20))


def test_a_connection_that_is_gone_is_not_served(modules: tuple[ModuleType, ModuleType]) -> None:
    with modules[0].serving(latency=0.2) as server:
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{server.url}/completions", data=b"{}", timeout=0.05)
        asked(server.url, 1)
        stats = server.stats()
    assert (stats["received"], stats["answered"]) == (2, 1)


def test_missing_and_repeated_answers_are_counted(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    job_module = modules[1]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(f'{{"q": "[q{n}]", "a": "42"}}\n' for n in range(3)))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"12345")
    job = job_module.Job("", str(questions), str(tmp_path / "kept"), samples=2)
    rows = [job_module.Kept(f"asked: [q{number}]", named=3) for number in (0, 0, 0, 2)]
    told = job_module.told(job, lambda _: rows, "**/*")
    del told["seconds_to_open"]
    assert told == {"rows": 4, "missing": 3, "duplicates": 1, "named": 12, "bytes": 5}
