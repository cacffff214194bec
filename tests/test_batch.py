"""Asking through a batch endpoint, against a real server: what is bought is bought once."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from batches import BatchServer, Trouble, requests
from commands import Commands
from fakes import context_of
from loopback import CHOICE_TOKENS, scripted

from potstill.errors import AuthError, BudgetError, ModelError, ServerError
from potstill.models.openai import client
from potstill.models.openai.batch import submit
from potstill.models.openai.batch.endpoint import entries_in
from potstill.models.openai.batch.lines import BatchLine, line_of
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.events import EventLog
from potstill.sampling.ask import SampleCounts, complete_missing
from potstill.store import Store

ANSWER_TOKENS = 7 + 2 * CHOICE_TOKENS
"""Tokens of an answer with two samples."""

ASK_IN_BATCHES = "from batches import main; main()"


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


def model(server: BatchServer, control: Runtime | None = None, **settings: Any) -> OpenAIModel:
    values = {
        "model": "openai:tiny",
        "base_url": server.url,
        "api_key_env": None,
        "mode": "batch",
        "poll_seconds": 0.01,
    }
    return OpenAIModel(OpenAISettings.model_validate(values | settings), control)


def prompts_of(found: list[Completion]) -> list[tuple[str, int]]:
    return sorted((str(each.request.prompt), each.sample) for each in found)


def all_of(asked: list[Request]) -> list[tuple[str, int]]:
    return sorted((str(each.prompt), sample) for each in asked for sample in each.samples)


def store_all(teacher: OpenAIModel, path: Path, asked: list[Request]) -> SampleCounts:
    with Store(path) as store:
        return complete_missing(teacher, asked, context_of(store), label="asking", stage="generate")


def stored(path: Path, name: str, asked: list[Request]) -> list[tuple[object, ...]]:
    with Store(path) as store:
        found = [each.completion for one in asked for each in store.completions(name, one)]
    return [
        (each.request.prompt, each.sample, each.text, each.finish_reason, each.completion_tokens,
         each.prompt_tokens, each.thinking, each.error)
        for each in found
    ]  # fmt: skip


def once(server: BatchServer, samples: int) -> None:
    """Assert that ``samples`` samples were drawn in all, none twice."""
    server.finish_all()
    assert len(server.bought) == samples
    assert set(server.bought.values()) == {1}


def test_what_is_stored_is_what_asking_live_stores(server: BatchServer, tmp_path: Path) -> None:
    asked = requests(7)
    live, batch = model(server, mode="live"), model(server)
    assert live.name == batch.name
    store_all(live, tmp_path / "live.sqlite", asked)
    assert server.bodies
    assert not server.calls
    live_bodies = sorted(server.bodies, key=str)
    counts = store_all(batch, tmp_path / "batch.sqlite", asked)
    assert counts == SampleCounts(wanted=14, there=0, stored=14, failed=0)
    found = stored(tmp_path / "batch.sqlite", batch.name, asked)
    assert found == stored(tmp_path / "live.sqlite", live.name, asked)
    lines = [line["body"] for made in server.made.values() for line in made.lines]
    assert sorted(lines, key=str) == live_bodies


def test_what_was_bought_is_collected_by_whoever_asks_next(server: BatchServer) -> None:
    asked = requests(3)
    assert prompts_of(list(model(server).complete(asked))) == all_of(asked)
    found = list(model(server).complete(asked))
    assert prompts_of(found) == all_of(asked)
    assert len(server.made) == 1
    once(server, 6)


def test_an_answer_is_the_same_sample_whoever_collects_it(server: BatchServer) -> None:
    asked = [Request(prompt="2 + 3?", samples=(0, 1, 2, 3), temperature=1.0)]
    texts = {each.sample: each.text for each in model(server).complete(asked)}
    part = [Request(prompt="2 + 3?", samples=(2,), temperature=1.0)]
    assert [(each.sample, each.text) for each in model(server).complete(part)] == [(2, texts[2])]
    more = [Request(prompt="2 + 3?", samples=tuple(range(6)), temperature=1.0)]
    assert {each.sample for each in model(server).complete(more)} == set(range(6))
    once(server, 6)


def test_another_limit_or_another_model_is_another_answer(server: BatchServer) -> None:
    list(model(server).complete([Request(prompt="a", max_tokens=5)]))
    list(model(server).complete([Request(prompt="a", max_tokens=6)]))
    list(model(server, model="openai:other").complete([Request(prompt="a", max_tokens=6)]))
    assert [len(made.lines) for made in server.made.values()] == [1, 1, 1]
    assert [made.lines[0]["body"]["max_tokens"] for made in server.made.values()] == [5, 6, 6]


def test_requests_alike_are_bought_once_and_all_answered(server: BatchServer) -> None:
    asked = [Request(prompt="a", question=question) for question in ("one", "two")]
    found = list(model(server).complete(asked))
    assert sorted(each.request.question for each in found) == ["one", "two"]
    once(server, 1)


def test_a_model_reads_no_file_in_vain_twice(server: BatchServer) -> None:
    teacher = model(server)
    list(teacher.complete(requests(3)))
    before = server.calls["content"]
    list(teacher.complete([Request(prompt="other")]))
    assert server.calls["content"] == before + 1  # its own answers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "trouble", "ended"),
    [
        ("list", Trouble(hang=True), False),
        ("upload", Trouble(hang_first=True), False),
        ("upload", Trouble(hang=True), False),
        ("create", Trouble(hang_first=True), False),
        ("create", Trouble(hang=True), False),
        ("create", Trouble(hang=True), True),
        ("poll", Trouble(hang=True), False),
        ("poll", Trouble(hang=True), True),
        ("content", Trouble(hang=True), True),
    ],
)
def test_kill_9_at_any_instant_buys_nothing_twice(
    commands: Commands,
    server: BatchServer,
    tmp_path: Path,
    call: str,
    trouble: Trouble,
    ended: bool,
) -> None:
    """``ended``: whether the batch is done by the time somebody asks again."""
    server.troubles[call] = [trouble]
    arguments = (server.url, str(tmp_path), "5")
    with commands.start(*arguments, code=ASK_IN_BATCHES):
        assert server.hanging.wait(60)
    if ended:
        server.finish_all()
    commands.log.unlink()
    with commands.start(*arguments, code=ASK_IN_BATCHES) as command:
        assert command.wait(60) == 0
    assert commands.log.read_text().split() == ["0", "10", "0"]
    once(server, 10)
    # Five answers: what was set aside for the killed process is settled as well.
    account = Budget(journal=tmp_path / "spending.jsonl")
    assert (account.spent.tokens, account.left) == (5 * ANSWER_TOKENS, ())


def test_stopping_leaves_the_batch_to_the_next_command(server: BatchServer, tmp_path: Path) -> None:
    server.polls = 1000
    asked = requests(4)
    control = Runtime(
        budget=Budget(journal=tmp_path / "spending.jsonl"), events=EventLog(tmp_path / "log.jsonl")
    )
    seen = []

    def stop() -> None:
        while not control.events.notes:
            time.sleep(0.01)
        seen.append((control.events.in_flight, *control.events.notes.values()))
        control.stop.set()

    threading.Thread(target=stop).start()
    assert list(model(server, control, poll_seconds=3600.0).complete(asked)) == []
    assert seen == [(4, "0 of 4 lines done in a batch")]
    assert (control.events.in_flight, control.events.notes) == (0, {})
    assert control.budget.spent.tokens > 4 * ANSWER_TOKENS
    control.close()
    events = [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    assert [(each["event"], each["status"], each["lines"]) for each in events] == [
        ("batch", "validating", 4),
        ("batch", "left", 4),
    ]
    server.polls = 1
    again = Runtime(budget=Budget(journal=tmp_path / "spending.jsonl"))
    assert prompts_of(list(model(server, again).complete(asked))) == all_of(asked)
    assert (again.budget.spent.tokens, again.budget.left) == (4 * ANSWER_TOKENS, ())
    once(server, 8)


def test_nothing_is_sent_once_the_run_is_to_stop(server: BatchServer) -> None:
    control = Runtime()
    control.stop.set()
    assert list(model(server, control).complete(requests(2))) == []
    assert not server.calls


def test_closing_the_iterator_leaves_the_rest_to_the_next_call(server: BatchServer) -> None:
    control = Runtime()
    answers = iter(model(server, control).complete(requests(3)))
    first = next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert control.events.in_flight == 0
    assert len(control.budget.left) == 1
    rest = list(model(server, control).complete(requests(3)))
    assert first in rest
    assert not control.budget.left
    assert control.budget.spent.tokens == 3 * ANSWER_TOKENS
    once(server, 6)


def test_the_part_of_a_batch_that_expired_is_asked_again(server: BatchServer) -> None:
    server.expires_after = [3]
    found = list(model(server).complete(requests(5)))
    assert prompts_of(found) == all_of(requests(5))
    assert [len(made.lines) for made in server.made.values()] == [5, 2]
    once(server, 10)


def test_what_an_old_batch_answered_before_it_expired_counts(server: BatchServer) -> None:
    server.expires_after = [3, 0]
    control = Runtime()
    teacher = model(server, control, retries=0)
    found = list(teacher.complete(requests(5)))
    assert sorted(each.finish_reason for each in found) == ["error"] * 4 + ["stop"] * 6
    assert "batch_expired" in str(next(each.error for each in found if each.error))
    server.expires_after = []
    assert all(each.finish_reason == "stop" for each in model(server).complete(requests(5)))
    assert [len(made.lines) for made in server.made.values()] == [5, 2]
    once(server, 10)


def test_a_refused_line_is_a_failure_and_is_asked_again_next_time(server: BatchServer) -> None:
    refused = "What is 1 + 1?"
    server.refuse = lambda body, tried: (
        (400, "the prompt\nis too long") if body["messages"][0]["content"] == refused else None
    )
    control = Runtime()
    found = list(model(server, control).complete(requests(3)))
    errors = {each.request.prompt: each.error for each in found if each.finish_reason == "error"}
    assert errors == {refused: "HTTP 400: the prompt is too long"}
    assert control.events.given_up == {"400": 1}
    server.refuse = lambda body, tried: None
    again = list(model(server).complete(requests(3)))
    assert all(each.finish_reason == "stop" for each in again)
    once(server, 6)


def test_an_answer_that_was_broken_off_is_asked_again_next_time(server: BatchServer) -> None:
    broken = {"message": {"role": "assistant", "content": None}, "finish_reason": "abort"}
    server.answerer = lambda body: [broken]
    found = list(model(server).complete([Request(prompt="a")]))
    assert [each.finish_reason for each in found] == ["error"]
    server.answerer = scripted
    again = list(model(server).complete([Request(prompt="a")]))
    assert [each.finish_reason for each in again] == ["stop"]
    assert len(server.made) == 2


def test_an_unknown_end_is_said_and_counted(
    server: BatchServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pondered = {"message": {"content": "so 5"}, "finish_reason": "pondered"}
    server.answerer = lambda body: [pondered]
    runtime = Runtime(events=EventLog(tmp_path / "log.jsonl"))
    found = list(model(server, runtime).complete(requests(3)))
    words = [record.getMessage() for record in caplog.records]
    assert len([line for line in words if "'pondered', which potstill does not know" in line]) == 1
    events = [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    [event] = [event for event in events if event["event"] == "unknown_finish_reason"]
    assert event["count"] == len(found) > 0


def test_what_two_batches_answered_is_taken_once(server: BatchServer) -> None:
    """The newer batch has the first sample of each request alone."""
    first = list(model(server).complete(requests(2)))
    made = server.made["batch-0"]
    output = server.files[made.shown["output_file_id"]].splitlines()
    entries = [orjson.loads(line) for line in output]
    for entry in entries:
        del entry["response"]["body"]["choices"][1:]
    server.files["short"] = b"\n".join(map(orjson.dumps, entries))
    shown = {**made.shown, "id": "batch-1", "output_file_id": "short"}
    server.made["batch-1"] = replace(made, shown=shown)
    found = list(model(server).complete(requests(2)))
    assert prompts_of(found) == prompts_of(first) == all_of(requests(2))


def test_a_batch_that_cannot_be_made_costs_nothing(server: BatchServer) -> None:
    server.troubles["create"] = [Trouble(status=400)]
    control = Runtime()
    with pytest.raises(ServerError, match="HTTP 400"):
        list(model(server, control).complete(requests(2)))
    assert control.budget.in_flight == Amount()
    assert len(list(model(server, control).complete(requests(2)))) == 4
    assert control.budget.spent.tokens == 2 * ANSWER_TOKENS


def test_a_fault_that_may_pass_gets_another_batch(server: BatchServer) -> None:
    server.refuse = lambda body, tried: (500, "overloaded") if tried < 2 else None
    control = Runtime()
    found = list(model(server, control).complete(requests(2)))
    assert all(each.finish_reason == "stop" for each in found)
    assert control.events.retries == {"500": 4}
    server.refuse = lambda body, tried: (500, "overloaded")
    found = list(model(server, retries=1).complete([Request(prompt="other")]))
    assert [each.error for each in found] == ["HTTP 500: overloaded"]
    assert [len(made.lines) for made in server.made.values()] == [2, 2, 2, 1, 1]


def test_a_line_in_neither_file_is_asked_again(server: BatchServer) -> None:
    server.silent = {"What is 1 + 1?"}
    found = list(model(server, retries=2).complete(requests(2)))
    assert [len(made.lines) for made in server.made.values()] == [2, 1, 1]
    told = {each.error for each in found if each.request.prompt == "What is 1 + 1?"}
    assert told == {"the batch ended (completed) without an answer"}


def test_samples_that_the_server_leaves_out_are_asked_for_again(server: BatchServer) -> None:
    server.largest_n = 2
    asked = [Request(prompt="a", samples=tuple(range(7)), temperature=1.0)]
    assert prompts_of(list(model(server).complete(asked))) == all_of(asked)
    asked_for = [[line["body"].get("n", 1) for line in made.lines] for made in server.made.values()]
    assert asked_for == [[7], [2, 2, 1]]
    once(server, 7)


def test_a_server_that_refuses_several_samples_is_asked_for_one(server: BatchServer) -> None:
    server.refuse = lambda body, tried: (400, "n must be 1") if body.get("n", 1) > 1 else None
    found = list(model(server).complete(requests(3)))
    assert prompts_of(found) == all_of(requests(3))
    assert all(each.finish_reason == "stop" for each in found)
    assert [len(made.lines) for made in server.made.values()] == [3, 6]


def test_a_server_without_probabilities_says_so(server: BatchServer) -> None:
    server.refuse = lambda body, tried: (400, "logprobs are not supported")
    with pytest.raises(ModelError, match=r"no token probabilities.*set top_logprobs to 0"):
        list(model(server).complete([Request(prompt="a", top_logprobs=5)]))


def test_all_pages_of_the_list_are_read(server: BatchServer) -> None:
    for n in range(7):
        list(model(server).complete([Request(prompt=f"prompt {n}")]))
    server.page_size = 2
    asked = [Request(prompt=f"prompt {n}") for n in range(7)]
    assert len(list(model(server).complete(asked))) == 7
    assert len(server.made) == 7
    once(server, 7)


def test_batches_of_strangers_are_left_alone(server: BatchServer) -> None:
    list(model(server, model="openai:other").complete(requests(2)))
    stranger = server.made["batch-0"]
    for n, metadata in enumerate((None, {}, {"purpose": "nightly"})):
        stranger.shown["metadata"] = metadata
        before = server.calls["content"]
        list(model(server, body={"user": n}).complete(requests(2)))
        assert server.calls["content"] == before + 1  # its own answers


def test_answers_that_the_provider_has_deleted_are_bought_again(server: BatchServer) -> None:
    asked = requests(2)
    list(model(server).complete(asked))
    server.forget_file(next(iter(server.made.values())).shown["output_file_id"])
    assert prompts_of(list(model(server).complete(asked))) == all_of(asked)
    assert len(server.made) == 2


@pytest.mark.parametrize("call", ["list", "upload", "create", "poll", "content"])
@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(status=429, headers={"Retry-After": "0.02"}),
        Trouble(status=503),
        Trouble(lost=True),
    ],
    ids=["429", "503", "lost"],
)
def test_troubles_that_pass_are_waited_out(
    server: BatchServer, call: str, trouble: Trouble
) -> None:
    server.troubles[call] = [trouble] * 3
    control = Runtime()
    found = list(model(server, control).complete(requests(3)))
    assert prompts_of(found) == all_of(requests(3))
    assert len(server.made) == 1
    # A GET whose connection breaks may be sent again below us, and a lost batch is found.
    assert control.events.retries.total() in ({1, 3} if trouble.lost else {3})
    once(server, 6)


def test_waiting_has_an_end(server: BatchServer) -> None:
    server.troubles["poll"] = [Trouble(status=503)] * 10_000
    control = Runtime()
    with pytest.raises(ServerError, match=r"does not answer \(HTTP 503.*batches run on"):
        list(model(server, control, deadline=0.2).complete(requests(2)))
    assert len(control.budget.left) == 1
    server.troubles.clear()
    assert len(list(model(server, control).complete(requests(2)))) == 4
    once(server, 4)


def test_a_server_without_batches_points_to_live(server: BatchServer) -> None:
    class NoBatches(BatchServer):
        def add_routes(self, router: Any) -> None:
            super(BatchServer, self).add_routes(router)

    with NoBatches() as plain, pytest.raises(ServerError, match="Set mode: live"):
        list(model(plain).complete(requests(1)))
    for status in (405, 501):
        server.troubles["list"] = [Trouble(status=status)]
        with pytest.raises(ServerError, match="Set mode: live"):
            list(model(server).complete(requests(1)))


def test_an_address_that_nobody_answers_is_told_soon() -> None:
    with BatchServer() as gone:
        pass
    with pytest.raises(ServerError, match="check base_url"):
        list(model(gone).complete(requests(1)))


def test_a_batch_that_the_server_does_not_take_ends_the_asking(server: BatchServer) -> None:
    server.token_limit = 0
    control = Runtime()
    with pytest.raises(ServerError, match=r"Enqueued token limit.*other batches of the account"):
        list(model(server, control).complete([Request(prompt="a")]))
    assert control.budget.spent == Amount()
    assert control.budget.in_flight == Amount()


def test_too_many_tokens_at_once_go_one_after_the_other(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token_limit = 5
    found = list(model(server).complete(requests(16)))
    assert prompts_of(found) == all_of(requests(16))
    begun = [made for made in server.made.values() if made.shown["status"] == "completed"]
    assert all(len(made.lines) <= 5 for made in begun)
    assert sum(len(made.lines) for made in begun) == 16
    once(server, 32)


def test_large_batches_are_split(server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "LARGEST_LINES", 4)
    assert len(list(model(server).complete(requests(10)))) == 20
    assert [len(made.lines) for made in server.made.values()] == [4, 4, 2]
    one = len(server.files["file-0"]) // 4
    monkeypatch.setattr(submit, "LARGEST_LINES", 100)
    monkeypatch.setattr(submit, "LARGEST_BYTES", 2 * one + one // 2)
    asked = [Request(prompt=f"What is {n} + 2?", samples=(0, 1), temperature=1) for n in range(5)]
    list(model(server).complete(asked))
    assert [len(made.lines) for made in server.made.values()][3:] == [2, 2, 1]
    once(server, 30)


def test_the_account_has_what_the_answers_say(server: BatchServer) -> None:
    control = Runtime()
    prices = {"prompt_price": 100.0, "completion_price": 1000.0}
    found = list(model(server, control, **prices).complete(requests(3)))
    # Each of three answers: 7 tokens of its prompt, 20 of each sample.
    assert control.budget.spent.tokens == 3 * ANSWER_TOKENS
    assert control.budget.spent.usd == pytest.approx(3 * (7 * 100 + 40 * 1000) / 1e6)
    assert sum(each.cost for each in found) == pytest.approx(control.budget.spent.usd)
    assert control.budget.in_flight == Amount()


def test_an_answer_without_usage_counts_at_its_most(server: BatchServer) -> None:
    server.usage = None
    control = Runtime()
    list(model(server, control).complete(requests(1)))
    assert control.budget.spent.tokens > 2 * 64


@pytest.mark.parametrize(
    ("status", "body", "tokens"),
    [
        (200, {"choices": None, "usage": {"prompt_tokens": 5, "completion_tokens": 900}}, 905),
        (200, {"choices": [], "usageMetadata": {"totalTokenCount": 905}}, 905),
        (400, {"error": {"message": "x"}, "usage": {"total_tokens": 905}}, 905),
        (400, {"error": {"message": "x"}}, 0),
    ],
)
def test_what_a_line_without_an_answer_states_counts(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, tokens: int
) -> None:
    async def refused(path: str, asked: Any) -> tuple[int, Any]:
        return status, body

    monkeypatch.setattr(server, "_line", refused)
    control = Runtime()
    request = Request(prompt="2 + 2?", max_tokens=64)
    found = list(model(server, control, retries=0).complete([request]))
    assert [each.finish_reason for each in found] == ["error"]
    assert control.budget.spent.tokens == tokens


def test_a_line_whose_answer_is_not_understood_and_not_counted_is_at_its_most(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(path: str, asked: Any) -> tuple[int, Any]:
        return 200, {"output": "It is 4."}

    monkeypatch.setattr(server, "_line", odd)
    control = Runtime()
    request = Request(prompt="2 + 2?", max_tokens=64)
    list(model(server, control, retries=0).complete([request]))
    assert control.budget.spent.tokens > 64


def test_a_half_that_an_answer_does_not_count_is_at_its_most(server: BatchServer) -> None:
    server.usage = {"prompt_tokens": 7}
    control = Runtime()
    list(model(server, control).complete(requests(1)))
    assert control.budget.spent.tokens == 7 + 2 * 64


def test_batches_are_as_large_as_the_budget_allows(server: BatchServer) -> None:
    # A line may take 2 * 64 tokens and its prompt with its frame, about 100; it takes 47.
    control = Runtime(budget=Budget(BudgetSettings(tokens=1200)))
    found = list(model(server, control).complete(requests(16)))
    assert prompts_of(found) == all_of(requests(16))
    sizes = [len(made.lines) for made in server.made.values()]
    assert sizes[0] == 4
    assert sum(sizes) == 16
    assert control.budget.spent.tokens == 16 * ANSWER_TOKENS
    once(server, 32)


def test_the_budget_is_never_passed(server: BatchServer) -> None:
    control = Runtime(budget=Budget(BudgetSettings(tokens=600)))
    found = []
    with pytest.raises(BudgetError, match="is spent"):
        for each in model(server, control).complete(requests(40)):
            found.append(each)
    assert 0 < len(found) < 80
    assert control.budget.spent.tokens == len(found) // 2 * ANSWER_TOKENS <= 600
    once(server, len(found))


def test_old_batches_of_other_runs_cost_this_run_nothing(server: BatchServer) -> None:
    list(model(server).complete(requests(2)))
    control = Runtime(budget=Budget(BudgetSettings(tokens=1)))
    assert len(list(model(server, control).complete(requests(2)))) == 4
    assert control.budget.spent == Amount()


def test_a_server_that_drops_metadata_is_warned_of(
    server: BatchServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.keeps_metadata = False
    assert len(list(model(server).complete(requests(2)))) == 4
    assert "keeps no metadata" in caplog.text


def test_the_key_goes_to_the_server_and_nowhere_else(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTSTILL_TEST_KEY", "sk-very-secret")
    server.refuse = lambda body, tried: (400, "sk-very-secret is bad") if tried == 0 else None
    control = Runtime(
        budget=Budget(journal=tmp_path / "spending.jsonl"), events=EventLog(tmp_path / "log.jsonl")
    )
    server.troubles["poll"] = [Trouble(status=500)]
    teacher = model(server, control, api_key_env="POTSTILL_TEST_KEY")
    counts = store_all(teacher, tmp_path / "run.sqlite", [Request(prompt="a")])
    assert counts.failed == 1
    control.close()
    assert set(server.headers) == {"Bearer sk-very-secret"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert all(b"very-secret" not in path.read_bytes() for path in files)
    assert all(b"very-secret" not in content or b"is bad" in content
               for content in server.files.values())  # fmt: skip
    server.troubles["list"] = [Trouble(status=401)]
    with pytest.raises(AuthError, match="refused the key in POTSTILL_TEST_KEY") as raised:
        list(teacher.complete([Request(prompt="b")]))
    assert "very-secret" not in str(raised.value)


def test_what_was_left_open_is_settled_by_its_label(tmp_path: Path) -> None:
    journal = tmp_path / "spending.jsonl"
    first = Budget(BudgetSettings(tokens=1000), journal=journal)
    for label, tokens in (("a", 100), ("b", 200), ("", 400)):
        assert first.begin(Amount(tokens, 0.0), label=label) is not None
    with journal.open("a") as file:
        file.write('{"begin": 4, "tok')  # the process ends here
    second = Budget(journal=journal)
    assert (second.spent.tokens, set(second.left)) == (700, {"a", "b"})
    assert second.resume("c") is None
    number = second.resume("a")
    assert number is not None
    assert second.resume("a") is None
    assert (second.spent.tokens, second.in_flight.tokens) == (600, 100)
    second.leave(number)
    assert (second.spent.tokens, second.in_flight.tokens) == (700, 0)
    number = second.resume("a")
    assert number is not None
    second.end(number, Amount(7, 0.0))
    assert (second.spent.tokens, second.left) == (607, ("b",))
    third = Budget(journal=journal)
    assert (third.spent.tokens, third.left) == (607, ("b",))
    number = third.resume("b")
    assert number is not None
    third.end(number, None)
    assert third.spent.tokens == 607
    assert Budget(journal=journal).spent.tokens == 607
    for account in (first, second, third):
        account.close()


def test_custom_ids_are_read_as_they_are_written() -> None:
    line = BatchLine("0123456789abcdef" * 2, 512, 3, 4)
    assert len(line.custom_id) <= 64
    assert line_of(line.custom_id) == line
    for strange in (None, 7, "", "task-1", line.custom_id + "-5", line.custom_id[1:],
                    "0" * 32 + "-1-0-0", "0" * 32 + "-1-0-99999999"):  # fmt: skip
        assert line_of(strange) is None


def test_lines_of_json_are_found_between_damage_and_raw_line_breaks() -> None:
    lines = [b'{"a": 1}\n', b"damage {\n", b'{"a": 2}\n', b'{"a": "two\n', b"\n", b'lines"}\n',
             b'{"a": "\\ud83d"}\n', b"[4]\n", b'{"a": "cut']  # fmt: skip
    found = [entry["a"] for entry in entries_in(lines)]
    assert found == [1, 2, "two\n\nlines", "\ufffd"]
