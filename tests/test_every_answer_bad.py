"""A server whose every answer is bad is not bought to the end, nor what nobody wrote paid for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from click.testing import CliRunner, Result
from loopback import Body, Fault, Loopback

from potstill.cli import main
from potstill.errors import ServerError
from potstill.models.openai import client
from potstill.models.openai.first_answers import (
    FIRST_AT_ONCE,
    SAME_FAILURES,
    SAME_REFUSALS,
    FirstAnswers,
    Vanguard,
)
from potstill.runtime.budget import Budget

QUESTIONS = 120
MOST = SAME_REFUSALS + FIRST_AT_ONCE
USAGE: Body = {"prompt_tokens": 40, "completion_tokens": 900}


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


def generate(folder: Path, server: Loopback, **settings: Any) -> Result:
    rows = [
        {"question": f"What is {n} times 7?", "answer": str(7 * n), "split": split}
        for n, split in enumerate(["train"] * QUESTIONS + ["dev", "test"])
    ]
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None,
               "prompt_price": 1.0, "completion_price": 10.0}  # fmt: skip
    values: Body = {
        "run": str(folder / "run"), "task": {"file": str(folder / "many.jsonl")},
        "teacher": teacher, "student": "bundled:student", "budget": {"usd": 5.0},
        "generate": {"samples": 2, "max_tokens": 1200},
    }  # fmt: skip
    for section, changes in settings.items():
        values[section] = {**values.get(section, {}), **changes}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return CliRunner().invoke(main, ["generate", str(folder / "recipe.yaml")])


def spent(folder: Path) -> float:
    return Budget(journal=folder / "run" / "spending.jsonl").spent.usd


def choices(*bad: Any) -> Fault:
    made = [{"index": n, **choice} for n, choice in enumerate(bad)]
    return Fault(payload=orjson.dumps({"choices": made, "usage": USAGE}))


def said(content: Any, **beside: Any) -> Body:
    return {"message": {"content": content, **beside}, "finish_reason": "stop"}


PAGE = Fault(payload=b"<!doctype html><html><body>Open WebUI</body></html>")
REFUSED = Fault(status=400, message="Unsupported parameter: 'max_tokens', request 1234abcd")
LM_STUDIO = Fault(payload=b'{"error": "Unexpected endpoint or method."}')


@pytest.mark.parametrize(
    ("fault", "sentence", "is_free"),
    [
        (REFUSED, "Unsupported parameter: 'max_tokens'", True),
        (PAGE, "web page", True),
        (LM_STUDIO, "Unexpected endpoint or method", False),
        (choices(said(5), said(5)), "not understood", False),
        (choices(said({"a": 1}), said({"a": 1})), "without a text", False),
        (choices(said(None), said(None)), "the server gave no text (finish", False),
        (choices(*[said("<think>never ends")] * 2), "gave thinking alone, and no answer", False),
        (choices(*[said("<think>ends</think>")] * 2), "gave thinking alone, and no answer", False),
        (choices(*[said("", reasoning_content="Hm.")] * 2), "gave thinking alone, and no", False),
        (choices(*[said("", tool_calls=[{"id": 1}])] * 2), "no text, only tool_calls (f", False),
        (choices(*[said(None, refusal="I cannot help.")] * 2), "'I cannot help.'", False),
    ],
    ids=[
        "refused",
        "page",
        "error",
        "number",
        "no_text",
        "null",
        "unclosed",
        "closed",
        "apart",
        "tool",
        "refusal",
    ],
)
def test_a_few_failures_of_one_kind_end_the_command(
    tmp_path: Path, fault: Fault, sentence: str, is_free: bool
) -> None:
    with Loopback() as server:
        server.faults = [fault] * 10_000
        result = generate(tmp_path, server)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "next:" not in result.output
    assert len(server.bodies) <= MOST, "not one request for each of 120 questions"
    assert (spent(tmp_path) == 0) is is_free
    assert spent(tmp_path) < 0.2


def test_those_that_wait_for_a_place_ask_no_server_that_was_given_up() -> None:
    first, asked = FirstAnswers(), 0
    vanguard = Vanguard(first)

    async def ask() -> None:
        nonlocal asked
        async with vanguard.place():
            asked += 1
            await asyncio.sleep(0)
            first.failed("no such model", refused=True)

    async def ask_all() -> list[object]:
        return await asyncio.gather(*[ask() for _ in range(50)], return_exceptions=True)

    ended = asyncio.run(ask_all())
    assert asked < SAME_REFUSALS + FIRST_AT_ONCE
    assert sum(isinstance(one, ServerError) for one in ended) == 50 - (SAME_REFUSALS - 1)


def test_probabilities_that_cannot_be_read_end_it_as_well(tmp_path: Path) -> None:
    odd = {**said("The answer is 42."), "logprobs": {"content": [{"top_logprobs": [7]}]}}
    with Loopback() as server:
        server.faults = [choices(odd)] * 1000
        result = generate(tmp_path, server, generate={"samples": 1, "top_logprobs": 3})
    assert result.exit_code == 2
    assert len(server.bodies) <= SAME_FAILURES + FIRST_AT_ONCE


def test_a_bad_start_and_then_good_answers_are_no_reason_to_end(tmp_path: Path) -> None:
    with Loopback() as server:
        server.faults = [REFUSED] * (SAME_REFUSALS - 1)
        result = generate(tmp_path, server)
    assert result.exit_code == 0, result.output
    assert "next: potstill curate" in result.output


def test_failures_after_a_success_do_not_end_it(tmp_path: Path) -> None:
    good = choices(said("The answer is 42."), said("The answer is 42."))
    with Loopback() as server:
        server.faults = [good, *[REFUSED] * 1000]
        result = generate(tmp_path, server)
    assert result.exit_code == 0, result.output
    assert "2 completions stored" in result.output


def test_fewer_questions_than_that_all_failed_is_no_success(tmp_path: Path) -> None:
    with Loopback() as server:
        server.faults = [REFUSED] * 1000
        result = generate(tmp_path, server, task={"train": 2})
    assert result.exit_code == 2
    assert "all of 4 samples failed" in result.output
    assert "Unsupported parameter" in result.output
    assert "next:" not in result.output


def test_a_topping_up_that_fails_leaves_what_is_there(tmp_path: Path) -> None:
    with Loopback() as server:
        assert generate(tmp_path, server, task={"train": 3}).exit_code == 0
        server.faults = [REFUSED] * 1000
        result = generate(tmp_path, server, task={"train": 4})
    assert result.exit_code == 0
    assert "6 already there, 2 failed" in result.output


def test_only_a_few_are_in_flight_until_one_was_answered(tmp_path: Path) -> None:
    with Loopback() as server:
        server.delay = 0.02
        generate(tmp_path, server, generate={"samples": 1}, task={"train": 12})
        first_answer = server.times[0] + server.delay
        assert sum(at < first_answer for at in server.times) == FIRST_AT_ONCE
        assert server.most_in_flight > FIRST_AT_ONCE


@pytest.mark.parametrize("train", [1, 3])
def test_fewer_questions_than_failures_that_end_it_are_no_success_either(
    tmp_path: Path, train: int
) -> None:
    with Loopback(lambda body: [""] * body.get("n", 1)) as server:
        result = generate(tmp_path, server, task={"train": train})
        assert result.exit_code == 2, result.output
        assert "without any text" in result.output and "next:" not in result.output
        again = generate(tmp_path, server, task={"train": train})
        assert again.exit_code == 2 and len(server.bodies) == train
